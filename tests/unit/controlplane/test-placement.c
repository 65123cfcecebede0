/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/gpu.h"
#include "tests/unit/controlplane/api.h"

#define TD(members)                                                                                \
	"{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\"," members "}" \
	"]"                                                                                        \
	"}"

#define ATTRIBUTES(zone)                                                                           \
	"{\"attributes\":[{\"name\":\"zone\",\"value\":\"" zone "\"},{\"name\":"                   \
	"\"com.amazonaws.ecs.capability.docker-remote-api.1.21\"}]}"

static char one[ARN_MAX], two[ARN_MAX];

static int two_instances(void **state)
{
	int k = api_setup(state);

	json_decref(api_ok("CreateCluster", "{}"));
	api_instance(ATTRIBUTES("a"), one);
	api_instance(ATTRIBUTES("b"), two);
	return k;
}

static void expect_failure(const char *body, const char *reason)
{
	_cleanup_(json_decrefp) json_t *out = api_ok("RunTask", body);

	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 0);
	assert_int_equal(json_array_size(api_at(out, "s", "failures")), 2);
	for (int i = 0; i < 2; i++)
		assert_string_equal(api_text(out, "sis", "failures", i, "reason"), reason);
}

static int on_instance(const json_t *out, const char *arn)
{
	const json_t *t;
	size_t i;
	int n = 0;

	json_array_foreach(api_at(out, "s", "tasks"), i, t)
		n += strcmp(json_get_string(t, "containerInstanceArn", ""), arn) == 0;
	return n;
}

static void what_does_not_fit_is_explained(void **state _unused_)
{
	static const struct {
		const char *definition, *reason;
	} cases[] = {
		{ TD("\"memory\":1001"), "RESOURCE:MEMORY" },
		{ TD("\"memory\":64,\"cpu\":2049"), "RESOURCE:CPU" },
		{ TD("\"memory\":64,\"portMappings\":[{\"containerPort\":22,\"hostPort\":22}]"),
		  "RESOURCE:PORTS" },
		{ TD("\"memory\":64,\"privileged\":true"), "ATTRIBUTE" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_decref(api_ok("RegisterTaskDefinition", cases[i].definition));
		expect_failure("{\"taskDefinition\":\"f\"}", cases[i].reason);
	}
	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":64")));
	expect_failure("{\"taskDefinition\":\"f\",\"placementConstraints\":[{\"type\":\"memberOf\","
		       "\"expression\":\"attribute:zone == c\"}]}",
		       "MemberOf placement constraint unsatisfied.");
	(void) instance_set_connected(&cp, one, false, NULL, NULL, NULL, NULL);
	(void) instance_set_connected(&cp, two, false, NULL, NULL, NULL, NULL);
	expect_failure("{\"taskDefinition\":\"f\"}", "AGENT");
}

static void memory_is_promised_once(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":400")));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":10}");
	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 4);
	assert_int_equal(on_instance(out, one), 2);
	assert_int_equal(on_instance(out, two), 2);
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "RESOURCE:MEMORY");
}

static void a_soft_limit_is_what_counts(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *described = NULL;
	char body[ARN_MAX + 64];

	json_decref(api_ok("RegisterTaskDefinition",
			   TD("\"memory\":900,\"memoryReservation\":100,\"cpu\":10")));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"overrides\":{\"containerOverrides\":[{"
				"\"name\":\"a\",\"cpu\":20}]}}");
	assert_string_equal(api_text(out, "sis", "tasks", 0, "memory"), "100");
	assert_string_equal(api_text(out, "sis", "tasks", 0, "cpu"), "20");
	(void) snprintf(body, sizeof(body), "{\"containerInstances\":[\"%s\"]}",
			api_text(out, "sis", "tasks", 0, "containerInstanceArn"));
	described = api_ok("DescribeContainerInstances", body);
	assert_int_equal(api_integer(described, "sisis", "containerInstances", 0,
				     "remainingResources", 0, "integerValue"),
			 2028);
	assert_int_equal(api_integer(described, "sisis", "containerInstances", 0,
				     "remainingResources", 1, "integerValue"),
			 900);
	assert_int_equal(api_integer(described, "sisis", "containerInstances", 0,
				     "registeredResources", 1, "integerValue"),
			 1000);
	assert_int_equal(
		api_integer(described, "sis", "containerInstances", 0, "pendingTasksCount"), 1);
}

static void a_fixed_port_is_given_once_per_instance_and_back(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *again = NULL;

	json_decref(api_ok("RegisterTaskDefinition",
			   TD("\"memory\":64,\"portMappings\":[{\"containerPort\":80,\"hostPort\":"
			      "8080}]")));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3}");
	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 2);
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "RESOURCE:PORTS");
	api_report(api_text(out, "sis", "tasks", 0, "taskArn"), "STOPPED", "{}");
	again = api_ok("RunTask", "{\"taskDefinition\":\"f\"}");
	assert_string_equal(api_text(again, "sis", "tasks", 0, "containerInstanceArn"),
			    api_text(out, "sis", "tasks", 0, "containerInstanceArn"));
}

