/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "agent/engine/reconcile.h"

/* Every cell. Empty ones ("-") say why they cannot happen. */
static const struct {
	enum container_status known;
	bool wanted;
	enum container_busy busy;
	enum container_action action;
	const char *why;
} cells[] = {
	{ CONTAINER_NONE, true, BUSY_NOTHING, ACTION_PULL, "" },
	{ CONTAINER_NONE, true, BUSY_PULLING, ACTION_NONE, "" },
	{ CONTAINER_NONE, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_NONE, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_NONE, true, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },
	{ CONTAINER_NONE, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_NONE, false, BUSY_PULLING, ACTION_CANCEL_PULL, "" },
	{ CONTAINER_NONE, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_NONE, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_NONE, false, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },

	{ CONTAINER_MANIFEST_PULLED, true, BUSY_NOTHING, ACTION_PULL, "" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_PULLING, ACTION_NONE, "" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_PULLING, ACTION_CANCEL_PULL, "" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },

	{ CONTAINER_PULLED, true, BUSY_NOTHING, ACTION_START, "" },
	{ CONTAINER_PULLED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_PULLED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_PULLED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_PULLED, true, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },
	{ CONTAINER_PULLED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_PULLED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_PULLED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_PULLED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_PULLED, false, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },

	{ CONTAINER_CREATED, true, BUSY_NOTHING, ACTION_START, "" },
	{ CONTAINER_CREATED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_CREATED, true, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_CREATED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_CREATED, true, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },
	{ CONTAINER_CREATED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_CREATED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_CREATED, false, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_CREATED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_CREATED, false, BUSY_ENDED, ACTION_IMPOSSIBLE, "only what RUNS ends" },

	{ CONTAINER_RUNNING, true, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_RUNNING, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_RUNNING, true, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_RUNNING, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "a stop is never taken back" },
	{ CONTAINER_RUNNING, true, BUSY_ENDED, ACTION_RESTART, "" },
	{ CONTAINER_RUNNING, false, BUSY_NOTHING, ACTION_STOP, "" },
	{ CONTAINER_RUNNING, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_RUNNING, false, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_RUNNING, false, BUSY_STOPPING, ACTION_NONE, "" },
	{ CONTAINER_RUNNING, false, BUSY_ENDED, ACTION_FINISH, "" },

	{ CONTAINER_STOPPED, true, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_STOPPED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, true, BUSY_ENDED, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_STOPPED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_ENDED, ACTION_IMPOSSIBLE, "the end clears busy" },
};

static void each_cell_is_as_listed(void **state _unused_)
{
	assert_int_equal(ARRAY_SIZE(cells), _CONTAINER_STATUS_MAX * 2 * _BUSY_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
		enum container_action got =
			reconcile_container(cells[i].known, cells[i].wanted, cells[i].busy);

		if (got != cells[i].action)
			fail_msg("%s, wanted %d, busy %d: %s instead of %s",
				 container_status_name(cells[i].known), cells[i].wanted,
				 cells[i].busy, container_action_name(got),
				 container_action_name(cells[i].action));
		assert_int_equal(*cells[i].why != '\0', got == ACTION_IMPOSSIBLE);
	}
}

static struct reconcile_plan plan_of(struct reconcile_task t, struct reconcile_step *steps)
{
	struct reconcile_plan plan = { .steps = steps };

	reconcile_task(&t, &plan);
	return plan;
}

static void a_task_is_as_far_as_its_slowest_container(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_RUNNING, CONTAINER_RUNNING, BUSY_NOTHING, true },
		{ CONTAINER_PULLED, CONTAINER_RUNNING, BUSY_NOTHING, true },
	};
	struct reconcile_step a[2];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, true, c, 2 }, a);

	assert_int_equal(p.known, TASK_MANIFEST_PULLED);
	assert_int_equal(a[0].action, ACTION_NONE);
	assert_int_equal(a[1].action, ACTION_START);
}

static void nothing_is_done_before_the_host_has_room(void **state _unused_)
{
	struct reconcile_container c[] = { { CONTAINER_NONE, CONTAINER_RUNNING, 0, true } };
	struct reconcile_step a[1];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, false, c, 1 }, a);

	assert_true(p.admit);
	assert_int_equal(a[0].action, ACTION_NONE);
}

