/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 16, PATH_BYTES = 256 };

/* Where we are: "a.b[2].c", cut when it gets too long. */
struct path {
	char text[PATH_BYTES];
	size_t len;
};

static size_t push(struct path *p, const char *key)
{
	size_t before = p->len;
	int n = snprintf(p->text + p->len, sizeof(p->text) - p->len, "%s%s", before ? "." : "",
			 key);

	p->len = n < 0 ? before : MIN(before + (size_t) n, sizeof(p->text) - 1);
	return before;
}

static size_t push_index(struct path *p, size_t i)
{
	size_t before = p->len;
	int n = snprintf(p->text + p->len, sizeof(p->text) - p->len, "[%zu]", i);

	p->len = n < 0 ? before : MIN(before + (size_t) n, sizeof(p->text) - 1);
	return before;
}

static void pop(struct path *p, size_t before)
{
	p->len = before;
	p->text[before] = '\0';
}

static int check_fields(const json_t *object, const struct schema *fields, struct path *p,
			int depth, struct err *err);

static int check_string(const json_t *v, const struct schema *f, const char *where, struct err *err)
{
	size_t len = json_string_length(v);

	if (!json_is_string(v))
		return err_set(err, EPROTO, "%s: must be a string", where);
	if (strlen(json_string_value(v)) != len)
		return err_set(err, EPROTO, "%s: holds a NUL character", where);
	if ((f->min || f->max) && ((int64_t) len < f->min || (int64_t) len > f->max))
		return err_set(err, EPROTO, "%s: length %zu is outside %" PRId64 "..%" PRId64,
			       where, len, f->min, f->max);
	return 0;
}

static int check_enum(const json_t *v, const struct schema *f, const char *where, struct err *err)
{
	const char *text = json_string_value(v);

	for (const char *const *c = f->choices; text && *c; c++)
		if (strcmp(*c, text) == 0)
			return 0;
	if (!text)
		return err_set(err, EPROTO, "%s: must be a string", where);
	return err_set(err, EPROTO, "%s: '%.64s' is none of the values known", where, text);
}

static int check_number(const json_t *v, const struct schema *f, const char *where, struct err *err)
{
	double value = json_number_value(v);

	if (f->kind == SCHEMA_INTEGER && !json_is_integer(v))
		return err_set(err, EPROTO, "%s: must be an integer", where);
	if (!json_is_number(v) || !isfinite(value))
		return err_set(err, EPROTO, "%s: must be a number", where);
	if ((f->min || f->max) && (value < (double) f->min || value > (double) f->max))
		return err_set(err, EPROTO, "%s: %.15g is outside %" PRId64 "..%" PRId64, where,
			       value, f->min, f->max);
	return 0;
}

static int check_list(const json_t *v, const struct schema *f, struct path *p, int depth,
		      struct err *err)
{
	const json_t *element;
	size_t i;
	int k = 0;

	if (!json_is_array(v))
		return err_set(err, EPROTO, "%s: must be a list", p->text);
	if (f->max && (int64_t) json_array_size(v) > f->max)
		return err_set(err, EPROTO, "%s: has %zu elements, more than %" PRId64, p->text,
			       json_array_size(v), f->max);
	json_array_foreach(v, i, element) {
		size_t before = push_index(p, i);

		if (f->fields)
			k = check_fields(element, f->fields, p, depth + 1, err);
		else if (!json_is_string(element))
			k = err_set(err, EPROTO, "%s: must be a string", p->text);
		if (k < 0)
			return k;
		pop(p, before);
	}
	return 0;
}

static int check_value(const json_t *v, const struct schema *f, struct path *p, int depth,
		       struct err *err)
{
	switch (f->kind) {
	case SCHEMA_STRING:
		return check_string(v, f, p->text, err);
	case SCHEMA_ENUM:
		return check_enum(v, f, p->text, err);
	case SCHEMA_BOOL:
		return json_is_boolean(v)
			       ? 0
			       : err_set(err, EPROTO, "%s: must be true or false", p->text);
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
		return check_number(v, f, p->text, err);
	case SCHEMA_OBJECT:
		return check_fields(v, f->fields, p, depth + 1, err);
	case SCHEMA_LIST:
		return check_list(v, f, p, depth, err);
	case SCHEMA_ANY:
		break;
	}
	return 0;
}

static int check_fields(const json_t *object, const struct schema *fields, struct path *p,
			int depth, struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, EPROTO, "%s%smust be an object", p->text, p->len ? ": " : "");
	if (depth > MAX_DEPTH)
		return err_set(err, EPROTO, "%s: nested too deeply", p->text);
	for (const struct schema *f = fields; f->key; f++) {
		const json_t *v = json_object_get(object, f->key);
		size_t before = push(p, f->key);
		int k = 0;

		if (v && !json_is_null(v))
			k = check_value(v, f, p, depth, err);
		else if (f->required)
			k = err_set(err, EPROTO, "%s: missing", p->text);
		if (k < 0)
			return k;
		pop(p, before);
	}
	return 0;
}

int schema_check(const json_t *object, const struct schema *fields, struct err *err)
{
	struct path p = {};

	return check_fields(object, fields, &p, 0, err);
}
