/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent that is killed at random, again and again, while twenty tasks start, exit and are
 * stopped. Whatever the moment: each container runs once, each change is told at least once and in
 * order, and at the end nothing is left. CRASH_ROUNDS sets how often it dies, CRASH_SEED repeats a
 * run.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/told.h"
#include "tests/integration/engine/world.h"

enum { TASKS = 20, ROUNDS = 15, LIFE_MAX_MS = 500, PATIENCE_MS = 60000 };

/* What becomes of task i: i % KINDS. */
enum kind { STAYS, EXITS, IS_STOPPED, LOSES_ITS_HELPER, KINDS };

static const char *arn_of(int i)
{
	static char arn[128];

	(void) snprintf(arn, sizeof(arn), ARN("crash%02d"), i);
	return arn;
}

static json_t *container(int i, const char *name, const char *then, bool essential)
{
	_cleanup_(freep) char *script = path_join("echo ran >> /marks/%02d-%s; %s", i, name, then);

	return json_pack("{s:s,s:s,s:b,s:i,s:[s,s,s],s:[{s:s,s:s}],s:[{s:i}]}", "name", name,
			 "image", IMAGE, "essential", essential, "stopTimeout", 1, "command", "sh",
			 "-c", script, "mountPoints", "sourceVolume", "marks", "containerPath",
			 "/marks", "portMappings", "containerPort", 80);
}

static json_t *task(int i, bool late)
{
	static const char stays[] = "trap 'exit 0' TERM; sleep 1000 & wait";
	json_t *containers = json_array();
	char quits[64];

	(void) snprintf(quits, sizeof(quits), "sleep 0.%d; exit %d", i % 10, 100 + i);
	(void) json_array_append_new(
		containers, container(i, "main", i % KINDS == EXITS ? quits : stays, true));
	if (i % KINDS == LOSES_ITS_HELPER)
		(void) json_array_append_new(containers, container(i, "helper", quits, false));
	return json_pack("{s:s,s:s,s:s,s:s,s:[{s:s,s:{s:s}}],s:o}", "arn", arn_of(i), "family",
			 "crash", "version", "1", "desiredStatus",
			 late && i % KINDS == IS_STOPPED ? "STOPPED" : "RUNNING", "volumes", "name",
			 "marks", "host", "sourcePath", told_marks, "containers", containers);
}

/* The service repeats what was not acknowledged; so does this, always. */
static void send_payload(bool late)
{
	_cleanup_(json_decrefp) json_t *message = json_pack("{s:[]}", "tasks");

	for (int i = 0; i < TASKS; i++)
		(void) json_array_append_new(json_object_get(message, "tasks"), task(i, late));
	if (engine_on_payload(world.engine, message, NULL) < 0)
		abort();
}

static void live_and_be_killed(bool late, int after_ms)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		world.loop = NULL; /* a loop does not survive a fork */
		if (sd_event_new(&world.loop) < 0)
			_exit(1);
		world_start_agent();
		send_payload(late);
		world_turn(PATIENCE_MS);
		_exit(0);
	}
	assert_true(pid > 0);
	(void) usleep((useconds_t) after_ms * 1000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool has_settled(int i)
{
	const struct task *t = engine_find_task(world.engine, arn_of(i));

	if (i % KINDS == EXITS || i % KINDS == IS_STOPPED)
		return t->known == TASK_STOPPED;
	if (i % KINDS == LOSES_ITS_HELPER && t->containers[1].known != CONTAINER_STOPPED)
		return false;
	return t->known == TASK_RUNNING;
}

static void wait_until_all_settled(void)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	for (int i = 0; i < TASKS; i++) {
		while (!has_settled(i) && clock_mono_ms() < end)
			world_turn(10);
		if (!has_settled(i))
			fail_msg(
				"%s is %s", arn_of(i),
				task_status_name(engine_find_task(world.engine, arn_of(i))->known));
	}
}

static void stop_all(void)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	for (int i = 0; i < TASKS; i++)
		assert_int_equal(engine_stop_task(world.engine, arn_of(i), NULL, NULL, NULL), 0);
	for (int i = 0; i < TASKS; i++)
		while (engine_find_task(world.engine, arn_of(i))->known != TASK_STOPPED &&
		       clock_mono_ms() < end)
			world_turn(10);
	assert_true(world_gets_clean());
}

/* ---- what must hold ---- */

static void nobody_ran_twice(void)
{
	for (int i = 0; i < TASKS; i++)
		for (int n = 0; n < 2; n++) {
			char name[32];

			(void) snprintf(name, sizeof(name), "%02d-%s", i, n ? "helper" : "main");
			if (told_marks_of(name) > 1)
				fail_msg("%s: ran %d times", name, told_marks_of(name));
		}
}

static void was_told_in_order(int i)
{
	struct told t = told_of(arn_of(i));

	assert_true(t.in_order && t.stopped);
	if (i % KINDS == EXITS)
		assert_int_equal(t.exit_code, 100 + i);
	else if (i % KINDS != IS_STOPPED)
		assert_true(t.running);
}

static unsigned number_from(const char *variable, unsigned fallback)
{
	const char *text = getenv(variable);

	return text ? (unsigned) strtoul(text, NULL, 10) : fallback;
}

static void a_killed_agent_loses_doubles_and_leaves_nothing(void **state _unused_)
{
	unsigned rounds = number_from("CRASH_ROUNDS", ROUNDS);
	unsigned seed = number_from("CRASH_SEED", (unsigned) time(NULL));

	print_message("# CRASH_SEED=%u CRASH_ROUNDS=%u\n", seed, rounds);
	srandom(seed);
	for (unsigned n = 0; n < rounds; n++)
		live_and_be_killed(n >= rounds / 2, (int) (random() % LIFE_MAX_MS));
	world_start_agent();
	send_payload(true);
	wait_until_all_settled();
	stop_all();
	world_end_agent();

	nobody_ran_twice();
	for (int i = 0; i < TASKS; i++)
		was_told_in_order(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_agent_loses_doubles_and_leaves_nothing),
	};
	int failed;

	world_begin();
	told_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	told_end();
	world_end();
	return failed;
}
