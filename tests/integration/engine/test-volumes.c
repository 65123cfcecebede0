/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes of every kind with the real runtime: what containers see, what stays, what goes. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/spawn.h"
#include "runtime/volume/mountinfo.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

#define VOLUME_IMAGE "ecs-volume-test:1"

static int shell(const char *fmt, ...) _printf_(1, 2);

static int shell(const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	char *argv[] = { (char *) "sh", (char *) "-ec", NULL, NULL };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	argv[2] = text;
	return n < 0 ? -ENOMEM : spawn_wait(argv, NULL);
}

/* The world's image once more, with /data (a file, a link, an owner, a mode) as its volume. */
static void make_volume_image(void)
{
	int k = shell(
		"cd '%s' && mkdir -p more/data/sub && cp config.json plain.json && "
		"echo from-image > more/data/file && ln -s file more/data/link && "
		"ln more/data/file more/data/hard && chown 33:44 more/data more/data/file && "
		"chmod 0750 more/data && ln -s \"$PWD/outside\" more/escape && tar -C more -cf "
		"layer/more.tar . && "
		"d=$(sha256sum layer/more.tar | cut -d' ' -f1) && "
		"sed \"s|\\\"Env\\\"|\\\"Volumes\\\":{\\\"/data\\\":{}},\\\"Env\\\"|; "
		"s|\\]},\\\"rootfs|]},\\\"rootfs|; s|\\]}}$|,\\\"sha256:$d\\\"]}}|\" "
		"plain.json > config.json && "
		"printf '[{\"Config\":\"config.json\",\"RepoTags\":[\"" VOLUME_IMAGE
		"\"],\"Layers\":[\"layer/layer.tar\",\"layer/more.tar\"]}]' > manifest.json && "
		"tar -cf volume.tar manifest.json config.json layer && "
		"'%s/ecs-image' --store '%s' --quiet load volume.tar",
		world.top, world.config.libexec_dir, world.config.image_dir);

	if (k != 0) {
		printf("Bail out! cannot make the image with a volume: %d\n", k);
		exit(1);
	}
}

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

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
	/* Cleaned up by the next run, at once. */
	world.config.task_cleanup_wait_ms = 1;
	world_start_agent();
	for (int i = 0; i < 6000 && engine_task_count(world.engine) > 0; i++)
		world_turn(10);
	clean &= engine_task_count(world.engine) == 0;
	world_end_agent();
	world.config.task_cleanup_wait_ms = 3600000;
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

/* A task whose volumes and containers' JSON is given; scripts come in as `sh -c`. */
static void run_task(const char *arn, const char *volumes, const char *containers)
{
	_cleanup_(freep) char *text =
		path_join("{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
			  "\"desiredStatus\":\"RUNNING\",\"volumes\":[%s],\"containers\":[%s]}]}",
			  arn, volumes, containers);

	(void) world_payload(text);
}

/* @id: under which the credentials of its role stand. */
static void run_task_of_role(const char *arn, const char *id, const char *volumes,
			     const char *containers)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
		"\"desiredStatus\":\"RUNNING\",\"roleCredentials\":{\"credentialsId\":\"%s\"},"
		"\"volumes\":[%s],\"containers\":[%s]}]}",
		arn, id, volumes, containers);

	(void) world_payload(text);
}

#define MAIN(script, mounts)                                                                       \
	"{\"name\":\"main\",\"image\":\"" IMAGE "\",\"essential\":true,\"stopTimeout\":1,"         \
	"\"command\":[\"sh\",\"-c\",\"" script "\"]," mounts "}"
#define MOUNT(volume, path) "{\"sourceVolume\":\"" volume "\",\"containerPath\":\"" path "\"}"
#define DOCKER(name, members)                                                                      \
	"{\"name\":\"" name "\",\"type\":\"docker\",\"dockerVolumeConfiguration\":{" members "}}"

static int exit_code_of(const char *arn)
{
	const json_t *r = world_wait(arn, "STOPPED", PATIENCE_MS);

	if (json_get_int(world_container(r, 0), "exitCode", -1) < 0)
		print_message("# %s: %s, %s\n", arn, json_get_string(r, "reason", ""),
			      json_get_string(world_container(r, 0), "reason", ""));
	return (int) json_get_int(world_container(r, 0), "exitCode", -1);
}

static bool exists(const char *fmt, ...) _printf_(1, 2);

static bool exists(const char *fmt, ...)
{
	_cleanup_(freep) char *below = NULL, *path = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&below, fmt, ap);
	va_end(ap);
	path = n < 0 ? NULL : path_join("%s/%s", world.top, below);
	return path && access(path, F_OK) == 0;
}

