/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/payload.h"

#include <string.h>

#include "common/json.h"
#include "tests/unit/test.h"

#define TASK_ARN "arn:aws:ecs:eu-west-1:123456789012:task/default/0123456789abcdef0123456789abcdef"

static const char task_text[] =
	"{\"taskArn\":\"" TASK_ARN
	"\",\"clusterArn\":\"arn:aws:ecs:eu-west-1:123456789012:cluster/default\","
	"\"desiredStatus\":\"RUNNING\",\"group\":\"service:shop\",\"launchType\":\"EC2\","
	"\"enableExecuteCommand\":true,"
	"\"containers\":[{\"name\":\"web\",\"containerArn\":\"arn:c\"}],"
	"\"overrides\":{\"containerOverrides\":[{\"name\":\"web\",\"command\":[\"sleep\",\"1\"],"
	"\"cpu\":20,\"memory\":70,\"environment\":[{\"name\":\"B\",\"value\":\"over\"},"
	"{\"name\":\"C\",\"value\":\"3\"}]}],\"executionRoleArn\":\"arn:exec\"}}";

static const char definition_text[] =
	"{\"taskDefinitionArn\":\"arn:aws:ecs:eu-west-1:999999999999:task-definition/shop:7\","
	"\"family\":\"shop\",\"revision\":7,\"networkMode\":\"host\",\"cpu\":\"256\",\"memory\":"
	"\"1GB\","
	"\"pidMode\":\"task\",\"ipcMode\":\"host\",\"taskRoleArn\":\"arn:role\","
	"\"volumes\":[{\"name\":\"a\",\"host\":{\"sourcePath\":\"/srv\"}},{\"name\":\"b\"},"
	"{\"name\":\"c\",\"dockerVolumeConfiguration\":{\"scope\":\"shared\",\"autoprovision\":"
	"true}},"
	"{\"name\":\"d\",\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\"}}],"
	"\"containerDefinitions\":[{\"name\":\"web\","
	"\"image\":\"111122223333.dkr.ecr.eu-north-1.amazonaws.com/web:1\","
	"\"cpu\":10,\"memory\":64,\"memoryReservation\":32,\"command\":[\"run\"],\"entryPoint\":["
	"\"/e\"],"
	"\"environment\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"2\"}],"
	"\"portMappings\":[{\"containerPort\":80},{\"containerPort\":53,\"hostPort\":5353,"
	"\"protocol\":\"udp\"},{\"containerPortRange\":\"100-200\"}],"
	"\"mountPoints\":[{\"sourceVolume\":\"a\",\"containerPath\":\"/x\"}],"
	"\"volumesFrom\":[{\"sourceContainer\":\"db\",\"readOnly\":true}],"
	"\"dependsOn\":[{\"containerName\":\"db\",\"condition\":\"HEALTHY\"}],"
	"\"secrets\":[{\"name\":\"P\",\"valueFrom\":\"arn:aws:secretsmanager:us-west-2:1:secret:"
	"p\"},"
	"{\"name\":\"Q\",\"valueFrom\":\"/param\"}],"
	"\"startTimeout\":30,\"stopTimeout\":5,\"user\":\"33:33\",\"workingDirectory\":\"/w\","
	"\"hostname\":\"h\",\"dockerLabels\":{\"l\":\"v\"},\"pseudoTerminal\":true,\"interactive\":"
	"true,"
	"\"healthCheck\":{\"command\":[\"CMD\",\"t\"],\"interval\":10,\"retries\":2,"
	"\"startPeriod\":7},"
	"\"privileged\":true,\"readonlyRootFilesystem\":true,\"dnsServers\":[\"1.2.3.4\"],"
	"\"dnsSearchDomains\":[\"d\"],\"extraHosts\":[{\"hostname\":\"x\",\"ipAddress\":\"1.1.1."
	"1\"}],"
	"\"dockerSecurityOptions\":[\"no-new-privileges\"],"
	"\"ulimits\":[{\"name\":\"nofile\",\"softLimit\":1,\"hardLimit\":2}],"
	"\"logConfiguration\":{\"logDriver\":\"awslogs\",\"options\":{\"awslogs-group\":\"g\"},"
	"\"secretOptions\":[{\"name\":\"T\",\"valueFrom\":\"arn:aws:ssm:us-east-2:1:parameter/"
	"t\"}]},"
	"\"systemControls\":[{\"namespace\":\"net.core.somaxconn\",\"value\":\"9\"}],"
	"\"restartPolicy\":{\"enabled\":true,\"ignoredExitCodes\":[3]},"
	"\"linuxParameters\":{\"capabilities\":{\"add\":[\"NET_ADMIN\"],\"drop\":[\"ALL\"]},"
	"\"initProcessEnabled\":true,\"sharedMemorySize\":16,\"maxSwap\":10,\"swappiness\":5,"
	"\"tmpfs\":[{\"containerPath\":\"/run\",\"size\":64,\"mountOptions\":[\"rw\",\"noexec\"]}],"
	"\"devices\":[{\"hostPath\":\"/dev/fuse\",\"permissions\":[\"read\",\"mknod\"]},"
	"{\"hostPath\":\"/dev/a\",\"containerPath\":\"/dev/b\"}]}},"
	"{\"name\":\"db\",\"image\":\"db\",\"essential\":false,"
	"\"repositoryCredentials\":{\"credentialsParameter\":\"arn:aws:secretsmanager:us-east-1:1:"
	"secret:r\"}}]}";

