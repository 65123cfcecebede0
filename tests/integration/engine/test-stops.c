/* SPDX-License-Identifier: Apache-2.0 */
/* How containers end and what is said of it: init process, out of memory, processes that do not go. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	bool clean = world_stop_all();

	world_end_agent();
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

#define SCRIPT(text) ",\"command\":[\"sh\",\"-c\",\"" text "\"]"
#define HOST(text) ",\"dockerConfig\":{\"hostConfig\":\"{" text "}\"}"
#define INIT HOST("\\\"Init\\\":true")

/* Runs it to its end; its exit code, -1: none. */
static int ends_with(const char *arn, const char *members)
{
	const json_t *r;

	assert_int_equal(world_run(arn, members), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	return (int) json_get_int(world_container(r, 0), "exitCode", -1);
}

static const char *reason_of(const char *arn)
{
	return json_get_string(world_container(world_report(arn, "STOPPED"), 0), "reason", "");
}

static const struct container *container(const char *arn)
{
	const struct task *t = engine_find_task(world.engine, arn);

	return t ? &t->containers[0] : NULL;
}

/* ---- init process ---- */

#define ORPHAN "(sleep 0.1 &); sleep 0.5; ! grep -qs '^State:.Z' /proc/[0-9]*/status || exit 8; "

static void an_init_process_reaps_and_passes_on(void **state _unused_)
{
	const json_t *r;

	/* busybox alone is in the image: there is no C library */
	assert_int_equal(
		ends_with(ARN("init"), SCRIPT("test $$ -ne 1 || exit 9; " ORPHAN "exit 5") INIT),
		5);
	assert_int_equal(ends_with(ARN("init-signal"), SCRIPT("kill -9 $$") INIT), 137);
	assert_int_equal(ends_with(ARN("init-none"), ",\"command\":[\"nope\"]" INIT), 127);
	assert_int_equal(ends_with(ARN("no-init"), SCRIPT("test $$ -ne 1 || exit 9")), 9);
	assert_int_equal(
		world_run(ARN("init-stop"),
			  SCRIPT("trap 'exit 42' TERM; echo set; while :; do sleep 0.05; done")
				  INIT),
		0);
	assert_non_null(world_wait(ARN("init-stop"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("init-stop"), "set"));
	assert_int_equal(engine_stop_task(world.engine, ARN("init-stop"), NULL, NULL, NULL), 0);
	r = world_wait(ARN("init-stop"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 42);
}

static void an_init_process_that_is_not_there_is_named(void **state _unused_)
{
	char *dir = world.config.libexec_dir;
	_cleanup_(freep) char *other = path_join("%s/libexec", world.top),
			      *cmd = path_join(
				      "mkdir -p '%s' && cp '%s/ecs-shim' '%s/ecs-image' '%s'",
				      other, dir, dir, other);
	char *argv[] = { (char *) "sh", (char *) "-c", cmd, NULL };

	assert_int_equal(spawn_wait(argv, NULL), 0);
	world_end_agent();
	world.config.libexec_dir = other;
	world_start_agent();
	assert_int_equal(ends_with(ARN("no-program"), SCRIPT("true") INIT), -1);
	assert_memory_equal(reason_of(ARN("no-program")),
			    "CannotCreateContainerError: initProcessEnabled: '", 49);
	assert_non_null(strstr(reason_of(ARN("no-program")), "/ecs-init': No such file"));
	assert_int_equal(ends_with(ARN("without"), SCRIPT("exit 3")), 3);
	world.config.libexec_dir = dir;
}

/* ---- out of memory ---- */

#define EAT "x=$(dd if=/dev/zero bs=1M count=200 2>/dev/null | tr '\\\\0' x)"

static void out_of_memory_is_told_of_that_run_only(void **state _unused_)
{
	assert_int_equal(ends_with(ARN("oom"), ",\"memory\":24" SCRIPT(EAT "; echo survived")),
			 137);
	assert_string_equal(reason_of(ARN("oom")),
			    "OutOfMemoryError: Container killed due to memory usage");
	/* one of its processes, and the container ended well: the engine that ECS knows says so, too */
	assert_int_equal(ends_with(ARN("oom-child"), ",\"memory\":24" SCRIPT("(" EAT "); exit 0")),
			 0);
	assert_string_equal(reason_of(ARN("oom-child")),
			    "OutOfMemoryError: Container killed due to memory usage");
	assert_int_equal(ends_with(ARN("no-oom"), ",\"memory\":24" SCRIPT("kill -9 $$") INIT), 137);
	assert_string_equal(reason_of(ARN("no-oom")), "");
}

/* The task's own limit kills in one of its containers: that one is told. */
static void the_tasks_limit_is_told_of_the_container_it_hit(void **state _unused_)
{
	static const char payload[] = "{\"tasks\":[{\"arn\":\"" ARN(
		"oom-task") "\",\"family\":\"t\",\"version\":\"1\","
			    "\"desiredStatus\":\"RUNNING\",\"memory\":32,\"containers\":["
			    "{\"name\":\"eater\",\"image\":\"" IMAGE "\",\"essential\":true" SCRIPT(
				    EAT) "},"
					 "{\"name\":\"other\",\"image\":\"" IMAGE
					 "\",\"essential\":false,"
					 "\"command\":[\"sleep\",\"1000\"]}]}]}";
	const json_t *r;

	world.config.stop_timeout_ms = 200;
	assert_int_equal(world_payload(payload), 0);
	r = world_wait(ARN("oom-task"), "STOPPED", PATIENCE_MS);
	world.config.stop_timeout_ms = 10000;
	assert_non_null(r);
	assert_string_equal(json_get_string(world_container(r, 0), "reason", ""),
			    "OutOfMemoryError: Container killed due to memory usage");
	assert_null(json_object_get(world_container(r, 1), "reason"));
}

/* ---- processes that do not go ---- */

static void write_to(const char *dir, const char *name, const char *value)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, name);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0 && write(fd, value, strlen(value)) > 0);
}

