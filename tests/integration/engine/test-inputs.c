/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that want secrets, with the real runtime and a small SSM on loopback. */
#include "tests/unit/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "aws/http.h"
#include "common/json.h"
#include "common/spawn.h"
#include "tests/integration/engine/world.h"
#include "tests/unit/aws/fake.h"

enum { PATIENCE_MS = 60000 };

static struct fake_http server;
static atomic_int asked;
static atomic_bool held;    /* the service takes its time */
static atomic_bool missing; /* nobody ever made that parameter */

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	(void) userdata, (void) q;
	asked++;
	while (held)
		(void) usleep(10000);
	a->status = 200;
	(void) snprintf(
		a->body, sizeof(a->body), "%s",
		missing ? "{\"InvalidParameters\":[\"word\"]}"
			: "{\"Parameters\":[{\"Name\":\"word\",\"Value\":\"plover-egg\"}]}");
}

static void add_role(void)
{
	json_auto_t *c = json_pack("{s:s, s:s, s:s}", "credentialsId", "id-1", "accessKeyId", "A",
				   "secretAccessKey", "s");

	assert_int_equal(role_store_put(world.roles, ARN("x"), ROLE_EXECUTION, c, NULL), 0);
}

static int start_agent(void **state _unused_)
{
	asked = 0;
	held = missing = false;
	assert_int_equal(http_client_new(world.loop, NULL, &world.http, NULL), 0);
	assert_int_equal(role_store_new(&world.roles, NULL), 0);
	add_role();
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	bool clean = world_stop_all();

	world_end_agent();
	world.http = http_client_free(world.http);
	world.roles = role_store_free(world.roles);
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

#define POLICY ",\"restartPolicy\":{\"enabled\":true}"
#define SHELL(script) ",\"command\":[\"sh\",\"-c\",\"" script "\"]"

static void run(const char *arn, const char *members)
{
	char text[2048];

	(void) snprintf(text, sizeof(text),
			"{\"tasks\":[{\"arn\":\"%s\",\"desiredStatus\":\"RUNNING\","
			"\"executionRoleCredentials\":{\"credentialsId\":\"id-1\"},"
			"\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE "\","
			"\"essential\":true,\"environment\":{\"WORD\":\"weak\"},\"secrets\":[{"
			"\"name\":\"WORD\",\"valueFrom\":\"word\",\"region\":\"us-west-2\","
			"\"provider\":\"ssm\"}]%s}]}]}",
			arn, members);
	assert_int_equal(world_payload(text), 0);
}

static const struct container *container(const char *arn)
{
	return &engine_task_by_arn(world.engine, arn)->containers[0];
}

/* Turns the loop until @count is at least @n. */
static bool reaches(const atomic_int *count, int n)
{
	for (int i = 0; i < PATIENCE_MS / 20 && *count < n; i++)
		world_turn(20);
	return *count >= n;
}

static bool note_is(const char *arn, const char *note)
{
	for (int i = 0; i < PATIENCE_MS / 20; i++) {
		const char *now = container(arn)->waits_note;

		if (strcmp(now ? now : "", note) == 0)
			return true;
		world_turn(20);
	}
	return false;
}

static bool anybody_wrote(const char *text)
{
	char *argv[] = { (char *) "grep",       (char *) "-rqsa",     (char *) text,
			 world.config.data_dir, world.config.run_dir, NULL };

	return spawn_wait(argv, NULL) == 0;
}

static void who_waits_for_secrets_is_in_nobodys_way(void **state _unused_)
{
	const json_t *r;

	held = true;
	run(ARN("patient"), SHELL("[ ${#WORD} = 10 ] && exit 7"));
	assert_true(note_is(ARN("patient"), "its secrets"));
	assert_true(container(ARN("patient"))->known < CONTAINER_CREATED);
	assert_int_equal(world_run(ARN("other"), SHELL("exec sleep 1000")), 0);
	assert_non_null(world_wait(ARN("other"), "RUNNING", PATIENCE_MS));
	assert_true(container(ARN("patient"))->known < CONTAINER_CREATED);
	held = false;
	r = world_wait(ARN("patient"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 7);
	assert_null(container(ARN("patient"))->waits_note);
}

static void a_task_that_is_stopped_meanwhile_waits_no_more(void **state _unused_)
{
	held = true;
	run(ARN("brief"), SHELL("exec sleep 1000"));
	assert_true(note_is(ARN("brief"), "its secrets"));
	assert_int_equal(engine_stop_task(world.engine, ARN("brief"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("brief"), "STOPPED", PATIENCE_MS));
	held = false;
}

static void a_refusal_is_the_tasks_reason(void **state _unused_)
{
	const json_t *r;

	missing = true;
	run(ARN("refused"), SHELL("exec sleep 1000"));
	r = world_wait(ARN("refused"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_string_equal(json_get_string(r, "reason", ""),
			    "Fetching secret data from SSM Parameter Store in us-west-2: invalid "
			    "parameters: word");
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
}

static void secrets_are_nowhere_on_the_disk(void **state _unused_)
{
	run(ARN("hidden"), SHELL("exec sleep 1000"));
	assert_non_null(world_wait(ARN("hidden"), "RUNNING", PATIENCE_MS));
	assert_true(anybody_wrote("sleep 1000")); /* it looks in the right places */
	assert_false(anybody_wrote("plover-egg"));
	assert_null(engine_task_by_arn(world.engine, ARN("hidden"))->run->inputs);
}

/* Each run proves that it has its secret by getting to its end. */
#define AGAIN                                                                                      \
	POLICY SHELL("[ ${#WORD} = 10 ] || exit 1; echo >> /runs; "                                \
		     "while [ ! -e /go$(wc -l < /runs) ]; do sleep 0.02; done; exit 3")

/* Lets run number @n end. */
static void let_go(const char *arn, int n)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/%d/root/go%d", (int) container(arn)->pid, n);
	assert_int_equal(spawn_wait((char *[]){ (char *) "touch", path, NULL }, NULL), 0);
}

static bool runs_again(const char *arn, int restarts)
{
	for (int i = 0; i < PATIENCE_MS / 20; i++) {
		const struct container *c = container(arn);

		if (c->restart_count == restarts && !c->restarting && c->pid > 0)
			return true;
		world_turn(20);
	}
	return false;
}

static void a_restart_has_the_values_at_hand_and_a_new_agent_asks_again(void **state _unused_)
{
	run(ARN("again"), AGAIN);
	assert_non_null(world_wait(ARN("again"), "RUNNING", PATIENCE_MS));
	assert_int_equal(asked, 1);
	let_go(ARN("again"), 1);
	assert_true(runs_again(ARN("again"), 1));
	assert_int_equal(asked, 1);

	world_end_agent();
	world_start_agent();
	assert_int_equal(asked, 1); /* nothing starts */
	let_go(ARN("again"), 2);
	assert_true(runs_again(ARN("again"), 2));
	assert_int_equal(asked, 2);
}

static void a_restart_without_its_secrets_is_none(void **state _unused_)
{
	const json_t *r;

	run(ARN("last"), AGAIN);
	assert_non_null(world_wait(ARN("last"), "RUNNING", PATIENCE_MS));
	world_end_agent();
	world_start_agent();
	missing = true;
	let_go(ARN("last"), 1);
	r = world_wait(ARN("last"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 3);
	assert_string_equal(json_get_string(r, "reason", "?"), "");
}

/* What the agent was about to start when it went: asked for again, by a role whose keys come late. */
static void a_new_agent_goes_on_where_the_old_one_waited(void **state _unused_)
{
	const json_t *r;

	held = true;
	run(ARN("late"), SHELL("[ ${#WORD} = 10 ] && exit 7"));
	assert_true(note_is(ARN("late"), "its secrets"));
	assert_true(reaches(&asked, 1));
	world_end_agent();
	held = false;
	role_store_remove(world.roles, "id-1");
	assert_int_equal(
		role_store_put_pending(world.roles, ARN("x"), ROLE_EXECUTION, "id-1", NULL), 0);
	world_start_agent();
	assert_true(note_is(ARN("late"), "the credentials of its execution role"));
	add_role();
	r = world_wait(ARN("late"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)
		T(who_waits_for_secrets_is_in_nobodys_way),
		T(a_task_that_is_stopped_meanwhile_waits_no_more),
		T(a_refusal_is_the_tasks_reason),
		T(secrets_are_nowhere_on_the_disk),
		T(a_restart_has_the_values_at_hand_and_a_new_agent_asks_again),
		T(a_restart_without_its_secrets_is_none),
		T(a_new_agent_goes_on_where_the_old_one_waited),
	};
	int failed;

	world_begin();
	fake_http_start(&server, serve, NULL);
	assert_int_equal(setenv("AWS_ENDPOINT_URL", server.url, 1), 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	held = false;
	fake_http_stop(&server);
	world_end();
	return failed;
}
