/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a wslay server over loopback, and against peers that misbehave. */
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include <cmocka.h>

#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/ws.h"
#include "common/clock.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

/* ---- a server: does what the first text message asks for ---- */

struct server {
	char head[8192];
	const char *refusal; /* sent instead of an upgrade */
	bool wrong_accept;
	bool greet; /* a message in the same segment as the upgrade's answer */
	int fd;
	_Atomic int close_code; /* of the client's close frame */
	char close_reason[32];
};

static ssize_t server_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
			   void *userdata)
{
	ssize_t n = recv(((struct server *) userdata)->fd, buf, len, MSG_DONTWAIT);

	(void) flags;
	if (n > 0)
		return n;
	wslay_event_set_error(ctx, n < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK
							    : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t server_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
			   void *userdata)
{
	ssize_t n = send(((struct server *) userdata)->fd, data, len, MSG_NOSIGNAL);

	(void) flags;
	if (n < 0)
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
	return n;
}

static void queue(wslay_event_context_ptr ctx, uint8_t opcode, const void *data, size_t len)
{
	const struct wslay_event_msg m = { opcode, data, len };

	(void) wslay_event_queue_msg(ctx, &m);
}

static ssize_t on_fragment(wslay_event_context_ptr ctx, uint8_t *buf, size_t len,
			   const union wslay_event_msg_source *source, int *eof, void *userdata)
{
	int *left = source->data;

	(void) ctx, (void) userdata, (void) len;
	buf[0] = (uint8_t) ('a' + 3 - *left);
	*eof = --*left == 0;
	return 1;
}

static void server_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
			   void *userdata)
{
	static int fragments;
	struct server *s = userdata;
	char word[16] = "";
	int number = 0;

	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		(void) snprintf(s->close_reason, sizeof(s->close_reason), "%.*s",
				(int) MAX(m->msg_length, (size_t) 2) - 2, m->msg + 2);
		s->close_code = m->status_code;
	}
	if (m->opcode != WSLAY_TEXT_FRAME)
		return;
	(void) snprintf(word, sizeof(word), "%.*s", (int) MIN(m->msg_length, 15), m->msg);
	if (sscanf(word, "close %d", &number) == 1) {
		(void) wslay_event_queue_close(ctx, (uint16_t) number, (const uint8_t *) "bye", 3);
	} else if (sscanf(word, "send %d", &number) == 1) {
		char *big = malloc((size_t) number);

		memset(big, 'x', (size_t) number);
		queue(ctx, WSLAY_TEXT_FRAME, big, (size_t) number);
		free(big);
	} else if (strcmp(word, "vanish") == 0) {
		(void) shutdown(s->fd, SHUT_RDWR);
	} else if (strcmp(word, "reset") == 0) {
		const struct linger l = { 1, 0 };

		(void) setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
		(void) wslay_event_shutdown_read(ctx);
	} else if (strcmp(word, "ping") == 0) {
		queue(ctx, WSLAY_PING, "p", 1);
		queue(ctx, WSLAY_BINARY_FRAME, "\0b", 2);
	} else if (strcmp(word, "fragments") == 0) {
		struct wslay_event_fragmented_msg f = { WSLAY_TEXT_FRAME,
							{ .data = &fragments },
							on_fragment };

		fragments = 3;
		(void) wslay_event_queue_fragmented_msg(ctx, &f);
	} else if (strcmp(word, "garbage") == 0) {
		(void) !write(s->fd, "\xff\xff\xff\xff", 4);
	} else {
		queue(ctx, WSLAY_TEXT_FRAME, m->msg, m->msg_length);
	}
}

static void serve_frames(struct server *s)
{
	const struct wslay_event_callbacks callbacks = {
		.recv_callback = server_recv,
		.send_callback = server_send,
		.on_msg_recv_callback = server_message,
	};
	wslay_event_context_ptr ctx;

	(void) wslay_event_context_server_init(&ctx, &callbacks, s);
	while (wslay_event_want_read(ctx) || wslay_event_want_write(ctx)) {
		struct pollfd p = { s->fd, POLLIN, 0 };

		if (wslay_event_want_write(ctx) && wslay_event_send(ctx) != 0)
			break;
		if (!wslay_event_want_read(ctx))
			continue;
		(void) poll(&p, 1, -1);
		if (wslay_event_recv(ctx) != 0)
			break;
	}
	wslay_event_context_free(ctx);
}

