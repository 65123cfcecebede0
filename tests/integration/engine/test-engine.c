/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with the real runtime under it: payloads in, containers, reports out, nothing left. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

/* Whatever a test began is stopped and gone before the next. */
static int end_agent(void **state _unused_)
{
	bool clean;

	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		for (int j = 0; j < 500 && engine_task_at(world.engine, i)->known != TASK_STOPPED;
		     j++)
			world_turn(20);
	clean = world_gets_clean();
	world_end_agent();
	world.config.dynamic_port_first = WORLD_PORT_FIRST;
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static const char *reason_of(const json_t *report, size_t container)
{
	return json_get_string(world_container(report, container), "reason", "");
}

static void exit_codes_are_reported(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(world_run(ARN("exit0"), ",\"command\":[\"true\"]"), 0);
	assert_int_equal(world_run(ARN("exit3"), ",\"command\":[\"sh\",\"-c\",\"exit 3\"]"), 0);
	r = world_wait(ARN("exit0"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 0);
	assert_string_equal(reason_of(r, 0), "");
	assert_non_null(json_object_get(r, "executionStoppedAt"));
	r = world_wait(ARN("exit3"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 3);
	assert_true(world_gets_clean());
}

/* Not the agent's own, which may be a billion; and what is asked for is what is given. */
static void descriptors_are_limited_as_on_ecs_hosts(void **state _unused_)
{
	static const char asked[] = ",\"command\":[\"sh\",\"-c\",\"exit $(ulimit "
				    "-n)\"],\"dockerConfig\":{\"hostConfig\":"
				    "\"{\\\"Ulimits\\\":[{\\\"Name\\\":\\\"nofile\\\",\\\"Soft\\\":"
				    "77,\\\"Hard\\\":77}]}\"}";
	struct rlimit ours = {};
	char members[256];
	const json_t *r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &ours), 0);
	(void) snprintf(members, sizeof(members),
			",\"command\":[\"sh\",\"-c\",\"[ $(ulimit -Sn) = %llu ] && [ $(ulimit -Hn) "
			"= %llu ]\"]",
			(unsigned long long) MIN(ours.rlim_max, (rlim_t) 32768),
			(unsigned long long) MIN(ours.rlim_max, (rlim_t) 65536));
	assert_int_equal(world_run(ARN("fds"), members), 0);
	r = world_wait(ARN("fds"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 0);
	assert_int_equal(world_run(ARN("fds77"), asked), 0);
	r = world_wait(ARN("fds77"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 77);
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

static void a_dynamic_port_is_reported_and_serves(void **state _unused_)
{
	const json_t *r, *b;
	bool ok = false;

	assert_int_equal(world_run(ARN("port"), ",\"portMappings\":[{\"containerPort\":80}],"
						"\"command\":[\"httpd\",\"-f\",\"-p\",\"80\","
						"\"-h\",\"/etc\"]"),
			 0);
	r = world_wait(ARN("port"), "RUNNING", PATIENCE_MS);
	assert_non_null(r);
	b = json_array_get(json_object_get(world_container(r, 0), "networkBindings"), 0);
	assert_int_equal(json_get_int(b, "containerPort", 0), 80);
	assert_string_equal(json_get_string(b, "bindIP", ""), "0.0.0.0");
	for (int i = 0; i < 3000 && !ok; i++) {
		ok = answers((int) json_get_int(b, "hostPort", 0));
		world_turn(10);
	}
	assert_true(ok);
}

static size_t restored(void)
{
	size_t i, n = 0;
	json_t *v;

	json_array_foreach(world.events, i, v)
		n += strcmp(json_get_string(v, "type", ""), "packet-filter-restored") == 0;
	return n;
}

/* As a firewall does that loads its rules anew. */
static void a_flushed_ruleset_is_noticed_and_restored(void **state _unused_)
{
	const json_t *r, *b;
	bool ok = false;

	assert_int_equal(world_run(ARN("flush"), ",\"portMappings\":[{\"containerPort\":80}],"
						 "\"command\":[\"httpd\",\"-f\",\"-p\",\"80\","
						 "\"-h\",\"/etc\"]"),
			 0);
	r = world_wait(ARN("flush"), "RUNNING", PATIENCE_MS);
	assert_non_null(r);
	b = json_array_get(json_object_get(world_container(r, 0), "networkBindings"), 0);
	assert_int_equal(restored(), 0); /* what we did ourselves is nobody else's doing */
	assert_int_equal(system("nft 'flush ruleset; add table ip other'"), 0);
	for (int i = 0; i < PATIENCE_MS / 50 && restored() == 0; i++)
		world_turn(50);
	assert_int_equal(restored(), 1);
	for (int i = 0; i < PATIENCE_MS / 50 && !ok; i++) {
		ok = answers((int) json_get_int(b, "hostPort", 0));
		world_turn(50);
	}
	assert_true(ok);
	assert_int_equal(system("nft delete table ip other"), 0);
}

static void a_fixed_port_somebody_holds_is_an_error(void **state _unused_)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(8080) };
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const json_t *r;

	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(world_run(ARN("fixed"), ",\"portMappings\":[{\"containerPort\":80,"
						 "\"hostPort\":8080}]"),
			 0);
	r = world_wait(ARN("fixed"), "STOPPED", PATIENCE_MS);
	assert_string_equal(
		reason_of(r, 0),
		"HostConfigError: error retrieving docker port map: host port 8080/tcp is "
		"in use");
}

static void a_task_waits_for_a_port_of_another(void **state _unused_)
{
	static const char members[] = ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1,"
				      "\"portMappings\":[{\"containerPort\":80,\"hostPort\":8081}]";

	assert_int_equal(world_run(ARN("first"), members), 0);
	assert_non_null(world_wait(ARN("first"), "RUNNING", PATIENCE_MS));
	assert_int_equal(world_run(ARN("second"), members), 0);
	world_turn(50);
	assert_string_equal(engine_find_task(world.engine, ARN("second"))->waiting_for,
			    "host port 8081/tcp is taken");
	assert_int_equal(engine_stop_task(world.engine, ARN("first"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("second"), "RUNNING", PATIENCE_MS));
	assert_null(engine_find_task(world.engine, ARN("second"))->waiting_for);
}

/*
 * The range has one port, which nobody had before this test, and somebody had it a moment ago: before
 * the agent's restart, too.
 */
static void a_task_waits_for_a_port_that_rests(void **state _unused_)
{
	static const char members[] = ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1,"
				      "\"portMappings\":[{\"containerPort\":80}]";
	const struct container *c;

	world_end_agent();
	world.config.dynamic_port_first = WORLD_PORT_LAST;
	world_start_agent();
	assert_int_equal(world_run(ARN("had"), members), 0);
	assert_non_null(world_wait(ARN("had"), "RUNNING", PATIENCE_MS));
	assert_int_equal(engine_stop_task(world.engine, ARN("had"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("had"), "STOPPED", PATIENCE_MS));
	for (int i = 0; i < 2; i++) {
		char arn[] = ARN("wants0");

		arn[strlen(arn) - 1] = (char) ('0' + i);
		assert_int_equal(world_run(arn, members), 0);
		world_turn(1500);
		c = &engine_find_task(world.engine, arn)->containers[0];
		assert_null(c->error_name);
		assert_string_equal(c->waits_note,
				    "a host port that has rested since its last use");
		assert_int_equal(c->known, CONTAINER_NONE);
		assert_int_equal(engine_stop_task(world.engine, arn, NULL, NULL, NULL), 0);
		assert_non_null(world_wait(arn, "STOPPED", PATIENCE_MS));
		world_end_agent();
		world_start_agent();
	}
}

static void one_stopped_before_its_pull_says_so(void **state _unused_)
{
	static const char members[] = ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1,"
				      "\"portMappings\":[{\"containerPort\":80,\"hostPort\":8082}]";
	const json_t *r;

	assert_int_equal(world_run(ARN("holds"), members), 0);
	assert_non_null(world_wait(ARN("holds"), "RUNNING", PATIENCE_MS));
	assert_int_equal(world_run(ARN("waits"), members), 0);
	assert_int_equal(engine_stop_task(world.engine, ARN("waits"), NULL, NULL, NULL), 0);
	r = world_wait(ARN("waits"), "STOPPED", PATIENCE_MS);
	assert_string_equal(reason_of(r, 0),
			    "TaskStoppedBeforePullBeginError: Task stopped before image pull could "
			    "begin for task: " ARN("waits"));
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
}

/* Namespaces are files in a directory that nobody can write to for a while. */
static void a_network_that_cannot_be_made_is_named(void **state _unused_)
{
	_cleanup_(freep) char *netns = path_join("%s/netns", world.config.run_dir);
	const json_t *r;

	assert_int_equal(mount("none", netns, "tmpfs", MS_RDONLY, NULL), 0);
	assert_int_equal(world_run(ARN("no-net"), ",\"command\":[\"true\"]"), 0);
	r = world_wait(ARN("no-net"), "STOPPED", PATIENCE_MS);
	assert_int_equal(umount(netns), 0);
	assert_non_null(r);
	assert_memory_equal(reason_of(r, 0), "ContainerNetworkingError: ", 26);
	assert_non_null(strstr(reason_of(r, 0), "Read-only file system"));
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
	assert_int_equal(world_run(ARN("net"), ",\"command\":[\"true\"]"), 0);
	r = world_wait(ARN("net"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 0);
}

static void a_stop_is_quick_when_the_container_obeys(void **state _unused_)
{
	int64_t begin;
	const json_t *r;

	assert_int_equal(
		world_run(ARN("obeys"),
			  ",\"command\":[\"sh\",\"-c\",\"trap 'exit 5' TERM; echo set; while :; do "
			  "sleep 1000 & wait; done\"]"),
		0);
	assert_non_null(world_wait(ARN("obeys"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("obeys"), "set"));
	begin = clock_mono_ns();
	assert_int_equal(engine_stop_task(world.engine, ARN("obeys"), NULL, NULL, NULL), 0);
	r = world_wait(ARN("obeys"), "STOPPED", PATIENCE_MS);
	print_message("# stop asked to STOPPED in the outbox: %.1f ms\n",
		      (double) (clock_mono_ns() - begin) / 1e6);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 5);
}

static void who_ignores_the_signal_is_killed(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(world_run(ARN("deaf"),
				   ",\"command\":[\"sh\",\"-c\",\"trap '' TERM; echo set; while :; "
				   "do sleep 1; done\"],\"stopTimeout\":1"),
			 0);
	assert_non_null(world_wait(ARN("deaf"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("deaf"), "set"));
	assert_int_equal(engine_stop_task(world.engine, ARN("deaf"), "because", NULL, NULL), 0);
	r = world_wait(ARN("deaf"), "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 137);
	assert_string_equal(json_get_string(r, "reason", ""), "because");
}

static void out_of_memory_is_called_by_name(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(
		world_run(ARN("oom"), ",\"memory\":16,\"command\":[\"tail\",\"/dev/zero\"]"), 0);
	r = world_wait(ARN("oom"), "STOPPED", PATIENCE_MS);
	assert_string_equal(reason_of(r, 0),
			    "OutOfMemoryError: Container killed due to memory usage");
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 137);
}

static void a_missing_command_is_called_by_name(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(world_run(ARN("nocmd"), ",\"command\":[\"/no/such\"]"), 0);
	r = world_wait(ARN("nocmd"), "STOPPED", PATIENCE_MS);
	assert_int_equal(strncmp(reason_of(r, 0), "CannotStartContainerError: ", 27), 0);
	assert_non_null(strstr(reason_of(r, 0), "/no/such"));
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
}

static void a_missing_image_is_called_by_name(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(world_run(ARN("noimage"), ",\"dockerConfig\":{\"config\":\"{\\\"Image\\\":"
						   "\\\"127.0.0.1:1/none:1\\\"}\"}"),
			 0);
	r = world_wait(ARN("noimage"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(strncmp(reason_of(r, 0), "CannotPull", 10), 0);
	assert_non_null(json_object_get(r, "pullStartedAt"));
}

static void a_stop_cancels_the_pull(void **state _unused_)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(5555) };
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int64_t begin;

	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0); /* a registry that never answers */
	assert_int_equal(world_run(ARN("slow"), ",\"dockerConfig\":{\"config\":\"{\\\"Image\\\":"
						"\\\"127.0.0.1:5555/slow:1\\\"}\"}"),
			 0);
	world_turn(100);
	begin = clock_mono_ms();
	assert_int_equal(engine_stop_task(world.engine, ARN("slow"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("slow"), "STOPPED", PATIENCE_MS));
	assert_true(clock_mono_ms() - begin < 4000); /* the pull would be given up after 5000 */
}

static void an_essential_end_stops_the_others(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(
		world_payload("{\"tasks\":[{\"arn\":\"" ARN(
			"two") "\",\"desiredStatus\":\"RUNNING\",\"containers\":["
			       "{\"name\":\"a\",\"image\":\"" IMAGE
			       "\",\"essential\":true,\"command\":[\"sh\",\"-c\",\"sleep 0.3; "
			       "exit 7\"]},"
			       "{\"name\":\"b\",\"image\":\"" IMAGE
			       "\",\"stopTimeout\":1,\"command\":[\"sleep\",\"1000\"]}]}]}"),
		0);
	r = world_wait(ARN("two"), "STOPPED", PATIENCE_MS);
	assert_non_null(world_report(ARN("two"), "RUNNING"));
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 7);
	assert_int_equal(json_get_int(world_container(r, 1), "exitCode", -1), 137);
}

static void a_bad_task_does_not_harm_its_neighbours(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(
		world_payload("{\"tasks\":[{\"arn\":\"" ARN(
			"bad") "\",\"desiredStatus\":\"RUNNING\",\"containers\":[{\"name\":\"a\","
			       "\"cpu\":"
			       "\"x\"}]},"
			       "{\"arn\":\"" ARN(
				       "links") "\",\"containers\":[{\"name\":\"a\",\"image\":"
						"\"i\",\"links\":[\"b\"]}]},"
						"{\"arn\":\"" ARN(
							"gone") "\",\"desiredStatus\":"
								"\"STOPPED\"},"
								"{\"arn\":\"" ARN(
									"good") "\",\"containers\":"
										"[{\"name\":\"a\","
										"\"essential\":"
										"true,\"image\":"
										"\"" IMAGE
										"\",\"command\":"
										"[\"true\"]"
										"}]}]}"),
		-EPROTO);
	r = world_wait(ARN("bad"), "STOPPED", PATIENCE_MS);
	assert_string_equal(
		json_get_string(r, "reason", ""),
		"UnrecogniedTaskError: Error loading task - containers[0]: cpu: is a string "
		"where an integer is wanted");
	r = world_wait(ARN("links"), "STOPPED", PATIENCE_MS);
	assert_string_equal(json_get_string(r, "reason", ""),
			    "resource cannot be initialized for task " ARN(
				    "links") ": could not find container for link b");
	assert_non_null(world_wait(ARN("gone"), "STOPPED", PATIENCE_MS));
	assert_non_null(world_wait(ARN("good"), "STOPPED", PATIENCE_MS));
}

static void containers_outlive_the_agent(void **state _unused_)
{
	const struct container *c;
	pid_t pid;
	const json_t *r;

	assert_int_equal(world_run(ARN("stays"),
				   ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1,"
				   "\"portMappings\":[{\"containerPort\":80}]"),
			 0);
	assert_int_equal(
		world_run(ARN("ends"), ",\"command\":[\"sh\",\"-c\",\"sleep 0.5; exit 4\"]"), 0);
	assert_non_null(world_wait(ARN("stays"), "RUNNING", PATIENCE_MS));
	assert_non_null(world_wait(ARN("ends"), "RUNNING", PATIENCE_MS));
	pid = engine_find_task(world.engine, ARN("stays"))->containers[0].pid;
	world_end_agent();
	assert_int_equal(kill(pid, 0), 0);
	(void) usleep(1000000);
	(void) json_array_clear(world.reports);

	world_start_agent();
	r = world_report(ARN("ends"), "STOPPED"); /* at once, before anything is asked */
	assert_non_null(r);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 4);
	c = &engine_find_task(world.engine, ARN("stays"))->containers[0];
	assert_int_equal(c->known, CONTAINER_RUNNING);
	assert_int_equal(c->pid, pid);
	assert_null(world_report(ARN("stays"), "RUNNING")); /* told before */
	assert_int_equal(engine_stop_task(world.engine, ARN("stays"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("stays"), "STOPPED", PATIENCE_MS));
}

/* "…/ecs-shim" among the arguments of the container's parent: /proc/PID/stat says who that is. */
static pid_t parent_of(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/stat", (int) pid), *text = NULL;
	size_t len = 0;
	const char *p;

	if (fs_read_file(AT_FDCWD, path, 4096, &text, &len, NULL) < 0)
		return 0;
	p = strrchr(text, ')');
	return p ? (pid_t) strtol(p + 3, NULL, 10) : 0;
}

/* A zombie waits for whoever inherited it and runs no more. */
static bool lives(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/stat", (int) pid), *text = NULL;
	size_t len = 0;
	const char *p;

	if (fs_read_file(AT_FDCWD, path, 4096, &text, &len, NULL) < 0)
		return false;
	p = strrchr(text, ')');
	return p && p[2] != 'Z';
}

static void a_killed_shim_takes_its_container_along(void **state _unused_)
{
	const json_t *r;
	pid_t init, shim;

	assert_int_equal(world_run(ARN("orphan"), ",\"command\":[\"sleep\",\"1000\"]"), 0);
	assert_non_null(world_wait(ARN("orphan"), "RUNNING", PATIENCE_MS));
	init = engine_find_task(world.engine, ARN("orphan"))->containers[0].pid;
	shim = parent_of(init);
	assert_true(shim > 1);
	assert_int_equal(kill(shim, SIGKILL), 0);
	r = world_wait(ARN("orphan"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(strncmp(reason_of(r, 0), "DockerStateError: ", 18), 0);
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
	assert_false(lives(init)); /* never STOPPED while a process lives */
}

static int put_text(const char *dir, const char *name, const char *text)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, name);
	_cleanup_(closep) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -EBADF;

	return fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
}

/* Whoever wipes the run directory takes the record away, not the processes. */
static void a_container_without_its_record_is_not_left_running(void **state _unused_)
{
	_cleanup_(freep) char *dir = NULL;
	const json_t *r;
	pid_t init;

	assert_int_equal(world_run(ARN("wiped"), ",\"command\":[\"sleep\",\"1000\"]"), 0);
	assert_non_null(world_wait(ARN("wiped"), "RUNNING", PATIENCE_MS));
	init = engine_find_task(world.engine, ARN("wiped"))->containers[0].pid;
	world_end_agent();
	dir = path_join("%s/containers", world.config.run_dir);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
	world_start_agent();
	r = world_wait(ARN("wiped"), "STOPPED", PATIENCE_MS);
	assert_string_equal(reason_of(r, 0),
			    "ContainerVanishedError: No container matching saved ID found");
	assert_false(lives(init));
}

/* A boot takes everything away but the disk; that it was one is told by the kernel's boot id. */
static void a_reboot_is_told_once_and_leaves_nothing(void **state _unused_)
{
	_cleanup_(freep) char *dir = NULL;
	const json_t *r;
	size_t told = 0, i;
	json_t *one;

	assert_int_equal(world_run(ARN("boot"), ",\"command\":[\"sleep\",\"1000\"],"
						"\"portMappings\":[{\"containerPort\":80}]"),
			 0);
	assert_non_null(world_wait(ARN("boot"), "RUNNING", PATIENCE_MS));
	(void) kill(parent_of(engine_find_task(world.engine, ARN("boot"))->containers[0].pid),
		    SIGKILL);
	(void) kill(engine_find_task(world.engine, ARN("boot"))->containers[0].pid, SIGKILL);
	assert_int_equal(store_put_meta(world.store, "boot-id", "another", NULL), 0);
	world_end_agent();
	dir = path_join("%s/containers", world.config.run_dir);
	assert_int_equal(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
	for (int again = 0; again < 2; again++) {
		world_start_agent();
		r = world_wait(ARN("boot"), "STOPPED", PATIENCE_MS);
		assert_non_null(strstr(reason_of(r, 0), "the host was rebooted"));
		assert_null(json_object_get(world_container(r, 0), "exitCode"));
		assert_true(world_gets_clean());
		if (again == 0)
			world_end_agent();
	}
	json_array_foreach(world.reports, i, one)
		told += strcmp(json_get_string(one, "status", ""), "STOPPED") == 0;
	assert_int_equal(told, 1);
}

/* Its ears are full: that is no reason to take it for dead, and start its container once more. */
static void a_shim_that_does_not_answer_is_not_replaced(void **state _unused_)
{
	enum { CALLERS = 40 };
	_cleanup_(freep) char *dir = NULL;
	_cleanup_(closep) int dir_fd = -EBADF;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fds[CALLERS];
	pid_t init, shim;

	assert_int_equal(world_run(ARN("noears"), ",\"command\":[\"sleep\",\"1000\"]"), 0);
	assert_non_null(world_wait(ARN("noears"), "RUNNING", PATIENCE_MS));
	init = engine_find_task(world.engine, ARN("noears"))->containers[0].pid;
	shim = parent_of(init);
	dir = path_join("%s/containers/%s", world.config.run_dir,
			engine_find_task(world.engine, ARN("noears"))->containers[0].id);
	dir_fd = open(dir, O_PATH | O_CLOEXEC);
	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/shim.sock", dir_fd);
	assert_int_equal(kill(shim, SIGSTOP), 0);
	for (int i = 0; i < CALLERS; i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void) connect(fds[i], (struct sockaddr *) &sa, sizeof(sa));
	}
	world_end_agent();
	assert_int_equal(world_try_agent(), -EAGAIN);
	world_end_agent();
	for (int i = 0; i < CALLERS; i++)
		(void) close(fds[i]);
	assert_int_equal(kill(shim, SIGCONT), 0);
	world_turn(1000);
	world_start_agent();
	assert_int_equal(engine_find_task(world.engine, ARN("noears"))->containers[0].pid, init);
	assert_true(lives(init));
}

/* A frozen process cannot be killed, as one cannot that hangs in the kernel. */
static void a_stop_while_its_last_process_lingers_is_no_dead_end(void **state _unused_)
{
	_cleanup_(freep) char *ice =
		path_join("/sys/fs/cgroup/freezer/ecs-engine-ice-%d", getpid());
	char pid[32];

	if (mkdir(ice, 0700) < 0) {
		print_message("# no freezer of cgroup version 1 to hold a process with\n");
		return;
	}
	assert_int_equal(
		world_run(ARN("ice"), ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1"), 0);
	assert_non_null(world_wait(ARN("ice"), "RUNNING", PATIENCE_MS));
	(void) snprintf(pid, sizeof(pid), "%d",
			(int) engine_find_task(world.engine, ARN("ice"))->containers[0].pid);
	assert_int_equal(put_text(ice, "cgroup.procs", pid), 0);
	assert_int_equal(put_text(ice, "freezer.state", "FROZEN"), 0);
	assert_int_equal(kill(parent_of((pid_t) strtol(pid, NULL, 10)), SIGKILL), 0);
	world_turn(50);
	assert_int_equal(engine_stop_task(world.engine, ARN("ice"), NULL, NULL, NULL), 0);
	world_turn(50);
	assert_null(world_report(ARN("ice"), "STOPPED")); /* never while a process lives */
	assert_int_equal(put_text(ice, "freezer.state", "THAWED"), 0);
	assert_non_null(world_wait(ARN("ice"), "STOPPED", 5000));
	(void) rmdir(ice);
}

static void a_full_disk_takes_no_new_tasks(void **state _unused_)
{
	_cleanup_(freep) char *full = path_join("%s/full", world.top);
	char *data = world.config.data_dir;
	const json_t *r;

	world_end_agent();
	assert_int_equal(mkdir(full, 0700), 0);
	assert_int_equal(mount("tmpfs", full, "tmpfs", 0, "size=8m"), 0);
	world.config.data_dir = full;
	world_start_agent();
	assert_int_equal(world_run(ARN("full"), ""), 0);
	r = world_wait(ARN("full"), "STOPPED", PATIENCE_MS);
	assert_non_null(
		strstr(json_get_string(r, "reason", ""), "no space left for containers in"));
	world_end_agent();
	world.config.data_dir = data;
	assert_int_equal(umount(full), 0);
	world_start_agent();
}

static void a_repeated_payload_changes_nothing(void **state _unused_)
{
	assert_int_equal(
		world_run(ARN("again"), ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1"), 0);
	assert_int_equal(world_run(ARN("again"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("again"), "RUNNING", PATIENCE_MS));
	assert_int_equal(world_run(ARN("again"), ""), 0);
	world_turn(100);
	assert_null(world_report(ARN("again"), "STOPPED"));
	assert_int_equal(world_payload("{\"tasks\":[{\"arn\":\"" ARN(
				 "again") "\",\"desiredStatus\":\"STOPPED\"}]}"),
			 0);
	assert_non_null(world_wait(ARN("again"), "STOPPED", PATIENCE_MS));
}

static int count_of(const char *marker)
{
	char *argv[] = { (char *) "sh", (char *) "-c", NULL, NULL };
	_cleanup_(freep) char *text = path_join("exit $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr "
						"'\\0' ' ' | grep -o '[s]leep %s' | wc -l)",
						marker);

	argv[2] = text;
	return spawn_wait(argv, NULL);
}

/* Killed anywhere between the payload and RUNNING, the next agent brings the task up: once. */
static void a_killed_agent_neither_loses_nor_doubles(void **state _unused_)
{
	static const int after_usec[] = { 500,   2000,  4000,  6000,  8000, 10000,
					  13000, 17000, 22000, 30000, 45000 };

	world_end_agent();
	for (size_t i = 0; i < ARRAY_SIZE(after_usec); i++) {
		char arn[128], members[128], marker[32];
		int ready[2], status;
		char byte = 0;
		pid_t pid;

		(void) snprintf(arn, sizeof(arn), ARN("kill%zu"), i);
		(void) snprintf(marker, sizeof(marker), "98%02zu7", i);
		(void) snprintf(members, sizeof(members),
				",\"command\":[\"sleep\",\"%s\"],\"stopTimeout\":1,"
				"\"portMappings\":[{\"containerPort\":80}]",
				marker);
		assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			world.loop = NULL; /* a loop does not survive a fork */
			if (sd_event_new(&world.loop) < 0)
				_exit(1);
			world_start_agent();
			if (write(ready[1], "x", 1) == 1)
				(void) world_run(arn, members);
			world_turn(60000);
			_exit(0);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		(void) usleep((useconds_t) after_usec[i]);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		(void) close(ready[0]);
		(void) close(ready[1]);

		world_start_agent();
		assert_int_equal(world_run(arn, members), 0); /* the service sends it again */
		for (int j = 0; j < 6000; j++) {
			if (engine_find_task(world.engine, arn)->known == TASK_RUNNING &&
			    count_of(marker) > 0) /* runc is done a moment before the exec is */
				break;
			world_turn(10);
		}
		assert_int_equal(engine_find_task(world.engine, arn)->known, TASK_RUNNING);
		world_turn(50);
		assert_int_equal(count_of(marker), 1);
		assert_int_equal(engine_stop_task(world.engine, arn, NULL, NULL, NULL), 0);
		assert_non_null(world_wait(arn, "STOPPED", PATIENCE_MS));
		assert_true(world_gets_clean());
		world_end_agent();
	}
	world_start_agent();
}

static void a_stopped_task_is_cleaned_up_in_time(void **state _unused_)
{
	world.config.task_cleanup_wait_ms = 1;
	assert_int_equal(world_run(ARN("brief"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("brief"), "STOPPED", PATIENCE_MS));
	for (int i = 0; i < 6000 && engine_find_task(world.engine, ARN("brief")); i++)
		world_turn(10);
	world.config.task_cleanup_wait_ms = 3600000;
	assert_null(engine_find_task(world.engine, ARN("brief")));
}

static json_t *metadata_file_of(const char *task)
{
	_cleanup_(freep) char *path = path_join("%s/metadata/%s/main/ecs-container-metadata.json",
						world.config.data_dir, task);
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;

	if (fs_read_file(AT_FDCWD, path, 1 << 20, &text, &len, NULL) < 0)
		return NULL;
	assert_non_null(strstr(text, "\n\t\"Cluster\""));
	return json_loadb(text, len, 0, NULL);
}

/* It sees the second text under the first one's name, and cannot change it; so after a restart. */
static void a_container_reads_of_itself(void **state _unused_)
{
	static const char members[] =
		",\"stopTimeout\":1,\"portMappings\":[{\"containerPort\":80}],\"command\":[\"sh\","
		"\"-c\","
		"\"f=$ECS_CONTAINER_METADATA_FILE; until grep -q READY $f; do sleep 0.05; done; "
		"echo x 2>/dev/null >$f.y || echo cannot write; "
		"until grep -q again $f; do sleep 0.05; done; echo seen ${#f}; sleep 1000\"]";
	_cleanup_(freep) char *nobodys = path_join("%s/metadata/nobody", world.config.data_dir);
	_cleanup_(freep) char *path = path_join(
		"%s/metadata/reads/main/ecs-container-metadata.json", world.config.data_dir);
	json_auto_t *first = NULL, *second = NULL;
	const struct container *c;
	char endpoint[37];

	assert_int_equal(world_run(ARN("reads"), members), 0);
	assert_non_null(world_wait(ARN("reads"), "RUNNING", PATIENCE_MS));
	assert_true(world_wait_output(ARN("reads"), "cannot write"));
	c = &engine_find_task(world.engine, ARN("reads"))->containers[0];
	(void) snprintf(endpoint, sizeof(endpoint), "%s", c->endpoint_id);
	first = metadata_file_of("reads");
	assert_string_equal(json_get_string(first, "TaskARN", ""), ARN("reads"));
	assert_string_equal(json_get_string(first, "Cluster", ""), "test");
	assert_string_equal(json_get_string(first, "ContainerName", ""), "main");
	assert_string_equal(json_get_string(first, "ContainerID", ""), c->id);
	assert_string_equal(json_get_string(first, "MetadataFileStatus", ""), "READY");
	assert_int_equal(json_get_int(json_array_get(json_object_get(first, "PortMappings"), 0),
				      "HostPort", 0),
			 c->bindings[0].host_port);
	assert_null(json_object_get(first, "HostPrivateIPv4Address"));

	/* A crash between the stages: the first one is there, and the agent comes back. */
	world_end_agent();
	assert_int_equal(fs_write_file(AT_FDCWD, path, "{\"Cluster\":\"again\"}", 19, 0644, NULL),
			 0);
	world_start_agent();
	assert_true(world_wait_output(ARN("reads"), "seen 82"));
	c = &engine_find_task(world.engine, ARN("reads"))->containers[0];
	assert_string_equal(c->endpoint_id, endpoint);
	second = metadata_file_of("reads");
	assert_string_equal(json_get_string(second, "Cluster", ""), "again");
	assert_string_equal(json_get_string(second, "ContainerID", ""), c->id);
	assert_string_equal(json_get_string(second, "MetadataFileStatus", ""), "READY");

	world.config.task_cleanup_wait_ms = 1;
	assert_int_equal(engine_stop_task(world.engine, ARN("reads"), NULL, NULL, NULL), 0);
	for (int i = 0; i < 6000 && engine_find_task(world.engine, ARN("reads")); i++)
		world_turn(10);
	world.config.task_cleanup_wait_ms = 3600000;
	assert_null(metadata_file_of("reads"));

	/* What belongs to no task goes when the agent starts. */
	assert_int_equal(mkdir(nobodys, 0700), 0);
	world_end_agent();
	world_start_agent();
	assert_int_equal(access(nobodys, F_OK), -1);
}

static size_t layers_left(void)
{
	_cleanup_(freep) char *path = path_join("%s/containers", world.config.data_dir);
	_cleanup_(closedirp) DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

static void a_task_is_known_until_its_layer_is_gone(void **state _unused_)
{
	_cleanup_(freep) char *trash = path_join("%s/trash", world.config.data_dir);
	size_t before = layers_left();

	/* A child still empties it after the last test. */
	for (int i = 0; i < 6000 && rmdir(trash) < 0 && errno != ENOENT; i++)
		world_turn(10);
	assert_int_equal(fs_write_file(AT_FDCWD, trash, "", 0, 0600, NULL), 0);
	world.config.task_cleanup_wait_ms = 1;
	assert_int_equal(world_run(ARN("kept"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("kept"), "STOPPED", PATIENCE_MS));
	world_turn(3000); /* the first try and the second */
	assert_non_null(engine_find_task(world.engine, ARN("kept")));
	assert_int_equal(layers_left(), before + 1);
	assert_int_equal(unlink(trash), 0);
	for (int i = 0; i < 6000 && engine_find_task(world.engine, ARN("kept")); i++)
		world_turn(10);
	world.config.task_cleanup_wait_ms = 3600000;
	assert_null(engine_find_task(world.engine, ARN("kept")));
	assert_int_equal(layers_left(), before);
	assert_int_equal(access(trash, F_OK), 0); /* nobody takes it from under the next one */
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* Not a test of speed: the figures are printed, the order is checked. */
static void running_follows_the_payload(void **state _unused_)
{
	double ms[20];

	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		char arn[128];
		int64_t begin = clock_mono_ns();

		(void) snprintf(arn, sizeof(arn), ARN("time%zu"), i);
		assert_int_equal(world_run(arn,
					   ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1,"
					   "\"portMappings\":[{\"containerPort\":80}]"),
				 0);
		assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
		ms[i] = (double) (clock_mono_ns() - begin) / 1e6;
		world_turn(20);
	}
	qsort(ms, ARRAY_SIZE(ms), sizeof(ms[0]), compare);
	print_message("# payload to RUNNING in the outbox: p50 %.1f ms, max %.1f ms\n",
		      ms[ARRAY_SIZE(ms) / 2], ms[ARRAY_SIZE(ms) - 1]);
}

static void a_burst_comes_up_whole(void **state _unused_)
{
	enum { N = 50 };
	_cleanup_(json_decrefp) json_t *message = json_pack("{s:[]}", "tasks");
	int64_t begin = clock_mono_ns();
	size_t up = 0;

	for (int i = 0; i < N; i++)
		(void) json_array_append_new(
			json_object_get(message, "tasks"),
			json_pack("{s:s+,s:[{s:s,s:s,s:b,s:i,s:[s,s],s:[{s:i}]}]}", "arn",
				  ARN("burst"),
				  (char[]){ (char) ('a' + i / 26), (char) ('a' + i % 26), 0 },
				  "containers", "name", "main", "image", IMAGE, "essential", 1,
				  "stopTimeout", 1, "command", "sleep", "1000", "portMappings",
				  "containerPort", 80));
	assert_int_equal(engine_on_payload(world.engine, message, NULL), 0);
	print_message("# payload of %d tasks taken after %.1f ms\n", N,
		      (double) (clock_mono_ns() - begin) / 1e6);
	for (int j = 0; j < patiently(3000) && up < N; j++) {
		world_turn(10);
		up = 0;
		for (size_t i = 0; i < engine_task_count(world.engine); i++)
			up += engine_task_at(world.engine, i)->known == TASK_RUNNING;
	}
	print_message("# all of %d running after %.1f ms\n", N,
		      (double) (clock_mono_ns() - begin) / 1e6);
	assert_int_equal(up, N);
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_agent(exit_codes_are_reported),
		with_agent(descriptors_are_limited_as_on_ecs_hosts),
		with_agent(a_dynamic_port_is_reported_and_serves),
		with_agent(a_flushed_ruleset_is_noticed_and_restored),
		with_agent(a_fixed_port_somebody_holds_is_an_error),
		with_agent(a_task_waits_for_a_port_of_another),
		with_agent(a_task_waits_for_a_port_that_rests),
		with_agent(one_stopped_before_its_pull_says_so),
		with_agent(a_network_that_cannot_be_made_is_named),
		with_agent(a_stop_is_quick_when_the_container_obeys),
		with_agent(who_ignores_the_signal_is_killed),
		with_agent(out_of_memory_is_called_by_name),
		with_agent(a_missing_command_is_called_by_name),
		with_agent(a_missing_image_is_called_by_name),
		with_agent(a_stop_cancels_the_pull),
		with_agent(an_essential_end_stops_the_others),
		with_agent(a_bad_task_does_not_harm_its_neighbours),
		with_agent(containers_outlive_the_agent),
		with_agent(a_killed_shim_takes_its_container_along),
		with_agent(a_container_without_its_record_is_not_left_running),
		with_agent(a_reboot_is_told_once_and_leaves_nothing),
		with_agent(a_shim_that_does_not_answer_is_not_replaced),
		with_agent(a_stop_while_its_last_process_lingers_is_no_dead_end),
		with_agent(a_full_disk_takes_no_new_tasks),
		with_agent(a_repeated_payload_changes_nothing),
		with_agent(a_killed_agent_neither_loses_nor_doubles),
		with_agent(a_stopped_task_is_cleaned_up_in_time),
		with_agent(a_container_reads_of_itself),
		with_agent(a_task_is_known_until_its_layer_is_gone),
		with_agent(running_follows_the_payload),
		with_agent(a_burst_comes_up_whole),
	};
	int failed;

	world_begin();
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY")); /* a pattern, for work on one of them */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
