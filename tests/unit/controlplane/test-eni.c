/* SPDX-License-Identifier: Apache-2.0 */
/* Network mode awsvpc: the file of subnets, who gets which interface, what tasks show of it. */
#include "tests/unit/controlplane/api.h"

#include <errno.h>

#include "controlplane/acs_compose.h"
#include "controlplane/agentapi.h"
#include "controlplane/eni_wait.h"
#include "controlplane/subnets.h"

#define ENI(id, mac, v4, more)                                                                     \
	"{\"networkInterfaceId\":\"" id "\",\"macAddress\":\"" mac                                 \
	"\",\"privateIpv4Addresses\":[\"" v4 "\"]" more "}"
#define SUBNET(id, members) "{\"subnetId\":\"" id "\"" members "}"
#define V4 ",\"cidrBlock\":\"10.0.1.0/24\",\"gateway\":\"10.0.1.1\""
#define V6 ",\"ipv6CidrBlock\":\"fd00:1::/64\",\"ipv6Gateway\":\"fe80::1\""
#define LAB                                                                                        \
	"{\"subnets\":[" SUBNET(                                                                   \
		"subnet-1",                                                                        \
		V4 V6 ",\"dnsServers\":[\"10.0.0.2\"],\"securityGroups\":[\"sg-1\"],"              \
		      "\"networkInterfaces\":[" ENI(                                               \
			      "eni-a", "02:00:00:00:00:0A", "10.0.1.5",                            \
			      ",\"ipv6Addresses\":[\"fd00:1::5\"],\"instances\":"                  \
			      "\"attribute:zone == a\"") "," ENI("eni-b", "02:00:00:00:00:0b",     \
								 "10.0.1.6",                       \
								 ",\"instances\":\"attribute:"     \
								 "zone == b\"") "]") "]}"

#define ATTRIBUTES(zone)                                                                           \
	"{\"attributes\":[{\"name\":\"zone\",\"value\":\"" zone "\"},{\"name\":"                   \
	"\"ecs.capability.task-eni\"},{\"name\":"                                                  \
	"\"com.amazonaws.ecs.capability.docker-remote-api.1.18\"}]}"

#define RUN(config)                                                                                \
	"{\"taskDefinition\":\"f\",\"networkConfiguration\":{\"awsvpcConfiguration\":{" config "}" \
	"}"                                                                                        \
	"}"
#define GOOD RUN("\"subnets\":[\"subnet-1\"],\"securityGroups\":[\"sg-1\"]")

static char one[ARN_MAX], two[ARN_MAX];

static int setup(void **state)
{
	int k = api_setup(state);

	ops_add(agent_operations);
	assert_int_equal(subnets_parse(LAB, strlen(LAB), &cp.subnets, NULL), 0);
	json_decref(api_ok("CreateCluster", "{}"));
	api_instance(ATTRIBUTES("a"), one);
	api_instance(ATTRIBUTES("b"), two);
	json_decref(api_ok("RegisterTaskDefinition",
			   "{\"family\":\"f\",\"networkMode\":\"awsvpc\",\"containerDefinitions\":"
			   "[{\"name\":\"c\",\"image\":\"i\",\"memory\":8,\"portMappings\":"
			   "[{\"containerPort\":80}]}]}"));
	return k;
}

static int teardown(void **state)
{
	ops_add(NULL);
	return api_teardown(state);
}

/* An answer with one task: a reference to it. */
static json_t *run_one(const char *body)
{
	_cleanup_(json_decrefp) json_t *out = api_ok("RunTask", body);
	json_t *task = json_array_get(json_object_get(out, "tasks"), 0);

	if (!task) {
		_cleanup_(freep) char *text = json_dumps(out, 0);

		fail_msg("%s", text);
	}
	return json_incref(task);
}

static json_t *describe(const json_t *task)
{
	_cleanup_(json_decrefp) json_t *out = NULL;
	char body[ARN_MAX + 32];

	(void) snprintf(body, sizeof(body), "{\"tasks\":[\"%s\"]}", api_text(task, "s", "taskArn"));
	out = api_ok("DescribeTasks", body);
	return json_incref(json_array_get(json_object_get(out, "tasks"), 0));
}

static const char *detail(const json_t *task, const char *name)
{
	const json_t *d;
	size_t i;

	json_array_foreach(api_at(task, "sis", "attachments", 0, "details"), i, d)
		if (strcmp(json_get_string(d, "name", ""), name) == 0)
			return json_get_string(d, "value", "");
	return "";
}

static void report_attachment(const json_t *task, const char *status)
{
	char body[2 * ARN_MAX];

	(void) snprintf(body, sizeof(body),
			"{\"task\":\"%s\",\"attachments\":[{\"attachmentArn\":"
			"\"arn:aws:ecs:us-east-1:123456789012:attachment/%s\",\"status\":\"%s\"}]}",
			api_text(task, "s", "taskArn"),
			api_text(task, "sis", "attachments", 0, "id"), status);
	json_decref(api_ok("SubmitTaskStateChange", body));
}

