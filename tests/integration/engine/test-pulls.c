/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulls as the engine drives them: how many at a time, what they are told, when they are given up and
 * under which name. In ecs-image's place stands a script that notes how it was called and then says
 * what the test put down for that image; images are removed by the real one.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

#define DIGEST "sha256:7c12b2fe2165e177ca3b66dffe64f493f293a4ce58f2cb9acd0f1436270b578b"

enum { PATIENCE_MS = 60000, SLOTS = 3 };

/* Notes its arguments in calls/NAME, says lines/NAME, and waits until end/NAME is there. */
static const char script[] = "#!/bin/sh\n"
			     "for r in \"$@\"; do :; done\n"
			     "case \" $* \" in *' pull '*) ;; *) exec '%s' \"$@\";; esac\n"
			     "n=${r%%%%[:@]*}\n"
			     "cd '%s/pulls' || exit 1\n"
			     "echo \"$*\" > calls/.$n && mv calls/.$n calls/$n\n"
			     "[ ! -e lines/$n ] || cat lines/$n\n"
			     "while [ ! -e end/$n ] && kill -0 $PPID; do sleep 0.05; done\n";

static char *pulls; /* owned: the folder of notes */

static void make_folder(const char *name)
{
	_cleanup_(freep) char *path = path_join("%s/%s", pulls, name);

	(void) fs_remove_tree(AT_FDCWD, path, NULL);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void write_note(const char *folder, const char *name, const char *text)
{
	_cleanup_(freep) char *path = path_join("%s/%s/%s", pulls, folder, name);

	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0755, NULL), 0);
}

/* A libexec directory like the real one, but for ecs-image. */
static void make_programs(void)
{
	static const char *const names[] = { "ecs-shim", "ecs-pause", "ecs-init", "ecs-volume",
					     "ecs-unpack" };
	_cleanup_(freep) char *real = realpath(world.config.libexec_dir, NULL), *text = NULL;
	_cleanup_(freep) char *image = path_join("%s/ecs-image", real);

	pulls = path_join("%s/pulls", world.top);
	assert_int_equal(mkdir(pulls, 0755), 0);
	make_folder("libexec");
	free(world.config.libexec_dir);
	world.config.libexec_dir = path_join("%s/libexec", pulls);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(freep) char *from = path_join("%s/%s", real, names[i]);
		_cleanup_(freep) char *to = path_join("%s/%s", world.config.libexec_dir, names[i]);

		assert_int_equal(symlink(from, to), 0);
	}
	assert_true(asprintf(&text, script, image, world.top) > 0);
	write_note("libexec", "ecs-image", text);
}

static int set_up(void **state)
{
	static const char *const folders[] = { "calls", "lines", "end" };

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		make_folder(folders[i]);
	world.config.pull_behavior = PULL_ALWAYS;
	world.config.image_pulls = SLOTS;
	world.config.manifest_pull_timeout_ms = 3600000;
	world.config.image_pull_timeout_ms = 7200000;
	world.config.pull_begin_ms = 0;
	world_start_agent();
	return 0;
}

static int tear_down(void **state)
{
	(void) state;
	assert_true(world_stop_all());
	world_end_agent();
	return 0;
}

static void run(const char *id, const char *image)
{
	_cleanup_(freep) char *text =
		path_join("{\"tasks\":[{\"arn\":\"" ARN(
				  "%s") "\",\"family\":\"t\",\"version\":\"1\","
					"\"desiredStatus\":\"RUNNING\",\"containers\":[{\"name\":"
					"\"main\",\"image\":\"%s\","
					"\"essential\":true,\"command\":[\"sleep\",\"1000\"]}]}]}",
			  id, image);

	assert_int_equal(world_payload(text), 0);
}

static size_t count_calls(void)
{
	_cleanup_(freep) char *path = path_join("%s/calls", pulls);
	_cleanup_(closedirp) DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

static bool wait_for_calls(size_t n)
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (count_calls() < n && clock_mono_ms() < end)
		world_turn(10);
	return count_calls() == n;
}

static char *read_call(const char *name)
{
	_cleanup_(freep) char *path = path_join("%s/calls/%s", pulls, name);
	char *text = NULL;
	size_t len;

	assert_true(wait_for_calls(1));
	assert_int_equal(fs_read_file(AT_FDCWD, path, 4096, &text, &len, NULL), 0);
	return text;
}

/* Why the task's container did not start. */
static const char *wait_for_reason(const char *arn)
{
	const json_t *r = world_wait(arn, "STOPPED", (int) patiently(PATIENCE_MS));

	assert_non_null(r);
	return json_get_string(world_container(r, 0), "reason", "");
}

static void assert_starts_with(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("'%s' does not start with '%s'", text, start);
}

static void a_bounded_number_is_pulled_at_a_time(void **state _unused_)
{
	char name[16], arn[80], id[16];

	for (int i = 0; i < 2 * SLOTS; i++) {
		(void) snprintf(id, sizeof(id), "slot%d", i);
		(void) snprintf(name, sizeof(name), "image%d:1", i);
		run(id, name);
	}
	for (size_t n = SLOTS; n < (size_t) (2 * SLOTS); n++) {
		assert_true(wait_for_calls(n));
		world_turn(200); /* no further one begins */
		assert_int_equal(count_calls(), n);
		(void) snprintf(name, sizeof(name), "image%zu", n - SLOTS);
		write_note("end", name, "");
	}
	assert_true(wait_for_calls((size_t) (2 * SLOTS)));
	for (int i = 0; i < SLOTS; i++) {
		(void) snprintf(arn, sizeof(arn), ARN("slot%d"), i);
		assert_starts_with(wait_for_reason(arn), "CannotPullContainerError: ecs-image "
							 "ended without a result");
	}
}

