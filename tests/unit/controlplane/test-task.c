/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controlplane/api.h"

#include "controlplane/agentapi.h"
#include "controlplane/health.h"

static char instance[ARN_MAX], task[ARN_MAX];
static char noted[8][ARN_MAX];
static size_t n_noted;

static void on_changed(struct controlplane *c, const char *arn)
{
	(void) c;
	assert_true(n_noted < ARRAY_SIZE(noted));
	(void) snprintf(noted[n_noted++], ARN_MAX, "%s", arn);
}

/* Cluster default, one instance, one task of containers "web" (essential, with a health check) and
 * "init" (not essential). */
static int one_task(void **state)
{
	static const struct wire wire = { .task_changed = on_changed, .instance_gone = on_changed };
	_cleanup_(json_decrefp) json_t *out = NULL;
	int k = api_setup(state);

	n_noted = 0;
	cp.wire = &wire;
	json_decref(api_ok("CreateCluster", "{}"));
	api_instance("{\"attributes\":[{\"name\":\"ecs.capability.container-health-check\"},{"
		     "\"name\":\"com.amazonaws.ecs.capability.docker-remote-api.1.24\"}]}",
		     instance);
	json_decref(
		api_ok("RegisterTaskDefinition",
		       "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"web\",\"image\":"
		       "\"i\",\"memory\":64,\"portMappings\":[{\"containerPort\":80}],"
		       "\"healthCheck\":{\"command\":[\"CMD\",\"true\"]}},{\"name\":\"init\","
		       "\"image\":\"i\",\"memory\":36,\"essential\":false}]}"));
	out = api_ok("RunTask", "{\"taskDefinition\":\"f\",\"startedBy\":\"me\"}");
	(void) snprintf(task, sizeof(task), "%s", api_text(out, "sis", "tasks", 0, "taskArn"));
	return k;
}

static json_t *describe(void)
{
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body), "{\"tasks\":[\"%s\"]}", task);
	return api_ok("DescribeTasks", body);
}

static int on_number(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata = db_int(row, 0);
	return 0;
}

static void expect(const char *member, const char *value)
{
	_cleanup_(json_decrefp) json_t *out = describe();
	const char *is = api_text(out, "sis", "tasks", 0, member);

	if (!is || !value || strcmp(is, value) != 0)
		assert_true(!is && !value);
}

static void stop(const char *more)
{
	char body[ARN_MAX + 256];

	(void) snprintf(body, sizeof(body), "{\"task\":\"%s\"%s}", task, more);
	json_decref(api_ok("StopTask", body));
}

static int integer_of_instance(const char *member)
{
	_cleanup_(json_decrefp) json_t *out = NULL;
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body), "{\"containerInstances\":[\"%s\"]}", instance);
	out = api_ok("DescribeContainerInstances", body);
	return api_integer(out, "sis", "containerInstances", 0, member);
}

#define P TASK_PENDING
#define R TASK_RUNNING
#define S TASK_STOPPED

static void states_never_go_back(void **state _unused_)
{
	static const struct {
		enum task_state from, on_pending, on_running, on_stopped;
	} cells[_TASK_STATE_MAX] = {
		{ TASK_PROVISIONING, P, R, S },
		{ TASK_PENDING, P, R, S },
		{ TASK_ACTIVATING, TASK_ACTIVATING, R, S },
		{ TASK_RUNNING, R, R, S },
		{ TASK_DEACTIVATING, TASK_DEACTIVATING, TASK_DEACTIVATING, S },
		{ TASK_STOPPING, TASK_STOPPING, TASK_STOPPING, S },
		{ TASK_DEPROVISIONING, TASK_DEPROVISIONING, TASK_DEPROVISIONING, S },
		{ TASK_STOPPED, S, S, S },
	};

	for (int i = 0; i < _TASK_STATE_MAX; i++) {
		enum task_state from = cells[i].from;

		assert_int_equal(from, i);
		assert_int_equal(task_state_parse(task_state_name(from)), from);
		assert_int_equal(task_state_next(from, P), cells[i].on_pending);
		assert_int_equal(task_state_next(from, R), cells[i].on_running);
		assert_int_equal(task_state_next(from, S), cells[i].on_stopped);
		/* What no agent says moves nothing further than PENDING. */
		assert_int_equal(task_state_next(from, TASK_STATE_INVALID), cells[i].on_pending);
		assert_int_equal(task_state_next(from, TASK_STOPPING), cells[i].on_pending);
	}
	assert_int_equal(task_state_parse("DEAD"), TASK_STATE_INVALID);
}

