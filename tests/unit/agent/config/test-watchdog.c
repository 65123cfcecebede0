/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog against a supervisor's socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/watchdog.h"
#include "common/clock.h"
#include "common/macro.h"

static const char halt[] = "the session";

struct bench {
	sd_event *loop;
	int supervisor;
	char path[64];
	const char *halted;
	int asked, gave_up, meals;
	const char *what;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	assert_true(sd_event_new(&b->loop) >= 0);
	/* In the abstract namespace: nothing to clean up. */
	(void) snprintf(b->path, sizeof(b->path), "@ecs-test-watchdog-%d", (int) getpid());
	memcpy(sa.sun_path + 1, b->path + 1, strlen(b->path) - 1);
	b->supervisor = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(
		bind(b->supervisor, (const struct sockaddr *) &sa,
		     (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(b->path))),
		0);
	assert_int_equal(setenv("NOTIFY_SOCKET", b->path, 1), 0);
	assert_int_equal(setenv("WATCHDOG_USEC", "60000", 1), 0);
	assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) unsetenv("NOTIFY_SOCKET");
	(void) unsetenv("WATCHDOG_USEC");
	(void) close(b->supervisor);
	(void) sd_event_unref(b->loop);
	free(b);
	return 0;
}

static const char *on_ask(void *userdata)
{
	struct bench *b = userdata;

	b->asked++;
	return b->halted;
}

static void on_give_up(void *userdata, const char *what)
{
	struct bench *b = userdata;

	b->gave_up++;
	b->what = what;
}

static void take_meals(struct bench *b)
{
	char text[64];
	ssize_t k;

	while ((k = recv(b->supervisor, text, sizeof(text) - 1, 0)) > 0) {
		text[k] = '\0';
		assert_string_equal(text, "WATCHDOG=1");
		b->meals++;
	}
}

/* A socket holds only so many datagrams (net.unix.max_dgram_qlen), and who sends one more waits. */
static void run_for(struct bench *b, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms, left;

	while ((left = end - clock_mono_ms()) > 0) {
		assert_true(sd_event_run(b->loop, (uint64_t) left * USEC_PER_MSEC) >= 0);
		take_meals(b);
	}
}

/* Since the last time it was asked. */
static int meals(struct bench *b)
{
	int n;

	take_meals(b);
	n = b->meals;
	b->meals = 0;
	return n;
}

static void it_is_fed_for_as_long_as_all_moves(void **state)
{
	struct bench *b = *state;
	_cleanup_(watchdog_stopp) struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(b->loop, on_ask, on_give_up, b, &w, NULL), 0);
	run_for(b, 300);
	assert_in_range(meals(b), 4, 16);
	assert_int_equal(b->gave_up, 0);
}

static void a_halt_ends_the_feeding(void **state)
{
	struct bench *b = *state;
	_cleanup_(watchdog_stopp) struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(b->loop, on_ask, on_give_up, b, &w, NULL), 0);
	run_for(b, 100);
	(void) meals(b);
	b->halted = halt;
	run_for(b, 300);
	assert_in_range(meals(b), 0, 1); /* the first look only notes it */
	assert_int_equal(b->gave_up, 1);
	assert_ptr_equal(b->what, halt);
}

/* As after a SIGSTOP and a SIGCONT. */
static void what_is_late_once_is_let_off(void **state)
{
	struct bench *b = *state;
	_cleanup_(watchdog_stopp) struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(b->loop, on_ask, on_give_up, b, &w, NULL), 0);
	b->halted = halt;
	while (b->asked < 1)
		run_for(b, 5);
	b->halted = NULL;
	run_for(b, 200);
	assert_true(meals(b) >= 3);
	assert_int_equal(b->gave_up, 0);
}

static void nobody_is_told_where_nobody_asks(void **state)
{
	struct bench *b = *state;
	_cleanup_(watchdog_stopp) struct watchdog *w = NULL;

	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
	assert_int_equal(watchdog_start(b->loop, on_ask, on_give_up, b, &w, NULL), 0);
	run_for(b, 200);
	assert_int_equal(meals(b), 0);
	assert_int_equal(b->asked, 0); /* every 20 s */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_fed_for_as_long_as_all_moves),
		TEST(a_halt_ends_the_feeding),
		TEST(what_is_late_once_is_let_off),
		TEST(nobody_is_told_where_nobody_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
