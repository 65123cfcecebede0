/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/acs.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs_compose.h"
#include "controlplane/acs_message.h"
#include "controlplane/acs_session.h"
#include "controlplane/credentials.h"
#include "controlplane/instance.h"
#include "controlplane/timeline.h"
#include "controlplane/store.h"

enum { CLOSE_REPLACED = 1008 };

static int64_t heartbeat_us(const struct acs *s)
{
	int seconds = s->w->cp->settings.heartbeat_s;

	return (seconds > 0 ? seconds : ACS_HEARTBEAT_SEC) * MSEC_PER_SEC * USEC_PER_MSEC;
}

void acs_send_text(struct acs *s, const char *text)
{
	_cleanup_(err_done) struct err err = {};

	if (!text || s->ending || wire_is_muted(s->agent))
		return;
	if (ws_send_text(s->ws, text, strlen(text), &err) < 0)
		log_info("Lost the ACS session of '%s': %s", acs_arn(s), err_text(&err));
}

void acs_arm_resend(struct acs *s)
{
	int64_t next_ms = outbox_next_ms(&s->outbox);

	if (s->retry_ms && (next_ms == 0 || s->retry_ms < next_ms))
		next_ms = s->retry_ms;
	if (next_ms == 0) {
		(void) sd_event_source_set_enabled(s->resend, SD_EVENT_OFF);
		return;
	}
	(void) sd_event_source_set_time(s->resend, (uint64_t) (next_ms * USEC_PER_MSEC));
	(void) sd_event_source_set_enabled(s->resend, SD_EVENT_ONESHOT);
}

/* Sends what acs_compose made and keeps it until it is acked. Takes the content of @c. */
static int dispatch(struct acs *s, enum pending_kind kind, struct composed *c, struct err *err)
{
	struct pending p = { .kind = kind };
	int k;

	(void) snprintf(p.message_id, sizeof(p.message_id), "%s", c->message_id);
	acs_send_text(s, c->text);
	if (kind == PENDING_PAYLOAD)
		timeline_sent(s->w->timeline, c->tasks);
	k = outbox_add(&s->outbox, &p, TAKE_PTR(c->text), TAKE_PTR(c->tasks), clock_mono_ms(), err);
	acs_arm_resend(s);
	return k;
}

/* --- what is due ---------------------------------------------------------------------------- */

/* Tasks that no payload under way speaks of in their present desired status. */
static int list_untold(struct acs *s, json_t **ret, struct err *err)
{
	json_auto_t *due = NULL, *untold = json_array();
	json_t *task;
	size_t i;
	int k = acs_list_due(s->w->cp, s->agent->instance_arn, !s->greeted, &due, err);

	if (k < 0)
		return k;
	json_array_foreach(due, i, task)
		if (!outbox_tells(&s->outbox, json_get_string(task, "taskArn", ""),
				  json_get_string(task, "desiredStatus", "")) &&
		    json_array_append(untold, task) < 0)
			return err_set(err, ENOMEM, "list tasks");
	*ret = json_incref(untold);
	return 0;
}

/* An agent that is slow to read or to ack is not flooded: the rest follows its acks. */
static bool has_room(const struct acs *s)
{
	return outbox_count(&s->outbox) < ACS_MAX_PENDING &&
	       ws_queued_bytes(s->ws) < WIRE_MAX_QUEUE_BYTES / 4;
}

/* The interfaces of tasks that a payload is going to bring. */
static int send_interfaces(struct acs *s, const json_t *tasks, struct err *err)
{
	const json_t *task;
	size_t i;

	json_array_foreach((json_t *) tasks, i, task) {
		_cleanup_(composed_done) struct composed c = {};
		int k;

		if (json_array_size(json_object_get(task, "attachments")) == 0)
			continue;
		if (!has_room(s))
			return 0;
		k = acs_compose_attach(s->w->cp, s->agent->instance_arn, task, &c, err);
		if (k == 0 && c.text && !outbox_is_about(&s->outbox, PENDING_ATTACH, c.key))
			k = dispatch(s, PENDING_ATTACH, &c, err);
		if (k < 0)
			return k;
	}
	return 0;
}

static int send_payloads(struct acs *s, struct err *err)
{
	json_auto_t *tasks = NULL;
	size_t from = 0;
	int k = list_untold(s, &tasks, err);

	if (k == 0)
		k = send_interfaces(s, tasks, err);
	while (k == 0 && from < json_array_size(tasks) && has_room(s)) {
		_cleanup_(composed_done) struct composed c = {};

		k = acs_compose_payload(s->w->cp, s->agent->instance_arn, tasks, &from, &c, err);
		if (k == 0 && c.text)
			k = dispatch(s, PENDING_PAYLOAD, &c, err);
	}
	s->more = from < json_array_size(tasks);
	return k;
}