static void a_new_task_shows_all_members(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = describe();
	const json_t *t = api_at(out, "si", "tasks", 0), *c = api_at(t, "si", "containers", 0);
	struct arn a;

	assert_true(arn_parse(api_text(t, "s", "taskArn"), &a));
	assert_string_equal(a.cluster, "default");
	assert_int_equal(strlen(a.id), ARN_ID_DIGITS);
	assert_string_equal(api_text(t, "s", "clusterArn"),
			    "arn:aws:ecs:us-east-1:123456789012:cluster/default");
	assert_string_equal(api_text(t, "s", "containerInstanceArn"), instance);
	assert_string_equal(api_text(t, "s", "desiredStatus"), "RUNNING");
	assert_string_equal(api_text(t, "s", "lastStatus"), "PENDING");
	assert_string_equal(api_text(t, "s", "launchType"), "EC2");
	assert_string_equal(api_text(t, "s", "group"), "family:f");
	assert_string_equal(api_text(t, "s", "startedBy"), "me");
	assert_string_equal(api_text(t, "s", "memory"), "100");
	assert_string_equal(api_text(t, "s", "connectivity"), "CONNECTED");
	assert_string_equal(api_text(t, "s", "availabilityZone"), "us-east-1a");
	assert_true(json_is_real(api_at(t, "s", "createdAt")));
	assert_string_equal(api_text(t, "ssis", "overrides", "containerOverrides", 1, "name"),
			    "init");
	assert_string_equal(api_text(c, "s", "name"), "web");
	assert_string_equal(api_text(c, "s", "lastStatus"), "PENDING");
	assert_string_equal(api_text(c, "s", "healthStatus"), "UNKNOWN");
	assert_string_equal(api_text(c, "s", "taskArn"), task);
	assert_int_equal(n_noted, 1);
	assert_string_equal(noted[0], task);
}

static void running_brings_bindings_and_holds_their_ports(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *ports = NULL;
	const json_t *c;

	api_report(task, "RUNNING",
		   "{\"pullStartedAt\":1700000000.5,\"containers\":[{\"containerName\":\"web\","
		   "\"status\":\"RUNNING\",\"runtimeId\":\"r\",\"imageDigest\":\"sha256:1\","
		   "\"networkBindings\":[{\"bindIP\":\"0.0.0.0\",\"containerPort\":80,"
		   "\"hostPort\":32768,\"protocol\":\"tcp\"}]},{\"containerName\":\"init\","
		   "\"status\":\"RUNNING\"},{\"containerName\":\"init\",\"status\":\"STOPPED\","
		   "\"exitCode\":0}]}");
	out = describe();
	c = api_at(out, "sisi", "tasks", 0, "containers", 0);
	assert_string_equal(api_text(c, "s", "lastStatus"), "RUNNING");
	assert_string_equal(api_text(c, "s", "runtimeId"), "r");
	assert_string_equal(api_text(c, "s", "imageDigest"), "sha256:1");
	assert_int_equal(api_integer(c, "sis", "networkBindings", 0, "hostPort"), 32768);
	assert_string_equal(api_text(out, "sisis", "tasks", 0, "containers", 1, "lastStatus"),
			    "STOPPED");
	assert_true(json_is_real(api_at(out, "sis", "tasks", 0, "startedAt")));
	assert_true(json_real_value(api_at(out, "sis", "tasks", 0, "pullStartedAt")) ==
		    1700000000.5);
	assert_int_equal(store_instance_ports(cp.store, instance, "tcp", &ports, NULL), 0);
	assert_string_equal(api_text(ports, "i", 0), "32768");
	assert_int_equal(integer_of_instance("runningTasksCount"), 1);
	assert_int_equal(integer_of_instance("pendingTasksCount"), 0);
}

