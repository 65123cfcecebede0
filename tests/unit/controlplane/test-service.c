/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controlplane/api.h"

#include "controlplane/service.h"

static char one[ARN_MAX], two[ARN_MAX];

/* Two instances and three revisions: web:1 and web:2 of one container, big:1 of more memory than any
 * instance has. */
static int with_instances(void **state)
{
	int k = api_setup(state);

	json_decref(api_ok("CreateCluster", "{}"));
	api_instance("{\"attributes\":[{\"name\":\"rack\",\"value\":\"a\"}]}", one);
	api_instance("{\"attributes\":[{\"name\":\"rack\",\"value\":\"b\"}],\"clientToken\":\"2\"}",
		     two);
	for (int i = 0; i < 2; i++)
		json_decref(api_ok("RegisterTaskDefinition",
				   "{\"family\":\"web\",\"containerDefinitions\":[{\"name\":\"c\","
				   "\"image\":\"i\",\"memory\":64}]}"));
	json_decref(api_ok("RegisterTaskDefinition",
			   "{\"family\":\"big\",\"containerDefinitions\":[{\"name\":\"c\","
			   "\"image\":\"i\",\"memory\":4000}]}"));
	return k;
}

static void create(const char *more)
{
	char body[1024];

	(void) snprintf(body, sizeof(body),
			"{\"serviceName\":\"web\",\"taskDefinition\":\"web:1\"%s}", more);
	json_decref(api_ok("CreateService", body));
	(void) services_reconcile(&cp);
}

static void update(const char *more)
{
	char body[1024];

	(void) snprintf(body, sizeof(body), "{\"service\":\"web\"%s}", more);
	json_decref(api_ok("UpdateService", body));
	(void) services_reconcile(&cp);
}

static json_t *described(void)
{
	_cleanup_(json_decrefp) json_t *out =
		api_ok("DescribeServices", "{\"services\":[\"web\"],\"include\":[\"TAGS\"]}");

	return json_incref((json_t *) api_at(out, "si", "services", 0));
}

/* The tasks of the service, ARNs: "RUNNING" (wanted) or "STOPPED". */
static json_t *tasks(const char *desired)
{
	char body[128];

	(void) snprintf(body, sizeof(body), "{\"serviceName\":\"web\",\"desiredStatus\":\"%s\"}",
			desired);
	return api_ok("ListTasks", body);
}

static json_t *task_of(const char *arn)
{
	_cleanup_(json_decrefp) json_t *out = NULL;
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body), "{\"tasks\":[\"%s\"]}", arn);
	out = api_ok("DescribeTasks", body);
	return json_incref((json_t *) api_at(out, "si", "tasks", 0));
}

/* Every agent reports what was wanted of it; then the services are looked at. */
static void agents_obey(void)
{
	static const char *const wanted[] = { "STOPPED", "RUNNING" };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		_cleanup_(json_decrefp) json_t *list = tasks(wanted[i]);
		const json_t *arn;
		size_t j;

		json_array_foreach(json_object_get(list, "taskArns"), j, arn)
			api_report(json_string_value(arn), wanted[i], "{}");
	}
	(void) services_reconcile(&cp);
}

/* As a task that came up long ago. */
static void let_run(const char *arn)
{
	_cleanup_(json_decrefp) json_t *task = NULL;

	assert_int_equal(store_task_get(cp.store, arn, &task, NULL), 0);
	(void) json_object_set_new(task, "startedAt", json_real(1000000000.0));
	assert_int_equal(store_task_put(cp.store, task, NULL), 0);
}

static void expect_counts(int desired, int running, int pending)
{
	_cleanup_(json_decrefp) json_t *s = described();

	assert_int_equal(api_integer(s, "s", "desiredCount"), desired);
	assert_int_equal(api_integer(s, "s", "runningCount"), running);
	assert_int_equal(api_integer(s, "s", "pendingCount"), pending);
	assert_null(json_object_get(s, "scheduler"));
}

/* Event number @i from the newest. */
static void expect_event(size_t i, const char *start)
{
	_cleanup_(json_decrefp) json_t *s = described();
	const char *text = api_text(s, "sis", "events", (int) i, "message");

	if (!text || strncmp(text, start, strlen(start)) != 0)
		fail_msg("event %zu is '%s', not '%s'", i, text ? text : "missing", start);
}

static void first_task(char *arn)
{
	_cleanup_(json_decrefp) json_t *list = tasks("RUNNING");

	(void) snprintf(arn, ARN_MAX, "%s", api_text(list, "si", "taskArns", 0));
}

