/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata - the task server: what containers find at http://169.254.170.2.
 * Credentials of their roles, what they themselves are and use, and the protection of tasks. Paths,
 * members, status codes and texts are those of the reference agent; beyond it, an id is of use to
 * its own task alone (caller.h), and credentials that have expired are not given out. Everybody
 * else's ids are unknown ids.
 *
 * Whoever asks faster than PACE_PER_S waits for its turn, and nobody else does: a task has an account
 * of its own, by its address, and so has each path asked for from the host's namespace, where tasks
 * have no addresses. Nothing is refused for its rate unless ECS_TASK_METADATA_RPS_LIMIT says so: then
 * for each address and path, as in the reference agent. Loop thread only.
 */
#pragma once

#include <netinet/in.h>
#include <systemd/sd-event.h>

#include "agent/acs/credentials.h"
#include "agent/http/server.h"
#include "agent/http/view.h"

struct aws_client;
struct http_client;
struct metadata;

enum { METADATA_ADDRS_MAX = 4, PACE_PER_S = 1000, PACE_BURST = 500 };

struct metadata_params {
	sd_event *loop;                /* NULL: nobody is listened to; for tests */
	const struct agent_view *view; /* kept by address, as roles */
	const struct role_store *roles;
	const struct in_addr *addrs; /* to listen on */
	size_t n_addrs;
	uint16_t port;
	struct http_client *http; /* borrowed: to ask the control plane for a task */
	struct aws_client **ecs;  /* borrowed: where the instance's own client will be */
};

int metadata_new(const struct metadata_params *p, struct metadata **ret, struct err *err);
struct metadata *metadata_free(struct metadata *m);
DEFINE_CLEANUP(struct metadata *, metadata_free)

struct metadata_request {
	const char *method, *path; /* without the query */
	const char *id;            /* of the query; NULL: none */
	const char *body;
	size_t body_len;
	struct in_addr peer;
	uint16_t peer_port;
	const char *user_agent, *forwarded_for; /* headers; NULL: none */
	struct http_call *call; /* for an answer that comes later; NULL: there is to be none */
};

/* The answer to one request, whatever its rate. */
void metadata_answer(struct metadata *m, const struct metadata_request *q, struct http_reply *r);

/*
 * Whether it is answered at this moment of the monotonic clock. False: @r says why not, or is left
 * alone and *@ret_wait_us says when.
 */
bool metadata_admits(struct metadata *m, const struct metadata_request *q, int64_t now_us,
		     int64_t *ret_wait_us, struct http_reply *r);
