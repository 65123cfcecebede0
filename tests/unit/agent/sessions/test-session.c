/* SPDX-License-Identifier: Apache-2.0 */
/* When a session connects again, and that it does, against peers on loopback that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/session.h"
#include "aws/call.h"
#include "aws/http.h"
#include "aws/ws.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

static void the_end_decides_when_to_come_back(void **state)
{
	static const struct {
		struct session_end end;
		int64_t min, max;
		bool resets;
	} cases[] = {
		{ { 1000, "", 5000, 0 }, 0, 0, true },
		{ { 1001, "", 5000, 0 }, 0, 0, true },
		{ { 1006, "", 5000, 0 }, 0, 0, true },
		{ { 1011, "", 5000, 0 }, 0, 0, true },
		{ { 1000, "", 10, 1 }, 0, 0, true },      /* brief once: still at once */
		{ { 1000, "", 10, 3 }, 400, 480, false }, /* again and again: broken */
		{ { 1008, "", 5000, 0 }, 400, 480, false },
		{ { 1009, "", 5000, 0 }, 400, 480, false },
		{ { 0, "timed out", 5000, 0 }, 400, 480, false },
		{ { 0, "refused", -1, 0 }, 400, 480, false },
		{ { 0, "InactiveInstanceException: x", 5000, 0 }, 3600000, 3600000, false },
		{ { 0, "{\"InactiveInstanceException\":\"x\"}", -1, 0 }, 3600000, 3600000, false },
		{ { 1000, "InactiveInstanceException", 5000, 0 }, 3600000, 3600000, false },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct backoff b = { 100, 10000, 0.2, 2, 400 };
		int64_t d = session_delay_ms(&cases[i].end, &b);

		assert_in_range(d, cases[i].min, cases[i].max);
		if (cases[i].resets)
			assert_int_equal(b.current_ms, 0);
	}
}

static void queries_are_encoded_as_go_does(void **state)
{
	_cleanup_(buf_done) struct buf b = {};

	(void) state;
	session_url_begin(&b, "https://h");
	session_query_add(&b, "a", "x y/\xc3\xa9+~-_.");
	session_query_add(&b, "b", "");
	assert_string_equal(buf_str(&b), "https://h/ws?a=x+y%2F%C3%A9%2B~-_.&b=");
}

/* ---- a session with a peer ---- */

enum behaviour { HOLD, HANG_UP, REFUSE, INACTIVE };

struct bench {
	sd_event *event;
	struct http_client *http;
	struct aws_client *ecs;
	struct ctl *ctl;
	struct config config;
	struct session *session;
	struct fake_http api;
	struct fake_tcp peer;
	volatile enum behaviour behaviour;
	int discover_fails;
	bool opened, closed, inactive, twice;
	int opens;
};

static void serve_api(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;

	assert_non_null(strstr(fake_header(q, "X-Amz-Target"), ".DiscoverPollEndpoint"));
	assert_non_null(strstr(q->body, "\"zoneId\":\"\""));
	if (b->discover_fails > 0) {
		b->discover_fails--;
		a->status = 400;
		return;
	}
	(void) snprintf(a->body, sizeof(a->body),
			"{\"endpoint\":\"%s/acs\",\"telemetryEndpoint\":"
			"\"%s/tcs/\"}",
			b->peer.url, b->peer.url);
}