static void tcp_and_udp_ports_do_not_collide(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;

	json_decref(api_ok("RegisterTaskDefinition",
			   TD("\"memory\":64,\"portMappings\":[{\"containerPort\":53,\"hostPort\":"
			      "53},{\"containerPort\":53,\"hostPort\":53,\"protocol\":\"udp\"}]")));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\"}");
	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 1);
}

/* Two GPUs on a third instance: each is given once, is named in answer and payload, and comes back. */
static void a_gpu_is_given_once_and_back(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL, *third = NULL, *list = NULL;
	_cleanup_(json_decrefp) json_t *described = NULL;
	char body[ARN_MAX + 64];
	char three[ARN_MAX];

	json_decref(api_ok("RegisterTaskDefinition",
			   TD("\"memory\":64,\"resourceRequirements\":[{\"type\":\"GPU\","
			      "\"value\":\"1\"}]")));
	expect_failure("{\"taskDefinition\":\"f\"}", "RESOURCE:GPU");
	api_instance("{\"platformDevices\":[{\"id\":\"GPU-1\",\"type\":\"GPU\"},"
		     "{\"id\":\"GPU-2\",\"type\":\"GPU\"}]}",
		     three);
	first = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3}");
	assert_int_equal(json_array_size(api_at(first, "s", "tasks")), 2);
	assert_string_equal(api_text(first, "sisisi", "tasks", 0, "containers", 0, "gpuIds", 0),
			    "GPU-1");
	assert_string_equal(api_text(first, "sisisi", "tasks", 1, "containers", 0, "gpuIds", 0),
			    "GPU-2");
	list = gpu_associations(api_at(first, "si", "tasks", 1));
	assert_string_equal(api_text(list, "is", 0, "name"), "GPU-2");
	assert_string_equal(api_text(list, "is", 0, "type"), "gpu");
	assert_string_equal(api_text(list, "isi", 0, "containers", 0), "a");
	second = api_ok("RunTask", "{\"taskDefinition\":\"f\"}");
	assert_int_equal(json_array_size(api_at(second, "s", "tasks")), 0);
	api_report(api_text(first, "sis", "tasks", 0, "taskArn"), "STOPPED", "{}");
	(void) snprintf(body, sizeof(body), "{\"containerInstances\":[\"%s\"]}", three);
	described = api_ok("DescribeContainerInstances", body);
	assert_string_equal(api_text(named_element(api_at(described, "sis", "containerInstances", 0,
							  "remainingResources"),
						   "GPU"),
				     "si", "stringSetValue", 0),
			    "GPU-1");
	third = api_ok("RunTask",
		       "{\"taskDefinition\":\"f\",\"overrides\":{\"containerOverrides\":["
		       "{\"name\":\"a\",\"resourceRequirements\":[{\"type\":\"GPU\","
		       "\"value\":\"2\"}]}]}}");
	assert_int_equal(json_array_size(api_at(third, "s", "tasks")), 0);
	assert_string_equal(api_text(third, "sis", "failures", 2, "reason"), "RESOURCE:GPU");
}

static void strategies_pack_and_spread(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *packed = NULL, *spread = NULL;
	int n;

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":50")));
	packed = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":10,\"placementStrategy\":[{"
				   "\"type\":\"binpack\",\"field\":\"memory\"}]}");
	n = on_instance(packed, one);
	assert_true(n == 0 || n == 10);
	spread = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":10,\"group\":\"g\","
				   "\"placementStrategy\":[{\"type\":\"spread\",\"field\":"
				   "\"attribute:zone\"}]}");
	assert_int_equal(on_instance(spread, one), 5);
	assert_int_equal(on_instance(spread, two), 5);
	api_fails("RunTask", "{\"taskDefinition\":\"f\",\"placementStrategy\":[{\"type\":\"x\"}]}",
		  "InvalidParameterException", "type");
	api_fails(
		"RunTask",
		"{\"taskDefinition\":\"f\",\"placementStrategy\":[{\"type\":\"binpack\",\"field\":"
		"\"colour\"}]}",
		"InvalidParameterException", "cpu or memory");
}

static void constraints_choose_the_instance(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *member = NULL, *distinct = NULL;

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":50")));
	member =
		api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3,\"placementConstraints\":["
				  "{\"type\":\"memberOf\",\"expression\":\"attribute:zone == b\"}]"
				  "}");
	assert_int_equal(on_instance(member, two), 3);
	distinct = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3,\"group\":\"d\","
				     "\"placementConstraints\":[{\"type\":\"distinctInstance\"}]}");
	assert_int_equal(on_instance(distinct, one), 1);
	assert_int_equal(on_instance(distinct, two), 1);
	assert_string_equal(api_text(distinct, "sis", "failures", 0, "reason"),
			    "DistinctInstance placement constraint unsatisfied.");
	api_fails("RunTask",
		  "{\"taskDefinition\":\"f\",\"placementConstraints\":[{\"type\":\"memberOf\","
		  "\"expression\":\"attribute:zone ==\"}]}",
		  "InvalidParameterException", "Invalid expression");
}

