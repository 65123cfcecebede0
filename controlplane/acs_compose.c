/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/acs_compose.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs.h"
#include "controlplane/acs_message.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/credentials.h"
#include "controlplane/eni.h"
#include "controlplane/eni_wait.h"
#include "controlplane/payload.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

void composed_done(struct composed *c)
{
	free(c->text);
	json_decref(c->tasks);
	*c = (struct composed){};
}

static bool is_stop(const json_t *task)
{
	return strcmp(json_get_string(task, "desiredStatus", ""), "STOPPED") == 0;
}

struct listing {
	json_t *starts, *stops;
	json_t *seen; /* {task ARN: true} */
	bool stops_only;
};

static int on_task(json_t *task, void *userdata, struct err *err)
{
	struct listing *l = userdata;
	const char *arn = json_get_string(task, "taskArn", "");

	if ((l->stops_only && !is_stop(task)) || json_object_get(l->seen, arn))
		return 0;
	if (json_array_append(is_stop(task) ? l->stops : l->starts, task) < 0 ||
	    json_object_set_new(l->seen, arn, json_true()) < 0)
		return err_set(err, ENOMEM, "list tasks");
	return 0;
}

int acs_list_due(struct controlplane *cp, const char *instance_arn, bool all, json_t **ret,
		 struct err *err)
{
	json_auto_t *starts = json_array(), *stops = json_array(), *seen = json_object();
	struct listing l = { starts, stops, seen, false };
	int k;

	if (!starts || !stops || !seen)
		return err_set(err, ENOMEM, "list tasks");
	k = store_tasks_of_instance(cp->store, instance_arn, true, on_task, &l, err);
	l.stops_only = true;
	if (k >= 0 && all)
		k = store_tasks_of_instance(cp->store, instance_arn, false, on_task, &l, err);
	if (k < 0)
		return k;
	if (json_array_extend(stops, starts) < 0)
		return err_set(err, ENOMEM, "list tasks");
	*ret = json_incref(stops);
	return 0;
}

/* --- payloads --------------------------------------------------------------------------------- */

static int role_credentials(struct controlplane *cp, const json_t *task, const char *role_arn,
			    enum credentials_role role, json_t **ret, struct err *err)
{
	const struct credentials_request r = {
		.instance_arn = json_get_string(task, "containerInstanceArn", ""),
		.task_arn = json_get_string(task, "taskArn", ""),
		.role_arn = role_arn,
		.role = role,
		.now_ms = clock_real_ms(),
	};

	/* A task that is to stop needs none. */
	return role_arn && !is_stop(task) ? credentials_get(cp->store, &r, ret, err) : 0;
}

static int build_task(struct controlplane *cp, const json_t *task, json_t **ret, struct err *err)
{
	json_auto_t *definition = NULL, *role = NULL, *execution = NULL, *interface = NULL;
	struct payload_source src = { .task = task,
				      .region = cp->settings.region,
				      .account = cp->settings.account };
	const char *arn = json_get_string(task, "taskDefinitionArn", "");
	int k = store_taskdef_get_arn(cp->store, arn, &definition, err);

	if (k > 0)
		return err_set(err, EPROTO, "task definition '%s' is gone", arn);
	if (k == 0)
		k = role_credentials(cp, task, payload_role_arn(task, definition), ROLE_TASK, &role,
				     err);
	if (k == 0)
		k = role_credentials(cp, task, payload_execution_role_arn(task, definition),
				     ROLE_EXECUTION, &execution, err);
	if (k == 0)
		k = store_eni_of_task(cp->store, json_get_string(task, "taskArn", ""), &interface,
				      err);
	if (k < 0)
		return k;
	src.interface = interface;
	src.definition = definition;
	src.role_credentials = role;
	src.execution_credentials = execution;
	return payload_task(&src, ret, err);
}

/* What cannot be told to an agent must not stay PENDING for ever. */
static int fail_task(struct controlplane *cp, const json_t *task, const char *why, struct err *err)
{
	_cleanup_(api_error_done) struct api_error e = {};
	const char *arn = json_get_string(task, "taskArn", "");
	json_auto_t *change = json_pack(
		"{s:s, s:s, s:s, s:o}", "cluster", json_get_string(task, "clusterArn", ""), "task",
		arn, "status", "STOPPED", "reason", json_sprintf("Cannot be placed: %s", why));
	int k = change ? cp_begin(cp, err) : err_set(err, ENOMEM, "stop a task");

	if (k < 0)
		return k;
	log_error("Stopped task '%s', which no agent can be told of: %s", arn, why);
	k = task_apply_state_change(cp, change, &e);
	if (cp_end(cp, k == 0, err) < 0)
		return -err->code;
	return k < 0 ? err_set(err, EIO, "stop task '%s': %s", arn, e.message ? e.message : "") : 0;
}

