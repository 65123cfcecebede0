/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/param.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"

static const json_t *member(const json_t *in, const char *key)
{
	const json_t *v = json_object_get(in, key);

	return json_is_null(v) ? NULL : v;
}

static int wrong_type(const char *key, const char *wanted, struct api_error *e)
{
	return api_fail(e, "SerializationException", "%s must be %s", key, wanted);
}

int param_string(const json_t *in, const char *key, const char **ret, struct api_error *e)
{
	const json_t *v = member(in, key);

	if (v && !json_is_string(v))
		return wrong_type(key, "a string", e);
	if (v && json_string_length(v) > PARAM_STRING_MAX)
		return api_fail(e, "InvalidParameterException", "%s is longer than %d bytes", key,
				PARAM_STRING_MAX);
	*ret = json_string_value(v);
	return 0;
}

int param_required(const json_t *in, const char *key, const char **ret, struct api_error *e)
{
	if (param_string(in, key, ret, e) < 0)
		return -1;
	if (!*ret || !**ret)
		return api_fail(e, "InvalidParameterException", "%s can not be blank.", key);
	return 0;
}

int param_choice(const json_t *in, const char *key, const char *const *choices,
		 const char *fallback, const char **ret, struct api_error *e)
{
	const char *v = NULL;

	if (param_string(in, key, &v, e) < 0)
		return -1;
	if (!v) {
		*ret = fallback;
		return 0;
	}
	for (size_t i = 0; choices[i]; i++)
		if (strcmp(choices[i], v) == 0) {
			*ret = choices[i];
			return 0;
		}
	return api_fail(e, "InvalidParameterException", "Invalid value for %s: '%.64s'", key, v);
}

int param_int(const json_t *in, const char *key, int min, int max, int fallback, int *ret,
	      struct api_error *e)
{
	const json_t *v = member(in, key);

	if (v && !json_is_integer(v))
		return wrong_type(key, "an integer", e);
	if (v && (json_integer_value(v) < min || json_integer_value(v) > max))
		return api_fail(e, "InvalidParameterException", "%s must be between %d and %d.",
				key, min, max);
	*ret = v ? (int) json_integer_value(v) : fallback;
	return 0;
}

int param_bool(const json_t *in, const char *key, bool *ret, struct api_error *e)
{
	const json_t *v = member(in, key);

	if (v && !json_is_boolean(v))
		return wrong_type(key, "true or false", e);
	*ret = json_is_true(v);
	return 0;
}

int param_list(const json_t *in, const char *key, json_type type, size_t max, const json_t **ret,
	       struct api_error *e)
{
	const json_t *v = member(in, key);
	const json_t *item;
	size_t i;

	if (v && !json_is_array(v))
		return wrong_type(key, "a list", e);
	if (json_array_size(v) > max)
		return api_fail(e, "InvalidParameterException", "%s has more than %zu elements.",
				key, max);
	json_array_foreach(v, i, item)
		if (json_typeof(item) != type)
			return wrong_type(
				key,
				type == JSON_STRING ? "a list of strings" : "a list of objects", e);
	*ret = v;
	return 0;
}

int param_object(const json_t *in, const char *key, const json_t **ret, struct api_error *e)
{
	const json_t *v = member(in, key);

	if (v && !json_is_object(v))
		return wrong_type(key, "an object", e);
	*ret = v;
	return 0;
}

bool param_includes(const json_t *in, const char *key, const char *word)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(in, key), i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), word) == 0)
			return true;
	return false;
}

/* --- pages of names -------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A token is the hexadecimal of the last item shown. Returns NULL when it is not one of ours. */
static char *token_decode(const char *token)
{
	size_t n = strlen(token) / 2;
	char *text = calloc(n + 1, 1);

	if (!text || n == 0 || strlen(token) % 2) {
		free(text);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(token[2 * i]), lo = hex_digit(token[2 * i + 1]);

		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
			free(text);
			return NULL;
		}
		text[i] = (char) (hi << 4 | lo);
	}
	return text;
}

