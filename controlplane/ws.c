/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wslay does the framing; this file gives it a non-blocking descriptor and decides when the
 * connection is over. A connection that has ended inside a call of ours is `finished`; a deferred
 * source then tells the owner, so no callback runs on the owner's stack.
 */
#include "controlplane/ws.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "common/clock.h"

enum {
	READ_BUDGET_BYTES = 256 * 1024, /* per turn of the loop, so that one peer cannot hold it */
	KEEPALIVE_IDLE_SEC = 60,
	KEEPALIVE_INTERVAL_SEC = 20,
	KEEPALIVE_PROBES = 3,
};

struct ws {
	struct ws_params p;
	int fd;
	char *early; /* owned */
	size_t early_len, early_pos;
	wslay_event_context_ptr ctx;
	sd_event_source *io, *deferred, *close_timer;
	size_t budget;
	bool draining; /* both sides are done talking; waiting for the peer's end of file */
	bool finished;
	bool in_callback, doomed;
	uint16_t code;
	char reason[WS_CLOSE_REASON_BYTES + 1];
};

static void finish(struct ws *ws, uint16_t code, const char *reason)
{
	if (ws->finished)
		return;
	ws->finished = true;
	ws->code = code;
	(void) snprintf(ws->reason, sizeof(ws->reason), "%s", reason ? reason : "");
	ws->io = sd_event_source_disable_unref(ws->io);
	ws->close_timer = sd_event_source_disable_unref(ws->close_timer);
	(void) sd_event_source_set_enabled(ws->deferred, SD_EVENT_ONESHOT);
}

static ssize_t take_early(struct ws *ws, uint8_t *buf, size_t len)
{
	size_t n = MIN(len, ws->early_len - ws->early_pos);

	memcpy(buf, ws->early + ws->early_pos, n);
	ws->early_pos += n;
	return (ssize_t) n;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *data)
{
	struct ws *ws = data;
	ssize_t n;

	(void) flags;
	if (ws->early_pos < ws->early_len)
		return take_early(ws, buf, len);
	if (ws->budget == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	do
		n = recv(ws->fd, buf, MIN(len, ws->budget), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		ws->budget -= (size_t) n;
		return n;
	}
	wslay_event_set_error(ctx, n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)
					   ? WSLAY_ERR_WOULDBLOCK
					   : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *buf, size_t len, int flags,
		       void *data)
{
	struct ws *ws = data;
	ssize_t n;

	do
		n = send(ws->fd, buf, len,
			 MSG_NOSIGNAL | ((flags & WSLAY_MSG_MORE) ? MSG_MORE : 0));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		wslay_event_set_error(ctx, errno == EAGAIN || errno == EWOULDBLOCK
						   ? WSLAY_ERR_WOULDBLOCK
						   : WSLAY_ERR_CALLBACK_FAILURE);
	return n;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
		       void *data)
{
	struct ws *ws = data;

	(void) ctx;
	if (ws->doomed || ws->finished)
		return;
	if (arg->opcode == WSLAY_TEXT_FRAME)
		ws->p.on_text(ws, (const char *) arg->msg, arg->msg_length, ws->p.userdata);
	else if (arg->opcode == WSLAY_BINARY_FRAME)
		ws_close(ws, WS_CLOSE_UNSUPPORTED, "only text frames are understood");
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = on_recv,
	.send_callback = on_send,
	.on_msg_recv_callback = on_message,
};

static int on_close_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct ws *ws = userdata;

	(void) s, (void) usec;
	finish(ws, wslay_event_get_status_code_sent(ws->ctx), "the peer did not answer the close");
	return 0;
}

static void start_close_timer(struct ws *ws)
{
	if (ws->close_timer || ws->finished)
		return;
	if (sd_event_add_time_relative(ws->p.event, &ws->close_timer, CLOCK_MONOTONIC,
				       WS_CLOSE_TIMEOUT_SEC * 1000000ULL, 0, on_close_timeout,
				       ws) < 0)
		finish(ws, WS_CLOSE_ABNORMAL, "no close timer");
}

/* After both close frames, or after ours when the peer broke the protocol, only its end of file
 * matters: closing with unread input would reset the connection and lose our close frame. */
static void drain(struct ws *ws)
{
	char sink[4096];
	ssize_t n;
	int rounds = 64;

	if (!ws->draining) {
		ws->draining = true;
		(void) shutdown(ws->fd, SHUT_WR);
		start_close_timer(ws);
	}
	do
		n = recv(ws->fd, sink, sizeof(sink), 0);
	while ((n > 0 && --rounds > 0) || (n < 0 && errno == EINTR));
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		finish(ws,
		       wslay_event_get_close_received(ws->ctx)
			       ? wslay_event_get_status_code_received(ws->ctx)
			       : wslay_event_get_status_code_sent(ws->ctx),
		       "closed");
}

