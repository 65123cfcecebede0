/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of an open WebSocket, through wslay's event API. */
#include "aws/ws-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/macro.h"

enum { CLOSE_WAIT_MS = 10000, CLOSE_REASON_MAX = 123, LEAVE_READS_MAX = 64 };

static ssize_t on_wslay_recv(wslay_event_context_ptr ctx, uint8_t *data, size_t len, int flags,
			     void *userdata)
{
	struct ws *w = userdata;
	size_t left = w->in.len - w->in_offset;
	ssize_t n;

	(void) flags;
	if (w->state == WS_DONE) {
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	if (left > 0) {
		n = (ssize_t) MIN(left, len);
		memcpy(data, w->in.data + w->in_offset, (size_t) n);
		w->in_offset += (size_t) n;
		if (w->in_offset == w->in.len) {
			buf_done(&w->in);
			w->in_offset = 0;
		}
		return n;
	}
	n = ws_sock_recv(w, data, len);
	if (n > 0)
		return n;
	w->peer_end = n == 0 || n == -ECONNRESET;
	wslay_event_set_error(ctx,
			      n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t on_wslay_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len,
			     int flags, void *userdata)
{
	struct ws *w = userdata;
	ssize_t n = w->state == WS_DONE ? -EPIPE : ws_sock_send(w, data, len);

	(void) flags;
	if (n > 0)
		return n;
	w->peer_end |= n == -ECONNRESET;
	wslay_event_set_error(ctx,
			      n == -EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static int on_wslay_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *userdata)
{
	(void) ctx, (void) userdata;
	return getrandom(buf, len, 0) == (ssize_t) len ? 0 : -1;
}

static void on_wslay_message(wslay_event_context_ptr ctx,
			     const struct wslay_event_on_msg_recv_arg *m, void *userdata)
{
	struct ws *w = userdata;

	(void) ctx;
	if (w->state == WS_DONE)
		return;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		free(w->reason); /* two bytes of status come before the text */
		w->reason = m->msg_length > 2
				    ? strndup((const char *) m->msg + 2, m->msg_length - 2)
				    : NULL;
		return;
	}
	if (m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME) {
		/* wslay's message has no NUL behind it; parsers of text are kept safe from that */
		_cleanup_(freep) char *raw = malloc(m->msg_length + 1);

		if (!raw) {
			ws_finish_error(w, ENOMEM, "out of memory for a message");
			return;
		}
		memcpy(raw, m->msg, m->msg_length);
		raw[m->msg_length] = '\0';
		w->handlers.on_message(w->userdata, raw, m->msg_length,
				       m->opcode == WSLAY_BINARY_FRAME);
	}
}

int ws_frames_start(struct ws *w, struct err *err)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_wslay_recv,
		.send_callback = on_wslay_send,
		.genmask_callback = on_wslay_mask,
		.on_msg_recv_callback = on_wslay_message,
	};

	if (wslay_event_context_client_init(&w->wslay, &callbacks, w) != 0)
		return err_set(err, ENOMEM, "start WebSocket");
	wslay_event_config_set_max_recv_msg_length(w->wslay, w->max_message_bytes);
	return 0;
}

/* Why the frames stopped: the peer's close code, ours when we refused something, or neither. */
static void finish_frames(struct ws *w)
{
	uint16_t theirs = wslay_event_get_status_code_received(w->wslay);
	uint16_t ours = wslay_event_get_status_code_sent(w->wslay);

	if (wslay_event_get_close_received(w->wslay))
		ws_finish(w, theirs && theirs != WSLAY_CODE_NO_STATUS_RCVD ? theirs : 1005,
			  w->reason, NULL);
	else if (wslay_event_get_close_sent(w->wslay) && ours && w->state != WS_CLOSING)
		ws_finish(w, ours, "", NULL);
	else if (w->peer_end)
		ws_finish(w, WS_CLOSE_ABNORMAL, "", NULL);
	else
		ws_finish_error(w, ECONNRESET, "the WebSocket broke");
}

static void want_events(struct ws *w)
{
	uint32_t events = 0;

	if (wslay_event_want_read(w->wslay))
		events |= EPOLLIN;
	if (wslay_event_want_write(w->wslay))
		events |= EPOLLOUT;
	if (events == 0)
		finish_frames(w);
	else
		(void) sd_event_source_set_io_events(w->io, events);
}

void ws_frames_pump(struct ws *w)
{
	int k = wslay_event_recv(w->wslay);

	if (k == 0 && w->state != WS_DONE)
		k = wslay_event_send(w->wslay);
	if (w->state == WS_DONE)
		return;
	if (k != 0)
		finish_frames(w);
	else
		want_events(w);
}

/* ---- for the owner ---- */

int ws_send(struct ws *w, const char *data, size_t len, struct err *err)
{
	struct wslay_event_msg m = { WSLAY_TEXT_FRAME, (const uint8_t *) data, len };

	if (w->state != WS_OPEN || wslay_event_get_close_received(w->wslay))
		return err_set(err, ENOTCONN, "the WebSocket is not open");
	if (wslay_event_get_queued_msg_length(w->wslay) + len > WS_QUEUE_MAX)
		return err_set(err, ENOBUFS, "%zu bytes wait to be written already",
			       wslay_event_get_queued_msg_length(w->wslay));
	if (wslay_event_get_queued_msg_count(w->wslay) == 0)
		w->last_write_ms = clock_mono_ms();
	if (wslay_event_queue_msg(w->wslay, &m) != 0)
		return err_set(err, ENOMEM, "queue message");
	(void) sd_event_source_set_io_events(w->io, EPOLLIN | EPOLLOUT);
	return 0;
}

void ws_close(struct ws *w, int code, const char *reason)
{
	size_t n = strlen(reason);

	if (w->state != WS_OPEN)
		return;
	w->state = WS_CLOSING;
	(void) wslay_event_queue_close(w->wslay, (uint16_t) code, (const uint8_t *) reason,
				       MIN(n, (size_t) CLOSE_REASON_MAX));
	(void) sd_event_source_set_time_relative(w->timer, CLOSE_WAIT_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
	(void) sd_event_source_set_io_events(w->io, EPOLLIN | EPOLLOUT);
}

void ws_leave(struct ws *w, int code, const char *reason)
{
	char rest[4096];

	if (!w || w->state != WS_OPEN || w->busy > 0)
		return;
	ws_close(w, code, reason);
	(void) wslay_event_send(w->wslay);
	/* What lies unread would turn our end into a reset, which overtakes the close frame. */
	for (int i = 0; i < LEAVE_READS_MAX && ws_sock_recv(w, rest, sizeof(rest)) > 0; i++)
		;
}
