/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controlplane/api.h"

#include "common/buf.h"
#include "controlplane/taskdef.h"

#define C(more)                                                                                    \
	"{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\",\"memory\":"  \
	"64" more "}]}"
#define VOLUME(members) T(",\"volumes\":[{\"name\":\"v\"," members "}]")
#define T(more)                                                                                    \
	"{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\",\"memory\":"  \
	"64}]" more "}"

static void bad_definitions_are_refused_by_name(void **state _unused_)
{
	static const struct {
		const char *body, *type, *text;
	} cases[] = {
		{ "[]", "SerializationException", "not a JSON object" },
		{ "{", "SerializationException", "JSON" },
		{ "{}", "ClientException", "Family should not be null or empty." },
		{ "{\"family\":\"a b\"}", "ClientException",
		  "Family contains invalid characters." },
		{ "{\"family\":7}", "SerializationException", "family must be a string" },
		{ "{\"family\":\"f\"}", "ClientException", "Container list cannot be empty." },
		{ "{\"family\":\"f\",\"containerDefinitions\":{}}", "SerializationException",
		  "containerDefinitions must be a list" },
		{ "{\"family\":\"f\",\"containerDefinitions\":[{}]}", "ClientException",
		  "Container.name should not be null or empty." },
		{ "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\"}]}",
		  "ClientException", "Container.image should not be null or empty." },
		{ "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\"}]}",
		  "ClientException",
		  "Invalid setting for container 'a'. At least one of 'memory' or "
		  "'memoryReservation' must be specified." },
		{ C(",\"memoryReservation\":65"), "ClientException", "'memoryReservation'" },
		{ C(",\"memory\":3"), "SerializationException", "JSON" }, /* twice in one object */
		{ C(",\"memoryReservation\":1"), "ClientException", "at least 4 MiB" },
		{ C(",\"cpu\":-1"), "ClientException", "'cpu' must be between" },
		{ C(",\"cpu\":\"1\""), "SerializationException",
		  "containerDefinitions[0].cpu must be an integer" },
		{ C(",\"essential\":false"), "ClientException", "at least one essential" },
		{ C(",\"portMappings\":[{\"containerPort\":0}]"), "ClientException",
		  "'containerPort' must be between 1 and 65535" },
		{ C(",\"portMappings\":[{\"containerPort\":80,\"hostPort\":65536}]"),
		  "ClientException", "'hostPort' must be between 0 and 65535" },
		{ C(",\"portMappings\":[{\"containerPort\":80,\"protocol\":\"TCP\"}]"),
		  "ClientException", "'protocol' must be tcp or udp" },
		{ C(",\"portMappings\":[{\"containerPort\":80,\"hostPort\":80},"
		    "{\"containerPort\":81,\"hostPort\":80}]"),
		  "ClientException", "host port 80 is mapped more than once" },
		{ C(",\"portMappings\":[{\"containerPort\":80,\"hostPort\":true}]"),
		  "SerializationException",
		  "containerDefinitions[0].portMappings[0].hostPort must be an integer" },
		{ C(",\"portMappings\":[{\"containerPortRange\":\"90-80\"}]"), "ClientException",
		  "'containerPortRange'" },
		{ C(",\"mountPoints\":[{\"sourceVolume\":\"v\",\"containerPath\":\"/x\"}]"),
		  "ClientException", "Unknown volume 'v'." },
		{ C(",\"volumesFrom\":[{\"sourceContainer\":\"b\"}]"), "ClientException",
		  "Unknown container 'b'" },
		{ C(",\"links\":[\"b\"]"), "ClientException", "Unknown container 'b' in 'links'" },
		{ C(",\"dependsOn\":[{\"containerName\":\"b\",\"condition\":\"START\"}]"),
		  "ClientException", "Unknown container 'b' in 'dependsOn'" },
		{ C("},{\"name\":\"b\",\"image\":\"i\",\"memory\":4,\"essential\":false,"
		    "\"dependsOn\":[{\"containerName\":\"a\",\"condition\":\"HEALTHY\"}]"),
		  "ClientException", "which has no 'healthCheck'" },
		{ C("},{\"name\":\"b\",\"image\":\"i\",\"memory\":4,"
		    "\"dependsOn\":[{\"containerName\":\"a\",\"condition\":\"SUCCESS\"}]"),
		  "ClientException", "which is an essential container" },
		{ C(",\"restartPolicy\":{\"restartAttemptPeriod\":60}"), "ClientException",
		  "does not say 'enabled'" },
		{ C(",\"restartPolicy\":{\"enabled\":true,\"restartAttemptPeriod\":59}"),
		  "ClientException", "'restartAttemptPeriod' must be between 60 and 1800" },
		{ C(",\"environment\":[{\"name\":\"A=B\",\"value\":\"\"}]"), "ClientException",
		  "'environment'" },
		{ C(",\"secrets\":[{\"name\":\"A\",\"valueFrom\":\"x\"}]"), "ClientException",
		  "executionRoleArn" },
		{ C(",\"logConfiguration\":{\"logDriver\":\"paper\"}"), "ClientException",
		  "Log driver 'paper' is not supported." },
		{ C(",\"logConfiguration\":{\"logDriver\":\"awslogs\"}"), "ClientException",
		  "awslogs-region, awslogs-group" },
		{ C(",\"healthCheck\":{\"command\":[]}"), "ClientException", "'command'" },
		{ C(",\"healthCheck\":{\"command\":[\"x\"],\"interval\":1}"), "ClientException",
		  "'interval' must be between 5 and 300" },
		{ C(",\"ulimits\":[{\"name\":\"x\",\"softLimit\":1,\"hardLimit\":1}]"),
		  "ClientException", "Unknown ulimit 'x'" },
		{ C(",\"ulimits\":[{\"name\":\"core\",\"softLimit\":2,\"hardLimit\":1}]"),
		  "ClientException", "soft limit of 'core'" },
		{ C(",\"linuxParameters\":{\"swappiness\":101}"), "ClientException",
		  "'swappiness' must be between 0 and 100" },
		{ C(",\"linuxParameters\":{\"tmpfs\":[{\"containerPath\":\"/x\"}]}"),
		  "ClientException", "The 'size' of a tmpfs" },
		{ C(",\"linuxParameters\":{\"tmpfs\":[{\"containerPath\":\"x\",\"size\":1}]}"),
		  "ClientException", "'containerPath' of a tmpfs" },
		{ C(",\"linuxParameters\":{\"devices\":[{\"hostPath\":\"/dev/"
		    "null\",\"permissions\":[\"own\"]}]}"),
		  "ClientException", "Unknown permission 'own'" },
		{ C(",\"resourceRequirements\":[{\"type\":\"GPU\",\"value\":\"none\"}]"),
		  "ClientException", "The number of GPUs is 'none'" },
		{ C("},{\"name\":\"a\",\"image\":\"i\",\"memory\":64"), "ClientException",
		  "unique: 'a'" },
		{ T(",\"networkMode\":\"bus\""), "ClientException", "networkMode: 'bus'" },
		{ T(",\"cpu\":\"lots\""), "ClientException", "Invalid 'cpu' setting for task." },
		{ T(",\"memory\":\"32\""), "ClientException", "more than the memory of the task" },
		{ T(",\"requiresCompatibilities\":[\"FARGATE\"]"), "ClientException",
		  "Fargate only supports network mode 'awsvpc'." },
		{ T(",\"volumes\":[{\"name\":\"v\"},{\"name\":\"v\"}]"), "ClientException",
		  "unique: 'v'" },
		{ VOLUME("\"host\":{},\"dockerVolumeConfiguration\":{}"), "ClientException",
		  "only one of host, dockerVolumeConfiguration" },
		{ VOLUME("\"dockerVolumeConfiguration\":{\"scope\":\"world\"}"),
		  "InvalidParameterException", "scope must be one of task, shared" },
		{ VOLUME("\"dockerVolumeConfiguration\":{\"autoprovision\":true}"),
		  "ClientException", "autoprovision can only be specified" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"x\"}"), "ClientException",
		  "invalid fileSystemId" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\","
			 "\"transitEncryption\":\"yes\"}"),
		  "InvalidParameterException", "must be one of ENABLED, DISABLED" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\","
			 "\"authorizationConfig\":{\"iam\":\"ENABLED\"}}"),
		  "ClientException", "transitEncryption must be ENABLED" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\",\"rootDirectory\":"
			 "\"/x\",\"transitEncryption\":\"ENABLED\",\"authorizationConfig\":{"
			 "\"accessPointId\":\"fsap-1\"}}"),
		  "ClientException", "rootDirectory must be omitted" },
		{ T(",\"placementConstraints\":[{\"type\":\"distinctInstance\"}]"),
		  "ClientException", "memberOf" },
		{ "{\"family\":\"f\",\"networkMode\":\"host\",\"containerDefinitions\":[{\"name\":"
		  "\"a\",\"image\":\"i\",\"memory\":64,\"portMappings\":[{\"containerPort\":80,"
		  "\"hostPort\":81}]}]}",
		  "ClientException", "When networkMode=host, the host ports and container ports" },
		{ T(",\"tags\":[{\"key\":\"aws:x\"}]"), "InvalidParameterException", "reserved" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		api_fails("RegisterTaskDefinition", cases[i].body, cases[i].type, cases[i].text);
}

