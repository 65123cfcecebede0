/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "common/macro.h"
#include "metrics/prometheus.h"

static void label_values_are_escaped(void **state _unused_)
{
	const struct prom_label labels[] = { { "a", "back\\slash \"quoted\"\nnext" },
					     { "b", NULL },
					     {} };
	struct buf b = {};

	prom_family(&b, "ecs_x", "gauge", "one\\two\nthree \"four\"");
	prom_sample(&b, "ecs_x", labels, 1);
	assert_string_equal(buf_str(&b),
			    "# HELP ecs_x one\\\\two\\nthree \"four\"\n"
			    "# TYPE ecs_x gauge\n"
			    "ecs_x{a=\"back\\\\slash \\\"quoted\\\"\\nnext\",b=\"\"} 1\n");
	buf_done(&b);
}

static void numbers_read_back_the_same(void **state _unused_)
{
	struct buf b = {};

	prom_sample(&b, "x", NULL, 0.1);
	prom_sample(&b, "x", NULL, 1.0 / 3);
	prom_sample(&b, "x", NULL, NAN);
	prom_sample(&b, "x", NULL, INFINITY);
	prom_sample(&b, "x", NULL, -INFINITY);
	prom_sample_u64(&b, "x", NULL, UINT64_MAX);
	assert_string_equal(buf_str(&b), "x 0.1\nx 0.3333333333333333\nx NaN\nx +Inf\nx -Inf\n"
					 "x 18446744073709551615\n");
	buf_done(&b);
}

static void buckets_are_cumulative(void **state _unused_)
{
	static const double bounds[] = { 0.1, 1 };
	const struct prom_label labels[] = { { "phase", "pull" }, {} };
	struct prom_histogram h = { .bounds = bounds, .n_bounds = 2 };
	struct buf b = {};

	prom_observe(&h, 0.1);
	prom_observe(&h, 0.5);
	prom_observe(&h, 7);
	prom_histogram(&b, "s", labels, &h);
	assert_string_equal(buf_str(&b), "s_bucket{phase=\"pull\",le=\"0.1\"} 1\n"
					 "s_bucket{phase=\"pull\",le=\"1\"} 2\n"
					 "s_bucket{phase=\"pull\",le=\"+Inf\"} 3\n"
					 "s_sum{phase=\"pull\"} 7.6\n"
					 "s_count{phase=\"pull\"} 3\n");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(numbers_read_back_the_same),
		cmocka_unit_test(buckets_are_cumulative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
