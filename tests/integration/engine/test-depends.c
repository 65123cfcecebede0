/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that wait for each other, and containers that are restarted, with the real runtime. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/world.h"

enum { PATIENCE_MS = 60000 };

static char *marks; /* a directory that every container sees as /marks */

static int start_agent(void **state _unused_)
{
	assert_int_equal(fs_mkdir_p(marks, 0777, NULL), 0);
	world_start_agent();
	return 0;
}

static void stop_everything(void)
{
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		for (int j = 0; j < 1000 && engine_task_at(world.engine, i)->known != TASK_STOPPED;
		     j++)
			world_turn(20);
}

static int end_agent(void **state _unused_)
{
	bool clean;

	stop_everything();
	clean = world_gets_clean();
	world_end_agent();
	world.config.pull_dependents_upfront = false;
	(void) json_array_clear(world.reports);
	return clean && fs_remove_tree(AT_FDCWD, marks, NULL) == 0 ? 0 : -1;
}

/* ---- helpers ---- */

#define SHELL(script) "\"command\":[\"sh\",\"-c\",\"" script "\"]"
#define UNTIL(mark) "while [ ! -e /marks/" mark " ]; do sleep 0.02; done; "
#define SAY(word) "echo " word " >> /marks/said; "
#define STAYS "trap 'exit 0' TERM; sleep 1000 & wait"
#define EDGE(name, condition)                                                                      \
	"\"dependsOn\":[{\"containerName\":\"" name "\",\"condition\":\"" condition "\"}]"

/* Gives a task of containers written as JSON members, each with what all need. */
static void run(const char *arn, const char *const containers[])
{
	_cleanup_(freep) char *text = NULL, *list = strdup("");

	for (const char *const *c = containers; *c; c++) {
		char *more = path_join("%s%s{\"image\":\"" IMAGE "\","
				       "\"mountPoints\":[{\"sourceVolume\":\"marks\","
				       "\"containerPath\":\"/marks\"}],%s}",
				       list, *list ? "," : "", *c);

		free(list);
		list = more;
	}
	text = path_join("{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
			 "\"desiredStatus\":\"RUNNING\",\"volumes\":[{\"name\":\"marks\",\"host\":"
			 "{\"sourcePath\":\"%s\"}}],\"containers\":[%s]}]}",
			 arn, marks, list);
	assert_int_equal(world_payload(text), 0);
}

static void mark(const char *name)
{
	_cleanup_(freep) char *path = path_join("%s/%s", marks, name);

	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, "", 0, 0644, NULL), 0);
}

static char *said(void)
{
	_cleanup_(freep) char *path = path_join("%s/said", marks);
	char *text = NULL;
	size_t len;

	return fs_read_file(AT_FDCWD, path, 4096, &text, &len, NULL) < 0 ? strdup("") : text;
}

static void assert_said(const char *words)
{
	_cleanup_(freep) char *text = said();

	assert_string_equal(text, words);
}

static void wait_until_said(const char *words)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	for (;;) {
		_cleanup_(freep) char *text = said();

		if (strcmp(text, words) == 0)
			return;
		if (clock_mono_ms() > end)
			fail_msg("said: %s", text);
		world_turn(10);
	}
}

static const struct container *container(const char *arn, size_t i)
{
	return &engine_find_task(world.engine, arn)->containers[i];
}

static void wait_until_known(const char *arn, size_t i, enum container_status known)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	while (container(arn, i)->known != known && clock_mono_ms() < end)
		world_turn(10);
	assert_int_equal(container(arn, i)->known, known);
}

static void wait_until_restarted(const char *arn, int count)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;
	const struct container *c = container(arn, 0);

	while ((c->restart_count != count || c->restarting || c->pid == 0) && clock_mono_ms() < end)
		world_turn(10);
	assert_int_equal(c->restart_count, count);
	assert_int_equal(c->known, CONTAINER_RUNNING);
}

