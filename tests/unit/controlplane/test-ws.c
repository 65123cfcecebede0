/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ws.h"

#include <string.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "common/buf.h"
#include "tests/unit/test.h"

/* A server socket and, on the other end of a socketpair, a client of wslay's. */
struct fixture {
	sd_event *event;
	struct ws *ws;
	int client_fd;
	wslay_event_context_ptr client;
	struct buf got;        /* by the server: each message and a newline */
	struct buf client_got; /* by the client, likewise */
	int closed;
	uint16_t code;
	bool released, free_on_text;
};

static void on_text(struct ws *ws, const char *data, size_t len, void *userdata)
{
	struct fixture *f = userdata;

	(void) buf_append(&f->got, data, len);
	(void) buf_puts(&f->got, "\n");
	if (f->free_on_text)
		f->ws = ws_free(ws);
}

static void on_close(struct ws *ws, uint16_t code, const char *reason, void *userdata)
{
	struct fixture *f = userdata;

	(void) ws, (void) reason;
	f->closed++;
	f->code = code;
}

static void on_release(int fd, void *arg)
{
	struct fixture *f = arg;

	f->released = true;
	(void) close(fd);
}

static ssize_t client_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
			   void *data)
{
	struct fixture *f = data;
	ssize_t n = recv(f->client_fd, buf, len, MSG_DONTWAIT);

	(void) flags;
	if (n > 0)
		return n;
	wslay_event_set_error(ctx, n < 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t client_send(wslay_event_context_ptr ctx, const uint8_t *buf, size_t len, int flags,
			   void *data)
{
	struct fixture *f = data;
	ssize_t n = send(f->client_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void) flags;
	if (n < 0)
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
	return n;
}

static int client_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *data)
{
	(void) ctx, (void) data;
	memset(buf, 0x5a, len);
	return 0;
}

static void client_msg(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
		       void *data)
{
	struct fixture *f = data;

	(void) ctx;
	if (arg->opcode == WSLAY_PONG)
		(void) buf_puts(&f->client_got, "pong:");
	if (arg->opcode == WSLAY_CONNECTION_CLOSE)
		return;
	(void) buf_append(&f->client_got, arg->msg, arg->msg_length);
	(void) buf_puts(&f->client_got, "\n");
}

static void start(struct fixture *f, size_t max_message, size_t max_queue, const char *early,
		  size_t early_len)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = client_recv,
		.send_callback = client_send,
		.genmask_callback = client_mask,
		.on_msg_recv_callback = client_msg,
	};
	struct ws_params p = { .early = early,
			       .early_len = early_len,
			       .max_message_bytes = max_message,
			       .max_queue_bytes = max_queue,
			       .on_text = on_text,
			       .on_close = on_close,
			       .userdata = f,
			       .release = on_release,
			       .release_arg = f };
	int fds[2];

	*f = (struct fixture){};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_true(sd_event_new(&f->event) >= 0);
	p.event = f->event;
	p.fd = fds[0];
	f->client_fd = fds[1];
	assert_int_equal(wslay_event_context_client_init(&f->client, &callbacks, f), 0);
	assert_int_equal(ws_new(&p, &f->ws, NULL), 0);
}

static void stop(struct fixture *f)
{
	f->ws = ws_free(f->ws);
	assert_true(f->released);
	wslay_event_context_free(f->client);
	f->client_fd = safe_close(f->client_fd);
	sd_event_unref(f->event);
	buf_done(&f->got);
	buf_done(&f->client_got);
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 50; i++) {
		(void) wslay_event_send(f->client);
		if (wslay_event_get_read_enabled(f->client))
			(void) wslay_event_recv(f->client);
		(void) sd_event_run(f->event, 0);
	}
}

static void say(struct fixture *f, uint8_t opcode, const char *text)
{
	const struct wslay_event_msg msg = { opcode, (const uint8_t *) text, strlen(text) };

	assert_int_equal(wslay_event_queue_msg(f->client, &msg), 0);
}

