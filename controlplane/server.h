/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - HTTP by libmicrohttpd in the event loop. POST / with X-Amz-Target runs an operation
 * (AWS JSON 1.1), GET …/ws goes to the wire half, GET /health answers "ok". Every answer carries
 * x-amzn-RequestId. A body over SERVER_BODY_MAX is refused with 413.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

struct controlplane;
struct server;

enum {
	SERVER_BODY_MAX = 4 << 20,
	SERVER_BODIES_MAX = 128 << 20, /* of all requests under way; beyond it 503 is answered */
	SERVER_IDLE_S = 75,
	SERVER_CONNECTIONS_MAX = 4096,
};

/* One request, as it came: what signature verification needs. */
struct request {
	struct controlplane *cp;
	char *uri;                         /* owned: raw request target with query, undecoded */
	const char *method;                /* borrowed from the connection */
	struct MHD_Connection *connection; /* borrowed; headers: MHD_get_connection_values() */
	struct buf body;                   /* owned; empty for GET */
	char id[37];                       /* x-amzn-RequestId */
	bool begun;
	unsigned refused; /* HTTP status when the body was not kept; 0: it was */
	/* What waits for this request's end: dropped with it, unless taken (set to NULL) before. */
	void (*drop)(void *held);
	void *held; /* owned */
};

/* Binds cp->settings' address and attaches to cp->loop. Sets cp->server. */
int server_start(struct controlplane *cp, struct err *err);

/* The port bound. */
uint16_t server_port(const struct server *s);

/* Takes no more connections; those there are served on. */
void server_stop_listening(struct server *s);

/* Closes plain connections. NULL is fine. Always returns NULL. */
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free)

/* Lets libmicrohttpd work on its connections now, or right after what it is doing: after
 * MHD_upgrade_action(). */
void server_kick(struct server *s);

/* Queues @status with @text, which is taken (NULL: out of memory), and the request id. */
enum MHD_Result server_answer(struct request *req, unsigned status, const char *content_type,
			      char *text);

/* Queues @status with a JSON body {"__type": type, "message": message} and the request id. */
enum MHD_Result server_answer_error(struct request *req, unsigned status, const char *type,
				    const char *message);
