/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/engine/report.h"
#include "common/json.h"

static char cluster[] = "web", arn[] = "a/1", name[] = "c", digest[] = "sha256:d";
static struct config config;

static struct container container;
static struct task task;

static int setup(void **state _unused_)
{
	config = (struct config){ .cluster = cluster, .exclude_ipv6_port_binding = true };
	container = (struct container){ .task = &task, .name = name, .essential = true };
	task = (struct task){ .arn = arn, .containers = &container, .n_containers = 1 };
	return 0;
}

static void says(const char *expected)
{
	_cleanup_(json_decrefp) json_t *body = report_body(&task, &config);
	_cleanup_(freep) char *text = json_to_text(body);

	assert_string_equal(text, expected);
}

static void a_resolved_digest_is_told_as_pending(void **state _unused_)
{
	task.known = TASK_MANIFEST_PULLED;
	container.known = CONTAINER_MANIFEST_PULLED;
	container.image_digest = digest;
	assert_false(report_is_due(&task));
	container.digest_resolved_by_agent = true;
	assert_true(report_is_due(&task));
	task.pull_started_ms = 1500;
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"PENDING\",\"reason\":\"\","
	     "\"containers\":[{\"containerName\":\"c\",\"status\":\"PENDING\","
	     "\"imageDigest\":\"sha256:d\"}],\"pullStartedAt\":1.5}");
	report_mark_sent(&task);
	assert_false(report_is_due(&task));
	task.known = TASK_CREATED;
	assert_false(report_is_due(&task));
}

static void running_carries_bindings(void **state _unused_)
{
	struct port_binding b[] = { { 80, 32768, IPPROTO_TCP, 0 }, { 53, 5353, IPPROTO_UDP, 0 } };

	task.known = TASK_RUNNING;
	container.known = CONTAINER_RUNNING;
	container.bindings = b;
	container.n_bindings = 2;
	memcpy(container.id, "abc", 4);
	assert_true(report_is_due(&task));
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"RUNNING\",\"reason\":\"\","
	     "\"containers\":[{\"containerName\":\"c\",\"status\":\"RUNNING\",\"runtimeId\":"
	     "\"abc\","
	     "\"networkBindings\":[{\"bindIP\":\"0.0.0.0\",\"containerPort\":80,\"hostPort\":32768,"
	     "\"protocol\":\"tcp\"},{\"bindIP\":\"0.0.0.0\",\"containerPort\":53,\"hostPort\":5353,"
	     "\"protocol\":\"udp\"}]}]}");
}

static void a_range_is_one_binding(void **state _unused_)
{
	struct port_binding b[] = { { 80, 61000, IPPROTO_TCP, 1 },
				    { 81, 61001, IPPROTO_TCP, 1 },
				    { 90, 61002, IPPROTO_TCP, 2 },
				    { 80, 61000, IPPROTO_UDP, 3 } };

	task.known = TASK_RUNNING;
	container.known = CONTAINER_RUNNING;
	container.bindings = b;
	container.n_bindings = ARRAY_SIZE(b);
	memcpy(container.id, "abc", 4);
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"RUNNING\",\"reason\":\"\","
	     "\"containers\":[{\"containerName\":\"c\",\"status\":\"RUNNING\",\"runtimeId\":"
	     "\"abc\",\"networkBindings\":["
	     "{\"bindIP\":\"0.0.0.0\",\"containerPortRange\":\"80-81\",\"hostPortRange\":"
	     "\"61000-61001\",\"protocol\":\"tcp\"},"
	     "{\"bindIP\":\"0.0.0.0\",\"containerPortRange\":\"90-90\",\"hostPortRange\":"
	     "\"61002-61002\",\"protocol\":\"tcp\"},"
	     "{\"bindIP\":\"0.0.0.0\",\"containerPortRange\":\"80-80\",\"hostPortRange\":"
	     "\"61000-61000\",\"protocol\":\"udp\"}]}]}");
}

static const char *bind_ips(void)
{
	static char all[128];
	_cleanup_(json_decrefp) json_t *body = report_body(&task, &config);
	const json_t *c = json_array_get(json_object_get(body, "containers"), 0), *b;
	size_t i, len = 0;

	all[0] = '\0';
	json_array_foreach(json_object_get(c, "networkBindings"), i, b) {
		len += (size_t) snprintf(all + len, sizeof(all) - len, "%s%s", i ? " " : "",
					 json_get_string(b, "bindIP", "?"));
		assert_true(len < sizeof(all));
	}
	return all;
}