static void an_essential_exit_stops_the_task(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *ports = NULL;

	running_brings_bindings_and_holds_their_ports(NULL);
	api_report(task, "STOPPED",
		   "{\"reason\":\"\",\"executionStoppedAt\":1700000009.25,\"containers\":[{"
		   "\"containerName\":\"web\",\"status\":\"STOPPED\",\"exitCode\":3}]}");
	expect("lastStatus", "STOPPED");
	expect("desiredStatus", "STOPPED");
	expect("stopCode", "EssentialContainerExited");
	expect("stoppedReason", "Essential container in task exited");
	out = describe();
	assert_int_equal(api_integer(out, "sisis", "tasks", 0, "containers", 0, "exitCode"), 3);
	assert_true(json_real_value(api_at(out, "sis", "tasks", 0, "executionStoppedAt")) ==
		    1700000009.25);
	assert_true(json_is_real(api_at(out, "sis", "tasks", 0, "stoppedAt")));
	assert_int_equal(store_instance_ports(cp.store, instance, "tcp", &ports, NULL), 0);
	assert_int_equal(json_array_size(ports), 0);
	assert_int_equal(integer_of_instance("runningTasksCount"), 0);
}

static void what_never_started_is_told_apart(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;

	api_report(task, "STOPPED",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"STOPPED\",\"reason\":"
		   "\"CannotPullContainerError: no\"}]}");
	expect("stopCode", "TaskFailedToStart");
	expect("stoppedReason", "Task failed to start");
	out = describe();
	assert_string_equal(api_text(out, "sisis", "tasks", 0, "containers", 0, "reason"),
			    "CannotPullContainerError: no");
	assert_null(api_at(out, "sisis", "tasks", 0, "containers", 0, "exitCode"));
	assert_string_equal(api_text(out, "sisis", "tasks", 0, "containers", 1, "lastStatus"),
			    "STOPPED");
}

static void a_quick_exit_counts_as_an_exit(void **state _unused_)
{
	api_report(task, "STOPPED",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"STOPPED\","
		   "\"exitCode\":0}]}");
	expect("stopCode", "EssentialContainerExited");
}

static void a_reason_of_the_task_is_shown(void **state _unused_)
{
	api_report(task, "STOPPED", "{\"reason\":\"CgroupError: no\"}");
	expect("stopCode", "TaskFailedToStart");
	expect("stoppedReason", "CgroupError: no");
}

static void a_users_stop_is_the_users(void **state _unused_)
{
	api_report(task, "RUNNING", "{}");
	stop("");
	expect("lastStatus", "RUNNING");
	expect("desiredStatus", "STOPPED");
	assert_int_equal(n_noted, 2);
	stop(",\"reason\":\"again\"");
	assert_int_equal(n_noted, 2); /* it was on its way already */
	api_report(task, "STOPPED",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"STOPPED\","
		   "\"exitCode\":143}]}");
	expect("stopCode", "UserInitiated");
	expect("stoppedReason", "Task stopped by user");
	stop("");
	expect("lastStatus", "STOPPED");
	assert_int_equal(n_noted, 2);
}

static void late_and_repeated_reports_change_nothing(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *before = NULL, *after = NULL;

	api_report(task, "STOPPED",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"STOPPED\","
		   "\"exitCode\":1}]}");
	before = describe();
	api_report(task, "RUNNING",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"RUNNING\","
		   "\"networkBindings\":[{\"hostPort\":40000}]}]}");
	api_report(task, "PENDING", "{}");
	api_report(task, "STOPPED",
		   "{\"containers\":[{\"containerName\":\"web\",\"status\":\"STOPPED\","
		   "\"exitCode\":1}]}");
	after = describe();
	assert_true(json_equal(before, after));
}

