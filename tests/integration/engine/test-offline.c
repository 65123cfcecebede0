/* SPDX-License-Identifier: Apache-2.0 */
/* Without a control plane, without resources, and after a reboot of the host. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "tests/integration/engine/told.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000, MANY = 100, CLEANUP_WAIT_MS = 3600000 };

static int start(void **state _unused_)
{
	told_clear();
	world_start_agent();
	return 0;
}

static bool turn_until(bool (*so)(const char *id), const char *id)
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (!so(id) && clock_mono_ms() < end)
		world_turn(10);
	return so(id);
}

static const char *arn_of(const char *id)
{
	static char arn[320];

	(void) snprintf(arn, sizeof(arn), ARN("%s"), id);
	return arn;
}

static const struct task *task_of(const char *id)
{
	return engine_find_task(world.engine, arn_of(id));
}

static bool runs(const char *id)
{
	return task_of(id)->known == TASK_RUNNING;
}

static bool stopped(const char *id)
{
	return task_of(id)->known == TASK_STOPPED;
}

static bool told_stopped(const char *id)
{
	return told_of(arn_of(id)).stopped;
}

static bool pulls(const char *id)
{
	return task_of(id)->pull_started_ms > 0;
}

static int end(void **state _unused_)
{
	bool all = true;

	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		all &= turn_until(stopped, engine_task_at(world.engine, i)->id);
	all &= world_gets_clean();
	if (!all)
		world_print_leftovers();
	world_end_agent();
	return all ? 0 : -1;
}

/* ---- resources ---- */

static void run(const char *id, int cpu, const char *more)
{
	_cleanup_(freep) char *text = path_join(
		",\"cpu\":%d,\"stopTimeout\":10,\"command\":[\"sh\",\"-c\",\"%s\"]", cpu, more);

	assert_int_equal(world_run(arn_of(id), text), 0);
}

#define OBEYS "trap 'exit 0' TERM; sleep 1000 & wait"
#define IS_SLOW "trap '' TERM; touch /tmp/deaf; while :; do sleep 1; done"

static void lacks_cpu(const char *id)
{
	assert_int_equal(task_of(id)->known, TASK_NONE);
	assert_non_null(
		strstr(task_of(id)->waiting_for, "cpu: 500 units are wanted, 200 are free"));
	assert_true(task_of(id)->waiting_since_ms > 0);
}

/* Who waits holds up nobody who lacks nothing, and starts with the very news that frees it. */
static void a_task_waits_for_what_it_lacks_and_nobody_for_it(void **state _unused_)
{
	int64_t since;

	run("big", 800, OBEYS);
	assert_true(turn_until(runs, "big"));
	run("waits", 500, OBEYS);
	run("small", 100, OBEYS);
	assert_true(turn_until(runs, "small"));
	assert_non_null(task_of("waits")->waiting_for);
	since = task_of("waits")->waiting_since_ms;
	assert_true(since > 0);
	assert_int_equal(engine_stop_task(world.engine, arn_of("small"), NULL, NULL, NULL), 0);
	assert_true(turn_until(stopped, "small"));
	lacks_cpu("waits"); /* freed, but too little */
	assert_int_equal(task_of("waits")->waiting_since_ms, since);
	assert_int_equal(engine_stop_task(world.engine, arn_of("big"), NULL, NULL, NULL), 0);
	while (!stopped("big"))
		world_turn(1);
	assert_null(task_of("waits")->waiting_for); /* not a moment later */
	assert_true(turn_until(runs, "waits"));
}

static void one_that_waits_can_be_stopped(void **state _unused_)
{
	run("holds", 800, OBEYS);
	run("gives-up", 500, OBEYS);
	assert_int_equal(engine_stop_task(world.engine, arn_of("gives-up"), NULL, NULL, NULL), 0);
	assert_true(turn_until(told_stopped, "gives-up"));
	assert_true(turn_until(runs, "holds"));
}

/* Restart: what runs holds its share before anybody is let in. */
static void shares_are_taken_again_after_a_restart(void **state _unused_)
{
	run("stays", 800, OBEYS);
	assert_true(turn_until(runs, "stays"));
	run("later", 500, OBEYS);
	lacks_cpu("later");
	world_end_agent();
	world_start_agent();
	world_turn(50);
	lacks_cpu("later");
	assert_int_equal(engine_stop_task(world.engine, arn_of("stays"), NULL, NULL, NULL), 0);
	assert_true(turn_until(runs, "later"));
}

/* A registry that takes connections and says nothing. */
static int listen_as_registry(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(5556),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static void run_pulling(const char *id)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"containers\":[{\"name\":\"main\",\"essential\":true,"
		"\"image\":\"127.0.0.1:5556/%s:1\"}]}]}",
		arn_of(id), id);

	assert_int_equal(world_payload(text), 0);
}

static void a_slow_stop_and_a_slow_pull_delay_nobody(void **state _unused_)
{
	_cleanup_(closep) int registry _unused_ = listen_as_registry();
	const struct container *c;

	run("slow", 10, IS_SLOW);
	assert_true(turn_until(runs, "slow"));
	run_pulling("pulling");
	assert_true(turn_until(pulls, "pulling"));
	assert_int_equal(engine_stop_task(world.engine, arn_of("slow"), NULL, NULL, NULL), 0);
	run("quick", 10, "exit 0");
	c = &task_of("quick")->containers[0];
	assert_true(turn_until(stopped, "quick"));
	/* By the clock of what happened, not of whoever looks: the slow one has ten seconds. */
	assert_true(turn_until(stopped, "slow"));
	assert_true(c->finished_ms <= task_of("slow")->containers[0].finished_ms);
	assert_int_equal(task_of("pulling")->known, TASK_NONE);
}

