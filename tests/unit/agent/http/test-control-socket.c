/* SPDX-License-Identifier: Apache-2.0 */
/* The socket itself: modes, large requests, followers, peers that vanish. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/http/control.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"

static char dir[] = "/tmp/test-control.XXXXXX";
static char path[64];
static sd_event *loop;
static struct events events;
static struct control *control;

static size_t no_tasks(void *userdata)
{
	(void) userdata;
	return 0;
}

static reach_fn reach_callback; /* of the last question; NULL: none came */
static void *reach_userdata;
static int reach_result;

static int begin_reach(void *userdata, reach_fn fn, void *fn_userdata, struct reach **ret,
		       struct err *err)
{
	(void) userdata;
	reach_callback = fn;
	reach_userdata = fn_userdata;
	*ret = NULL;
	return reach_result < 0 ? err_set(err, -reach_result, "no room") : 0;
}

static const struct agent_view view = { .task_count = no_tasks, .reach = begin_reach };

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	return fd;
}

/* Runs the loop until @fd has text that contains @until, or was closed. Returns the text. */
static const char *read_until(int fd, const char *until)
{
	static char text[128 * 1024];
	size_t len = 0;
	int64_t deadline = clock_mono_ms() + 10000;

	text[0] = '\0';
	while (clock_mono_ms() < deadline) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_true(sd_event_run(loop, 10000) >= 0);
		if (poll(&p, 1, 0) <= 0)
			continue;
		n = read(fd, text + len, sizeof(text) - len - 1);
		if (n <= 0)
			break;
		len += (size_t) n;
		text[len] = '\0';
		if (until && strstr(text, until))
			break;
	}
	return text;
}

static const char *ask(const char *request)
{
	_cleanup_(closep) int fd = dial();

	assert_int_equal(fs_write_all(fd, request, strlen(request)), 0);
	return read_until(fd, NULL);
}

static void only_the_owner_may_connect(void **state _unused_)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void answers_are_http_with_json(void **state _unused_)
{
	const char *a = ask("GET /v1/ps HTTP/1.0\r\n\r\n");

	assert_memory_equal(a, "HTTP/1.", 7);
	assert_non_null(strstr(a, " 200 "));
	assert_non_null(strstr(a, "application/json"));
	assert_non_null(strstr(a, "{\"tasks\":[]}"));
	assert_non_null(strstr(ask("GET /nowhere HTTP/1.0\r\n\r\n"), " 404 "));
}

static void a_large_body_is_refused(void **state _unused_)
{
	_cleanup_(closep) int fd = dial();
	char block[1024];
	char head[128];

	memset(block, 'x', sizeof(block));
	(void) snprintf(head, sizeof(head),
			"POST /v1/tasks/a/stop HTTP/1.0\r\nContent-Length: %d\r\n\r\n",
			HTTP_CALL_BODY_MAX + 1024);
	assert_int_equal(fs_write_all(fd, head, strlen(head)), 0);
	/* The answer comes before the body was read, and ends the connection. */
	for (int i = 0; i <= HTTP_CALL_BODY_MAX / 1024; i++) {
		if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
			break;
		assert_true(sd_event_run(loop, 1000) >= 0);
	}
	assert_non_null(strstr(read_until(fd, NULL), " 413 "));
}

static void garbage_does_not_end_the_server(void **state _unused_)
{
	(void) ask("\x16\x03\x01 garbage\r\n\r\n\r\n");
	assert_non_null(strstr(ask("GET /v1/ps HTTP/1.0\r\n\r\n"), " 200 "));
}

