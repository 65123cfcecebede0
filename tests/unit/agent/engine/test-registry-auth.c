/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <string.h>

#include "agent/engine/registry-auth.h"

static const char docker[] =
	"{\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"h\"},"
	"\"http://reg.example:5000\":{\"username\":\"all\",\"password\":\"a\"},"
	"\"reg.example:5000/team\":{\"username\":\"team\",\"password\":\"t\"}}";

static void the_longest_key_wins(void **state _unused_)
{
	static const struct {
		const char *image, *user;
	} cases[] = {
		{ "nginx", "hub" },
		{ "library/nginx:1", "hub" },
		{ "docker.io/library/nginx", "hub" },
		{ "reg.example:5000/web:1", "all" },
		{ "reg.example:5000/team/web", "team" },
		{ "reg.example:5000/teammate/web", "all" },
		{ "other.example/web", NULL },
		{ "reg.example:50/web", NULL },
		{ "localhost/web", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(registry_login_done) struct registry_login l = {};

		assert_int_equal(registry_auth_find("docker", docker, cases[i].image, &l, NULL),
				 cases[i].user != NULL);
		if (cases[i].user)
			assert_string_equal(l.username, cases[i].user);
	}
}

static void dockercfg_is_base64(void **state _unused_)
{
	_cleanup_(registry_login_done) struct registry_login l = {};

	assert_int_equal(registry_auth_find("dockercfg",
					    "{\"r.example\":{\"auth\":\"dXNlcjpwYTpzcw==\"}}",
					    "r.example/x", &l, NULL),
			 1);
	assert_string_equal(l.username, "user");
	assert_string_equal(l.password, "pa:ss");
}

static void what_is_wrong_is_named_without_the_secret(void **state _unused_)
{
	static const struct {
		const char *type, *data, *complaint;
	} cases[] = {
		{ "token", "{}", "ECS_ENGINE_AUTH_TYPE: 'token' is neither docker nor dockercfg" },
		{ "docker", "s3cret", "ECS_ENGINE_AUTH_DATA: is no JSON object" },
		{ "docker", "{\"r.example\":{\"password\":\"s3cret\"}}",
		  "ECS_ENGINE_AUTH_DATA: username: missing" },
		{ "dockercfg", "{\"r.example\":{\"auth\":\"s3cret\"}}",
		  "ECS_ENGINE_AUTH_DATA: auth: is no base64" },
		{ "dockercfg", "{\"r.example\":{\"auth\":\"dXNlcg==\"}}",
		  "ECS_ENGINE_AUTH_DATA: auth: holds no ':'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct registry_login l = {};

		assert_true(registry_auth_find(cases[i].type, cases[i].data, "r.example/x", &l,
					       &err) < 0);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_null(l.username);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_key_wins),
		cmocka_unit_test(dockercfg_is_base64),
		cmocka_unit_test(what_is_wrong_is_named_without_the_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
