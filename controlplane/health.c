/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/health.h"

#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

/* UNHEALTHY when an essential container with a check is, HEALTHY when all of them are. */
static const char *health_of_task(const json_t *task, const json_t *definition)
{
	const json_t *containers = json_object_get(task, "containers"), *def;
	bool checked = false, unknown = false;
	size_t i;

	json_array_foreach(json_object_get(definition, "containerDefinitions"), i, def) {
		const json_t *c = named_element(containers, json_get_string(def, "name", ""));
		const char *status = json_get_string(c, "healthStatus", "UNKNOWN");

		if (!json_is_object(json_object_get(def, "healthCheck")) ||
		    json_is_false(json_object_get(def, "essential")))
			continue;
		checked = true;
		if (strcmp(status, "UNHEALTHY") == 0)
			return "UNHEALTHY";
		unknown |= strcmp(status, "HEALTHY") != 0;
	}
	return checked && !unknown ? "HEALTHY" : "UNKNOWN";
}

static bool set_if_changed(json_t *object, const char *key, const char *value, bool *changed)
{
	if (strcmp(json_get_string(object, key, ""), value) == 0)
		return true;
	*changed = true;
	return json_object_set_new(object, key, json_string(value)) == 0;
}

static int apply_task(struct controlplane *cp, const char *instance_arn, const json_t *report,
		      struct err *err)
{
	json_auto_t *task = NULL, *definition = NULL;
	const json_t *c;
	bool changed = false, ok = true;
	size_t i;
	int k = store_task_get(cp->store, json_get_string(report, "taskArn", ""), &task, err);

	if (k != 0 || strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0 ||
	    strcmp(json_get_string(task, "containerInstanceArn", ""), instance_arn) != 0)
		return k < 0 ? k : 0;
	json_array_foreach(json_object_get(report, "containers"), i, c) {
		json_t *container = named_element(json_object_get(task, "containers"),
						  json_get_string(c, "containerName", ""));

		ok = ok &&
		     (!container ||
		      set_if_changed(container, "healthStatus",
				     json_get_string(c, "healthStatus", "UNKNOWN"), &changed));
	}
	if (ok && !changed)
		return 0;
	k = store_taskdef_get_arn(cp->store, json_get_string(task, "taskDefinitionArn", ""),
				  &definition, err);
	if (k < 0)
		return k;
	if (!ok ||
	    !set_if_changed(task, "healthStatus", health_of_task(task, definition), &changed))
		return err_set(err, ENOMEM, "set the health of a task");
	cp_wake_services(cp);
	return store_task_put(cp->store, task, err);
}

int health_apply(struct controlplane *cp, const char *instance_arn, const json_t *message,
		 struct err *err)
{
	const json_t *report;
	size_t i;
	int k = cp_begin(cp, err);

	if (k < 0)
		return k;
	json_array_foreach(json_object_get(message, "tasks"), i, report) {
		k = apply_task(cp, instance_arn, report, err);
		if (k < 0)
			break;
	}
	if (cp_end(cp, k >= 0, err) < 0)
		return -err->code;
	return k < 0 ? k : 0;
}