static void serve(int fd, void *userdata)
{
	struct server *s = userdata;
	char accept[29], answer[512], *key;
	int n;

	s->fd = fd;
	(void) fake_read_head(fd, s->head, sizeof(s->head));
	if (s->refusal) {
		(void) !write(fd, s->refusal, strlen(s->refusal));
		return;
	}
	key = strstr(s->head, "Sec-WebSocket-Key: ");
	if (!key)
		return;
	(void) snprintf(answer, 25, "%s", key + strlen("Sec-WebSocket-Key: "));
	(void) ws_accept_key(s->wrong_accept ? "another" : answer, accept);
	n = snprintf(answer, sizeof(answer),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		     accept, s->greet ? "\x81\x02hi" : "");
	(void) !write(fd, answer, (size_t) n);
	serve_frames(s);
}

/* ---- the client ---- */

struct client {
	sd_event *event;
	struct http_client *http;
	struct ws *ws;
	struct server server;
	struct fake_tcp tcp;
	const char *say; /* sent on open */
	bool open, got, closed, binary;
	bool free_in_message;
	bool close_in_message;
	char *message;
	size_t message_len;
	int code;
	int err_code;
	char text[256];
	char err_text[256];
};

static void on_open(void *userdata)
{
	struct client *c = userdata;

	c->open = true;
	if (c->say)
		assert_int_equal(ws_send(c->ws, c->say, strlen(c->say), NULL), 0);
}

static void on_message(void *userdata, const char *data, size_t len, bool binary)
{
	struct client *c = userdata;

	free(c->message);
	c->message = malloc(len + 1);
	memcpy(c->message, data, len + 1);
	c->message_len = len;
	c->binary = binary;
	c->got = true;
	if (c->free_in_message)
		c->ws = ws_free(c->ws);
	if (c->close_in_message)
		ws_close(c->ws, WS_CLOSE_NORMAL, "done");
}

static void on_close(void *userdata, int code, const char *text, const struct err *err)
{
	struct client *c = userdata;

	assert_false(c->closed);
	c->closed = true;
	c->code = code;
	c->err_code = err->code;
	(void) snprintf(c->text, sizeof(c->text), "%s", text);
	(void) snprintf(c->err_text, sizeof(c->err_text), "%s", err->code ? err->msg : "");
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_true(sd_event_new(&c->event) >= 0);
	assert_int_equal(http_client_new(c->event, NULL, &c->http, NULL), 0);
	fake_tcp_start(&c->tcp, serve, &c->server);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct client *c = *state;

	c->ws = ws_free(c->ws);
	c->http = http_client_free(c->http);
	fake_tcp_stop(&c->tcp);
	(void) sd_event_unref(c->event);
	free(c->message);
	free(c);
	return 0;
}

static void dial(struct client *c, const struct aws_keys *keys)
{
	static const struct ws_handlers handlers = { on_open, on_message, on_close };
	char url[128];
	const struct ws_params p = {
		.http = c->http,
		.url = url,
		.region = "us-west-2",
		.service = "ecs",
		.keys = keys,
		.user_agent = "test",
		.handshake_timeout_ms = 1000,
		.io_timeout_ms = 1000,
		.max_message_bytes = 100000,
	};

	(void) snprintf(url, sizeof(url), "%s/ws?b=2&a=1", c->tcp.url);
	assert_int_equal(ws_connect(&p, &handlers, c, &c->ws, NULL), 0);
}