static int add_task(struct controlplane *cp, json_t *task, json_t *tasks, json_t *desired,
		    struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	json_t *built = NULL;
	int k = build_task(cp, task, &built, &why);

	if (k == -EPROTO)
		return fail_task(cp, task, err_text(&why), err);
	if (k < 0)
		return err_move(err, &why);
	if (json_array_append_new(tasks, built) < 0 ||
	    json_object_set(desired, json_get_string(task, "taskArn", ""),
			    json_object_get(task, "desiredStatus")) < 0)
		return err_set(err, ENOMEM, "build a payload");
	return 0;
}

/* The members which payloads and manifests share. @tasks is taken. */
static json_t *addressed(struct controlplane *cp, const char *instance_arn, const char *message_id,
			 int64_t timeline, json_t *tasks)
{
	char cluster_arn[ARN_MAX];
	struct arn arn;

	if (!arn_parse(instance_arn, &arn)) {
		json_decref(tasks);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "messageId", message_id, "clusterArn",
			 arn_cluster(cp, arn.cluster, cluster_arn), "containerInstanceArn",
			 instance_arn, "generatedAt", (json_int_t) clock_real_ms(), "timeline",
			 (json_int_t) timeline, "tasks", tasks);
}

int acs_compose_payload(struct controlplane *cp, const char *instance_arn, const json_t *tasks,
			size_t *from, struct composed *ret, struct err *err)
{
	json_auto_t *list = json_array(), *desired = json_object(), *message = NULL;
	int64_t seq = 0;
	int k = 0;

	while (k == 0 && *from < json_array_size(tasks) &&
	       json_array_size(list) < ACS_TASKS_PER_PAYLOAD)
		k = add_task(cp, json_array_get(tasks, (*from)++), list, desired, err);
	if (k < 0 || json_array_size(list) == 0)
		return k;
	k = store_instance_next_seq(cp->store, instance_arn, &seq, err);
	if (k != 0)
		return k > 0 ? err_set(err, ENOENT, "instance '%s' is gone", instance_arn) : k;
	message = addressed(cp, instance_arn, random_uuid(ret->message_id), seq, json_incref(list));
	if (!message || json_object_set_new(message, "seqNum", json_integer(seq)) < 0)
		return err_set(err, ENOMEM, "build a payload");
	ret->text = acs_encode("PayloadMessage", json_incref(message));
	ret->tasks = json_incref(desired);
	return ret->text ? 0 : err_set(err, ENOMEM, "build a payload");
}

/* --- network interfaces ------------------------------------------------------------------------ */

int acs_compose_attach(struct controlplane *cp, const char *instance_arn, const json_t *task,
		       struct composed *ret, struct err *err)
{
	const char *arn = json_get_string(task, "taskArn", "");
	const char *cluster = json_get_string(task, "clusterArn", "");
	json_auto_t *interface = NULL;
	int k = is_stop(task) ? STORE_E_NOT_FOUND
			      : store_eni_of_task(cp->store, arn, &interface, err);

	if (k != 0)
		return k < 0 ? k : 0;
	(void) snprintf(ret->key, sizeof(ret->key), "ENI %s", arn);
	ret->text = acs_encode(
		"AttachTaskNetworkInterfacesMessage",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:[O]}", "messageId",
			  random_uuid(ret->message_id), "clusterArn", cluster,
			  "containerInstanceArn", instance_arn, "taskArn", arn, "taskClusterArn",
			  cluster, "generatedAt", (json_int_t) clock_real_ms(), "waitTimeoutMs",
			  (json_int_t) eni_wait_ms(cp), "elasticNetworkInterfaces", interface));
	ret->tasks = json_pack("{s:n}", ret->key);
	return ret->text && ret->tasks ? 0 : err_set(err, ENOMEM, "build an attachment");
}

/* --- manifests ---------------------------------------------------------------------------------- */

static int on_manifest_task(json_t *task, void *userdata, struct err *err)
{
	json_t *one = json_pack("{s:s, s:s, s:s}", "taskArn", json_get_string(task, "taskArn", ""),
				"taskClusterArn", json_get_string(task, "clusterArn", ""),
				"desiredStatus", json_get_string(task, "desiredStatus", ""));

	return json_array_append_new(userdata, one) < 0 ? err_set(err, ENOMEM, "build a manifest")
							: 0;
}

int acs_compose_manifest(struct controlplane *cp, const char *instance_arn, struct composed *ret,
			 struct err *err)
{
	json_auto_t *list = json_array();
	int64_t timeline = 0;
	int k = store_tasks_of_instance(cp->store, instance_arn, false, on_manifest_task, list,
					err);

	if (k == 0)
		k = store_instance_next_seq(cp->store, instance_arn, &timeline, err);
	if (k != 0)
		return k > 0 ? err_set(err, ENOENT, "instance '%s' is gone", instance_arn) : k;
	ret->text = acs_encode("TaskManifestMessage",
			       addressed(cp, instance_arn, random_uuid(ret->message_id), timeline,
					 json_incref(list)));
	return ret->text ? 0 : err_set(err, ENOMEM, "build a manifest");
}

/* --- credentials ---------------------------------------------------------------------------------- */

static bool is_live(const json_t *task, const char *instance_arn)
{
	return strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") != 0 &&
	       strcmp(json_get_string(task, "containerInstanceArn", ""), instance_arn) == 0;
}

