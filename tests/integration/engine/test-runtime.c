/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container runtime that fails in every way there is (fake-runc.sh): what is reported, that nothing stays
 * behind and that other tasks do not suffer. Once under a name that the shim takes for runc, once under another,
 * for which it leaves the removal to the runtime.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "runtime/runc/runc.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

static char *fake_dir, *names[2];

/* ---- the fake ---- */

static void behave(const char *command, const char *mode)
{
	_cleanup_(freep) char *path = path_join("%s/%s", fake_dir, command);

	if (!mode)
		(void) unlink(path);
	else
		assert_int_equal(
			fs_write_file_volatile(AT_FDCWD, path, mode, strlen(mode), 0644, NULL), 0);
}

static bool was_called(const char *command)
{
	_cleanup_(freep) char *path = path_join("%s/called-%s", fake_dir, command);

	return unlink(path) == 0;
}

static int make_fake(void **state _unused_)
{
	const char *source = getenv("abs_top_srcdir");
	_cleanup_(freep) char *real = NULL;
	char *script = path_join("%s/tests/integration/engine/fake-runc.sh", source ? source : "."),
	     *mkdir_argv[] = { (char *) "mkdir", (char *) "-p", NULL, NULL };

	fake_dir = path_join("%s/fake", world.top);
	names[0] = path_join("%s/runc", fake_dir);
	names[1] = path_join("%s/another", fake_dir);
	mkdir_argv[2] = fake_dir;
	assert_int_equal(spawn_wait(mkdir_argv, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(spawn_wait((char *[]){ (char *) "install", (char *) "-m",
							(char *) "755", script, names[i], NULL },
					    NULL),
				 0);
	assert_int_equal(runc_find(NULL, &real, NULL), 0);
	behave("real", real);
	free(script);
	return 0;
}

static int end_fake(void **state _unused_)
{
	free(fake_dir);
	free(names[0]);
	free(names[1]);
	return 0;
}

/* ---- the agent ---- */

static int start_agent(void **state)
{
	world.config.runc = names[*state ? 1 : 0];
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	static const char *const commands[] = { "run", "delete", "exec" };
	bool clean;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		behave(commands[i], NULL);
	clean = world_stop_all();
	world_end_agent();
	world.config.runc = NULL;
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static const char *reason_of(const json_t *report)
{
	return json_get_string(world_container(report, 0), "reason", "");
}

/* Another task starts, runs and ends as if nothing were. */
static void others_are_well(const char *arn)
{
	const json_t *r;

	behave("run", NULL);
	assert_int_equal(world_run(arn, ",\"command\":[\"sh\",\"-c\",\"exit 4\"]"), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 4);
}

/* ---- run ---- */

static void a_failed_run_is_reported_and_leaves_nothing(void **state)
{
	static const struct {
		const char *mode, *reason; /* its beginning */
	} cases[] = {
		{ "fail", "CannotStartContainerError: it is Tuesday" },
		{ "silent", "CannotStartContainerError: the runtime ended with status 3" },
		{ "stderr", "CannotStartContainerError: and  [31mthe last one" },
		{ "garbage", "CannotStartContainerError: " },
		{ "signal", "CannotStartContainerError: the runtime was ended by signal 11" },
		{ "nothing", "CannotStartContainerError: the runtime left no process id" },
		{ "half", "CannotStartContainerError: half-way" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char arn[96];
		const json_t *r;

		(void) snprintf(arn, sizeof(arn), "%s%s-%d", ARN("run-"), cases[i].mode,
				*state != NULL);
		behave("run", cases[i].mode);
		assert_int_equal(world_run(arn, ",\"command\":[\"sleep\",\"1000\"],"
						"\"portMappings\":[{\"containerPort\":80}]"),
				 0);
		r = world_wait(arn, "STOPPED", PATIENCE_MS);
		assert_non_null(r);
		if (strncmp(reason_of(r), cases[i].reason, strlen(cases[i].reason)) != 0)
			fail_msg("%s: '%s'", cases[i].mode, reason_of(r));
		assert_null(json_object_get(world_container(r, 0), "exitCode"));
		assert_null(world_report(arn, "RUNNING"));
		assert_true(world_gets_clean());
	}
	others_are_well(*state ? ARN("after-runs-1") : ARN("after-runs-0"));
}

/* A process that is no child of the shim: it is neither taken for the container nor killed. */
static void a_strangers_process_is_left_alone(void **state)
{
	const char *arn = *state ? ARN("stranger-1") : ARN("stranger-0");
	char *argv[] = { (char *) "sleep", (char *) "1000", NULL };
	_cleanup_(closep) int pidfd = -EBADF;
	const json_t *r;
	char text[16];
	pid_t pid;

	assert_int_equal(
		spawn(&(struct spawn_params){ .path = "sleep", .argv = argv }, &pid, &pidfd, NULL),
		0);
	(void) snprintf(text, sizeof(text), "%d", pid);
	behave("stranger", text);
	behave("run", "stranger");
	assert_int_equal(world_run(arn, ""), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_string_equal(reason_of(r),
			    "CannotStartContainerError: the runtime left no process id");
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1,
			      (int) patiently(PATIENCE_MS)),
			 1);
	assert_int_equal(spawn_reap(pidfd), 128 + SIGKILL);
}

static void a_run_that_hangs_ends_at_its_time_limit(void **state)
{
	const char *arn = *state ? ARN("hang-1") : ARN("hang-0"),
		   *other = *state ? ARN("beside-1") : ARN("beside-0");
	static const char late[] = "DockerTimeoutError: Could not transition to started; timed out "
				   "after waiting ";
	int64_t limit = world.config.start_timeout_ms;
	const json_t *r;

	world.config.start_timeout_ms = patiently(8000);
	(void) was_called("run");
	behave("run", "hang");
	assert_int_equal(world_run(arn, ""), 0);
	for (int64_t i = 0; i < patiently(1000) && !was_called("run"); i++)
		world_turn(10);
	others_are_well(other); /* while it hangs */
	assert_null(world_report(arn, "STOPPED"));
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	world.config.start_timeout_ms = limit;
	assert_non_null(r);
	if (strncmp(reason_of(r), late, strlen(late)) != 0)
		fail_msg("%s", reason_of(r));
	assert_true(world_gets_clean());
}

/* A stop beside a start that takes its time: the container is ended when it is there. */
static void a_stop_during_a_slow_run_is_kept(void **state)
{
	const char *arn = *state ? ARN("slow-1") : ARN("slow-0");
	const json_t *r;

	(void) was_called("run");
	behave("run", "slow");
	assert_int_equal(world_run(arn,
				   ",\"command\":[\"sh\",\"-c\",\"trap 'exit 8' TERM; while :; "
				   "do sleep 0.05; done\"]"),
			 0);
	for (int64_t i = 0; i < patiently(1000) && !was_called("run"); i++)
		world_turn(10);
	assert_int_equal(engine_stop_task(world.engine, arn, NULL, NULL, NULL), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_true(world_gets_clean());
}

#define LIMITS                                                                                     \
	",\"memory\":16,\"cpu\":300,\"command\":[\"sleep\",\"1000\"],\"dockerConfig\":{"           \
	"\"hostConfig\":\"{\\\"PidsLimit\\\":77,\\\"MemoryReservation\\\":8388608}\"}"

static size_t told(const char *arn, const char *type)
{
	size_t i, n = 0;
	json_t *e;

	json_array_foreach(world.events, i, e)
		n += strcmp(json_get_string(e, "task", ""), arn) == 0 &&
		     strcmp(json_get_string(e, "type", ""), type) == 0;
	return n;
}

/* The limits are read back; the container runs on. */
static void a_limit_that_was_not_set_is_told(void **state)
{
	const char *good = *state ? ARN("limits-1") : ARN("limits-0"),
		   *bad = *state ? ARN("loose-1") : ARN("loose-0");

	assert_int_equal(world_run(good, LIMITS), 0);
	assert_non_null(world_wait(good, "RUNNING", PATIENCE_MS));
	behave("run", "loose");
	assert_int_equal(world_run(bad, LIMITS), 0);
	assert_non_null(world_wait(bad, "RUNNING", PATIENCE_MS));
	for (int64_t i = 0; i < patiently(500) && !told(bad, "container-limits-differ"); i++)
		world_turn(10);
	assert_int_equal(told(bad, "container-limits-differ"), 1);
	assert_int_equal(told(good, "container-running"), 1);
	assert_int_equal(told(good, "container-limits-differ"), 0);
	assert_null(world_report(bad, "STOPPED"));
	world.config.stop_timeout_ms = 200;
	assert_true(world_stop_all());
	world.config.stop_timeout_ms = 10000;
}

/* ---- delete ---- */

static void a_failed_delete_leaves_nothing_either(void **state)
{
	static const char *const modes[] = { "fail", "signal", "garbage", "nothing" };

	(void) was_called("delete");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		char arn[96];
		const json_t *r;

		(void) snprintf(arn, sizeof(arn), "%s%s-%d", ARN("delete-"), modes[i],
				*state != NULL);
		behave("delete", modes[i]);
		assert_int_equal(world_run(arn, ",\"command\":[\"sh\",\"-c\",\"exit 6\"]"), 0);
		r = world_wait(arn, "STOPPED", PATIENCE_MS);
		assert_non_null(r);
		assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 6);
		assert_true(world_gets_clean());
	}
	assert_true(was_called("delete") || !*state); /* for runc there is a shorter way */
}

static void a_delete_that_hangs_delays_no_report(void **state)
{
	const char *arn = *state ? ARN("delete-hang-1") : ARN("delete-hang-0");
	int64_t at = clock_mono_ms();
	const json_t *r;

	behave("delete", "hang");
	assert_int_equal(world_run(arn, ",\"command\":[\"sh\",\"-c\",\"exit 6\"]"), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_true(clock_mono_ms() - at < patiently(8000)); /* the shim gives it ten seconds */
	others_are_well(*state ? ARN("after-delete-1") : ARN("after-delete-0"));
}

/* ---- exec, of health checks ---- */

static enum health_status health_of(const char *arn)
{
	const struct task *t = engine_find_task(world.engine, arn);

	return t ? t->containers[0].health.status : HEALTH_NONE;
}

static void a_failed_exec_is_a_failed_probe(void **state)
{
	static const char *const modes[] = { "fail",    "silent",   "garbage", "signal",
					     "nothing", "stranger", "hang" };

	behave("stranger", "1");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);
		const json_t *r;
		char arn[96];

		(void) snprintf(arn, sizeof(arn), "%s%s-%d", ARN("exec-"), modes[i],
				*state != NULL);
		behave("exec", modes[i]);
		assert_int_equal(
			world_run(
				arn,
				",\"healthCheckType\":\"docker\",\"command\":[\"sleep\",\"1000\"],"
				"\"dockerConfig\":{\"config\":\"{\\\"HealthCheck\\\":{\\\"Test\\\":"
				"[\\\"CMD\\\",\\\"true\\\"],\\\"Interval\\\":50000000,"
				"\\\"Timeout\\\":500000000,\\\"Retries\\\":2}}\","
				"\"hostConfig\":\"{\\\"Init\\\":true}\"}"),
			0);
		while (health_of(arn) != HEALTH_UNHEALTHY && clock_mono_ms() < end)
			(void) sd_event_run(world.loop, 100000);
		assert_int_equal(health_of(arn), HEALTH_UNHEALTHY);
		assert_int_equal(engine_stop_task(world.engine, arn, NULL, NULL, NULL), 0);
		r = world_wait(arn, "STOPPED", PATIENCE_MS);
		assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 143);
		assert_true(world_gets_clean());
	}
}

#define under(name, f)                                                                             \
	{                                                                                          \
#f ", as " #name, f, start_agent, end_agent, name                                  \
	}
#define runc NULL
#define another ((void *) "another")
#define both(f) under(runc, f), under(another, f)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		both(a_failed_run_is_reported_and_leaves_nothing),
		both(a_strangers_process_is_left_alone),
		both(a_run_that_hangs_ends_at_its_time_limit),
		both(a_stop_during_a_slow_run_is_kept),
		both(a_limit_that_was_not_set_is_told),
		both(a_failed_delete_leaves_nothing_either),
		both(a_delete_that_hangs_delays_no_report),
		both(a_failed_exec_is_a_failed_probe),
	};
	int k;

	world_begin();
	k = cmocka_run_group_tests(tests, make_fake, end_fake);
	world_end();
	return k;
}
