/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - HTTP/1.1 on one listening socket, by libmicrohttpd with its epoll descriptor in the loop.
 * A handler answers at once from memory; what is long is a stream that is fed as it grows. Bodies of
 * requests are small and capped: one that says it is larger is answered 413 before it is read, one
 * that does not say is read for another MiB at most. Loop thread only.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct http_server;
struct http_call; /* a request being answered */

enum { HTTP_CALL_BODY_MAX = 64 * 1024 };

/* GET for HEAD as well: the body is left out below us. */
const char *http_call_method(const struct http_call *c);
const char *http_call_path(const struct http_call *c); /* decoded, without the query */
/* The value of a query parameter; NULL: not there. */
const char *http_call_query(const struct http_call *c, const char *name);
const char *http_call_body(const struct http_call *c, size_t *ret_len);
/* The value of a header; NULL: not there. */
const char *http_call_header(const struct http_call *c, const char *name);
/* Who asks; false: not over IPv4. */
bool http_call_peer(const struct http_call *c, struct sockaddr_in *ret);

/* Feeds an answer without end: copies at most @max bytes that follow *cursor, 0: none yet. */
typedef size_t (*http_stream_fn)(void *userdata, uint64_t *cursor, char *buf, size_t max);

struct http_reply {
	unsigned status;          /* 200 unless set */
	const char *content_type; /* static text; "application/json" unless set */
	char *body;               /* owned: free()d when sent. NULL: a 500 without a body */
	bool secret;              /* the body is wiped when sent */
	bool later;               /* nothing of this yet: http_call_finish() follows */
	char *headers;            /* owned: more of them, "Name: value\n" each; NULL: none */
	http_stream_fn stream;    /* instead of the body; see http_server_wake() */
	void *stream_userdata;
	uint64_t stream_cursor; /* where it starts */
};

/* Call and reply are the handler's until it returns, with ->later until http_call_finish(). */
typedef void (*http_handler_fn)(void *userdata, struct http_call *c, struct http_reply *r);

/*
 * The answer to a call that was left for later; what @r owns is taken over. Once for each such
 * call, before the server is freed.
 */
void http_call_finish(struct http_call *c, struct http_reply *r);

struct http_server_params {
	sd_event *loop;
	int listen_fd;       /* taken over, also on failure */
	const char *what;    /* for messages: "control socket" */
	bool check_peer;     /* a unix socket: only root and our own user get an answer */
	unsigned timeout_s;  /* idle connections are closed after it */
	int64_t patience_ms; /* and those that take longer for one request or for its answer, however
				busy; streams are exempt. 0: as long as they like */
	unsigned max_connections;
	unsigned max_connections_per_address; /* 0: no limit; IP sockets only */
	http_handler_fn handler;
	void *userdata;
};

int http_server_new(const struct http_server_params *p, struct http_server **ret, struct err *err);
struct http_server *http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free)

/* Streams have more to tell. */
void http_server_wake(struct http_server *s);
