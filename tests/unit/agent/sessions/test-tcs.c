/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of telemetry: how tasks are spread over messages, and how a frame is signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/tcs/private.h"
#include "agent/tcs/rounds.h"
#include "aws/credentials.h"
#include "common/json.h"
#include "common/macro.h"
#include "common/strv.h"

static const struct round_identity who = { "web", "arn:i", "id", 1746802078031 };

static json_t *some_tasks(size_t n, size_t padding)
{
	json_t *list = json_array();
	char *pad = calloc(1, padding + 1);
	char arn[32];

	memset(pad, 'x', padding);
	for (size_t i = 0; i < n; i++) {
		(void) snprintf(arn, sizeof(arn), "t%zu", i);
		(void) json_array_append_new(list,
					     json_pack("{s:s, s:s}", "taskArn", arn, "pad", pad));
	}
	free(pad);
	return list;
}

static size_t tasks_in(const char *text, const char *key, bool *ret_fin)
{
	json_auto_t *root = json_loads(text, 0, NULL);
	const json_t *m = json_object_get(root, "message");

	assert_non_null(m);
	*ret_fin = json_is_true(json_object_get(json_object_get(m, "metadata"), "fin"));
	return json_array_size(json_object_get(m, key));
}

static void an_idle_round_is_one_message(void **state)
{
	_cleanup_(strv_freep) char **texts = NULL;
	size_t left_out;

	(void) state;
	assert_int_equal(round_metrics(&who, NULL, true, &texts, &left_out, NULL), 0);
	assert_int_equal(strv_length(texts), 1);
	assert_string_equal(texts[0],
			    "{\"type\":\"PublishMetricsRequest\",\"message\":{\"metadata\":"
			    "{\"cluster\":\"web\",\"containerInstance\":\"arn:i\",\"messageId\":"
			    "\"id\",\"idle\":true,\"fin\":true},\"timestamp\":1746802078.031}}");
}

static void a_round_without_samples_is_none(void **state)
{
	_cleanup_(strv_freep) char **texts = NULL;
	json_auto_t *none = json_array();
	size_t left_out;

	(void) state;
	assert_int_equal(round_metrics(&who, none, false, &texts, &left_out, NULL), 0);
	assert_int_equal(strv_length(texts), 0);
	assert_int_equal(round_health(&who, NULL, &texts, NULL), 0);
	assert_int_equal(strv_length(texts), 0);
}

static void ten_tasks_go_into_a_message_and_the_last_is_final(void **state)
{
	static const struct {
		size_t tasks, messages, in_last;
	} cases[] = { { 1, 1, 1 }, { 10, 1, 10 }, { 11, 2, 1 }, { 20, 2, 10 }, { 25, 3, 5 } };

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(strv_freep) char **texts = NULL;
		json_auto_t *tasks = some_tasks(cases[i].tasks, 1);
		size_t left_out, n;
		bool fin;

		assert_int_equal(round_metrics(&who, tasks, false, &texts, &left_out, NULL), 0);
		assert_int_equal(strv_length(texts), cases[i].messages);
		for (size_t j = 0; j < cases[i].messages; j++) {
			n = tasks_in(texts[j], "taskMetrics", &fin);
			assert_int_equal(fin, j + 1 == cases[i].messages);
			assert_int_equal(n, fin ? cases[i].in_last : 10);
		}
	}
}

static void messages_stay_under_a_mebibyte(void **state)
{
	_cleanup_(strv_freep) char **texts = NULL;
	json_auto_t *tasks = some_tasks(7, 300 * 1024);
	size_t left_out, n = 0;
	bool fin = false;

	(void) state;
	assert_int_equal(round_metrics(&who, tasks, false, &texts, &left_out, NULL), 0);
	assert_int_equal(strv_length(texts), 3);
	for (size_t j = 0; texts[j]; j++) {
		assert_true(strlen(texts[j]) <= ROUND_BYTES_MAX);
		n += tasks_in(texts[j], "taskMetrics", &fin);
	}
	assert_int_equal(n, 7);
	assert_true(fin);
	assert_int_equal(left_out, 0);
}

static void a_task_beyond_the_bound_is_left_out_and_counted(void **state)
{
	_cleanup_(strv_freep) char **texts = NULL;
	json_auto_t *tasks = some_tasks(1, 2 * 1024 * 1024);
	size_t left_out;

	(void) state;
	assert_int_equal(round_metrics(&who, tasks, false, &texts, &left_out, NULL), 0);
	assert_int_equal(strv_length(texts), 0);
	assert_int_equal(left_out, 1);
}