static json_t *build(const char *task_json, const char *definition_json)
{
	json_auto_t *task = json_loads(task_json, 0, NULL);
	json_auto_t *definition = json_loads(definition_json, 0, NULL);
	json_auto_t *role = json_pack("{s:s}", "credentialsId", "id-1");
	const struct payload_source src = { .task = task,
					    .definition = definition,
					    .region = "eu-west-1",
					    .account = "123456789012",
					    .role_credentials = role };
	_cleanup_(err_done) struct err err = {};
	json_t *out = NULL;

	assert_non_null(task);
	assert_non_null(definition);
	assert_int_equal(payload_task(&src, &out, &err), 0);
	return out;
}

/* The compact text of a member reached by a path of keys and indices: "containers.0.name". */
static void assert_at(json_t *root, const char *path, const char *want)
{
	_cleanup_(freep) char *copy = strdup(path), *text = NULL;
	json_t *at = root;
	char *save = NULL;

	for (char *t = strtok_r(copy, ".", &save); t; t = strtok_r(NULL, ".", &save))
		at = json_is_array(at) ? json_array_get(at, strtoul(t, NULL, 10))
				       : json_object_get(at, t);
	text = at ? json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS)
		  : strdup("(absent)");
	if (strcmp(text, want) != 0)
		print_message("%s\n", path);
	assert_string_equal(text, want);
}

struct expectation {
	const char *path, *want;
};

static void the_task_says_who_it_is(void **state _unused_)
{
	static const struct expectation all[] = {
		{ "arn", "\"" TASK_ARN "\"" },
		{ "taskClusterArn", "\"arn:aws:ecs:eu-west-1:123456789012:cluster/default\"" },
		{ "family", "\"shop\"" },
		{ "version", "\"7\"" },
		{ "desiredStatus", "\"RUNNING\"" },
		{ "taskDefinitionAccountId", "\"999999999999\"" },
		{ "launchType", "\"EC2\"" },
		{ "networkMode", "\"host\"" },
		{ "pidMode", "\"task\"" },
		{ "ipcMode", "\"host\"" },
		{ "group", "\"service:shop\"" },
		{ "serviceName", "\"shop\"" },
		{ "cpu", "0.25" },
		{ "memory", "1024" },
		{ "overrides", "\"{}\"" },
		{ "roleCredentials", "{\"credentialsId\":\"id-1\"}" },
		{ "executionRoleCredentials", "(absent)" },
		{ "volumes.0",
		  "{\"host\":{\"sourcePath\":\"/srv\"},\"name\":\"a\",\"type\":\"host\"}" },
		{ "volumes.1", "{\"host\":{},\"name\":\"b\",\"type\":\"host\"}" },
		{ "volumes.2",
		  "{\"dockerVolumeConfiguration\":{\"autoprovision\":true,\"driver\":\"local\","
		  "\"driverOpts\":{},\"labels\":{},\"scope\":\"shared\"},\"name\":\"c\",\"type\":"
		  "\"docker\"}" },
		{ "volumes.3", "{\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\"},\"name\":"
			       "\"d\",\"type\":\"efs\"}" },
	};
	json_auto_t *task = build(task_text, definition_text);

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_at(task, all[i].path, all[i].want);
}

