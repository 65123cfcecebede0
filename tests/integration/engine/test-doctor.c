/* SPDX-License-Identifier: Apache-2.0 */
/* One leftover of each kind beside a task that runs: all are found and removed, the task is not. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/engine/doctor.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/image/image.h"
#include "tests/integration/engine/world.h"

#define GHOST "dead0000dead0000dead0000dead0000dead0000dead0000dead0000dead0000"

/* To an address that nobody has: a stray port of each protocol. */
#define STRAY_TCP "tcp 39999 to 10.231.0.77:80"
#define STRAY_UDP "udp 39998 to 10.231.0.77:53"

enum { PATIENCE_MS = 60000 };

static void put(const char *dir, const char *path)
{
	_cleanup_(freep) char *full = path_join("%s/%s", dir, path);

	assert_int_equal(fs_mkdir_p(full, 0700, NULL), 0);
}

/* A process that nothing but the doctor ends. */
static pid_t haunt_cgroup(void)
{
	struct cgroup_limits none = {};
	_cleanup_(freep) char *made = NULL, *path = NULL, *dir = NULL, *procs = NULL;
	char text[16];
	pid_t pid;

	assert_int_equal(cgroup_task_create("ghost", &none, &made, NULL), 0);
	path = path_join("%s/ghost/container", cgroup_parent()); /* v2 has processes in leaves only */
	dir = cgroup_controller_dir("memory", path);
	assert_int_equal(fs_mkdir_p(dir, 0755, NULL), 0);
	procs = path_join("%s/cgroup.procs", dir);
	pid = fork();
	if (pid == 0) {
		(void) pause();
		_exit(0);
	}
	(void) snprintf(text, sizeof(text), "%d", (int) pid);
	_cleanup_(closep) int fd = open(procs, O_WRONLY | O_CLOEXEC);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	return pid;
}

static void pin_the_image(void)
{
	_cleanup_(image_freep) struct image *image = NULL;
	struct image_store *store = NULL;

	assert_int_equal(image_store_open(world.config.image_dir, &store, NULL), 0);
	assert_int_equal(image_store_lookup(store, IMAGE, &image, NULL), 0);
	assert_int_equal(image_store_pin(store, GHOST, image->id, NULL), 0);
	(void) image_store_close(store);
}

static void publish_strays(void)
{
	char *argv[] = { (char *) "nft",
			 (char *) "add element inet ecs ports {"
				  " 6 . 39999 : 10.231.0.77 . 80, 17 . 39998 : 10.231.0.77 . 53 }",
			 NULL };

	assert_int_equal(spawn_wait(argv, NULL), 0);
}

static pid_t leave_one_of_each(void)
{
	_cleanup_(freep) char *merged =
		path_join("%s/containers/" GHOST "/merged", world.config.data_dir);
	_cleanup_(freep) char *netns = NULL, *owner = NULL;

	put(world.config.run_dir, "containers/" GHOST);
	put(world.config.run_dir, "runc/" GHOST);
	put(world.config.data_dir, "containers/" GHOST "/merged");
	put(world.config.data_dir, "volumes/ghost");
	owner = path_join("%s/volumes/ghost/task", world.config.data_dir);
	assert_int_equal(fs_write_file(AT_FDCWD, owner, "x", 1, 0600, NULL), 0);
	assert_int_equal(mount("tmpfs", merged, "tmpfs", 0, NULL), 0);
	assert_int_equal(net_ns_create(world.net, GHOST, &netns, NULL), 0);
	pin_the_image();
	publish_strays();
	return haunt_cgroup();
}

static bool names(const json_t *answer, const char *kind, const char *name, bool repaired)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "leftovers"), i, o)
		if (strcmp(json_get_string(o, "kind", ""), kind) == 0 &&
		    strcmp(json_get_string(o, "name", ""), name) == 0 &&
		    json_is_true(json_object_get(o, "repaired")) == repaired)
			return true;
	return false;
}

