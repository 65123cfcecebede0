/* SPDX-License-Identifier: Apache-2.0 */
/* The two texts of sigv4.h that people and peers write: the Authorization header and the key file.
 */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#include "common/fs.h"
#include "common/strv.h"
#include "controlplane/sigv4.h"
#include "controlplane/sigv4_keys.h"

enum { MAX_KEY_FILE = 1 << 20, MAX_KEYS = 10000 };

static bool is_digits(const char *s, size_t len)
{
	return strlen(s) == len && strspn(s, "0123456789") == len;
}

/* Splits "AKID/20250101/us-west-2/ecs/aws4_request"; the access key itself holds no '/'. */
static int parse_credential(char *text, struct sigv4_auth *a, struct err *err)
{
	char *part[5], *save = NULL;
	size_t n = 0;

	for (char *t = strtok_r(text, "/", &save); t; t = strtok_r(NULL, "/", &save)) {
		if (n == ARRAY_SIZE(part))
			return err_set(err, EPROTO, "Credential: more than 5 parts");
		part[n++] = t;
	}
	if (n != ARRAY_SIZE(part))
		return err_set(err, EPROTO,
			       "Credential: must be KEY/DATE/REGION/SERVICE/aws4_request");
	if (!is_digits(part[1], 8))
		return err_set(err, EPROTO, "Credential: date must be YYYYMMDD");
	if (strcmp(part[4], "aws4_request") != 0)
		return err_set(err, EPROTO, "Credential: must end in aws4_request");
	if (strdup_to(&a->access_key, part[0]) < 0 || strdup_to(&a->date, part[1]) < 0 ||
	    strdup_to(&a->region, part[2]) < 0 || strdup_to(&a->service, part[3]) < 0)
		return err_set(err, ENOMEM, "copy Credential");
	return 0;
}

static int parse_signed_headers(char *text, struct sigv4_auth *a, struct err *err)
{
	char *save = NULL;
	const char *last = "";

	for (char *t = strtok_r(text, ";", &save); t; t = strtok_r(NULL, ";", &save)) {
		for (const char *c = t; *c; c++)
			if (!isgraph((unsigned char) *c) || isupper((unsigned char) *c))
				return err_set(err, EPROTO,
					       "SignedHeaders: '%.64s' is not in lower case", t);
		if (strcmp(last, t) >= 0)
			return err_set(err, EPROTO, "SignedHeaders: '%.64s' is out of order", t);
		if (strv_length(a->signed_headers) >= SIGV4_MAX_SIGNED_HEADERS)
			return err_set(err, EPROTO, "SignedHeaders: more than %d",
				       SIGV4_MAX_SIGNED_HEADERS);
		if (strv_append(&a->signed_headers, t) < 0)
			return err_set(err, ENOMEM, "copy SignedHeaders");
		last = t;
	}
	if (!a->signed_headers)
		return err_set(err, EPROTO, "SignedHeaders: empty");
	return 0;
}

static int parse_signature(const char *text, struct sigv4_auth *a, struct err *err)
{
	if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64)
		return err_set(err, EPROTO, "Signature: must be 64 lower-case hexadecimal digits");
	return strdup_to(&a->signature, text) < 0 ? err_set(err, ENOMEM, "copy Signature") : 0;
}

static int parse_part(char *part, struct sigv4_auth *a, struct err *err)
{
	char *value = strchr(part, '=');

	if (!value)
		return err_set(err, EPROTO, "'%.64s' is not a NAME=VALUE", part);
	*value++ = '\0';
	if (strcmp(part, "Credential") == 0 && !a->access_key)
		return parse_credential(value, a, err);
	if (strcmp(part, "SignedHeaders") == 0 && !a->signed_headers)
		return parse_signed_headers(value, a, err);
	if (strcmp(part, "Signature") == 0 && !a->signature)
		return parse_signature(value, a, err);
	return err_set(err, EPROTO, "'%.64s' is unknown or repeated", part);
}