static void every_member_of_a_container_arrives(void **state _unused_)
{
	static const struct expectation all[] = {
		{ "name", "\"web\"" },
		{ "cpu", "20" },
		{ "memory", "70" },
		{ "essential", "true" },
		{ "command", "[\"run\"]" },
		{ "entryPoint", "[\"/e\"]" },
		{ "overrides", "\"{\\\"command\\\":[\\\"sleep\\\",\\\"1\\\"]}\"" },
		{ "environment", "{\"A\":\"1\",\"AWS_EXECUTION_ENV\":\"AWS_ECS_EC2\",\"B\":"
				 "\"over\",\"C\":\"3\"}" },
		{ "portMappings", "[{\"containerPort\":80,\"hostPort\":0,\"protocol\":\"tcp\"},"
				  "{\"containerPort\":53,\"hostPort\":5353,\"protocol\":\"udp\"},"
				  "{\"containerPortRange\":\"100-200\",\"protocol\":\"tcp\"}]" },
		{ "mountPoints",
		  "[{\"containerPath\":\"/x\",\"readOnly\":false,\"sourceVolume\":\"a\"}]" },
		{ "volumesFrom", "[{\"readOnly\":true,\"sourceContainer\":\"db\"}]" },
		{ "dependsOn", "[{\"condition\":\"HEALTHY\",\"containerName\":\"db\"}]" },
		{ "secrets.0",
		  "{\"name\":\"P\",\"provider\":\"asm\",\"region\":\"us-west-2\",\"target\":"
		  "\"CONTAINER\",\"type\":\"ENVIRONMENT_VARIABLE\",\"valueFrom\":"
		  "\"arn:aws:secretsmanager:us-west-2:1:secret:p\"}" },
		{ "secrets.1.provider", "\"ssm\"" },
		{ "secrets.1.region", "\"eu-west-1\"" },
		{ "secrets.2.target", "\"LOG_DRIVER\"" },
		{ "secrets.2.region", "\"us-east-2\"" },
		{ "startTimeout", "30" },
		{ "stopTimeout", "5" },
		{ "healthCheckType", "\"docker\"" },
		{ "logsAuthStrategy", "\"ExecutionRole\"" },
		{ "containerArn", "\"arn:c\"" },
		{ "restartPolicy", "{\"enabled\":true,\"ignoredExitCodes\":[3],"
				   "\"restartAttemptPeriod\":60}" },
		{ "registryAuthentication",
		  "{\"ecrAuthData\":{\"region\":\"eu-north-1\",\"registryId\":\"111122223333\","
		  "\"useExecutionRole\":true},\"type\":\"ecr\"}" },
		{ "managedAgents",
		  "[{\"name\":\"ExecuteCommandAgent\",\"properties\":{\"sessionLimit\":\"2\"}}]" },
	};
	json_auto_t *task = build(task_text, definition_text);
	json_t *web = json_array_get(json_object_get(task, "containers"), 0);
	json_t *db = json_array_get(json_object_get(task, "containers"), 1);

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_at(web, all[i].path, all[i].want);
	assert_at(db, "essential", "false");
	assert_at(db, "overrides", "\"{}\"");
	assert_at(db, "registryAuthentication.asmAuthData.region", "\"us-east-1\"");
	assert_at(db, "command", "(absent)");
	assert_at(db, "healthCheckType", "(absent)");
}