/* ---- the control plane is away ---- */

static void all_is_told_in_order_when_it_comes_back(void **state _unused_)
{
	char id[16];

	world.offline = true;
	for (int i = 0; i < MANY; i++) {
		(void) snprintf(id, sizeof(id), "off%02d", i);
		run(id, 1, i % 2 ? "exit 7" : OBEYS);
	}
	for (int i = 0; i < MANY; i++) {
		(void) snprintf(id, sizeof(id), "off%02d", i);
		if (i == MANY / 2) { /* a restart does not lose any of it */
			world_end_agent();
			world_start_agent();
		}
		assert_true(turn_until(i % 2 ? stopped : runs, id));
		if (i % 2 == 0)
			assert_int_equal(
				engine_stop_task(world.engine, arn_of(id), NULL, NULL, NULL), 0);
	}
	for (int i = 0; i < MANY; i++) {
		(void) snprintf(id, sizeof(id), "off%02d", i);
		assert_true(turn_until(stopped, id));
		assert_int_equal(told_of(arn_of(id)).reports, 0);
	}
	world.offline = false;
	world_kick();
	for (int i = 0; i < MANY; i++) {
		struct told t;

		(void) snprintf(id, sizeof(id), "off%02d", i);
		t = told_of(arn_of(id));
		assert_true(t.in_order && t.stopped && (t.running || i % 2));
		if (i % 2)
			assert_int_equal(t.exit_code, 7);
	}
}

/* ---- the host was booted ---- */

/* A boot takes everything away but the disk; that it was one is told by the kernel's boot id. */
static void boot(const char *const *running, size_t n)
{
	_cleanup_(freep) char *script = path_join(
		"for m in '%s'/netns/*; do umount -l \"$m\" 2>/dev/null; done; rm -rf '%s'/*; "
		"ip link del '%s'; nft delete table inet ecs; grep -o ' %s/data[^ ]*' "
		"/proc/self/mountinfo | while read -r m; do umount -l \"$m\"; done",
		world.config.run_dir, world.config.run_dir, world.config.bridge_name, world.top);
	char *argv[] = { (char *) "sh", (char *) "-c", script, NULL };

	assert_int_equal(store_put_meta(world.store, "boot-id", "another", NULL), 0);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(freep) char *file =
			path_join("%s/containers/%s/shim.pid", world.config.run_dir,
				  task_of(running[i])->containers[0].id);
		_cleanup_(freep) char *text = NULL;
		size_t len = 0;

		assert_int_equal(fs_read_file(AT_FDCWD, file, 32, &text, &len, NULL), 0);
		(void) kill((pid_t) strtol(text, NULL, 10), SIGKILL);
		(void) kill(task_of(running[i])->containers[0].pid, SIGKILL);
	}
	world_end_agent();
	(void) spawn_wait(argv, NULL);
}

static void a_boot_ends_what_ran_and_begins_what_was_pending(void **state _unused_)
{
	static const char *const running[] = { "ran1", "ran2" };
	_cleanup_(closep) int registry _unused_ = listen_as_registry();
	size_t reports = 0;

	run("ran1", 400, OBEYS);
	run("ran2", 400, OBEYS);
	assert_true(turn_until(runs, "ran1") && turn_until(runs, "ran2"));
	run("pending", 500, OBEYS);
	assert_non_null(task_of("pending")->waiting_for);
	run_pulling("pulled");
	assert_true(turn_until(pulls, "pulled"));
	boot(running, ARRAY_SIZE(running));
	for (int again = 0; again < 2; again++) {
		world_start_agent();
		for (size_t i = 0; i < ARRAY_SIZE(running); i++) {
			assert_true(turn_until(told_stopped, running[i]));
			assert_non_null(strstr(told_of(arn_of(running[i])).reason,
					       "the host was rebooted"));
			assert_int_equal(told_of(arn_of(running[i])).exit_code, -1);
		}
		assert_true(turn_until(runs, "pending"));
		assert_true(turn_until(pulls, "pulled"));
		if (again == 0) {
			reports = told_of(arn_of("ran1")).reports;
			world_end_agent();
		} else {
			assert_int_equal(told_of(arn_of("ran1")).reports, reports); /* once */
		}
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_task_waits_for_what_it_lacks_and_nobody_for_it),
		T(one_that_waits_can_be_stopped),
		T(shares_are_taken_again_after_a_restart),
		T(a_slow_stop_and_a_slow_pull_delay_nobody),
		T(all_is_told_in_order_when_it_comes_back),
		T(a_boot_ends_what_ran_and_begins_what_was_pending),
	};
	int failed;

	world_begin();
	told_begin();
	world.config.task_cleanup_wait_ms = CLEANUP_WAIT_MS;
	world.config.task_cleanup_jitter_ms = 1;
	world.resources = (struct host_resources){ .cpu = 1000, .memory_mib = 4096 };
	world.config.image_pull_inactivity_ms = 3600000;
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY")); /* a pattern, for work on one of them */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	told_end();
	world_end();
	return failed;
}
