/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CONNECTING: curl resolves, tunnels and does TLS; then the socket is ours, read and written
 * through curl_easy_recv/send. UPGRADING: our GET goes out, the answer is collected. OPEN: wslay
 * frames. `busy` counts our frames on the stack that still touch the ws, so that a handler may free
 * it.
 */
#include "aws/ws-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/macro.h"

enum { WS_BUFFER_BYTES = 1024 };

static struct ws *ws_destroy(struct ws *w)
{
	(void) sd_event_source_disable_unref(w->io);
	(void) sd_event_source_disable_unref(w->timer);
	if (w->wslay)
		wslay_event_context_free(w->wslay);
	(void) http_easy_end(w->transfer);
	buf_done(&w->out);
	buf_done(&w->in);
	free(w->reason);
	(void) sd_event_unref(w->event);
	free(w);
	return NULL;
}

struct ws *ws_free(struct ws *w)
{
	if (!w)
		return NULL;
	if (w->busy == 0)
		return ws_destroy(w);
	w->doomed = true;
	w->state = WS_DONE;
	return NULL;
}

static void enter(struct ws *w)
{
	w->busy++;
}

static void leave(struct ws *w)
{
	if (--w->busy == 0 && w->doomed)
		(void) ws_destroy(w);
}

void ws_finish(struct ws *w, int code, const char *text, const struct err *err)
{
	struct err none = {};

	if (w->state == WS_DONE)
		return;
	w->state = WS_DONE;
	w->io = sd_event_source_disable_unref(w->io);
	w->timer = sd_event_source_disable_unref(w->timer);
	w->handlers.on_close(w->userdata, code, text ? text : "", err ? err : &none);
}

void ws_finish_error(struct ws *w, int code, const char *what)
{
	_cleanup_(err_done) struct err err = {};

	(void) err_set(&err, code, "%s", what);
	ws_finish(w, 0, "", &err);
}

/* ---- the socket ---- */

ssize_t ws_sock_recv(struct ws *w, void *data, size_t len)
{
	size_t n = 0;
	CURLcode c = curl_easy_recv(w->easy, data, len, &n);

	if (c == CURLE_AGAIN)
		return -EAGAIN;
	if (c != CURLE_OK)
		return -http_curl_errno(c);
	if (n > 0)
		w->last_read_ms = clock_mono_ms();
	return (ssize_t) n;
}

ssize_t ws_sock_send(struct ws *w, const void *data, size_t len)
{
	size_t n = 0;
	CURLcode c = curl_easy_send(w->easy, data, len, &n);

	if (c == CURLE_AGAIN || (c == CURLE_OK && n == 0))
		return -EAGAIN;
	if (c != CURLE_OK)
		return -http_curl_errno(c);
	w->last_write_ms = clock_mono_ms();
	return (ssize_t) n;
}

/* ---- the upgrade ---- */

