/* SPDX-License-Identifier: Apache-2.0 */
/* Task definitions that become payloads: what the engine makes of them, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/engine/payload.h"
#include "agent/localtask/localtask.h"
#include "common/cleanup.h"
#include "tests/unit/test.h"

static const char whole[] =
	"{\"name\":\"t1\",\"remove\":true,\"overrides\":{\"containerOverrides\":[{\"name\":\"web\","
	"\"command\":[\"x\"],\"environment\":[{\"name\":\"A\",\"value\":\"2\"}]}]},"
	"\"taskDefinition\":{\"family\":\"f\",\"cpu\":\"512\",\"memory\":\"0.5 "
	"GB\",\"pidMode\":\"task\","
	"\"networkMode\":\"bridge\",\"tags\":[{\"key\":\"k\",\"value\":\"v\"}],"
	"\"volumes\":[{\"name\":\"h\",\"host\":{\"sourcePath\":\"/srv\"}},{\"name\":\"d\","
	"\"dockerVolumeConfiguration\":{\"scope\":\"shared\",\"autoprovision\":true}}],"
	"\"containerDefinitions\":[{\"name\":\"web\",\"image\":\"i\",\"cpu\":10,\"memory\":64,"
	"\"memoryReservation\":32,\"essential\":false,\"command\":[\"a\"],\"entryPoint\":[\"e\"],"
	"\"environment\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"3\"}],"
	"\"portMappings\":[{\"containerPort\":80,\"hostPort\":8080,\"protocol\":\"udp\",\"name\":"
	"\"p\"}],"
	"\"mountPoints\":[{\"sourceVolume\":\"h\",\"containerPath\":\"/h\",\"readOnly\":true}],"
	"\"user\":\"u\",\"workingDirectory\":\"/w\",\"hostname\":\"n\",\"privileged\":true,"
	"\"readonlyRootFilesystem\":true,\"dnsServers\":[\"9.9.9.9\"],\"stopTimeout\":7,"
	"\"extraHosts\":[{\"hostname\":\"a\",\"ipAddress\":\"10.0.0.1\"}],"
	"\"ulimits\":[{\"name\":\"nofile\",\"softLimit\":5,\"hardLimit\":6}],"
	"\"systemControls\":[{\"namespace\":\"net.core.somaxconn\",\"value\":\"9\"}],"
	"\"logConfiguration\":{\"logDriver\":\"json-file\",\"options\":{\"max-size\":\"10m\"}},"
	"\"healthCheck\":{\"command\":[\"CMD\",\"true\"],\"interval\":9},"
	"\"restartPolicy\":{\"enabled\":true},"
	"\"linuxParameters\":{\"initProcessEnabled\":true,\"sharedMemorySize\":8,\"maxSwap\":16,"
	"\"capabilities\":{\"add\":[\"SYS_TIME\"],\"drop\":[\"CHOWN\"]},"
	"\"devices\":[{\"hostPath\":\"/dev/null\",\"permissions\":[\"write\",\"read\"]}],"
	"\"tmpfs\":[{\"containerPath\":\"/t\",\"size\":4,\"mountOptions\":[\"noexec\"]}]}},"
	"{\"name\":\"side\",\"image\":\"123456789012.dkr.ecr.eu-west-1.amazonaws.com/"
	"x:1\",\"memory\":8,"
	"\"links\":[\"web\"],\"volumesFrom\":[{\"sourceContainer\":\"web\"}],"
	"\"dependsOn\":[{\"containerName\":\"web\",\"condition\":\"START\"}]}]}}";

static int build(const char *text, json_t **ret_task, json_t **ret_notes, struct err *err)
{
	_cleanup_(json_decrefp) json_t *request = json_loads(text, 0, NULL);

	assert_non_null(request);
	return localtask_build(request, ret_task, ret_notes, err);
}

static const char *variable(const struct container *c, const char *key)
{
	for (size_t i = 0; i < c->n_environment; i++)
		if (strcmp(c->environment[i].key, key) == 0)
			return c->environment[i].value;
	return NULL;
}

static void check_web(const struct container *c)
{
	assert_string_equal(c->command[0], "x");
	assert_string_equal(c->entry_point[0], "e");
	assert_string_equal(variable(c, "A"), "2");
	assert_string_equal(variable(c, "B"), "3");
	assert_string_equal(variable(c, "AWS_EXECUTION_ENV"), "AWS_ECS_EC2");
	assert_false(c->essential);
	assert_true(c->privileged && c->readonly_rootfs && c->init && c->restart.enabled);
	assert_int_equal(c->cpu_shares, 10);
	assert_int_equal(c->memory_limit_bytes, 64 << 20);
	assert_int_equal(c->memory_reservation_bytes, 32 << 20);
	assert_int_equal(c->memory_swap_bytes, 80 << 20);
	assert_int_equal(c->shm_size_bytes, 8 << 20);
	assert_int_equal(c->stop_timeout_s, 7);
	assert_int_equal(c->n_ports, 1);
	assert_int_equal(c->ports[0].host_port, 8080);
	assert_int_equal(c->ports[0].proto, IPPROTO_UDP);
	assert_string_equal(c->user, "u");
	assert_string_equal(c->working_directory, "/w");
	assert_string_equal(c->hostname, "n");
	assert_string_equal(c->dns[0], "9.9.9.9");
	assert_string_equal(c->extra_hosts[0], "a:10.0.0.1");
	assert_string_equal(c->ulimits[0].name, "nofile");
	assert_int_equal(c->ulimits[0].hard, 6);
	assert_string_equal(c->sysctls[0].value, "9");
	assert_int_equal(c->log_max_bytes, 10 << 20);
	assert_int_equal(c->health_check.interval_ns, 9000000000LL);
	assert_int_equal(c->health_check.retries, 3);
	assert_int_equal(c->restart.attempt_period_s, 60);
	assert_string_equal(c->cap_add[0], "SYS_TIME");
	assert_string_equal(c->cap_drop[0], "CHOWN");
	assert_int_equal(c->n_mounts, 1);
	assert_true(c->mounts[0].read_only);
	assert_int_equal(c->docker.n_tmpfs, 1);
	assert_string_equal(c->docker.tmpfs[0].key, "/t");
}

static void a_whole_definition_reaches_the_engine(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *notes = NULL;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(task_freep) struct task *t = NULL;

	assert_int_equal(build(whole, &task, &notes, &err), 0);
	assert_int_equal(payload_decode_task(task, &t, &err), 0);
	assert_true(task_is_local(t));
	assert_true(t->remove_when_stopped);
	assert_string_equal(t->id, "t1");
	assert_string_equal(t->family, "f");
	assert_true(t->cpu > 0.49 && t->cpu < 0.51);
	assert_int_equal(t->memory_mib, 512);
	assert_int_equal(t->n_volumes, 2);
	assert_true(t->volumes[1].shared);
	assert_int_equal(t->n_containers, 3); /* with the one that holds the pid namespace */
	check_web(&t->containers[0]);
	assert_true(t->containers[1].essential);
	assert_int_equal(t->containers[1].registry_auth.type, REGISTRY_AUTH_ECR);
	assert_string_equal(t->containers[1].registry_auth.region, "eu-west-1");
	assert_false(t->containers[1].registry_auth.use_execution_role);
	assert_int_equal(t->containers[1].n_volumes_from, 1);
	assert_int_equal(json_array_size(notes), 2); /* tags, and the name of a port */
}