static void a_message_goes_there_and_comes_back(void **state)
{
	struct client *c = *state;

	c->say = "hello";
	dial(c, NULL);
	assert_int_equal(ws_send(c->ws, "x", 1, NULL), -ENOTCONN);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_string_equal(c->message, "hello");
	assert_false(c->binary);
	assert_non_null(strstr(c->server.head, "GET /ws?b=2&a=1 HTTP/1.1\r\n"));
	assert_null(strstr(c->server.head, "Authorization"));
}

static void the_upgrade_is_signed(void **state)
{
	static const struct aws_keys keys = { (char *) "AKID", (char *) "secret", (char *) "TOKEN",
					      0 };
	struct client *c = *state;

	dial(c, &keys);
	assert_true(loop_until(c->event, &c->open, 5000));
	assert_non_null(strstr(c->server.head, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/"));
	assert_non_null(strstr(c->server.head,
			       "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="));
	assert_non_null(strstr(c->server.head, "X-Amz-Security-Token: TOKEN\r\n"));
	assert_non_null(strstr(c->server.head, "Host: 127.0.0.1:"));
}

static void fragments_are_joined(void **state)
{
	struct client *c = *state;

	c->say = "fragments";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_string_equal(c->message, "abc");
}

static void pings_are_answered_and_binary_is_told_apart(void **state)
{
	struct client *c = *state;

	c->say = "ping";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_true(c->binary);
	assert_int_equal(c->message_len, 2);
	assert_memory_equal(c->message, "\0b", 3);
}

static void what_comes_with_the_answer_is_not_lost(void **state)
{
	struct client *c = *state;

	c->server.greet = true;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_string_equal(c->message, "hi");
}

static void close_codes_surface(void **state)
{
	static const struct {
		const char *say;
		int code;
		const char *text;
	} cases[] = {
		{ "close 1000", 1000, "bye" }, { "close 1001", 1001, "bye" },
		{ "close 1011", 1011, "bye" }, { "close 4000", 4000, "bye" },
		{ "vanish", 1006, "" },        { "reset", 1006, "" },
	};
	struct client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		c->closed = false;
		c->say = cases[i].say;
		dial(c, NULL);
		assert_true(loop_until(c->event, &c->closed, 5000));
		assert_int_equal(c->code, cases[i].code);
		assert_string_equal(c->text, cases[i].text);
		assert_int_equal(c->err_code, 0);
		c->ws = ws_free(c->ws);
	}
}

static void our_close_is_answered(void **state)
{
	struct client *c = *state;

	c->say = "hello";
	c->close_in_message = true;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->code, 1000);
}

/* The process ends next: no loop runs any more, and nothing is waited for. */
static void leaving_says_goodbye(void **state)
{
	struct client *c = *state;
	int64_t start;

	dial(c, NULL);
	ws_leave(c->ws, WS_CLOSE_GOING_AWAY, "too early"); /* not open yet */
	assert_true(loop_until(c->event, &c->open, 5000));
	assert_int_equal(ws_send(c->ws, "send 50000", 10, NULL), 0);
	start = clock_mono_ms();
	ws_leave(c->ws, WS_CLOSE_GOING_AWAY, "stopping");
	c->ws = ws_free(c->ws);
	assert_in_range(clock_mono_ms() - start, 0, 100);
	for (int i = 0; i < 3000 && c->server.close_code == 0; i++)
		(void) usleep(10000);
	assert_int_equal(c->server.close_code, WS_CLOSE_GOING_AWAY);
	assert_string_equal(c->server.close_reason, "stopping");
	assert_false(c->closed);
	ws_leave(NULL, WS_CLOSE_GOING_AWAY, "");
}

/* ---- a proxy ---- */

struct proxy {
	struct fake_tcp tcp;
	char head[8192];
	const char *refusal;
	uint16_t to;
};

static bool pass_on(int from, int to)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf));

	return n > 0 && send(to, buf, (size_t) n, MSG_NOSIGNAL) == n;
}

