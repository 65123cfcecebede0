/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <stdio.h>

#include "common/json.h"
#include "controlplane/timeline.h"

static struct timeline *timeline;

static int setup(void **state)
{
	(void) state;
	return timeline_new(&timeline, NULL);
}

static int teardown(void **state)
{
	(void) state;
	timeline = timeline_free(timeline);
	return 0;
}

/* A reported time of the only task. */
static double at(const char *key)
{
	json_auto_t *shown = timeline_show(timeline);
	const json_t *row = json_array_get(json_object_get(shown, "tasks"), 0);

	assert_non_null(shown);
	return json_number_value(json_object_get(row, key));
}

static void sent(const char *arn, const char *desired)
{
	json_auto_t *tasks = json_pack("{s:s}", arn, desired);

	timeline_sent(timeline, tasks);
}

static void a_task_is_followed_from_payload_to_stop(void **state _unused_)
{
	sent("t", "RUNNING");
	assert_true(at("payloadSentAt") > 1.6e12); /* milliseconds of this century */
	assert_true(at("runningAt") == 0);
	timeline_reported(timeline, "t", "PENDING");
	assert_true(at("runningAt") == 0);
	timeline_reported(timeline, "t", "RUNNING");
	sent("t", "STOPPED");
	timeline_reported(timeline, "t", "STOPPED");
	assert_true(at("runningAt") >= at("payloadSentAt"));
	assert_true(at("stopSentAt") >= at("runningAt"));
	assert_true(at("stoppedAt") >= at("stopSentAt"));
}

static void the_first_time_counts(void **state _unused_)
{
	double first;

	sent("t", "RUNNING");
	first = at("payloadSentAt");
	sent("t", "RUNNING");
	assert_true(at("payloadSentAt") == first);
}

static void the_oldest_tasks_give_way(void **state _unused_)
{
	char arn[32];
	json_auto_t *shown = NULL;
	const json_t *tasks;

	for (int i = 0; i < TIMELINE_MAX + 5; i++) {
		(void) snprintf(arn, sizeof(arn), "task/%d", i);
		timeline_reported(timeline, arn, "RUNNING");
	}
	shown = timeline_show(timeline);
	tasks = json_object_get(shown, "tasks");
	assert_int_equal(json_array_size(tasks), TIMELINE_MAX);
	assert_string_equal(json_get_string(json_array_get(tasks, 0), "taskArn", ""), "task/5");
}

static void registrations_are_bounded_too(void **state _unused_)
{
	json_auto_t *shown = NULL;
	const json_t *list;

	for (int i = 0; i < TIMELINE_MAX + 1; i++)
		timeline_registered(timeline, i ? "later" : "first");
	shown = timeline_show(timeline);
	list = json_object_get(shown, "registrations");
	assert_int_equal(json_array_size(list), TIMELINE_MAX);
	assert_string_equal(json_get_string(json_array_get(list, 0), "instance", ""), "later");
	assert_true(json_is_real(json_object_get(json_array_get(list, 0), "at")));
}

/* What is neither a task nor a status leaves no trace. */
static void other_keys_are_passed_over(void **state _unused_)
{
	json_auto_t *credentials = json_pack("{s:n}", "TaskApplication t"), *shown = NULL;

	timeline_sent(timeline, credentials);
	timeline_reported(timeline, "t", "");
	shown = timeline_show(timeline);
	assert_int_equal(json_array_size(json_object_get(shown, "tasks")), 0);
}

int main(void)
{
#define with_timeline(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		with_timeline(a_task_is_followed_from_payload_to_stop),
		with_timeline(the_first_time_counts),
		with_timeline(the_oldest_tasks_give_way),
		with_timeline(registrations_are_bounded_too),
		with_timeline(other_keys_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
