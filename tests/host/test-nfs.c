/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes on a real NFS server, with the kernel's client. The argument is a script that exports /srv
 * as the root of a tree; it is run by tests/host/nfs.sh in a machine of its own.
 */
#include "tests/unit/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/spawn.h"
#include "runtime/volume/mountinfo.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 30000 };

#define NFS(device, o)                                                                             \
	"{\"name\":\"v\",\"type\":\"docker\",\"dockerVolumeConfiguration\":{\"driverOpts\":{"      \
	"\"type\":\"nfs\",\"device\":\"" device "\",\"o\":\"" o "\"}}}"
/* As the agent mounts EFS where there is no helper, with a name that has to be looked up. */
#define EFS_OPTIONS                                                                                \
	"addr=localhost,nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,"         \
	"noresvport"

static int shell(const char *text)
{
	return spawn_wait((char *[]){ (char *) "sh", (char *) "-ec", (char *) text, NULL }, NULL);
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
	clean = world_gets_clean();
	world_end_agent();
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static void run_task(const char *arn, const char *volume, const char *script)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
		"\"desiredStatus\":\"RUNNING\",\"volumes\":[%s],\"containers\":[{\"name\":"
		"\"main\",\"image\":\"" IMAGE "\",\"essential\":true,\"stopTimeout\":1,"
		"\"command\":[\"sh\",\"-c\",\"%s\"],\"mountPoints\":[{\"sourceVolume\":\"v\","
		"\"containerPath\":\"/v\"}]}]}]}",
		arn, volume, script);

	assert_int_equal(world_payload(text), 0);
}

static const char *reason_of(const char *arn)
{
	const json_t *r = world_wait(arn, "STOPPED", PATIENCE_MS);

	return json_get_string(world_container(r, 0), "reason", "(none)");
}

static int exit_code_of(const char *arn)
{
	const json_t *r = world_wait(arn, "STOPPED", PATIENCE_MS);
	int code = (int) json_get_int(world_container(r, 0), "exitCode", -1);

	if (code != 0)
		print_message("# %s: %s\n", arn, reason_of(arn));
	return code;
}

static void the_kernel_mounts_by_itself(void **state _unused_)
{
	run_task(ARN("kernel"), NFS(":/data", EFS_OPTIONS),
		 "grep -q served /v/file && echo written > /v/back && "
		 "grep ' /v ' /proc/self/mountinfo | grep nfs4 | grep -q vers=4.1");
	assert_int_equal(exit_code_of(ARN("kernel")), 0);
	assert_int_equal(shell("grep -q written /srv/data/back && rm /srv/data/back"), 0);
	assert_true(world_gets_clean()); /* unmounted after the last use */
}

static void the_helper_mounts_too(void **state _unused_)
{
	run_task(ARN("helper"), NFS("localhost:/data", "nfsvers=4.2"), "grep -q served /v/file");
	assert_int_equal(exit_code_of(ARN("helper")), 0);
}

static void what_the_server_has_not_is_said(void **state _unused_)
{
	run_task(ARN("nothing"), NFS(":/nothing", EFS_OPTIONS), "exit 0");
	assert_non_null(strstr(reason_of(ARN("nothing")), ": mounting volume failed: mount: "));
}

/* An empty export gets what the image has, as an empty directory of the host would. */
static void an_empty_export_is_filled(void **state _unused_)
{
	assert_int_equal(shell("rm -rf /srv/empty && mkdir /srv/empty"), 0);
	(void) world_payload("{\"tasks\":[{\"arn\":\"" ARN(
		"fill") "\",\"family\":\"t\",\"version\":\"1\","
			"\"desiredStatus\":\"RUNNING\",\"volumes\":[" NFS(
				":/empty", EFS_OPTIONS) "],\"containers\":[{\"name\":\"main\","
							"\"image\":\"" IMAGE
							"\",\"essential\":true,"
							"\"command\":[\"grep\",\"-q\",\"root\",\"/"
							"etc/passwd\"],\"mountPoints\":[{"
							"\"sourceVolume\":\"v\",\"containerPath\":"
							"\"/etc\"}]}]}]}");
	assert_int_equal(exit_code_of(ARN("fill")), 0);
	assert_int_equal(shell("grep -q root /srv/empty/passwd && ! ls -d /srv/empty/.ecs-*"), 0);
}

static void mute_server(void)
{
	assert_int_equal(shell("nft add table inet mute; nft 'add chain inet mute in { type filter "
			       "hook input priority -300; }'; nft add rule inet mute in tcp dport "
			       "2049 drop"),
			 0);
}

static int end_mute_agent(void **state)
{
	(void) shell("nft delete table inet mute");
	world.config.create_timeout_ms = 0;
	return end_agent(state);
}

/* Nothing comes back from the server: the mount is given up, others start meanwhile. */
static void a_silent_server_is_given_up(void **state _unused_)
{
	mute_server();
	world.config.create_timeout_ms = 20000;
	run_task(ARN("silent"), NFS(":/data", EFS_OPTIONS), "exit 0");
	assert_int_equal(world_run(ARN("other"), ",\"command\":[\"true\"]"), 0);
	assert_non_null(world_wait(ARN("other"), "STOPPED", PATIENCE_MS));
	assert_null(world_report(ARN("silent"), "STOPPED"));
	assert_non_null(strstr(reason_of(ARN("silent")), "timed out after waiting 20s"));
}

/* It falls silent under a running task: the task stops all the same, the mount comes off lazily. */
static void a_server_that_falls_silent_holds_nobody(void **state _unused_)
{
	bool clean = false;

	run_task(ARN("falls"), NFS(":/data", EFS_OPTIONS), "sleep 1000");
	assert_non_null(world_wait(ARN("falls"), "RUNNING", PATIENCE_MS));
	mute_server();
	assert_int_equal(engine_stop_task(world.engine, ARN("falls"), NULL, NULL, NULL), 0);
	assert_non_null(world_wait(ARN("falls"), "STOPPED", PATIENCE_MS));
	for (int i = 0; i < 1200 && !clean; i++) {
		world_turn(100);
		clean = world_is_clean();
	}
	assert_true(clean);
}

#define WITH_AGENT(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

#define WITH_MUTE(f) cmocka_unit_test_setup_teardown(f, start_agent, end_mute_agent)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_AGENT(the_kernel_mounts_by_itself),
		WITH_AGENT(the_helper_mounts_too),
		WITH_AGENT(what_the_server_has_not_is_said),
		WITH_AGENT(an_empty_export_is_filled),
		WITH_MUTE(a_silent_server_is_given_up),
		WITH_MUTE(a_server_that_falls_silent_holds_nobody),
	};
	int failed;

	if (argc != 2) {
		printf("1..0 # SKIP needs an NFS server: run it with tests/host/nfs.sh\n");
		return 77;
	}
	world_begin();
	/* Its server is in the network namespace of this test. */
	if (spawn_wait((char *[]){ (char *) "sh", argv[1], NULL }, NULL) != 0) {
		printf("Bail out! cannot start the NFS server\n");
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