#define CONTAINER(more)                                                                            \
	"{\"taskDefinition\":{\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\","          \
	"\"memory\":8" more "}]}}"
#define TASK(more)                                                                                 \
	"{\"taskDefinition\":{" more                                                               \
	"\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\",\"memory\":8}]}}"

static void what_cannot_be_is_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{}", "taskDefinition: missing" },
		{ "{\"taskDefinition\":{}}", "containerDefinitions: missing" },
		{ "{\"taskDefinition\":{\"containerDefinitions\":[]}}",
		  "containerDefinitions: is empty" },
		{ "{\"taskDefinition\":{\"containerDefinitions\":[{}]}}",
		  "containerDefinitions: [0]: name: missing" },
		{ "{\"taskDefinition\":{\"containerDefinitions\":[7]}}",
		  "containerDefinitions: is no array of objects" },
		{ CONTAINER(",\"memory2\":1"),
		  "containerDefinitions: [0]: memory2: there is no such parameter" },
		{ CONTAINER(",\"cpu\":\"1\""),
		  "containerDefinitions: [0]: cpu: is no whole number" },
		{ CONTAINER(",\"command\":[1]"),
		  "containerDefinitions: [0]: command: is no array of strings" },
		{ CONTAINER(",\"essential\":\"yes\""),
		  "containerDefinitions: [0]: essential: is neither true nor false" },
		{ CONTAINER(",\"healthCheck\":{\"command\":[\"CMD\"],\"interval\":0}"),
		  "containerDefinitions: [0]: healthCheck: interval: 0 is outside 1..86400" },
		{ CONTAINER(",\"healthCheck\":{\"command\":[\"CMD\"],\"interval\":"
			    "9223372036854775807}"),
		  "containerDefinitions: [0]: healthCheck: interval: 9223372036854775807 is "
		  "outside 1..86400" },
		{ CONTAINER(",\"portMappings\":[{\"containerPort\":80},{\"port\":1}]"),
		  "containerDefinitions: [0]: portMappings: [1]: port: there is no such "
		  "parameter" },
		{ CONTAINER(",\"linuxParameters\":{\"sharedMemorySize\":2000000000}"),
		  "containerDefinitions: [0]: linuxParameters: sharedMemorySize: 2000000000 is "
		  "outside "
		  "0..1073741824 MiB" },
		{ CONTAINER(",\"secrets\":[{\"name\":\"s\",\"valueFrom\":\"v\"}]"),
		  "containerDefinitions: [0]: secrets: its value is fetched with a role, which "
		  "only a control "
		  "plane can give" },
		{ TASK("\"taskRoleArn\":\"r\","), "taskRoleArn: only a control plane can give a "
						  "role; the containers would be without "
						  "credentials" },
		{ TASK("\"networkMode\":\"awsvpc\","),
		  "networkMode: awsvpc: a control plane gives the network interface; bridge, host "
		  "and none are "
		  "possible" },
		{ TASK("\"cpu\":\"much\","),
		  "cpu: 'much' is no amount of CPU: \"1024\", \"1 vCPU\"" },
		{ TASK("\"memory\":\"0\","),
		  "memory: '0' is no amount of memory: \"512\", \"1 GB\"" },
		{ TASK("\"runtimePlatform\":{\"operatingSystemFamily\":\"WINDOWS_SERVER_2019_"
		       "CORE\"},"),
		  "runtimePlatform: operatingSystemFamily: 'WINDOWS_SERVER_2019_CORE': this host "
		  "is LINUX" },
		{ TASK("\"family\":\"a/b\","),
		  "family: 'a/b': 1 to 255 letters, digits, '-' and '_' are wanted" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_decrefp) json_t *task = NULL, *notes = NULL;
		_cleanup_(err_done) struct err err = {};

		assert_true(build(cases[i].text, &task, &notes, &err) < 0);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_null(task);
	}
}

static void an_override_needs_its_container(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *notes = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_true(build("{\"overrides\":{\"containerOverrides\":[{\"name\":\"b\"}]},"
			  "\"taskDefinition\":{"
			  "\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\"}]}}",
			  &task, &notes, &err) < 0);
	assert_string_equal(
		err.msg, "overrides: containerOverrides[0]: the definition has no container 'b'");
}

static void what_asks_for_nothing_is_not_refused(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *notes = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(build(CONTAINER(",\"secrets\":[],\"user\":null,\"environmentFiles\":[]"),
			       &task, &notes, &err),
			 0);
	assert_int_equal(json_array_size(notes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_definition_reaches_the_engine),
		cmocka_unit_test(what_cannot_be_is_named),
		cmocka_unit_test(an_override_needs_its_container),
		cmocka_unit_test(what_asks_for_nothing_is_not_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
