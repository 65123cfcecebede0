/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/login.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

void login_wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

int login_basic(const char *username, const char *password, char **ret, struct err *err)
{
	_cleanup_(freep) char *plain = path_join("%s:%s", username, password ? password : "");
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = plain ? strlen(plain) : 0, o = 6;
	char *out = plain ? malloc(6 + (len + 2) / 3 * 4 + 1) : NULL;

	if (!out)
		return err_set(err, ENOMEM, "log in");
	memcpy(out, "Basic ", 6);
	for (size_t i = 0; i < len; i += 3) {
		const unsigned char *p = (const unsigned char *) plain + i;
		unsigned int v = (unsigned int) p[0] << 16 | (i + 1 < len ? p[1] << 8 : 0) |
				 (i + 2 < len ? p[2] : 0);

		out[o++] = digits[v >> 18];
		out[o++] = digits[v >> 12 & 63];
		out[o++] = i + 1 < len ? digits[v >> 6 & 63] : '=';
		out[o++] = i + 2 < len ? digits[v & 63] : '=';
	}
	out[o] = '\0';
	explicit_bzero(plain, len);
	*ret = out;
	return 0;
}

/* RFC 3986: everything but the unreserved characters becomes %XX. */
static bool append_escaped(struct buf *b, const char *text)
{
	bool ok = true;

	for (; ok && *text; text++) {
		unsigned char c = (unsigned char) *text;

		ok = isalnum(c) || strchr("-._~", c) ? buf_append(b, text, 1)
						     : buf_printf(b, "%%%02X", c);
	}
	return ok;
}

int login_token_url(const struct challenge *ch, const struct reference *ref, bool registry_is_https,
		    char **ret, struct err *err)
{
	_cleanup_(freep) char *scope = path_join("repository:%s:pull", ref->repository);
	_cleanup_(buf_done) struct buf url = {};
	bool secure = strncasecmp(ch->realm, "https://", 8) == 0;

	if (!secure && (registry_is_https || strncasecmp(ch->realm, "http://", 7) != 0))
		return err_set(err, EPROTO,
			       "the registry names the token service '%.100s', which "
			       "is not https",
			       ch->realm);
	if (!scope ||
	    !buf_printf(&url, "%s%sservice=", ch->realm, strchr(ch->realm, '?') ? "&" : "?") ||
	    !append_escaped(&url, ch->service ? ch->service : "") || !buf_printf(&url, "&scope=") ||
	    !append_escaped(&url, ch->scope ? ch->scope : scope))
		return err_set(err, ENOMEM, "log in");
	*ret = buf_take(&url);
	return *ret ? 0 : err_set(err, ENOMEM, "log in");
}

int login_bearer(const char *body, size_t len, char **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	const char *token;
	int k = json_parse(body, len, &doc, err);

	if (k < 0)
		return err_wrap(err, "answer of the token service");
	token = json_get_string(doc, "token", json_get_string(doc, "access_token", ""));
	if (!*token || strpbrk(token, "\r\n"))
		return err_set(err, EPROTO, "the token service sent no token");
	*ret = path_join("Bearer %s", token);
	return *ret ? 0 : err_set(err, ENOMEM, "log in");
}
