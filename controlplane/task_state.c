/* SPDX-License-Identifier: Apache-2.0 */
/* What agents report, merged into the task: the state machine and the facts of containers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/eni.h"
#include "controlplane/param.h"
#include "controlplane/service.h"
#include "controlplane/store.h"
#include "controlplane/task.h"
#include "controlplane/taskdef.h"

enum { BINDINGS_MAX = 200, RANGE_PORTS_MAX = 1000 };

static const char *const names[_TASK_STATE_MAX] = {
	[TASK_PROVISIONING] = "PROVISIONING",     [TASK_PENDING] = "PENDING",
	[TASK_ACTIVATING] = "ACTIVATING",         [TASK_RUNNING] = "RUNNING",
	[TASK_DEACTIVATING] = "DEACTIVATING",     [TASK_STOPPING] = "STOPPING",
	[TASK_DEPROVISIONING] = "DEPROVISIONING", [TASK_STOPPED] = "STOPPED",
};

const char *task_state_name(enum task_state s)
{
	return s >= 0 && s < _TASK_STATE_MAX ? names[s] : "";
}

enum task_state task_state_parse(const char *name)
{
	for (int i = 0; i < _TASK_STATE_MAX; i++)
		if (strcmp(names[i], name) == 0)
			return (enum task_state) i;
	return TASK_STATE_INVALID;
}

enum task_state task_state_next(enum task_state from, enum task_state reported)
{
	if (reported != TASK_RUNNING && reported != TASK_STOPPED)
		reported = TASK_PENDING;
	return MAX(from, reported);
}

static enum task_state state_of(const json_t *obj)
{
	return task_state_parse(json_get_string(obj, "lastStatus", ""));
}

static void set_state(json_t *obj, enum task_state s)
{
	(void) json_object_set_new(obj, "lastStatus", json_string(task_state_name(s)));
}

/* Sets a time once: later reports of the same event do not move it. */
static void set_time_once(json_t *task, const char *key, const json_t *value)
{
	if (json_object_get(task, key))
		return;
	if (json_is_number(value))
		(void) json_object_set_new(task, key, json_real(json_number_value(value)));
	else
		(void) json_object_set_new(task, key, json_now());
}

/* --- containers ------------------------------------------------------------------------------ */

static json_t *container_of_task(const json_t *task, const char *name)
{
	return named_element(json_object_get(task, "containers"), name);
}

static int hold(struct controlplane *cp, const json_t *task, const char *protocol, long first,
		long last, struct err *err)
{
	int k = 0;

	for (long port = first; k == 0 && port <= last && port - first < RANGE_PORTS_MAX; port++)
		k = store_task_hold_port(cp->store, json_get_string(task, "taskArn", ""),
					 json_get_string(task, "containerInstanceArn", ""),
					 protocol, (int) port, err);
	return k;
}

static int hold_binding(struct controlplane *cp, const json_t *task, const json_t *b,
			struct err *err)
{
	const char *protocol =
		strcmp(json_get_string(b, "protocol", "tcp"), "udp") == 0 ? "udp" : "tcp";
	const char *range = json_get_string(b, "hostPortRange", NULL);
	int64_t port = json_get_int(b, "hostPort", 0);
	long first = 0, last = 0;

	if (range) {
		char *end = NULL;

		first = strtol(range, &end, 10);
		last = *end == '-' ? strtol(end + 1, NULL, 10) : 0;
	} else {
		first = last = port >= 1 && port <= 65535 ? (long) port : 0;
	}
	if (first < 1 || last > 65535)
		return 0;
	return hold(cp, task, protocol, first, last, err);
}

/* Keeps what the API shows of each binding. */
static json_t *copy_bindings(const json_t *list)
{
	static const char *const keys[] = { "bindIP",   "containerPort",      "hostPort",
					    "protocol", "containerPortRange", "hostPortRange" };
	json_t *out = json_array();
	const json_t *b;
	size_t i;

	json_array_foreach(list, i, b) {
		json_t *copy = json_object();

		for (size_t j = 0; j < ARRAY_SIZE(keys); j++) {
			json_t *v = json_object_get(b, keys[j]);

			if (v && !json_is_null(v))
				(void) json_object_set(copy, keys[j], v);
		}
		(void) json_array_append_new(out, copy);
	}
	return out;
}

static int merge_bindings(struct controlplane *cp, const json_t *task, json_t *container,
			  const json_t *change, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const json_t *list = NULL, *b;
	size_t i;

	if (param_list(change, "networkBindings", JSON_OBJECT, BINDINGS_MAX, &list, e) < 0)
		return -1;
	if (!list)
		return 0;
	(void) json_object_set_new(container, "networkBindings", copy_bindings(list));
	json_array_foreach(list, i, b)
		if (state_of(task) != TASK_STOPPED && hold_binding(cp, task, b, &err) < 0)
			return api_fail_server(e, &err);
	return 0;
}

