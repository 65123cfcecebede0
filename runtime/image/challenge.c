/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/challenge.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"

void challenge_done(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	free(c->error);
	*c = (struct challenge){};
}

static size_t token_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char) p[n]) || (p[n] && strchr("!#$%&'*+-.^_`|~", p[n])))
		n++;
	return n;
}

static const char *skip_blanks(const char *p, bool commas)
{
	while (*p == ' ' || *p == '\t' || (commas && *p == ','))
		p++;
	return p;
}

/* A token or a quoted string at *p. NULL: neither, or out of memory. */
static char *take_value(const char **p)
{
	_cleanup_(buf_done) struct buf b = {};
	size_t n = token_length(*p);

	if (**p != '"') {
		char *s = n > 0 ? strndup(*p, n) : NULL;

		*p += n;
		return s;
	}
	for ((*p)++; **p && **p != '"'; (*p)++) {
		if (**p == '\\' && (*p)[1])
			(*p)++;
		(void) buf_append(&b, *p, 1);
	}
	if (**p != '"')
		return NULL;
	(*p)++;
	return buf_take(&b);
}

static void store_parameter(struct challenge *c, const char *name, size_t len, char *value)
{
	const struct {
		const char *name;
		char **slot;
	} known[] = { { "realm", &c->realm },
		      { "service", &c->service },
		      { "scope", &c->scope },
		      { "error", &c->error } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strlen(known[i].name) != len || strncasecmp(name, known[i].name, len) != 0 ||
		    *known[i].slot)
			continue;
		*known[i].slot = value;
		return;
	}
	free(value);
}

/* name=value, name="value", …: up to something that is not a parameter. */
static const char *take_parameters(const char *p, struct challenge *c)
{
	for (;;) {
		size_t len = token_length(p);
		const char *q = skip_blanks(p + len, false);
		char *value;

		if (len == 0 || *q != '=')
			return p;
		q = skip_blanks(q + 1, false);
		value = take_value(&q);
		if (!value)
			return NULL;
		store_parameter(c, p, len, value);
		p = skip_blanks(q, true);
	}
}

int challenge_parse(const char *text, struct challenge *ret, struct err *err)
{
	_cleanup_(challenge_done) struct challenge best = {};
	const char *p = skip_blanks(text, true), *body;

	if (strlen(text) > CHALLENGE_TEXT_MAX)
		return err_set(err, EPROTO, "WWW-Authenticate: longer than %d bytes",
			       CHALLENGE_TEXT_MAX);
	while (*p) {
		struct challenge c = {};
		size_t len = token_length(p);

		if (len == 6 && strncasecmp(p, "Bearer", 6) == 0)
			c.scheme = CHALLENGE_BEARER;
		else if (len == 5 && strncasecmp(p, "Basic", 5) == 0)
			c.scheme = CHALLENGE_BASIC;
		p = skip_blanks(p + len, true);
		body = p;
		p = len > 0 ? take_parameters(p, &c) : NULL;
		if (!p && len > 0 && c.scheme == CHALLENGE_NONE) { /* Negotiate and the like */
			body += strcspn(body, ",");
			p = skip_blanks(body, true);
		}
		if (!p) {
			challenge_done(&c);
			return err_set(err, EPROTO, "WWW-Authenticate: '%.100s' is malformed",
				       text);
		}
		if (c.scheme > best.scheme) {
			challenge_done(&best);
			best = c;
		} else {
			challenge_done(&c);
		}
	}
	if (best.scheme == CHALLENGE_BEARER && !best.realm)
		return err_set(err, EPROTO, "WWW-Authenticate: Bearer without a realm");
	*ret = best;
	best = (struct challenge){};
	return 0;
}
