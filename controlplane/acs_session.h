/* SPDX-License-Identifier: Apache-2.0 */
/* acs_session - what the two files of an ACS session share: acs.c speaks, acs_inbound.c listens. */
#pragma once

#include "controlplane/acs.h"
#include "controlplane/outbox.h"

struct acs {
	struct wire_state *w; /* borrowed */
	struct agent *agent;  /* borrowed: owns us */
	struct ws *ws;        /* owned */
	struct outbox outbox;
	sd_event_source *changed, *resend, *heartbeat; /* owned */
	char heartbeat_id[UUID_TEXT_MAX];              /* "" when the last one was acked */
	char manifest_id[UUID_TEXT_MAX];               /* of the last manifest sent */
	bool greeted;     /* the tasks of the connect and the manifest were sent */
	bool more;        /* tasks that wait for room: see ACS_MAX_PENDING */
	int64_t retry_ms; /* monotonic: when the store is asked again after a failure; 0: never */
	bool ending;
	int complaints;
};

static inline const char *acs_arn(const struct acs *s)
{
	return s->agent->instance_arn;
}

/* Sends a frame unless the agent is muted, which counts as sent and lost. NULL is not sent. */
void acs_send_text(struct acs *s, const char *text);

/* Sets the timer to what is due next: a repetition, or another try. */
void acs_arm_resend(struct acs *s);

/* struct ws_params.on_text; @userdata is the session. */
void acs_on_text(struct ws *ws, const char *data, size_t len, void *userdata);