static void serve_ws(int fd, void *userdata)
{
	struct bench *b = userdata;
	char head[8192], key[25], accept[29], byte;
	const char *k;

	(void) fake_read_head(fd, head, sizeof(head));
	k = strstr(head, "Sec-WebSocket-Key: ");
	if (b->behaviour == REFUSE || !k) {
		(void) dprintf(fd, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
		return;
	}
	if (b->behaviour == INACTIVE) {
		(void) dprintf(fd, "HTTP/1.1 400 No\r\nContent-Length: 35\r\n\r\n"
				   "{\"InactiveInstanceException\":\"gone\"}");
		return;
	}
	(void) snprintf(key, sizeof(key), "%s", k + strlen("Sec-WebSocket-Key: "));
	(void) dprintf(fd,
		       "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		       "Sec-WebSocket-Accept: %s\r\n\r\n",
		       ws_accept_key(key, accept));
	while (b->behaviour == HOLD && read(fd, &byte, 1) > 0)
		;
}

static char *on_url(void *userdata, const char *endpoint, struct err *err)
{
	struct buf b = {};

	(void) userdata, (void) err;
	session_url_begin(&b, endpoint);
	return buf_take(&b);
}

static void on_open(void *userdata)
{
	struct bench *b = userdata;

	b->opened = true;
	b->twice = ++b->opens >= 2;
}

static bool on_message(void *userdata, const char *data, size_t len, bool binary)
{
	(void) userdata, (void) data, (void) len, (void) binary;
	return true;
}

static void on_closed(void *userdata)
{
	((struct bench *) userdata)->closed = true;
}

static void on_inactive(void *userdata)
{
	((struct bench *) userdata)->inactive = true;
}

static const struct session_ops ops = {
	.name = "TEST",
	.backoff = { 10, 20, 0.2, 2, 0 },
	.url = on_url,
	.on_open = on_open,
	.on_message = on_message,
	.on_closed = on_closed,
	.on_inactive = on_inactive,
};

static int64_t no_jitter(int64_t bound)
{
	(void) bound;
	return 0;
}

static void make_session(struct bench *b, int64_t minute_ms)
{
	const struct session_params p = { .event = b->event,
					  .config = &b->config,
					  .http = b->http,
					  .ctl = b->ctl,
					  .ops = &ops,
					  .userdata = b,
					  .minute_ms = minute_ms,
					  .random = no_jitter };

	assert_int_equal(session_new(&p, &b->session, NULL), 0);
	assert_int_equal(session_start(b->session, NULL), 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct aws_client_params cp = {
		.service = "ecs", .target_prefix = "P", .region = "r", .max_attempts = 1
	};
	struct ctl_params tp = { .config = &b->config };

	assert_true(sd_event_new(&b->event) >= 0);
	fake_http_start(&b->api, serve_api, b);
	fake_tcp_start(&b->peer, serve_ws, b);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	cp.http = b->http;
	cp.endpoint = b->api.url;
	assert_int_equal(aws_client_new(&cp, &b->ecs, NULL), 0);
	tp.event = b->event;
	tp.ecs = b->ecs;
	assert_int_equal(ctl_new(&tp, &b->ctl, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) session_free(b->session);
	(void) ctl_free(b->ctl);
	(void) aws_client_free(b->ecs);
	(void) http_client_free(b->http);
	(void) sd_event_unref(b->event);
	fake_tcp_stop(&b->peer);
	fake_http_stop(&b->api);
	free(b);
	return 0;
}

static void a_session_opens_and_endpoints_are_asked_for_once(void **state)
{
	struct bench *b = *state;

	b->behaviour = HANG_UP;
	make_session(b, 0);
	assert_true(loop_until(b->event, &b->twice, 5000));
	assert_true(b->closed);
	assert_int_equal(b->api.requests, 1);
}

static void a_failing_discovery_is_tried_again(void **state)
{
	struct bench *b = *state;

	b->discover_fails = 3;
	make_session(b, 0);
	assert_true(loop_until(b->event, &b->opened, 5000));
	assert_int_equal(b->api.requests, 4);
	assert_true(session_connected(b->session));
	assert_true(session_due_ms(b->session) > clock_mono_ms());
	assert_non_null(strstr(session_url(b->session), "/acs/ws"));
}

static void a_refusing_peer_is_tried_again(void **state)
{
	struct bench *b = *state;
	bool never = false;

	b->behaviour = REFUSE;
	make_session(b, 0);
	for (int i = 0; i < 500 && b->peer.connections < 3; i++)
		assert_false(loop_until(b->event, &never, 20));
	assert_false(b->opened);
	assert_false(b->closed);
	assert_true(b->peer.connections >= 3);
	b->behaviour = HOLD;
	assert_true(loop_until(b->event, &b->opened, 5000));
}

static void endpoints_that_lead_nowhere_are_asked_for_again(void **state)
{
	struct bench *b = *state;
	bool never = false;

	b->behaviour = REFUSE;
	make_session(b, 0);
	while (b->peer.connections < 9)
		assert_false(loop_until(b->event, &never, 20));
	assert_int_equal(b->api.requests, 2);
}

static void silence_ends_a_connection_and_another_follows(void **state)
{
	struct bench *b = *state;

	make_session(b, 50); /* a minute is 50 ms long: silence, not age or deadline, comes first */
	assert_true(loop_until(b->event, &b->twice, 5000));
	assert_true(b->closed);
}

static void an_inactive_instance_waits(void **state)
{
	struct bench *b = *state;
	bool never = false;

	b->behaviour = INACTIVE;
	make_session(b, 0);
	assert_true(loop_until(b->event, &b->inactive, 5000));
	assert_false(loop_until(b->event, &never, 100));
	assert_int_equal(b->peer.connections, 1);
}

/* An hour's pause is no halt; a session of which nothing comes at all is one. */
static void a_session_is_due_after_its_pause(void **state)
{
	struct bench *b = *state;
	int64_t now;

	b->behaviour = INACTIVE;
	make_session(b, 1);
	assert_in_range(session_due_ms(b->session) - clock_mono_ms(), 1, 10);
	assert_true(loop_until(b->event, &b->inactive, 5000));
	now = clock_mono_ms();
	assert_in_range(session_due_ms(b->session) - now, SESSION_INACTIVE_DELAY_MS - 5000,
			SESSION_INACTIVE_DELAY_MS + 10);
}

static void a_session_that_stands_still_is_overdue(void **state)
{
	struct bench *b = *state;
	bool never = false;

	b->behaviour = REFUSE;
	make_session(b, 50);
	assert_false(loop_until(b->event, &never, 200));
	assert_true(session_due_ms(b->session) > clock_mono_ms()); /* refused, but it gets on */
	(void) usleep(600 * 1000);                                 /* nobody turns the loop */
	assert_true(session_due_ms(b->session) < clock_mono_ms());
}

static void a_failed_session_comes_back(void **state)
{
	struct bench *b = *state;

	make_session(b, 0);
	assert_true(loop_until(b->event, &b->opened, 5000));
	session_fail(b->session, "for a test");
	session_fail(b->session, "twice is once");
	assert_true(loop_until(b->event, &b->twice, 5000));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_decides_when_to_come_back),
		cmocka_unit_test(queries_are_encoded_as_go_does),
		TEST(a_session_opens_and_endpoints_are_asked_for_once),
		TEST(a_failing_discovery_is_tried_again),
		TEST(a_refusing_peer_is_tried_again),
		TEST(endpoints_that_lead_nowhere_are_asked_for_again),
		TEST(silence_ends_a_connection_and_another_follows),
		TEST(an_inactive_instance_waits),
		TEST(a_session_is_due_after_its_pause),
		TEST(a_session_that_stands_still_is_overdue),
		TEST(a_failed_session_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