static json_t *token_encode(const char *last)
{
	size_t n = strlen(last);
	_cleanup_(freep) char *hex = malloc(2 * n + 1);

	return hex ? json_string(hex_encode((const uint8_t *) last, n, hex)) : NULL;
}

int page_of_request(const json_t *in, struct page *ret, struct api_error *e)
{
	struct page p = {};
	const char *token = NULL;

	if (param_int(in, "maxResults", 1, PAGE_MAX, PAGE_MAX, &p.limit, e) < 0 ||
	    param_string(in, "nextToken", &token, e) < 0)
		return -1;
	if (token && *token) {
		p.after = token_decode(token);
		if (!p.after)
			return api_fail(e, "InvalidParameterException", "Invalid token.");
	}
	*ret = p;
	return 0;
}

void page_done(struct page *p)
{
	free(p->after);
}

int page_answer(const struct page *p, const char *key, json_t *list, json_t **out,
		struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *token = NULL;
	size_t limit = (size_t) p->limit;

	if (json_array_size(list) > limit) {
		while (json_array_size(list) > limit)
			(void) json_array_remove(list, json_array_size(list) - 1);
		token = token_encode(json_string_value(json_array_get(list, limit - 1)));
		if (!token) {
			json_decref(list);
			return answer_with(NULL, out, e);
		}
	}
	return answer_with(json_pack("{s:o, s:O*}", key, list, "nextToken", token), out, e);
}

/* --- answers --------------------------------------------------------------------------------- */

int answer_with(json_t *answer, json_t **out, struct api_error *e)
{
	if (!answer) {
		_cleanup_(err_done) struct err err = {};

		(void) err_set(&err, ENOMEM, "out of memory while answering");
		return api_fail_server(e, &err);
	}
	*out = answer;
	return 0;
}

int failure_add(json_t *failures, const char *arn, const char *reason, const char *detail,
		struct api_error *e)
{
	json_t *f = json_pack("{s:s, s:s, s:s*}", "arn", arn, "reason", reason, "detail", detail);

	if (json_array_append_new(failures, f) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

json_t *named_element(const json_t *list, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *) list, i, v)
		if (strcmp(json_get_string(v, "name", ""), name) == 0)
			return v;
	return NULL;
}

json_t *json_now(void)
{
	return json_real((double) clock_real_ms() / 1000.0);
}

/* --- tags ------------------------------------------------------------------------------------ */

static int check_tag(const json_t *tag, const json_t *seen, struct api_error *e)
{
	const char *key = NULL, *value = NULL;
	const json_t *other;
	size_t i;

	if (param_required(tag, "key", &key, e) < 0 || param_string(tag, "value", &value, e) < 0)
		return -1;
	if (strlen(key) > 128 || (value && strlen(value) > 256))
		return api_fail(e, "InvalidParameterException",
				"A tag key may have 128 characters and a tag value 256.");
	if (strncasecmp(key, "aws:", 4) == 0)
		return api_fail(e, "InvalidParameterException",
				"Tag keys with the prefix 'aws:' are reserved.");
	json_array_foreach(seen, i, other)
		if (strcmp(json_get_string(other, "key", ""), key) == 0)
			return api_fail(e, "InvalidParameterException",
					"Duplicate tag keys found: '%s'", key);
	return 0;
}

int param_tags(const json_t *in, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tags = json_array();
	const json_t *list = NULL, *tag;
	size_t i;

	if (param_list(in, "tags", JSON_OBJECT, 50, &list, e) < 0)
		return -1;
	json_array_foreach(list, i, tag) {
		json_t *copy = json_pack("{s:s, s:s}", "key", json_get_string(tag, "key", ""),
					 "value", json_get_string(tag, "value", ""));

		if (check_tag(tag, tags, e) < 0) {
			json_decref(copy);
			return -1;
		}
		if (json_array_append_new(tags, copy) < 0)
			return answer_with(NULL, ret, e);
	}
	return answer_with(TAKE_PTR(tags), ret, e);
}

void tags_hide(const json_t *in, json_t *doc)
{
	if (!param_includes(in, "include", "TAGS"))
		(void) json_object_set_new(doc, "tags", json_array());
}