static void health_has_no_idle_mark(void **state)
{
	_cleanup_(strv_freep) char **texts = NULL;
	json_auto_t *tasks = some_tasks(1, 0);

	(void) state;
	assert_int_equal(round_health(&who, tasks, &texts, NULL), 0);
	assert_string_equal(texts[0],
			    "{\"type\":\"PublishHealthRequest\",\"message\":{\"metadata\":"
			    "{\"cluster\":\"web\",\"containerInstance\":\"arn:i\",\"messageId\":"
			    "\"id\",\"fin\":true},\"timestamp\":1746802078.031,\"tasks\":"
			    "[{\"taskArn\":\"t0\",\"pad\":\"\"}]}}");
}

static void the_status_names_the_runtime(void **state)
{
	const struct runtime_status s = { "OK", 1746802060100, 1746801000000 };
	_cleanup_(freep) char *text = round_status(&who, &s);

	(void) state;
	assert_string_equal(
		text, "{\"type\":\"PublishInstanceStatusRequest\",\"message\":{\"metadata\":"
		      "{\"cluster\":\"web\",\"containerInstance\":\"arn:i\",\"requestId\":\"id\"},"
		      "\"statuses\":[{\"type\":\"ContainerRuntime\",\"status\":\"OK\","
		      "\"lastUpdated\":1746802060.1,\"lastStatusChange\":1746801000}],"
		      "\"timestamp\":1746802078.031}}");
}

static void a_frame_is_headers_and_json(void **state)
{
	static const struct aws_keys keys = { (char *) "AKID", (char *) "secret", (char *) "TOKEN",
					      0 };
	_cleanup_(freep) char *frame =
		tcs_sign_frame("https://h:443/ws?a=1", "us-west-2", &keys, "{}", 0, NULL);
	_cleanup_(freep) char *unsigned_frame =
		tcs_sign_frame("http://h:8080/ws", "r", NULL, "{}", 0, NULL);

	(void) state;
	assert_memory_equal(frame, "Authorization: AWS4-HMAC-SHA256 Credential=AKID/19700101/", 57);
	assert_non_null(strstr(frame, "SignedHeaders=host;x-amz-date;x-amz-security-token, "));
	assert_non_null(strstr(frame, "\r\nHost: h\r\nX-Amz-Date: 19700101T000000Z\r\n"
				      "X-Amz-Security-Token: TOKEN\r\n\r\n{}"));
	assert_string_equal(unsigned_frame,
			    "Host: h:8080\r\nX-Amz-Date: 19700101T000000Z\r\n\r\n{}");
}

static void the_url_names_cluster_and_instance(void **state)
{
	_cleanup_(freep) char *url = tcs_url("https://h/", "web", "arn:i");

	(void) state;
	assert_string_equal(url, "https://h/ws?agentHash=" GIT_HASH "&agentVersion=" PACKAGE_VERSION
				 "&cluster=web&containerInstance=arn%3Ai"
				 "&dockerVersion=" PACKAGE_VERSION);
}

static void only_acks_and_heartbeats_show_life(void **state)
{
	(void) state;
	assert_true(tcs_message_is_alive("HeartbeatMessage"));
	assert_true(tcs_message_is_alive("AckPublishMetric"));
	assert_true(tcs_message_is_alive("AckPublishHealth"));
	assert_true(tcs_message_is_alive("AckPublishInstanceStatus"));
	assert_false(tcs_message_is_alive("StopTelemetrySessionMessage"));
	assert_false(tcs_message_is_alive("ServerException"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_round_is_one_message),
		cmocka_unit_test(a_round_without_samples_is_none),
		cmocka_unit_test(ten_tasks_go_into_a_message_and_the_last_is_final),
		cmocka_unit_test(messages_stay_under_a_mebibyte),
		cmocka_unit_test(a_task_beyond_the_bound_is_left_out_and_counted),
		cmocka_unit_test(health_has_no_idle_mark),
		cmocka_unit_test(the_status_names_the_runtime),
		cmocka_unit_test(a_frame_is_headers_and_json),
		cmocka_unit_test(the_url_names_cluster_and_instance),
		cmocka_unit_test(only_acks_and_heartbeats_show_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