static void tasks_are_started_and_replaced(void **state)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	char arn[ARN_MAX];

	(void) state;
	create(",\"desiredCount\":3");
	expect_counts(3, 0, 3);
	expect_event(0, "(service web) has started 3 tasks: (task ");
	agents_obey();
	expect_counts(3, 3, 0);
	expect_event(0, "(service web) has reached a steady state.");
	expect_event(1, "(service web) (deployment ecs-svc/");

	first_task(arn);
	task = task_of(arn);
	assert_string_equal(api_text(task, "s", "group"), "service:web");
	assert_int_equal(strncmp(api_text(task, "s", "startedBy"), "ecs-svc/", 8), 0);
	let_run(arn);
	api_report(arn, "STOPPED", "{}");
	assert_int_equal(services_reconcile(&cp), 30000);
	expect_counts(3, 2, 1);
	agents_obey();
	expect_counts(3, 3, 0);
	expect_event(0, "(service web) has reached a steady state.");
}

static void surplus_tasks_stop(void **state)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *list = NULL;

	(void) state;
	create(",\"desiredCount\":3");
	agents_obey();
	update(",\"desiredCount\":1");
	expect_counts(1, 1, 0);
	expect_event(1, "(service web) has stopped 2 running tasks: (task ");
	list = tasks("STOPPED");
	task = task_of(api_text(list, "si", "taskArns", 0));
	assert_string_equal(api_text(task, "s", "stopCode"), "ServiceSchedulerInitiated");
	assert_int_equal(strncmp(api_text(task, "s", "stoppedReason"),
				 "Scaling activity initiated by (deployment ecs-svc/", 50),
			 0);
}

static void a_protected_task_stays(void **state)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	char arn[ARN_MAX], body[ARN_MAX + 64];

	(void) state;
	create(",\"desiredCount\":2");
	agents_obey();
	first_task(arn);
	(void) snprintf(body, sizeof(body), "{\"tasks\":[\"%s\"],\"protectionEnabled\":true}", arn);
	json_decref(api_ok("UpdateTaskProtection", body));
	update(",\"desiredCount\":0");
	expect_counts(0, 1, 0);
	task = task_of(arn);
	assert_string_equal(api_text(task, "s", "desiredStatus"), "RUNNING");
}

static void a_revision_rolls_within_the_bounds(void **state)
{
	_cleanup_(json_decrefp) json_t *s = NULL, *task = NULL;
	char arn[ARN_MAX];

	(void) state;
	create(",\"desiredCount\":2,\"deploymentConfiguration\":{\"maximumPercent\":150,"
	       "\"minimumHealthyPercent\":100}");
	agents_obey();
	update(",\"taskDefinition\":\"web:2\"");
	expect_counts(2, 2, 1); /* three at most, two at least */
	s = described();
	assert_int_equal(json_array_size(json_object_get(s, "deployments")), 2);
	assert_string_equal(api_text(s, "sis", "deployments", 0, "status"), "PRIMARY");
	assert_string_equal(api_text(s, "sis", "deployments", 0, "rolloutState"), "IN_PROGRESS");
	assert_string_equal(api_text(s, "sis", "deployments", 1, "status"), "ACTIVE");
	assert_int_equal(api_integer(s, "sis", "deployments", 1, "runningCount"), 2);
	json_decref(s);
	agents_obey(); /* the new one runs: an old one may go, and a new one come */
	expect_counts(2, 2, 1);
	agents_obey();
	expect_counts(2, 2, 0);
	s = described();
	assert_int_equal(json_array_size(json_object_get(s, "deployments")), 1);
	assert_string_equal(api_text(s, "sis", "deployments", 0, "rolloutState"), "COMPLETED");
	first_task(arn);
	task = task_of(arn);
	assert_non_null(strstr(api_text(task, "s", "taskDefinitionArn"), "web:2"));
	expect_event(0, "(service web) has reached a steady state.");
}

static void a_forced_deployment_replaces_all(void **state)
{
	_cleanup_(json_decrefp) json_t *before = NULL, *after = NULL;
	const json_t *arn;
	size_t i;

	(void) state;
	create(",\"desiredCount\":2");
	agents_obey();
	before = tasks("RUNNING");
	update(",\"forceNewDeployment\":true");
	agents_obey();
	agents_obey();
	after = tasks("RUNNING");
	assert_int_equal(json_array_size(json_object_get(after, "taskArns")), 2);
	json_array_foreach(json_object_get(before, "taskArns"), i, arn)
		for (int j = 0; j < 2; j++)
			assert_string_not_equal(json_string_value(arn),
						api_text(after, "si", "taskArns", j));
}

