/* SPDX-License-Identifier: Apache-2.0 */
/* RunTask and StartTask: from a task definition and overrides to tasks on instances. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/controlplane.h"
#include "controlplane/eni.h"
#include "controlplane/gpu.h"
#include "controlplane/instance.h"
#include "controlplane/instance_expr.h"
#include "controlplane/param.h"
#include "controlplane/run.h"
#include "controlplane/store.h"
#include "controlplane/taskdef.h"
#include "controlplane/token.h"

/* --- making tasks ------------------------------------------------------------------------------
 */

static void set_number_text(json_t *obj, const char *key, int64_t value)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%" PRId64, value);
	(void) json_object_set_new(obj, key, json_string(text));
}

static json_t *new_container(struct controlplane *cp, const struct run *r, const json_t *def,
			     json_t *instance, const char *task_id, const char *task_arn)
{
	static const char *const sizes[] = { "memory", "memoryReservation" };
	char arn[ARN_MAX], uuid[UUID_TEXT_MAX];
	int64_t gpus;
	json_t *c = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[], s:s}", "containerArn",
			      arn_container(cp, r->cluster, task_id, random_uuid(uuid), arn),
			      "taskArn", task_arn, "name", json_get_string(def, "name", ""),
			      "image", json_get_string(def, "image", ""), "lastStatus", "PENDING",
			      "networkInterfaces", "healthStatus", "UNKNOWN");

	if (!c)
		return NULL;
	set_number_text(c, "cpu", run_effective(r, def, "cpu"));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (run_effective(r, def, sizes[i]) > 0)
			set_number_text(c, sizes[i], run_effective(r, def, sizes[i]));
	gpus = gpu_wanted(def, run_override(r, json_get_string(def, "name", "")));
	if (gpus > 0)
		(void) json_object_set_new(c, "gpuIds", gpu_give(instance, gpus));
	return c;
}

static json_t *new_containers(struct controlplane *cp, const struct run *r, json_t *instance,
			      const char *task_id, const char *task_arn)
{
	json_t *list = json_array();
	const json_t *def;
	size_t i;

	json_array_foreach(json_object_get(r->td, "containerDefinitions"), i, def)
		(void) json_array_append_new(
			list, new_container(cp, r, def, instance, task_id, task_arn));
	return list;
}

/* The overrides as shown: every container is named, overridden or not. */
static json_t *shown_overrides(const struct run *r)
{
	json_t *all = json_copy(r->overrides), *list = json_array();
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(r->td, "containerDefinitions"), i, c) {
		const char *name = json_get_string(c, "name", "");
		const json_t *o = run_override(r, name);

		(void) json_array_append_new(list, o ? json_deep_copy(o)
						     : json_pack("{s:s}", "name", name));
	}
	(void) json_object_set_new(all, "containerOverrides", list);
	return all;
}

static json_t *shown_attributes(const json_t *instance)
{
	const char *arch = instance_attribute(instance, "ecs.cpu-architecture");

	return arch ? json_pack("[{s:s, s:s}]", "name", "ecs.cpu-architecture", "value", arch)
		    : json_array();
}

static json_t *new_task(struct controlplane *cp, const struct run *r, json_t *instance)
{
	char id[ARN_ID_DIGITS + 1], arn[ARN_MAX], cluster_arn[ARN_MAX];
	json_t *task;

	(void) arn_task(cp, r->cluster, random_hex(id, ARN_ID_DIGITS), arn);
	task = json_pack(
		"{s:[], s:o, s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:s, s:b, s:s, s:s, s:s, s:s, s:o, "
		"s:s*, s:O, s:s, s:s, s:i}",
		"attachments", "attributes", shown_attributes(instance), "availabilityZone",
		instance_attribute(instance, "ecs.availability-zone") ?: "", "clusterArn",
		arn_cluster(cp, r->cluster, cluster_arn), "connectivity", "CONNECTED",
		"connectivityAt", json_now(), "containerInstanceArn",
		json_get_string(instance, "containerInstanceArn", ""), "containers",
		new_containers(cp, r, instance, id, arn), "createdAt", json_now(), "desiredStatus",
		"RUNNING", "enableExecuteCommand", r->exec, "group", r->group, "healthStatus",
		"UNKNOWN", "lastStatus", "PENDING", "launchType", "EC2", "overrides",
		shown_overrides(r), "startedBy", r->started_by, "tags", r->tags, "taskArn", arn,
		"taskDefinitionArn", json_get_string(r->td, "taskDefinitionArn", ""), "version", 1);
	if (task) {
		set_number_text(task, "cpu", r->demand.cpu);
		set_number_text(task, "memory", r->demand.memory);
	}
	return task;
}

static int hold_ports(struct controlplane *cp, const struct run *r, const json_t *task,
		      struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach(r->ports, key, v) {
		char protocol[8];
		int k;

		(void) snprintf(protocol, sizeof(protocol), "%.3s", key); /* "tcp/80" */
		k = store_task_hold_port(cp->store, json_get_string(task, "taskArn", ""),
					 json_get_string(task, "containerInstanceArn", ""),
					 protocol, (int) strtol(key + 4, NULL, 10), err);
		if (k < 0)
			return k;
	}
	return 0;
}

