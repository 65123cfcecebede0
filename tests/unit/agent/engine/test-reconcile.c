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
	{ CONTAINER_NONE, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_NONE, false, BUSY_PULLING, ACTION_CANCEL_PULL, "" },
	{ CONTAINER_NONE, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_NONE, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },

	{ CONTAINER_MANIFEST_PULLED, true, BUSY_NOTHING, ACTION_PULL, "" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_PULLING, ACTION_NONE, "" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_PULLING, ACTION_CANCEL_PULL, "" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "as NONE" },
	{ CONTAINER_MANIFEST_PULLED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "as NONE" },

	{ CONTAINER_PULLED, true, BUSY_NOTHING, ACTION_START, "" },
	{ CONTAINER_PULLED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_PULLED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_PULLED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_PULLED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_PULLED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_PULLED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "a start makes it CREATED" },
	{ CONTAINER_PULLED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },

	{ CONTAINER_CREATED, true, BUSY_NOTHING, ACTION_START, "" },
	{ CONTAINER_CREATED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_CREATED, true, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_CREATED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },
	{ CONTAINER_CREATED, false, BUSY_NOTHING, ACTION_FINISH, "" },
	{ CONTAINER_CREATED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_CREATED, false, BUSY_STARTING, ACTION_NONE, "" },
	{ CONTAINER_CREATED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "only RUNNING is stopped" },

	{ CONTAINER_RUNNING, true, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_RUNNING, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_RUNNING, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "the start is over" },
	{ CONTAINER_RUNNING, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "a stop is never taken back" },
	{ CONTAINER_RUNNING, false, BUSY_NOTHING, ACTION_STOP, "" },
	{ CONTAINER_RUNNING, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the pull is over" },
	{ CONTAINER_RUNNING, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "the start is over" },
	{ CONTAINER_RUNNING, false, BUSY_STOPPING, ACTION_NONE, "" },

	{ CONTAINER_STOPPED, true, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_STOPPED, true, BUSY_PULLING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, true, BUSY_STARTING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, true, BUSY_STOPPING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_NOTHING, ACTION_NONE, "" },
	{ CONTAINER_STOPPED, false, BUSY_PULLING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_STARTING, ACTION_IMPOSSIBLE, "the end clears busy" },
	{ CONTAINER_STOPPED, false, BUSY_STOPPING, ACTION_IMPOSSIBLE, "the end clears busy" },
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

static struct reconcile_plan plan_of(struct reconcile_task t, enum container_action *actions)
{
	struct reconcile_plan plan = { .actions = actions };

	reconcile_task(&t, &plan);
	return plan;
}

static void a_task_is_as_far_as_its_slowest_container(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_RUNNING, CONTAINER_RUNNING, BUSY_NOTHING, true },
		{ CONTAINER_PULLED, CONTAINER_RUNNING, BUSY_NOTHING, true },
	};
	enum container_action a[2];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, true, c, 2 }, a);

	assert_int_equal(p.known, TASK_MANIFEST_PULLED);
	assert_int_equal(a[0], ACTION_NONE);
	assert_int_equal(a[1], ACTION_START);
}

static void nothing_is_done_before_the_host_has_room(void **state _unused_)
{
	struct reconcile_container c[] = { { CONTAINER_NONE, CONTAINER_RUNNING, 0, true } };
	enum container_action a[1];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, false, c, 1 }, a);

	assert_true(p.admit);
	assert_int_equal(a[0], ACTION_NONE);
}

static void an_essential_end_stops_the_rest(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_STOPPED, BUSY_NOTHING, true },
		{ CONTAINER_RUNNING, CONTAINER_RUNNING, BUSY_NOTHING, false },
		{ CONTAINER_MANIFEST_PULLED, CONTAINER_RUNNING, BUSY_PULLING, false },
	};
	enum container_action a[3];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_CREATED, TASK_RUNNING, true, c, 3 }, a);

	assert_int_equal(p.desired, TASK_STOPPED);
	assert_int_equal(p.known, TASK_CREATED);
	assert_int_equal(a[1], ACTION_STOP);
	assert_int_equal(a[2], ACTION_CANCEL_PULL);
}

static void on_the_way_down_a_task_does_not_become_running(void **state _unused_)
{
	struct reconcile_container c[] = {
		{ CONTAINER_STOPPED, CONTAINER_STOPPED, BUSY_NOTHING, true },
		{ CONTAINER_RUNNING, CONTAINER_STOPPED, BUSY_STOPPING, true },
	};
	enum container_action a[2];

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
	enum container_action a[2];
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
	enum container_action a[1];
	struct reconcile_plan p =
		plan_of((struct reconcile_task){ TASK_RUNNING, TASK_RUNNING, true, c, 1 }, a);

	assert_int_equal(p.known, TASK_STOPPED);
	assert_int_equal(p.desired, TASK_STOPPED);
	p = plan_of((struct reconcile_task){ TASK_NONE, TASK_RUNNING, false, c, 0 }, a);
	assert_int_equal(p.known, TASK_STOPPED);
	assert_false(p.admit);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
