/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>

#include "common/err.h"

static void message_reads_from_the_outside_in(void **state)
{
	_cleanup_(err_done) struct err err = {};

	(void) state;
	assert_int_equal(err_set(&err, ETIMEDOUT, "connect %s", "registry"), -ETIMEDOUT);
	assert_int_equal(err_wrap(&err, "open image '%s'", "nginx"), -ETIMEDOUT);
	assert_string_equal(err_text(&err), "open image 'nginx': connect registry");
}

static void errno_text_is_appended(void **state)
{
	_cleanup_(err_done) struct err err = {};

	(void) state;
	assert_int_equal(err_set_errno(&err, EPERM, "mount '%s'", "x"), -EPERM);
	assert_string_equal(err_text(&err), "mount 'x': Operation not permitted");
}

static void setting_again_replaces_even_from_its_own_text(void **state)
{
	_cleanup_(err_done) struct err err = {};

	(void) state;
	err_set(&err, EIO, "first");
	err_set(&err, EINVAL, "second, after %s", err.msg);
	assert_string_equal(err_text(&err), "second, after first");
	assert_int_equal(err.code, EINVAL);
}

static void nobody_has_to_listen(void **state)
{
	(void) state;
	assert_int_equal(err_set(NULL, EIO, "lost"), -EIO);
	assert_true(err_wrap(NULL, "lost") < 0);
	assert_string_equal(err_text(NULL), "no error");
}

static void moving_empties_the_source(void **state)
{
	_cleanup_(err_done) struct err a = {}, b = {};

	(void) state;
	err_set(&a, EIO, "inner");
	err_set(&b, EPERM, "old");
	assert_int_equal(err_move(&b, &a), -EIO);
	assert_string_equal(err_text(&b), "inner");
	assert_null(a.msg);
	assert_int_equal(a.code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_reads_from_the_outside_in),
		cmocka_unit_test(errno_text_is_appended),
		cmocka_unit_test(setting_again_replaces_even_from_its_own_text),
		cmocka_unit_test(nobody_has_to_listen),
		cmocka_unit_test(moving_empties_the_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