static void update_interest(struct ws *ws)
{
	uint32_t events = EPOLLIN;

	if (ws->finished)
		return;
	if (!ws->draining && wslay_event_want_write(ws->ctx))
		events |= EPOLLOUT;
	if (sd_event_source_set_io_events(ws->io, events) < 0)
		finish(ws, WS_CLOSE_ABNORMAL, "event loop refused the socket");
}

static void check_queue(struct ws *ws)
{
	if (wslay_event_get_queued_msg_count(ws->ctx) > WS_MAX_CONTROL_QUEUE ||
	    wslay_event_get_queued_msg_length(ws->ctx) > ws->p.max_queue_bytes)
		ws_reset(ws);
}

static void pump(struct ws *ws)
{
	int k = 0;

	ws->budget = READ_BUDGET_BYTES;
	if (!ws->draining && wslay_event_want_read(ws->ctx))
		k = wslay_event_recv(ws->ctx);
	if (ws->doomed || ws->finished)
		return;
	if (k == 0 && !ws->draining && wslay_event_want_write(ws->ctx))
		k = wslay_event_send(ws->ctx);
	if (k != 0) {
		finish(ws, WS_CLOSE_ABNORMAL, "connection lost");
		return;
	}
	check_queue(ws);
	if (ws->finished)
		return;
	if (ws->draining ||
	    (wslay_event_get_close_sent(ws->ctx) &&
	     (wslay_event_get_close_received(ws->ctx) || !wslay_event_get_read_enabled(ws->ctx))))
		drain(ws);
	else if (!wslay_event_get_read_enabled(ws->ctx))
		start_close_timer(ws);
	update_interest(ws);
}

/* Closing a socket with unread input resets it, which can cost the peer our last frames. */
static void read_away(int fd)
{
	char sink[4096];
	int rounds = 64;

	(void) shutdown(fd, SHUT_WR);
	while (rounds-- > 0 && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void destroy(struct ws *ws)
{
	ws->io = sd_event_source_disable_unref(ws->io);
	ws->deferred = sd_event_source_disable_unref(ws->deferred);
	ws->close_timer = sd_event_source_disable_unref(ws->close_timer);
	if (ws->fd >= 0 && !ws->finished && wslay_event_get_close_sent(ws->ctx))
		read_away(ws->fd);
	if (ws->ctx)
		wslay_event_context_free(ws->ctx);
	if (ws->fd >= 0)
		ws->p.release(ws->fd, ws->p.release_arg);
	sd_event_unref(ws->p.event);
	free(ws->early);
	free(ws);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct ws *ws = userdata;

	(void) s, (void) fd, (void) revents;
	ws->in_callback = true;
	pump(ws);
	ws->in_callback = false;
	if (ws->doomed)
		destroy(ws);
	return 0;
}

/* Runs once at the start for the bytes that came with the request, and once at the end. */
static int on_deferred(sd_event_source *s, void *userdata)
{
	struct ws *ws = userdata;

	(void) s;
	ws->in_callback = true;
	if (ws->finished)
		ws->p.on_close(ws, ws->code, ws->reason, ws->p.userdata);
	else
		pump(ws);
	ws->in_callback = false;
	if (ws->doomed)
		destroy(ws);
	return 0;
}

static void tune_socket(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_SEC },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SEC },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	/* Best effort: a socketpair of a test has none of these. */
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		(void) setsockopt(fd, options[i].level, options[i].name, &options[i].value,
				  sizeof(options[i].value));
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int attach(struct ws *ws, int fd, struct err *err)
{
	int k = set_nonblocking(fd);

	if (k < 0)
		return err_set_errno(err, -k, "make the socket non-blocking");
	k = sd_event_add_io(ws->p.event, &ws->io, fd, EPOLLIN, on_io, ws);
	if (k < 0)
		return err_set_errno(err, -k, "watch the socket");
	k = sd_event_add_defer(ws->p.event, &ws->deferred, on_deferred, ws);
	if (k < 0)
		return err_set_errno(err, -k, "add a deferred source");
	(void) sd_event_source_set_description(ws->io, "websocket");
	tune_socket(fd);
	return 0;
}

int ws_new(const struct ws_params *p, struct ws **ret, struct err *err)
{
	_cleanup_(ws_freep) struct ws *ws = calloc(1, sizeof(*ws));
	int k;

	if (!ws)
		return err_set(err, ENOMEM, "allocate websocket");
	ws->p = *p;
	ws->p.event = sd_event_ref(p->event);
	ws->fd = -EBADF; /* the caller's until we succeed */
	if (p->early_len > 0) {
		ws->early = malloc(p->early_len);
		if (!ws->early)
			return err_set(err, ENOMEM, "allocate websocket");
		memcpy(ws->early, p->early, p->early_len);
		ws->early_len = p->early_len;
	}
	if (wslay_event_context_server_init(&ws->ctx, &callbacks, ws) < 0)
		return err_set(err, ENOMEM, "allocate websocket");
	wslay_event_config_set_max_recv_msg_length(ws->ctx, p->max_message_bytes);
	k = attach(ws, p->fd, err);
	if (k < 0)
		return k;
	ws->fd = p->fd;
	*ret = TAKE_PTR(ws);
	return 0;
}

struct ws *ws_free(struct ws *ws)
{
	if (!ws)
		return NULL;
	if (ws->in_callback)
		ws->doomed = true;
	else
		destroy(ws);
	return NULL;
}

int ws_send_text(struct ws *ws, const char *data, size_t len, struct err *err)
{
	struct wslay_event_msg msg = { .opcode = WSLAY_TEXT_FRAME,
				       .msg = (const uint8_t *) data,
				       .msg_length = len };

	if (ws->finished || ws->doomed || ws->draining || wslay_event_get_close_sent(ws->ctx) ||
	    !wslay_event_get_write_enabled(ws->ctx))
		return err_set(err, EPIPE, "the websocket is closing");
	if (wslay_event_get_queued_msg_length(ws->ctx) + len > ws->p.max_queue_bytes) {
		ws_reset(ws);
		return err_set(err, ENOBUFS, "the peer leaves more than %zu bytes unread",
			       ws->p.max_queue_bytes);
	}
	if (wslay_event_queue_msg(ws->ctx, &msg) < 0)
		return err_set(err, ENOMEM, "queue a frame");
	/* Straight to the kernel when it has room; inside a callback pump() does it afterwards. */
	if (!ws->in_callback && wslay_event_send(ws->ctx) != 0)
		finish(ws, WS_CLOSE_ABNORMAL, "connection lost");
	update_interest(ws);
	return 0;
}

void ws_close(struct ws *ws, uint16_t code, const char *reason)
{
	size_t len = reason ? MIN(strlen(reason), (size_t) WS_CLOSE_REASON_BYTES) : 0;
	int k;

	if (ws->finished || ws->doomed || ws->draining)
		return;
	k = wslay_event_queue_close(ws->ctx, code, (const uint8_t *) reason, len);
	if (k < 0 && k != WSLAY_ERR_NO_MORE_MSG) { /* which says that a close is under way */
		ws_reset(ws);
		return;
	}
	start_close_timer(ws);
	/* At once where possible: the owner may free us next. */
	if (!ws->in_callback && !ws->finished && wslay_event_send(ws->ctx) != 0)
		finish(ws, WS_CLOSE_ABNORMAL, "connection lost");
	update_interest(ws);
}

void ws_reset(struct ws *ws)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (ws->finished)
		return;
	/* Dissolving the association makes Linux send a reset; a local socket is just shut down. */
	if (connect(ws->fd, &none, sizeof(none)) < 0)
		(void) shutdown(ws->fd, SHUT_RDWR);
	finish(ws, WS_CLOSE_ABNORMAL, "connection reset");
}

