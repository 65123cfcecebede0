/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/gpu.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/store.h"
#include "controlplane/taskdef_rules.h"

enum { GPUS_MAX = 100 };

static json_t *ids_of(const json_t *resources)
{
	return json_object_get(named_element(resources, "GPU"), "stringSetValue");
}

int gpu_register(const json_t *request, json_t *resources, struct api_error *e)
{
	const json_t *devices = NULL, *d;
	json_t *ids;
	size_t i;

	if (param_list(request, "platformDevices", JSON_OBJECT, GPUS_MAX, &devices, e) < 0)
		return -1;
	if (json_array_size(devices) == 0)
		return 0;
	ids = json_array();
	json_array_foreach(devices, i, d)
		if (strcmp(json_get_string(d, "type", ""), "GPU") == 0)
			(void) json_array_append_new(ids,
						     json_string(json_get_string(d, "id", "")));
	if (json_array_append_new(resources, json_pack("{s:s, s:s, s:f, s:I, s:i, s:o}", "name",
						       "GPU", "type", "STRINGSET", "doubleValue",
						       0.0, "longValue", (json_int_t) 0,
						       "integerValue", 0, "stringSetValue", ids)) <
	    0)
		return answer_with(NULL, NULL, e);
	return 0;
}

static void take_id(json_t *ids, const char *id)
{
	for (size_t i = json_array_size(ids); i-- > 0;)
		if (strcmp(json_string_value(json_array_get(ids, i)), id) == 0)
			(void) json_array_remove(ids, i);
}

static int on_task(json_t *task, void *userdata, struct err *err)
{
	const json_t *c, *id;
	size_t i, j;

	(void) err;
	json_array_foreach(json_object_get(task, "containers"), i, c)
		json_array_foreach(json_object_get(c, "gpuIds"), j, id)
			take_id(userdata, json_string_value(id));
	return 0;
}

int gpu_take_used(struct controlplane *cp, const char *instance_arn, json_t *resources,
		  struct err *err)
{
	json_t *ids = ids_of(resources);

	return json_array_size(ids) == 0
		       ? 0
		       : store_tasks_of_instance(cp->store, instance_arn, false, on_task, ids, err);
}

int64_t gpu_wanted(const json_t *definition, const json_t *override)
{
	const json_t *list = json_object_get(override, "resourceRequirements"), *r;
	int64_t n = 0;
	size_t i;

	if (json_array_size(list) == 0)
		list = json_object_get(definition, "resourceRequirements");
	json_array_foreach(list, i, r)
		if (strcmp(json_get_string(r, "type", ""), "GPU") == 0)
			n += strtol(json_get_string(r, "value", "0"), NULL, 10);
	return n;
}

int64_t gpu_left(const json_t *doc)
{
	return (int64_t) json_array_size(ids_of(json_object_get(doc, "remainingResources")));
}

json_t *gpu_give(json_t *doc, int64_t n)
{
	json_t *ids = ids_of(json_object_get(doc, "remainingResources")), *given = json_array();

	for (; given && n > 0 && json_array_size(ids) > 0; n--) {
		(void) json_array_append(given, json_array_get(ids, 0));
		(void) json_array_remove(ids, 0);
	}
	return given;
}

json_t *gpu_associations(const json_t *task)
{
	json_t *list = json_array();
	const json_t *c, *id;
	size_t i, j;

	json_array_foreach(json_object_get(task, "containers"), i, c)
		json_array_foreach(json_object_get(c, "gpuIds"), j, id)
			(void) json_array_append_new(
				list,
				json_pack("{s:[s], s:{s:s, s:s}, s:O, s:s}", "containers",
					  json_get_string(c, "name", ""), "content", "encoding",
					  "base64", "value", "", "name", id, "type", "gpu"));
	return list;
}

int gpu_check(const json_t *td, json_t *container, struct api_error *e)
{
	const json_t *r;
	size_t i;

	(void) td;
	json_array_foreach(json_object_get(container, "resourceRequirements"), i, r) {
		const char *type = json_get_string(r, "type", "");
		const char *value = json_get_string(r, "value", "");

		if (strcmp(type, "GPU") != 0 && strcmp(type, "InferenceAccelerator") != 0)
			return fail_container(e, container,
					      "Unknown type '%.64s' of 'resourceRequirements'.",
					      type);
		if (strcmp(type, "GPU") == 0 &&
		    (!*value || strlen(value) > 3 || strspn(value, "0123456789") != strlen(value) ||
		     strtol(value, NULL, 10) < 1 || strtol(value, NULL, 10) > GPUS_MAX))
			return fail_container(e, container,
					      "The number of GPUs is '%.64s', not one of 1 to %d.",
					      value, GPUS_MAX);
	}
	return 0;
}