int acs_compose_credentials(struct controlplane *cp, const char *instance_arn, const json_t *due,
			    struct composed *ret, struct err *err)
{
	struct credentials_request r = {
		.instance_arn = instance_arn,
		.task_arn = json_get_string(due, "taskArn", ""),
		.role_arn = json_get_string(due, "roleArn", ""),
		.role = json_get_int(due, "role", 0) ? ROLE_EXECUTION : ROLE_TASK,
		.now_ms = clock_real_ms(),
	};
	json_auto_t *task = NULL, *credentials = NULL;
	int k = store_task_get(cp->store, r.task_arn, &task, err);

	if (k < 0)
		return k;
	if (k > 0 || !is_live(task, instance_arn))
		return credentials_drop(cp->store, r.task_arn, err);
	k = credentials_get(cp->store, &r, &credentials, err);
	if (k < 0)
		return k;
	(void) snprintf(ret->key, sizeof(ret->key), "%s %s", credentials_role_type(r.role),
			r.task_arn);
	ret->text = acs_encode("IAMRoleCredentialsMessage",
			       json_pack("{s:s, s:s, s:s, s:s, s:O}", "messageId",
					 random_uuid(ret->message_id), "taskArn", r.task_arn,
					 "taskClusterArn", json_get_string(task, "clusterArn", ""),
					 "roleType", credentials_role_type(r.role),
					 "roleCredentials", credentials));
	ret->tasks = json_pack("{s:n}", ret->key);
	return ret->text && ret->tasks ? 0 : err_set(err, ENOMEM, "build a credentials message");
}

/* --- what answers change --------------------------------------------------------------------------- */

bool acs_is_current(struct controlplane *cp, bool payload, const json_t *tasks)
{
	const char *key;
	json_t *desired;

	json_object_foreach((json_t *) tasks, key, desired) {
		const char *space = strchr(key, ' ');
		json_auto_t *task = NULL;

		/* When the store cannot tell, repeating does no harm. */
		if (store_task_get(cp->store, space ? space + 1 : key, &task, NULL) < 0)
			continue;
		if (!task || strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0)
			return false;
		if (payload && strcmp(json_get_string(task, "desiredStatus", ""),
				      json_string_value(desired)) != 0)
			return false;
	}
	return true;
}

int acs_store_acks(struct controlplane *cp, const json_t *tasks, struct err *err)
{
	const char *arn;
	json_t *desired;
	int k = cp_begin(cp, err);

	if (k < 0)
		return k;
	json_object_foreach((json_t *) tasks, arn, desired) {
		k = store_task_set_acked(cp->store, arn, json_string_value(desired), err);
		if (k < 0)
			break; /* a task that is gone needs no ack */
	}
	if (cp_end(cp, k >= 0, err) < 0)
		return -err->code;
	return k < 0 ? k : 0;
}

static int store_attaching(struct controlplane *cp, const char *task_arn, struct err *err)
{
	json_auto_t *task = NULL;
	int k = store_task_get(cp->store, task_arn, &task, err);
	const json_t *a = json_array_get(json_object_get(task, "attachments"), 0);

	if (k != 0 || strcmp(json_get_string(a, "status", ""), "PRECREATED") != 0)
		return k < 0 ? k : 0;
	eni_set_status(task, "ATTACHING");
	return store_task_put(cp->store, task, err);
}

int acs_store_attaching(struct controlplane *cp, const json_t *tasks, struct err *err)
{
	const char *key;
	json_t *v;
	int k = cp_begin(cp, err);

	if (k < 0)
		return k;
	json_object_foreach((json_t *) tasks, key, v)
		if (k == 0 && strchr(key, ' '))
			k = store_attaching(cp, strchr(key, ' ') + 1, err);
	return cp_end(cp, k == 0, err) < 0 ? -err->code : k;
}

/* A task is to stop when nothing here wants it to run on this instance. */
static int really_stops(struct controlplane *cp, const char *instance_arn, const char *task_arn,
			bool *ret, struct err *err)
{
	json_auto_t *task = NULL;
	int k = store_task_get(cp->store, task_arn, &task, err);

	if (k < 0)
		return k;
	*ret = k > 0 || is_stop(task) || !is_live(task, instance_arn);
	return 0;
}

int acs_verify_stops(struct controlplane *cp, const char *instance_arn, const struct acs_inbound *m,
		     json_t **ret, struct err *err)
{
	json_auto_t *stops = json_array();

	for (size_t i = 0; i < m->n_candidates; i++) {
		const struct acs_candidate *c = &m->candidates[i];
		bool stop = false;
		int k = really_stops(cp, instance_arn, c->task_arn, &stop, err);

		if (k < 0)
			return k;
		if (!stop)
			continue;
		if (json_array_append_new(stops, json_pack("{s:s, s:s, s:s}", "taskArn",
							   c->task_arn, "taskClusterArn",
							   c->cluster_arn ? c->cluster_arn : "",
							   "desiredStatus", "STOPPED")) < 0)
			return err_set(err, ENOMEM, "list tasks to stop");
	}
	*ret = json_incref(stops);
	return 0;
}
