/* SPDX-License-Identifier: Apache-2.0 */
/* What the local servers answer, from tasks made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "agent/http/control.h"
#include "agent/http/introspection.h"
#include "common/cleanup.h"
#include "common/json.h"

static struct port_binding asked[] = { { 80, 0, IPPROTO_TCP } };
static struct port_binding bound[] = { { 80, 61000, IPPROTO_TCP }, { 53, 61001, IPPROTO_UDP } };
static struct container web[1], batch[2];
static struct task tasks[2];
static char *stopped; /* what was asked to stop */

static void make_tasks(void)
{
	web[0] = (struct container){ .task = &tasks[0],
				     .name = (char *) "web",
				     .image = (char *) "nginx",
				     .known = CONTAINER_RUNNING,
				     .desired = CONTAINER_RUNNING,
				     .docker_name = "ecs-web-1-web-0123",
				     .image_id = (char *) "sha256:ab",
				     .ports = asked,
				     .n_ports = 1,
				     .bindings = bound,
				     .n_bindings = 2,
				     .created_ms = 1746802078031,
				     .started_ms = 1746802079000,
				     .pid = 42,
				     .log_driver = (char *) "json-file" };
	memset(web[0].id, 'a', 64);
	batch[0] = (struct container){ .task = &tasks[1],
				       .name = (char *) "one",
				       .known = CONTAINER_STOPPED,
				       .desired = CONTAINER_STOPPED,
				       .has_exit_code = true,
				       .exit_code = 137,
				       .error_name = (char *) "OutOfMemoryError",
				       .started_ms = 1,
				       .log_driver = (char *) "none" };
	memset(batch[0].id, 'a', 11);
	memset(batch[0].id + 11, 'b', 53);
	batch[1] = (struct container){
		.task = &tasks[1], .name = (char *) "two", .ports = asked, .n_ports = 1
	};
	tasks[0] = (struct task){ .arn = (char *) "arn:aws:ecs:r:1:task/lab/1111",
				  .id = "1111",
				  .family = (char *) "web",
				  .version = (char *) "7",
				  .known = TASK_RUNNING,
				  .desired = TASK_RUNNING,
				  .containers = web,
				  .n_containers = 1 };
	tasks[1] = (struct task){ .arn = (char *) "arn:aws:ecs:r:1:task/lab/2222",
				  .id = "2222",
				  .family = (char *) "batch",
				  .version = (char *) "1",
				  .known = TASK_STOPPED,
				  .desired = TASK_RUNNING,
				  .containers = batch,
				  .n_containers = 2,
				  .waiting_for = (char *) "port 80/tcp",
				  .waiting_since_ms = 1746802078000 };
}

static size_t task_count(void *userdata)
{
	(void) userdata;
	return 2;
}

static const struct task *task_at(void *userdata, size_t i)
{
	(void) userdata;
	return &tasks[i];
}

static const struct task *find_task(void *userdata, const char *name)
{
	(void) userdata;
	for (size_t i = 0; i < 2; i++)
		if (strcmp(tasks[i].arn, name) == 0 ||
		    strncmp(tasks[i].id, name, strlen(name)) == 0)
			return &tasks[i];
	return NULL;
}

static char *log_path(void *userdata, const struct container *c)
{
	(void) userdata;
	return c == &web[0] ? strdup("/x/log.json") : NULL;
}

static int stop_task(void *userdata, const char *arn, struct err *err)
{
	(void) userdata, (void) err;
	free(stopped);
	stopped = strdup(arn);
	return 0;
}

static bool registered;

static void status(void *userdata, struct agent_status *ret)
{
	(void) userdata;
	*ret = (struct agent_status){ .cluster = "lab",
				      .container_instance_arn = registered ? "arn:ci" : NULL,
				      .sessions = { { "acs", true, 0 }, { "tcs", false, 1500 } },
				      .outbox_pending = 3 };
}

static struct config config = { .data_dir = (char *) "/d",
				.run_dir = (char *) "/r",
				.image_dir = (char *) "/i",
				.libexec_dir = (char *) "/l" };
static struct agent_counters counters;
static struct agent_view view = { .config = &config,
				  .counters = &counters,
				  .task_count = task_count,
				  .task_at = task_at,
				  .find_task = find_task,
				  .log_path = log_path,
				  .stop_task = stop_task,
				  .status = status };

static struct http_reply ask(const char *path, const char *arn, const char *id)
{
	struct http_reply r = { .status = 200, .content_type = "application/json" };

