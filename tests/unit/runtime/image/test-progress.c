/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "runtime/image/progress.h"

#define ONE "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TWO "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static const struct progress_layer layers[] = {
	{ ONE, "fetching", 50 * 1000 * 1000, 200 * 1000 * 1000 },
	{ TWO, "unpacking", 45 * 1000, 45 * 1000 },
};
static const struct progress halfway = { 75 * 1000 * 1000, 300 * 1000 * 1000, 3, 5, layers, 2 };

static void each_layer_has_a_line(void **state _unused_)
{
	_cleanup_(buf_done) struct buf b = {};

	assert_int_equal(progress_render(&halfway, 25 * 1000 * 1000, 81, 24, &b), 3);
	assert_string_equal(
		buf_str(&b),
		"0123456789ab [=======>                       ]   50.0 MB of  200.0 MB  fetching \n"
		"fedcba987654 [===============================]   45.0 kB of   45.0 kB  unpacking\n"
		"3 of 5 layers [===>        ]   75.0 MB of  300.0 MB   25 %  25.0 MB/s  0:09 "
		"left\n");
}

/* No terminal is too narrow, or too low: lines that wrapped could not be written over. */
static void lines_fit_the_terminal(void **state _unused_)
{
	for (size_t columns = 0; columns < 500; columns++) {
		for (size_t rows = 0; rows < 6; rows++) {
			_cleanup_(buf_done) struct buf b = {};
			size_t n = progress_render(&halfway, 1, columns, rows, &b), lines = 0;

			for (const char *p = buf_str(&b); *p; p = strchr(p, '\n') + 1) {
				assert_true(strcspn(p, "\n") < (columns > 1 ? columns : 2));
				lines++;
			}
			assert_int_equal(lines, n);
			assert_int_equal(n, rows >= 4 ? 3 : 1);
		}
	}
}

static void the_rate_is_of_the_last_seconds(void **state _unused_)
{
	struct progress_rate r = {};
	int64_t bytes = 0, ms = 1000;

	assert_int_equal(progress_rate(&r, ms, 0), 0);
	for (int i = 0; i < 100; i++) /* 1 MB/s for ten seconds */
		assert_int_equal(progress_rate(&r, ms += 100, bytes += 100000), 1000000);
	for (int i = 0; i < 20; i++) /* then 10 MB/s; after two it shows in part */
		(void) progress_rate(&r, ms += 100, bytes += 1000000);
	assert_in_range(progress_rate(&r, ms, bytes), 4000000, 9000000);
	for (int i = 0; i < 60; i++)
		(void) progress_rate(&r, ms += 100, bytes += 1000000);
	assert_int_equal(progress_rate(&r, ms, bytes), 10000000);
	assert_int_equal(progress_rate(&r, ms + 10, 5), 0); /* a layer started over */
}

static void odd_numbers_do_no_harm(void **state _unused_)
{
	const struct progress_layer odd[] = { { "short", "fetching", 10, 0 },
					      { ONE, "fetching", -5, 3 },
					      { ONE, "fetching", 9, 3 } };
	const struct progress p = { 7, 0, 0, 1, odd, 3 };
	_cleanup_(buf_done) struct buf b = {};

	assert_int_equal(progress_render(&p, INT64_MAX, 81, 24, &b), 4);
	assert_non_null(strstr(buf_str(&b), "short ["));
	assert_non_null(strstr(buf_str(&b), "100 %"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_layer_has_a_line),
		cmocka_unit_test(lines_fit_the_terminal),
		cmocka_unit_test(the_rate_is_of_the_last_seconds),
		cmocka_unit_test(odd_numbers_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