static void an_essential_end_stops_the_rest(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_STOPPED, BUSY_NOTHING, true },
		{ CONTAINER_RUNNING, CONTAINER_RUNNING, BUSY_NOTHING, false },
		{ CONTAINER_MANIFEST_PULLED, CONTAINER_RUNNING, BUSY_PULLING, false },
	};
	struct reconcile_step a[3];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_CREATED, TASK_RUNNING, true, c, 3 }, a);

	assert_int_equal(p.desired, TASK_STOPPED);
	assert_int_equal(p.known, TASK_CREATED);
	assert_int_equal(a[1].action, ACTION_STOP);
	assert_int_equal(a[2].action, ACTION_CANCEL_PULL);
}

static void on_the_way_down_a_task_does_not_become_running(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_STOPPED, BUSY_NOTHING, true },
		{ CONTAINER_RUNNING, CONTAINER_STOPPED, BUSY_STOPPING, true },
	};
	struct reconcile_step a[2];

	assert_int_equal(
		plan_of((struct reconcile_task){ TASK_CREATED, TASK_STOPPED, true, c, 2 }, a).known,
		TASK_CREATED);
}

static void a_finished_helper_does_not_keep_a_task_from_running(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_STOPPED, BUSY_NOTHING, false },
		{ CONTAINER_RUNNING, CONTAINER_RUNNING, BUSY_NOTHING, true },
	};
	struct reconcile_step a[2];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_CREATED, TASK_RUNNING, true, c, 2 }, a);

	assert_int_equal(p.known, TASK_RUNNING);
	assert_int_equal(p.desired, TASK_RUNNING);
}

static void a_task_without_living_containers_is_over(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_RUNNING, BUSY_NOTHING, false },
	};
	struct reconcile_step a[1];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_RUNNING, TASK_RUNNING, true, c, 1 }, a);

	assert_int_equal(p.known, TASK_STOPPED);
	assert_int_equal(p.desired, TASK_STOPPED);
	p = plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, false, c, 0 }, a);
	assert_int_equal(p.known, TASK_STOPPED);
	assert_false(p.admit);
}

/* ---- who waits for others ---- */

enum { NOW = 100000, WAITER = 0, OTHER = 1 };

/* A container that waits, in @known, for another one. */
static struct reconcile_step step_of(enum container_status known, bool upfront,
				     enum depend_condition condition,
				     struct reconcile_container other, int64_t *ret_wake_ms)
{
	struct depend edge = { .condition = condition, .index = OTHER };
	struct reconcile_container c[] = {
		{ .known = known, .desired = CONTAINER_RUNNING, .depends = &edge, .n_depends = 1 },
		other,
	};
	struct reconcile_step steps[2];
	struct reconcile_task t = { .desired = TASK_RUNNING,
				    .admitted = true,
				    .containers = c,
				    .n_containers = 2,
				    .now_ms = NOW,
				    .pull_upfront = upfront };
	struct reconcile_plan p = plan_of(t, steps);

	if (ret_wake_ms)
		*ret_wake_ms = p.wake_ms;
	assert_ptr_equal(steps[WAITER].waits_for,
			 steps[WAITER].answer == DEPENDS_MET ? NULL : &edge);
	return steps[WAITER];
}

