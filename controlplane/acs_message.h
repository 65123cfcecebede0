/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acs_message - the frames of the agent communication service: {"type": …, "message": {…}}.
 * Decoding is for what agents send, building for what the service sends.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"

enum acs_type {
	ACS_ACK,               /* AckRequest */
	ACS_NACK,              /* NackRequest */
	ACS_HEARTBEAT_ACK,     /* HeartbeatAckRequest */
	ACS_CREDENTIALS_ACK,   /* IAMRoleCredentialsAckRequest */
	ACS_STOP_VERIFICATION, /* TaskStopVerificationMessage */
	_ACS_TYPE_MAX,
};

struct acs_candidate {
	char *task_arn, *cluster_arn, *desired_status; /* owned */
};

/* What an agent said. All strings are owned; those the type does not have are NULL. */
struct acs_inbound {
	enum acs_type type;
	char *message_id;
	char *cluster, *container_instance;
	char *reason;
	char *credentials_id, *expiration;
	struct acs_candidate *candidates;
	size_t n_candidates;
};

/* Returns 0, or -EPROTO naming what is wrong with the frame. */
int acs_decode(const char *text, size_t len, struct acs_inbound *ret, struct err *err);
void acs_inbound_done(struct acs_inbound *m);

/* {"type": type, "message": message} as text the caller frees; NULL when out of memory. Takes
 * @message, which may be NULL after a failed allocation. */
char *acs_encode(const char *type, json_t *message);

/* {"Name": "text"}, the error form. */
char *acs_encode_error(const char *name, const char *text);
