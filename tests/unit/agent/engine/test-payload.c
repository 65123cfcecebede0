/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"

#define ARN "arn:aws:ecs:eu-west-1:123456789012:task/web/0123456789abcdef0123456789abcdef"

/* @task_members and @container_members are pasted into an otherwise sound task. */
static int decode(const char *task_members, const char *container_members, struct task **ret,
		  struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	char text[8192];

	(void) snprintf(text, sizeof(text),
			"{\"arn\":\"" ARN "\",\"family\":\"web\",\"version\":\"3\","
			"\"desiredStatus\":\"RUNNING\"%s,"
			"\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"%s}]}",
			task_members, container_members);
	if (json_parse(text, strlen(text), &obj, err) < 0)
		fail_msg("%s: %s", text, err_text(err));
	return payload_decode_task(obj, ret, err);
}

static struct task *good(const char *task_members, const char *container_members)
{
	_cleanup_(err_done) struct err err = {};
	struct task *t = NULL;

	if (decode(task_members, container_members, &t, &err) < 0)
		fail_msg("%s %s: %s", task_members, container_members, err_text(&err));
	return t;
}

static void what_it_asks_for_arrives(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good(
		",\"cpu\":0.5,\"memory\":512,\"networkMode\":\"bridge\",\"volumes\":[{\"name\":"
		"\"v\","
		"\"host\":{\"sourcePath\":\"/srv\"}}]",
		",\"command\":[\"sh\",\"-c\",\"true\"],\"entryPoint\":[\"/e\"],"
		"\"workingDirectory\":\"/w\",\"environment\":{\"A\":\"1\"},\"essential\":true,"
		"\"cpu\":128,\"memory\":64,\"stopTimeout\":7,"
		"\"portMappings\":[{\"containerPort\":80},{\"containerPort\":53,\"hostPort\":5353,"
		"\"protocol\":\"udp\"}],"
		"\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":\"/data\","
		"\"readOnly\":true}]");
	const struct container *c = &t->containers[0];

	assert_string_equal(t->id, "0123456789abcdef0123456789abcdef");
	assert_int_equal(t->desired, TASK_RUNNING);
	assert_int_equal(t->memory_mib, 512);
	assert_true(t->cpu > 0.49 && t->cpu < 0.51);
	assert_ptr_equal(c->task, t);
	assert_string_equal(c->command[2], "true");
	assert_string_equal(c->entry_point[0], "/e");
	assert_string_equal(c->working_directory, "/w");
	assert_string_equal(c->environment[0].value, "1");
	assert_true(c->essential);
	assert_int_equal(c->cpu_shares, 128);
	assert_int_equal(c->memory_limit_bytes, 64 << 20);
	assert_int_equal(c->stop_timeout_s, 7);
	assert_int_equal(c->ports[0].container_port, 80);
	assert_int_equal(c->ports[0].host_port, 0);
	assert_int_equal(c->ports[0].proto, IPPROTO_TCP);
	assert_int_equal(c->ports[1].host_port, 5353);
	assert_int_equal(c->ports[1].proto, IPPROTO_UDP);
	assert_string_equal(t->volumes[c->mounts[0].index].source, "/srv");
	assert_true(c->mounts[0].read_only);
	assert_int_equal(strncmp(c->docker_name, "ecs-web-3-c-", 12), 0);
	assert_int_equal(strlen(c->docker_name), 12 + 20);
}

static void an_ordinary_task_gets_defaults(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good("", "");
	const struct container *c = &t->containers[0];

	assert_int_equal(t->network_mode, NETWORK_BRIDGE);
	assert_string_equal(c->log_driver, "json-file");
	assert_int_equal(c->log_max_bytes, 100 << 20);
	assert_int_equal(c->log_max_files, 1);
	assert_int_equal(c->swappiness, -1);
	assert_null(c->command);
	assert_false(c->essential);
}