static void one_that_is_not_wanted_any_more_frees_its_place(void **state _unused_)
{
	world.config.image_pulls = 1;
	run("first", "first:1");
	run("second", "second:1");
	assert_true(wait_for_calls(1));
	assert_int_equal(world_payload("{\"tasks\":[{\"arn\":\"" ARN(
				 "first") "\",\"desiredStatus\":\"STOPPED\"}]}"),
			 0);
	assert_true(wait_for_calls(2));
}

static void tasks_with_one_image_share_a_pull(void **state _unused_)
{
	_cleanup_(freep) char *call = NULL;

	run("one", "shared:1");
	run("two", "shared:1");
	call = read_call("shared");
	assert_non_null(strstr(call, " --nice 5 "));
	assert_non_null(strstr(call, " --timeout 5 "));
	assert_non_null(strstr(call, " --behavior always "));
	write_note("end", "shared", "");
	(void) wait_for_reason(ARN("one"));
	(void) wait_for_reason(ARN("two"));
	assert_int_equal(count_calls(), 1);
}

static void a_manifest_that_does_not_come_is_named(void **state _unused_)
{
	world.config.manifest_pull_timeout_ms = 200;
	run("tag", "silent:1");
	assert_starts_with(wait_for_reason(ARN("tag")),
			   "DockerTimeoutError: Could not transition to MANIFEST_PULLED; timed out "
			   "after waiting ");
}

static void a_pull_that_does_not_begin_is_named(void **state _unused_)
{
	world.config.manifest_pull_timeout_ms = 1;
	world.config.pull_begin_ms = 300;
	run("digest", "silent@" DIGEST);
	assert_starts_with(
		wait_for_reason(ARN("digest")),
		"DockerTimeoutError: Could not transition to pullBegin; timed out after waiting ");
}

static void one_that_began_has_the_whole_limit(void **state _unused_)
{
	world.config.manifest_pull_timeout_ms = 60000;
	world.config.image_pull_timeout_ms = 1500;
	write_note("lines", "slow", "{\"event\":\"resolved\",\"digest\":\"" DIGEST "\"}\n");
	run("slow", "slow:1");
	assert_string_equal(
		wait_for_reason(ARN("slow")),
		"DockerTimeoutError: Could not transition to pulled; timed out after waiting 1.5s");
}

static void one_that_stalls_is_named(void **state _unused_)
{
	write_note("lines", "stalled",
		   "{\"event\":\"resolved\",\"digest\":\"" DIGEST "\"}\n"
		   "{\"event\":\"failed\",\"kind\":\"inactive\",\"message\":\"nothing came\"}\n");
	write_note("end", "stalled", "");
	run("stalled", "stalled:1");
	assert_string_equal(wait_for_reason(ARN("stalled")),
			    "CannotPullContainerError: inactivity time exceeded timeout while "
			    "pulling image");
}

static void a_manifest_that_is_refused_is_named(void **state _unused_)
{
	write_note("lines", "refused",
		   "{\"event\":\"failed\",\"kind\":\"manifest\",\"message\":\"no such tag\"}\n");
	write_note("end", "refused", "");
	run("refused", "refused:1");
	assert_string_equal(wait_for_reason(ARN("refused")),
			    "CannotPullImageManifestError: no such tag");
}

#define REFUSED(why)                                                                               \
	"{\"event\":\"failed\",\"kind\":\"pull\",\"message\":\"pull access denied: " why "\"}\n"
#define NO_ROLE "denied: User: r is not authorized to perform: ecr:BatchGetImage on resource: i"
#define NO_ACCESS "denied: requested access to the resource is denied"

static void what_may_help_stands_before_the_message(void **state _unused_)
{
	write_note("lines", "role", REFUSED(NO_ROLE));
	write_note("lines", "access", REFUSED(NO_ACCESS));
	write_note("end", "role", "");
	write_note("end", "access", "");
	run("role", "role:1");
	run("access", "access:1");
	assert_string_equal(wait_for_reason(ARN("role")),
			    "CannotPullContainerError: The task can’t pull the image. Check that "
			    "the role has the permissions to pull images from the registry. pull "
			    "access denied: " NO_ROLE);
	assert_string_equal(
		wait_for_reason(ARN("access")),
		"CannotPullContainerError: The task can’t pull the image. Check whether "
		"the image exists. pull access denied: " NO_ACCESS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_bounded_number_is_pulled_at_a_time),
		T(one_that_is_not_wanted_any_more_frees_its_place),
		T(tasks_with_one_image_share_a_pull),
		T(a_manifest_that_does_not_come_is_named),
		T(a_pull_that_does_not_begin_is_named),
		T(one_that_began_has_the_whole_limit),
		T(one_that_stalls_is_named),
		T(a_manifest_that_is_refused_is_named),
		T(what_may_help_stands_before_the_message),
	};
	int failed;

	world_begin();
	make_programs();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(pulls);
	world_end();
	return failed;
}
