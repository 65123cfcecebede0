/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

static void the_first_mirror_of_a_registry_is_found(void **state _unused_)
{
	static const char list[] = " docker.io=https://m.example:5000/hub/,a.b=http://c ,docker.io="
				   "https://second";
	static const struct {
		const char *domain, *mirror;
	} cases[] = {
		{ "docker.io", "https://m.example:5000/hub" },
		{ "a.b", "http://c" },
		{ "docker.i", NULL },
		{ "quay.io", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *found = NULL;

		assert_int_equal(mirror_find(list, cases[i].domain, &found, NULL), 0);
		if (cases[i].mirror)
			assert_string_equal(found, cases[i].mirror);
		else
			assert_null(found);
	}
	assert_int_equal(mirror_find(NULL, "a", NULL, NULL), 0);
	assert_int_equal(mirror_find(" ,", "a", NULL, NULL), 0);
}

static void bad_lists_are_named(void **state _unused_)
{
	static const char *const lists[] = {
		"docker.io",     "=https://x",          "a=ftp://x",
		"a=https://",    "a=https://u:p@x",     "a=x.example",
		"a=https://x?y", "ok=https://x,broken", "a=https:///"
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_(err_done) struct err err = {};

		assert_int_equal(mirror_find(lists[i], NULL, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "is not registry=https://host[:port][/path]"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_mirror_of_a_registry_is_found),
		cmocka_unit_test(bad_lists_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
