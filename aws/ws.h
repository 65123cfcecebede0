/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - a client WebSocket on the event loop (RFC 6455).
 * curl connects (proxy, TLS), the upgrade request is ours and signed, wslay frames. Loop thread
 * only. A ws may be freed from inside its own callbacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

struct aws_keys;
struct http_client;
struct ws;

enum {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_ABNORMAL = 1006, /* the connection ended without a close frame */
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
	WS_MESSAGE_MAX = 1024 * 1024,       /* inbound, after fragments are joined */
	WS_QUEUE_MAX = 8 * 1024 * 1024,     /* bytes waiting to be written */
	WS_UPGRADE_HEADERS_MAX = 64 * 1024, /* answer to the upgrade, headers */
	WS_UPGRADE_BODY_MAX = 64 * 1024,    /* body of a refusal kept as error text */
};

struct ws_handlers {
	void (*on_open)(void *userdata);
	/* @data is borrowed, @len bytes, NUL-terminated besides. */
	void (*on_message)(void *userdata, const char *data, size_t len, bool binary);
	/*
	 * The last call. @code: the close code, WS_CLOSE_ABNORMAL when the peer vanished, or 0 when
	 * the connection never opened or broke for a reason @err tells. @text: the close reason, or
	 * the body of a refused upgrade ("" when none).
	 */
	void (*on_close)(void *userdata, int code, const char *text, const struct err *err);
};

struct ws_params {
	struct http_client *http; /* borrowed; outlives the ws */
	const char *url;          /* http, https, ws or wss */
	const char *region;
	const char *service;          /* signing name */
	const struct aws_keys *keys;  /* NULL: unsigned; not kept */
	const char *user_agent;       /* may be NULL */
	int64_t handshake_timeout_ms; /* connect + upgrade; 0: 30 s */
	int64_t io_timeout_ms;        /* nothing read or a write stuck that long: over; 0: 3 min */
	size_t max_message_bytes;     /* 0: WS_MESSAGE_MAX */
};

int ws_connect(const struct ws_params *p, const struct ws_handlers *handlers, void *userdata,
	       struct ws **ret, struct err *err);

/*
 * Drops the connection without ceremony and without a
 * callback. NULL is fine. Always returns NULL.
 */
struct ws *ws_free(struct ws *w);
DEFINE_CLEANUP(struct ws *, ws_free)

/*
 * Queues a text message. -ENOTCONN before open or after
 * close, -ENOBUFS when WS_QUEUE_MAX is reached.
 */
int ws_send(struct ws *w, const char *data, size_t len, struct err *err);

/* Sends a close frame; reading goes on until the peer closes too, at most 10 s, then on_close. */
void ws_close(struct ws *w, int code, const char *reason);

/*
 * Says goodbye before ws_free(): queued messages and a close frame go out as far as the socket takes
 * them at once. Nothing is waited for and no callback comes. NULL or not open is fine.
 */
void ws_leave(struct ws *w, int code, const char *reason);

/*
 * The answer to an upgrade. @ret_end: bytes of the head, 0 while it is incomplete. Returns the HTTP
 * status (101: and the accept key fits), 0 while incomplete, or -EPROTO / -EFBIG with @err set.
 */
int ws_parse_upgrade(const char *data, size_t len, const char *key, size_t *ret_end,
		     int64_t *ret_content_length, struct err *err);

/* The Date of an answer, of whose head @len bytes are there; 0: none that can be read. */
int64_t ws_upgrade_date_ms(const char *head, size_t len);

/* Sec-WebSocket-Accept of a Sec-WebSocket-Key: 28 characters and a NUL. */
char *ws_accept_key(const char *key, char accept[29]);