static void a_task_shows_its_interface(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = run_one(
		"{\"taskDefinition\":\"f\",\"placementConstraints\":[{\"type\":\"memberOf\","
		"\"expression\":\"attribute:zone == a\"}],\"networkConfiguration\":"
		"{\"awsvpcConfiguration\":{\"subnets\":[\"subnet-1\"]}}}");

	assert_string_equal(api_text(task, "s", "lastStatus"), "PROVISIONING");
	assert_string_equal(api_text(task, "sis", "attachments", 0, "type"),
			    "ElasticNetworkInterface");
	assert_string_equal(api_text(task, "sis", "attachments", 0, "status"), "PRECREATED");
	assert_string_equal(detail(task, "subnetId"), "subnet-1");
	assert_string_equal(detail(task, "networkInterfaceId"), "eni-a");
	assert_string_equal(detail(task, "macAddress"), "02:00:00:00:00:0a");
	assert_string_equal(detail(task, "privateIPv4Address"), "10.0.1.5");
	assert_string_equal(detail(task, "ipv6Address"), "fd00:1::5");
	assert_string_equal(detail(task, "privateDnsName"),
			    "ip-10-0-1-5.us-east-1.compute.internal");
	assert_string_equal(api_text(task, "sisis", "containers", 0, "networkInterfaces", 0,
				     "privateIpv4Address"),
			    "10.0.1.5");
	assert_string_equal(
		api_text(task, "sisis", "containers", 0, "networkInterfaces", 0, "attachmentId"),
		api_text(task, "sis", "attachments", 0, "id"));
}

static void reports_move_the_attachment(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = run_one(GOOD), *attached = NULL, *running = NULL,
				       *stopped = NULL;
	const char *arn = api_text(task, "s", "taskArn");

	report_attachment(task, "ATTACHED");
	attached = describe(task);
	assert_string_equal(api_text(attached, "s", "lastStatus"), "PENDING");
	assert_string_equal(api_text(attached, "sis", "attachments", 0, "status"), "ATTACHED");
	api_report(arn, "RUNNING", "{}");
	report_attachment(task, "ATTACHED"); /* repeated */
	running = describe(task);
	assert_string_equal(api_text(running, "s", "lastStatus"), "RUNNING");
	api_report(arn, "STOPPED", "{}");
	report_attachment(task, "ATTACHED"); /* late */
	stopped = describe(task);
	assert_string_equal(api_text(stopped, "sis", "attachments", 0, "status"), "DETACHED");
	api_fails("SubmitTaskStateChange",
		  "{\"task\":\"x\",\"attachments\":[{\"attachmentArn\":\"a/b\",\"status\":"
		  "\"ATTACHED\"}]}",
		  "ClientException", "not found");
}

/* createdAt, in ms, @after seconds later */
static int64_t later(const json_t *task, double after)
{
	return (int64_t) ((json_number_value(json_object_get(task, "createdAt")) + after) * 1000);
}

static void one_that_does_not_come_stops_the_task(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = run_one(GOOD), *attached = run_one(GOOD),
				       *early = NULL, *late = NULL, *other = NULL;

	report_attachment(attached, "ATTACHED");
	cp.settings.eni_wait_s = 20;
	assert_int_equal(eni_wait_look(&cp, later(task, 19), NULL), 0);
	early = describe(task);
	assert_string_equal(api_text(early, "s", "desiredStatus"), "RUNNING");
	assert_int_equal(eni_wait_look(&cp, later(attached, 21), NULL), 0);
	late = describe(task);
	assert_string_equal(api_text(late, "s", "desiredStatus"), "STOPPED");
	assert_string_equal(api_text(late, "s", "stopCode"), "TaskFailedToStart");
	assert_string_equal(api_text(late, "s", "stoppedReason"),
			    "Timeout waiting for network interface provisioning to complete.");
	other = describe(attached);
	assert_string_equal(api_text(other, "s", "desiredStatus"), "RUNNING");
}

static void an_interface_is_given_once_and_comes_back(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *a = run_one(GOOD), *b = run_one(GOOD), *c = NULL;
	_cleanup_(json_decrefp) json_t *out = api_ok("RunTask", GOOD);

	assert_string_not_equal(detail(a, "networkInterfaceId"), detail(b, "networkInterfaceId"));
	assert_string_not_equal(api_text(a, "s", "containerInstanceArn"),
				api_text(b, "s", "containerInstanceArn"));
	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 0);
	assert_int_equal(json_array_size(api_at(out, "s", "failures")), 2);
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "RESOURCE:ENI");
	api_report(api_text(a, "s", "taskArn"), "STOPPED", "{}");
	c = run_one(GOOD);
	assert_string_equal(detail(c, "networkInterfaceId"), detail(a, "networkInterfaceId"));
	assert_string_not_equal(api_text(c, "sis", "attachments", 0, "id"),
				api_text(a, "sis", "attachments", 0, "id"));
}