static void circles_of_dependencies_are_refused(void **state _unused_)
{
	api_fails("RegisterTaskDefinition",
		  C(",\"dependsOn\":[{\"containerName\":\"b\",\"condition\":\"START\"}]},"
		    "{\"name\":\"b\",\"image\":\"i\",\"memory\":64,\"dependsOn\":[{"
		    "\"containerName\":\"a\",\"condition\":\"START\"}]"),
		  "ClientException", "leads back to itself");
}

static void defaults_are_filled_in(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out =
		api_ok("RegisterTaskDefinition", T(",\"volumes\":[{\"name\":\"v\"}],\"cpu\":\"0.5 "
						   "vCPU\",\"memory\":\"1GB\",\"x\":1"));
	const json_t *td = api_at(out, "s", "taskDefinition");
	const json_t *c = api_at(td, "si", "containerDefinitions", 0);

	assert_string_equal(api_text(td, "s", "taskDefinitionArn"),
			    "arn:aws:ecs:us-east-1:123456789012:task-definition/f:1");
	assert_int_equal(api_integer(td, "s", "revision"), 1);
	assert_string_equal(api_text(td, "s", "status"), "ACTIVE");
	assert_string_equal(api_text(td, "s", "cpu"), "512");
	assert_string_equal(api_text(td, "s", "memory"), "1024");
	assert_true(json_is_real(api_at(td, "s", "registeredAt")));
	assert_true(json_is_object(api_at(td, "sis", "volumes", 0, "host")));
	assert_null(api_at(td, "s", "x"));
	assert_true(json_is_true(api_at(c, "s", "essential")));
	assert_int_equal(api_integer(c, "s", "cpu"), 0);
	assert_true(json_is_array(api_at(c, "s", "portMappings")));
	assert_true(json_is_array(api_at(c, "s", "environment")));
	assert_true(json_is_array(api_at(c, "s", "mountPoints")));
	assert_true(json_is_array(api_at(c, "s", "volumesFrom")));
	assert_null(api_at(out, "s", "tags"));
}