size_t ws_queued_bytes(const struct ws *ws)
{
	return wslay_event_get_queued_msg_length(ws->ctx);
}

/* Whether a comma-separated header value holds @token, without regard to case. */
static bool has_token(const char *value, const char *token)
{
	size_t len = strlen(token);

	while (value && *value) {
		size_t n;

		value += strspn(value, " \t,");
		n = strcspn(value, " \t,");
		if (n == len && strncasecmp(value, token, n) == 0)
			return true;
		value += n;
	}
	return false;
}

static bool key_is_valid(const char *key)
{
	uint8_t raw[24];

	/* 16 bytes in base64: 22 significant characters and "==". */
	return strlen(key) == 24 && key[22] == '=' && key[23] == '=' && key[21] != '=' &&
	       EVP_DecodeBlock(raw, (const unsigned char *) key, 24) == 18;
}

static int compute_accept(const char *key, char accept[WS_ACCEPT_MAX])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[24 + sizeof(guid)];
	uint8_t sha1[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	(void) snprintf(text, sizeof(text), "%s%s", key, guid);
	if (EVP_Digest(text, strlen(text), sha1, &len, EVP_sha1(), NULL) != 1 || len != 20)
		return -EIO;
	(void) EVP_EncodeBlock((unsigned char *) accept, sha1, 20);
	return 0;
}

int ws_handshake_check(const struct ws_handshake *h, char accept[WS_ACCEPT_MAX], struct err *err)
{
	const char *wrong = NULL;

	if (!h->method || strcmp(h->method, "GET") != 0)
		wrong = "a websocket is opened with GET";
	else if (!has_token(h->upgrade, "websocket"))
		wrong = "Upgrade: websocket is missing";
	else if (!has_token(h->connection, "upgrade"))
		wrong = "Connection: Upgrade is missing";
	else if (!h->key || !key_is_valid(h->key))
		wrong = "Sec-WebSocket-Key must be 16 bytes in base64";
	if (wrong) {
		(void) err_set(err, EPROTO, "%s", wrong);
		return WS_E_NOT_UPGRADE;
	}
	if (!h->version || strcmp(h->version, "13") != 0) {
		(void) err_set(err, EPROTO, "Sec-WebSocket-Version must be 13");
		return WS_E_BAD_VERSION;
	}
	return compute_accept(h->key, accept) < 0
		       ? err_set(err, EIO, "compute Sec-WebSocket-Accept")
		       : 0;
}