static int merge_text(json_t *container, const json_t *change, const char *key, struct api_error *e)
{
	const char *v = NULL;

	if (param_string(change, key, &v, e) < 0)
		return -1;
	if (v && *v && json_object_set(container, key, json_object_get(change, key)) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

static int merge_container(struct controlplane *cp, json_t *task, const json_t *change,
			   struct api_error *e)
{
	static const char *const texts[] = { "runtimeId", "imageDigest", "reason" };
	const json_t *code = json_object_get(change, "exitCode");
	const char *name = NULL, *status = NULL;
	enum task_state was, now;
	json_t *c;

	if (param_required(change, "containerName", &name, e) < 0 ||
	    param_string(change, "status", &status, e) < 0)
		return -1;
	c = container_of_task(task, name);
	if (!c)
		return api_fail(e, "InvalidParameterException",
				"The task has no container named '%.255s'.", name);
	was = state_of(c);
	now = status ? task_state_next(was, task_state_parse(status)) : was;
	if (was == TASK_STOPPED && status && strcmp(status, "STOPPED") != 0)
		return 0; /* a late report of how it was before */
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (merge_text(c, change, texts[i], e) < 0)
			return -1;
	if (json_is_integer(code))
		(void) json_object_set(c, "exitCode", (json_t *) code);
	if (merge_bindings(cp, task, c, change, e) < 0)
		return -1;
	if (now >= TASK_RUNNING && !json_object_get(c, "networkBindings"))
		(void) json_object_set_new(c, "networkBindings", json_array());
	set_state(c, now);
	return 0;
}

static int merge_managed_agents(json_t *task, const json_t *in, struct api_error *e)
{
	const json_t *list = NULL, *change;
	size_t i;

	if (param_list(in, "managedAgents", JSON_OBJECT, 100, &list, e) < 0)
		return -1;
	json_array_foreach(list, i, change) {
		json_t *c = container_of_task(task, json_get_string(change, "containerName", ""));
		json_t *agent = json_pack("{s:s, s:s, s:s*}", "name",
					  json_get_string(change, "managedAgentName", ""),
					  "lastStatus", json_get_string(change, "status", ""),
					  "reason", json_get_string(change, "reason", NULL));

		if (c)
			(void) json_object_set_new(c, "managedAgents", json_pack("[O]", agent));
		json_decref(agent);
	}
	return 0;
}

/* --- the end -----------------------------------------------------------------------------------
 */

/* Did an essential container run and end? Needs the definition; without it any container counts. */
static bool essential_exited(struct controlplane *cp, const json_t *task)
{
	_cleanup_(json_decrefp) json_t *td = NULL;
	const json_t *c;
	size_t i;

	(void) store_taskdef_get_arn(cp->store, json_get_string(task, "taskDefinitionArn", ""), &td,
				     NULL);
	json_array_foreach(json_object_get(task, "containers"), i, c) {
		const json_t *def = taskdef_container(td, json_get_string(c, "name", ""));

		if (json_object_get(c, "exitCode") &&
		    (!def || !json_is_false(json_object_get(def, "essential"))))
			return true;
	}
	return false;
}

/* Who or what stopped it; what is known already (a user's StopTask) stays. */
static void settle_stop(struct controlplane *cp, json_t *task, const char *reason)
{
	bool started = json_object_get(task, "startedAt") != NULL;
	bool exited = started || essential_exited(cp, task);

	if (!json_object_get(task, "stopCode"))
		(void) json_object_set_new(task, "stopCode",
					   json_string(exited && !(*reason && !started)
							       ? "EssentialContainerExited"
							       : "TaskFailedToStart"));
	if (json_object_get(task, "stoppedReason"))
		return;
	if (*reason)
		(void) json_object_set_new(task, "stoppedReason", json_string(reason));
	else
		(void) json_object_set_new(task, "stoppedReason",
					   json_string(exited ? "Essential container in task exited"
							      : "Task failed to start"));
}

static void finish(struct controlplane *cp, json_t *task, const json_t *ended_at,
		   const char *reason)
{
	json_t *c;
	size_t i;

	settle_stop(cp, task, reason);
	eni_set_status(task, "DETACHED");
	(void) json_object_set_new(task, "desiredStatus", json_string("STOPPED"));
	set_time_once(task, "stoppingAt", NULL);
	if (json_is_number(ended_at))
		set_time_once(task, "executionStoppedAt", ended_at);
	set_time_once(task, "stoppedAt", NULL);
	json_array_foreach(json_object_get(task, "containers"), i, c)
		set_state(c, TASK_STOPPED);
	set_state(task, TASK_STOPPED);
}

/* A service hears of the end of its task, in the transaction that keeps it. */
static int note_end(struct controlplane *cp, const json_t *task, struct err *err)
{
	return state_of(task) == TASK_STOPPED ? service_task_stopped(cp, task, err) : 0;
}

static int put(struct controlplane *cp, json_t *task, struct err *err)
{
	(void) json_object_set_new(task, "version",
				   json_integer(json_get_int(task, "version", 0) + 1));
	return store_task_put(cp->store, task, err);
}

int task_give_up(struct controlplane *cp, json_t *doc, const char *reason, struct err *err)
{
	int k;

	if (!json_object_get(doc, "stopCode"))
		(void) json_object_set_new(doc, "stopCode", json_string("UserInitiated"));
	finish(cp, doc, NULL, reason);
	k = note_end(cp, doc, err);
	return k < 0 ? k : put(cp, doc, err);
}

/* --- reports -----------------------------------------------------------------------------------
 */

static int find_reported(struct controlplane *cp, const json_t *in, json_t **ret,
			 struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	char cluster[ARN_NAME_MAX];
	int k;

	if (cluster_of_request(cp, in, cluster, e) < 0 || param_required(in, "task", &ref, e) < 0)
		return -1;
	k = task_find(cp, cluster, ref, ret, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	return k > 0 ? api_fail(e, "ClientException", "The referenced task was not found.") : 0;
}

static int merge_containers(struct controlplane *cp, json_t *task, const json_t *in,
			    struct api_error *e)
{
	const json_t *list = NULL, *change;
	size_t i;

	if (param_list(in, "containers", JSON_OBJECT, 100, &list, e) < 0)
		return -1;
	json_array_foreach(list, i, change)
		if (merge_container(cp, task, change, e) < 0)
			return -1;
	return merge_managed_agents(task, in, e);
}

static void advance(struct controlplane *cp, json_t *task, const json_t *in,
		    enum task_state reported, const char *reason)
{
	enum task_state was = state_of(task), now = task_state_next(was, reported);

	if (json_is_number(json_object_get(in, "pullStartedAt")))
		set_time_once(task, "pullStartedAt", json_object_get(in, "pullStartedAt"));
	if (json_is_number(json_object_get(in, "pullStoppedAt")))
		set_time_once(task, "pullStoppedAt", json_object_get(in, "pullStoppedAt"));
	if (now == was)
		return;
	if (now == TASK_RUNNING)
		set_time_once(task, "startedAt", NULL);
	if (now == TASK_STOPPED)
		finish(cp, task, json_object_get(in, "executionStoppedAt"), reason);
	else
		set_state(task, now);
	log_info("Task '%s' is %s%s%s", json_get_string(task, "taskArn", ""), task_state_name(now),
		 now == TASK_STOPPED ? ": " : "",
		 now == TASK_STOPPED ? json_get_string(task, "stoppedReason", "") : "");
}

/* The attachment form, which says nothing else. */
static int apply_attachments(struct controlplane *cp, json_t *task, const json_t *in,
			     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *before = json_deep_copy(task);
	_cleanup_(err_done) struct err err = {};

	if (eni_merge_reported(task, json_object_get(in, "attachments"), e) < 0)
		return -1;
	if (json_equal(before, task))
		return 0;
	return put(cp, task, &err) < 0 ? api_fail_server(e, &err) : 0;
}

int task_apply_state_change(struct controlplane *cp, const json_t *in, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *before = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *status = NULL, *reason = NULL;
	enum task_state reported;

	if (find_reported(cp, in, &task, e) < 0 || param_string(in, "status", &status, e) < 0 ||
	    param_string(in, "reason", &reason, e) < 0)
		return -1;
	if (!status)
		return apply_attachments(cp, task, in, e);
	reported = task_state_parse(status);
	if (reported == TASK_STATE_INVALID)
		return api_fail(e, "InvalidParameterException", "Invalid status '%.64s'.", status);
	before = json_deep_copy(task);
	if (merge_containers(cp, task, in, e) < 0)
		return -1;
	advance(cp, task, in, reported, reason ? reason : "");
	if (json_equal(before, task))
		return 0;
	if (state_of(before) != state_of(task)) {
		cp_wake_services(cp);
		if (note_end(cp, task, &err) < 0)
			return api_fail_server(e, &err);
	}
	return put(cp, task, &err) < 0 ? api_fail_server(e, &err) : 0;
}

int task_apply_container_change(struct controlplane *cp, const json_t *in, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	_cleanup_(err_done) struct err err = {};

	if (find_reported(cp, in, &task, e) < 0 || merge_container(cp, task, in, e) < 0)
		return -1;
	return put(cp, task, &err) < 0 ? api_fail_server(e, &err) : 0;
}
