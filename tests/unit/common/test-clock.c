/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/backoff.h"
#include "common/clock.h"

static void go_durations_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{ "1.001s", 1001 },       { "300ms", 300 },   { "1m30s", 90000 }, { "2h", 7200000 },
		{ "1.5h", 5400000 },      { "0", 0 },         { "-1s", -1000 },   { "+2s", 2000 },
		{ "1h2m3s4ms", 3723004 }, { "1000000ns", 1 }, { "2500us", 2 },    { "2500µs", 2 },
		{ ".5s", 500 },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		int64_t ms = -7;

		assert_int_equal(duration_parse_ms(cases[i].text, &ms, &err), 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void other_texts_are_refused_and_leave_the_result(void **state)
{
	static const char *const bad[] = { "1.2.3s", ".s",    "",     "5",    "s",
					   "1x",     "1m 2s", "--1s", "1e3s", "9999999999999h" };

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(err_done) struct err err = {};
		int64_t ms = -7;

		assert_true(duration_parse_ms(bad[i], &ms, &err) < 0);
		assert_non_null(err.msg);
		assert_int_equal(ms, -7);
	}
}

static void durations_print_as_go_prints_them(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 180000, "3m0s" }, { 7200000, "2h0m0s" }, { 60500, "1m0.5s" }, { 250, "250ms" },
		{ 0, "0s" },        { 1000, "1s" },        { 30000, "30s" },
	};
	char buf[DURATION_TEXT_MAX];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(duration_format_ms(cases[i].ms, buf), cases[i].text);
}

static void rfc3339_goes_both_ways(void **state)
{
	char buf[CLOCK_RFC3339_MAX];
	int64_t ms = 0;

	(void) state;
	assert_string_equal(clock_format_rfc3339(1746093600123, 1, buf),
			    "2025-05-01T10:00:00.123Z");
	assert_string_equal(clock_format_rfc3339(1746093600123, 0, buf), "2025-05-01T10:00:00Z");
	assert_int_equal(clock_parse_rfc3339("2025-05-01T10:00:00.123456789Z", &ms, NULL), 0);
	assert_int_equal(ms, 1746093600123);
	assert_int_equal(clock_parse_rfc3339("2025-05-01T12:00:00+02:00", &ms, NULL), 0);
	assert_int_equal(ms, 1746093600000);
	assert_int_equal(clock_parse_rfc3339("yesterday", &ms, NULL), -EINVAL);
	assert_int_equal(clock_parse_rfc3339("2025-05-01T10:00:00", &ms, NULL), -EINVAL);
}

static void backoff_grows_to_its_ceiling_and_resets(void **state)
{
	struct backoff b = { .min_ms = 250, .max_ms = 1000, .jitter = 0.2, .factor = 2 };
	static const int64_t base[] = { 250, 500, 1000, 1000 };

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		int64_t d = backoff_next_ms(&b);

		assert_in_range(d, base[i], base[i] + base[i] / 5);
	}
	backoff_reset(&b);
	assert_in_range(backoff_next_ms(&b), 250, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(go_durations_are_parsed),
		cmocka_unit_test(other_texts_are_refused_and_leave_the_result),
		cmocka_unit_test(durations_print_as_go_prints_them),
		cmocka_unit_test(rfc3339_goes_both_ways),
		cmocka_unit_test(backoff_grows_to_its_ceiling_and_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