static const json_t *named(const json_t *report, const char *name)
{
	size_t i;
	json_t *c;

	json_array_foreach(json_object_get(report, "containers"), i, c)
		if (strcmp(json_get_string(c, "containerName", ""), name) == 0)
			return c;
	return NULL;
}

static size_t count_reports(const char *arn, const char *status)
{
	size_t i, n = 0;
	json_t *r;

	json_array_foreach(world.reports, i, r)
		n += strcmp(json_get_string(r, "task", ""), arn) == 0 &&
		     strcmp(json_get_string(r, "status", ""), status) == 0;
	return n;
}

/* ---- dependencies ---- */

static void a_container_waits_for_the_success_of_another(void **state _unused_)
{
	char text[DEPENDS_TEXT_MAX];

	run(ARN("success"),
	    (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
				      "init", "SUCCESS") "," SHELL(SAY("web") STAYS),
			      "\"name\":\"init\"," SHELL(UNTIL("go") SAY("init")), NULL });
	wait_until_known(ARN("success"), 1, CONTAINER_RUNNING);
	wait_until_known(ARN("success"), 0, CONTAINER_MANIFEST_PULLED);
	assert_string_equal(depends_waiting_text(container(ARN("success"), 0), text),
			    "container 'init' to end with exit code 0");
	assert_true(container(ARN("success"), 0)->waits_since_ms > 0);
	assert_string_equal(container(ARN("success"), 0)->id, "");
	mark("go");
	assert_non_null(world_wait(ARN("success"), "RUNNING", PATIENCE_MS));
	wait_until_said("init\nweb\n");
	assert_null(depends_waiting_text(container(ARN("success"), 0), text));
}

static void images_can_come_before_their_turn(void **state _unused_)
{
	world.config.pull_dependents_upfront = true;
	run(ARN("upfront"),
	    (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
				      "init", "COMPLETE") "," SHELL(SAY("web") STAYS),
			      "\"name\":\"init\"," SHELL(UNTIL("go") SAY("init") "exit 9"), NULL });
	wait_until_known(ARN("upfront"), 1, CONTAINER_RUNNING);
	wait_until_known(ARN("upfront"), 0, CONTAINER_PULLED);
	assert_said("");
	mark("go");
	wait_until_said("init\nweb\n");
	assert_non_null(world_wait(ARN("upfront"), "RUNNING", PATIENCE_MS));
}

static void a_failed_dependency_is_the_reason(void **state _unused_)
{
	const json_t *r;

	run(ARN("failed"), (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
						     "init", "SUCCESS") "," SHELL(SAY("web") STAYS),
					     "\"name\":\"init\"," SHELL("exit 3"), NULL });
	r = world_wait(ARN("failed"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "web"), "exitCode", -1), 143);
	assert_int_equal(json_get_int(named(r, "init"), "exitCode", -1), 3);
	assert_string_equal(
		json_get_string(named(r, "web"), "reason", ""),
		"CannotStartContainerError: dependency graph: failed to resolve container "
		"ordering dependency [init(" IMAGE ") (STOPPED->STOPPED) - Exit: 3] for target "
		"[web(" IMAGE ") (MANIFEST_PULLED->RUNNING)] as dependency did not exit "
		"successfully.");
	assert_string_equal(json_get_string(r, "reason", "?"), "");
	assert_said("");
}

static void who_takes_too_long_is_not_waited_for(void **state _unused_)
{
	const json_t *r;

	run(ARN("slow"),
	    (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
				      "init", "COMPLETE") "," SHELL(STAYS),
			      "\"name\":\"init\",\"startTimeout\":1," SHELL(STAYS), NULL });
	r = world_wait(ARN("slow"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "web"), "exitCode", -1), 143);
	assert_non_null(strstr(json_get_string(named(r, "web"), "reason", ""),
			       "CannotStartContainerError: dependency graph: container ordering "
			       "dependency [init("));
	assert_non_null(strstr(json_get_string(named(r, "web"), "reason", ""), "has timed out."));
}

