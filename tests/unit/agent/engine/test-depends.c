/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/depends.h"
#include "agent/engine/payload.h"
#include "agent/engine/reconcile.h"

#define TASK_ARN "arn:aws:ecs:eu-west-1:123456789012:task/test/t1"

/* ---- asking: all conditions and all states of the other one ---- */

enum { NOW = 1000000, STARTED = NOW - 10000 };

struct other {
	const char *name;
	struct reconcile_container c;
};

static const struct other others[] = {
	{ "nothing", { .known = CONTAINER_NONE, .desired = CONTAINER_RUNNING } },
	{ "resolved", { .known = CONTAINER_MANIFEST_PULLED, .desired = CONTAINER_RUNNING } },
	{ "pulled", { .known = CONTAINER_PULLED, .desired = CONTAINER_RUNNING } },
	{ "created", { .known = CONTAINER_CREATED, .desired = CONTAINER_RUNNING } },
	{ "created, to stop", { .known = CONTAINER_CREATED, .desired = CONTAINER_STOPPED } },
	{ "running",
	  { .known = CONTAINER_RUNNING, .desired = CONTAINER_RUNNING, .started_ms = STARTED } },
	{ "running, to stop",
	  { .known = CONTAINER_RUNNING, .desired = CONTAINER_STOPPED, .started_ms = STARTED } },
	{ "starting to be healthy",
	  { .known = CONTAINER_RUNNING,
	    .desired = CONTAINER_RUNNING,
	    .health = HEALTH_UNKNOWN,
	    .started_ms = STARTED } },
	{ "healthy",
	  { .known = CONTAINER_RUNNING,
	    .desired = CONTAINER_RUNNING,
	    .health = HEALTH_HEALTHY,
	    .started_ms = STARTED } },
	{ "unhealthy",
	  { .known = CONTAINER_RUNNING,
	    .desired = CONTAINER_RUNNING,
	    .health = HEALTH_UNHEALTHY,
	    .started_ms = STARTED } },
	{ "ended well",
	  { .known = CONTAINER_STOPPED,
	    .desired = CONTAINER_STOPPED,
	    .health = HEALTH_HEALTHY,
	    .has_exit_code = true,
	    .started_ms = STARTED } },
	{ "failed",
	  { .known = CONTAINER_STOPPED,
	    .desired = CONTAINER_STOPPED,
	    .has_exit_code = true,
	    .exit_code = 1,
	    .started_ms = STARTED } },
	{ "lost",
	  { .known = CONTAINER_STOPPED, .desired = CONTAINER_STOPPED, .started_ms = STARTED } },
	{ "never begun", { .known = CONTAINER_STOPPED, .desired = CONTAINER_STOPPED } },
	{ "given up itself",
	  { .known = CONTAINER_STOPPED,
	    .desired = CONTAINER_STOPPED,
	    .has_exit_code = true,
	    .exit_code = 143 } },
};

#define M DEPENDS_MET
#define W DEPENDS_WAIT
#define S DEPENDS_NOT_SUCCESSFUL
#define N DEPENDS_NEVER_STARTS
#define H DEPENDS_NEVER_HEALTHY
#define X DEPENDS_NO_EXIT_CODE
#define T DEPENDS_TIMED_OUT

/* In the order of others[]: CREATE, START, COMPLETE, SUCCESS, HEALTHY; without a start timeout. */
static const enum depends_answer answers[ARRAY_SIZE(others)][_DEPEND_MAX] = {
	{ W, W, W, W, W }, { W, W, W, W, W }, { W, W, W, W, W }, { M, W, W, W, W },
	{ N, N, N, N, N }, { M, M, W, W, W }, { M, M, W, W, W }, { M, M, W, W, W },
	{ M, M, W, W, M }, { M, M, W, W, W }, { M, M, M, M, H }, { M, M, M, S, H },
	{ M, M, X, S, H }, { N, N, N, N, N }, { N, N, N, N, N },
};

static void expect(size_t i, enum depend_condition condition, enum container_status known,
		   int64_t timeout_s, enum depends_answer wanted, int64_t wanted_wake_ms)
{
	struct reconcile_container c = others[i].c;
	int64_t wake = -1;
	enum depends_answer got;

	c.start_timeout_s = timeout_s;
	got = depends_ask(condition, known, &c, NOW, &wake);
	if (got != wanted || wake != wanted_wake_ms)
		fail_msg("%s of one that is %s, for one that is %s, %lld s: %d, %lld instead of "
			 "%d, %lld",
			 depend_condition_name(condition), others[i].name,
			 container_status_name(known), (long long) timeout_s, (int) got,
			 (long long) wake, (int) wanted, (long long) wanted_wake_ms);
}