static void many_at_once_get_one_each(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *out =
		api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":3,\"networkConfiguration\":"
				  "{\"awsvpcConfiguration\":{\"subnets\":[\"subnet-1\"]}}}");

	assert_int_equal(json_array_size(api_at(out, "s", "tasks")), 2);
	assert_string_equal(api_text(out, "sis", "failures", 0, "reason"), "RESOURCE:ENI");
}

static void a_chosen_instance_needs_one_too(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;
	char body[2 * ARN_MAX];

	(void) snprintf(body, sizeof(body),
			"{\"taskDefinition\":\"f\",\"containerInstances\":[\"%s\"],"
			"\"networkConfiguration\":{\"awsvpcConfiguration\":{\"subnets\":"
			"[\"subnet-1\"]}}}",
			two);
	first = api_ok("StartTask", body);
	assert_string_equal(detail(api_at(first, "si", "tasks", 0), "networkInterfaceId"), "eni-b");
	second = api_ok("StartTask", body);
	assert_string_equal(api_text(second, "sis", "failures", 0, "reason"), "RESOURCE:ENI");
}

static void what_ecs_refuses_is_refused(void **state _unused_)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{ "{\"taskDefinition\":\"f\"}", "Network Configuration must be provided" },
		{ "{\"taskDefinition\":\"f\",\"networkConfiguration\":{}}",
		  "awsvpcConfiguration can not be empty" },
		{ RUN("\"subnets\":[]"), "subnets can not be empty" },
		{ RUN("\"subnets\":[\"subnet-x\"]"),
		  "The subnet ID 'subnet-x' does not exist (ErrorCode: InvalidSubnetID.NotFound)" },
		{ RUN("\"subnets\":[\"subnet-1\"],\"securityGroups\":[\"sg-x\"]"),
		  "The security group 'sg-x' does not exist (ErrorCode: InvalidGroup.NotFound)" },
		{ RUN("\"subnets\":[\"subnet-1\"],\"securityGroups\":[\"1\",\"2\",\"3\",\"4\","
		      "\"5\","
		      "\"6\"]"),
		  "securityGroups can have at most 5 items" },
		{ RUN("\"subnets\":[\"subnet-1\"],\"assignPublicIp\":\"ENABLED\""),
		  "Assign public IP is not supported for this launch type." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		api_fails("RunTask", cases[i].body, "InvalidParameterException", cases[i].text);
	json_decref(api_ok("RegisterTaskDefinition",
			   "{\"family\":\"g\",\"containerDefinitions\":[{\"name\":\"c\",\"image\":"
			   "\"i\",\"memory\":8}]}"));
	api_fails("RunTask",
		  "{\"taskDefinition\":\"g\",\"networkConfiguration\":{\"awsvpcConfiguration\":"
		  "{\"subnets\":[\"subnet-1\"]}}}",
		  "InvalidParameterException", "not valid for the given networkMode");
}

static void instance_reports_find_the_task(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = run_one(GOOD), *after = NULL;
	char body[2 * ARN_MAX];

	(void) snprintf(body, sizeof(body),
			"{\"attachments\":[{\"attachmentArn\":\"arn:aws:ecs:us-east-1:123456789012:"
			"attachment/%s\",\"status\":\"ATTACHED\"}]}",
			api_text(task, "sis", "attachments", 0, "id"));
	json_decref(api_ok("SubmitAttachmentStateChanges", body));
	after = describe(task);
	assert_string_equal(api_text(after, "sis", "attachments", 0, "status"), "ATTACHED");
	api_fails("SubmitAttachmentStateChanges",
		  "{\"attachments\":[{\"attachmentArn\":\"arn:x\",\"status\":\"ATTACHED\"}]}",
		  "InvalidParameterException", "does not exist");
}

