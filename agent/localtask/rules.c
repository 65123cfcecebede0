/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/localtask/rules.h"

#include <errno.h>
#include <string.h>

#include "agent/engine/payload.h"
#include "common/macro.h"

int rules_put(json_t *to, const char *key, json_t *v, struct err *err)
{
	return json_object_set_new(to, key, v) < 0 ? err_set(err, ENOMEM, "allocate %s", key) : 0;
}

static const struct rule *find_rule(const struct rule *rules, const char *key)
{
	for (; rules->key; rules++)
		if (strcmp(rules->key, key) == 0)
			return rules;
	return NULL;
}

static bool all_strings(const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (!json_is_string(v))
			return false;
	return true;
}

static bool all_members_are_strings(const json_t *obj)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *) obj, key, v)
		if (!json_is_string(v))
			return false;
	return true;
}

static bool all_objects(const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (!json_is_object(v))
			return false;
	return true;
}

static int check_int(const struct rule *r, const json_t *v, struct err *err)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return err_set(err, EPROTO, "is no whole number");
	if ((r->min || r->max) && (n < r->min || n > r->max))
		return err_set(err, EPROTO, "%lld is outside %lld..%lld", (long long) n,
			       (long long) r->min, (long long) r->max);
	return 0;
}

static int check_type(const struct rule *r, const json_t *v, struct err *err)
{
	switch (r->type) {
	case RULE_ANY:
		return 0;
	case RULE_STRING:
		return json_is_string(v) ? 0 : err_set(err, EPROTO, "is no string");
	case RULE_INT:
		return check_int(r, v, err);
	case RULE_BOOL:
		return json_is_boolean(v) ? 0 : err_set(err, EPROTO, "is neither true nor false");
	case RULE_STRINGS:
		return json_is_array(v) && all_strings(v)
			       ? 0
			       : err_set(err, EPROTO, "is no array of strings");
	case RULE_STRING_MAP:
		return json_is_object(v) && all_members_are_strings(v)
			       ? 0
			       : err_set(err, EPROTO, "is no object of strings");
	case RULE_OBJECT:
		return json_is_object(v) ? 0 : err_set(err, EPROTO, "is no object");
	case RULE_OBJECTS:
		return json_is_array(v) && all_objects(v)
			       ? 0
			       : err_set(err, EPROTO, "is no array of objects");
	}
	return 0;
}

static int apply_inner(const struct rule *r, const json_t *v, const struct making *m,
		       struct err *err)
{
	const json_t *one;
	size_t i;

	if (!r->inner)
		return 0;
	if (r->type == RULE_OBJECT)
		return rules_apply(r->inner, v, m, err);
	json_array_foreach(v, i, one)
		if (rules_apply(r->inner, one, m, err) < 0)
			return err_wrap(err, "[%zu]", i);
	return 0;
}

static int note(const struct rule *r, const struct making *m, struct err *err)
{
	json_t *text = json_sprintf("%s: %s", r->key, r->note);

	return json_array_append_new(m->notes, text) < 0 ? err_set(err, ENOMEM, "allocate note")
							 : 0;
}

static json_t *place_of(const struct rule *r, const struct making *m)
{
	return r->place == RULE_TASK        ? m->task
	       : r->place == RULE_CONTAINER ? m->container
	       : r->place == RULE_CONFIG    ? m->config
	       : r->place == RULE_HOST      ? m->host
					    : NULL;
}

static int apply(const struct rule *r, json_t *v, const struct making *m, struct err *err)
{
	int k;

	if (r->refused)
		return payload_value_is_empty(v) ? 0 : err_set(err, ENOTSUP, "%s", r->refused);
	if (r->note)
		return payload_value_is_empty(v) ? 0 : note(r, m, err);
	k = check_type(r, v, err);
	if (k == 0)
		k = apply_inner(r, v, m, err);
	if (k == 0 && r->make)
		k = r->make(v, m, err);
	else if (k == 0 && place_of(r, m))
		k = rules_put(place_of(r, m), r->to ? r->to : r->key, json_incref(v), err);
	return k;
}

static bool is_absent(const json_t *v)
{
	return !v || json_is_null(v);
}

int rules_apply(const struct rule *rules, const json_t *obj, const struct making *m,
		struct err *err)
{
	const char *key;
	json_t *v;

	for (const struct rule *r = rules; r->key; r++)
		if (r->required && is_absent(json_object_get(obj, r->key)))
			return err_set(err, EPROTO, "%s: missing", r->key);
	json_object_foreach((json_t *) obj, key, v) {
		const struct rule *r = find_rule(rules, key);

		if (json_is_null(v))
			continue;
		if (!r)
			return err_set(err, EPROTO, "%.64s: there is no such parameter", key);
		if (apply(r, v, m, err) < 0)
			return err_wrap(err, "%s", key);
	}
	return 0;
}