static void a_cycle_is_refused(void **state _unused_)
{
	const json_t *r;

	run(ARN("cycle"), (const char *[]){ "\"name\":\"a\"," EDGE("b", "START"),
					    "\"name\":\"b\"," EDGE("a", "HEALTHY"), NULL });
	r = world_wait(ARN("cycle"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_string_equal(json_get_string(r, "reason", ""),
			    "Task dependencies cannot be resolved, taskArn: " ARN("cycle"));
	assert_null(json_object_get(r, "containers"));
}

static void health_is_waited_for(void **state _unused_)
{
	struct container *db;

	run(ARN("healthy"), (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
						      "db", "HEALTHY") "," SHELL(SAY("web") STAYS),
					      "\"name\":\"db\"," SHELL(SAY("db") STAYS), NULL });
	wait_until_known(ARN("healthy"), 1, CONTAINER_RUNNING);
	wait_until_known(ARN("healthy"), 0, CONTAINER_MANIFEST_PULLED);
	wait_until_said("db\n");
	/* As who probes it would say so. */
	db = (struct container *) container(ARN("healthy"), 1);
	db->health.status = HEALTH_HEALTHY;
	engine_touch(world.engine, db->task);
	wait_until_said("db\nweb\n");
}

static void a_task_stops_in_the_reverse_order(void **state _unused_)
{
	run(ARN("order"),
	    (const char *[]){
		    "\"name\":\"db\",\"essential\":true,\"stopTimeout\":60," SHELL(
			    "trap '" SAY("db") "exit 0' TERM; touch /marks/db; sleep 1000 & wait"),
		    "\"name\":\"app\",\"essential\":true,\"stopTimeout\":60," EDGE(
			    "db",
			    "START") "," SHELL("trap '" UNTIL("go")
						       SAY("app") "exit 0' TERM; touch /marks/app; "
								  "sleep 1000 & wait"),
		    "\"name\":\"web\",\"essential\":true,\"stopTimeout\":60," EDGE(
			    "app",
			    "START") "," SHELL("trap '" SAY("web") "exit 0' TERM; touch "
								   "/marks/web; sleep 1000 & wait"),
		    NULL });
	assert_non_null(world_wait(ARN("order"), "RUNNING", PATIENCE_MS));
	for (const char *const *s = (const char *const[]){ "db", "app", "web", NULL }; *s; s++) {
		_cleanup_(freep) char *path = path_join("%s/%s", marks, *s);

		for (int i = 0; i < 1000 && access(path, F_OK) < 0; i++)
			world_turn(10); /* its trap is set */
	}
	assert_int_equal(engine_stop_task(world.engine, ARN("order"), NULL, NULL, NULL), 0);
	wait_until_said("web\n");
	wait_until_known(ARN("order"), 2, CONTAINER_STOPPED);
	assert_int_equal(container(ARN("order"), 0)->known, CONTAINER_RUNNING);
	mark("go");
	assert_non_null(world_wait(ARN("order"), "STOPPED", PATIENCE_MS));
	assert_said("web\napp\ndb\n");
}

static void waiting_survives_the_agent(void **state _unused_)
{
	run(ARN("again"),
	    (const char *[]){ "\"name\":\"web\",\"essential\":true," EDGE(
				      "init", "SUCCESS") "," SHELL(SAY("web") STAYS),
			      "\"name\":\"init\"," SHELL(UNTIL("go") SAY("init")), NULL });
	wait_until_known(ARN("again"), 1, CONTAINER_RUNNING);
	wait_until_known(ARN("again"), 0, CONTAINER_MANIFEST_PULLED);
	world_end_agent();
	mark("go");
	world_start_agent();
	assert_non_null(world_wait(ARN("again"), "RUNNING", PATIENCE_MS));
	wait_until_said("init\nweb\n");
}

/* ---- restarts ---- */

#define POLICY(ignored) "\"restartPolicy\":{\"enabled\":true,\"ignoredExitCodes\":[" ignored "]}"

static size_t lines_logged(const char *arn)
{
	_cleanup_(freep) char *path = engine_log_path(world.engine, container(arn, 0)),
			      *text = NULL;
	size_t len, n = 0;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &text, &len, NULL), 0);
	for (const char *p = text; (p = strstr(p, "line")); p++)
		n++;
	return n;
}