static void who_waits_gets_its_digest_and_no_more(void **state _unused_)
{
	static const struct {
		enum container_status known;
		bool upfront, met;
		enum container_action action;
	} rows[] = {
		{ CONTAINER_NONE, false, false, ACTION_RESOLVE },
		{ CONTAINER_NONE, false, true, ACTION_PULL },
		{ CONTAINER_NONE, true, false, ACTION_PULL },
		{ CONTAINER_NONE, true, true, ACTION_PULL },
		{ CONTAINER_MANIFEST_PULLED, false, false, ACTION_NONE },
		{ CONTAINER_MANIFEST_PULLED, false, true, ACTION_PULL },
		{ CONTAINER_MANIFEST_PULLED, true, false, ACTION_PULL },
		{ CONTAINER_PULLED, false, false, ACTION_NONE },
		{ CONTAINER_PULLED, false, true, ACTION_START },
		{ CONTAINER_PULLED, true, false, ACTION_NONE },
		{ CONTAINER_PULLED, true, true, ACTION_START },
		{ CONTAINER_CREATED, false, false, ACTION_NONE },
		{ CONTAINER_CREATED, false, true, ACTION_START },
		{ CONTAINER_RUNNING, false, false, ACTION_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reconcile_container other = {
			.known = rows[i].met ? CONTAINER_RUNNING : CONTAINER_PULLED,
			.desired = CONTAINER_RUNNING,
			.started_ms = rows[i].met ? NOW : 0,
		};
		struct reconcile_step s =
			step_of(rows[i].known, rows[i].upfront, DEPEND_START, other, NULL);

		if (s.action != rows[i].action)
			fail_msg("row %zu: %s instead of %s", i, container_action_name(s.action),
				 container_action_name(rows[i].action));
	}
}

static void what_can_never_be_is_given_up(void **state _unused_)
{
	const struct reconcile_container dead = { .known = CONTAINER_STOPPED,
						  .desired = CONTAINER_STOPPED };

	for (enum depend_condition c = 0; c < _DEPEND_MAX; c++) {
		assert_int_equal(step_of(CONTAINER_NONE, false, c, dead, NULL).action,
				 ACTION_RESOLVE);
		assert_int_equal(step_of(CONTAINER_MANIFEST_PULLED, false, c, dead, NULL).action,
				 ACTION_GIVE_UP);
		assert_int_equal(step_of(CONTAINER_MANIFEST_PULLED, true, c, dead, NULL).action,
				 ACTION_PULL);
		assert_int_equal(step_of(CONTAINER_PULLED, true, c, dead, NULL).action,
				 ACTION_GIVE_UP);
		assert_int_equal(step_of(CONTAINER_RUNNING, false, c, dead, NULL).action,
				 ACTION_NONE);
	}
}

static void patience_ends_at_its_time(void **state _unused_)
{
	struct reconcile_container other = { .known = CONTAINER_RUNNING,
					     .desired = CONTAINER_RUNNING,
					     .started_ms = NOW - 4999,
					     .start_timeout_s = 5 };
	int64_t wake;

	assert_int_equal(
		step_of(CONTAINER_MANIFEST_PULLED, false, DEPEND_COMPLETE, other, &wake).action,
		ACTION_NONE);
	assert_int_equal(wake, NOW + 1);
	other.started_ms = NOW - 5000;
	assert_int_equal(
		step_of(CONTAINER_MANIFEST_PULLED, false, DEPEND_COMPLETE, other, &wake).action,
		ACTION_GIVE_UP);
	assert_int_equal(wake, 0);
	assert_int_equal(
		step_of(CONTAINER_MANIFEST_PULLED, false, DEPEND_START, other, &wake).action,
		ACTION_PULL);
}

static void the_worst_edge_decides(void **state _unused_)
{
	struct depend edges[] = { { .condition = DEPEND_HEALTHY, .index = 1 },
				  { .condition = DEPEND_SUCCESS, .index = 2 } };
	struct reconcile_container c[] = {
		{ .known = CONTAINER_MANIFEST_PULLED,
		  .desired = CONTAINER_RUNNING,
		  .depends = edges,
		  .n_depends = 2 },
		{ .known = CONTAINER_RUNNING, .desired = CONTAINER_RUNNING, .started_ms = NOW },
		{ .known = CONTAINER_STOPPED,
		  .desired = CONTAINER_STOPPED,
		  .started_ms = NOW,
		  .has_exit_code = true,
		  .exit_code = 1 },
	};
	struct reconcile_step s[3];

	(void) plan_of((struct reconcile_task){ .desired = TASK_RUNNING,
						.admitted = true,
						.containers = c,
						.n_containers = 3,
						.now_ms = NOW },
		       s);
	assert_int_equal(s[0].action, ACTION_GIVE_UP);
	assert_int_equal(s[0].answer, DEPENDS_NOT_SUCCESSFUL);
	assert_ptr_equal(s[0].waits_for, &edges[1]);
}

/* web needs app, app needs db; log is on its own: two can go at once, the others in their turn. */
static void a_task_stops_from_its_dependents_down(void **state _unused_)
{
	struct depend needs_app = { .condition = DEPEND_START, .index = 1 },
		      needs_db = { .condition = DEPEND_HEALTHY, .index = 2 };
	enum { WEB, APP, DB, LOG };
	struct reconcile_container c[] = {
		[WEB] = { .known = CONTAINER_RUNNING, .depends = &needs_app, .n_depends = 1 },
		[APP] = { .known = CONTAINER_RUNNING, .depends = &needs_db, .n_depends = 1 },
		[DB] = { .known = CONTAINER_RUNNING },
		[LOG] = { .known = CONTAINER_RUNNING },
	};
	static const enum container_action wanted[4][4] = {
		{ ACTION_STOP, ACTION_NONE, ACTION_NONE, ACTION_STOP },
		{ ACTION_NONE, ACTION_STOP, ACTION_NONE, ACTION_NONE },
		{ ACTION_NONE, ACTION_NONE, ACTION_STOP, ACTION_NONE },
		{ ACTION_NONE, ACTION_NONE, ACTION_NONE, ACTION_NONE },
	};
	struct reconcile_task t = { TASK_RUNNING, TASK_STOPPED, true, c, 4 };
	struct reconcile_step s[4];

	for (size_t round = 0; round < ARRAY_SIZE(wanted); round++) {
		(void) plan_of(t, s);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(s[i].action, wanted[round][i]);
			if (wanted[round][i] == ACTION_STOP)
				c[i].busy = BUSY_STOPPING;
		}
		(void) plan_of(t, s); /* a signal is not yet an end */
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(s[i].action, ACTION_NONE);
			if (c[i].busy == BUSY_STOPPING)
				c[i].known = CONTAINER_STOPPED;
			c[i].busy = BUSY_NOTHING;
		}
	}
}