static void docker_config_is_laid_over_the_members(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good(
		"",
		",\"memory\":64,\"cpu\":100,\"command\":[\"a\"],\"dockerConfig\":{\"version\":\"1."
		"19\","
		"\"config\":\"{\\\"user\\\":\\\"1000:1000\\\",\\\"Labels\\\":{\\\"k\\\":\\\"v\\\"},"
		"\\\"Cmd\\\":\\\"b\\\",\\\"Env\\\":[\\\"X=y=z\\\"],\\\"StopSignal\\\":"
		"\\\"SIGQUIT\\\","
		"\\\"HealthCheck\\\":{\\\"Test\\\":[\\\"NONE\\\"]}}\","
		"\"hostConfig\":\"{\\\"NetworkMode\\\":\\\"host\\\",\\\"CapAdd\\\":[\\\"NET_"
		"ADMIN\\\"],"
		"\\\"Memory\\\":33554432,\\\"MemoryReservation\\\":16777216,\\\"CpuShares\\\":0,"
		"\\\"Ulimits\\\":[{\\\"Name\\\":\\\"nofile\\\",\\\"Soft\\\":10,\\\"Hard\\\":-1}],"
		"\\\"SecurityOpt\\\":[\\\"no-new-privileges\\\"],\\\"Devices\\\":[],\\\"Init\\\":"
		"true,"
		"\\\"LogConfig\\\":{\\\"Type\\\":\\\"json-file\\\",\\\"Config\\\":"
		"{\\\"max-size\\\":\\\"10m\\\",\\\"max-file\\\":\\\"3\\\"}},"
		"\\\"RestartPolicy\\\":{\\\"Name\\\":\\\"no\\\",\\\"MaximumRetryCount\\\":0}}\"}");
	const struct container *c = &t->containers[0];

	assert_int_equal(t->network_mode, NETWORK_HOST);
	assert_string_equal(c->user, "1000:1000");
	assert_string_equal(c->labels[0].value, "v");
	assert_string_equal(c->command[0], "b");
	assert_string_equal(c->environment[0].key, "X");
	assert_string_equal(c->environment[0].value, "y=z");
	assert_string_equal(c->cap_add[0], "NET_ADMIN");
	assert_int_equal(c->memory_limit_bytes, 32 << 20);
	assert_int_equal(c->memory_mib, 32);
	assert_int_equal(c->memory_reservation_bytes, 16 << 20);
	assert_int_equal(c->cpu_shares, 100);
	assert_int_equal(c->ulimits[0].hard, -1);
	assert_true(c->no_new_privileges && c->init);
	assert_int_equal(c->log_max_bytes, 10 << 20);
	assert_int_equal(c->log_max_files, 3);
}

static void a_health_check_is_decoded(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t =
		good("", ",\"healthCheckType\":\"docker\",\"dockerConfig\":{\"config\":"
			 "\"{\\\"HealthCheck\\\":{\\\"Test\\\":[\\\"CMD-SHELL\\\",\\\"a "
			 "b\\\"],"
			 "\\\"Interval\\\":5000000000,\\\"Timeout\\\":2000000000,"
			 "\\\"StartPeriod\\\":1000000,\\\"Retries\\\":7}}\"}");
	_cleanup_(task_freep) struct task *none = good("", "");
	const struct health_check *h = &t->containers[0].health_check;

	assert_true(h->given && container_health_is_tracked(&t->containers[0]));
	assert_string_equal(h->test[0], "CMD-SHELL");
	assert_string_equal(h->test[1], "a b");
	assert_int_equal(h->interval_ns, 5000000000LL);
	assert_int_equal(h->timeout_ns, 2000000000LL);
	assert_int_equal(h->start_period_ns, 1000000);
	assert_int_equal(h->retries, 7);
	assert_false(none->containers[0].health_check.given ||
		     container_health_is_tracked(&none->containers[0]));
}

