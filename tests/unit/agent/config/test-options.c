/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "agent/options.h"
#include "common/macro.h"

static int parse(struct options *o, struct err *err, const char *a, const char *b, const char *c)
{
	const char *argv[] = { "ecs-agent", a, b, c, NULL };
	int argc = 1;

	while (argv[argc])
		argc++;
	return options_parse(argc, (char **) argv, o, err);
}

static void one_dash_or_two_and_both_forms_of_values(void **state _unused_)
{
	struct options o = {};

	assert_int_equal(parse(&o, NULL, "-k", "--loglevel=debug", "-blackhole-ec2-metadata"), 0);
	assert_true(o.insecure);
	assert_true(o.blackhole_imds);
	assert_string_equal(o.log_level, "debug");
	assert_int_equal(parse(&o, NULL, "--config", "/x", NULL), 0);
	assert_string_equal(o.config_file, "/x");
	assert_int_equal(parse(&o, NULL, "-k=false", "-version=true", NULL), 0);
	assert_false(o.insecure);
	assert_true(o.version);
	assert_int_equal(parse(&o, NULL, NULL, NULL, NULL), 0);
	assert_false(o.version);
}

static void bad_flags_are_named(void **state _unused_)
{
	static const struct {
		const char *a, *complaint;
	} cases[] = {
		{ "run", "'run' is not a flag" },
		{ "-windows-service", "-windows-service: there is no such flag" },
		{ "-k=maybe", "-k: 'maybe' is neither true nor false" },
		{ "-loglevel", "-loglevel needs a value" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct options o = { .json = true };
		struct err err = {};

		assert_true(parse(&o, &err, cases[i].a, NULL, NULL) < 0);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_true(o.json); /* failure left the result alone */
		err_done(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_dash_or_two_and_both_forms_of_values),
		cmocka_unit_test(bad_flags_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