static int send_manifest(struct acs *s, struct err *err)
{
	_cleanup_(composed_done) struct composed c = {};
	int k = acs_compose_manifest(s->w->cp, s->agent->instance_arn, &c, err);

	if (k < 0)
		return k;
	(void) snprintf(s->manifest_id, sizeof(s->manifest_id), "%s", c.message_id);
	return dispatch(s, PENDING_MANIFEST, &c, err);
}

/* Credentials that the agent does not have in their present form, except those which travel in a
 * payload under way. */
static int send_credentials(struct acs *s, struct err *err)
{
	json_auto_t *due = NULL;
	json_t *one;
	size_t i;
	int k = credentials_due(s->w->cp->store, s->agent->instance_arn, clock_real_ms(), &due,
				err);

	if (k < 0)
		return k;
	json_array_foreach(due, i, one) {
		_cleanup_(composed_done) struct composed c = {};
		const char *task_arn = json_get_string(one, "taskArn", "");

		if (ws_queued_bytes(s->ws) > WIRE_MAX_QUEUE_BYTES / 2)
			return 0; /* the rest is still due at the next heartbeat */
		if (outbox_is_about(&s->outbox, PENDING_PAYLOAD, task_arn))
			continue;
		k = acs_compose_credentials(s->w->cp, s->agent->instance_arn, one, &c, err);
		if (k < 0)
			return k;
		if (c.text && !outbox_is_about(&s->outbox, PENDING_CREDENTIALS, c.key))
			k = dispatch(s, PENDING_CREDENTIALS, &c, err);
		if (k < 0)
			return k;
	}
	return 0;
}

static int greet(struct acs *s, struct err *err)
{
	int k = send_payloads(s, err);

	if (k == 0 && !s->greeted)
		k = send_manifest(s, err);
	if (k == 0 && !s->greeted)
		k = send_credentials(s, err);
	s->greeted = k == 0 || s->greeted;
	return k;
}

/* A store that fails, say on a full disk, is asked again later: to close the session would only
 * bring the agent back at once. */
static void try_later(struct acs *s, const char *what, const struct err *err)
{
	log_error("Failed to %s '%s', will try again: %s", what, acs_arn(s), err_text(err));
	s->retry_ms = clock_mono_ms() + ACS_RESEND_MS;
	acs_arm_resend(s);
}

/* Everything that changed since the last turn of the loop goes into as few payloads as it can. */
static int on_changed(sd_event_source *source, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct acs *s = userdata;

	(void) source;
	if (s->ending)
		return 0;
	if (greet(s, &err) < 0)
		try_later(s, "send its tasks to", &err);
	return 0;
}

void acs_tasks_changed(struct acs *s)
{
	(void) sd_event_source_set_enabled(s->changed, SD_EVENT_ONESHOT);
}

/* --- repetition and heartbeat ----------------------------------------------------------------- */

/* A manifest is made afresh, with a higher timeline: the old one may have been below what the agent
 * has seen, which it drops in silence. */
static int repeat_manifest(struct acs *s, struct pending *p, struct err *err)
{
	int attempts = p->attempts;
	int k;

	outbox_remove(&s->outbox, p);
	if (attempts >= ACS_MANIFEST_ATTEMPTS) {
		log_warn("The manifest of '%s' was never acked, going on without", acs_arn(s));
		return 0;
	}
	k = send_manifest(s, err);
	p = outbox_find(&s->outbox, s->manifest_id);
	if (p)
		p->attempts = attempts + 1;
	return k;
}

static int repeat(struct acs *s, struct pending *p, int64_t now_ms, struct err *err)
{
	if (p->kind == PENDING_MANIFEST)
		return repeat_manifest(s, p, err);
	if (!acs_is_current(s->w->cp, p->kind == PENDING_PAYLOAD, p->tasks)) {
		outbox_remove(&s->outbox, p); /* what of it still matters is composed anew */
		acs_tasks_changed(s);
		return 0;
	}
	log_info("Message %s to '%s' is not acked, sending it again", p->message_id, acs_arn(s));
	acs_send_text(s, p->text);
	outbox_repeated(p, now_ms);
	return 0;
}

static int on_resend(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct acs *s = userdata;
	int64_t now_ms = clock_mono_ms();
	struct pending *p;

	(void) source, (void) usec;
	if (s->retry_ms && s->retry_ms <= now_ms) {
		s->retry_ms = 0;
		acs_tasks_changed(s);
	}
	while (!s->ending && (p = outbox_due(&s->outbox, now_ms)))
		if (repeat(s, p, now_ms, &err) < 0) {
			s->greeted = false; /* the manifest has left the outbox */
			try_later(s, "repeat a message to", &err);
			break;
		}
	if (!s->ending)
		acs_arm_resend(s);
	return 0;
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *text = NULL;
	struct acs *s = userdata;

	(void) usec;
	if (s->ending)
		return 0;
	(void) sd_event_source_set_time_relative(source, (uint64_t) heartbeat_us(s));
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (s->heartbeat_id[0]) {
		log_info("'%s' did not ack a heartbeat", acs_arn(s));
		acs_end(s, WS_CLOSE_GOING_AWAY, "heartbeat was not acknowledged");
		return 0;
	}
	if (wire_is_muted(s->agent))
		return 0;
	text = acs_encode("HeartbeatMessage", json_pack("{s:b, s:s}", "healthy", 1, "messageId",
							random_uuid(s->heartbeat_id)));
	acs_send_text(s, text);
	if (s->more)
		acs_tasks_changed(s);
	if (send_credentials(s, &err) < 0)
		log_error("Failed to renew credentials of '%s': %s", acs_arn(s), err_text(&err));
	return 0;
}