static void headers_without_end_are_refused(void **state _unused_)
{
	_cleanup_(closep) int fd = dial();
	char line[512] = "X-Filler: ";

	memset(line + 10, 'x', sizeof(line) - 12);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	assert_int_equal(fs_write_all(fd, "GET /v1/ps HTTP/1.1\r\n", 21), 0);
	for (int i = 0; i < 256; i++) {
		if (send(fd, line, sizeof(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		assert_true(sd_event_run(loop, 1000) >= 0);
	}
	assert_null(strstr(read_until(fd, NULL), " 200 "));
	assert_non_null(strstr(ask("GET /v1/ps HTTP/1.0\r\n\r\n"), " 200 "));
}

static void on_any(void *userdata, struct http_call *c, struct http_reply *r)
{
	(void) userdata, (void) c;
	r->body = strdup("x");
}

/* It sends a byte now and then, so it is never idle; its connection is wanted by others. */
static void who_takes_for_ever_to_ask_is_cut_off(void **state _unused_)
{
	int slow, other, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct http_server_params p = { .loop = loop,
					.listen_fd = listener,
					.what = "test",
					.timeout_s = 60,
					.patience_ms = 200,
					.max_connections = 4,
					.handler = on_any };
	int64_t end = clock_mono_ms() + 5000;
	struct http_server *s = NULL;
	bool cut = false;

	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/slow.sock", dir);
	assert_int_equal(bind(listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(http_server_new(&p, &s, NULL), 0);
	slow = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(slow, (struct sockaddr *) &sa, sizeof(sa)), 0);
	while (!cut && clock_mono_ms() < end) {
		cut = send(slow, "G", 1, MSG_NOSIGNAL) < 0;
		assert_true(sd_event_run(loop, 20000) >= 0);
	}
	assert_true(cut);
	(void) close(slow);
	other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(other, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(fs_write_all(other, "GET / HTTP/1.0\r\n\r\n", 18), 0);
	assert_non_null(strstr(read_until(other, NULL), " 200 "));
	(void) close(other);
	http_server_free(s);
}

static struct http_call *asked;

static void on_patient(void *userdata, struct http_call *c, struct http_reply *r)
{
	(void) userdata;
	asked = c;
	r->later = true;
}

static int on_known(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct http_reply r = { .status = 201,
				.content_type = "text/plain",
				.headers = strdup("X-One: a: b\nX-Two: c\n"),
				.body = strdup("at last") };

	(void) source, (void) usec, (void) userdata;
	http_call_finish(asked, &r);
	return 0;
}

static void an_answer_may_come_later(void **state _unused_)
{
	int fd, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct http_server_params p = { .loop = loop,
					.listen_fd = listener,
					.what = "test",
					.timeout_s = 60,
					.max_connections = 4,
					.handler = on_patient };
	sd_event_source *timer = NULL;
	struct http_server *s = NULL;
	const char *got;

	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/later.sock", dir);
	assert_int_equal(bind(listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(http_server_new(&p, &s, NULL), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(fs_write_all(fd, "GET / HTTP/1.0\r\n\r\n", 18), 0);
	for (int i = 0; !asked && i < 1000; i++)
		assert_true(sd_event_run(loop, 10000) >= 0);
	assert_non_null(asked);
	assert_true(sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, 0, 0, on_known,
					       NULL) >= 0);
	got = read_until(fd, NULL);
	assert_non_null(strstr(got, " 201 "));
	assert_non_null(strstr(got, "X-One: a: b\r\n"));
	assert_non_null(strstr(got, "X-Two: c\r\n"));
	assert_non_null(strstr(got, "at last"));
	(void) close(fd);
	sd_event_source_unref(timer);
	http_server_free(s);
}

static void followers_get_what_comes(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *first = json_pack("{s:i}", "n", 1);
	_cleanup_(json_decrefp) json_t *second = json_pack("{s:i}", "n", 2);
	static const char request[] = "GET /v1/events?follow=1 HTTP/1.0\r\n\r\n";
	int fd = dial(), gone = dial();

	events_add(&events, first);
	assert_int_equal(fs_write_all(fd, request, strlen(request)), 0);
	assert_int_equal(fs_write_all(gone, request, strlen(request)), 0);
	assert_non_null(strstr(read_until(fd, "{\"n\":1}\n"), "{\"n\":1}\n"));
	(void) close(gone); /* a follower that vanished harms nobody */
	events_add(&events, second);
	control_wake(control);
	assert_string_equal(read_until(fd, "{\"n\":2}\n"), "{\"n\":2}\n");
	(void) close(fd);
	assert_non_null(strstr(ask("GET /v1/events HTTP/1.0\r\n\r\n"), "{\"n\":1}\n{\"n\":2}\n"));
}

static int ask_for_services(void)
{
	static const char request[] = "GET /v1/doctor/services HTTP/1.0\r\n\r\n";
	int fd = dial();

	reach_callback = NULL;
	assert_int_equal(fs_write_all(fd, request, strlen(request)), 0);
	for (int i = 0; !reach_callback && i < 1000; i++)
		assert_true(sd_event_run(loop, 10000) >= 0);
	assert_non_null(reach_callback);
	return fd;
}

static void a_look_at_the_services_is_answered_when_it_ends(void **state _unused_)
{
	_cleanup_(closep) int fd = ask_for_services();

	/* Others are served meanwhile. */
	assert_non_null(strstr(ask("GET /v1/ps HTTP/1.0\r\n\r\n"), " 200 "));
	reach_callback(reach_userdata, json_pack("[{s:s, s:b}]", "check", "clock", "ok", true));
	assert_non_null(
		strstr(read_until(fd, NULL), "{\"checks\":[{\"check\":\"clock\",\"ok\":true}]}"));
}

static void a_look_at_the_services_that_fails_says_so(void **state _unused_)
{
	_cleanup_(closep) int fd = ask_for_services(), refused = -EBADF;

	reach_callback(reach_userdata, NULL);
	assert_non_null(strstr(read_until(fd, NULL), " 500 "));
	reach_result = -ENOSPC;
	refused = ask_for_services();
	reach_result = 0;
	assert_non_null(strstr(read_until(refused, NULL), "look at the services: no room"));
}

static void only_so_many_look_at_the_services_at_once(void **state _unused_)
{
	reach_fn callback = NULL;
	void *asked_by[64];
	int fds[64], n = 0;
	const char *text = "";

	for (; n < 64 && !strstr(text, " 503 "); n++) {
		fds[n] = dial();
		reach_callback = NULL;
		assert_int_equal(
			fs_write_all(fds[n], "GET /v1/doctor/services HTTP/1.0\r\n\r\n", 36), 0);
		for (int i = 0; !reach_callback && i < 50 && !*text; i++) {
			struct pollfd p = { .fd = fds[n], .events = POLLIN };

			assert_true(sd_event_run(loop, 10000) >= 0);
			if (poll(&p, 1, 0) > 0)
				text = read_until(fds[n], NULL);
		}
		asked_by[n] = reach_callback ? reach_userdata : NULL;
		callback = reach_callback ? reach_callback : callback;
	}
	assert_in_range(n, 2, 63);
	assert_non_null(strstr(text, "such checks are under way"));
	for (int i = 0; i < n; i++) {
		if (asked_by[i])
			callback(asked_by[i], json_array());
		(void) close(fds[i]);
	}
}

static void a_path_that_is_too_long_is_named(void **state _unused_)
{
	char longer[200];
	struct control_params p = {
		.loop = loop, .view = &view, .events = &events, .path = longer
	};
	_cleanup_(err_done) struct err err = {};
	struct control *c = NULL;

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(control_new(&p, &c, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.msg, "longer than the 107 bytes"));
}

static int set_up(void **state _unused_)
{
	struct control_params p = { .view = &view, .events = &events, .path = path };

	if (!mkdtemp(dir) || sd_event_new(&loop) < 0)
		return -1;
	(void) snprintf(path, sizeof(path), "%s/agent.sock", dir);
	p.loop = loop;
	/* What an earlier run left behind is taken over. */
	(void) fs_write_file_volatile(AT_FDCWD, path, "", 0, 0600, NULL);
	return control_new(&p, &control, NULL);
}

static int tear_down(void **state _unused_)
{
	control_free(control);
	events_done(&events);
	sd_event_unref(loop);
	return access(path, F_OK) == 0 ? -1 : fs_remove_tree(AT_FDCWD, dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_owner_may_connect),
		cmocka_unit_test(answers_are_http_with_json),
		cmocka_unit_test(a_large_body_is_refused),
		cmocka_unit_test(garbage_does_not_end_the_server),
		cmocka_unit_test(headers_without_end_are_refused),
		cmocka_unit_test(who_takes_for_ever_to_ask_is_cut_off),
		cmocka_unit_test(an_answer_may_come_later),
		cmocka_unit_test(followers_get_what_comes),
		cmocka_unit_test(a_look_at_the_services_is_answered_when_it_ends),
		cmocka_unit_test(a_look_at_the_services_that_fails_says_so),
		cmocka_unit_test(only_so_many_look_at_the_services_at_once),
		cmocka_unit_test(a_path_that_is_too_long_is_named),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