static void draining_instances_get_nothing_new(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *listed = NULL;
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body),
			"{\"containerInstances\":[\"%s\"],\"status\":\"DRAINING\"}", one);
	json_decref(api_ok("UpdateContainerInstancesState", body));
	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":50")));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3}");
	assert_int_equal(on_instance(out, two), 3);
	listed = api_ok("ListContainerInstances", "{\"status\":\"DRAINING\"}");
	assert_string_equal(api_text(listed, "si", "containerInstanceArns", 0), one);
}

static void start_task_goes_where_it_is_told(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;
	char body[ARN_MAX * 2];

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":600")));
	(void) snprintf(body, sizeof(body),
			"{\"taskDefinition\":\"f\",\"containerInstances\":[\"%s\",\"nowhere\"]}",
			two);
	out = api_ok("StartTask", body);
	assert_int_equal(on_instance(out, two), 1);
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "MISSING");
	json_decref(out);
	out = api_ok("StartTask", body);
	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 0);
	assert_string_equal(api_text(out, "sis", "failures", 1, "reason"), "RESOURCE:MEMORY");
}

static void a_client_token_runs_once(void **state _unused_)
{
	static const char request[] = "{\"taskDefinition\":\"f\",\"clientToken\":\"t\"}";
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":50")));
	first = api_ok("RunTask", request);
	second = api_ok("RunTask", request);
	assert_string_equal(api_text(first, "sis", "tasks", 0, "taskArn"),
			    api_text(second, "sis", "tasks", 0, "taskArn"));
	api_fails("RunTask", "{\"taskDefinition\":\"f\",\"clientToken\":\"t\",\"count\":2}",
		  "ClientException", "clientToken");
}

static void bad_requests_are_refused(void **state _unused_)
{
	static const struct {
		const char *body, *type, *text;
	} cases[] = {
		{ "{}", "InvalidParameterException", "taskDefinition can not be blank." },
		{ "{\"taskDefinition\":\"g\"}", "ClientException", "TaskDefinition not found." },
		{ "{\"taskDefinition\":\"f\",\"cluster\":\"nope\"}", "ClusterNotFoundException",
		  "Cluster not found." },
		{ "{\"taskDefinition\":\"f\",\"count\":11}", "InvalidParameterException", "count" },
		{ "{\"taskDefinition\":\"f\",\"count\":0}", "InvalidParameterException", "count" },
		{ "{\"taskDefinition\":\"f\",\"launchType\":\"FARGATE\"}",
		  "UnsupportedFeatureException", "FARGATE" },
		{ "{\"taskDefinition\":\"f\",\"overrides\":{\"containerOverrides\":[{\"name\":"
		  "\"b\"}"
		  "]}}",
		  "InvalidParameterException",
		  "Override for container named b is not a container in the TaskDefinition." },
		{ "{\"taskDefinition\":\"f\",\"overrides\":{\"containerOverrides\":[{\"name\":"
		  "\"a\","
		  "\"command\":\"x\"}]}}",
		  "SerializationException", "containerOverrides[0].command must be a list" },
		{ "{\"taskDefinition\":\"f\",\"group\":\"service:x\"}", "InvalidParameterException",
		  "service:" },
	};

	json_decref(api_ok("RegisterTaskDefinition", TD("\"memory\":50")));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		api_fails("RunTask", cases[i].body, cases[i].type, cases[i].text);
	json_decref(api_ok("CreateCluster", "{\"clusterName\":\"empty\"}"));
	api_fails("RunTask", "{\"taskDefinition\":\"f\",\"cluster\":\"empty\"}",
		  "InvalidParameterException",
		  "No Container Instances were found in your cluster.");
	json_decref(api_ok("DeregisterTaskDefinition", "{\"taskDefinition\":\"f:1\"}"));
	api_fails("RunTask", "{\"taskDefinition\":\"f:1\"}", "ClientException",
		  "TaskDefinition is inactive");
}

#define with_instances(f) cmocka_unit_test_setup_teardown(f, two_instances, api_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_instances(what_does_not_fit_is_explained),
		with_instances(memory_is_promised_once),
		with_instances(a_soft_limit_is_what_counts),
		with_instances(a_fixed_port_is_given_once_per_instance_and_back),
		with_instances(tcp_and_udp_ports_do_not_collide),
		with_instances(a_gpu_is_given_once_and_back),
		with_instances(strategies_pack_and_spread),
		with_instances(constraints_choose_the_instance),
		with_instances(draining_instances_get_nothing_new),
		with_instances(start_task_goes_where_it_is_told),
		with_instances(a_client_token_runs_once),
		with_instances(bad_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
