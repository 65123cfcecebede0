/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent says on its ACS session. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs_compose.h"
#include "controlplane/acs_message.h"
#include "controlplane/acs_session.h"
#include "controlplane/credentials.h"

enum { MAX_COMPLAINTS = 100 };

static void on_ack(struct acs *s, const struct acs_inbound *m)
{
	_cleanup_(err_done) struct err err = {};
	struct pending *p = outbox_find(&s->outbox, m->message_id);

	if (strcmp(m->container_instance, s->agent->instance_arn) != 0) {
		log_warn("'%s' acks in the name of '%s', ignoring", acs_arn(s),
			 m->container_instance);
		return;
	}
	if (!p)
		return; /* acked before: it was repeated meanwhile */
	if (p->kind == PENDING_PAYLOAD && acs_store_acks(s->w->cp, p->tasks, &err) < 0) {
		log_error("Failed to record an ack of '%s': %s", acs_arn(s), err_text(&err));
		return; /* repeated, and acked again */
	}
	if (p->kind == PENDING_ATTACH && acs_store_attaching(s->w->cp, p->tasks, &err) < 0) {
		log_error("Failed to record an ack of '%s': %s", acs_arn(s), err_text(&err));
		return;
	}
	if (p->kind != PENDING_CREDENTIALS)
		outbox_remove(&s->outbox, p);
	if (s->more)
		acs_tasks_changed(s);
	acs_arm_resend(s);
}

static void on_credentials_ack(struct acs *s, const struct acs_inbound *m)
{
	_cleanup_(err_done) struct err err = {};
	struct pending *p = outbox_find(&s->outbox, m->message_id);

	if (credentials_acked(s->w->cp->store, s->agent->instance_arn, m->credentials_id,
			      m->expiration, &err) < 0) {
		log_error("Failed to record an ack of '%s': %s", acs_arn(s), err_text(&err));
		return;
	}
	if (p && p->kind == PENDING_CREDENTIALS)
		outbox_remove(&s->outbox, p);
	acs_arm_resend(s);
}

static void on_stop_verification(struct acs *s, const struct acs_inbound *m)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *text = NULL;
	json_t *stop = NULL;

	if (strcmp(m->message_id, s->manifest_id) != 0)
		return; /* about a manifest that a newer one replaced */
	if (acs_verify_stops(s->w->cp, s->agent->instance_arn, m, &stop, &err) < 0) {
		log_error("Failed to verify stops for '%s': %s", acs_arn(s), err_text(&err));
		return;
	}
	text = acs_encode("TaskStopVerificationAck",
			  json_pack("{s:I, s:s, s:o}", "generatedAt", (json_int_t) clock_real_ms(),
				    "messageId", m->message_id, "stopTasks", stop));
	acs_send_text(s, text);
}

static void complain(struct acs *s, const char *what)
{
	_cleanup_(freep) char *text = acs_encode_error("BadRequestException", what);

	log_warn("'%s' sent a bad ACS frame: %s", acs_arn(s), what);
	acs_send_text(s, text);
	if (++s->complaints > MAX_COMPLAINTS)
		acs_end(s, WS_CLOSE_PROTOCOL_ERROR, "too many bad frames");
}

void acs_on_text(struct ws *ws, const char *data, size_t len, void *userdata)
{
	_cleanup_(acs_inbound_done) struct acs_inbound m = {};
	_cleanup_(err_done) struct err err = {};
	struct acs *s = userdata;

	(void) ws;
	if (s->ending)
		return;
	if (acs_decode(data, len, &m, &err) < 0) {
		complain(s, err_text(&err));
		return;
	}
	switch (m.type) {
	case ACS_ACK:
		on_ack(s, &m);
		break;
	case ACS_NACK:
		log_warn("'%s' refused message %s: %s", acs_arn(s), m.message_id,
			 m.reason ? m.reason : "no reason given");
		break;
	case ACS_HEARTBEAT_ACK:
		if (strcmp(m.message_id, s->heartbeat_id) == 0)
			s->heartbeat_id[0] = '\0';
		break;
	case ACS_CREDENTIALS_ACK:
		on_credentials_ack(s, &m);
		break;
	case ACS_STOP_VERIFICATION:
		on_stop_verification(s, &m);
		break;
	case _ACS_TYPE_MAX:
		break;
	}
}