static void bad_reports_are_refused(void **state _unused_)
{
	static const struct {
		const char *body, *type;
	} cases[] = {
		{ "{\"status\":\"RUNNING\"}", "InvalidParameterException" },
		{ "{\"task\":\"nope\",\"status\":\"RUNNING\"}", "ClientException" },
		{ "{\"task\":\"T\",\"status\":\"DEAD\"}", "InvalidParameterException" },
		{ "{\"task\":\"T\",\"status\":\"RUNNING\",\"containers\":[{\"containerName\":"
		  "\"x\"}]}",
		  "InvalidParameterException" },
		{ "{\"task\":\"T\",\"status\":\"RUNNING\",\"containers\":{}}",
		  "SerializationException" },
		{ "{\"task\":\"T\",\"cluster\":\"nope\",\"status\":\"RUNNING\"}",
		  "ClusterNotFoundException" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(api_error_done) struct api_error e = {};
		_cleanup_(json_decrefp) json_t *in = json_loads(cases[i].body, 0, NULL);

		if (strcmp(json_get_string(in, "task", ""), "T") == 0)
			(void) json_object_set_new(in, "task", json_string(task));
		assert_int_equal(task_apply_state_change(&cp, in, &e), -1);
		assert_string_equal(e.type, cases[i].type);
	}
	expect("lastStatus", "PENDING");
}

static void publish_health(const char *from, const char *container, const char *health)
{
	_cleanup_(json_decrefp) json_t *message =
		json_pack("{s:[{s:s, s:[{s:s, s:s}]}]}", "tasks", "taskArn", task, "containers",
			  "containerName", container, "healthStatus", health);

	assert_int_equal(health_apply(&cp, from, message, NULL), 0);
}

static void health_follows_essential_containers(void **state _unused_)
{
	publish_health(instance, "web", "HEALTHY");
	expect("healthStatus", "HEALTHY");
	publish_health(instance, "web", "UNHEALTHY");
	expect("healthStatus", "UNHEALTHY");
	publish_health(instance, "x", "HEALTHY");
	expect("healthStatus", "UNHEALTHY");
	publish_health("another", "web", "HEALTHY");
	expect("healthStatus", "UNHEALTHY");
}

static int count_tasks(json_t *doc, void *userdata, struct err *err)
{
	(void) doc, (void) err;
	++*(int *) userdata;
	return 0;
}

static int unacked(void)
{
	int n = 0;

	assert_int_equal(store_tasks_of_instance(cp.store, instance, true, count_tasks, &n, NULL),
			 0);
	return n;
}

static void what_was_not_acked_is_due_again(void **state _unused_)
{
	assert_int_equal(unacked(), 1);
	assert_int_equal(store_task_set_acked(cp.store, task, "RUNNING", NULL), 0);
	assert_int_equal(unacked(), 0);
	stop("");
	assert_int_equal(unacked(), 1);
	assert_int_equal(store_task_set_acked(cp.store, task, "RUNNING", NULL), 0); /* a late ack */
	assert_int_equal(unacked(), 1);
	assert_int_equal(store_task_set_acked(cp.store, task, "STOPPED", NULL), 0);
	assert_int_equal(unacked(), 0);
}

static void sequence_numbers_count_per_instance(void **state _unused_)
{
	int64_t seq = 0;

	assert_int_equal(store_instance_next_seq(cp.store, instance, &seq, NULL), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(store_instance_next_seq(cp.store, instance, &seq, NULL), 0);
	assert_int_equal(seq, 2);
	assert_int_equal(store_instance_next_seq(cp.store, "x", &seq, NULL), STORE_E_NOT_FOUND);
}

static void a_connected_change_keeps_the_version(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;

	assert_int_equal(instance_set_connected(&cp, instance, false, NULL, NULL, NULL, NULL), 0);
	expect("connectivity", "DISCONNECTED");
	assert_int_equal(store_instance_get(cp.store, instance, &doc, NULL), 0);
	assert_string_equal(api_text(doc, "ss", "versionInfo", "agentVersion"), "1.0.0");
}

static void a_busy_instance_leaves_only_by_force(void **state _unused_)
{
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body), "{\"containerInstance\":\"%s\"}", instance);
	api_fails("DeregisterContainerInstance", body, "InvalidParameterException",
		  "Found running tasks on the instance.");
	api_fails("DeleteCluster", "{\"cluster\":\"default\"}",
		  "ClusterContainsContainerInstancesException", "Container Instances");
	(void) snprintf(body, sizeof(body), "{\"containerInstance\":\"%s\",\"force\":true}",
			instance);
	json_decref(api_ok("DeregisterContainerInstance", body));
	assert_string_equal(noted[n_noted - 1], instance);
	expect("lastStatus", "STOPPED");
	expect("stoppedReason", "Container instance deregistration forced by user");
	expect("stopCode", "UserInitiated");
	json_decref(api_ok("DeleteCluster", "{\"cluster\":\"default\"}"));
	api_fails("ListTasks", "{}", "ClusterNotFoundException", "Cluster not found.");
}