/* --- the life of a session ---------------------------------------------------------------------- */

/* False when the instance is not there any more. */
static bool set_connected(struct acs *s, bool connected, const struct agent_query *q)
{
	_cleanup_(err_done) struct err err = {};
	struct controlplane *cp = s->w->cp;
	int k = cp_begin(cp, &err);

	if (k == 0) {
		k = instance_set_connected(cp, s->agent->instance_arn, connected,
					   q ? q->agent_version : NULL, q ? q->agent_hash : NULL,
					   q ? q->docker_version : NULL, &err);
		if (cp_end(cp, k == 0, &err) < 0)
			k = -1;
	}
	if (k < 0)
		log_error("Failed to record the connection of '%s': %s", acs_arn(s),
			  err_text(&err));
	return k <= 0;
}

static void on_close(struct ws *ws, uint16_t code, const char *reason, void *userdata)
{
	struct acs *s = userdata;

	(void) ws;
	log_info("ACS session of '%s' ended with %u: %s", acs_arn(s), code, reason);
	(void) set_connected(s, false, NULL);
	s->agent->acs = NULL;
	(void) acs_free(s);
}

static int add_sources(struct acs *s, struct err *err)
{
	sd_event *loop = s->w->cp->loop;
	int k;

	k = sd_event_add_defer(loop, &s->changed, on_changed, s);
	if (k >= 0)
		k = sd_event_add_time_relative(loop, &s->heartbeat, CLOCK_MONOTONIC,
					       (uint64_t) heartbeat_us(s), 100000, on_heartbeat, s);
	if (k >= 0)
		k = sd_event_add_time(loop, &s->resend, CLOCK_MONOTONIC, UINT64_MAX, 1000,
				      on_resend, s);
	if (k < 0)
		return err_set_errno(err, -k, "add timers of a session");
	(void) sd_event_source_set_enabled(s->resend, SD_EVENT_OFF);
	(void) sd_event_source_set_description(s->heartbeat, "acs-heartbeat");
	(void) sd_event_source_set_description(s->resend, "acs-resend");
	return 0;
}

static void replace(struct agent *agent)
{
	if (!agent->acs)
		return;
	log_info("A newer ACS session of '%s' takes over", agent->instance_arn);
	acs_end(agent->acs, CLOSE_REPLACED, "a newer connection of this container instance");
	agent->acs = acs_free(agent->acs);
}

int acs_open(struct wire_state *w, struct agent *agent, const struct ws_params *base,
	     const struct agent_query *q, struct err *err)
{
	struct acs *s = calloc(1, sizeof(*s));
	struct ws_params p = *base;
	int k;

	if (!s)
		return err_set(err, ENOMEM, "allocate a session");
	s->w = w;
	p.on_text = acs_on_text;
	p.on_close = on_close;
	p.userdata = s;
	k = add_sources(s, err);
	if (k == 0 && q->send_credentials)
		k = credentials_unack_all(w->cp->store, agent->instance_arn, err);
	if (k == 0)
		k = ws_new(&p, &s->ws, err);
	if (k < 0) {
		(void) acs_free(s);
		return k;
	}
	replace(agent);
	s->agent = agent;
	agent->acs = s;
	if (!set_connected(s, true, q)) /* deregistered since the upgrade was answered */
		acs_end_inactive(s);
	log_info("ACS session of '%s' opened, agent %s", acs_arn(s), q->agent_version);
	return 0;
}

void acs_end(struct acs *s, uint16_t code, const char *reason)
{
	if (s->ending)
		return;
	s->ending = true;
	ws_close(s->ws, code, reason);
}

void acs_end_inactive(struct acs *s)
{
	_cleanup_(freep) char *text = acs_encode_error("InactiveInstanceException",
						       "The container instance was deregistered.");

	acs_send_text(s, text);
	acs_end(s, WS_CLOSE_NORMAL, "InactiveInstanceException");
}

void acs_send_raw(struct acs *s, const char *text, size_t len)
{
	(void) ws_send_text(s->ws, text, len, NULL);
}

void acs_reset(struct acs *s)
{
	ws_reset(s->ws);
}

struct acs *acs_free(struct acs *s)
{
	if (!s)
		return NULL;
	s->changed = sd_event_source_disable_unref(s->changed);
	s->resend = sd_event_source_disable_unref(s->resend);
	s->heartbeat = sd_event_source_disable_unref(s->heartbeat);
	s->ws = ws_free(s->ws);
	outbox_done(&s->outbox);
	free(s);
	return NULL;
}