static void serve_proxy(int fd, void *userdata)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	struct proxy *p = userdata;
	const struct sockaddr_in sa = { .sin_family = AF_INET,
					.sin_port = htons(p->to),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *answer = p->refusal ? p->refusal : ok;
	struct pollfd both[2] = { { fd, POLLIN, 0 },
				  { socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0 } };

	(void) fake_read_head(fd, p->head, sizeof(p->head));
	if (connect(both[1].fd, (const struct sockaddr *) &sa, sizeof(sa)) == 0 &&
	    write(fd, answer, strlen(answer)) > 0 && !p->refusal)
		while (poll(both, 2, -1) > 0 && (!both[0].revents || pass_on(fd, both[1].fd)) &&
		       (!both[1].revents || pass_on(both[1].fd, fd)))
			;
	(void) close(both[1].fd);
}

static void dial_through(struct client *c, struct proxy *p, const char *no_proxy)
{
	const struct http_options o = { .http_proxy = p->tcp.url, .no_proxy = no_proxy };

	c->http = http_client_free(c->http);
	assert_int_equal(http_client_new(c->event, &o, &c->http, NULL), 0);
	/* Loopback is never proxied, and this name has no address but at the proxy. */
	(void) snprintf(c->tcp.url, sizeof(c->tcp.url), "http://peer.test:%u", p->to);
	c->say = "hello";
	c->got = c->closed = false;
	dial(c, &(struct aws_keys){ (char *) "AKID", (char *) "secret", NULL, 0 });
}

static void a_proxy_is_tunnelled_through(void **state)
{
	struct client *c = *state;
	struct proxy p = { .to = c->tcp.port };
	char first_line[64];

	fake_tcp_start(&p.tcp, serve_proxy, &p);
	dial_through(c, &p, "");
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_string_equal(c->message, "hello");
	(void) snprintf(first_line, sizeof(first_line), "CONNECT peer.test:%u HTTP/1.1\r\n", p.to);
	assert_memory_equal(p.head, first_line, strlen(first_line));
	assert_null(strstr(p.head, "AKID")); /* the signature is for the other end alone */
	assert_non_null(strstr(c->server.head, "Credential=AKID/"));
	assert_int_equal(p.tcp.connections, 1);
	c->ws = ws_free(c->ws);

	dial_through(c, &p, "peer.test");
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(p.tcp.connections, 1);
	c->ws = ws_free(c->ws);
	c->http = http_client_free(c->http);
	fake_tcp_stop(&p.tcp);
}

static void a_proxy_that_refuses_is_told(void **state)
{
	struct client *c = *state;
	struct proxy p = { .to = c->tcp.port,
			   .refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n"
				      "Content-Length: 0\r\n\r\n" };

	fake_tcp_start(&p.tcp, serve_proxy, &p);
	dial_through(c, &p, "");
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->code, 0);
	assert_true(c->err_code != 0);
	assert_false(c->open);
	c->ws = ws_free(c->ws);
	c->http = http_client_free(c->http);
	fake_tcp_stop(&p.tcp);
}

static void too_big_a_message_ends_it(void **state)
{
	struct client *c = *state;

	c->say = "send 100001";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_false(c->got);
	assert_int_equal(c->code, WS_CLOSE_TOO_BIG);
}

static void the_biggest_message_passes(void **state)
{
	struct client *c = *state;

	c->say = "send 100000";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_int_equal(c->message_len, 100000);
}

static void garbage_frames_end_it_with_a_protocol_error(void **state)
{
	struct client *c = *state;

	c->say = "garbage";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_true(c->code == 1002 || c->err_code != 0);
}

static void a_ws_may_be_freed_in_its_handler(void **state)
{
	struct client *c = *state;
	bool never = false;

	c->say = "hello";
	c->free_in_message = true;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->got, 5000));
	assert_false(loop_until(c->event, &never, 50)); /* AddressSanitizer watches */
	assert_false(c->closed);
}

static void a_refusal_gives_its_body_as_text(void **state)
{
	struct client *c = *state;

	c->server.refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 34\r\n\r\n"
			    "{\"InactiveInstanceException\":\"off\"}trailing";
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->code, 0);
	assert_string_equal(c->err_text, "the upgrade was refused: HTTP 403");
	assert_non_null(strstr(c->text, "{\"InactiveInstanceException\":\"off\"}"));
}