static void a_container_is_restarted_in_its_place(void **state _unused_)
{
	const struct container *c;
	const json_t *r;
	int64_t first_ms;
	char id[65];

	run(ARN("restart"),
	    (const char *[]){ "\"name\":\"job\",\"essential\":true," POLICY("42") "," SHELL(
				      SAY("run") "echo line; echo >> /layer; " UNTIL(
					      "go") "[ $(wc -l < /layer) = 3 ] && exit 42; exit 1"),
			      NULL });
	assert_non_null(world_wait(ARN("restart"), "RUNNING", PATIENCE_MS));
	c = container(ARN("restart"), 0);
	(void) snprintf(id, sizeof(id), "%s", c->id);
	first_ms = c->started_ms;
	mark("go");
	r = world_wait(ARN("restart"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "job"), "exitCode", -1), 42);
	assert_string_equal(json_get_string(named(r, "job"), "runtimeId", ""), id);
	assert_said("run\nrun\nrun\n");
	assert_int_equal(c->restart_count, 2);
	assert_true(c->last_restart_ms > 0);
	assert_true(c->started_ms > first_ms);
	assert_int_equal(lines_logged(ARN("restart")), 3);
	/* Nobody was told of the runs between. */
	assert_int_equal(count_reports(ARN("restart"), "RUNNING"), 1);
	assert_int_equal(count_reports(ARN("restart"), "STOPPED"), 1);
}

/* ---- statistics of restarts ---- */

static struct agent metered;

static void meter(void *userdata _unused_, const struct container *c)
{
	agent_meter(&metered, c);
}

static void unmeter(void *userdata _unused_, const struct container *c)
{
	agent_unmeter(&metered, c);
}

static void begin_metering(void)
{
	world.on_running = meter;
	world.on_stopped = unmeter;
	metered = (struct agent){ .config = &world.config, .loop = world.loop };
	assert_int_equal(agent_start_metering(&metered, NULL), 0);
	world_end_agent();
	world_start_agent();
}

static const struct sampled *sampled(const char *arn)
{
	return sampler_find(metered.sampler, container(arn, 0)->id);
}

static void wait_until_sampled(const char *arn)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	while (!sampled(arn) && clock_mono_ms() < end)
		world_turn(10);
	assert_non_null(sampled(arn));
}

/* The control group of the next run begins at zero; what was used before is not forgotten. */
static void statistics_count_all_runs(void **state _unused_)
{
	uint64_t used;

	begin_metering();
	run(ARN("counts"),
	    (const char *[]){ "\"name\":\"job\",\"essential\":true," POLICY("42") "," SHELL(
				      "trap 'exit 0' TERM; i=0; while [ $i -lt 50000 ]; do "
				      "i=$((i+1)); done; " SAY("burnt") "sleep 1000 & wait"),
			      NULL });
	assert_non_null(world_wait(ARN("counts"), "RUNNING", PATIENCE_MS));
	wait_until_said("burnt\n");
	sampler_tick(metered.sampler, clock_mono_ns());
	used = sampled_last(sampled(ARN("counts")))->cpu_total_ns;
	assert_true(used > 0);
	assert_int_equal(kill(container(ARN("counts"), 0)->pid, SIGKILL), 0);
	wait_until_restarted(ARN("counts"), 1);
	wait_until_sampled(ARN("counts"));
	assert_true(sampled_past(sampled(ARN("counts")))->cpu_total_ns >= used);
	assert_true(sampled_last(sampled(ARN("counts")))->cpu_total_ns >= used);
	assert_int_equal(sampled_restarts(sampled(ARN("counts"))), 1);

	agent_stop_metering(&metered);
	begin_metering(); /* another agent finds it running, once its shim has said so */
	wait_until_sampled(ARN("counts"));
	assert_true(sampled_past(sampled(ARN("counts")))->cpu_total_ns >= used);
	assert_true(sampled_last(sampled(ARN("counts")))->cpu_total_ns >= used);
	assert_true(world_stop_all());
	agent_stop_metering(&metered);
	world.on_running = world.on_stopped = NULL;
}