static void ports_get_protocol_and_host_port(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *bridge =
		api_ok("RegisterTaskDefinition", C(",\"portMappings\":[{\"containerPort\":80}]"));
	_cleanup_(json_decrefp) json_t *host = api_ok(
		"RegisterTaskDefinition",
		"{\"family\":\"h\",\"networkMode\":\"host\",\"containerDefinitions\":[{\"name\":"
		"\"a\",\"image\":\"i\",\"memory\":64,\"portMappings\":[{\"containerPort\":80}]}]}");
	const json_t *p = api_at(bridge, "ssisi", "taskDefinition", "containerDefinitions", 0,
				 "portMappings", 0);
	const json_t *q = api_at(host, "ssisi", "taskDefinition", "containerDefinitions", 0,
				 "portMappings", 0);

	assert_int_equal(api_integer(p, "s", "hostPort"), 0);
	assert_string_equal(api_text(p, "s", "protocol"), "tcp");
	assert_int_equal(api_integer(q, "s", "hostPort"), 80);
}

static bool needs(const json_t *td, const char *name)
{
	const json_t *a;
	size_t i;

	json_array_foreach(api_at(td, "ss", "taskDefinition", "requiresAttributes"), i, a)
		if (strcmp(json_get_string(a, "name", ""), name) == 0)
			return true;
	return false;
}

