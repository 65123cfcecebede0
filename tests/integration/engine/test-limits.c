/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a task as a whole: where they stand, what they do, and what becomes of one that cannot be set. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"
#include "tests/integration/engine/world.h"

/* A runtime has many threads in the group while it starts a container. */
enum { PATIENCE_MS = 60000, PIDS = 100 };

#define FORKS "i=0; while [ $i -lt 150 ]; do sleep 100 & i=$((i+1)); done; exit 0"

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	bool clean = world_stop_all();

	world_end_agent();
	world.config.task_pids_limit = 0;
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static int run(const char *arn, const char *task_members, const char *script)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
		"\"desiredStatus\":\"RUNNING\"%s,\"containers\":[{\"name\":\"main\",\"image\":"
		"\"" IMAGE
		"\",\"essential\":true,\"stopTimeout\":1,\"command\":[\"sh\",\"-c\",\"%s\"]}]}]}",
		arn, task_members, script);

	return world_payload(text);
}

static char *group_of(const char *id)
{
	return path_join("%s/%s", cgroup_parent(), id);
}

static void assert_file(const char *controller, const char *group, const char *file,
			const char *value)
{
	_cleanup_(freep) char *dir = cgroup_controller_dir(controller, group),
			      *path = path_join("%s/%s", dir, file), *text = NULL;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL), 0);
	text[strcspn(text, "\n")] = '\0';
	assert_string_equal(text, value);
}

static void the_tasks_limits_stand_in_its_group(void **state _unused_)
{
	_cleanup_(freep) char *group = group_of("whole"), *shared = group_of("shared");

	world.config.task_pids_limit = PIDS;
	assert_int_equal(run(ARN("whole"), ",\"cpu\":0.5,\"memory\":64", "sleep 1000"), 0);
	assert_int_equal(run(ARN("shared"), "", "sleep 1000"), 0);
	assert_non_null(world_wait(ARN("whole"), "RUNNING", PATIENCE_MS));
	assert_non_null(world_wait(ARN("shared"), "RUNNING", PATIENCE_MS));
	assert_file("pids", group, "pids.max", "100");
	assert_file("pids", shared, "pids.max", "100");
	if (cgroup_mode() == CGROUP_V2) {
		assert_file("memory", group, "memory.max", "67108864");
		assert_file("cpu", group, "cpu.max", "50000 100000");
		assert_file("memory", shared, "memory.max", "max");
		assert_file("cpu", shared, "cpu.max", "max 100000");
	} else {
		assert_file("memory", group, "memory.limit_in_bytes", "67108864");
		assert_file("cpu", group, "cpu.cfs_quota_us", "50000");
		assert_file("cpu", group, "cpu.cfs_period_us", "100000");
		assert_file("cpu", shared, "cpu.cfs_quota_us", "-1");
		assert_file("cpu", shared, "cpu.shares", "2");
	}
}

static int exit_code_of(const char *arn)
{
	const json_t *r = world_wait(arn, "STOPPED", PATIENCE_MS);

	assert_non_null(r);
	return (int) json_get_int(world_container(r, 0), "exitCode", -1);
}

static void a_task_cannot_have_more_processes(void **state _unused_)
{
	assert_int_equal(run(ARN("many"), "", FORKS), 0);
	assert_int_equal(exit_code_of(ARN("many")), 0);
	world.config.task_pids_limit = PIDS;
	assert_int_equal(run(ARN("too-many"), "", FORKS), 0);
	assert_int_equal(exit_code_of(ARN("too-many")), 2); /* the shell cannot fork */
}

static void write_to(const char *dir, const char *file, const char *text)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, file);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

/* What keeps the kernel from taking the task's limits: a process in its group, or too little above it. */
static pid_t obstruct(const char *group)
{
	_cleanup_(freep) char *dir = NULL, *made = NULL;
	struct cgroup_limits none = {};
	char text[16];
	pid_t pid = 0;

	assert_int_equal(cgroup_task_create("refused", &none, &made, NULL), 0);
	if (cgroup_mode() == CGROUP_V1) {
		dir = cgroup_controller_dir("cpu", cgroup_parent());
		write_to(dir, "cpu.cfs_quota_us", "10000");
		return 0;
	}
	dir = cgroup_controller_dir("cpu", group);
	write_to(dir, "cgroup.subtree_control", "-cpu -memory -pids -io");
	pid = fork();
	if (pid == 0) {
		(void) pause();
		_exit(0);
	}
	(void) snprintf(text, sizeof(text), "%d", (int) pid);
	write_to(dir, "cgroup.procs", text);
	return pid;
}

static void clear(pid_t pid)
{
	_cleanup_(freep) char *dir = cgroup_controller_dir("cpu", cgroup_parent());

	if (cgroup_mode() == CGROUP_V1)
		write_to(dir, "cpu.cfs_quota_us", "-1");
	if (pid == 0)
		return;
	(void) kill(pid, SIGKILL);
	(void) waitpid(pid, NULL, 0);
}

static void limits_that_cannot_be_set_stop_the_task(void **state _unused_)
{
	static const char want[] = "CgroupError: Agent could not create task's platform resources";
	_cleanup_(freep) char *group = group_of("refused");
	pid_t pid = obstruct(group);
	const char *cause;
	const json_t *r;

	assert_int_equal(run(ARN("refused"), ",\"cpu\":0.5,\"memory\":64", "true"), 0);
	r = world_wait(ARN("refused"), "STOPPED", PATIENCE_MS);
	clear(pid);
	assert_non_null(r);
	assert_string_equal(json_get_string(r, "reason", ""), want);
	cause = json_get_string(world_container(r, 0), "reason", "");
	assert_memory_equal(cause, "CgroupError: ", 13);
	assert_non_null(strstr(cause, "/refused'"));
	assert_null(json_object_get(world_container(r, 0), "exitCode"));
	assert_int_equal(run(ARN("taken"), ",\"cpu\":0.5,\"memory\":64", "exit 3"), 0);
	assert_int_equal(exit_code_of(ARN("taken")), 3);
}

static bool has_swap(void)
{
	_cleanup_(freep) char *text = NULL;

	return fs_read_file(AT_FDCWD, "/proc/swaps", 65536, &text, NULL, NULL) == 0 &&
	       strchr(text, '/');
}

static int use_memory(const char *arn, const char *swap)
{
	_cleanup_(freep) char *members = path_join(
		",\"memory\":24,\"command\":[\"dd\",\"if=/dev/zero\",\"of=/dev/null\",\"bs=48M\","
		"\"count=1\"],\"dockerConfig\":{\"hostConfig\":\"{\\\"MemorySwap\\\":%s}\"}",
		swap);

	assert_int_equal(world_run(arn, members), 0);
	return exit_code_of(arn);
}

/* 48 MiB of memory where 24 are allowed. */
static void swap_is_what_the_definition_allows(void **state _unused_)
{
	if (!has_swap()) {
		print_message("# this host has no swap: nothing to try\n");
		return;
	}
	assert_int_equal(use_memory(ARN("no-swap"), "25165824"), 137);
	assert_int_equal(use_memory(ARN("some-swap"), "67108864"), 0);
	assert_int_equal(use_memory(ARN("all-swap"), "-1"), 0);
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_agent(the_tasks_limits_stand_in_its_group),
		with_agent(a_task_cannot_have_more_processes),
		with_agent(limits_that_cannot_be_set_stop_the_task),
		with_agent(swap_is_what_the_definition_allows),
	};
	int k;

	world_begin();
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY")); /* a pattern, for work on one of them */
	k = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return k;
}
