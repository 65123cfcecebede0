/* SPDX-License-Identifier: Apache-2.0 */
/* What registration sends, and what it makes of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/ctl/capabilities.h"
#include "agent/ctl/register.h"
#include "aws/imds.h"
#include "common/json.h"
#include "common/macro.h"

static uint16_t tcp_ports[] = { 22, 51678 };
static char json_file[] = "json-file", none[] = "none", os_family[] = "debian_12";
static char *drivers[] = { json_file, none, NULL };
static char key[] = "rack", value[] = "7";
static struct json_pair pairs[] = { { key, value } };

static struct config test_config(void)
{
	return (struct config){
		.task_cpu_mem_limit = true,
		.logging_drivers = drivers,
		.reserved_ports = { tcp_ports, 2 },
		.reserved_memory_mib = 100,
		.detailed_os_family = os_family,
		.instance_attributes = pairs,
		.n_instance_attributes = 1,
	};
}

static const struct host_facts facts = { .cpus = 2, .memory_mib = 4000 };

static bool has(const json_t *list, const char *name)
{
	const json_t *a;
	size_t i;

	json_array_foreach((json_t *) list, i, a) {
		if (strcmp(json_get_string(a, "name", ""), name) == 0)
			return true;
	}
	return false;
}

static void resources_come_in_order_and_without_zeros(void **state)
{
	struct config c = test_config();
	json_auto_t *r = NULL;
	_cleanup_(freep) char *text = NULL;

	(void) state;
	assert_int_equal(resources_build(&c, &facts, &r, NULL), 0);
	text = json_to_text(r);
	assert_string_equal(
		text, "[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":2048},"
		      "{\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":3900},"
		      "{\"name\":\"PORTS\",\"type\":\"STRINGSET\",\"stringSetValue\":"
		      "[\"22\",\"51678\"]},"
		      "{\"name\":\"PORTS_UDP\",\"type\":\"STRINGSET\",\"stringSetValue\":[]}]");
}

static void a_reservation_of_everything_is_refused(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct config c = test_config();
	json_t *r = NULL;

	(void) state;
	c.reserved_memory_mib = 4001;
	assert_int_equal(resources_build(&c, &facts, &r, &err), -ERANGE);
	assert_string_equal(err.msg,
			    "ECS_RESERVED_MEMORY: 4001 is more than the 4000 MiB of this host");
}

static void attributes_follow_the_configuration(void **state)
{
	struct config c = test_config();
	json_auto_t *first = NULL, *again = NULL;

	(void) state;
	assert_int_equal(capabilities_build(&c, &facts, true, &first, NULL), 0);
	assert_string_equal(json_get_string(json_array_get(first, 0), "name", ""), "rack");
	assert_string_equal(json_get_string(json_array_get(first, 0), "value", ""), "7");
	assert_true(has(first, "com.amazonaws.ecs.capability.privileged-container"));
	assert_true(has(first, "com.amazonaws.ecs.capability.logging-driver.none"));
	assert_true(has(first, "ecs.capability.task-cpu-mem-limit"));
	assert_true(has(first, "ecs.capability.docker-plugin.local"));
	assert_true(has(first, "ecs.capability.efs"));
	assert_false(has(first, "ecs.capability.efsAuth"));
	assert_false(has(first, "com.amazonaws.ecs.capability.docker-remote-api.1.26"));
	c.privileged_disabled = true;
	c.task_cpu_mem_limit = false;
	drivers[1] = NULL;
	c.volume_plugin_capabilities = (char *[]){ (char[]){ "efsAuth" }, NULL };
	assert_int_equal(capabilities_build(&c, &facts, false, &again, NULL), 0);
	assert_true(has(again, "ecs.capability.efsAuth"));
	drivers[1] = none;
	assert_false(has(again, "rack"));
	assert_false(has(again, "com.amazonaws.ecs.capability.privileged-container"));
	assert_false(has(again, "com.amazonaws.ecs.capability.logging-driver.none"));
	assert_false(has(again, "ecs.capability.task-cpu-mem-limit"));
	assert_false(has(again, "ecs.capability.external"));
}

static void interfaces_of_tasks_are_promised_by_settings(void **state)
{
	struct host_facts f = facts;
	struct config c = test_config();
	json_auto_t *off = NULL, *all = NULL, *few = NULL;

	(void) state;
	f.vpc_id = "vpc-1";
	f.subnet_id = "subnet-1";
	c.high_density_eni = c.awsvpc_block_imds = true;
	assert_int_equal(capabilities_build(&c, &f, true, &off, NULL), 0);
	assert_false(has(off, "ecs.capability.task-eni-block-instance-metadata"));
	assert_false(has(off, "ecs.capability.task-eni-trunking"));
	assert_false(has(off, "ecs.vpc-id"));
	c.task_eni = true;
	assert_int_equal(capabilities_build(&c, &f, true, &all, NULL), 0);
	assert_true(has(all, "ecs.capability.task-eni"));
	assert_true(has(all, "ecs.capability.task-eni.ipv6"));
	assert_true(has(all, "ecs.capability.cni-plugin-version"));
	assert_true(has(all, "ecs.capability.task-eni-block-instance-metadata"));
	assert_true(has(all, "ecs.capability.task-eni-trunking"));
	assert_true(has(all, "ecs.vpc-id"));
	assert_true(has(all, "ecs.subnet-id"));
	c.high_density_eni = c.awsvpc_block_imds = false;
	assert_int_equal(capabilities_build(&c, &facts, true, &few, NULL), 0);
	assert_true(has(few, "ecs.capability.task-eni"));
	assert_false(has(few, "ecs.capability.task-eni-block-instance-metadata"));
	assert_false(has(few, "ecs.capability.branch-cni-plugin-version"));
	assert_false(has(few, "ecs.vpc-id"));
}

static void the_tail_of_the_attributes_is_in_order(void **state)
{
	struct host_facts f = facts;
	struct config c = test_config();
	json_auto_t *list = NULL;
	size_t n;

	(void) state;
	f.outpost_arn = "arn:o";
	assert_int_equal(capabilities_build(&c, &f, true, &list, NULL), 0);
	n = json_array_size(list);
	assert_string_equal(json_get_string(json_array_get(list, n - 4), "value", ""), "linux");
	assert_string_equal(json_get_string(json_array_get(list, n - 3), "value", ""), "LINUX");
	assert_string_equal(json_get_string(json_array_get(list, n - 2), "value", ""), "debian_12");
	assert_string_equal(json_get_string(json_array_get(list, n - 1), "value", ""), "arn:o");
}

static void every_attribute_must_come_back(void **state)
{
	static const struct {
		const char *echo, *complaint;
	} cases[] = {
		{ "[{\"name\":\"x\"},{\"name\":\"b\",\"value\":\"2\"},{\"name\":\"a\"}]", NULL },
		{ "[{\"name\":\"b\",\"value\":\"2\"},{\"name\":\"a\",\"value\":\"\"}]", NULL },
		{ "[{\"name\":\"b\",\"value\":\"2\"}]",
		  "Attribute validation failed: 'a' came back as '(absent)'" },
		{ "[{\"name\":\"a\"},{\"name\":\"b\",\"value\":\"3\"}]",
		  "Attribute validation failed: 'b' came back as '3'" },
		{ "[]", "Attribute validation failed: 'a' came back as '(absent)'" },
	};
	json_auto_t *sent =
		json_loads("[{\"name\":\"a\"},{\"name\":\"b\",\"value\":\"2\"}]", 0, NULL);

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		json_auto_t *echo = json_loads(cases[i].echo, 0, NULL);

		assert_int_equal(attributes_check_echo(sent, echo, &err),
				 cases[i].complaint ? -EPROTO : 0);
		if (cases[i].complaint)
			assert_string_equal(err.msg, cases[i].complaint);
	}
	assert_true(attributes_check_echo(sent, NULL, NULL) < 0);
}

static void meminfo_is_read_in_mib(void **state)
{
	(void) state;
	assert_int_equal(meminfo_total_mib("MemTotal:        8127720 kB\nMemFree: 1 kB\n"), 7937);
	assert_int_equal(meminfo_total_mib("MemFree: 1 kB\n"), 0);
	assert_int_equal(meminfo_total_mib(""), 0);
}

static void the_request_has_what_it_needs(void **state)
{
	struct config c = test_config();
	struct register_input in = {
		.config = &c, .facts = &facts, .cluster = "web", .client_token = "token"
	};
	json_auto_t *first = NULL, *again = NULL, *a = NULL, *b = NULL;

	(void) state;
	assert_int_equal(register_build(&in, &first, &a, NULL), 0);
	assert_string_equal(json_get_string(first, "cluster", ""), "web");
	assert_string_equal(json_get_string(first, "instanceIdentityDocument", "?"), "");
	assert_string_equal(json_get_string(first, "instanceIdentityDocumentSignature", "?"), "");
	assert_string_equal(json_get_string(first, "clientToken", ""), "token");
	assert_null(json_object_get(first, "containerInstanceArn"));
	assert_null(json_object_get(first, "tags"));
	assert_null(json_object_get(first, "versionInfo"));
	assert_true(json_equal(json_object_get(first, "attributes"), a));
	in.saved_arn = "arn:i";
	c.instance_tags = pairs;
	c.n_instance_tags = 1;
	assert_int_equal(register_build(&in, &again, &b, NULL), 0);
	assert_string_equal(json_get_string(again, "containerInstanceArn", ""), "arn:i");
	assert_string_equal(
		json_get_string(json_array_get(json_object_get(again, "tags"), 0), "key", ""),
		"rack");
	assert_false(has(b, "rack"));
}

static const json_t *of_name(const json_t *list, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *) list, i, o) {
		if (strcmp(json_get_string(o, "name", ""), name) == 0)
			return o;
	}
	return NULL;
}

/* The GPUs are devices of the platform, and the driver's version is an attribute, for placement. */
static void gpus_are_registered_where_there_is_support(void **state)
{
	char *ids[] = { (char[]){ "GPU-1a" }, (char[]){ "GPU-2b" }, NULL };
	struct config c = test_config();
	struct register_input in = {
		.config = &c, .facts = &facts, .cluster = "web", .client_token = "token"
	};
	json_auto_t *without = NULL, *with = NULL, *empty = NULL, *a = NULL, *b = NULL, *d = NULL;
	_cleanup_(freep) char *text = NULL;

	(void) state;
	c.gpus = (struct gpu_inventory){ .driver_version = (char[]){ "550.54" }, .ids = ids };
	assert_int_equal(register_build(&in, &without, &a, NULL), 0);
	assert_null(json_object_get(without, "platformDevices"));
	assert_null(of_name(a, "ecs.capability.gpu-driver-version"));
	c.gpu_support = true;
	assert_int_equal(register_build(&in, &with, &b, NULL), 0);
	text = json_to_text(json_object_get(with, "platformDevices"));
	assert_string_equal(text, "[{\"id\":\"GPU-1a\",\"type\":\"GPU\"},"
				  "{\"id\":\"GPU-2b\",\"type\":\"GPU\"}]");
	assert_string_equal(
		json_get_string(of_name(b, "ecs.capability.gpu-driver-version"), "value", ""),
		"550.54");
	assert_non_null(of_name(b, "ecs.capability.nvidia-driver-version.550.54"));
	c.gpus = (struct gpu_inventory){}; /* support is on, and there is no inventory */
	assert_int_equal(register_build(&in, &empty, &d, NULL), 0);
	assert_int_equal(json_array_size(json_object_get(empty, "platformDevices")), 0);
	assert_null(of_name(d, "ecs.capability.gpu-driver-version"));
}