static void drain(const char *instance)
{
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body),
			"{\"containerInstances\":[\"%s\"],\"status\":\"DRAINING\"}", instance);
	json_decref(api_ok("UpdateContainerInstancesState", body));
	(void) services_reconcile(&cp);
}

static void a_draining_instance_is_left(void **state)
{
	_cleanup_(json_decrefp) json_t *list = NULL;

	(void) state;
	create(",\"desiredCount\":2,\"placementStrategy\":[{\"type\":\"spread\",\"field\":"
	       "\"instanceId\"}]");
	agents_obey();
	drain(one);
	expect_counts(2, 2, 1); /* the replacement comes first */
	agents_obey();
	expect_counts(2, 2, 0);
	list = tasks("RUNNING");
	for (int i = 0; i < 2; i++) {
		_cleanup_(json_decrefp) json_t *t = task_of(api_text(list, "si", "taskArns", i));

		assert_string_equal(api_text(t, "s", "containerInstanceArn"), two);
	}
}

static void a_daemon_is_on_every_instance(void **state)
{
	(void) state;
	create(",\"schedulingStrategy\":\"DAEMON\"");
	expect_counts(2, 0, 2);
	agents_obey();
	expect_counts(2, 2, 0);
	expect_event(0, "(service web) has reached a steady state.");
	update(",\"taskDefinition\":\"web:2\""); /* the old one goes before the new one comes */
	expect_counts(2, 0, 0);
	agents_obey();
	agents_obey();
	expect_counts(2, 2, 0);
	drain(two);
	expect_counts(1, 1, 0);
}

static void a_daemon_obeys_constraints(void **state)
{
	(void) state;
	create(",\"schedulingStrategy\":\"DAEMON\",\"placementConstraints\":[{\"type\":"
	       "\"memberOf\",\"expression\":\"attribute:rack == b\"}]");
	expect_counts(1, 0, 1);
}

static void failed_starts_slow_down(void **state)
{
	_cleanup_(json_decrefp) json_t *s = NULL;
	char arn[ARN_MAX];
	int64_t last = 0;

	(void) state;
	create(",\"desiredCount\":1");
	for (int i = 0; i < 4; i++) {
		_cleanup_(json_decrefp) json_t *doc = NULL;
		int64_t wait;

		first_task(arn);
		api_report(arn, "STOPPED", "{\"reason\":\"CannotPullContainerError: no\"}");
		wait = services_reconcile(&cp);
		assert_in_range(wait, MAX(last, 600), 30000);
		expect_counts(1, 0, 0);
		last = wait;
		/* time passes */
		assert_int_equal(service_find(&cp, "default", "web", &doc, NULL), 0);
		(void) json_object_del(json_object_get(doc, "scheduler"), "retryAtMs");
		assert_int_equal(service_put(&cp, doc, NULL), 0);
		(void) services_reconcile(&cp);
		expect_counts(1, 0, 1);
	}
	assert_true(last >= 6000);
	s = described();
	assert_int_equal(api_integer(s, "sis", "deployments", 0, "failedTasks"), 4);
	expect_event(2, "(service web) is unable to consistently start tasks successfully.");
}

static void a_task_without_a_place_is_told_once(void **state)
{
	_cleanup_(json_decrefp) json_t *s = NULL;

	(void) state;
	json_decref(api_ok("CreateService", "{\"serviceName\":\"web\",\"taskDefinition\":\"big\","
					    "\"desiredCount\":1}"));
	(void) services_reconcile(&cp);
	(void) services_reconcile(&cp);
	s = described();
	assert_int_equal(json_array_size(json_object_get(s, "events")), 1);
	expect_event(0, "(service web) was unable to place a task because no container instance "
			"met all of its requirements. The closest matching (container-instance ");
	assert_non_null(strstr(api_text(s, "sis", "events", 0, "message"),
			       ") has insufficient memory available."));
}

static void a_deregistered_revision_goes_on(void **state)
{
	(void) state;
	create(",\"desiredCount\":1");
	json_decref(api_ok("DeregisterTaskDefinition", "{\"taskDefinition\":\"web:1\"}"));
	update(",\"desiredCount\":2");
	expect_counts(2, 0, 2);
	api_fails("UpdateService", "{\"service\":\"web\",\"taskDefinition\":\"web:1\"}",
		  "ClientException", "TaskDefinition is inactive");
}

