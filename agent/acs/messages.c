/* SPDX-License-Identifier: Apache-2.0 */
/* One row per message type; a handler that fails leaves the message unacknowledged. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/private.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

static const char *text(const json_t *m, const char *key)
{
	return json_get_string(m, key, "");
}

int acs_require(const json_t *m, const char *const *keys, struct err *err)
{
	for (; *keys; keys++)
		if (!*text(m, *keys))
			return err_set(err, EPROTO, "%s: missing", *keys);
	return 0;
}

const char *const acs_common_members[] = { "messageId", "clusterArn", "containerInstanceArn", NULL };

int acs_send_ack(struct acs *a, const json_t *m, struct err *err)
{
	return a->send(a, "AckRequest",
		       json_pack("{s:s, s:s, s:s}", "cluster", text(m, "clusterArn"),
				 "containerInstance", text(m, "containerInstanceArn"), "messageId",
				 text(m, "messageId")),
		       err);
}

static int send_nack(struct acs *a, const json_t *m, const char *reason, struct err *err)
{
	return a->send(a, "NackRequest",
		       json_pack("{s:s, s:s, s:s, s:s}", "cluster", text(m, "clusterArn"),
				 "containerInstance", text(m, "containerInstanceArn"), "messageId",
				 text(m, "messageId"), "reason", reason),
		       err);
}

/* expiration goes back as it came: absent when it was absent. */
static int send_credentials_ack(struct acs *a, const json_t *m, const json_t *credentials,
				struct err *err)
{
	json_t *ack = json_pack("{s:s, s:s}", "messageId", text(m, "messageId"), "credentialsId",
				text(credentials, "credentialsId"));
	const char *expiration = json_get_string(credentials, "expiration", NULL);

	if (ack && expiration)
		(void) json_object_set_new(ack, "expiration", json_string(expiration));
	return a->send(a, "IAMRoleCredentialsAckRequest", ack, err);
}

static int on_heartbeat(struct acs *a, const json_t *m, struct err *err)
{
	int k;

	if (!*text(m, "messageId"))
		return err_set(err, EPROTO, "messageId: missing");
	k = a->send(a, "HeartbeatAckRequest", json_pack("{s:s}", "messageId", text(m, "messageId")),
		    err);
	if (a->p.handlers->on_heartbeat)
		a->p.handlers->on_heartbeat(a->p.userdata);
	return k;
}

/* ---- payload ---- */

static const struct {
	const char *key;
	enum role_type type;
} task_roles[] = {
	{ "roleCredentials", ROLE_TASK },
	{ "executionRoleCredentials", ROLE_EXECUTION },
};

/* Credentials are there before the task that may need them at once. */
static int store_task_credentials(struct acs *a, const json_t *m, struct err *err)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(m, "tasks"), i, task) {
		for (size_t j = 0; j < ARRAY_SIZE(task_roles); j++) {
			const json_t *c = json_object_get(task, task_roles[j].key);

			/* One without a name is refused by the engine, and nobody would remove them. */
			if (!json_is_object(c) || !*text(task, "arn"))
				continue;
			if (role_store_put(a->p.roles, text(task, "arn"), task_roles[j].type, c,
					   err) < 0)
				return err_wrap(err, "tasks[%zu]: %s", i, task_roles[j].key);
		}
	}
	return 0;
}

static int ack_task_credentials(struct acs *a, const json_t *m, struct err *err)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(m, "tasks"), i, task) {
		for (size_t j = 0; j < ARRAY_SIZE(task_roles); j++) {
			const json_t *c = json_object_get(task, task_roles[j].key);

			if (json_is_object(c) && send_credentials_ack(a, m, c, err) < 0)
				return -err->code;
		}
	}
	return 0;
}

static int on_payload(struct acs *a, const json_t *m, struct err *err)
{
	_cleanup_(err_done) struct err bad_credentials = {};
	int k = acs_require(m, acs_common_members, err);
	int64_t seq;

	if (k < 0)
		return k;
	if (!a->p.handlers->on_payload)
		return err_set(err, ENOSYS, "nobody takes payloads");
	(void) store_task_credentials(a, m, &bad_credentials);
	k = a->p.handlers->on_payload(a->p.userdata, m, err);
	if (k < 0)
		return k;
	seq = json_get_int(m, "seqNum", -1);
	a->manifest_seq = MAX(a->manifest_seq, seq);
	if (bad_credentials.code)
		return err_move(err, &bad_credentials);
	k = acs_send_ack(a, m, err);
	return k < 0 ? k : ack_task_credentials(a, m, err);
}

static int on_role_credentials(struct acs *a, const json_t *m, struct err *err)
{
	static const char *const members[] = { "messageId", "taskArn", "roleType", NULL };
	const json_t *c = json_object_get(m, "roleCredentials");
	const char *role = text(m, "roleType"), *id = text(c, "credentialsId");
	enum role_type type = strcmp(role, "TaskExecution") == 0 ? ROLE_EXECUTION : ROLE_TASK;
	int k = acs_require(m, members, err);

	if (k < 0)
		return k;
	if (strcmp(role, "TaskApplication") != 0 && strcmp(role, "TaskExecution") != 0)
		return err_set(err, EPROTO, "roleType: '%.64s' is not a role type", role);
	if (!*id)
		return err_set(err, EPROTO, "roleCredentials: credentialsId: missing");
	if (!a->p.handlers->on_role_credentials)
		return err_set(err, ENOSYS, "nobody takes credentials");
	/* First whether they can be kept: a task that names what is not there would be told 400. */
	if (role_store_check(a->p.roles, text(m, "taskArn"), type, c, err) < 0)
		return err_wrap(err, "roleCredentials");
	k = a->p.handlers->on_role_credentials(a->p.userdata, text(m, "taskArn"), type, id, err);
	if (k < 0)
		return k;
	k = role_store_put(a->p.roles, text(m, "taskArn"), type, c, err);
	return k < 0 ? err_wrap(err, "roleCredentials") : send_credentials_ack(a, m, c, err);
}