/* The announcement and the payload say the same of the interface. */
static void the_agent_is_told_before_the_payload(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *task = run_one(GOOD), *attach = NULL, *payload = NULL,
				       *list = json_array(), *after = NULL;
	_cleanup_(composed_done) struct composed c = {}, p = {};
	const char *instance = api_text(task, "s", "containerInstanceArn");
	const json_t *eni;
	size_t from = 0;

	assert_int_equal(acs_compose_attach(&cp, instance, task, &c, NULL), 0);
	attach = json_loads(c.text, 0, NULL);
	assert_string_equal(api_text(attach, "s", "type"), "AttachTaskNetworkInterfacesMessage");
	assert_int_equal(api_integer(attach, "ss", "message", "waitTimeoutMs"), 300000);
	assert_string_equal(api_text(attach, "ss", "message", "taskArn"),
			    api_text(task, "s", "taskArn"));
	eni = api_at(attach, "ssi", "message", "elasticNetworkInterfaces", 0);
	assert_string_equal(api_text(eni, "s", "ec2Id"), detail(task, "networkInterfaceId"));
	assert_string_equal(api_text(eni, "s", "subnetGatewayIpv4Address"), "10.0.1.1/24");
	assert_string_equal(api_text(eni, "s", "subnetGatewayIpv6Address"), "fe80::1/64");
	assert_string_equal(api_text(eni, "si", "domainNameServers", 0), "10.0.0.2");
	(void) json_array_append(list, task);
	assert_int_equal(acs_compose_payload(&cp, instance, list, &from, &p, NULL), 0);
	payload = json_loads(p.text, 0, NULL);
	assert_true(json_equal(eni, api_at(payload, "ssisi", "message", "tasks", 0,
					   "elasticNetworkInterfaces", 0)));
	assert_string_equal(api_text(payload, "ssis", "message", "tasks", 0, "networkMode"),
			    "awsvpc");
	assert_int_equal(acs_store_attaching(&cp, c.tasks, NULL), 0);
	after = describe(task);
	assert_string_equal(api_text(after, "sis", "attachments", 0, "status"), "ATTACHING");
}

static void a_bad_file_is_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "[]", "is no object" },
		{ "{}", "subnets: missing" },
		{ "{\"subnets\":[{}]}", "subnets[0].subnetId: missing" },
		{ "{\"subnets\":[" SUBNET("s/1", "") "]}",
		  "subnets[0]: subnetId: 's/1' has more than letters, digits and '-'" },
		{ "{\"subnets\":[" SUBNET("s", ",\"gateway\":\"10.0.0.1\"") "]}",
		  "subnets[0]: cidrBlock: missing, which gateway needs" },
		{ "{\"subnets\":[" SUBNET("s", ",\"cidrBlock\":\"10.0.0.0/33\",\"gateway\":"
					       "\"10.0.0.1\"") "]}",
		  "subnets[0]: cidrBlock: '10.0.0.0/33' is no network with a prefix of 1..32" },
		{ "{\"subnets\":[" SUBNET("s", ",\"cidrBlock\":\"10.0.0.0/24\",\"gateway\":"
					       "\"10.0.1.1\"") "]}",
		  "subnets[0]: gateway: '10.0.1.1' is not in the subnet" },
		{ "{\"subnets\":[" SUBNET("s", V4
					  ",\"networkInterfaces\":[" ENI("e", "02:00:00:00:00:0x",
									 "10.0.1.5", "") "]") "]}",
		  "subnets[0]: networkInterfaces[0]: macAddress: '02:00:00:00:00:0x' is no MAC "
		  "address" },
		{ "{\"subnets\":[" SUBNET("s", V4
					  ",\"networkInterfaces\":[" ENI("e", "02:00:00:00:00:0a",
									 "10.0.2.5", "") "]") "]}",
		  "subnets[0]: networkInterfaces[0]: privateIpv4Addresses[0]: '10.0.2.5' is not in "
		  "the subnet" },
		{ "{\"subnets\":[" SUBNET("s",
					  V4 ",\"networkInterfaces\":[" ENI(
						  "e", "02:00:00:00:00:0a", "10.0.1.5",
						  ",\"ipv6Addresses\":[\"fd00::1\"]") "]") "]}",
		  "subnets[0]: networkInterfaces[0]: ipv6Addresses[0]: 'fd00::1': the subnet has "
		  "no "
		  "such network" },
		{ "{\"subnets\":[" SUBNET("s", V4 ",\"networkInterfaces\":[" ENI(
						       "e", "02:00:00:00:00:0a", "10.0.1.5",
						       "") "," ENI("f", "02:00:00:00:00:0A",
								   "10.0.1.6", "") "]") "]}",
		  "subnets[0]: networkInterfaces[1]: macAddress: '02:00:00:00:00:0a' is declared "
		  "twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		json_t *list = NULL;

		assert_int_equal(subnets_parse(cases[i].text, strlen(cases[i].text), &list, &err),
				 -EPROTO);
		assert_string_equal(err_text(&err), cases[i].complaint);
		assert_null(list);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_task_shows_its_interface),
		TEST(reports_move_the_attachment),
		TEST(one_that_does_not_come_stops_the_task),
		TEST(an_interface_is_given_once_and_comes_back),
		TEST(many_at_once_get_one_each),
		TEST(a_chosen_instance_needs_one_too),
		TEST(what_ecs_refuses_is_refused),
		TEST(instance_reports_find_the_task),
		TEST(the_agent_is_told_before_the_payload),
		cmocka_unit_test(a_bad_file_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