	introspection_answer(&view, "GET", path, arn, id, &r);
	assert_non_null(r.body);
	return r;
}

static void assert_body(struct http_reply r, unsigned code, const char *type, const char *body)
{
	assert_int_equal(r.status, code);
	assert_string_equal(r.content_type, type);
	assert_string_equal(r.body, body);
	free(r.body);
}

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define NO_TASK                                                                                    \
	"{\"Arn\":\"\",\"KnownStatus\":\"\",\"Family\":\"\",\"Version\":\"\",\"Containers\":null}"

static void unknown_paths_list_the_commands(void **state _unused_)
{
	static const char commands[] =
		"{\"AvailableCommands\":[\"/v1/metadata\",\"/v1/tasks\",\"/license\"]}";

	assert_body(ask("/", NULL, NULL), 200, TEXT_PLAIN, commands);
	assert_body(ask("/v2/../etc/passwd", NULL, NULL), 200, TEXT_PLAIN, commands);
}

static void metadata_names_no_instance_before_registration(void **state _unused_)
{
	registered = false;
	assert_body(ask("/v1/metadata", NULL, NULL), 200, "application/json",
		    "{\"Cluster\":\"lab\",\"ContainerInstanceArn\":null,\"Version\":\"Amazon ECS "
		    "Agent - v" PACKAGE_VERSION " (" GIT_HASH ")\"}");
	registered = true;
	assert_body(ask("/v1/metadata", NULL, NULL), 200, "application/json",
		    "{\"Cluster\":\"lab\",\"ContainerInstanceArn\":\"arn:ci\",\"Version\":\"Amazon "
		    "ECS Agent - v" PACKAGE_VERSION " (" GIT_HASH ")\"}");
}

static void a_task_is_shown_with_its_bindings(void **state _unused_)
{
	char expected[1024];

	(void) snprintf(
		expected, sizeof(expected),
		"{\"Arn\":\"arn:aws:ecs:r:1:task/lab/1111\",\"DesiredStatus\":\"RUNNING\","
		"\"KnownStatus\":\"RUNNING\",\"Family\":\"web\",\"Version\":\"7\",\"Containers\":["
		"{\"DockerId\":\"%s\",\"DockerName\":\"ecs-web-1-web-0123\",\"Name\":\"web\","
		"\"Image\":\"nginx\",\"ImageID\":\"sha256:ab\",\"CreatedAt\":\"2025-05-09T14:47:58."
		"031Z\","
		"\"StartedAt\":\"2025-05-09T14:47:59.000Z\",\"Ports\":["
		"{\"ContainerPort\":80,\"Protocol\":\"tcp\",\"HostPort\":61000},"
		"{\"ContainerPort\":53,\"Protocol\":\"udp\",\"HostPort\":61001}]}]}",
		web[0].id);
	assert_body(ask("/v1/tasks", tasks[0].arn, NULL), 200, "application/json", expected);
}

static void a_desired_status_behind_the_known_one_is_left_out(void **state _unused_)
{
	struct http_reply r = ask("/v1/tasks", tasks[1].arn, NULL);

	assert_null(strstr(r.body, "DesiredStatus"));
	assert_non_null(strstr(r.body, "\"KnownStatus\":\"STOPPED\""));
	/* not bound yet: the definition's */
	assert_non_null(
		strstr(r.body, "{\"ContainerPort\":80,\"Protocol\":\"tcp\"}"));
	free(r.body);
}

static void lookups_that_fail_answer_an_empty_task(void **state _unused_)
{
	assert_body(ask("/v1/tasks", "a", "b"), 400, "application/json", NO_TASK);
	assert_body(ask("/v1/tasks", "arn:none", NULL), 404, "application/json", NO_TASK);
	assert_body(ask("/v1/tasks", NULL, "aaaaaaaa"), 400, "application/json",
		    NO_TASK); /* two of them */
	assert_body(ask("/v1/tasks", NULL, "aaaaaaaaaaaaa"), 404, "application/json",
		    NO_TASK); /* no prefix */
}

static void container_ids_match_up_to_twelve_digits_as_prefix(void **state _unused_)
{
	struct http_reply r = ask("/v1/tasks", NULL, "aaaaaaaaaaaa");

	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "task/lab/1111"));
	free(r.body);
	r = ask("/v1/tasks", NULL, web[0].id);
	assert_int_equal(r.status, 200);
	free(r.body);
}