/* What it has from others is there in the next run, too: a volume, the namespaces of its task. */
static void its_volumes_and_namespaces_stay(void **state _unused_)
{
	static const char text[] = "{\"tasks\":[{\"arn\":\"" ARN(
		"keeps") "\",\"family\":\"t\",\"desiredStatus\":"
			 "\"RUNNING\",\"pidMode\":\"task\",\"volumes\":[{\"name\":\"v\",\"type\":"
			 "\"docker\",\"dockerVolumeConfiguration\":{\"driverOpts\":{\"type\":"
			 "\"tmpfs\","
			 "\"device\":\"tmpfs\",\"o\":\"size=1m\"}}}],\"containers\":[{\"name\":"
			 "\"job\","
			 "\"image\":\"" IMAGE "\",\"essential\":true," POLICY(
				 "42") ","
				       "\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":"
				       "\"/v\"}]," SHELL("[ $$ != 1 ] || exit 42; echo >> /v/n; "
							 "[ $(wc -l < /v/n) = 3 ] && exit 42; exit "
							 "1") "}]}]}";
	const json_t *r;

	assert_int_equal(world_payload(text), 0);
	r = world_wait(ARN("keeps"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "job"), "exitCode", -1), 42);
	assert_int_equal(container(ARN("keeps"), 0)->restart_count, 2);
}

static bool answers(int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[64] = "";

	(void) inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
	return connect(fd, (struct sockaddr *) &sa, sizeof(sa)) == 0 &&
	       write(fd, "GET /passwd HTTP/1.0\r\n\r\n", 24) == 24 &&
	       read(fd, text, sizeof(text) - 1) > 0 && strncmp(text, "HTTP/", 5) == 0;
}

static void wait_until_it_answers(int port)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;
	bool ok;

	while (!(ok = answers(port)) && clock_mono_ms() < end)
		world_turn(10);
	assert_true(ok);
}

/* With another agent between the runs, too, which has to find all of it again. */
static void its_address_and_ports_stay(void **state _unused_)
{
	const struct container *c;
	struct in_addr address;
	int port;

	run(ARN("ports"),
	    (const char *[]){ "\"name\":\"web\",\"essential\":true," POLICY(
				      "") ","
					  "\"portMappings\":[{\"containerPort\":80}],\"command\":"
					  "[\"httpd\",\"-f\",\"-p\",\"80\",\"-h\",\"/etc\"]",
			      NULL });
	assert_non_null(world_wait(ARN("ports"), "RUNNING", PATIENCE_MS));
	c = container(ARN("ports"), 0);
	address = c->address;
	port = c->bindings[0].host_port;
	wait_until_it_answers(port);
	for (int n = 1; n <= 2; n++) {
		assert_int_equal(kill(c->pid, SIGKILL), 0);
		wait_until_restarted(ARN("ports"), n);
		assert_int_equal(c->address.s_addr, address.s_addr);
		assert_int_equal(c->bindings[0].host_port, port);
		wait_until_it_answers(port);
		world_end_agent();
		world_start_agent();
		c = container(ARN("ports"), 0);
		assert_int_equal(c->restart_count, n);
		assert_true(c->last_restart_ms > 0);
	}
	assert_int_equal(count_reports(ARN("ports"), "STOPPED"), 0);
}