static void opened(struct ws *w, size_t head_len)
{
	_cleanup_(err_done) struct err err = {};

	buf_consume(&w->in, head_len);
	if (ws_frames_start(w, &err) < 0) {
		ws_finish(w, 0, "", &err);
		return;
	}
	w->state = WS_OPEN;
	w->last_read_ms = w->last_write_ms = clock_mono_ms();
	(void) sd_event_source_set_time_relative(w->timer,
						 (uint64_t) w->io_timeout_ms * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
	w->handlers.on_open(w->userdata);
	if (w->state != WS_DONE)
		ws_frames_pump(w);
}

/* A refusal's body is an error text; it is complete at its length or at the end. */
static bool refused(struct ws *w, int status, size_t head_len, int64_t content_length, bool end)
{
	_cleanup_(err_done) struct err err = {};
	size_t have = w->in.len - head_len;
	int64_t date_ms = ws_upgrade_date_ms(w->in.data, head_len);

	if (!end && have < WS_UPGRADE_BODY_MAX &&
	    (content_length < 0 || have < (size_t) content_length))
		return false;
	if (status == 400 || status == 401 || status == 403)
		(void) http_learn_time(w->http, date_ms); /* for the next attempt */
	(void) err_set(&err, EREMOTEIO, "the upgrade was refused: HTTP %d", status);
	ws_finish(w, 0, w->in.data + head_len, &err);
	return true;
}

static void upgrade_step(struct ws *w, bool end)
{
	_cleanup_(err_done) struct err err = {};
	int64_t content_length = -1;
	size_t head_len = 0;
	int status = ws_parse_upgrade(buf_str(&w->in), w->in.len, w->key, &head_len,
				      &content_length, &err);

	if (status < 0)
		ws_finish(w, 0, "", &err);
	else if (status == 101)
		opened(w, head_len);
	else if (status > 0 && refused(w, status, head_len, content_length, end))
		return;
	else if (end)
		ws_finish_error(w, ECONNRESET, "the peer hung up during the upgrade");
}

/* To the last byte: what TLS holds already decrypted, no event tells of. */
static void upgrade_read(struct ws *w)
{
	char chunk[4096];

	while (w->state == WS_UPGRADING) {
		ssize_t n = ws_sock_recv(w, chunk, sizeof(chunk));

		if (n == -EAGAIN)
			return;
		if (n > 0 && !buf_append(&w->in, chunk, (size_t) n))
			ws_finish_error(w, EFBIG, "the answer to the upgrade is too long");
		else
			upgrade_step(w, n <= 0);
	}
}

static void upgrade_write(struct ws *w)
{
	ssize_t n = w->out.len > 0 ? ws_sock_send(w, w->out.data, w->out.len) : 0;

	if (n > 0)
		buf_consume(&w->out, (size_t) n);
	else if (n < 0 && n != -EAGAIN)
		ws_finish_error(w, (int) -n, "send the upgrade");
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct ws *w = userdata;

	(void) s, (void) fd;
	enter(w);
	if (w->state == WS_UPGRADING) {
		if (revents & EPOLLOUT)
			upgrade_write(w);
		if (w->state == WS_UPGRADING && (revents & ~(uint32_t) EPOLLOUT))
			upgrade_read(w);
		if (w->state == WS_UPGRADING)
			(void) sd_event_source_set_io_events(
				w->io, EPOLLIN | (w->out.len > 0 ? EPOLLOUT : 0));
	} else if (w->state != WS_DONE) {
		ws_frames_pump(w);
	}
	leave(w);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct ws *w = userdata;
	int64_t oldest, left;

	(void) usec;
	enter(w);
	if (w->state == WS_CLOSING) {
		ws_finish(w, WS_CLOSE_NORMAL, "", NULL); /* the peer does not answer our close */
	} else if (w->state != WS_OPEN) {
		ws_finish_error(w, ETIMEDOUT, "the handshake took too long");
	} else {
		oldest = w->last_read_ms;
		if (wslay_event_want_write(w->wslay))
			oldest = MIN(oldest, w->last_write_ms);
		left = oldest + w->io_timeout_ms - clock_mono_ms();
		if (left <= 0) {
			ws_finish_error(w, ETIMEDOUT,
					"nothing moved on the WebSocket for too long");
		} else {
			(void) sd_event_source_set_time_relative(s,
								 (uint64_t) left * USEC_PER_MSEC);
			(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
		}
	}
	leave(w);
	return 0;
}

static int start_upgrade(struct ws *w, struct err *err)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	int k;

	if (curl_easy_getinfo(w->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return err_set(err, ECONNRESET, "the connection is gone");
	w->state = WS_UPGRADING;
	k = sd_event_add_io(w->event, &w->io, fd, EPOLLIN | EPOLLOUT, on_io, w);
	if (k < 0)
		return err_set_errno(err, -k, "watch the WebSocket");
	(void) sd_event_source_set_description(w->io, "websocket");
	return 0;
}

static void on_connected(void *userdata, CURLcode code)
{
	_cleanup_(err_done) struct err err = {};
	struct ws *w = userdata;

	enter(w);
	if (code != CURLE_OK) {
		(void) err_set(&err, http_curl_errno(code), "connect: %s",
			       curl_easy_strerror(code));
		ws_finish(w, 0, "", &err);
	} else if (start_upgrade(w, &err) < 0) {
		ws_finish(w, 0, "", &err);
	}
	leave(w);
}

/* ---- for the owner ---- */

static int build_request(struct ws *w, const char *url, const struct ws_params *p, struct err *err)
{
	const char *target = strstr(url, "://") + 3;

	target += strcspn(target, "/?");
	(void) buf_printf(&w->out,
			  "GET %s%s HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			  "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
			  *target == '/' ? "" : "/", target, w->key);
	if (p->user_agent)
		(void) buf_printf(&w->out, "User-Agent: %s\r\n", p->user_agent);
	if (sigv4_sign_url("GET", url, NULL, 0, p->region, p->service, http_now_ms(p->http),
			   p->keys, &w->out, err) < 0)
		return err_wrap(err, "upgrade request");
	(void) buf_puts(&w->out, "\r\n");
	return w->out.failed ? err_set(err, ENOMEM, "upgrade request") : 0;
}

/* ws -> http, wss -> https: what curl connects to. Owned. */
static char *http_url(const char *url)
{
	_cleanup_(buf_done) struct buf b = {};
	bool web_socket = strncmp(url, "ws", 2) == 0;

	(void) buf_printf(&b, "%s%s", web_socket ? "http" : "", web_socket ? url + 2 : url);
	return buf_take(&b);
}

static int arm_timer(struct ws *w, int64_t in_ms, struct err *err)
{
	int k = sd_event_add_time_relative(w->event, &w->timer, CLOCK_MONOTONIC,
					   (uint64_t) in_ms * USEC_PER_MSEC, 10000, on_timer, w);

	return k < 0 ? err_set_errno(err, -k, "WebSocket timer") : 0;
}

static int start_transfer(struct ws *w, const char *url, const struct ws_params *p, struct err *err)
{
	CURL *easy = http_easy_new(p->http, url, false);

	if (!easy)
		return err_set(err, EINVAL, "WebSocket URL '%s' is not usable", url);
	(void) curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	(void) curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	(void) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	(void) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) WS_BUFFER_BYTES);
	w->easy = easy;
	return http_easy_start(p->http, easy, on_connected, w, &w->transfer, err);
}

static void random_key(char key[32])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (int i = 0; i < 21; i++)
		key[i] = digits[random_below(64)];
	key[21] = "AQgw"[random_below(4)]; /* 16 bytes leave four bits unused */
	memcpy(key + 22, "==", 3);
}

int ws_connect(const struct ws_params *p, const struct ws_handlers *handlers, void *userdata,
	       struct ws **ret, struct err *err)
{
	_cleanup_(ws_freep) struct ws *w = calloc(1, sizeof(*w));
	_cleanup_(freep) char *url = http_url(p->url);
	int k;

	if (!w || !url)
		return err_set(err, ENOMEM, "allocate WebSocket");
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return err_set(err, EINVAL, "WebSocket URL '%s' is not usable", p->url);
	w->event = sd_event_ref(http_client_event(p->http));
	w->http = p->http;
	w->handlers = *handlers;
	w->userdata = userdata;
	w->max_message_bytes = p->max_message_bytes ? p->max_message_bytes : WS_MESSAGE_MAX;
	w->io_timeout_ms = p->io_timeout_ms ? p->io_timeout_ms : 180000;
	w->in.max_bytes = WS_UPGRADE_HEADERS_MAX + WS_UPGRADE_BODY_MAX;
	random_key(w->key);
	k = build_request(w, url, p, err);
	if (k == 0)
		k = arm_timer(w, p->handshake_timeout_ms ? p->handshake_timeout_ms : 30000, err);
	if (k == 0)
		k = start_transfer(w, url, p, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(w);
	return 0;
}