static void registration_echoes_and_updates(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	char again[ARN_MAX], more[ARN_MAX + 128];

	(void) snprintf(more, sizeof(more),
			"{\"containerInstanceArn\":\"%s\",\"attributes\":[{\"name\":\"new\"}],"
			"\"tags\":[{\"key\":\"a\",\"value\":\"b\"}]}",
			instance);
	api_instance(more, again);
	assert_string_equal(again, instance);
	assert_int_equal(store_instance_get(cp.store, instance, &doc, NULL), 0);
	/* Capabilities are said anew, the rest stays, and an attribute without value has none. */
	assert_string_equal(api_text(doc, "sis", "attributes", 0, "name"), "ecs.availability-zone");
	assert_string_equal(api_text(doc, "sis", "attributes", 1, "name"), "new");
	assert_null(api_at(doc, "sis", "attributes", 1, "value"));
	assert_string_equal(api_text(doc, "sis", "tags", 0, "value"), "b");
	assert_int_equal(integer_of_instance("pendingTasksCount"), 1);
}

static void a_repeated_first_registration_is_one_instance(void **state _unused_)
{
	char a[ARN_MAX], b[ARN_MAX], c[ARN_MAX];

	api_instance("{\"clientToken\":\"t1\"}", a);
	api_instance("{\"clientToken\":\"t1\"}", b);
	api_instance("{\"clientToken\":\"t2\"}", c);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
}

static void bad_registrations_are_refused(void **state _unused_)
{
	static const struct {
		const char *body, *type;
	} cases[] = {
		{ "{}", "InvalidParameterException" },
		{ "{\"cluster\":\"nope\"}", "ClusterNotFoundException" },
		{ "{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":"
		  "\"1\"}]}",
		  "SerializationException" },
		{ "{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":1},"
		  "{"
		  "\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":1}],"
		  "\"containerInstanceArn\":\"arn:aws:ecs:us-east-1:123456789012:container-"
		  "instance/"
		  "default/0\"}",
		  "InvalidParameterException" },
		{ "{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":1},"
		  "{"
		  "\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":1}],\"attributes\":[{"
		  "\"name\":\"a b\"}]}",
		  "InvalidParameterException" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(api_error_done) struct api_error e = {};
		_cleanup_(json_decrefp) json_t *in = json_loads(cases[i].body, 0, NULL);
		json_t *doc = NULL;

		assert_int_equal(instance_register(&cp, in, &doc, &e), -1);
		assert_string_equal(e.type, cases[i].type);
	}
}

static void lists_are_filtered_and_paged(void **state _unused_)
{
	static const struct {
		const char *body;
		size_t n;
	} cases[] = {
		{ "{}", 5 },
		{ "{\"startedBy\":\"me\"}", 1 },
		{ "{\"startedBy\":\"you\"}", 0 },
		{ "{\"family\":\"f\"}", 5 },
		{ "{\"family\":\"g\"}", 0 },
		{ "{\"desiredStatus\":\"STOPPED\"}", 0 },
		{ "{\"desiredStatus\":\"PENDING\"}", 0 },
		{ "{\"launchType\":\"FARGATE\"}", 0 },
		{ "{\"maxResults\":3}", 3 },
	};
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;
	char body[2048];

	json_decref(api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":4}"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_decrefp) json_t *out = api_ok("ListTasks", cases[i].body);

		assert_int_equal(json_array_size(api_at(out, "s", "taskArns")), cases[i].n);
	}
	first = api_ok("ListTasks", "{\"maxResults\":3}");
	(void) snprintf(body, sizeof(body), "{\"maxResults\":3,\"nextToken\":\"%s\"}",
			api_text(first, "s", "nextToken"));
	second = api_ok("ListTasks", body);
	assert_int_equal(json_array_size(api_at(second, "s", "taskArns")), 2);
	assert_null(api_at(second, "s", "nextToken"));
	assert_true(strcmp(api_text(first, "si", "taskArns", 2),
			   api_text(second, "si", "taskArns", 0)) < 0);
	api_fails("ListTasks", "{\"serviceName\":\"s\"}", "ServiceNotFoundException", "Service");
}