/* A process that nothing can end as long as its freezer holds it, in a group below the container's. */
struct stuck {
	char *freezer, *below; /* owned */
	pid_t pid;
	int pidfd;
};

/* A host with cgroup v2 only may have the freezer of v1 beside it, which lets no KILL through. */
static char *make_freezer(void)
{
	_cleanup_(freep) char *dir = NULL;

	if (cgroup_mode() == CGROUP_V1)
		return path_join("/sys/fs/cgroup/freezer/ecs-stuck-%d", getpid());
	dir = path_join("%s/freezer", world.top);
	if ((mkdir(dir, 0700) < 0 && errno != EEXIST) ||
	    mount("cgroup", dir, "cgroup", 0, "freezer") < 0)
		return NULL;
	return path_join("%s/stuck", dir);
}

static void make_stuck(struct stuck *s, const char *arn)
{
	char *argv[] = { (char *) "sleep", (char *) "1000", NULL };
	_cleanup_(freep) char *memory = engine_cgroup_dir(container(arn), "memory");
	char text[16];

	s->below = path_join("%s/below", memory);
	assert_int_equal(mkdir(s->below, 0755), 0);
	assert_int_equal(mkdir(s->freezer, 0755), 0);
	assert_int_equal(spawn(&(struct spawn_params){ .path = "sleep", .argv = argv }, &s->pid,
			       &s->pidfd, NULL),
			 0);
	(void) snprintf(text, sizeof(text), "%d", s->pid);
	write_to(s->below, "cgroup.procs", text);
	write_to(s->freezer, "cgroup.procs", text);
	write_to(s->freezer, "freezer.state", "FROZEN");
}

static void free_stuck(struct stuck *s)
{
	write_to(s->freezer, "freezer.state", "THAWED");
	/* it was told to end long ago */
	assert_int_equal(poll(&(struct pollfd){ .fd = s->pidfd, .events = POLLIN }, 1,
			      (int) patiently(PATIENCE_MS)),
			 1);
	assert_int_equal(spawn_reap(s->pidfd), 128 + SIGKILL);
	(void) close(s->pidfd);
	assert_int_equal(rmdir(s->freezer), 0);
	if (cgroup_mode() == CGROUP_V2)
		assert_int_equal(umount(dirname(s->freezer)), 0);
	free(s->freezer);
	free(s->below);
}