int run_start_on(struct controlplane *cp, const struct run *r, json_t *instance, json_t *tasks,
		 struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = new_task(cp, r, instance);
	_cleanup_(err_done) struct err err = {};

	if (!task)
		return answer_with(NULL, NULL, e);
	if (r->subnets && eni_give(cp, instance, r->subnets, task, &err) < 0)
		return api_fail_server(e, &err);
	if (store_task_add(cp->store, task, r->demand.cpu, r->demand.memory, &err) < 0 ||
	    hold_ports(cp, r, task, &err) < 0 ||
	    cp_note_task(cp, json_get_string(task, "taskArn", ""), &err) < 0)
		return api_fail_server(e, &err);
	(void) json_array_append(tasks, task);
	log_info("Task '%s' of '%s' goes to '%s'", json_get_string(task, "taskArn", ""),
		 arn_last(json_get_string(task, "taskDefinitionArn", "")),
		 arn_last(json_get_string(task, "containerInstanceArn", "")));
	return 0;
}

static int placement_error(struct err *err, struct api_error *e)
{
	if (err->code == EINVAL)
		return api_fail(e, "InvalidParameterException",
				"Invalid expression in a placement constraint: %s", err_text(err));
	return api_fail_server(e, err);
}

/* --- RunTask -----------------------------------------------------------------------------------
 */

/* Why each instance refused the task that found no place. */
static int explain_all(struct scheduler *s, const struct run *r, json_t *failures,
		       struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};

	for (size_t i = 0; i < scheduler_count(s); i++) {
		const char *reason = NULL, *arn = NULL;

		if (scheduler_explain(s, i, &r->demand, &reason, &arn, &err) < 0)
			return placement_error(&err, e);
		if (reason && failure_add(failures, arn, reason, NULL, e) < 0)
			return -1;
	}
	return 0;
}

static int place_all(struct controlplane *cp, const struct run *r, json_t *tasks, json_t *failures,
		     struct api_error *e)
{
	_cleanup_(scheduler_freep) struct scheduler *s = NULL;
	_cleanup_(err_done) struct err err = {};

	if (scheduler_new(cp, r->cluster, NULL, r->group, &s, &err) < 0)
		return api_fail_server(e, &err);
	if (scheduler_count(s) == 0)
		return api_fail(e, "InvalidParameterException",
				"No Container Instances were found in your cluster.");
	for (int i = 0; i < r->count; i++) {
		json_t *instance = NULL;

		if (scheduler_place(s, &r->demand, &instance, &err) < 0)
			return placement_error(&err, e);
		if (!instance)
			return explain_all(s, r, failures, e);
		if (run_start_on(cp, r, instance, tasks, e) < 0)
			return -1;
	}
	return 0;
}

static int run_and_answer(struct controlplane *cp, const struct run *r, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tasks = json_array(), *failures = json_array();

	if (place_all(cp, r, tasks, failures, e) < 0)
		return -1;
	return answer_with(json_pack("{s:O, s:O}", "tasks", tasks, "failures", failures), out, e);
}

static int run_task(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(run_done) struct run r = {};
	struct token token = {};

	if (run_read(cp, in, &r, e) < 0 ||
	    param_int(in, "count", 1, RUN_TASKS_MAX, 1, &r.count, e) < 0 ||
	    token_check(cp, in, "run", r.cluster, &token, out, e) < 0)
		return -1;
	if (*out)
		return 0;
	if (run_and_answer(cp, &r, out, e) < 0)
		return -1;
	return token_remember(cp, &token, *out, e);
}

/* --- StartTask ---------------------------------------------------------------------------------
 */

static int find_instances(struct controlplane *cp, const json_t *in, const struct run *r,
			  json_t *instances, json_t *failures, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const json_t *refs = NULL, *ref;
	char arn[ARN_MAX];
	size_t i;

	if (param_list(in, "containerInstances", JSON_STRING, RUN_TASKS_MAX, &refs, e) < 0)
		return -1;
	if (json_array_size(refs) == 0)
		return api_fail(e, "InvalidParameterException",
				"Container instances cannot be empty.");
	json_array_foreach(refs, i, ref) {
		const char *text = json_string_value(ref);
		json_t *doc = NULL;
		int k = instance_find(cp, r->cluster, text, &doc, &err);

		if (k < 0)
			return api_fail_server(e, &err);
		if (k == 0)
			(void) json_array_append_new(instances, doc);
		else if (failure_add(failures,
				     strlen(text) < 64 && strncmp(text, "arn:", 4) != 0
					     ? arn_instance(cp, r->cluster, text, arn)
					     : text,
				     "MISSING", NULL, e) < 0)
			return -1;
	}
	return 0;
}

static int start_task(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tasks = json_array(), *failures = json_array();
	_cleanup_(json_decrefp) json_t *instances = json_array();
	_cleanup_(scheduler_freep) struct scheduler *s = NULL;
	_cleanup_(run_done) struct run r = {};
	_cleanup_(err_done) struct err err = {};

	if (run_read(cp, in, &r, e) < 0 || find_instances(cp, in, &r, instances, failures, e) < 0)
		return -1;
	if (scheduler_new(cp, r.cluster, instances, r.group, &s, &err) < 0)
		return api_fail_server(e, &err);
	for (size_t i = 0; i < scheduler_count(s); i++) {
		const char *reason = NULL, *arn = NULL;

		if (scheduler_explain(s, i, &r.demand, &reason, &arn, &err) < 0)
			return placement_error(&err, e);
		if (reason ? failure_add(failures, arn, reason, NULL, e) < 0
			   : run_start_on(cp, &r, scheduler_take(s, i, &r.demand), tasks, e) < 0)
			return -1;
	}
	return answer_with(json_pack("{s:O, s:O}", "tasks", tasks, "failures", failures), out, e);
}

const struct operation run_operations[] = {
	{ "RunTask", run_task },
	{ "StartTask", start_task },
	{},
};