static void nothing_can_be_changed_through_introspection(void **state _unused_)
{
	struct http_reply r = { .status = 200 };

	introspection_answer(&view, "POST", "/v1/tasks", NULL, NULL, &r);
	assert_int_equal(r.status, 405);
	free(r.body);
}

static void the_licence_is_the_whole_text(void **state _unused_)
{
	struct http_reply r = ask("/license", NULL, NULL);

	assert_non_null(strstr(r.body, "Apache License"));
	assert_non_null(strstr(r.body, "\"License\" shall mean"));
	free(r.body);
}

static void metrics_show_states_sessions_and_counters(void **state _unused_)
{
	struct http_reply r;

	counters_init(&counters);
	counters_running(&counters, &web[0]);
	counters_stopped(&counters, &batch[0]);
	counters_stopped(&counters, &batch[1]);
	r = ask("/metrics", NULL, NULL);
	assert_string_equal(r.content_type, "text/plain; version=0.0.4; charset=utf-8");
	assert_non_null(strstr(r.body, "\necs_tasks{status=\"RUNNING\"} 1\n"));
	assert_non_null(strstr(r.body, "\necs_tasks_waiting 1\n"));
	assert_non_null(strstr(r.body, "\necs_containers{status=\"STOPPED\"} 1\n"));
	assert_non_null(strstr(r.body, "\necs_session_connected{session=\"acs\"} 1\n"));
	assert_non_null(
		strstr(r.body, "\necs_session_disconnected_seconds_total{session=\"tcs\"} 1.5\n"));
	assert_non_null(strstr(r.body, "\necs_agent_outbox_tasks 3\n"));
	assert_non_null(strstr(r.body, "\necs_container_oom_kills_total 1\n"));
	assert_non_null(strstr(r.body, "\necs_container_exits_total 1\n"));
	assert_non_null(strstr(r.body, "\necs_container_start_failures_total 1\n"));
	assert_non_null(strstr(r.body, "\necs_launch_seconds_sum{phase=\"start\"} 0.969\n"));
	free(r.body);
}

/* ---- control ---- */

static struct http_reply control(const char *method, const char *path)
{
	struct http_reply r = { .status = 200, .content_type = "application/json" };

	control_answer(&view, method, path, &r);
	assert_non_null(r.body);
	return r;
}

static void ps_shows_what_a_task_waits_for(void **state _unused_)
{
	struct http_reply r = control("GET", "/v1/ps");
	_cleanup_(json_decrefp) json_t *o = json_loads(r.body, 0, NULL);
	const json_t *t = json_array_get(json_object_get(o, "tasks"), 1);
	const json_t *c = json_array_get(json_object_get(t, "containers"), 0);

	assert_string_equal(json_get_string(t, "lastStatus", ""), "STOPPED");
	assert_string_equal(json_get_string(t, "waitingFor", ""), "port 80/tcp");
	assert_string_equal(json_get_string(t, "waitingSince", ""), "2025-05-09T14:47:58.000Z");
	assert_int_equal(json_get_int(c, "exitCode", -1), 137);
	assert_string_equal(json_get_string(c, "error", ""), "OutOfMemoryError");
	assert_null(json_object_get(c, "pid"));
	free(r.body);
}

static void ps_shows_what_a_container_waits_for_and_its_restarts(void **state _unused_)
{
	static const struct depend edge = { .name = (char *) "one", .condition = DEPEND_HEALTHY };
	const json_t *t, *c;

	batch[0].restart.enabled = true;
	batch[0].restart_count = 2;
	batch[0].last_restart_ms = 1746802078000;
	batch[1].waits_for = &edge;
	batch[1].waits_since_ms = 1746802078000;
	struct http_reply r = control("GET", "/v1/ps");
	_cleanup_(json_decrefp) json_t *o = json_loads(r.body, 0, NULL);

	t = json_array_get(json_object_get(o, "tasks"), 1);
	c = json_array_get(json_object_get(t, "containers"), 1);
	assert_string_equal(json_get_string(c, "waitingFor", ""), "container 'one' to be HEALTHY");
	assert_string_equal(json_get_string(c, "waitingSince", ""), "2025-05-09T14:47:58.000Z");
	assert_null(json_object_get(c, "restartCount"));
	c = json_array_get(json_object_get(t, "containers"), 0);
	assert_int_equal(json_get_int(c, "restartCount", -1), 2);
	assert_string_equal(json_get_string(c, "lastRestartAt", ""), "2025-05-09T14:47:58.000Z");
	assert_null(json_object_get(c, "waitingFor"));
	batch[1].waits_for = NULL;
	batch[0].restart.enabled = false;
	free(r.body);
}

