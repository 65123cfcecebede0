/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controlplane/api.h"

static void arns_come_apart(void **state _unused_)
{
	static const struct {
		const char *text, *type, *cluster, *id;
	} cases[] = {
		{ "arn:aws:ecs:us-east-1:1:cluster/web", "cluster", "web", "web" },
		{ "arn:aws:ecs:us-east-1:1:task/web/0af", "task", "web", "0af" },
		{ "arn:aws:ecs:us-east-1:1:task/0af", "task", "", "0af" },
		{ "arn:aws-cn:ecs:cn-north-1:1:container-instance/a/b", "container-instance", "a",
		  "b" },
		{ "arn:aws:ecs:r:1:task-definition/f:3", "task-definition", "", "f:3" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct arn a = {};

		assert_true(arn_parse(cases[i].text, &a));
		assert_string_equal(a.type, cases[i].type);
		assert_string_equal(a.cluster, cases[i].cluster);
		assert_string_equal(a.id, cases[i].id);
	}
}

static void what_is_no_arn_is_refused(void **state _unused_)
{
	static const char *const cases[] = {
		"",
		"web",
		"arn:",
		"arn:aws:ec2:r:1:cluster/web",
		"arn:aws:ecs:r:1",
		"arn:aws:ecs:r:1:cluster",
		"arn:aws:ecs:r:1:cluster/",
		"arn:aws:ecs:r:1:/x",
		"arn:aws:ecs:r:1:task/a/b/c",
		"arn:aws:ecs:a-region-whose-name-is-far-too-long-to-be-true:1:task/a",
	};
	struct arn a = { .type = "kept" };
	char long_name[ARN_NAME_MAX + 64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_false(arn_parse(cases[i], &a));
	(void) snprintf(long_name, sizeof(long_name), "arn:aws:ecs:r:1:task/%0*d", ARN_NAME_MAX, 1);
	assert_false(arn_parse(long_name, &a));
	assert_string_equal(a.type, "kept");
}

static void arns_are_made_for_region_and_account(void **state _unused_)
{
	struct controlplane c = { .settings = { .region = "cn-north-1",
						.account = "000000000001" } };
	char arn[ARN_MAX];

	assert_string_equal(arn_task(&c, "web", "0af", arn),
			    "arn:aws-cn:ecs:cn-north-1:000000000001:task/web/0af");
	assert_string_equal(arn_container(&c, "web", "0af", "u", arn),
			    "arn:aws-cn:ecs:cn-north-1:000000000001:container/web/0af/u");
	assert_string_equal(arn_taskdef(&c, "f", 12, arn),
			    "arn:aws-cn:ecs:cn-north-1:000000000001:task-definition/f:12");
	assert_string_equal(arn_last("a/b/c"), "c");
	assert_string_equal(arn_last("c"), "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arns_come_apart),
		cmocka_unit_test(what_is_no_arn_is_refused),
		cmocka_unit_test(arns_are_made_for_region_and_account),
	};

	(void) api_setup, (void) api_teardown;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