static size_t volumes(void)
{
	_cleanup_(freep) char *path = path_join("%s/volumes", world.config.data_dir);
	_cleanup_(closedirp) DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

static int mounts(void)
{
	_cleanup_(freep) char *path = path_join("%s/volumes", world.config.data_dir);

	return mountinfo_is_used(path, NULL);
}

/* ---- mount helpers ---- */

/* A mount(8) of the test's own, first on the PATH: notes its arguments, then does @what. */
static void fake_mount(const char *what)
{
	static char *path;
	_cleanup_(freep) char *text =
		path_join("#!/bin/sh\necho \"$@\" >> '%s/mount.args'\n%s\n", world.top, what);
	_cleanup_(freep) char *file = path_join("%s/fake/mount", world.top);

	assert_int_equal(shell("mkdir -p '%s/fake'; rm -f '%s/mount.args'", world.top, world.top),
			 0);
	assert_int_equal(fs_write_file(AT_FDCWD, file, text, strlen(text), 0755, NULL), 0);
	if (!path) {
		path = path_join("%s/fake:%s", world.top, getenv("PATH"));
		assert_int_equal(setenv("PATH", path, 1), 0);
	}
}

static void no_fake_mount(void)
{
	assert_int_equal(shell("rm -f '%s/fake/mount'", world.top), 0);
}

/* ---- what containers see ---- */

static void a_task_volume_is_shared_by_its_containers(void **state _unused_)
{
	run_task(ARN("pair"), "{\"name\":\"v\",\"host\":{}}",
		 MAIN("until [ -e /a/x ]; do sleep 0.05; done; cat /a/x; exit 7",
		      "\"mountPoints\":[" MOUNT(
			      "v", "/a") "]") ","
					      "{\"name\":\"other\",\"image\":\"" IMAGE
					      "\",\"command\":[\"sh\",\"-c\","
					      "\"echo hi > /b/c/x\"],\"mountPoints\":[" MOUNT(
						      "v", "/b/c") "]}");
	assert_int_equal(exit_code_of(ARN("pair")), 7);
	assert_int_equal(volumes(), 1);
}

static void content_of_the_image_is_copied_up(void **state _unused_)
{
	run_task(ARN("copy"), "{\"name\":\"v\",\"host\":{}}",
		 MAIN("grep -q root /etc/passwd && echo mine > /etc/mine",
		      "\"mountPoints\":[" MOUNT("v", "/etc") "]"));
	assert_int_equal(exit_code_of(ARN("copy")), 0);
	assert_int_equal(shell("cd '%s'/data/volumes/ecs-t-1-v-*/_data && grep -q root passwd && "
			       "grep -q mine mine && [ -z \"$(ls -d .ecs* 2>/dev/null)\" ]",
			       world.top),
			 0);
}

static void binds_are_not_copied_into(void **state _unused_)
{
	_cleanup_(freep) char *v =
		path_join("{\"name\":\"v\",\"host\":{\"sourcePath\":\"%s/made\"}}", world.top);

	run_task(ARN("bind"), v,
		 MAIN("[ ! -e /bin2/passwd ] && echo x > /bin2/x",
		      "\"mountPoints\":[" MOUNT("v", "/bin2") "]"));
	assert_int_equal(exit_code_of(ARN("bind")), 0);
	assert_true(exists("made/x"));
	assert_int_equal(volumes(), 0);
}

static void image_volumes_are_anonymous_and_filled(void **state _unused_)
{
	run_task(ARN("anon"), "",
		 "{\"name\":\"main\",\"image\":\"" VOLUME_IMAGE "\",\"essential\":true,"
		 "\"command\":[\"sh\",\"-c\",\"grep -q from-image /data/file && "
		 "[ $(stat -c %u:%g:%a /data) = 33:44:750 ] && [ $(stat -c %h /data/hard) = 2 ] && "
		 "[ $(readlink /data/link) = file ] && [ -d /data/sub ] && "
		 "grep -q ' /data ' /proc/self/mountinfo && exit 5\"]}");
	assert_int_equal(exit_code_of(ARN("anon")), 5);
	assert_int_equal(volumes(), 1);
}

static void a_named_volume_takes_the_place_of_the_images(void **state _unused_)
{
	run_task(ARN("named"), DOCKER("v", "\"scope\":\"task\""),
		 "{\"name\":\"main\",\"image\":\"" VOLUME_IMAGE "\",\"essential\":true,"
		 "\"mountPoints\":[" MOUNT(
			 "v",
			 "/data") "],"
				  "\"command\":[\"sh\",\"-c\",\"grep -q from-image /data/file\"]}");
	assert_int_equal(exit_code_of(ARN("named")), 0);
	assert_int_equal(volumes(), 1);
	assert_int_equal(shell("ls '%s'/data/volumes | grep -q '^ecs-t-1-v-'", world.top), 0);
}

/* Its named volume, its binds and what its image declares; the later one is given first. */
static void volumes_are_taken_from_another(void **state _unused_)
{
	run_task(
		ARN("from"), "{\"name\":\"v\",\"host\":{}}",
		MAIN("until [ -e /v/x ]; do sleep 0.05; done; ! touch /v/y && "
		     "grep -q from-image /data/file && ! touch /data/y && exit 4",
		     "\"volumesFrom\":[{\"sourceContainer\":\"other\",\"readOnly\":true}]") ","
											    "{\"nam"
											    "e\":"
											    "\"othe"
											    "r\","
											    "\"imag"
											    "e\":"
											    "\"" VOLUME_IMAGE
											    "\","
											    "\"stop"
											    "Timeou"
											    "t\":1,"
											    "\"comm"
											    "and\":"
											    "[\"sh"
											    "\",\"-"
											    "c\","
											    "\"touc"
											    "h "
											    "/v/x; "
											    "sleep "
											    "1000\""
											    "],"
											    "\"moun"
											    "tPoint"
											    "s\":"
											    "[" MOUNT(
												    "v",
												    "/v") "]}");
	assert_int_equal(exit_code_of(ARN("from")), 4);
	assert_int_equal(volumes(), 2);
}

/* The source waits for a mount; who takes its volumes waits with it, and is told why it is in vain. */
static void what_cannot_be_taken_is_called_by_name(void **state _unused_)
{
	const json_t *r;

	fake_mount("exit 32");
	run_task(ARN("vain"), DOCKER("v", "\"driverOpts\":{\"type\":\"nfs\",\"device\":\"s:/\"}"),
		 MAIN("exit 0",
		      "\"volumesFrom\":[{\"sourceContainer\":\"other\"}]") ","
									   "{\"name\":\"other\","
									   "\"image\":\"" IMAGE
									   "\",\"mountPoints\":"
									   "[" MOUNT("v",
										     "/v") "]}");
	r = world_wait(ARN("vain"), "STOPPED", PATIENCE_MS);
	assert_string_equal(json_get_string(world_container(r, 0), "reason", ""),
			    "HostConfigError: Volume target not available: other");
	no_fake_mount();
}

static void read_only_is_read_only(void **state _unused_)
{
	run_task(ARN("ro"), "{\"name\":\"v\",\"host\":{}}",
		 MAIN("! touch /a/x && touch /b/x && [ -e /a/x ]",
		      "\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":\"/a\","
		      "\"readOnly\":true}," MOUNT("v", "/b") "]"));
	assert_int_equal(exit_code_of(ARN("ro")), 0);
}

/* What is mounted below a read-only bind is read-only, too. */
static void read_only_reaches_what_is_mounted_below(void **state _unused_)
{
	_cleanup_(freep) char *v =
		path_join("{\"name\":\"v\",\"host\":{\"sourcePath\":\"%s/deep\"}}", world.top);
	_cleanup_(freep) char *sub = path_join("%s/deep/sub", world.top);

	assert_int_equal(fs_mkdir_p(sub, 0755, NULL), 0);
	assert_int_equal(mount("tmpfs", sub, "tmpfs", 0, NULL), 0);
	run_task(ARN("rro"), v,
		 MAIN("! touch /a/x && ! touch /a/sub/x",
		      "\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":\"/a\","
		      "\"readOnly\":true}]"));
	assert_int_equal(exit_code_of(ARN("rro")), 0);
	assert_int_equal(umount2(sub, MNT_DETACH), 0);
}

/* The parent is given last and mounted first. */
static void one_volume_lies_in_another(void **state _unused_)
{
	run_task(ARN("nested"), "{\"name\":\"in\",\"host\":{}},{\"name\":\"out\",\"host\":{}}",
		 MAIN("touch /o/i/deep && touch /o/flat && "
		      "[ $(grep -cE ' /o(/i)? ' /proc/self/mountinfo) = 2 ]",
		      "\"mountPoints\":[" MOUNT("in", "/o/i") "," MOUNT("out", "/o") "]"));
	assert_int_equal(exit_code_of(ARN("nested")), 0);
	assert_int_equal(
		shell("cd '%s'/data/volumes && [ -e ecs-t-1-in-*/_data/deep ] && "
		      "[ -e ecs-t-1-out-*/_data/flat ] && [ ! -e ecs-t-1-out-*/_data/i/deep ]",
		      world.top),
		0);
}

/* The image has a link to a directory of the host: what is mounted through it stays inside. */
static void links_of_the_root_do_not_lead_out(void **state _unused_)
{
	assert_int_equal(shell("mkdir -p '%s/outside'", world.top), 0);
	run_task(ARN("first"), "{\"name\":\"v\",\"host\":{}}",
		 "{\"name\":\"main\",\"image\":\"" VOLUME_IMAGE "\",\"essential\":true,"
		 "\"mountPoints\":[" MOUNT(
			 "v", "/escape/x") "],"
					   "\"command\":[\"sh\",\"-c\",\"touch /escape/x/y && "
					   "grep -q outside/x /proc/self/mountinfo\"]}");
	assert_int_equal(exit_code_of(ARN("first")), 0);
	assert_false(exists("outside/x"));
	run_task(ARN("links"), "{\"name\":\"v\",\"host\":{}}",
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/proc/self/x") "]"));
	assert_int_equal(exit_code_of(ARN("links")), -1);
	assert_non_null(
		strstr(json_get_string(world_container(world_report(ARN("links"), "STOPPED"), 0),
				       "reason", ""),
		       "is below /proc"));
}

static void options_of_the_local_driver_are_mounted(void **state _unused_)
{
	run_task(ARN("tmpfs"),
		 DOCKER("v", "\"scope\":\"task\",\"driver\":\"local\",\"driverOpts\":{\"type\":"
			     "\"tmpfs\",\"device\":\"tmpfs\",\"o\":\"size=1m,uid=77\"}"),
		 MAIN("grep -q ' /a .*tmpfs.*size=1024k' /proc/self/mountinfo && "
		      "[ $(stat -c %u /a) = 77 ] && touch /a/ok && sleep 1000",
		      "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("tmpfs"), "RUNNING", PATIENCE_MS));
	assert_int_equal(mounts(), 1);
	assert_int_equal(engine_stop_task(world.engine, ARN("tmpfs"), NULL, NULL, NULL), 0);
	(void) exit_code_of(ARN("tmpfs"));
	assert_true(world_gets_clean());
	assert_int_equal(mounts(), 0);
}

static void binds_and_mounts_of_host_config_count(void **state _unused_)
{
	_cleanup_(freep) char *c = path_join(
		MAIN("[ -e /one/f ] && ! touch /one/g && touch /two/x && "
		     "grep -q ' /three .*tmpfs.*size=64k' /proc/self/mountinfo && touch /four/y && "
		     "grep ' /five ' /proc/self/mountinfo | grep -q master:",
		     "\"dockerConfig\":{\"hostConfig\":\"{\\\"Binds\\\":[\\\"%s/src:/one:ro,z\\\","
		     "\\\"shared-two:/two:nocopy\\\",\\\"%s/src:/five:rslave\\\"],\\\"Mounts\\\":["
		     "{\\\"Type\\\":\\\"tmpfs\\\",\\\"Target\\\":\\\"/"
		     "three\\\",\\\"TmpfsOptions\\\""
		     ":{\\\"SizeBytes\\\":65536}}]}\",\"config\":\"{\\\"Volumes\\\":{\\\"/four\\\":"
		     "{}}}\"}"),
		world.top, world.top);

	assert_int_equal(shell("mkdir -p '%s/src' && touch '%s/src/f' && mount --make-rshared '%s'",
			       world.top, world.top, world.top),
			 0);
	run_task(ARN("binds"), "", c);
	assert_int_equal(exit_code_of(ARN("binds")), 0);
	assert_int_equal(shell("mount --make-rprivate '%s'", world.top), 0);
	assert_true(exists("data/volumes/shared-two/_data/x"));
	assert_int_equal(volumes(), 2); /* it and the anonymous one */
	assert_int_equal(shell("rm -rf '%s/data/volumes/shared-two'", world.top), 0);
}

/* ---- what stays, what goes ---- */

#define KEEP DOCKER("keep", "\"scope\":\"shared\",\"autoprovision\":true,\"labels\":{\"a\":\"b\"}")

static void shared_volumes_outlive_their_task(void **state _unused_)
{
	world.config.task_cleanup_wait_ms = 1;
	run_task(ARN("writes"), KEEP "," DOCKER("own", "\"scope\":\"task\""),
		 MAIN("echo kept > /a/x",
		      "\"mountPoints\":[" MOUNT("keep", "/a") "," MOUNT("own", "/b") "]"));
	assert_int_equal(exit_code_of(ARN("writes")), 0);
	for (int i = 0; i < 1000 && engine_task_count(world.engine) > 0; i++)
		world_turn(10);
	assert_int_equal(engine_task_count(world.engine), 0);
	world.config.task_cleanup_wait_ms = 3600000;
	assert_int_equal(volumes(), 1);
	(void) json_array_clear(world.reports);
	world_end_agent();
	world_start_agent(); /* leftovers are collected: this is none */
	run_task(ARN("reads"), DOCKER("keep", "\"scope\":\"shared\",\"autoprovision\":false"),
		 MAIN("grep -q kept /a/x", "\"mountPoints\":[" MOUNT("keep", "/a") "]"));
	assert_int_equal(exit_code_of(ARN("reads")), 0);
}

static const char *task_reason(const char *arn)
{
	return json_get_string(world_wait(arn, "STOPPED", PATIENCE_MS), "reason", "");
}

static const char *container_reason(const char *arn)
{
	return json_get_string(world_container(world_report(arn, "STOPPED"), 0), "reason", "");
}

static void a_shared_volume_that_is_absent_is_called_by_name(void **state _unused_)
{
	run_task(ARN("absent"), DOCKER("none", "\"scope\":\"shared\",\"autoprovision\":false"),
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("none", "/a") "]"));
	assert_string_equal(task_reason(ARN("absent")),
			    "VolumeError: Agent could not create task's volume resources");
	assert_string_equal(container_reason(ARN("absent")),
			    "CannotCreateVolumeError: initialize volume: volume detection failed, "
			    "volume 'none' does not exist and autoprovision is set to false");
	assert_false(exists("data/volumes/none"));
}

static void a_shared_volume_is_compared_when_asked_for(void **state _unused_)
{
	static const char other[] = DOCKER(
		"keep", "\"scope\":\"shared\",\"autoprovision\":true,\"labels\":{\"c\":\"d\","
			"\"a\":\"z\"}");

	run_task(ARN("same"), other, MAIN("exit 3", "\"mountPoints\":[" MOUNT("keep", "/a") "]"));
	assert_int_equal(exit_code_of(ARN("same")), 3);
	world.config.shared_volume_match = true;
	run_task(ARN("differs"), other,
		 MAIN("exit 3", "\"mountPoints\":[" MOUNT("keep", "/a") "]"));
	assert_string_equal(task_reason(ARN("differs")),
			    "VolumeError: Agent could not create task's volume resources");
	assert_string_equal(container_reason(ARN("differs")),
			    "CannotCreateVolumeError: initialize volume: non-autoprovisioned "
			    "volume does not match existing "
			    "volume labels: existing: map[a:b], expected: map[a:z c:d]");
	world.config.shared_volume_match = false;
}

/* Of a crash: a task's directory without a row goes, a stranger's stays, so does a shared one. */
static void leftovers_are_collected(void **state _unused_)
{
	world_end_agent();
	assert_int_equal(
		shell("cd '%s/data/volumes' && mkdir -p torn/_data strange/_data && "
		      "echo arn > torn/task && mkdir torn/_data/m && mount -t tmpfs none "
		      "torn/_data/m && mkdir bound bound/_data && echo arn > bound/task && "
		      "mkdir -p ../../precious && touch ../../precious/file && "
		      "mount --bind ../../precious bound/_data",
		      world.top),
		0);
	world_start_agent();
	for (int i = 0; i < 6000 && (exists("data/volumes/torn") || exists("data/volumes/bound"));
	     i++)
		world_turn(20);
	assert_false(exists("data/volumes/torn"));
	assert_false(exists("data/volumes/bound"));
	assert_true(exists("data/volumes/strange"));
	assert_int_equal(shell("rm -r '%s/data/volumes/strange'", world.top), 0);
	assert_true(exists("data/volumes/keep/_data/x"));
	for (int i = 0; i < 100; i++)
		world_turn(2); /* the trash is emptied meanwhile */
	assert_true(exists("precious/file"));
	assert_int_equal(mounts(), 0);
}

static void a_mount_survives_the_agent(void **state _unused_)
{
	run_task(ARN("adopts"),
		 DOCKER("v", "\"driverOpts\":{\"type\":\"tmpfs\",\"device\":\"tmpfs\"}"),
		 MAIN("sleep 1000", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("adopts"), "RUNNING", PATIENCE_MS));
	world_end_agent();
	assert_int_equal(mounts(), 1);
	world_start_agent();
	world_turn(50);
	assert_int_equal(mounts(), 1);
	assert_int_equal(engine_stop_task(world.engine, ARN("adopts"), NULL, NULL, NULL), 0);
	assert_int_equal(exit_code_of(ARN("adopts")), 137);
	assert_true(world_gets_clean());
	assert_int_equal(mounts(), 0);
}

/* The database is lost, the container runs on: its volume stays for as long as it does. */
static void volumes_in_use_outlive_the_database(void **state _unused_)
{
	run_task(ARN("lost"), "{\"name\":\"v\",\"host\":{}}",
		 MAIN("touch /a/x; sleep 1000", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("lost"), "RUNNING", PATIENCE_MS));
	assert_int_equal(volumes(), 2); /* it and the shared one */
	world_end_agent();
	assert_int_equal(shell("rm '%s'/data/agent.db*", world.top), 0);
	world_start_agent();
	for (int i = 0; i < 50; i++)
		world_turn(2);
	assert_int_equal(
		shell("cd '%s/data/volumes' && [ -d ecs-t-1-v-*/_data ] && [ -e keep/_data/x ]",
		      world.top),
		0);
	assert_int_equal(engine_stop_task(world.engine, ARN("lost"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("lost"), "STOPPED", PATIENCE_MS));
}

static void it_goes_with_its_task_all_the_same(void **state _unused_)
{
	assert_int_equal(volumes(), 1);
}

/* A copy that was cut is made again from the beginning; a cut move goes on. */
static void torn_copies_are_mended(void **state _unused_)
{
	assert_int_equal(
		shell("cd '%s' && n=.ecs-partial-$(uname -n) c=.ecs-complete-$(uname -n) && "
		      "mkdir -p torn1/_data/$n torn2/_data/$c/left && echo half > "
		      "torn1/_data/$n/file && "
		      "echo 1 > torn2/_data/moved && "
		      "'%s/ecs-volume' populate '%s/more' /data '%s/torn1' && "
		      "'%s/ecs-volume' populate '%s/more' /data '%s/torn2' && "
		      "grep -q from-image torn1/_data/file && [ ! -e torn1/_data/$n ] && "
		      "[ -d torn2/_data/left ] && [ -e torn2/_data/moved ] && "
		      "[ ! -e torn2/_data/file ] && [ ! -e torn2/_data/$c ]",
		      world.top, world.config.libexec_dir, world.top, world.top,
		      world.config.libexec_dir, world.top, world.top),
		0);
}

/* A mount that hangs in the kernel keeps the lock; the volume comes off all the same. */
static void the_last_resort_waits_for_nobody(void **state _unused_)
{
	assert_int_equal(
		shell("cd '%s' && mkdir -p held/_data && mount -t tmpfs none held/_data && "
		      "exec 9>held/lock && flock 9 && "
		      "! timeout 1 '%s/ecs-volume' unmount $PWD/held 9>&- && "
		      "timeout 20 '%s/ecs-volume' unmount --lazily $PWD/held 9>&- && "
		      "! grep -q held/_data /proc/self/mountinfo",
		      world.top, world.config.libexec_dir, world.config.libexec_dir),
		0);
}

#define EFS(members)                                                                               \
	"{\"name\":\"v\",\"type\":\"efs\",\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-"      \
	"12\"" members "}}"

static char *arguments(void)
{
	_cleanup_(freep) char *path = path_join("%s/mount.args", world.top);
	char *text = NULL;
	size_t len = 0;

	return fs_read_file(AT_FDCWD, path, 65536, &text, &len, NULL) < 0 ? NULL : text;
}

static void efs_is_mounted_by_its_helper(void **state _unused_)
{
	char *caps[] = { (char[]){ "efsAuth" }, NULL };
	_cleanup_(freep) char *args = NULL;

	world.config.volume_plugin_capabilities = caps;
	fake_mount("for t; do :; done; exec /bin/mount -t tmpfs none \"$t\"");
	run_task(ARN("efs"),
		 EFS(",\"rootDirectory\":\"/x\",\"transitEncryption\":\"ENABLED\","
		     "\"transitEncryptionPort\":2999,\"authorizationConfig\":{\"accessPointId\":"
		     "\"fsap-9\"}"),
		 MAIN("grep -q ' /a .* tmpfs' /proc/self/mountinfo",
		      "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_int_equal(exit_code_of(ARN("efs")), 0);
	args = arguments();
	assert_non_null(args);
	args[strcspn(args, "/")] = '\0'; /* "fs-12:/x …": the rest is the target */
	assert_string_equal(args, "-t efs -o tls,tlsport=2999,accesspoint=fsap-9 -- fs-12:");
	world.config.volume_plugin_capabilities = NULL;
	no_fake_mount();
}

static void efs_needs_the_helper_for_some_things(void **state _unused_)
{
	run_task(ARN("plain"), EFS(",\"transitEncryption\":\"ENABLED\""),
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_string_equal(task_reason(ARN("plain")),
			    "VolumeError: Agent could not create task's volume resources");
	assert_non_null(strstr(container_reason(ARN("plain")), "need amazon-efs-utils"));
	run_task(ARN("iam"),
		 EFS(",\"transitEncryption\":\"ENABLED\",\"authorizationConfig\":{\"iam\":"
		     "\"ENABLED\"}"),
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("iam"), "STOPPED", PATIENCE_MS));
	assert_non_null(strstr(container_reason(ARN("iam")),
			       "authorizationConfig: iam: the task has no role"));
	run_task_of_role(ARN("open"), "main-1",
			 EFS(",\"authorizationConfig\":{\"iam\":\"ENABLED\"}"),
			 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("open"), "STOPPED", PATIENCE_MS));
	assert_non_null(strstr(container_reason(ARN("open")),
			       "authorizationConfig: iam: transitEncryption is not ENABLED"));
}

#define EFS_BY_ROLE                                                                                \
	EFS(",\"transitEncryption\":\"ENABLED\",\"authorizationConfig\":{\"iam\":\"ENABLED\"}")

static void put_role(const char *arn, const char *id)
{
	json_auto_t *c = json_pack("{s:s, s:s, s:s}", "credentialsId", id, "accessKeyId", "A",
				   "secretAccessKey", "s");

	assert_int_equal(role_store_put(world.roles, arn, ROLE_TASK, c, NULL), 0);
}

static int start_agent_with_roles(void **state)
{
	static char name[] = "efsAuth", *caps[] = { name, NULL };

	world.config.volume_plugin_capabilities = caps;
	assert_int_equal(role_store_new(&world.roles, NULL), 0);
	return start_agent(state);
}

static int end_agent_with_roles(void **state)
{
	int k = end_agent(state);

	no_fake_mount();
	world.config.volume_plugin_capabilities = NULL;
	world.roles = role_store_free(world.roles);
	return k;
}

static void efs_is_mounted_with_the_tasks_role(void **state _unused_)
{
	static const char want[] =
		"-t efs -o tls,iam,awscredsuri=/v2/credentials/aaaa-1111 -- fs-12 /";
	_cleanup_(freep) char *args = NULL;

	fake_mount("for t; do :; done; exec /bin/mount -t tmpfs none \"$t\"");
	put_role(ARN("role"), "aaaa-1111");
	run_task_of_role(ARN("role"), "aaaa-1111", EFS_BY_ROLE,
			 MAIN("grep -q ' /a .* tmpfs' /proc/self/mountinfo",
			      "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_int_equal(exit_code_of(ARN("role")), 0);
	args = arguments();
	assert_non_null(args);
	assert_int_equal(strncmp(args, want, strlen(want)), 0);
}

static void the_helpers_words_do_not_give_the_id_away(void **state _unused_)
{
	fake_mount("echo \"not found: $4\" >&2; exit 1");
	put_role(ARN("told"), "bbbb-2222");
	run_task_of_role(ARN("told"), "bbbb-2222", EFS_BY_ROLE,
			 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_non_null(world_wait(ARN("told"), "STOPPED", PATIENCE_MS));
	assert_non_null(strstr(container_reason(ARN("told")),
			       "not found: tls,iam,awscredsuri=/v2/credentials/*********"));
	assert_null(strstr(container_reason(ARN("told")), "bbbb-2222"));
}

/* The keys are in memory only: a new agent has them again when the service has said them again. */
static void a_mount_waits_for_the_role_after_a_restart(void **state _unused_)
{
	const struct container *c = NULL;

	fake_mount("for t; do :; done; exec /bin/mount -t tmpfs none \"$t\"");
	assert_int_equal(role_store_put_pending(world.roles, ARN("late"), ROLE_TASK, "cccc", NULL),
			 0);
	run_task_of_role(ARN("late"), "cccc", EFS_BY_ROLE,
			 MAIN("grep -q ' /a .* tmpfs' /proc/self/mountinfo",
			      "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	for (int i = 0; i < 6000 && !(c && c->waits_note); i++) {
		const struct task *t = engine_find_task(world.engine, ARN("late"));

		world_turn(10);
		c = t && t->n_containers ? &t->containers[0] : NULL;
	}
	assert_true(c && c->waits_note &&
		    strstr(c->waits_note, "the credentials of its task's role"));
	world_end_agent();
	world_start_agent();
	assert_false(exists("mount.args"));
	/* In the order in which the session with the service does it. */
	assert_int_equal(
		engine_set_credentials_id(world.engine, ARN("late"), ROLE_TASK, "cccc", NULL), 0);
	put_role(ARN("late"), "cccc");
	assert_int_equal(exit_code_of(ARN("late")), 0);
	assert_true(exists("mount.args"));
}

static void what_mount_says_reaches_the_reason(void **state _unused_)
{
	const json_t *r;

	fake_mount("echo 'mount.efs: no such' >&2; echo file system >&2; exit 32");
	run_task(
		ARN("says"),
		DOCKER("v",
		       "\"driverOpts\":{\"type\":\"nfs\",\"device\":\"server:/x\",\"o\":\"soft\"}"),
		MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	r = world_wait(ARN("says"), "STOPPED", PATIENCE_MS);
	assert_non_null(strstr(json_get_string(world_container(r, 0), "reason", ""),
			       "CannotCreateContainerError: failed to mount volume ecs-t-1-v-"));
	assert_non_null(strstr(json_get_string(world_container(r, 0), "reason", ""),
			       ": mounting volume failed: mount.efs: no such file system"));
	no_fake_mount();
}

/* It hangs, and so does a child of it; both are gone when the time is up. */
static void a_server_that_hangs_delays_its_own_task_alone(void **state _unused_)
{
	const json_t *r;
	char want[96];
	int64_t begin;

	world.config.create_timeout_ms = patiently(4000);
	(void) snprintf(want, sizeof(want),
			"mounting volume failed: timed out after waiting %llds: still trying",
			(long long) world.config.create_timeout_ms / 1000);
	begin = clock_mono_ms();
	fake_mount("echo still trying >&2; sleep 4242 & sleep 4242");
	run_task(ARN("hangs"),
		 DOCKER("v", "\"driverOpts\":{\"type\":\"nfs\",\"device\":\"server:/x\"}"),
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	assert_int_equal(world_run(ARN("quick"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("quick"), "STOPPED", PATIENCE_MS));
	assert_null(world_report(ARN("hangs"), "STOPPED"));
	r = world_wait(ARN("hangs"), "STOPPED", PATIENCE_MS);
	/* The loop's clock may stand a while behind: its last turn was before the payload. */
	assert_true(clock_mono_ms() - begin >= world.config.create_timeout_ms / 2);
	assert_non_null(strstr(json_get_string(world_container(r, 0), "reason", ""), want));
	assert_int_equal(shell("! grep -lz 4242 /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | "
			       "xargs -r -n1 cat | tr '\\0' ' ' | grep -q '^sleep 4242'"),
			 0);
	world.config.create_timeout_ms = 0;
	no_fake_mount();
}

static void a_stop_does_not_wait_for_a_hung_mount(void **state _unused_)
{
	int64_t begin;

	fake_mount("exec sleep 4243");
	run_task(ARN("stuck"),
		 DOCKER("v", "\"driverOpts\":{\"type\":\"nfs\",\"device\":\"server:/x\"}"),
		 MAIN("exit 0", "\"mountPoints\":[" MOUNT("v", "/a") "]"));
	for (int i = 0; i < 6000 && !exists("mount.args"); i++)
		world_turn(10);
	begin = clock_mono_ms();
	assert_int_equal(engine_stop_task(world.engine, ARN("stuck"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("stuck"), "STOPPED", PATIENCE_MS));
	assert_true(clock_mono_ms() - begin < patiently(5000));
	no_fake_mount();
}

#define WITH_AGENT(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)
#define WITH_ROLES(f)                                                                              \
	cmocka_unit_test_setup_teardown(f, start_agent_with_roles, end_agent_with_roles)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_AGENT(a_task_volume_is_shared_by_its_containers),
		WITH_AGENT(content_of_the_image_is_copied_up),
		WITH_AGENT(binds_are_not_copied_into),
		WITH_AGENT(image_volumes_are_anonymous_and_filled),
		WITH_AGENT(a_named_volume_takes_the_place_of_the_images),
		WITH_AGENT(volumes_are_taken_from_another),
		WITH_AGENT(what_cannot_be_taken_is_called_by_name),
		WITH_AGENT(read_only_is_read_only),
		WITH_AGENT(read_only_reaches_what_is_mounted_below),
		WITH_AGENT(one_volume_lies_in_another),
		WITH_AGENT(links_of_the_root_do_not_lead_out),
		WITH_AGENT(options_of_the_local_driver_are_mounted),
		WITH_AGENT(binds_and_mounts_of_host_config_count),
		WITH_AGENT(shared_volumes_outlive_their_task),
		WITH_AGENT(a_shared_volume_that_is_absent_is_called_by_name),
		WITH_AGENT(a_shared_volume_is_compared_when_asked_for),
		WITH_AGENT(leftovers_are_collected),
		WITH_AGENT(a_mount_survives_the_agent),
		WITH_AGENT(volumes_in_use_outlive_the_database),
		WITH_AGENT(it_goes_with_its_task_all_the_same),
		cmocka_unit_test(torn_copies_are_mended),
		cmocka_unit_test(the_last_resort_waits_for_nobody),
		WITH_AGENT(efs_is_mounted_by_its_helper),
		WITH_AGENT(efs_needs_the_helper_for_some_things),
		WITH_ROLES(efs_is_mounted_with_the_tasks_role),
		WITH_ROLES(the_helpers_words_do_not_give_the_id_away),
		WITH_ROLES(a_mount_waits_for_the_role_after_a_restart),
		WITH_AGENT(what_mount_says_reaches_the_reason),
		WITH_AGENT(a_server_that_hangs_delays_its_own_task_alone),
		WITH_AGENT(a_stop_does_not_wait_for_a_hung_mount),
	};
	int failed;

	world_begin();
	make_volume_image();
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY"));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