/* ---- manifest ---- */

static json_t *running_tasks(const json_t *m)
{
	json_t *list = json_array();
	const json_t *t;
	size_t i;

	json_array_foreach(json_object_get(m, "tasks"), i, t) {
		if (strcmp(text(t, "desiredStatus"), "RUNNING") == 0)
			(void) json_array_append_new(list, json_string(text(t, "taskArn")));
	}
	return list;
}

static int verify_stops(struct acs *a, const json_t *m, const json_t *arns, struct err *err)
{
	json_t *candidates = json_array();
	const json_t *arn;
	size_t i;

	json_array_foreach((json_t *) arns, i, arn) {
		(void) json_array_append_new(
			candidates, json_pack("{s:O, s:s, s:s}", "taskArn", arn, "taskClusterArn",
					      text(m, "clusterArn"), "desiredStatus", "STOPPED"));
	}
	return a->send(a, "TaskStopVerificationMessage",
		       json_pack("{s:s, s:o}", "messageId", text(m, "messageId"), "stopCandidates",
				 candidates),
		       err);
}

static int on_manifest(struct acs *a, const json_t *m, struct err *err)
{
	json_auto_t *running = NULL, *candidates = NULL;
	int64_t timeline = json_get_int(m, "timeline", -1);
	int k = acs_require(m, acs_common_members, err);

	if (k < 0)
		return k;
	if (timeline <= a->manifest_seq) {
		log_debug("Discarding a task manifest of timeline %lld, %lld is known",
			  (long long) timeline, (long long) a->manifest_seq);
		return 0;
	}
	if (!a->p.handlers->on_manifest)
		return err_set(err, ENOSYS, "nobody takes manifests");
	if (a->p.handlers->put_manifest_seq)
		k = a->p.handlers->put_manifest_seq(a->p.userdata, timeline, err);
	if (k < 0)
		return k;
	a->manifest_seq = timeline;
	if (strdup_to(&a->manifest_id, text(m, "messageId")) < 0)
		return err_set(err, ENOMEM, "task manifest");
	running = running_tasks(m);
	k = running ? a->p.handlers->on_manifest(a->p.userdata, running, &candidates, err)
		    : err_set(err, ENOMEM, "task manifest");
	if (k == 0)
		k = acs_send_ack(a, m, err);
	if (k == 0 && json_array_size(candidates) > 0)
		k = verify_stops(a, m, candidates, err);
	return k;
}

static int on_stop_verified(struct acs *a, const json_t *m, struct err *err)
{
	const json_t *t;
	size_t i;
	int k = 0;

	if (!a->manifest_id || !*a->manifest_id ||
	    strcmp(a->manifest_id, text(m, "messageId")) != 0) {
		log_debug("Ignoring a stop verification of another manifest");
		return 0;
	}
	free(a->manifest_id);
	a->manifest_id = NULL;
	json_array_foreach(json_object_get(m, "stopTasks"), i, t) {
		_cleanup_(err_done) struct err one = {};

		if (a->p.handlers->on_stop_verified &&
		    a->p.handlers->on_stop_verified(a->p.userdata, text(t, "taskArn"), &one) < 0)
			k = err_set(err, one.code, "task '%s': %s", text(t, "taskArn"),
				    err_text(&one));
	}
	return k;
}

/* ---- what this build does not do ---- */

static int on_update(struct acs *a, const json_t *m, struct err *err)
{
	int k = acs_require(m, acs_common_members, err);

	return k < 0 ? k : send_nack(a, m, "Updates are disabled", err);
}

static int on_notice(struct acs *a, const json_t *m, struct err *err)
{
	(void) a, (void) err;
	log_info("The control plane says: %.300s", text(m, "message"));
	return 0;
}

static const struct {
	const char *type;
	int (*handle)(struct acs *a, const json_t *m, struct err *err);
} handlers[] = {
	{ "HeartbeatMessage", on_heartbeat },
	{ "PayloadMessage", on_payload },
	{ "IAMRoleCredentialsMessage", on_role_credentials },
	{ "TaskManifestMessage", on_manifest },
	{ "TaskStopVerificationAck", on_stop_verified },
	{ "AttachTaskNetworkInterfacesMessage", acs_on_attach_task },
	{ "AttachInstanceNetworkInterfacesMessage", acs_on_attach_instance },
	{ "ConfirmAttachmentMessage", acs_on_attach_volume },
	{ "StageUpdateMessage", on_update },
	{ "PerformUpdateMessage", on_update },
	{ "CloseMessage", on_notice },
	{ "ErrorMessage", on_notice },
};

int acs_dispatch(struct acs *a, const char *type, const json_t *message, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (strcmp(handlers[i].type, type) == 0)
			return handlers[i].handle(a, message, err);
	log_info("Ignoring an ACS message of the unknown type '%s'", type);
	return 0;
}
