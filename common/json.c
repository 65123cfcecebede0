/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/strv.h"

static const char *type_name(const json_t *v)
{
	static const char *const names[] = { "an object", "an array", "a string", "an integer",
					     "a number",  "true",     "false",    "null" };

	return v ? names[json_typeof(v)] : "nothing";
}

static int wrong_type(const json_t *v, const char *wanted, struct err *err)
{
	return err_set(err, EPROTO, "is %s where %s is wanted", type_name(v), wanted);
}

static const json_t *find(const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);
	const char *k;
	json_t *other;

	if (v)
		return v;
	json_object_foreach((json_t *) obj, k, other)
		if (strcasecmp(k, key) == 0)
			return other;
	return NULL;
}

/* "key: …", or "key[3]: …" when the fault lies in an element. */
static int wrap_key(struct err *err, const char *key)
{
	if (!err || !err->msg || err->msg[0] != '[')
		return err_wrap(err, "%s", key);
	return err_set(err, err->code, "%s%s", key, err->msg);
}

int json_decode(const json_t *obj, const struct json_field *fields, void *dst, struct err *err)
{
	if (!json_is_object(obj))
		return wrong_type(obj, "an object", err);
	for (const struct json_field *f = fields; f->key; f++) {
		const json_t *v = find(obj, f->key);
		int k;

		if (!v || json_is_null(v)) {
			if (f->required)
				return err_set(err, EPROTO, "%s: missing", f->key);
			continue;
		}
		k = f->decode(v, (char *) dst + f->offset, f, err);
		if (k < 0)
			return wrap_key(err, f->key);
	}
	return 0;
}

int json_decode_string(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	(void) f;
	if (!json_is_string(value))
		return wrong_type(value, "a string", err);
	if (json_string_length(value) > JSON_STRING_MAX)
		return err_set(err, EPROTO, "is %zu bytes long, at most %d are taken",
			       json_string_length(value), JSON_STRING_MAX);
	if (strlen(json_string_value(value)) != json_string_length(value))
		return err_set(err, EPROTO, "holds a NUL byte");
	if (strdup_to(dst, json_string_value(value)) < 0)
		return err_set(err, ENOMEM, "copy string");
	return 0;
}

int json_decode_bool(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	(void) f;
	if (!json_is_boolean(value))
		return wrong_type(value, "true or false", err);
	*(bool *) dst = json_is_true(value);
	return 0;
}

/* 80.0 is an integer to JSON, 80.5 is not; the range comes first, a cast beyond it is undefined. */
static bool is_whole(double d)
{
	return d >= -0x1p53 && d <= 0x1p53 && d == (double) (int64_t) d;
}

static int decode_bounded(const json_t *value, int64_t min, int64_t max, int64_t *ret,
			  struct err *err)
{
	int64_t v;

	if (json_is_real(value) && is_whole(json_real_value(value)))
		v = (int64_t) json_real_value(value);
	else if (json_is_integer(value))
		v = json_integer_value(value);
	else
		return wrong_type(value, "an integer", err);
	if (v < min || v > max)
		return err_set(err, EPROTO, "%" PRId64 " is outside %" PRId64 "..%" PRId64, v, min,
			       max);
	*ret = v;
	return 0;
}

int json_decode_i64(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	bool bounded = f->min != 0 || f->max != 0;

	return decode_bounded(value, bounded ? f->min : INT64_MIN, bounded ? f->max : INT64_MAX,
			      dst, err);
}

int json_decode_int(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	bool bounded = f->min != 0 || f->max != 0;
	int64_t v = 0;
	int k = decode_bounded(value, bounded ? f->min : INT_MIN, bounded ? f->max : INT_MAX, &v,
			       err);

	if (k == 0)
		*(int *) dst = (int) v;
	return k;
}

int json_decode_u16(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	int64_t v = 0;
	int k = decode_bounded(value, f->min, f->max ? f->max : UINT16_MAX, &v, err);

	if (k == 0)
		*(uint16_t *) dst = (uint16_t) v;
	return k;
}

