/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/instance_expr.h"

#include <inttypes.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/expr.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

struct subject {
	struct controlplane *cp;
	const json_t *doc;
	json_t *groups; /* owned: values of task:group; NULL: not looked up yet */
	char number[32];
};

const char *instance_attribute(const json_t *doc, const char *name)
{
	const json_t *a = named_element(json_object_get(doc, "attributes"), name);

	return a ? json_get_string(a, "value", "") : NULL;
}

static int on_task(json_t *task, void *userdata, struct err *err)
{
	(void) err;
	(void) json_array_append(userdata, json_object_get(task, "group"));
	return 0;
}

static const char *group_of(struct subject *s, size_t n)
{
	if (!s->groups) {
		s->groups = json_array();
		(void) store_tasks_of_instance(s->cp->store,
					       json_get_string(s->doc, "containerInstanceArn", ""),
					       false, on_task, s->groups, NULL);
	}
	return json_string_value(json_array_get(s->groups, n));
}

static const char *text_of(struct subject *s, const char *key)
{
	const json_t *v = json_object_get(s->doc, key);

	if (!v)
		v = json_object_get(json_object_get(s->doc, "versionInfo"), key);
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "true" : "false";
	if (!json_is_number(v))
		return NULL;
	(void) snprintf(s->number, sizeof(s->number), "%.13g", json_number_value(v));
	return s->number;
}

static const char *value_of(const char *subject, size_t n, void *userdata)
{
	static const char prefix[] = "attribute:";
	struct subject *s = userdata;

	if (strcmp(subject, "task:group") == 0)
		return group_of(s, n);
	if (n > 0)
		return NULL;
	if (strncmp(subject, prefix, sizeof(prefix) - 1) == 0)
		return instance_attribute(s->doc, subject + sizeof(prefix) - 1);
	return text_of(s, subject);
}

int instance_expr_match(struct controlplane *cp, const json_t *doc, const char *text, bool *ret,
			struct err *err)
{
	struct subject s = { .cp = cp, .doc = doc };
	int k = expr_match(text, value_of, &s, ret, err);

	json_decref(s.groups);
	return k;
}