static void a_service_ends(void **state)
{
	_cleanup_(json_decrefp) json_t *s = NULL, *list = NULL;

	(void) state;
	create(",\"desiredCount\":2");
	agents_obey();
	api_fails("DeleteService", "{\"service\":\"web\"}", "InvalidParameterException",
		  "The service cannot be stopped while it is scaled above 0.");
	api_fails("DeleteCluster", "{\"cluster\":\"default\"}",
		  "ClusterContainsContainerInstancesException", "active or draining");
	json_decref(api_ok("DeleteService", "{\"service\":\"web\",\"force\":true}"));
	(void) services_reconcile(&cp);
	s = described();
	assert_string_equal(api_text(s, "s", "status"), "DRAINING");
	api_fails("CreateService",
		  "{\"serviceName\":\"web\",\"taskDefinition\":\"web\",\"desiredCount\":1}",
		  "InvalidParameterException", "still Draining");
	api_fails("UpdateService", "{\"service\":\"web\",\"desiredCount\":1}",
		  "ServiceNotActiveException", "Service was not ACTIVE.");
	agents_obey();
	json_decref(s);
	s = described();
	assert_string_equal(api_text(s, "s", "status"), "INACTIVE");
	list = api_ok("ListServices", "{}");
	assert_int_equal(json_array_size(json_object_get(list, "serviceArns")), 0);
	create(",\"desiredCount\":1");
	expect_counts(1, 0, 1);
}

static void requests_are_checked(void **state)
{
	static const struct {
		const char *more, *type, *text;
	} cases[] = {
		{ "\"desiredCount\":-1", "InvalidParameterException", "desiredCount" },
		{ "\"desiredCount\":5001", "InvalidParameterException", "between 0 and 5000" },
		{ "\"desiredCount\":\"x\"", "SerializationException", "desiredCount" },
		{ "\"tags\":[]", "InvalidParameterException", "desiredCount is required" },
		{ "\"desiredCount\":1,\"taskDefinition\":\"none\"", "ClientException",
		  "TaskDefinition not found." },
		{ "\"desiredCount\":1,\"taskDefinition\":\"\"", "InvalidParameterException",
		  "taskDefinition" },
		{ "\"desiredCount\":1,\"serviceName\":\"a b\"", "InvalidParameterException",
		  "service name" },
		{ "\"desiredCount\":1,\"cluster\":\"none\"", "ClusterNotFoundException",
		  "Cluster not found." },
		{ "\"desiredCount\":1,\"launchType\":\"FARGATE\"", "UnsupportedFeatureException",
		  "FARGATE" },
		{ "\"desiredCount\":1,\"loadBalancers\":[{}]", "UnsupportedFeatureException",
		  "loadBalancers" },
		{ "\"desiredCount\":1,\"serviceRegistries\":[{}]", "UnsupportedFeatureException",
		  "serviceRegistries" },
		{ "\"desiredCount\":1,\"serviceConnectConfiguration\":{\"enabled\":true}",
		  "UnsupportedFeatureException", "serviceConnectConfiguration" },
		{ "\"desiredCount\":1,\"capacityProviderStrategy\":[{}]",
		  "UnsupportedFeatureException", "capacityProviderStrategy" },
		{ "\"desiredCount\":1,\"deploymentController\":{\"type\":\"EXTERNAL\"}",
		  "UnsupportedFeatureException", "deploymentController" },
		{ "\"desiredCount\":1,\"deploymentConfiguration\":{\"deploymentCircuitBreaker\":{"
		  "\"enable\":true,\"rollback\":false}}",
		  "UnsupportedFeatureException", "deploymentCircuitBreaker" },
		{ "\"desiredCount\":1,\"deploymentConfiguration\":{\"maximumPercent\":100}",
		  "InvalidParameterException", "will block deployments" },
		{ "\"desiredCount\":1,\"deploymentConfiguration\":{\"minimumHealthyPercent\":-1}",
		  "InvalidParameterException", "minimumHealthyPercent" },
		{ "\"desiredCount\":1,\"healthCheckGracePeriodSeconds\":5",
		  "InvalidParameterException", "grace period" },
		{ "\"desiredCount\":1,\"networkConfiguration\":{\"awsvpcConfiguration\":{"
		  "\"subnets\":[\"s\"]}}",
		  "InvalidParameterException", "networkMode" },
		{ "\"desiredCount\":1,\"placementStrategy\":[{\"type\":\"best\"}]",
		  "InvalidParameterException", "type" },
		{ "\"desiredCount\":1,\"schedulingStrategy\":\"DAEMON\"",
		  "InvalidParameterException", "does not support a desired count" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_decrefp) json_t *in = NULL, *more = NULL;
		_cleanup_(freep) char *text = NULL;
		char braced[512];

		(void) snprintf(braced, sizeof(braced), "{%s}", cases[i].more);
		more = json_loads(braced, 0, NULL);
		assert_non_null(more);
		in = json_pack("{s:s, s:s}", "serviceName", "web", "taskDefinition", "web");
		assert_int_equal(json_object_update(in, more), 0);
		text = json_dumps(in, 0);
		api_fails("CreateService", text, cases[i].type, cases[i].text);
	}
	api_fails("UpdateService", "{\"service\":\"none\"}", "ServiceNotFoundException",
		  "Service not found.");
	api_fails("DeleteService", "{\"service\":\"none\"}", "ServiceNotFoundException",
		  "Service not found.");
	api_fails("ListTasks", "{\"serviceName\":\"none\"}", "ServiceNotFoundException",
		  "Service not found.");
	api_fails("DescribeServices", "{}", "InvalidParameterException", "empty");
}