static void stopped_waits_for_the_last_process_and_others_do_not(void **state _unused_)
{
	struct stuck s = {};
	const json_t *r;

	s.freezer = make_freezer();
	if (!s.freezer) { /* v2's own lets KILL through */
		print_message("# this host has no freezer of v1: nothing to try\n");
		return;
	}
	assert_int_equal(world_run(ARN("stuck"), SCRIPT("trap 'exit 7' TERM; echo set; while :; do sleep "
							"0.05; done")),
			 0);
	assert_non_null(world_wait(ARN("stuck"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("stuck"), "set"));
	make_stuck(&s, ARN("stuck"));
	assert_int_equal(engine_stop_task(world.engine, ARN("stuck"), NULL, NULL, NULL), 0);
	/* meanwhile another one starts, runs and ends, and an agent comes and goes */
	assert_int_equal(ends_with(ARN("beside"), SCRIPT("exit 3")), 3);
	world_end_agent();
	world_start_agent();
	assert_int_equal(ends_with(ARN("beside-too"), SCRIPT("exit 4")), 4);
	world_turn(1000);
	assert_null(world_report(ARN("stuck"), "STOPPED"));
	assert_int_equal(container(ARN("stuck"))->known, CONTAINER_RUNNING);
	assert_int_equal(kill(s.pid, 0), 0);
	free_stuck(&s);
	r = world_wait(ARN("stuck"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 7);
	assert_true(world_gets_clean());
}

static void a_slow_stop_delays_nobody(void **state _unused_)
{
	int64_t at;

	assert_int_equal(
		world_run(ARN("stubborn"), SCRIPT("trap '' TERM; echo set; while :; do sleep 0.05; "
						  "done")),
		0);
	assert_non_null(world_wait(ARN("stubborn"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("stubborn"), "set"));
	world.config.stop_timeout_ms = patiently(20000);
	assert_int_equal(engine_stop_task(world.engine, ARN("stubborn"), NULL, NULL, NULL), 0);
	at = clock_mono_ms();
	assert_int_equal(world_run(ARN("quick"), ",\"command\":[\"sleep\",\"1000\"]" INIT), 0);
	assert_non_null(world_wait(ARN("quick"), "RUNNING", PATIENCE_MS));
	assert_int_equal(engine_stop_task(world.engine, ARN("quick"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("quick"), "STOPPED", PATIENCE_MS));
	assert_true(clock_mono_ms() - at < patiently(10000));
	assert_null(world_report(ARN("stubborn"), "STOPPED"));
	assert_int_equal(kill(container(ARN("stubborn"))->pid, SIGKILL), 0);
	assert_non_null(world_wait(ARN("stubborn"), "STOPPED", PATIENCE_MS));
	world.config.stop_timeout_ms = 10000;
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/status", (int) pid), *text = NULL;
	const char *line;
	size_t len;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 65536, &text, &len, NULL), 0);
	line = strstr(text, "\nPPid:");
	assert_non_null(line);
	return (pid_t) atoi(line + 6);
}

/* Its shim hears nothing any more, so the agent has to end it by its own hand. Returns the shim. */
static pid_t run_deaf(const char *arn)
{
	pid_t shim;

	assert_int_equal(world_run(arn, ",\"command\":[\"sleep\",\"1000\"]"), 0);
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	shim = parent_of(container(arn)->pid);
	assert_true(shim > 1 && shim != getpid() && world_has_our_path(shim));
	assert_int_equal(kill(shim, SIGSTOP), 0);
	return shim;
}

static bool wait_for_error(const char *arn)
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (!container(arn)->error_name && clock_mono_ms() < end)
		world_turn(10);
	return container(arn)->error_name != NULL;
}

/* In place of the container's group stands a directory in which nothing is what it should be. */
static char *hide_group(const char *arn)
{
	char *dir = engine_cgroup_dir(container(arn), "memory");
	_cleanup_(freep) char *procs = path_join("%s/cgroup.procs", dir);

	assert_int_equal(mount("none", dir, "tmpfs", 0, NULL), 0);
	assert_int_equal(symlink("cgroup.procs", procs), 0);
	return dir;
}

static void a_stop_that_fails_is_named(void **state _unused_)
{
	pid_t late = run_deaf(ARN("late")), unkillable = run_deaf(ARN("unkillable"));
	_cleanup_(freep) char *hidden = hide_group(ARN("unkillable"));
	const json_t *r;

	world.config.stop_timeout_ms = 100;
	world.engine->stop_limit_ms = 20;
	assert_int_equal(engine_stop_task(world.engine, ARN("late"), NULL, NULL, NULL), 0);
	assert_int_equal(engine_stop_task(world.engine, ARN("unkillable"), NULL, NULL, NULL), 0);
	assert_true(wait_for_error(ARN("late")) && wait_for_error(ARN("unkillable")));
	assert_null(world_report(ARN("unkillable"), "STOPPED"));
	assert_int_equal(kill(container(ARN("unkillable"))->pid, 0), 0);
	assert_int_equal(umount(hidden), 0);
	assert_int_equal(kill(late, SIGCONT), 0);
	assert_int_equal(kill(unkillable, SIGCONT), 0);
	r = world_wait(ARN("late"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_string_equal(reason_of(ARN("late")), "DockerTimeoutError: Could not transition to "
						    "stopped; timed out after waiting 120ms");
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 137);
	assert_non_null(world_wait(ARN("unkillable"), "STOPPED", PATIENCE_MS));
	assert_memory_equal(reason_of(ARN("unkillable")), "CannotStopContainerError: kill cgroup '",
			    39);
	world.config.stop_timeout_ms = 10000;
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_agent(an_init_process_reaps_and_passes_on),
		with_agent(an_init_process_that_is_not_there_is_named),
		with_agent(out_of_memory_is_told_of_that_run_only),
		with_agent(the_tasks_limit_is_told_of_the_container_it_hit),
		with_agent(stopped_waits_for_the_last_process_and_others_do_not),
		with_agent(a_slow_stop_delays_nobody),
		with_agent(a_stop_that_fails_is_named),
	};
	int k;

	world_begin();
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY")); /* a pattern, for work on one of them */
	k = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return k;
}