static json_t *ask(bool repair)
{
	json_t *answer = NULL;

	assert_int_equal(engine_doctor(world.engine, repair, &answer, NULL), 0);
	return answer;
}

static void all_are_named(const json_t *answer, bool repaired)
{
	static const struct {
		const char *kind, *name;
	} all[] = {
		{ "cgroup", "ghost" },
		{ "network-namespace", GHOST },
		{ "run-directory", GHOST },
		{ "runtime-state", GHOST },
		{ "mount", GHOST },
		{ "data-directory", GHOST },
		{ "volume", "ghost" },
		{ "image-pin", GHOST },
		{ "published-port", STRAY_TCP },
		{ "published-port", STRAY_UDP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!names(answer, all[i].kind, all[i].name, repaired))
			fail_msg("%s %s is not named", all[i].kind, all[i].name);
	assert_int_equal(json_array_size(json_object_get(answer, "leftovers")), ARRAY_SIZE(all));
	assert_int_equal(json_get_int(answer, "left", -1), repaired ? 0 : (int) ARRAY_SIZE(all));
}

static void run_a_task(void)
{
	assert_int_equal(world_run(ARN("alive"), ",\"command\":[\"sleep\",\"1000\"],"
						 "\"stopTimeout\":1,\"portMappings\":[{"
						 "\"containerPort\":80}]"),
			 0);
	assert_non_null(world_wait(ARN("alive"), "RUNNING", PATIENCE_MS));
}

static void it_finds_and_removes_what_is_nobodys(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *none = NULL, *found = NULL, *repaired = NULL, *after = NULL;
	pid_t ghost, init;
	int status = 0;

	world_start_agent();
	run_a_task();
	none = ask(false);
	assert_int_equal(json_array_size(json_object_get(none, "leftovers")), 0);
	ghost = leave_one_of_each();
	found = ask(false);
	all_are_named(found, false);
	assert_int_equal(waitpid(ghost, &status, WNOHANG), 0); /* looking changes nothing */
	repaired = ask(true);
	all_are_named(repaired, true);
	assert_int_equal(waitpid(ghost, &status, 0), ghost);
	after = ask(true);
	assert_int_equal(json_array_size(json_object_get(after, "leftovers")), 0);
	init = engine_find_task(world.engine, ARN("alive"))->containers[0].pid;
	assert_int_equal(kill(init, 0), 0);
	world_end_agent();
}

/* Nothing is adopted or started: the tasks are only known. */
static void it_judges_without_a_running_agent(void **state _unused_)
{
	struct engine_params ep = { .loop = world.loop, .config = &world.config };
	_cleanup_(json_decrefp) json_t *found = NULL, *after = NULL;

	put(world.config.run_dir, "runc/" GHOST);
	publish_strays();
	assert_int_equal(store_open(world.config.data_dir, &world.store, NULL), 0);
	ep.store = world.store;
	assert_int_equal(engine_new(&ep, &world.engine, NULL), 0);
	assert_int_equal(engine_load(world.engine, NULL), 0);
	found = ask(true);
	assert_int_equal(json_array_size(json_object_get(found, "leftovers")), 3);
	assert_true(names(found, "runtime-state", GHOST, true));
	assert_true(names(found, "published-port", STRAY_TCP, true));
	assert_true(names(found, "published-port", STRAY_UDP, true));
	after = ask(false);
	assert_int_equal(json_array_size(json_object_get(after, "leftovers")), 0);
	world_end_agent();
}

static void the_task_went_on(void **state _unused_)
{
	world_start_agent();
	assert_null(world_report(ARN("alive"), "STOPPED"));
	assert_int_equal(engine_stop_task(world.engine, ARN("alive"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("alive"), "STOPPED", PATIENCE_MS));
	assert_true(world_gets_clean());
	world_end_agent();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_finds_and_removes_what_is_nobodys),
		cmocka_unit_test(it_judges_without_a_running_agent),
		cmocka_unit_test(the_task_went_on),
	};
	int failed;

	world_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