static void what_is_missing_is_said_to_be(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *tasks = api_ok("DescribeTasks", "{\"tasks\":[\"0\"]}");
	_cleanup_(json_decrefp) json_t *instances =
		api_ok("DescribeContainerInstances", "{\"containerInstances\":[\"0\"]}");
	_cleanup_(json_decrefp) json_t *clusters =
		api_ok("DescribeClusters", "{\"clusters\":[\"nope\"]}");

	assert_string_equal(api_text(tasks, "sis", "failures", 0, "reason"), "MISSING");
	assert_string_equal(api_text(tasks, "sis", "failures", 0, "arn"),
			    "arn:aws:ecs:us-east-1:123456789012:task/default/0");
	assert_string_equal(api_text(instances, "sis", "failures", 0, "reason"), "MISSING");
	assert_string_equal(api_text(clusters, "sis", "failures", 0, "reason"), "MISSING");
	api_fails("StopTask", "{\"task\":\"0\"}", "InvalidParameterException",
		  "The referenced task was not found.");
	api_fails("DescribeTasks", "{}", "InvalidParameterException", "Tasks cannot be empty.");
	api_fails("CreateTaskSet", "{}", "UnsupportedFeatureException", "CreateTaskSet");
	api_fails("MakeCoffee", "{}", "UnknownOperationException", "MakeCoffee");
}

static void tags_and_attributes_are_changed(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL, *listed = NULL;
	char body[ARN_MAX + 256];

	(void) snprintf(
		body, sizeof(body),
		"{\"resourceArn\":\"%s\",\"tags\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":"
		"\"b\",\"value\":\"2\"}]}",
		task);
	json_decref(api_ok("TagResource", body));
	(void) snprintf(body, sizeof(body), "{\"resourceArn\":\"%s\",\"tagKeys\":[\"a\"]}", task);
	json_decref(api_ok("UntagResource", body));
	(void) snprintf(body, sizeof(body), "{\"resourceArn\":\"%s\"}", task);
	out = api_ok("ListTagsForResource", body);
	assert_string_equal(api_text(out, "sis", "tags", 0, "key"), "b");
	assert_int_equal(json_array_size(api_at(out, "s", "tags")), 1);
	(void) snprintf(
		body, sizeof(body),
		"{\"attributes\":[{\"name\":\"disk\",\"value\":\"ssd\",\"targetId\":\"%s\"}]}",
		instance);
	json_decref(api_ok("PutAttributes", body));
	listed = api_ok("ListAttributes", "{\"targetType\":\"container-instance\","
					  "\"attributeName\":\"disk\"}");
	assert_string_equal(api_text(listed, "sis", "attributes", 0, "value"), "ssd");
	json_decref(api_ok("DeleteAttributes", body));
	json_decref(listed);
	listed = api_ok("ListAttributes", "{\"attributeName\":\"disk\"}");
	assert_int_equal(json_array_size(api_at(listed, "s", "attributes")), 0);
}

/* Agents cut at 1024 bytes; what they cut through becomes U+FFFD, which is longer. */
static void a_reason_cut_through_a_character_is_kept(void **state _unused_)
{
	char reason[1024 + 3], body[1200 + ARN_MAX];
	_cleanup_(json_decrefp) json_t *out = NULL;

	memset(reason, 'x', 1023);
	memcpy(reason + 1023, "\xef\xbf\xbd", 4);
	(void) snprintf(body, sizeof(body),
			"{\"task\":\"%s\",\"status\":\"STOPPED\",\"reason\":\"\",\"containers\":"
			"[{\"containerName\":\"web\",\"status\":\"STOPPED\",\"reason\":\"%s\"}]}",
			task, reason);
	ops_add(agent_operations);
	json_decref(api_ok("SubmitTaskStateChange", body));
	ops_add(NULL);
	out = describe();
	assert_string_equal(api_text(out, "sisis", "tasks", 0, "containers", 0, "reason"), reason);
	assert_true(json_is_array(
		api_at(out, "sisis", "tasks", 0, "containers", 0, "networkBindings")));
}