static void every_condition_meets_every_state(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		for (enum depend_condition c = 0; c < _DEPEND_MAX; c++)
			for (enum container_status k = 0; k < CONTAINER_RUNNING; k++)
				expect(i, c, k, 0, answers[i][c], 0);
}

/* Its time counts from its start, for what it may take long over, while the other is not created. */
static void a_start_timeout_ends_the_waiting(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		for (enum depend_condition c = 0; c < _DEPEND_MAX; c++)
			for (enum container_status k = 0; k < CONTAINER_RUNNING; k++) {
				bool counts = answers[i][c] == W && c >= DEPEND_COMPLETE &&
					      others[i].c.started_ms > 0 && k < CONTAINER_CREATED;

				expect(i, c, k, 11, answers[i][c], counts ? STARTED + 11000 : 0);
				expect(i, c, k, 10, counts ? T : answers[i][c], 0);
				expect(i, c, k, 1, counts ? T : answers[i][c], 0);
			}
}

/* ---- resolving ---- */

static struct task *task_of(const char *containers)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(json_decrefp) json_t *obj = NULL;
	char text[4096];
	struct task *t = NULL;

	(void) snprintf(text, sizeof(text), "{\"arn\":\"" TASK_ARN "\",\"containers\":[%s]}",
			containers);
	if (json_parse(text, strlen(text), &obj, &err) < 0 ||
	    payload_decode_task(obj, &t, &err) < 0)
		fail_msg("%s", err_text(&err));
	return t;
}

#define C(name, more) "{\"name\":\"" name "\",\"image\":\"i\"" more "}"
#define ON(name, condition) "{\"containerName\":\"" name "\",\"condition\":\"" condition "\"}"
#define DEPENDS(edges) ",\"dependsOn\":[" edges "]"

static void names_become_places(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *t =
		task_of(C("web", DEPENDS(ON("db", "HEALTHY") "," ON("init", "SUCCESS"))) "," C(
			"init", "") "," C("db", ",\"startTimeout\":7"));

	assert_int_equal(depends_resolve(t, &err), 0);
	assert_int_equal(t->containers[0].n_depends, 2);
	assert_int_equal(t->containers[0].depends[0].index, 2);
	assert_int_equal(t->containers[0].depends[0].condition, DEPEND_HEALTHY);
	assert_int_equal(t->containers[0].depends[1].index, 1);
	assert_int_equal(t->containers[0].depends[1].condition, DEPEND_SUCCESS);
	assert_int_equal(t->containers[2].start_timeout_s, 7);
}

static void add_link(struct container *c, const char *link)
{
	c->links = calloc(2, sizeof(*c->links));
	assert_non_null(c->links);
	c->links[0] = strdup(link);
}

static void add_source(struct container *c, const char *name)
{
	c->volumes_from = calloc(1, sizeof(*c->volumes_from));
	assert_non_null(c->volumes_from);
	c->volumes_from[0].source_container = strdup(name);
	c->n_volumes_from = 1;
}

static void links_and_volumes_order_too(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *t = task_of(C("a", "") "," C("b", "") "," C("c", ""));

	add_link(&t->containers[0], "b:alias");
	add_source(&t->containers[1], "c");
	assert_int_equal(depends_resolve(t, &err), 0);
	assert_int_equal(t->containers[0].n_depends, 1);
	assert_int_equal(t->containers[0].depends[0].index, 1);
	assert_int_equal(t->containers[0].depends[0].condition, DEPEND_START);
	assert_string_equal(t->containers[0].depends[0].name, "b");
	assert_int_equal(t->containers[1].depends[0].index, 2);
	assert_int_equal(t->containers[1].depends[0].condition, DEPEND_CREATE);
	assert_int_equal(t->containers[1].volumes_from[0].index, 2);
}

static void assert_refused(struct task *t, const char *reason)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *mine = t;

	assert_int_equal(depends_resolve(mine, &err), DEPENDS_E_UNRESOLVABLE);
	assert_string_equal(err_text(&err), reason);
}

