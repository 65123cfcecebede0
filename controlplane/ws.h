/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - the server's side of one WebSocket (RFC 6455), on an sd-event loop.
 *
 * The HTTP part ends with ws_handshake_check(); from then on the descriptor belongs to a struct ws,
 * which never blocks: what the peer does not take is queued up to a cap, and a peer that lets the
 * cap fill is dropped. Callbacks come from the loop only, never from inside a call into this
 * module, and any of them may call ws_free(). Loop thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct ws;

/* Close codes of RFC 6455 section 7.4.1 which we use or report. */
enum {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL_ERROR = 1002,
	WS_CLOSE_UNSUPPORTED = 1003, /* a binary frame */
	WS_CLOSE_NO_STATUS = 1005,   /* reported only: a close frame without a code */
	WS_CLOSE_ABNORMAL = 1006,    /* reported only: the connection ended without a close frame */
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_SERVER_ERROR = 1011,
};

enum {
	WS_ACCEPT_MAX = 29,          /* Sec-WebSocket-Accept with its NUL */
	WS_CLOSE_TIMEOUT_SEC = 5,    /* how long a peer may take to answer a close frame */
	WS_MAX_CONTROL_QUEUE = 4096, /* frames waiting to be written: a flood of pings is dropped */
	WS_CLOSE_REASON_BYTES = 123, /* longer reasons are cut */
};

struct ws_params {
	sd_event *event; /* borrowed, referenced */
	int fd;          /* owned by the releaser, see release; made non-blocking */
	const void *early;
	size_t early_len;         /* bytes read along with the HTTP request */
	size_t max_message_bytes; /* a longer message is answered with close code 1009 */
	size_t max_queue_bytes;   /* unsent bytes after which a slow reader is dropped */
	void (*on_text)(struct ws *ws, const char *data, size_t len, void *userdata);
	/* Once, as the last callback; the caller frees the ws in it or later. */
	void (*on_close)(struct ws *ws, uint16_t code, const char *reason, void *userdata);
	void *userdata;
	/* Gives the descriptor back: MHD_upgrade_action() in the server, close() in a test. */
	void (*release)(int fd, void *arg);
	void *release_arg;
};

/* Takes the descriptor over on success only. Returns 0 or a negative errno with @err set. */
int ws_new(const struct ws_params *p, struct ws **ret, struct err *err);

/* Releases the descriptor, without a close frame unless one is already under way. */
struct ws *ws_free(struct ws *ws);
DEFINE_CLEANUP(struct ws *, ws_free)

/*
 * Queues one text message. Returns 0; -EPIPE when the socket is closing; -ENOBUFS when the peer
 * does not read, in which case the connection is dropped and on_close follows.
 */
int ws_send_text(struct ws *ws, const char *data, size_t len, struct err *err);

/* Sends a close frame after what is queued; on_close follows when the peer answers or the time is
 * up.
 */
void ws_close(struct ws *ws, uint16_t code, const char *reason);

/* Ends the connection at once with a TCP reset; on_close follows with WS_CLOSE_ABNORMAL. */
void ws_reset(struct ws *ws);

/* Bytes accepted by ws_send_text() and not yet taken by the kernel. */
size_t ws_queued_bytes(const struct ws *ws);

/* What the opening request said; absent headers are NULL. */
struct ws_handshake {
	const char *method;     /* must be GET */
	const char *upgrade;    /* Upgrade: websocket */
	const char *connection; /* Connection: …, Upgrade */
	const char *version;    /* Sec-WebSocket-Version: 13 */
	const char *key;        /* Sec-WebSocket-Key: 16 bytes in base64 */
};

enum { WS_E_NOT_UPGRADE = 1, WS_E_BAD_VERSION = 2 };

/*
 * Checks the opening request and computes the Sec-WebSocket-Accept value (RFC 6455 section 4.2).
 * Returns 0; WS_E_BAD_VERSION (answer 426 with Sec-WebSocket-Version: 13); WS_E_NOT_UPGRADE (answer
 * 400), both with @err saying what is wrong.
 */
int ws_handshake_check(const struct ws_handshake *h, char accept[WS_ACCEPT_MAX], struct err *err);