static void a_full_disk_is_a_server_error(void **state _unused_)
{
	char body[20000], pad[16000];
	int64_t pages = 0;
	bool full = false;

	memset(pad, 'x', sizeof(pad) - 1);
	pad[sizeof(pad) - 1] = '\0';
	(void) snprintf(
		body, sizeof(body),
		"{\"family\":\"big\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\","
		"\"memory\":64,\"environment\":[{\"name\":\"A\",\"value\":\"%s\"}]}]}",
		pad);
	assert_int_equal(db_query(store_db(cp.store), NULL, on_number, &pages,
				  "PRAGMA max_page_count = 100", ""),
			 0);
	for (int i = 0; i < 100 && !full; i++) {
		_cleanup_(api_error_done) struct api_error e = {};
		json_auto_t *out = NULL;

		full = ops_run_text(&cp, "RegisterTaskDefinition", body, strlen(body), &out, &e) <
		       0;
		if (full) {
			assert_string_equal(e.type, "ServerException");
			assert_int_equal(e.http_status, 500);
		}
	}
	assert_true(full);
	assert_int_equal(db_query(store_db(cp.store), NULL, on_number, &pages,
				  "PRAGMA max_page_count = 1000000", ""),
			 0);
	expect("lastStatus", "PENDING");
	json_decref(api_ok("RegisterTaskDefinition", body));
}

static void a_failed_operation_leaves_nothing(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;
	char body[ARN_MAX + 256];

	n_noted = 0;
	/* The first attribute is fine, the second target is not: neither is put. */
	(void) snprintf(body, sizeof(body),
			"{\"attributes\":[{\"name\":\"x\",\"targetId\":\"%s\"},{\"name\":\"x\","
			"\"targetId\":\"nope\"}]}",
			instance);
	api_fails("PutAttributes", body, "TargetNotFoundException", "nope");
	out = api_ok("ListAttributes", "{\"attributeName\":\"x\"}");
	assert_int_equal(json_array_size(api_at(out, "s", "attributes")), 0);
	assert_int_equal(n_noted, 0);
}

static void stopped_tasks_are_forgotten_in_time(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;

	assert_int_equal(store_tasks_purge(cp.store, INT64_MAX, NULL), 0);
	expect("lastStatus", "PENDING");
	api_report(task, "STOPPED", "{}");
	assert_int_equal(store_tasks_purge(cp.store, 1000, NULL), 0);
	expect("lastStatus", "STOPPED");
	assert_int_equal(store_tasks_purge(cp.store, INT64_MAX, NULL), 0);
	out = describe();
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "MISSING");
}

#define with_task(f) cmocka_unit_test_setup_teardown(f, one_task, api_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_never_go_back),
		with_task(a_new_task_shows_all_members),
		with_task(running_brings_bindings_and_holds_their_ports),
		with_task(an_essential_exit_stops_the_task),
		with_task(what_never_started_is_told_apart),
		with_task(a_quick_exit_counts_as_an_exit),
		with_task(a_reason_of_the_task_is_shown),
		with_task(a_users_stop_is_the_users),
		with_task(late_and_repeated_reports_change_nothing),
		with_task(bad_reports_are_refused),
		with_task(health_follows_essential_containers),
		with_task(what_was_not_acked_is_due_again),
		with_task(sequence_numbers_count_per_instance),
		with_task(a_connected_change_keeps_the_version),
		with_task(a_busy_instance_leaves_only_by_force),
		with_task(registration_echoes_and_updates),
		with_task(a_repeated_first_registration_is_one_instance),
		with_task(bad_registrations_are_refused),
		with_task(lists_are_filtered_and_paged),
		with_task(what_is_missing_is_said_to_be),
		with_task(tags_and_attributes_are_changed),
		with_task(a_failed_operation_leaves_nothing),
		with_task(a_reason_cut_through_a_character_is_kept),
		with_task(a_full_disk_is_a_server_error),
		with_task(stopped_tasks_are_forgotten_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
