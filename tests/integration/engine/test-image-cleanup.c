/* SPDX-License-Identifier: Apache-2.0 */
/* The image of a task stays for as long as the task is there, then goes with the next clean-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "agent/engine/image-cleanup.h"
#include "agent/engine/internal.h"
#include "common/fs.h"
#include "common/strv.h"
#include "tests/integration/engine/world.h"

enum { PATIENCE_MS = 60000 };

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	world_end_agent();
	return 0;
}

static bool has_image(void)
{
	_cleanup_(image_freep) struct image *image = NULL;

	return image_store_lookup(world.engine->images, IMAGE, &image, NULL) == 0;
}

/* The last use of every image was an hour ago. */
static void let_an_hour_pass(void)
{
	_cleanup_(freep) char *dir = path_join("%s/used", world.config.image_dir);
	_cleanup_(closedirp) DIR *d = opendir(dir);
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - 3600 } };
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			assert_int_equal(utimensat(dirfd(d), e->d_name, ts, 0), 0);
}

/* Runs the clean-up to its end. @now: as at the end of an interval; else by a look at the disk. */
static void clean_up(bool now)
{
	_cleanup_(freep) char *tmp = path_join("%s/tmp/left", world.config.image_dir);

	/* What a killed pull left: it goes with every clean-up, and so tells when one ran. */
	assert_int_equal(fs_mkdir_p(tmp, 0700, NULL), 0);
	if (now)
		image_cleanup_run(world.engine->image_cleanup);
	else
		image_cleanup_check_disk(world.engine->image_cleanup, true);
	for (int i = 0; i < PATIENCE_MS / 20; i++) {
		struct stat st;

		world_turn(20);
		if (stat(tmp, &st) < 0)
			break;
	}
	world_turn(500);
}

/* More than a hundredth of the disk is used from now on. */
static void fill_disk(void)
{
	_cleanup_(freep) char *path = path_join("%s/filler", world.config.image_dir);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct statvfs v;

	assert_int_equal(fstatvfs(fd, &v), 0);
	assert_int_equal(posix_fallocate(fd, 0, (off_t) (v.f_blocks * v.f_frsize / 50)), 0);
}

static void an_image_in_use_stays(void **state _unused_)
{
	assert_int_equal(
		world_run(ARN("uses"), ",\"command\":[\"sleep\",\"1000\"],\"stopTimeout\":1"), 0);
	assert_non_null(world_wait(ARN("uses"), "RUNNING", PATIENCE_MS));
	let_an_hour_pass();
	clean_up(true);
	assert_true(has_image());
	assert_int_equal(engine_stop_task(world.engine, ARN("uses"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("uses"), "STOPPED", PATIENCE_MS));
	assert_true(world_gets_clean());
	let_an_hour_pass();
	clean_up(true); /* stopped, but not yet cleaned up */
	assert_true(has_image());
}

static void the_arguments_name_what_stays(void **state _unused_)
{
	_cleanup_(strv_freep) char **argv = NULL;

	world.config.image_exclusions = (char *) " mine:1 ,,other.example/x:2";
	argv = image_cleanup_arguments(world.engine, true);
	world.config.image_exclusions = NULL;
	assert_non_null(argv);
	assert_true(strv_contains(argv, "--keep=mine:1"));
	assert_true(strv_contains(argv, "--keep=other.example/x:2"));
	assert_true(strv_contains(argv, "--limit=5"));
	assert_true(strv_contains(argv, "--tracked"));
	assert_true(engine_task_count(world.engine) > 0);
	for (size_t i = 0; i < engine_task_count(world.engine); i++) {
		_cleanup_(freep) char *keep = path_join(
			"--keep=%s", engine_task_at(world.engine, i)->containers[0].image_id);

		assert_true(strv_contains(argv, keep));
	}
}

static void a_disk_with_room_is_left_alone(void **state _unused_)
{
	world.config.image_high_percent = 100;
	image_cleanup_check_disk(world.engine->image_cleanup, true);
	let_an_hour_pass();
	world_turn(1000);
	assert_true(has_image());
}

static void a_full_disk_costs_images_that_nobody_has(void **state _unused_)
{
	world.config.task_cleanup_wait_ms = 1;
	fill_disk();
	world.config.image_high_percent = world.config.image_low_percent = 1;
	assert_int_equal(world_run(ARN("last"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("last"), "STOPPED", PATIENCE_MS));
	let_an_hour_pass();
	for (int i = 0; i < PATIENCE_MS / 20 && engine_task_count(world.engine) > 0; i++)
		world_turn(20);
	assert_int_equal(engine_task_count(world.engine), 0);
	let_an_hour_pass(); /* it counted as used until its container was gone */
	clean_up(false);
	assert_false(has_image());
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_agent(an_image_in_use_stays),
		with_agent(the_arguments_name_what_stays),
		with_agent(a_disk_with_room_is_left_alone),
		with_agent(a_full_disk_costs_images_that_nobody_has),
	};
	int failed;

	world_begin();
	world.config.pull_behavior = PULL_DEFAULT;
	world.config.untracked_image_cleanup = true; /* the image was loaded from a file */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