#define UNRESOLVED "Task dependencies cannot be resolved, taskArn: " TASK_ARN
#define UNINITIALIZED "resource cannot be initialized for task " TASK_ARN ": "

static void what_cannot_be_resolved_is_refused(void **state _unused_)
{
	struct task *t;

	assert_refused(task_of(C("a", DEPENDS(ON("b", "START")))), UNRESOLVED);
	assert_refused(task_of(C("a", DEPENDS(ON("a", "START")))), UNRESOLVED);
	assert_refused(
		task_of(C("a", DEPENDS(ON("b", "START"))) "," C(
			"b", DEPENDS(ON("c", "START"))) "," C("c", DEPENDS(ON("b", "COMPLETE")))),
		UNRESOLVED);
	t = task_of(C("a", "") "," C("b", DEPENDS(ON("a", "START"))));
	add_link(&t->containers[0], "b");
	assert_refused(t, UNRESOLVED);
	t = task_of(C("a", ""));
	add_link(&t->containers[0], "b:c");
	assert_refused(t, UNINITIALIZED "could not find container for link b:c");
	t = task_of(C("a", "") "," C("b", ""));
	add_link(&t->containers[0], "b:c:d");
	assert_refused(t, UNINITIALIZED "invalid link format");
	t = task_of(C("a", ""));
	add_source(&t->containers[0], "x");
	assert_refused(t, UNINITIALIZED "could not find volume source container with name x");
}

/* Two ways to the same container. */
static void a_diamond_is_no_cycle(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *t =
		task_of(C("a", DEPENDS(ON("b", "START") "," ON("c", "START"))) "," C(
			"b", DEPENDS(ON("d", "START"))) "," C("c",
							      DEPENDS(ON("d", "START"))) "," C("d",
											       ""));

	assert_int_equal(depends_resolve(t, &err), 0);
}

static void conditions_are_words_we_know(void **state _unused_)
{
	static const char *const bad[] = { "CREATE", "start", "RUNNING", "" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(err_done) struct err err = {};
		_cleanup_(json_decrefp) json_t *obj = json_pack(
			"{s:s,s:[{s:s,s:s,s:[{s:s,s:s}]}]}", "arn", TASK_ARN, "containers", "name",
			"a", "image", "i", "dependsOn", "containerName", "b", "condition", bad[i]);
		struct task *t = NULL;

		assert_int_equal(payload_decode_task(obj, &t, &err), -EPROTO);
		assert_non_null(strstr(err_text(&err), "containers[0]: dependsOn[0]: condition: "));
	}
}

/* ---- words ---- */

static void reasons_are_those_people_know(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *t =
		task_of(C("web", DEPENDS(ON("db", "SUCCESS"))) "," C("db", ""));
	struct container *web = &t->containers[0], *db = &t->containers[1];
	char *text, buf[DEPENDS_TEXT_MAX];

	assert_int_equal(depends_resolve(t, &err), 0);
	web->known = CONTAINER_MANIFEST_PULLED;
	db->known = db->desired = CONTAINER_STOPPED;
	db->has_exit_code = true;
	db->exit_code = 3;
	text = depends_explain(DEPENDS_NOT_SUCCESSFUL, web, db);
	assert_string_equal(text, "dependency graph: failed to resolve container ordering "
				  "dependency [db(i) (STOPPED->STOPPED) - Exit: 3] for target "
				  "[web(i) (MANIFEST_PULLED->RUNNING)] as dependency did not exit "
				  "successfully.");
	free(text);
	text = depends_explain(DEPENDS_TIMED_OUT, web, db);
	assert_non_null(strstr(text, "dependency graph: container ordering dependency [db(i)"));
	assert_non_null(strstr(text, "] has timed out."));
	free(text);
	assert_null(depends_waiting_text(web, buf));
	web->waits_for = &web->depends[0];
	assert_string_equal(depends_waiting_text(web, buf),
			    "container 'db' to end with exit code 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_condition_meets_every_state),
		cmocka_unit_test(a_start_timeout_ends_the_waiting),
		cmocka_unit_test(names_become_places),
		cmocka_unit_test(links_and_volumes_order_too),
		cmocka_unit_test(what_cannot_be_resolved_is_refused),
		cmocka_unit_test(a_diamond_is_no_cycle),
		cmocka_unit_test(conditions_are_words_we_know),
		cmocka_unit_test(reasons_are_those_people_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