static void requests_are_idempotent(void **state)
{
	static const char with_token[] =
		"{\"serviceName\":\"web\",\"taskDefinition\":\"web\",\"desiredCount\":1,"
		"\"clientToken\":\"t\",\"tags\":[{\"key\":\"k\",\"value\":\"v\"}]}";
	_cleanup_(json_decrefp) json_t *first = NULL, *again = NULL, *s = NULL;

	(void) state;
	first = api_ok("CreateService", with_token);
	again = api_ok("CreateService", with_token);
	assert_true(json_equal(first, again));
	api_fails("CreateService",
		  "{\"serviceName\":\"web\",\"taskDefinition\":\"web\",\"desiredCount\":2,"
		  "\"clientToken\":\"t\"}",
		  "ClientException", "clientToken");
	api_fails("CreateService",
		  "{\"serviceName\":\"web\",\"taskDefinition\":\"web\",\"desiredCount\":2}",
		  "InvalidParameterException", "Creation of service was not idempotent.");
	s = described();
	assert_string_equal(api_text(s, "sis", "tags", 0, "key"), "k");
}

static void services_are_listed_and_counted(void **state)
{
	_cleanup_(json_decrefp) json_t *page = NULL, *next = NULL, *missing = NULL,
				       *clusters = NULL;
	char body[2 * ARN_MAX];

	(void) state;
	create(",\"desiredCount\":1");
	json_decref(api_ok("CreateService", "{\"serviceName\":\"all\",\"taskDefinition\":\"web\","
					    "\"schedulingStrategy\":\"DAEMON\"}"));
	page = api_ok("ListServices", "{\"maxResults\":1}");
	assert_int_equal(json_array_size(json_object_get(page, "serviceArns")), 1);
	assert_non_null(strstr(api_text(page, "si", "serviceArns", 0), "service/default/all"));
	(void) snprintf(body, sizeof(body), "{\"nextToken\":\"%s\"}",
			api_text(page, "s", "nextToken"));
	next = api_ok("ListServices", body);
	assert_non_null(strstr(api_text(next, "si", "serviceArns", 0), "service/default/web"));
	json_decref(page);
	page = api_ok("ListServices", "{\"schedulingStrategy\":\"REPLICA\"}");
	assert_int_equal(json_array_size(json_object_get(page, "serviceArns")), 1);
	missing = api_ok("DescribeServices", "{\"services\":[\"none\"]}");
	assert_string_equal(api_text(missing, "sis", "failures", 0, "reason"), "MISSING");
	clusters = api_ok("DescribeClusters", "{\"include\":[\"STATISTICS\"]}");
	assert_int_equal(api_integer(clusters, "sis", "clusters", 0, "activeServicesCount"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, with_instances, api_teardown)
		T(tasks_are_started_and_replaced),
		T(surplus_tasks_stop),
		T(a_protected_task_stays),
		T(a_revision_rolls_within_the_bounds),
		T(a_forced_deployment_replaces_all),
		T(a_draining_instance_is_left),
		T(a_daemon_is_on_every_instance),
		T(a_daemon_obeys_constraints),
		T(failed_starts_slow_down),
		T(a_task_without_a_place_is_told_once),
		T(a_deregistered_revision_goes_on),
		T(a_service_ends),
		T(requests_are_checked),
		T(requests_are_idempotent),
		T(services_are_listed_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