/* What does not run needs no signal, so it need not wait for those who wait for it. */
static void what_does_not_run_is_held_by_nobody(void **state _unused_)
{
	struct depend edge = { .condition = DEPEND_START, .index = 1 };
	struct reconcile_container c[] = {
		{ .known = CONTAINER_RUNNING, .depends = &edge, .n_depends = 1 },
		{ .known = CONTAINER_PULLED },
	};
	struct reconcile_step s[2];

	(void) plan_of((struct reconcile_task){ TASK_RUNNING, TASK_STOPPED, true, c, 2 }, s);
	assert_int_equal(s[1].action, ACTION_FINISH);
	assert_true(s[1].held);
}

/* ---- restarts ---- */

static void a_restart_policy_decides(void **state _unused_)
{
	int ignored[] = { 0, 42 };
	const struct restart_policy policy = { .enabled = true,
					       .ignored_exit_codes = ignored,
					       .n_ignored_exit_codes = 2,
					       .attempt_period_s = 60 },
				    off = { .attempt_period_s = 60 };
	static const struct {
		bool policy, enabled, has_code;
		int code;
		int64_t ran_ms, since_restart_ms; /* 0: never restarted */
		bool again;
	} rows[] = {
		{ true, true, true, 1, 60000, 0, true },
		{ true, true, true, 1, 59999, 0, false },
		{ true, true, true, 0, 60000, 0, false },
		{ true, true, true, 42, 60000, 0, false },
		{ true, true, true, 137, 60000, 0, true },
		{ true, true, false, 1, 60000, 0, false },
		{ true, false, true, 1, 60000, 0, false },
		{ false, false, true, 1, 60000, 0, false },
		{ true, true, true, 1, 10, 60000, true }, /* the runtime took its time */
		{ true, true, true, 1, 90000, 59999, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reconcile_container c[] = { {
			.known = CONTAINER_RUNNING,
			.desired = CONTAINER_RUNNING,
			.busy = BUSY_ENDED,
			.essential = true,
			.has_exit_code = rows[i].has_code,
			.exit_code = rows[i].code,
			.restart = !rows[i].policy   ? NULL
				   : rows[i].enabled ? &policy
						     : &off,
			.finished_ms = NOW * 10,
			.started_ms = NOW * 10 - rows[i].ran_ms,
			.last_restart_ms =
				rows[i].since_restart_ms ? NOW * 10 - rows[i].since_restart_ms : 0,
		} };
		struct reconcile_step s[1];
		struct reconcile_task t = { TASK_RUNNING, TASK_RUNNING, true, c, 1 };
		struct reconcile_plan p = plan_of(t, s);

		if (s[0].action != (rows[i].again ? ACTION_RESTART : ACTION_FINISH))
			fail_msg("row %zu: %s", i, container_action_name(s[0].action));
		/* Between its runs an essential container has not ended. */
		assert_int_equal(p.desired, TASK_RUNNING);
		assert_int_equal(p.known, TASK_RUNNING);
		t.desired = TASK_STOPPED;
		(void) plan_of(t, s);
		assert_int_equal(s[0].action, ACTION_FINISH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_cell_is_as_listed),
		cmocka_unit_test(a_task_is_as_far_as_its_slowest_container),
		cmocka_unit_test(nothing_is_done_before_the_host_has_room),
		cmocka_unit_test(an_essential_end_stops_the_rest),
		cmocka_unit_test(on_the_way_down_a_task_does_not_become_running),
		cmocka_unit_test(a_finished_helper_does_not_keep_a_task_from_running),
		cmocka_unit_test(a_task_without_living_containers_is_over),
		cmocka_unit_test(who_waits_gets_its_digest_and_no_more),
		cmocka_unit_test(what_can_never_be_is_given_up),
		cmocka_unit_test(patience_ends_at_its_time),
		cmocka_unit_test(the_worst_edge_decides),
		cmocka_unit_test(a_task_stops_from_its_dependents_down),
		cmocka_unit_test(what_does_not_run_is_held_by_nobody),
		cmocka_unit_test(a_restart_policy_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