int json_decode_double(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	(void) f;
	if (!json_is_number(value))
		return wrong_type(value, "a number", err);
	*(double *) dst = json_number_value(value);
	return 0;
}

int json_decode_raw(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	json_t **slot = dst;

	(void) f, (void) err;
	json_decref(*slot);
	*slot = json_incref((json_t *) value);
	return 0;
}

int json_decode_object(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	return json_decode(value, f->arg, dst, err);
}

static void free_items(const struct json_array *a, char *items, size_t n)
{
	for (size_t i = 0; a->done && i < n; i++)
		a->done(items + i * a->size);
	free(items);
}

int json_decode_array(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const struct json_array *a = f->arg;
	struct {
		char *items;
		size_t n;
	} *out = dst;
	size_t n = json_array_size(value), max = a->max ? a->max : JSON_ARRAY_MAX;
	char *items;

	if (!json_is_array(value))
		return wrong_type(value, "an array", err);
	if (n > max)
		return err_set(err, EPROTO, "has %zu elements, at most %zu are taken", n, max);
	items = calloc(n ? n : 1, a->size);
	if (!items)
		return err_set(err, ENOMEM, "allocate %zu elements", n);
	free_items(a, out->items, out->n);
	out->items = items;
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(value, i);
		char *e = items + i * a->size;

		if ((a->fields ? json_decode(v, a->fields, e, err) : a->decode(v, e, f, err)) < 0)
			return err_wrap(err, "[%zu]", i);
	}
	return 0;
}

int json_decode_strv(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	_cleanup_(strv_freep) char **v = NULL;
	size_t n = json_array_size(value);

	if (!json_is_array(value))
		return wrong_type(value, "an array of strings", err);
	if (n > JSON_ARRAY_MAX)
		return err_set(err, EPROTO, "has %zu elements, at most %d are taken", n,
			       JSON_ARRAY_MAX);
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return err_set(err, ENOMEM, "allocate %zu strings", n);
	for (size_t i = 0; i < n; i++)
		if (json_decode_string(json_array_get(value, i), &v[i], f, err) < 0)
			return err_wrap(err, "[%zu]", i);
	(void) strv_free(*(char ***) dst);
	*(char ***) dst = TAKE_PTR(v);
	return 0;
}

void json_pairs_free(struct json_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

int json_decode_pairs(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct {
		struct json_pair *pairs;
		size_t n;
	} *out = dst, fresh = {};
	const char *key;
	json_t *v;

	if (!json_is_object(value))
		return wrong_type(value, "an object of strings", err);
	fresh.pairs = calloc(json_object_size(value) + 1, sizeof(*fresh.pairs));
	if (!fresh.pairs)
		return err_set(err, ENOMEM, "allocate pairs");
	json_object_foreach((json_t *) value, key, v) {
		struct json_pair *p = &fresh.pairs[fresh.n++];

		p->key = strdup(key);
		if (!p->key || json_decode_string(v, &p->value, f, err) < 0) {
			int k = p->key ? err_wrap(err, "%s", key)
				       : err_set(err, ENOMEM, "copy key");

			json_pairs_free(fresh.pairs, fresh.n);
			return k;
		}
	}
	json_pairs_free(out->pairs, out->n);
	out->pairs = fresh.pairs;
	out->n = fresh.n;
	return 0;
}

int json_parse(const char *data, size_t len, json_t **ret, struct err *err)
{
	json_error_t where;
	json_t *v = json_loadb(data, len, JSON_REJECT_DUPLICATES, &where);

	if (!v)
		return err_set(err, EPROTO, "JSON: %s at byte %d", where.text, where.position);
	*ret = v;
	return 0;
}

const char *json_get_string(const json_t *obj, const char *key, const char *fallback)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s ? s : fallback;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

char *json_to_text(const json_t *value)
{
	/* 16 digits: epoch seconds come out as 1746802078.031, not as 1746802078.0309999 */
	return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));
}