static void a_refusal_tells_the_time(void **state)
{
	struct client *c = *state;
	time_t t = time(NULL) + 7200;
	char refusal[256], date[64];

	(void) strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&t));
	(void) snprintf(refusal, sizeof(refusal),
			"HTTP/1.1 403 Forbidden\r\nDate: %s\r\nContent-Length: 0\r\n\r\n", date);
	c->server.refusal = refusal;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_in_range(http_now_ms(c->http) - clock_real_ms(), 7190 * 1000, 7210 * 1000);
	assert_int_equal(ws_upgrade_date_ms(refusal, 30), 0);
	assert_int_equal(ws_upgrade_date_ms("HTTP/1.1 403 No\r\nDate: soon\r\n", 29), 0);
	assert_int_equal(ws_upgrade_date_ms("", 0), 0);
}

static void bad_answers_are_refused(void **state)
{
	static const struct {
		const char *answer, *complaint;
	} cases[] = {
		{ "SSH-2.0-OpenSSH\r\n", "upgrade: the peer does not speak HTTP/1" },
		{ "", "the peer hung up during the upgrade" },
		{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
		  "upgrade: the peer switches to something else" },
		{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		  "Connection: upgrade\r\n\r\n",
		  "upgrade: Sec-WebSocket-Accept: missing" },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", "upgrade: bad status line" },
	};
	struct client *c = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		c->closed = false;
		c->server.refusal = cases[i].answer;
		dial(c, NULL);
		assert_true(loop_until(c->event, &c->closed, 5000));
		assert_int_equal(c->code, 0);
		assert_string_equal(c->err_text, cases[i].complaint);
		c->ws = ws_free(c->ws);
	}
}

static void a_wrong_accept_key_is_refused(void **state)
{
	struct client *c = *state;

	c->server.wrong_accept = true;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_string_equal(c->err_text, "upgrade: Sec-WebSocket-Accept does not fit our key");
}

static void nobody_there_is_told_at_once(void **state)
{
	struct client *c = *state;

	fake_tcp_stop(&c->tcp);
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->code, 0);
	assert_int_equal(c->err_code, ECONNREFUSED);
	fake_tcp_start(&c->tcp, serve, &c->server);
}

static void serve_nothing(int fd, void *userdata)
{
	char buf[4096];

	(void) userdata;
	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

static void a_silent_peer_times_out(void **state)
{
	struct client *c = *state;

	c->tcp.serve = serve_nothing;
	dial(c, NULL);
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->err_code, ETIMEDOUT);
	assert_false(c->open);
	c->ws = ws_free(c->ws);
}

static void an_idle_connection_times_out(void **state)
{
	struct client *c = *state;

	dial(c, NULL);
	assert_true(loop_until(c->event, &c->open, 5000));
	assert_true(loop_until(c->event, &c->closed, 5000));
	assert_int_equal(c->err_code, ETIMEDOUT);
	c->ws = ws_free(c->ws);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_goes_there_and_comes_back),
		TEST(the_upgrade_is_signed),
		TEST(fragments_are_joined),
		TEST(pings_are_answered_and_binary_is_told_apart),
		TEST(what_comes_with_the_answer_is_not_lost),
		TEST(close_codes_surface),
		TEST(our_close_is_answered),
		TEST(leaving_says_goodbye),
		TEST(a_proxy_is_tunnelled_through),
		TEST(a_proxy_that_refuses_is_told),
		TEST(too_big_a_message_ends_it),
		TEST(the_biggest_message_passes),
		TEST(garbage_frames_end_it_with_a_protocol_error),
		TEST(a_ws_may_be_freed_in_its_handler),
		TEST(a_refusal_gives_its_body_as_text),
		TEST(a_refusal_tells_the_time),
		TEST(bad_answers_are_refused),
		TEST(a_wrong_accept_key_is_refused),
		TEST(nobody_there_is_told_at_once),
		TEST(a_silent_peer_times_out),
		TEST(an_idle_connection_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
