/* SPDX-License-Identifier: Apache-2.0 */
/* A set of AWS keys: its copies, its decoders, and when it wants to be fetched again. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"
#include "common/strv.h"

enum { REFRESH_AHEAD_MS = 5 * 60 * 1000 };

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void aws_keys_done(struct aws_keys *k)
{
	wipe(&k->access_key_id);
	wipe(&k->secret_access_key);
	wipe(&k->session_token);
	k->expires_ms = 0;
}

int aws_keys_copy(struct aws_keys *dst, const struct aws_keys *src)
{
	*dst = (struct aws_keys){ .expires_ms = src->expires_ms };
	if (strdup_to(&dst->access_key_id, src->access_key_id) == 0 &&
	    strdup_to(&dst->secret_access_key, src->secret_access_key) == 0 &&
	    strdup_to(&dst->session_token, src->session_token) == 0)
		return 0;
	aws_keys_done(dst);
	return -ENOMEM;
}

int aws_keys_decode_imds(const char *data, size_t len, struct aws_keys *ret, struct err *err)
{
	json_auto_t *root = NULL;
	const char *id, *secret, *token, *expiration, *code;
	struct aws_keys borrowed = {};
	int64_t expires = 0;

	if (json_parse(data, len, &root, err) < 0)
		return err_wrap(err, "role credentials");
	code = json_get_string(root, "Code", "Success");
	id = json_get_string(root, "AccessKeyId", "");
	secret = json_get_string(root, "SecretAccessKey", "");
	token = json_get_string(root, "Token", NULL);
	expiration = json_get_string(root, "Expiration", NULL);
	if (strcmp(code, "Success") != 0)
		return err_set(err, EPROTO, "role credentials: Code: %.100s", code);
	if (!*id || !*secret)
		return err_set(err, EPROTO, "role credentials: %s: missing",
			       *id ? "SecretAccessKey" : "AccessKeyId");
	if (expiration && clock_parse_rfc3339(expiration, &expires, err) < 0) {
		(void) err_wrap(err, "role credentials: Expiration");
		return -EPROTO;
	}
	borrowed = (struct aws_keys){ (char *) id, (char *) secret, (char *) token, expires };
	return aws_keys_copy(ret, &borrowed) < 0 ? err_set(err, ENOMEM, "role credentials") : 0;
}

/* A line without blanks at its ends, into @buf of @size; longer lines are nobody's keys. */
static bool trimmed_line(const char *p, size_t n, char *buf, size_t size)
{
	while (n > 0 && isspace((unsigned char) *p))
		p++, n--;
	while (n > 0 && isspace((unsigned char) p[n - 1]))
		n--;
	if (n >= size)
		return false;
	memcpy(buf, p, n);
	buf[n] = '\0';
	return true;
}

static bool is_section(const char *line, const char *profile)
{
	size_t n = strlen(profile);
	const char *name = line + 1;

	name += strspn(name, " \t");
	if (strncmp(name, "profile ", 8) == 0)
		name += 8;
	return strncmp(name, profile, n) == 0 && name[n + strspn(name + n, " \t")] == ']';
}

static int take_setting(char *line, struct aws_keys *ret)
{
	const struct {
		const char *name;
		char **dst;
	} table[] = {
		{ "aws_access_key_id", &ret->access_key_id },
		{ "aws_secret_access_key", &ret->secret_access_key },
		{ "aws_session_token", &ret->session_token },
	};
	char *value = strchr(line, '='), *end;

	if (!value)
		return 0;
	for (end = value; end > line && isspace((unsigned char) end[-1]);)
		end--;
	*end = '\0';
	value += 1 + strspn(value + 1, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcasecmp(line, table[i].name) != 0 || !*value)
			continue;
		wipe(table[i].dst);
		return strdup_to(table[i].dst, value);
	}
	return 0;
}

int aws_keys_parse_shared(const char *text, const char *profile, struct aws_keys *ret,
			  struct err *err)
{
	_cleanup_(aws_keys_done) struct aws_keys k = {};
	bool in = false, found = false;
	char line[4096];

	for (const char *p = text; *p; p += strspn(p, "\n")) {
		size_t n = strcspn(p, "\n");
		bool fits = trimmed_line(p, n, line, sizeof(line));

		p += n;
		if (!fits || line[0] == '#' || line[0] == ';')
			continue;
		if (line[0] == '[')
			found |= in = is_section(line, profile);
		else if (in && take_setting(line, &k) < 0)
			return err_set(err, ENOMEM, "profile '%s'", profile);
	}
	explicit_bzero(line, sizeof(line));
	if (!found)
		return err_set(err, ENOENT, "there is no profile '%s'", profile);
	if (!k.access_key_id || !k.secret_access_key)
		return err_set(err, EPROTO, "profile '%s' has no %s", profile,
			       k.access_key_id ? "aws_secret_access_key" : "aws_access_key_id");
	*ret = k;
	k = (struct aws_keys){};
	return 0;
}

int64_t aws_keys_refresh_in_ms(int64_t now_ms, int64_t expires_ms, int64_t jitter_ms)
{
	int64_t at = expires_ms - REFRESH_AHEAD_MS - CLAMP(jitter_ms, 0, REFRESH_AHEAD_MS);

	return MAX(at - now_ms, 0);
}
