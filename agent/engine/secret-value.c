/* SPDX-License-Identifier: Apache-2.0 */
/* What a secret's ARN names beyond the secret, and how a member of a JSON secret is written out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/inputs.h"
#include "common/buf.h"
#include "common/fs.h"
#include "common/strv.h"

enum { ARN_COLONS = 6, NESTING_MAX = 32 };

void secret_arn_done(struct secret_arn *a)
{
	free(a->id);
	free(a->json_key);
	free(a->version_stage);
	free(a->version_id);
	*a = (struct secret_arn){};
}

/* The @n bytes at @s, unless they are none. */
static int copy_part(char **dst, const char *s, size_t n)
{
	*dst = n > 0 ? strndup(s, n) : NULL;
	return n > 0 && !*dst ? -ENOMEM : 0;
}

int secret_arn_parse(const char *value_from, struct secret_arn *ret, struct err *err)
{
	const char *part[10] = { value_from }; /* arn p service region account secret id key … */
	struct secret_arn a = {};
	size_t n = 1;

	for (const char *p = value_from; n < 10 && (p = strchr(p, ':')); n++)
		part[n] = ++p;
	if (strncmp(value_from, "arn:", 4) != 0 || (n != ARN_COLONS + 1 && n != 10) ||
	    strncmp(part[5], "secret:", 7) != 0 || *part[6] == ':' || *part[6] == '\0' ||
	    (n == 10 && strchr(part[9], ':')))
		return err_set(err, EINVAL,
			       "an invalid ARN format for the AWS Secrets Manager secret was "
			       "specified. Specify a valid ARN and try again.");
	if (n == ARN_COLONS + 1)
		n = copy_part(&a.id, value_from, strlen(value_from)) < 0 ? 0 : n;
	else if (copy_part(&a.id, value_from, (size_t) (part[7] - 1 - value_from)) < 0 ||
		 copy_part(&a.json_key, part[7], (size_t) (part[8] - 1 - part[7])) < 0 ||
		 copy_part(&a.version_stage, part[8], (size_t) (part[9] - 1 - part[8])) < 0 ||
		 copy_part(&a.version_id, part[9], strlen(part[9])) < 0)
		n = 0;
	if (n == 0) {
		secret_arn_done(&a);
		return err_set(err, ENOMEM, "take an ARN apart");
	}
	*ret = a;
	return 0;
}

/* ---- as Go prints what came from JSON ---- */

/* The shortest digits that mean this number; from a million on with an exponent: 1e+06. */
static void put_number(struct buf *b, double v)
{
	enum { DIGITS_MAX = 17, PLAIN_MIN = -4, PLAIN_MAX = 6 };
	int digits = 0, exponent;
	char text[40];

	do
		(void) snprintf(text, sizeof(text), "%.*e", digits, v);
	while (strtod(text, NULL) != v && ++digits < DIGITS_MAX);
	exponent = (int) strtol(strchr(text, 'e') + 1, NULL, 10);
	if (exponent >= PLAIN_MIN && exponent < PLAIN_MAX)
		(void) snprintf(text, sizeof(text), "%.*f",
				digits > exponent ? digits - exponent : 0, v);
	(void) buf_puts(b, text);
}

static void put_value(struct buf *b, const json_t *v, int depth);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void put_object(struct buf *b, const json_t *v, int depth)
{
	size_t n = json_object_size(v), i = 0;
	_cleanup_(freep) const char **keys = calloc(n + 1, sizeof(*keys));
	const char *key;
	json_t *m;

	if (!keys) {
		b->failed = true;
		return;
	}
	json_object_foreach((json_t *) v, key, m)
		keys[i++] = key;
	qsort(keys, n, sizeof(*keys), by_name);
	(void) buf_puts(b, "map[");
	for (i = 0; i < n; i++) {
		(void) buf_printf(b, "%s%s:", i ? " " : "", keys[i]);
		put_value(b, json_object_get(v, keys[i]), depth + 1);
	}
	(void) buf_puts(b, "]");
}

static void put_array(struct buf *b, const json_t *v, int depth)
{
	const json_t *m;
	size_t i;

	(void) buf_puts(b, "[");
	json_array_foreach((json_t *) v, i, m) {
		(void) buf_puts(b, i ? " " : "");
		put_value(b, m, depth + 1);
	}
	(void) buf_puts(b, "]");
}

static void put_value(struct buf *b, const json_t *v, int depth)
{
	if (depth > NESTING_MAX)
		b->failed = true;
	else if (json_is_string(v))
		(void) buf_puts(b, json_string_value(v));
	else if (json_is_number(v))
		put_number(b, json_number_value(v));
	else if (json_is_boolean(v))
		(void) buf_puts(b, json_is_true(v) ? "true" : "false");
	else if (json_is_null(v))
		(void) buf_puts(b, "<nil>");
	else if (json_is_array(v))
		put_array(b, v, depth);
	else
		put_object(b, v, depth);
}

int secret_json_member(const char *text, const char *key, char **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL);
	const json_t *v = json_object_get(obj, key);
	struct buf b = {};

	if (!json_is_object(obj))
		return err_set(err, EPROTO, "the secret is no JSON object");
	if (!v)
		return err_set(err, ENOENT,
			       "retrieved secret from Secrets Manager did not contain json key %s",
			       key);
	put_value(&b, v, 0);
	if (!b.failed && (*ret = buf_take(&b)))
		return 0;
	if (b.data)
		explicit_bzero(b.data, b.len);
	buf_done(&b);
	return err_set(err, EINVAL, "json key %s: its value cannot be written out", key);
}