int sigv4_parse_authorization(const char *header, struct sigv4_auth *ret, struct err *err)
{
	static const char scheme[] = "AWS4-HMAC-SHA256";
	_cleanup_(sigv4_auth_done) struct sigv4_auth a = {};
	_cleanup_(freep) char *copy = NULL;
	char *save = NULL;
	int k;

	if (strncmp(header, scheme, strlen(scheme)) != 0 ||
	    !strchr(" \t", header[strlen(scheme)]) || !header[strlen(scheme)])
		return err_set(err, EPROTO, "Authorization: the scheme must be %s", scheme);
	if (strlen(header) > SIGV4_MAX_AUTHORIZATION)
		return err_set(err, EPROTO, "Authorization: longer than %d bytes",
			       SIGV4_MAX_AUTHORIZATION);
	copy = strdup(header + strlen(scheme));
	if (!copy)
		return err_set(err, ENOMEM, "copy Authorization");
	for (char *t = strtok_r(copy, ", \t", &save); t; t = strtok_r(NULL, ", \t", &save)) {
		k = parse_part(t, &a, err);
		if (k < 0)
			return err_wrap(err, "Authorization");
	}
	if (!a.access_key || !a.signed_headers || !a.signature)
		return err_set(err, EPROTO, "Authorization: %s is missing",
			       !a.access_key       ? "Credential"
			       : !a.signed_headers ? "SignedHeaders"
						   : "Signature");
	*ret = a;
	a = (struct sigv4_auth){};
	return 0;
}

void sigv4_auth_done(struct sigv4_auth *a)
{
	free(a->access_key);
	free(a->date);
	free(a->region);
	free(a->service);
	strv_free(a->signed_headers);
	free(a->signature);
	*a = (struct sigv4_auth){};
}

static int add_key(struct sigv4_keys *keys, char *line, struct err *err)
{
	char *save = NULL, *word[3] = {}, *t;
	struct sigv4_key *key;
	size_t n = 0;

	line[strcspn(line, "#\r")] = '\0';
	for (t = strtok_r(line, " \t", &save); t; t = strtok_r(NULL, " \t", &save)) {
		if (n == ARRAY_SIZE(word))
			return err_set(err, EINVAL, "must be KEY SECRET [TOKEN]");
		word[n++] = t;
	}
	if (n == 0)
		return 0;
	if (n == 1)
		return err_set(err, EINVAL, "the secret is missing");
	if (sigv4_keys_find(keys, word[0]))
		return err_set(err, EINVAL, "key '%.64s' is there twice", word[0]);
	if (keys->n == MAX_KEYS)
		return err_set(err, EINVAL, "more than %d keys", MAX_KEYS);
	key = &keys->keys[keys->n++];
	if (strdup_to(&key->id, word[0]) < 0 || strdup_to(&key->secret, word[1]) < 0 ||
	    strdup_to(&key->token, word[2]) < 0)
		return err_set(err, ENOMEM, "copy a key");
	return 0;
}

int sigv4_keys_parse(const char *text, struct sigv4_keys **ret, struct err *err)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *keys = calloc(1, sizeof(*keys));
	_cleanup_(freep) char *copy = strdup(text);
	size_t lines = 1, number = 0;
	int k;

	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	if (keys)
		keys->keys = calloc(MIN(lines, (size_t) MAX_KEYS), sizeof(*keys->keys));
	if (!keys || !keys->keys || !copy)
		return err_set(err, ENOMEM, "allocate the key table");
	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
		number++;
		k = add_key(keys, line, err);
		if (k < 0)
			return err_wrap(err, "line %zu", number);
	}
	*ret = TAKE_PTR(keys);
	return 0;
}

int sigv4_keys_load(const char *path, struct sigv4_keys **ret, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int k;

	k = fs_read_file(AT_FDCWD, path, MAX_KEY_FILE, &text, &len, err);
	if (k >= 0)
		k = sigv4_keys_parse(text, ret, err);
	if (text)
		explicit_bzero(text, len);
	return k < 0 ? err_wrap(err, "key file '%s'", path) : 0;
}

const struct sigv4_key *sigv4_keys_find(const struct sigv4_keys *keys, const char *id)
{
	for (size_t i = 0; i < keys->n; i++)
		if (strcmp(keys->keys[i].id, id) == 0)
			return &keys->keys[i];
	return NULL;
}

struct sigv4_keys *sigv4_keys_free(struct sigv4_keys *keys)
{
	if (!keys)
		return NULL;
	for (size_t i = 0; i < keys->n; i++) {
		struct sigv4_key *key = &keys->keys[i];

		free(key->id);
		if (key->secret)
			explicit_bzero(key->secret, strlen(key->secret));
		free(key->secret);
		free(key->token);
	}
	free(keys->keys);
	free(keys);
	return NULL;
}