static void docker_config_is_two_strings_of_json(void **state _unused_)
{
	static const struct expectation config_all[] = {
		{ "User", "\"33:33\"" },
		{ "WorkingDir", "\"/w\"" },
		{ "Hostname", "\"h\"" },
		{ "Labels", "{\"l\":\"v\"}" },
		{ "Tty", "true" },
		{ "OpenStdin", "true" },
		{ "HealthCheck", "{\"Interval\":10000000000,\"Retries\":2,\"StartPeriod\":"
				 "7000000000,\"Test\":[\"CMD\",\"t\"],\"Timeout\":5000000000}" },
	};
	static const struct expectation host_all[] = {
		{ "NetworkMode", "\"host\"" },
		{ "CapAdd", "[\"NET_ADMIN\"]" },
		{ "CapDrop", "[\"ALL\"]" },
		{ "Privileged", "true" },
		{ "ReadonlyRootfs", "true" },
		{ "Dns", "[\"1.2.3.4\"]" },
		{ "DnsSearch", "[\"d\"]" },
		{ "ExtraHosts", "[\"x:1.1.1.1\"]" },
		{ "SecurityOpt", "[\"no-new-privileges\"]" },
		{ "Ulimits", "[{\"Hard\":2,\"Name\":\"nofile\",\"Soft\":1}]" },
		{ "LogConfig", "{\"Config\":{\"awslogs-group\":\"g\"},\"Type\":\"awslogs\"}" },
		{ "Memory", "73400320" },
		{ "MemoryReservation", "33554432" },
		{ "MemorySwap", "83886080" },
		{ "MemorySwappiness", "5" },
		{ "ShmSize", "16777216" },
		{ "Init", "true" },
		{ "Tmpfs", "{\"/run\":\"size=64m,rw,noexec\"}" },
		{ "Sysctls", "{\"net.core.somaxconn\":\"9\"}" },
		{ "Devices.0", "{\"CgroupPermissions\":\"rm\",\"PathInContainer\":\"/dev/fuse\","
			       "\"PathOnHost\":\"/dev/fuse\"}" },
		{ "Devices.1", "{\"CgroupPermissions\":\"rwm\",\"PathInContainer\":\"/dev/b\","
			       "\"PathOnHost\":\"/dev/a\"}" },
	};
	json_auto_t *task = build(task_text, definition_text);
	json_t *list = json_object_get(task, "containers");
	json_t *docker = json_object_get(json_array_get(list, 0), "dockerConfig");
	json_t *plain = json_object_get(json_array_get(list, 1), "dockerConfig");
	json_auto_t *config = json_loads(json_get_string(docker, "config", ""), 0, NULL);
	json_auto_t *host = json_loads(json_get_string(docker, "hostConfig", ""), 0, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(config_all); i++)
		assert_at(config, config_all[i].path, config_all[i].want);
	for (size_t i = 0; i < ARRAY_SIZE(host_all); i++)
		assert_at(host, host_all[i].path, host_all[i].want);
	assert_at(docker, "version", "\"1.25\"");
	assert_at(plain, "config", "\"{}\"");
	assert_at(plain, "hostConfig",
		  "\"{\\\"NetworkMode\\\":\\\"host\\\",\\\"CapAdd\\\":[],\\\"CapDrop\\\":[]}\"");
	assert_at(plain, "version", "\"1.17\"");
}

static void sizes_have_units(void **state _unused_)
{
	assert_int_equal(payload_cpu_units("256"), 256);
	assert_int_equal(payload_cpu_units("1 vCPU"), 1024);
	assert_int_equal(payload_cpu_units(".5vcpu"), 512);
	assert_int_equal(payload_cpu_units("lots"), -1);
	assert_int_equal(payload_memory_mib("512"), 512);
	assert_int_equal(payload_memory_mib("0.5 GB"), 512);
	assert_int_equal(payload_memory_mib("1TB"), -1);
	assert_int_equal(payload_memory_mib(NULL), -1);
}

static void a_bad_size_is_named(void **state _unused_)
{
	json_auto_t *task = json_loads(task_text, 0, NULL);
	json_auto_t *definition = json_loads("{\"cpu\":\"much\"}", 0, NULL);
	const struct payload_source src = {
		.task = task, .definition = definition, .region = "r", .account = "1"
	};
	_cleanup_(err_done) struct err err = {};
	json_t *out = NULL;

	assert_int_equal(payload_task(&src, &out, &err), -EPROTO);
	assert_string_equal(err.msg, "cpu: 'much' is not an amount of CPU");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_task_says_who_it_is),
		cmocka_unit_test(every_member_of_a_container_arrives),
		cmocka_unit_test(docker_config_is_two_strings_of_json),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(a_bad_size_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