static void needs_are_derived(void **state _unused_)
{
	static const struct {
		const char *body, *attribute;
	} cases[] = {
		{ C(",\"privileged\":true"), "com.amazonaws.ecs.capability.privileged-container" },
		{ C(",\"logConfiguration\":{\"logDriver\":\"json-file\"}"),
		  "com.amazonaws.ecs.capability.logging-driver.json-file" },
		{ C(",\"logConfiguration\":{\"logDriver\":\"json-file\"}"),
		  "com.amazonaws.ecs.capability.docker-remote-api.1.18" },
		{ VOLUME("\"dockerVolumeConfiguration\":{}"),
		  "ecs.capability.docker-plugin.local" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\"}"),
		  "ecs.capability.efs" },
		{ VOLUME("\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\","
			 "\"transitEncryption\":\"ENABLED\"}"),
		  "ecs.capability.efsAuth" },
		{ C(",\"healthCheck\":{\"command\":[\"x\"]}"),
		  "ecs.capability.container-health-check" },
		{ C(",\"startTimeout\":5"), "ecs.capability.container-ordering" },
		{ T(",\"cpu\":\"256\""), "ecs.capability.task-cpu-mem-limit" },
		{ T(",\"taskRoleArn\":\"r\""), "com.amazonaws.ecs.capability.task-iam-role" },
		{ T(",\"pidMode\":\"task\""), "ecs.capability.pid-ipc-namespace-sharing" },
		{ T(",\"networkMode\":\"awsvpc\""), "ecs.capability.task-eni" },
		{ "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"memory\":64,"
		  "\"image\":\"1.dkr.ecr.us-east-1.amazonaws.com/a\"}]}",
		  "com.amazonaws.ecs.capability.ecr-auth" },
	};
	_cleanup_(json_decrefp) json_t *plain = api_ok("RegisterTaskDefinition", T(""));

	assert_int_equal(
		json_array_size(api_at(plain, "ss", "taskDefinition", "requiresAttributes")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_decrefp) json_t *td =
			api_ok("RegisterTaskDefinition", cases[i].body);

		if (!needs(td, cases[i].attribute))
			fail_msg("%s is not needed", cases[i].attribute);
		assert_false(needs(plain, cases[i].attribute));
	}
}

static void revisions_count_up_and_are_found(void **state _unused_)
{
	static const char *const refs[] = {
		"f", "f:2", "arn:aws:ecs:us-east-1:123456789012:task-definition/f:2"
	};

	json_decref(api_ok("RegisterTaskDefinition", T("")));
	json_decref(
		api_ok("RegisterTaskDefinition", T(",\"tags\":[{\"key\":\"k\",\"value\":\"v\"}]")));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		char body[256];
		_cleanup_(json_decrefp) json_t *out = NULL;

		(void) snprintf(body, sizeof(body),
				"{\"taskDefinition\":\"%s\",\"include\":[\"TAGS\"]}", refs[i]);
		out = api_ok("DescribeTaskDefinition", body);
		assert_int_equal(api_integer(out, "ss", "taskDefinition", "revision"), 2);
		assert_string_equal(api_text(out, "sis", "tags", 0, "key"), "k");
		assert_null(api_at(out, "ss", "taskDefinition", "tags"));
	}
	api_fails("DescribeTaskDefinition", "{\"taskDefinition\":\"f:3\"}", "ClientException",
		  "Unable to describe task definition.");
}

static void deregistered_revisions_step_back(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out = NULL;

	json_decref(api_ok("RegisterTaskDefinition", T("")));
	json_decref(api_ok("RegisterTaskDefinition", T("")));
	json_decref(api_ok("DeregisterTaskDefinition", "{\"taskDefinition\":\"f:2\"}"));
	out = api_ok("DescribeTaskDefinition", "{\"taskDefinition\":\"f\"}");
	assert_int_equal(api_integer(out, "ss", "taskDefinition", "revision"), 1);
	json_decref(out);
	out = api_ok("RegisterTaskDefinition", T(""));
	assert_int_equal(api_integer(out, "ss", "taskDefinition", "revision"), 3);
	api_fails("DeregisterTaskDefinition", "{\"taskDefinition\":\"f\"}", "ClientException",
		  "Invalid revision number");
}