static void tasks_are_found_by_arn_and_by_id(void **state _unused_)
{
	struct http_reply r = control("GET", "/v1/tasks/arn:aws:ecs:r:1:task/lab/1111");

	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "\"pid\":42"));
	free(r.body);
	assert_body(control("GET", "/v1/tasks/9999"), 404, "application/json",
		    "{\"error\":\"no task, or more than one, is called '9999'\"}");
}

static void a_stop_is_handed_on(void **state _unused_)
{
	assert_body(control("POST", "/v1/tasks/arn:aws:ecs:r:1:task/lab/1111/stop"), 202,
		    "application/json", "{\"arn\":\"arn:aws:ecs:r:1:task/lab/1111\"}");
	assert_string_equal(stopped, tasks[0].arn);
	assert_body(control("GET", "/v1/tasks/1111/stop"), 405, "application/json",
		    "{\"error\":\"GET is not answered here\"}");
	assert_body(control("POST", "/v1/ps"), 405, "application/json",
		    "{\"error\":\"POST is not answered here\"}");
	free(stopped);
	stopped = NULL;
}

static void a_log_is_a_path_or_a_reason(void **state _unused_)
{
	assert_body(control("GET", "/v1/tasks/1111/containers/web/log"), 200, "application/json",
		    "{\"path\":\"/x/log.json\",\"running\":true}");
	assert_body(control("GET", "/v1/tasks/2222/containers/one/log"), 404, "application/json",
		    "{\"error\":\"container 'one' keeps no log here (log driver none)\"}");
	assert_body(control("GET", "/v1/tasks/1111/containers/x/log"), 404, "application/json",
		    "{\"error\":\"task 1111 has no container 'x'\"}");
}

static void stats_say_when_they_are_off(void **state _unused_)
{
	assert_body(control("GET", "/v1/stats"), 409, "application/json",
		    "{\"error\":\"metrics are switched off (ECS_DISABLE_METRICS)\"}");
}

/* ---- events ---- */

static void events_drop_the_oldest_whole_lines(void **state _unused_)
{
	struct events e = {};
	uint64_t cursor = 0, early = 3;
	char buf[EVENTS_BYTES_MAX + 1];
	size_t n;

	for (int i = 0; i < 10000; i++) {
		_cleanup_(json_decrefp) json_t *o = json_pack("{s:i}", "n", i);

		events_add(&e, o);
	}
	assert_true(e.text.len <= EVENTS_BYTES_MAX);
	n = events_read(&e, &cursor, buf, sizeof(buf) - 1);
	buf[n] = '\0';
	assert_int_equal(n, e.text.len);
	assert_memory_equal(buf, "{\"n\":", 5);
	assert_string_equal(buf + n - 11, "{\"n\":9999}\n");
	assert_int_equal(events_read(&e, &cursor, buf, sizeof(buf)), 0);
	assert_int_equal(events_read(&e, &early, buf, 5),
			 5); /* one that was too slow begins at a line */
	assert_memory_equal(buf, "{\"n\":", 5);
	events_done(&e);
}

static int set_up(void **state _unused_)
{
	make_tasks();
	return 0;
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(unknown_paths_list_the_commands),
		cmocka_unit_test(metadata_names_no_instance_before_registration),
		cmocka_unit_test(a_task_is_shown_with_its_bindings),
		cmocka_unit_test(a_desired_status_behind_the_known_one_is_left_out),
		cmocka_unit_test(lookups_that_fail_answer_an_empty_task),
		cmocka_unit_test(container_ids_match_up_to_twelve_digits_as_prefix),
		cmocka_unit_test(nothing_can_be_changed_through_introspection),
		cmocka_unit_test(the_licence_is_the_whole_text),
		cmocka_unit_test(metrics_show_states_sessions_and_counters),
		cmocka_unit_test(ps_shows_what_a_task_waits_for),
		cmocka_unit_test(ps_shows_what_a_container_waits_for_and_its_restarts),
		cmocka_unit_test(tasks_are_found_by_arn_and_by_id),
		cmocka_unit_test(a_stop_is_handed_on),
		cmocka_unit_test(a_log_is_a_path_or_a_reason),
		cmocka_unit_test(stats_say_when_they_are_off),
		cmocka_unit_test(events_drop_the_oldest_whole_lines),
	};

	return cmocka_run_group_tests(all, set_up, NULL);
}