static void text_goes_both_ways(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	say(&f, WSLAY_TEXT_FRAME, "hello");
	assert_int_equal(ws_send_text(f.ws, "good day", 8, NULL), 0);
	turn(&f);
	assert_string_equal(buf_str(&f.got), "hello\n");
	assert_string_equal(buf_str(&f.client_got), "good day\n");
	stop(&f);
}

/* A text frame "Hel", then its continuation "lo" (RFC 6455 section 5.7), masked with zeros. */
static void fragments_make_one_message_and_early_bytes_count(void **state _unused_)
{
	static const char first[] = "\x01\x83\0\0\0\0Hel", second[] = "\x80\x82\0\0\0\0lo";
	struct fixture f;

	start(&f, 1024, 4096, first, sizeof(first) - 1);
	assert_int_equal(send(f.client_fd, second, sizeof(second) - 1, 0), sizeof(second) - 1);
	turn(&f);
	assert_string_equal(buf_str(&f.got), "Hello\n");
	stop(&f);
}

static void a_ping_is_answered(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	say(&f, WSLAY_PING, "abc");
	turn(&f);
	assert_string_equal(buf_str(&f.client_got), "pong:abc\n");
	stop(&f);
}

static void too_long_a_message_is_closed_with_1009(void **state _unused_)
{
	struct fixture f;
	char big[65];

	memset(big, 'x', sizeof(big) - 1);
	big[64] = '\0';
	start(&f, 63, 4096, NULL, 0);
	say(&f, WSLAY_TEXT_FRAME, big);
	turn(&f);
	assert_int_equal(wslay_event_get_status_code_received(f.client), WS_CLOSE_TOO_BIG);
	f.client_fd = safe_close(f.client_fd);
	turn(&f);
	assert_int_equal(f.closed, 1);
	assert_string_equal(buf_str(&f.got), "");
	stop(&f);
}

static void a_binary_frame_is_closed_with_1003(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	say(&f, WSLAY_BINARY_FRAME, "\x01\x02");
	turn(&f);
	assert_int_equal(wslay_event_get_status_code_received(f.client), WS_CLOSE_UNSUPPORTED);
	stop(&f);
}

static void an_unmasked_frame_is_a_protocol_error(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	assert_int_equal(send(f.client_fd, "\x81\x02hi", 4, 0), 4);
	turn(&f);
	assert_int_equal(wslay_event_get_status_code_received(f.client), WS_CLOSE_PROTOCOL_ERROR);
	assert_string_equal(buf_str(&f.got), "");
	stop(&f);
}

static void the_close_of_the_peer_is_reported_with_its_code(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	assert_int_equal(wslay_event_queue_close(f.client, 4001, (const uint8_t *) "x", 1), 0);
	turn(&f);
	f.client_fd = safe_close(f.client_fd);
	turn(&f);
	assert_int_equal(f.closed, 1);
	assert_int_equal(f.code, 4001);
	stop(&f);
}

static void our_close_follows_what_was_queued(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	assert_int_equal(ws_send_text(f.ws, "last", 4, NULL), 0);
	ws_close(f.ws, WS_CLOSE_GOING_AWAY, "bye");
	assert_int_equal(ws_send_text(f.ws, "late", 4, NULL), -EPIPE);
	turn(&f);
	assert_string_equal(buf_str(&f.client_got), "last\n");
	assert_int_equal(wslay_event_get_status_code_received(f.client), WS_CLOSE_GOING_AWAY);
	f.client_fd = safe_close(f.client_fd);
	turn(&f);
	assert_int_equal(f.closed, 1);
	stop(&f);
}

static void a_lost_connection_is_1006(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	f.client_fd = safe_close(f.client_fd);
	turn(&f);
	assert_int_equal(f.closed, 1);
	assert_int_equal(f.code, WS_CLOSE_ABNORMAL);
	stop(&f);
}