#define RUNS_ON "\"name\":\"job\",\"essential\":true," POLICY("") "," SHELL(SAY("run") STAYS)

/* Nobody was there when it ended: the next agent restarts it. */
static void an_end_without_an_agent_is_made_up_for(void **state _unused_)
{
	run(ARN("alone"), (const char *[]){ RUNS_ON, NULL });
	assert_non_null(world_wait(ARN("alone"), "RUNNING", PATIENCE_MS));
	wait_until_said("run\n");
	pid_t pid = container(ARN("alone"), 0)->pid;
	world_end_agent();
	assert_int_equal(kill(pid, SIGKILL), 0);
	world_start_agent();
	wait_until_restarted(ARN("alone"), 1);
	wait_until_said("run\nrun\n");
	assert_false(container(ARN("alone"), 0)->has_exit_code);
}

/* Its container ends while no agent runs, and all that its shim had to do is done. */
static void kill_without_agent(const char *arn)
{
	_cleanup_(freep) char *dir = container_run_dir(container(arn, 0));
	int64_t end = clock_mono_ms() + PATIENCE_MS;
	pid_t pid = container(arn, 0)->pid;

	world_end_agent();
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (shim_is_alive(dir) && clock_mono_ms() < end)
		(void) usleep(1000);
	assert_false(shim_is_alive(dir));
}

static void change_rows(const char *sql)
{
	_cleanup_(freep) char *path = path_join("%s/agent.db", world.config.data_dir);
	char *why = NULL;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	assert_int_equal(sqlite3_changes(db), 1);
	(void) sqlite3_close(db);
}

/* The agent ended after the restart was written down and before it was made: made once, counted once. */
static void a_restart_that_was_written_down_is_made_once(void **state _unused_)
{
	run(ARN("intent"), (const char *[]){ RUNS_ON, NULL });
	assert_non_null(world_wait(ARN("intent"), "RUNNING", PATIENCE_MS));
	wait_until_said("run\n");
	kill_without_agent(ARN("intent"));
	change_rows("UPDATE containers SET restarting = 1, restart_count = 1,"
		    " last_restart_ms = started_ms + 1, finished_ms = started_ms + 1,"
		    " exit_code = 137 WHERE task_arn LIKE '%/intent'");
	world_start_agent();
	wait_until_restarted(ARN("intent"), 1);
	wait_until_said("run\nrun\n");
	world_end_agent(); /* and the run that was made is found again, not made anew */
	world_start_agent();
	wait_until_restarted(ARN("intent"), 1);
	assert_said("run\nrun\n");
}

/* … and when the task is no longer wanted, it is not made at all. */
static void a_restart_nobody_wants_any_more_is_not_made(void **state _unused_)
{
	const json_t *r;

	run(ARN("unwanted"), (const char *[]){ RUNS_ON, NULL });
	assert_non_null(world_wait(ARN("unwanted"), "RUNNING", PATIENCE_MS));
	wait_until_said("run\n");
	kill_without_agent(ARN("unwanted"));
	change_rows("UPDATE containers SET restarting = 1, restart_count = 1,"
		    " last_restart_ms = started_ms + 1, finished_ms = started_ms + 1,"
		    " exit_code = 137 WHERE task_arn LIKE '%/unwanted'");
	change_rows("UPDATE tasks SET desired = 4 WHERE arn LIKE '%/unwanted'");
	world_start_agent();
	r = world_wait(ARN("unwanted"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "job"), "exitCode", -1), 137);
	assert_said("run\n");
	assert_int_equal(container(ARN("unwanted"), 0)->restart_count, 0);
}

