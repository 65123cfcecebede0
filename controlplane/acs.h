/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acs - the agent communication session of one container instance.
 *
 * On connect the agent is sent every task it may not know the desired status of, then the manifest;
 * later, what changes. Each message that is to be acked is sent again, unchanged, until it is acked
 * or has lost its point. A heartbeat that is not acked by the time of the next ends the session.
 * Acks go into the store, so a restart of the control plane sends again only what was not acked.
 */
#pragma once

#include "controlplane/wire_state.h"

struct acs;

enum {
	ACS_HEARTBEAT_SEC = 60,
	ACS_RESEND_MS = 5000, /* first repetition; the gap doubles up to … */
	ACS_RESEND_MAX_MS = 40000,
	ACS_TASKS_PER_PAYLOAD = 10,
	ACS_MAX_PENDING = 32, /* messages not yet acked, after which no more payloads are sent */
	ACS_MANIFEST_ATTEMPTS = 3,
};

/*
 * Makes the session agent->acs on the descriptor in @base, replacing (closing with code 1008) one
 * that is there: the newest connection of an instance wins.
 */
int acs_open(struct wire_state *w, struct agent *agent, const struct ws_params *base,
	     const struct agent_query *q, struct err *err);

/* Something about the instance's tasks changed: what is due is sent in the next turn of the loop. */
void acs_tasks_changed(struct acs *s);

/* Sends InactiveInstanceException and closes. */
void acs_end_inactive(struct acs *s);

void acs_end(struct acs *s, uint16_t code, const char *reason);

/* Fault injection: @text as a frame of its own; a TCP reset. */
void acs_send_raw(struct acs *s, const char *text, size_t len);
void acs_reset(struct acs *s);

/* Drops the connection and frees. NULL is fine. Always returns NULL. */
struct acs *acs_free(struct acs *s);