static void a_reader_that_does_not_read_is_dropped(void **state _unused_)
{
	static const char chunk[64 * 1024] = { [0 ... 65535] = 'x' };
	_cleanup_(err_done) struct err err = {};
	struct fixture f;
	int k = 0, n = 0;

	start(&f, 1024, 1024 * 1024, NULL, 0);
	while (k == 0 && ++n < 1000)
		k = ws_send_text(f.ws, chunk, sizeof(chunk), &err);
	assert_int_equal(k, -ENOBUFS);
	assert_string_equal(err.msg, "the peer leaves more than 1048576 bytes unread");
	assert_int_equal(f.closed, 0); /* never from inside a call */
	(void) sd_event_run(f.event, 0);
	(void) sd_event_run(f.event, 0);
	assert_int_equal(f.closed, 1);
	stop(&f);
}

static void it_may_be_freed_from_its_own_callback(void **state _unused_)
{
	struct fixture f;

	start(&f, 1024, 4096, NULL, 0);
	f.free_on_text = true;
	say(&f, WSLAY_TEXT_FRAME, "one");
	say(&f, WSLAY_TEXT_FRAME, "two");
	turn(&f);
	assert_string_equal(buf_str(&f.got), "one\n");
	assert_true(f.released);
	stop(&f);
}

static void the_accept_value_is_that_of_the_rfc(void **state _unused_)
{
	const struct ws_handshake h = { .method = "GET",
					.upgrade = "WebSocket",
					.connection = "keep-alive, Upgrade",
					.version = "13",
					.key = "dGhlIHNhbXBsZSBub25jZQ==" };
	char accept[WS_ACCEPT_MAX];

	assert_int_equal(ws_handshake_check(&h, accept, NULL), 0);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void bad_handshakes_are_named(void **state _unused_)
{
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
	static const struct {
		struct ws_handshake h;
		int k;
		const char *complaint;
	} cases[] = {
		{ { "POST", "websocket", "Upgrade", "13", KEY },
		  WS_E_NOT_UPGRADE,
		  "a websocket is opened with GET" },
		{ { "GET", NULL, "Upgrade", "13", KEY },
		  WS_E_NOT_UPGRADE,
		  "Upgrade: websocket is missing" },
		{ { "GET", "h2c", "Upgrade", "13", KEY },
		  WS_E_NOT_UPGRADE,
		  "Upgrade: websocket is missing" },
		{ { "GET", "websocket", "close", "13", KEY },
		  WS_E_NOT_UPGRADE,
		  "Connection: Upgrade is missing" },
		{ { "GET", "websocket", "Upgrade", "13", "c2hvcnQ=" },
		  WS_E_NOT_UPGRADE,
		  "Sec-WebSocket-Key must be 16 bytes in base64" },
		{ { "GET", "websocket", "Upgrade", "8", KEY },
		  WS_E_BAD_VERSION,
		  "Sec-WebSocket-Version must be 13" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		char accept[WS_ACCEPT_MAX];

		assert_int_equal(ws_handshake_check(&cases[i].h, accept, &err), cases[i].k);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(fragments_make_one_message_and_early_bytes_count),
		cmocka_unit_test(a_ping_is_answered),
		cmocka_unit_test(too_long_a_message_is_closed_with_1009),
		cmocka_unit_test(a_binary_frame_is_closed_with_1003),
		cmocka_unit_test(an_unmasked_frame_is_a_protocol_error),
		cmocka_unit_test(the_close_of_the_peer_is_reported_with_its_code),
		cmocka_unit_test(our_close_follows_what_was_queued),
		cmocka_unit_test(a_lost_connection_is_1006),
		cmocka_unit_test(a_reader_that_does_not_read_is_dropped),
		cmocka_unit_test(it_may_be_freed_from_its_own_callback),
		cmocka_unit_test(the_accept_value_is_that_of_the_rfc),
		cmocka_unit_test(bad_handshakes_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
