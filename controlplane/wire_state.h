/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_state - what the files of the wire half share: the sessions, the telemetry, the faults.
 * It is cp->wire_data. At most one ACS and one TCS session per container instance; both are found
 * through their struct agent, which stays for its telemetry until room is needed.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "controlplane/controlplane.h"
#include "controlplane/sigv4.h"
#include "controlplane/ws.h"

struct acs;
struct tcs;
struct telemetry;
struct timeline;

enum {
	WIRE_MAX_MESSAGE_BYTES = 2 << 20, /* of one inbound message */
	WIRE_MAX_QUEUE_BYTES = 8 << 20,   /* unread by an agent */
	WIRE_HOST_MAX = 262,
	WIRE_MAX_AGENTS = 10000,
};

/* Seen over ACS or TCS since the start of the process. */
struct agent {
	struct agent *next;
	char *instance_arn, *cluster_arn; /* owned */
	struct acs *acs;                  /* owned; NULL: not connected */
	struct tcs *tcs;                  /* owned; NULL: not connected */
	struct telemetry *telemetry;      /* owned; NULL: none yet */
	int64_t muted_until_ms;           /* monotonic; nothing is sent before (fault injection) */
};

/* An answer to give instead of running an operation. */
struct http_fault {
	char *operation; /* owned; NULL: none armed */
	int status, count;
};

struct wire_state {
	struct controlplane *cp; /* borrowed */
	struct agent *agents;    /* owned */
	struct http_fault fault;
	struct timeline *timeline; /* owned */
	char host[WIRE_HOST_MAX];  /* Host of the request being served */
};

/* What the query string of the upgrade said. All owned. */
struct agent_query {
	char *cluster, *instance_arn, *agent_version, *agent_hash, *docker_version;
	bool send_credentials;
};

void agent_query_done(struct agent_query *q);

static inline struct wire_state *wire_state_of(struct controlplane *cp)
{
	return cp->wire_data;
}

/* NULL when it never connected. */
struct agent *wire_find_agent(struct wire_state *w, const char *instance_arn);

/* Finds or adds; one long gone may be forgotten for it. NULL when out of memory or room. */
struct agent *wire_add_agent(struct wire_state *w, const char *instance_arn,
			     const char *cluster_arn);

bool wire_is_muted(const struct agent *agent);

/* upgrade.c: struct wire.upgrade. */
int wire_upgrade(struct controlplane *cp, struct request *req, struct MHD_Connection *connection);

/* The headers of a request as sigv4 wants them; free() the array. */
int wire_collect_headers(struct MHD_Connection *connection, struct sigv4_header **ret,
			 size_t *ret_n, struct err *err);

/* Verifies a request as it came. Answers as sigv4_verify(). */
int wire_verify(struct controlplane *cp, const struct request *req, struct err *err);

/* local.c: struct wire.local. */
int wire_local(struct controlplane *cp, struct request *req);