static void lists_are_sorted_filtered_and_paged(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;
	char body[1024];

	for (int i = 0; i < 3; i++)
		json_decref(api_ok("RegisterTaskDefinition", T("")));
	first = api_ok("ListTaskDefinitions", "{\"maxResults\":2,\"sort\":\"DESC\"}");
	assert_int_equal(json_array_size(api_at(first, "s", "taskDefinitionArns")), 2);
	assert_non_null(strstr(api_text(first, "si", "taskDefinitionArns", 0), "f:3"));
	(void) snprintf(body, sizeof(body),
			"{\"maxResults\":2,\"sort\":\"DESC\",\"nextToken\":\"%s\"}",
			api_text(first, "s", "nextToken"));
	second = api_ok("ListTaskDefinitions", body);
	assert_int_equal(json_array_size(api_at(second, "s", "taskDefinitionArns")), 1);
	assert_non_null(strstr(api_text(second, "si", "taskDefinitionArns", 0), "f:1"));
	assert_null(api_at(second, "s", "nextToken"));
	api_fails("ListTaskDefinitions", "{\"nextToken\":\"zz\"}", "InvalidParameterException",
		  "Invalid token.");
	api_fails("ListTaskDefinitions", "{\"maxResults\":0}", "InvalidParameterException",
		  "maxResults must be between 1 and 100.");
}

static void families_know_their_status(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *active = NULL, *inactive = NULL, *all = NULL;

	json_decref(api_ok("RegisterTaskDefinition", T("")));
	json_decref(api_ok("RegisterTaskDefinition",
			   "{\"family\":\"g\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":"
			   "\"i\",\"memory\":64}]}"));
	json_decref(api_ok("DeregisterTaskDefinition", "{\"taskDefinition\":\"g:1\"}"));
	active = api_ok("ListTaskDefinitionFamilies", "{\"status\":\"ACTIVE\"}");
	inactive = api_ok("ListTaskDefinitionFamilies", "{\"status\":\"INACTIVE\"}");
	all = api_ok("ListTaskDefinitionFamilies", "{}");
	assert_string_equal(api_text(active, "si", "families", 0), "f");
	assert_int_equal(json_array_size(api_at(active, "s", "families")), 1);
	assert_string_equal(api_text(inactive, "si", "families", 0), "g");
	assert_int_equal(json_array_size(api_at(all, "s", "families")), 2);
}

static void a_definition_is_bounded(void **state _unused_)
{
	_cleanup_(buf_done) struct buf body = {};

	(void) buf_puts(&body,
			"{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":"
			"\"i\",\"memory\":64,\"command\":[\"");
	for (int i = 0; i < TASKDEF_BYTES_MAX; i++)
		(void) buf_puts(&body, "x");
	(void) buf_puts(&body, "\"]}]}");
	api_fails("RegisterTaskDefinition", buf_str(&body), "ClientException",
		  "Max allowed length is '65536' bytes.");
}

static void sizes_are_read_in_both_forms(void **state _unused_)
{
	static const struct {
		const char *text;
		int64_t cpu, memory; /* -1: refused */
	} cases[] = {
		{ "256", 256, 256 },       { "0.25 vCPU", 256, -1 }, { "2vcpu", 2048, -1 },
		{ "1 GB", -1, 1024 },      { "0.5GB", -1, 512 },     { "", -1, -1 },
		{ "-1", -1, -1 },          { "1.5", -1, -1 },        { "0", -1, -1 },
		{ "1 vCPU x", -1, -1 },    { "nan", -1, -1 },        { "1e9", -1, -1 },
		{ "99999999999", -1, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t v = -1;

		(void) taskdef_parse_cpu(cases[i].text, &v);
		assert_int_equal(v, cases[i].cpu);
		v = -1;
		(void) taskdef_parse_memory(cases[i].text, &v);
		assert_int_equal(v, cases[i].memory);
	}
}

#define with_store(f) cmocka_unit_test_setup_teardown(f, api_setup, api_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_store(bad_definitions_are_refused_by_name),
		with_store(circles_of_dependencies_are_refused),
		with_store(defaults_are_filled_in),
		with_store(ports_get_protocol_and_host_port),
		with_store(needs_are_derived),
		with_store(revisions_count_up_and_are_found),
		with_store(deregistered_revisions_step_back),
		with_store(lists_are_sorted_filtered_and_paged),
		with_store(families_know_their_status),
		with_store(a_definition_is_bounded),
		cmocka_unit_test(sizes_are_read_in_both_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