static void a_restart_that_fails_leaves_the_end_as_it_was(void **state _unused_)
{
	_cleanup_(freep) char *source = path_join("%s/source", marks), *text = NULL;
	const json_t *r;

	text = path_join(
		"{\"tasks\":[{\"arn\":\"" ARN(
			"nofail") "\",\"family\":\"t\","
				  "\"desiredStatus\":\"RUNNING\",\"volumes\":[{\"name\":"
				  "\"v\",\"host\":"
				  "{\"sourcePath\":\"%s\"}}],\"containers\":[{\"name\":"
				  "\"job\",\"image\":\"" IMAGE "\",\"essential\":true," POLICY(
					  "") ","
					      "\"mountPoints\":[{\"sourceVolume\":\"v\","
					      "\"containerPath\":\"/data\"}],\"stopTimeout\":1,"
					      "\"command\":[\"sleep\",\"1000\"]}]}]}",
		source);
	assert_int_equal(world_payload(text), 0);
	assert_non_null(world_wait(ARN("nofail"), "RUNNING", PATIENCE_MS));
	/* A file can be mounted on no directory. */
	assert_int_equal(rmdir(source), 0);
	assert_int_equal(fs_write_file_volatile(AT_FDCWD, source, "", 0, 0644, NULL), 0);
	assert_int_equal(kill(container(ARN("nofail"), 0)->pid, SIGKILL), 0);
	r = world_wait(ARN("nofail"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(named(r, "job"), "exitCode", -1), 137);
	assert_int_equal(container(ARN("nofail"), 0)->restart_count, 1);
}

static void a_stop_ends_the_restarts(void **state _unused_)
{
	run(ARN("stop"), (const char *[]){ "\"name\":\"job\",\"essential\":true," POLICY(
						   "") "," SHELL(SAY("run") STAYS),
					   NULL });
	assert_non_null(world_wait(ARN("stop"), "RUNNING", PATIENCE_MS));
	wait_until_said("run\n");
	assert_int_equal(kill(container(ARN("stop"), 0)->pid, SIGKILL), 0);
	assert_int_equal(engine_stop_task(world.engine, ARN("stop"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("stop"), "STOPPED", PATIENCE_MS));
	assert_true(container(ARN("stop"), 0)->restart_count <= 1);
}

/* A crash loop without a period is held back by nothing but the runtime, and must still stop. */
static void a_crash_loop_can_be_stopped(void **state _unused_)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	run(ARN("loop"),
	    (const char *[]){ "\"name\":\"job\",\"essential\":true," POLICY("") "," SHELL("exit 1"),
			      NULL });
	assert_non_null(world_wait(ARN("loop"), "RUNNING", PATIENCE_MS));
	while (container(ARN("loop"), 0)->restart_count < 5 && clock_mono_ms() < end)
		world_turn(10);
	assert_true(container(ARN("loop"), 0)->restart_count >= 5);
	assert_int_equal(engine_stop_task(world.engine, ARN("loop"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("loop"), "STOPPED", PATIENCE_MS));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_container_waits_for_the_success_of_another),
		TEST(images_can_come_before_their_turn),
		TEST(a_failed_dependency_is_the_reason),
		TEST(who_takes_too_long_is_not_waited_for),
		TEST(a_cycle_is_refused),
		TEST(health_is_waited_for),
		TEST(a_task_stops_in_the_reverse_order),
		TEST(waiting_survives_the_agent),
		TEST(a_container_is_restarted_in_its_place),
		TEST(its_volumes_and_namespaces_stay),
		TEST(its_address_and_ports_stay),
		TEST(an_end_without_an_agent_is_made_up_for),
		TEST(a_restart_that_was_written_down_is_made_once),
		TEST(statistics_count_all_runs),
		TEST(a_restart_nobody_wants_any_more_is_not_made),
		TEST(a_restart_that_fails_leaves_the_end_as_it_was),
		TEST(a_stop_ends_the_restarts),
		TEST(a_crash_loop_can_be_stopped),
	};
	int failed;

	world_begin();
	world.config.stop_timeout_ms = 1000;
	marks = path_join("%s/marks", world.top);
	failed = !marks || cmocka_run_group_tests(tests, NULL, NULL) != 0;
	free(marks);
	world_end();
	return failed;
}