static void answers_are_judged_by_table(void **state)
{
	static const struct {
		int status;
		const char *error, *message;
		bool retriable, has_arn, may_create;
		enum register_step want;
	} cases[] = {
		{ 400, "ClusterNotFoundException", "", false, false, true,
		  REGISTER_CREATE_CLUSTER },
		{ 400, "ClientException", "Cluster not found.", false, false, true,
		  REGISTER_CREATE_CLUSTER },
		{ 400, "ClusterNotFoundException", "", false, false, false, REGISTER_FAILED },
		{ 400, "ClusterNotFoundException", "", false, true, true, REGISTER_FAILED },
		{ 400, "InvalidParameterException", "", false, false, false, REGISTER_TERMINAL },
		{ 400, "ClientException", "x", false, false, true, REGISTER_TERMINAL },
		{ 400, "ServerException", "Container instance type changes are not supported.",
		  true, true, false, REGISTER_TERMINAL },
		{ 400, "ThrottlingException", "", true, false, false, REGISTER_RETRY },
		{ 500, "ServerException", "", true, false, false, REGISTER_RETRY },
		{ 0, "", "refused", true, false, true, REGISTER_RETRY },
		{ 403, "AccessDeniedException", "", false, false, true, REGISTER_FAILED },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(register_judge(cases[i].status, cases[i].error, cases[i].message,
						cases[i].retriable, cases[i].has_arn,
						cases[i].may_create),
				 cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources_come_in_order_and_without_zeros),
		cmocka_unit_test(a_reservation_of_everything_is_refused),
		cmocka_unit_test(attributes_follow_the_configuration),
		cmocka_unit_test(interfaces_of_tasks_are_promised_by_settings),
		cmocka_unit_test(the_tail_of_the_attributes_is_in_order),
		cmocka_unit_test(every_attribute_must_come_back),
		cmocka_unit_test(meminfo_is_read_in_mib),
		cmocka_unit_test(the_request_has_what_it_needs),
		cmocka_unit_test(gpus_are_registered_where_there_is_support),
		cmocka_unit_test(answers_are_judged_by_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