static void bindings_are_told_by_family(void **state _unused_)
{
	struct port_binding b[] = { { 80, 32768, IPPROTO_TCP, 0 },
				    { 90, 32769, IPPROTO_TCP, 1 },
				    { 91, 32770, IPPROTO_TCP, 1 } };

	task.known = TASK_RUNNING;
	container.known = CONTAINER_RUNNING;
	container.bindings = b;
	container.n_bindings = ARRAY_SIZE(b);
	config.exclude_ipv6_port_binding = false;
	assert_string_equal(bind_ips(), "0.0.0.0 0.0.0.0"); /* the bridge has no IPv6 */
	config.six.prefix_len = 64;
	assert_string_equal(bind_ips(), "0.0.0.0 :: 0.0.0.0 ::");
	config.exclude_ipv6_port_binding = true;
	assert_string_equal(bind_ips(), "0.0.0.0 0.0.0.0");
	config.ipv6_only = true;
	assert_string_equal(bind_ips(), ":: ::");
}

static void the_end_carries_everybodys_final_state(void **state _unused_)
{
	char error_name[] = "OutOfMemoryError", message[] = "Container killed due to memory usage";

	task.known = task.desired = TASK_STOPPED;
	task.execution_stopped_ms = 2250;
	container.known = container.sent = CONTAINER_STOPPED;
	container.has_exit_code = true;
	container.exit_code = 137;
	container.error_name = error_name;
	container.error_message = message;
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"STOPPED\",\"reason\":\"\","
	     "\"containers\":[{\"containerName\":\"c\",\"status\":\"STOPPED\",\"reason\":"
	     "\"OutOfMemoryError: Container killed due to memory usage\",\"exitCode\":137}],"
	     "\"executionStoppedAt\":2.25}");
}

static void an_error_without_a_name_is_unknown(void **state _unused_)
{
	char error_name[] = "", message[] = "m";

	task.known = TASK_RUNNING;
	container.known = CONTAINER_STOPPED;
	container.error_name = error_name;
	container.error_message = message;
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"RUNNING\",\"reason\":\"\","
	     "\"containers\":[{\"containerName\":\"c\",\"status\":\"STOPPED\",\"reason\":"
	     "\"UnknownError: m\"}]}");
}

static void a_refused_task_has_a_reason_and_no_containers(void **state _unused_)
{
	char reason[2000];

	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	task.known = TASK_STOPPED;
	task.n_containers = 0;
	task.reason = reason;
	json_t *body = report_body(&task, &config);
	assert_int_equal(json_string_length(json_object_get(body, "reason")), REPORT_REASON_MAX);
	assert_null(json_object_get(body, "containers"));
	json_decref(body);
}

static void text_that_is_not_utf8_still_makes_a_report(void **state _unused_)
{
	char reason[] = "bad \xff byte";

	task.known = TASK_STOPPED;
	task.reason = reason;
	task.n_containers = 0;
	says("{\"cluster\":\"web\",\"task\":\"a/1\",\"status\":\"STOPPED\",\"reason\":\"bad ? "
	     "byte\"}");
}

static void a_lone_exit_is_news_once(void **state _unused_)
{
	task.known = task.sent = TASK_RUNNING;
	container.known = CONTAINER_STOPPED;
	container.sent = CONTAINER_RUNNING;
	assert_false(report_is_due(&task));
	assert_true(report_has_container_news(&task));
	report_mark_sent(&task);
	assert_false(report_has_container_news(&task));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_resolved_digest_is_told_as_pending, setup),
		cmocka_unit_test_setup(running_carries_bindings, setup),
		cmocka_unit_test_setup(a_range_is_one_binding, setup),
		cmocka_unit_test_setup(bindings_are_told_by_family, setup),
		cmocka_unit_test_setup(the_end_carries_everybodys_final_state, setup),
		cmocka_unit_test_setup(an_error_without_a_name_is_unknown, setup),
		cmocka_unit_test_setup(a_refused_task_has_a_reason_and_no_containers, setup),
		cmocka_unit_test_setup(text_that_is_not_utf8_still_makes_a_report, setup),
		cmocka_unit_test_setup(a_lone_exit_is_news_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