static void a_bad_health_check_is_named(void **state _unused_)
{
	static const struct {
		const char *check, *complaint;
	} cases[] = {
		{ "\\\"Test\\\":[\\\"RUN\\\",\\\"x\\\"]",
		  "HealthCheck: Test: 'RUN' is none of CMD, CMD-SHELL and NONE" },
		{ "\\\"Test\\\":[\\\"CMD\\\"]", "HealthCheck: Test: CMD without a command" },
		{ "\\\"Test\\\":[\\\"CMD-SHELL\\\",\\\"a\\\",\\\"b\\\"]",
		  "HealthCheck: Test: CMD-SHELL takes one command, not 2" },
		{ "\\\"Interval\\\":999999", "HealthCheck: Interval: 999999 ns is below 1 ms" },
		{ "\\\"Retries\\\":-1",
		  "dockerConfig: config: HealthCheck: Retries: -1 is outside 0..2147483647" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		_cleanup_(freep) char *members = NULL;
		struct task *t = NULL;

		assert_true(
			asprintf(&members,
				 ",\"dockerConfig\":{\"config\":\"{\\\"HealthCheck\\\":{%s}}\"}",
				 cases[i].check) > 0);
		assert_int_equal(decode("", members, &t, &err), -EPROTO);
		assert_non_null(strstr(err.msg, cases[i].complaint));
		assert_null(t);
	}
}

static void a_range_is_one_binding_for_each_port(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(
		decode("",
		       ",\"portMappings\":[{\"containerPort\":80},{\"containerPortRange\":\"8000-"
		       "8002\","
		       "\"protocol\":\"udp\"},{\"containerPortRange\":\"8003-8003\",\"protocol\":"
		       "\"udp\"}]",
		       &t, &err),
		0);
	const struct container *c = &t->containers[0];

	assert_int_equal(c->n_ports, 5);
	assert_int_equal(port_binding_range(c->ports, 5), 1);
	assert_int_equal(port_binding_range(c->ports + 1, 4), 3);
	assert_int_equal(port_binding_range(c->ports + 4, 1), 1);
	for (uint16_t i = 1; i < 5; i++) {
		assert_int_equal(c->ports[i].container_port, 7999 + i);
		assert_int_equal(c->ports[i].host_port, 0);
		assert_int_equal(c->ports[i].proto, IPPROTO_UDP);
		assert_int_not_equal(c->ports[i].range, 0);
	}
}

static void a_range_is_nothing_to_a_container_without_published_ports(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(decode(",\"networkMode\":\"host\"",
				",\"portMappings\":[{\"containerPortRange\":\"1-65535\"},{"
				"\"containerPort\":80}]",
				&t, &err),
			 0);

	assert_int_equal(t->containers[0].n_ports, 1);
	assert_int_equal(t->containers[0].ports[0].container_port, 80);
}

static void a_binding_of_its_own_takes_a_port_out_of_a_range(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(
		decode("",
		       ",\"portMappings\":[{\"containerPortRange\":\"80-82\"}],\"dockerConfig\":{"
		       "\"hostConfig\":\"{\\\"PortBindings\\\":{\\\"81/tcp\\\":[{\\\"HostPort\\\":"
		       "\\\"8081\\\"}]}}\"}",
		       &t, &err),
		0);
	const struct container *c = &t->containers[0];

	assert_int_equal(c->n_ports, 3);
	assert_int_equal(c->ports[0].range, 0);
	assert_int_equal(c->ports[1].range, 0);
	assert_int_equal(c->ports[2].host_port, 8081);
}

static void port_bindings_are_merged_key_by_key(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good(
		"", ",\"portMappings\":[{\"containerPort\":80},{\"containerPort\":53,\"protocol\":"
		    "\"udp\"}],\"dockerConfig\":{\"hostConfig\":\"{\\\"PortBindings\\\":{"
		    "\\\"80/tcp\\\":[{\\\"HostPort\\\":\\\"8080\\\"},{\\\"HostIp\\\":"
		    "\\\"0.0.0.0\\\",\\\"HostPort\\\":\\\"\\\"}],\\\"443\\\":[{}]}}\"}");
	const struct container *c = &t->containers[0];

	assert_int_equal(c->n_ports, 4);
	assert_int_equal(c->ports[0].container_port, 53);
	assert_int_equal(c->ports[1].container_port, 80);
	assert_int_equal(c->ports[1].host_port, 8080);
	assert_int_equal(c->ports[2].container_port, 80);
	assert_int_equal(c->ports[2].host_port, 0);
	assert_int_equal(c->ports[3].container_port, 443);
	assert_int_equal(c->ports[3].proto, IPPROTO_TCP);
}

/* Each is laid over all that are there. */
static void port_bindings_have_a_bound(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *bindings = json_object();
	_cleanup_(err_done) struct err err = {};
	struct container c = {};

	for (int port = 1; port <= 1001; port++) {
		char key[16];

		(void) snprintf(key, sizeof(key), "%d/udp", port);
		if (port == 1001)
			assert_int_equal(payload_decode_port_bindings(bindings, &c, NULL, &err), 0);
		assert_int_equal(json_object_set_new(bindings, key, json_pack("[{}]")), 0);
	}
	assert_int_equal(c.n_ports, 1000);
	assert_int_equal(payload_decode_port_bindings(bindings, &c, NULL, &err), -EPROTO);
	assert_string_equal(err_text(&err), "has 1001 members, at most 1000 are taken");
	assert_int_equal(c.n_ports, 1000);
	free(c.ports);
}

static void overrides_replace_the_command(void **state _unused_)
{
	_cleanup_(task_freep) struct task *a =
		good("", ",\"command\":[\"x\"],\"overrides\":\"{\\\"command\\\":[\\\"y\\\"]}\"");
	_cleanup_(task_freep) struct task *b =
		good("", ",\"command\":[\"x\"],\"overrides\":{\"command\":[\"z\"]}");
	_cleanup_(task_freep) struct task *c =
		good("", ",\"command\":[\"x\"],\"overrides\":\"null\"");

	assert_string_equal(a->containers[0].command[0], "y");
	assert_string_equal(b->containers[0].command[0], "z");
	assert_string_equal(c->containers[0].command[0], "x");
}

static void empty_wishes_are_no_wishes(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good(
		",\"volumes\":[],\"elasticNetworkInterfaces\":null,\"pidMode\":\"\",\"ipcMode\":"
		"\"\","
		"\"associations\":[],\"attachments\":[],\"proxyConfiguration\":null,"
		"\"roleCredentials\":null,\"enableFaultInjection\":false,\"newThing\":{\"a\":1},"
		"\"executionRoleCredentials\":{\"credentialsId\":\"id-1\",\"accessKeyId\":\"k\"}",
		",\"links\":[],\"volumesFrom\":[],\"dependsOn\":[],\"secrets\":null,"
		"\"environmentFiles\":[],\"managedAgents\":null,\"healthCheckType\":\"\","
		"\"restartPolicy\":{\"enabled\":false,\"ignoredExitCodes\":[0],"
		"\"restartAttemptPeriod\":60},\"credentialSpecs\":[],\"brandNew\":true,"
		"\"dockerConfig\":{\"config\":\"{}\",\"hostConfig\":\"{\\\"Init\\\":null,"
		"\\\"Tmpfs\\\":{},\\\"Later\\\":null,\\\"PidMode\\\":\\\"\\\"}\"}");

	assert_string_equal(t->execution_credentials_id, "id-1");
}

static void what_cannot_be_done_is_named(void **state _unused_)
{
	static const struct {
		const char *task, *container, *complaint;
		int code;
	} cases[] = {
		{ ",\"proxyConfiguration\":{\"type\":\"APPMESH\"}", "",
		  "proxyConfiguration: not supported by this build", ENOTSUP },
		{ ",\"networkMode\":\"host\"", ",\"links\":[\"a:b\"]",
		  "containers[0]: links: there are none in network mode host", ENOTSUP },
		{ ",\"associations\":[{\"name\":\"x\",\"type\":\"elastic-inference\"}]", "",
		  "associations[0]: type: 'elastic-inference' is not supported by this build",
		  ENOTSUP },
		{ "", ",\"environmentFiles\":[{\"type\":\"ftp\",\"value\":\"x\"}]",
		  "containers[0]: environmentFiles[0]: type: 'ftp' is not s3", EPROTO },
		{ "", ",\"environmentFiles\":[{\"type\":\"s3\"}]",
		  "containers[0]: environmentFiles[0]: value: missing, or too long", EPROTO },
		{ "", ",\"secrets\":[{\"name\":\"x\"}]",
		  "containers[0]: secrets[0]: valueFrom: missing", EPROTO },
		{ "", ",\"secrets\":[{\"name\":\"a=b\",\"valueFrom\":\"v\"}]",
		  "containers[0]: secrets[0]: name: 'a=b' is no name of a variable", EPROTO },
		{ "", ",\"secrets\":[{\"name\":\"a\",\"valueFrom\":\"v\",\"provider\":\"x\"}]",
		  "containers[0]: secrets[0]: provider: 'x' is neither ssm nor asm", EPROTO },
		{ "",
		  ",\"secrets\":[{\"name\":\"a\",\"valueFrom\":\"v\",\"type\":\"MOUNT_POINT\"}]",
		  "containers[0]: secrets[0]: type: 'MOUNT_POINT': not supported by this build",
		  ENOTSUP },
		{ "",
		  ",\"secrets\":[{\"name\":\"a\",\"valueFrom\":\"v\",\"target\":\"LOG_DRIVER\"}]",
		  "containers[0]: secrets[0]: target: LOG_DRIVER: the log drivers of this build "
		  "take "
		  "no secrets",
		  ENOTSUP },
		{ "",
		  ",\"dockerConfig\":{\"hostConfig\":\"{\\\"LogConfig\\\":{\\\"Type\\\":"
		  "\\\"awslogs\\\"}}\"}",
		  "containers[0]: LogConfig: log driver 'awslogs' is not supported by this build",
		  ENOTSUP },
		{ "", ",\"dockerConfig\":{\"hostConfig\":\"{\\\"Brandnew\\\":7}\"}",
		  "containers[0]: dockerConfig: hostConfig: Brandnew: not supported by this build",
		  ENOTSUP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct task *t = NULL;

		assert_int_equal(decode(cases[i].task, cases[i].container, &t, &err),
				 -cases[i].code);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_null(t);
	}
}

static void secrets_arrive(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t = good(
		"", ",\"secrets\":[{\"name\":\"A\",\"valueFrom\":\"p\",\"region\":\"r\","
		    "\"provider\":\"ssm\",\"type\":\"ENVIRONMENT_VARIABLE\",\"target\":"
		    "\"CONTAINER\"},{\"name\":\"B\",\"valueFrom\":\"arn:aws:secretsmanager:r:1:"
		    "secret:s\"}]");
	const struct container *c = &t->containers[0];

	assert_int_equal(c->n_secrets, 2);
	assert_string_equal(c->secrets[0].name, "A");
	assert_string_equal(c->secrets[0].value_from, "p");
	assert_string_equal(c->secrets[0].region, "r");
	assert_int_equal(c->secrets[0].provider, SECRET_SSM);
	assert_int_equal(c->secrets[1].provider, SECRET_ASM);
}

#define VOLUMES(list) ",\"volumes\":[" list "]"
#define V VOLUMES("{\"name\":\"v\",\"host\":{}}")
#define MOUNTS(list) ",\"mountPoints\":[" list "]"
#define M(volume, path) "{\"sourceVolume\":\"" volume "\",\"containerPath\":\"" path "\"}"
#define DOCKER(members)                                                                            \
	"{\"name\":\"v\",\"type\":\"docker\",\"dockerVolumeConfiguration\":{" members "}}"
#define HOST_CONFIG(members) ",\"dockerConfig\":{\"hostConfig\":\"{" members "}\"}"

static void volumes_arrive(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t =
		good(VOLUMES(DOCKER("\"scope\":\"task\",\"driver\":\"local\","
				    "\"driverOpts\":{\"type\":"
				    "\"tmpfs\",\"device\":\"tmpfs\"},\"labels\":{\"a\":"
				    "\"b\"}") ","
					      "{\"name\":\"s\",\"type\":\"docker\","
					      "\"dockerVolumeConfiguration\":{"
					      "\"scope\":\"shared\",\"autoprovision\":true}"
					      "},{\"name\":\"e\",\"type\":"
					      "\"efs\",\"efsVolumeConfiguration\":{"
					      "\"fileSystemId\":\"fs-1\","
					      "\"transitEncryption\":\"ENABLED\","
					      "\"authorizationConfig\":{\"accessPointId\":"
					      "\"fsap-1\",\"iam\":\"DISABLED\"}}}"),
		     MOUNTS(M("s", "/a//b/./") "," M("v", "/c"))
			     HOST_CONFIG("\\\"Binds\\\":[\\\"named:/n:nocopy\\\",\\\"/h/:/"
					 "m:ro,rslave,Z\\\"]"));
	const struct container *c = &t->containers[0];

	assert_string_equal(t->volumes[0].config.options[0].value, "tmpfs");
	assert_string_equal(t->volumes[0].config.labels[0].key, "a");
	assert_false(t->volumes[0].shared);
	assert_int_equal(strncmp(t->volumes[0].host_name, "ecs-web-3-v-", 12), 0);
	assert_int_equal(strlen(t->volumes[0].host_name), 12 + 20);
	assert_string_equal(t->volumes[1].host_name, "s");
	assert_true(t->volumes[1].shared && t->volumes[1].autoprovision);
	assert_true(t->volumes[2].efs->tls && !t->volumes[2].efs->iam);
	assert_string_equal(t->volumes[2].efs->access_point, "fsap-1");
	assert_int_equal(c->n_mounts, 4);
	assert_string_equal(c->mounts[0].container_path, "/a/b");
	assert_int_equal(c->mounts[0].index, 1);
	assert_int_equal(c->mounts[2].kind, MOUNT_NAMED_VOLUME);
	assert_true(c->mounts[2].no_copy);
	assert_string_equal(c->mounts[3].source, "/h");
	assert_string_equal(c->mounts[3].options, "rslave");
	assert_true(c->mounts[3].read_only);
}

static void what_is_wrong_is_named(void **state _unused_)
{
	static const struct {
		const char *task, *container, *complaint;
	} cases[] = {
		{ "", ",\"portMappings\":[{\"containerPort\":70000}]",
		  "containers[0]: portMappings[0]: containerPort: UnparsablePort: 70000 is outside "
		  "1..65535" },
		{ "", ",\"portMappings\":[{\"containerPort\":80},{\"hostPort\":80}]",
		  "containers[0]: portMappings[1]: containerPort: missing" },
		{ "", ",\"portMappings\":[{\"containerPortRange\":\"90-80\"}]",
		  "containers[0]: portMappings[0]: containerPortRange: UnparsablePort: '90-80' is "
		  "no range of "
		  "ports "
		  "such as 8000-8009" },
		{ "", ",\"portMappings\":[{\"containerPortRange\":\"80-70000\"}]",
		  "containers[0]: portMappings[0]: containerPortRange: UnparsablePort: '80-70000' "
		  "is no range of "
		  "ports such as 8000-8009" },
		{ "", ",\"portMappings\":[{\"containerPortRange\":\"80-81\",\"hostPort\":80}]",
		  "containers[0]: portMappings[0]: containerPortRange excludes containerPort and "
		  "hostPort" },
		{ "", ",\"portMappings\":[{\"containerPortRange\":\"1-1001\"}]",
		  "containers[0]: portMappings: 1001 ports, at most 1000 are published" },
		{ "", ",\"portMappings\":[{\"containerPort\":80,\"protocol\":\"TCP\"}]",
		  "containers[0]: portMappings[0]: protocol: UnrecognizedTransportProtocol: 'TCP' "
		  "is neither tcp nor udp" },
		{ "", HOST_CONFIG("\\\"PortBindings\\\":{\\\"80/sctp\\\":[]}"),
		  "containers[0]: dockerConfig: hostConfig: PortBindings: "
		  "UnrecognizedTransportProtocol: 'sctp' is neither tcp nor udp" },
		{ "", HOST_CONFIG("\\\"PortBindings\\\":{\\\"http\\\":[]}"),
		  "containers[0]: dockerConfig: hostConfig: PortBindings: UnparsablePort: 'http' "
		  "is "
		  "no port such as 80/tcp" },
		{ "",
		  HOST_CONFIG("\\\"PortBindings\\\":{\\\"80/tcp\\\":[{\\\"HostPort\\\":"
			      "\\\"8080x\\\"}]}"),
		  "containers[0]: dockerConfig: hostConfig: PortBindings: 80/tcp[0]: HostPort: "
		  "UnparsablePort: '8080x' is no port" },
		{ VOLUMES("{\"name\":\"v\",\"host\":{}},{\"name\":\"v\",\"host\":{}}"), "",
		  "volumes[1]: InvalidVolumeError: name: 'v' is taken by volumes[0]" },
		{ ",\"pidMode\":\"none\"", "", "pidMode: 'none' is none of host, task" },
		{ ",\"ipcMode\":\"x\"", "", "ipcMode: 'x' is none of host, task, none" },
		{ "", ",\"cpu\":-1", "containers[0]: cpu: -1 is outside 0..1048576" },
		{ "", ",\"overrides\":\"{\\\"cpu\\\":1}\"",
		  "containers[0]: overrides: unknown member 'cpu'" },
		{ "", ",\"workingDirectory\":\"w\"",
		  "containers[0]: workingDirectory: 'w' is not absolute" },
		{ "", ",\"environment\":{\"A=B\":\"1\"}",
		  "containers[0]: environment: 'A=B' is no name of a variable" },
		{ "", ",\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":\"/d\"}]",
		  "containers[0]: mountPoints[0]: Invalid volume referenced: v" },
		{ V, MOUNTS(M("v", "d")),
		  "containers[0]: mountPoints[0]: containerPath: 'd' is not absolute" },
		{ V, MOUNTS(M("v", "/a/../b")),
		  "containers[0]: mountPoints[0]: containerPath: '/a/../b' holds '..'" },
		{ V, MOUNTS(M("v", "/./")),
		  "containers[0]: mountPoints[0]: containerPath: invalid mount: destination can't "
		  "be '/'" },
		{ V, MOUNTS(M("v", "/d") "," M("v", "//d/.")),
		  "containers[0]: mountPoints[1]: Duplicate mount point: /d" },
		{ VOLUMES("{\"name\":\"v\",\"type\":\"efs\"}"), "",
		  "volumes[0]: InvalidVolumeError: efsVolumeConfiguration: missing" },
		{ VOLUMES("{\"name\":\"v\",\"type\":\"tape\"}"), "",
		  "volumes[0]: InvalidVolumeError: type: unrecognized volume type: tape" },
		{ VOLUMES("{\"name\":\"v\"}"), "",
		  "volumes[0]: InvalidVolumeError: host: missing" },
		{ VOLUMES("{\"name\":\"v\",\"host\":{\"sourcePath\":\"srv\"}}"), "",
		  "volumes[0]: InvalidVolumeError: host: sourcePath: 'srv' is not absolute" },
		{ VOLUMES(DOCKER("\"scope\":\"galaxy\"")), "",
		  "volumes[0]: InvalidVolumeError: dockerVolumeConfiguration: scope: 'galaxy' is "
		  "neither task nor "
		  "shared" },
		{ VOLUMES(DOCKER("\"driverOpts\":{\"speed\":\"9\"}")), "",
		  "volumes[0]: InvalidVolumeError: dockerVolumeConfiguration: invalid option: "
		  "\"speed\"" },
		{ VOLUMES(DOCKER("\"driverOpts\":{\"type\":\"nfs\"}")), "",
		  "volumes[0]: InvalidVolumeError: dockerVolumeConfiguration: missing required "
		  "option: \"device\"" },
		{ VOLUMES("{\"name\":\"../v\",\"type\":\"docker\","
			  "\"dockerVolumeConfiguration\":{\"scope\":\"shared\"}}"),
		  "",
		  "volumes[0]: InvalidVolumeError: dockerVolumeConfiguration: '../v' is no name "
		  "that a volume can "
		  "have" },
		{ "", HOST_CONFIG("\\\"Binds\\\":[\\\"/a:/b:ro,fast\\\"]"),
		  "containers[0]: dockerConfig: hostConfig: Binds[0]: invalid mode: fast" },
		{ "", HOST_CONFIG("\\\"Binds\\\":[\\\"/a\\\"]"),
		  "containers[0]: dockerConfig: hostConfig: Binds[0]: invalid volume "
		  "specification" },
		{ "", HOST_CONFIG("\\\"Binds\\\":[\\\"../a:/b\\\"]"),
		  "containers[0]: dockerConfig: hostConfig: Binds[0]: '../a' is no name of a "
		  "volume and no absolute path" },
		{ V, MOUNTS(M("v", "/b")) HOST_CONFIG("\\\"Binds\\\":[\\\"/a:/b\\\"]"),
		  "containers[0]: mountPoints[1]: Duplicate mount point: /b" },
		{ ",\"memory\":32", ",\"memory\":64",
		  "containers[0]: memory: 64 MiB is more than the task's 32 MiB" },
		{ "", ",\"dockerConfig\":{\"config\":\"{\\\"StopSignal\\\":\\\"SIGNOPE\\\"}\"}",
		  "containers[0]: StopSignal: 'SIGNOPE' is not a signal" },
		{ "",
		  ",\"dockerConfig\":{\"hostConfig\":\"{\\\"LogConfig\\\":{\\\"Config\\\":{\\\"max-"
		  "size\\\":\\\"10x\\\"}}}\"}",
		  "containers[0]: LogConfig: max-size: '10x' is no size: digits and k, m or g are "
		  "wanted" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct task *t = NULL;

		assert_true(decode(cases[i].task, cases[i].container, &t, &err) < 0);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_null(t);
	}
}

/* Names come from the payload and end in URLs, log lines and terminals. */
static void a_name_is_letters_digits_dash_and_underscore(void **state _unused_)
{
	static const char *const bad[] = { "",     "a/b", "..",  "../x", "a b", "a\\u001b[2J",
					   "a\\n", "ä",   "a.b", "a%2e" };
	char longest[257] = "";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(err_done) struct err err = {};
		char members[96];
		struct task *t = NULL;

		(void) snprintf(members, sizeof(members), "},{\"image\":\"i\",\"name\":\"%s\"",
				bad[i]);
		assert_int_equal(decode("", members, &t, &err), -EPROTO);
		assert_non_null(strstr(err.msg, "containers[1]: name: "));
	}
	(void) task_free(good("", "},{\"image\":\"i\",\"name\":\"Web_1-x\""));
	memset(longest, 'a', 255);
	for (int n = 255; n <= 256; n++) {
		_cleanup_(err_done) struct err err = {};
		char members[300];
		struct task *t = NULL;

		longest[n - 1] = 'a';
		(void) snprintf(members, sizeof(members), "},{\"image\":\"i\",\"name\":\"%s\"",
				longest);
		assert_int_equal(decode("", members, &t, &err), n == 255 ? 0 : -EPROTO);
		(void) task_free(t);
	}
}

static void an_arn_without_an_id_is_refused(void **state _unused_)
{
	static const char *const arns[] = { "x", "a/", "a/../b c", "a/..", "" };
	char id[256];

	for (size_t i = 0; i < ARRAY_SIZE(arns); i++)
		assert_int_equal(task_id_from_arn(arns[i], id, NULL), -EPROTO);
	assert_int_equal(task_id_from_arn("arn:aws:ecs:r:1:task/abc", id, NULL), 0);
	assert_string_equal(id, "abc");
}

static void secrets_do_not_reach_the_store(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *obj =
		json_pack("{s:s, s:{s:s,s:s}, s:{s:s}}", "arn", ARN, "executionRoleCredentials",
			  "credentialsId", "id", "secretAccessKey", "s", "RoleCredentials",
			  "secretAccessKey", "s");
	_cleanup_(json_decrefp) json_t *copy = payload_without_secrets(obj);
	_cleanup_(freep) char *text = json_to_text(copy);

	assert_string_equal(text, "{\"arn\":\"" ARN
				  "\",\"executionRoleCredentials\":{\"credentialsId\":\"id\"}}");
}

static void selinux_labels_are_made_of_their_parts(void **state _unused_)
{
	static const struct {
		const char *options[4], *process, *mount;
	} cases[] = {
		{ {}, NULL, NULL },
		{ { "type:svirt_t", "disable" }, NULL, NULL },
		{ { "type:svirt_t", "level:s0:c1,c2" },
		  "system_u:system_r:svirt_t:s0:c1,c2",
		  "system_u:object_r:container_file_t:s0:c1,c2" },
		{ { "user:u", "role:r", "filetype:f" }, "u:r:container_t:s0", "u:object_r:f:s0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *process = NULL, *mount = NULL;

		assert_int_equal(
			docker_selinux_labels((char *const *) cases[i].options, &process, &mount),
			0);
		if (!cases[i].process) {
			assert_null(process);
			assert_null(mount);
			continue;
		}
		assert_string_equal(process, cases[i].process);
		assert_string_equal(mount, cases[i].mount);
	}
}

static void signals_have_names_and_numbers(void **state _unused_)
{
	assert_int_equal(payload_parse_signal("SIGTERM"), SIGTERM);
	assert_int_equal(payload_parse_signal("quit"), SIGQUIT);
	assert_int_equal(payload_parse_signal("9"), SIGKILL);
	assert_int_equal(payload_parse_signal("SIGRTMIN+3"), SIGRTMIN + 3);
	assert_int_equal(payload_parse_signal("RTMAX-1"), SIGRTMAX - 1);
	assert_true(payload_parse_signal("0") < 0);
	assert_true(payload_parse_signal("SIGRTMIN+99") < 0);
	assert_true(payload_parse_signal("SIG") < 0);
	assert_true(payload_parse_signal("9x") < 0);
}

static void sizes_have_units(void **state _unused_)
{
	int64_t n = 0;

	assert_int_equal(payload_parse_size("10m", &n, NULL), 0);
	assert_int_equal(n, 10 << 20);
	assert_int_equal(payload_parse_size("2KB", &n, NULL), 0);
	assert_int_equal(n, 2048);
	assert_int_equal(payload_parse_size("-1", &n, NULL), 0);
	assert_int_equal(n, -1);
	assert_true(payload_parse_size("9223372036854775807g", &n, NULL) < 0);
	assert_true(payload_parse_size("", &n, NULL) < 0);
	assert_true(payload_parse_size("1mx", &n, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_asks_for_arrives),
		cmocka_unit_test(an_ordinary_task_gets_defaults),
		cmocka_unit_test(docker_config_is_laid_over_the_members),
		cmocka_unit_test(a_health_check_is_decoded),
		cmocka_unit_test(a_bad_health_check_is_named),
		cmocka_unit_test(port_bindings_are_merged_key_by_key),
		cmocka_unit_test(a_range_is_one_binding_for_each_port),
		cmocka_unit_test(a_range_is_nothing_to_a_container_without_published_ports),
		cmocka_unit_test(a_binding_of_its_own_takes_a_port_out_of_a_range),
		cmocka_unit_test(port_bindings_have_a_bound),
		cmocka_unit_test(overrides_replace_the_command),
		cmocka_unit_test(empty_wishes_are_no_wishes),
		cmocka_unit_test(what_cannot_be_done_is_named),
		cmocka_unit_test(volumes_arrive),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_name_is_letters_digits_dash_and_underscore),
		cmocka_unit_test(an_arn_without_an_id_is_refused),
		cmocka_unit_test(secrets_do_not_reach_the_store),
		cmocka_unit_test(secrets_arrive),
		cmocka_unit_test(selinux_labels_are_made_of_their_parts),
		cmocka_unit_test(signals_have_names_and_numbers),
		cmocka_unit_test(sizes_have_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
