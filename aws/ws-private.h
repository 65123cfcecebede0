/* SPDX-License-Identifier: Apache-2.0 */
/* ws-private - what ws.c (connection, upgrade, end) and ws-frames.c (wslay) share. */
#pragma once

#include <curl/curl.h>
#include <systemd/sd-event.h>
#include <wslay/wslay.h>

#include "aws/ws.h"

struct http_request;

enum ws_state { WS_CONNECTING, WS_UPGRADING, WS_OPEN, WS_CLOSING, WS_DONE };

struct ws {
	sd_event *event;
	struct http_client *http; /* borrowed */
	struct http_request *transfer;
	CURL *easy; /* borrowed from the transfer */
	sd_event_source *io, *timer;
	enum ws_state state;
	struct ws_handlers handlers;
	void *userdata;
	struct buf out;   /* the upgrade request */
	struct buf in;    /* its answer; then what came right behind it */
	size_t in_offset; /* of in, handed to wslay */
	char key[32];
	wslay_event_context_ptr wslay;
	size_t max_message_bytes;
	int64_t io_timeout_ms, last_read_ms, last_write_ms; /* monotonic */
	int busy;
	bool doomed;   /* freed from inside a handler */
	bool peer_end; /* the peer's half is over */
	char *reason;  /* owned; of the peer's close frame */
};

/* The socket. Bytes read or written, 0 when the peer ended, -EAGAIN, or another negative errno. */
ssize_t ws_sock_recv(struct ws *w, void *data, size_t len);
ssize_t ws_sock_send(struct ws *w, const void *data, size_t len);

/* The end: sources go first, then the owner hears of it, once. */
void ws_finish(struct ws *w, int code, const char *text, const struct err *err);
void ws_finish_error(struct ws *w, int code, const char *what);

/* From the upgrade on: what w->in holds, then the socket, is frames. */
int ws_frames_start(struct ws *w, struct err *err);

/* Reads, hands on and writes what can be; ends the ws when the frames ended. */
void ws_frames_pump(struct ws *w);
