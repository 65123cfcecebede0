/* SPDX-License-Identifier: Apache-2.0 */
/* In a network namespace of its own where that is allowed; no packet is sent. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/net/porttab.h"

enum { FIRST = 29700, LAST = 29709 };

static int listener(uint16_t port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 1) < 0)
		fail_msg("port %u is not free", port);
	return fd;
}

static void an_empty_range_is_refused(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	struct porttab t = {};

	assert_int_equal(porttab_init(&t, 200, 100, &err), -EINVAL);
	assert_string_equal(err.msg, "dynamic host port range 200-100 is empty or starts at 0");
	assert_int_equal(porttab_init(&t, 0, 100, NULL), -EINVAL);
}

static void a_port_is_held_once_for_each_protocol(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(porttab_init(&t, FIRST, LAST, NULL), 0);
	assert_int_equal(porttab_hold(&t, IPPROTO_TCP, FIRST + 1, NULL), 0);
	assert_int_equal(porttab_hold(&t, IPPROTO_UDP, FIRST + 1, NULL), 0);
	assert_int_equal(porttab_hold(&t, IPPROTO_UDP, FIRST + 1, &err), PORTTAB_E_IN_USE);
	assert_string_equal(err.msg, "host port 29701/udp is in use");
	porttab_drop(&t, IPPROTO_UDP, FIRST + 1);
	porttab_drop(&t, IPPROTO_UDP, FIRST + 1);
	assert_null(porttab_find(&t, IPPROTO_UDP, FIRST + 1));
	assert_non_null(porttab_find(&t, IPPROTO_TCP, FIRST + 1));
	assert_int_equal(porttab_hold(&t, IPPROTO_UDP, FIRST + 1, NULL), 0);
}

static void dynamic_ports_rest_and_avoid_reserved_and_taken_ones(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	_cleanup_(closep) _unused_ int taken = listener(FIRST + 2);
	static const uint16_t want[] = { FIRST,     FIRST + 3, FIRST + 4, FIRST + 5,
					 FIRST + 6, FIRST + 7, FIRST + 8, LAST };
	_cleanup_(err_done) struct err err = {};
	uint16_t port;

	assert_int_equal(porttab_init(&t, FIRST, LAST, NULL), 0);
	porttab_reserve(&t, IPPROTO_TCP, FIRST + 1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, &port, NULL), 0);
		assert_int_equal(port, want[i]);
		if (i == 1) /* rests: not given out again until the range has gone round */
			porttab_drop(&t, IPPROTO_TCP, FIRST + 3);
	}
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, &port, NULL), 0);
	assert_int_equal(port, FIRST + 3);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, &port, &err), PORTTAB_E_IN_USE);
	assert_string_equal(err.msg, "no tcp port of 29700-29709 is free");
	assert_int_equal(porttab_hold_any(&t, IPPROTO_UDP, &port, NULL), 0);
	assert_int_equal(port, FIRST);
}

static void the_table_stays_sorted(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};

	assert_int_equal(porttab_init(&t, 1, 65535, NULL), 0);
	for (uint32_t i = 0; i < 100; i++) /* 37 is prime to 100: each once, out of order */
		assert_int_equal(porttab_adopt(&t, i % 2 ? IPPROTO_TCP : IPPROTO_UDP,
					       (uint16_t) (29600 + i * 37 % 100), NULL),
				 0);
	assert_int_equal(t.n, 100);
	for (size_t i = 1; i < t.n; i++)
		assert_true(t.v[i - 1].proto == t.v[i].proto ? t.v[i - 1].port < t.v[i].port
							     : t.v[i].proto == IPPROTO_UDP);
	for (uint16_t port = 29600; port < 29700; port++) {
		porttab_drop(&t, IPPROTO_TCP, port);
		porttab_drop(&t, IPPROTO_UDP, port);
	}
	assert_int_equal(t.n, 0);
}

static void a_port_in_use_can_be_adopted_and_bound_later(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	int taken = listener(FIRST + 4);

	assert_int_equal(porttab_init(&t, FIRST, LAST, NULL), 0);
	assert_int_equal(porttab_adopt(&t, IPPROTO_TCP, FIRST + 4, NULL), 0);
	assert_true(porttab_find(&t, IPPROTO_TCP, FIRST + 4)->fd < 0);
	(void) close(taken);
	assert_int_equal(porttab_adopt(&t, IPPROTO_TCP, FIRST + 4, NULL), 0);
	assert_true(porttab_find(&t, IPPROTO_TCP, FIRST + 4)->fd >= 0);
	assert_int_equal(t.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_range_is_refused),
		cmocka_unit_test(a_port_is_held_once_for_each_protocol),
		cmocka_unit_test(dynamic_ports_rest_and_avoid_reserved_and_taken_ones),
		cmocka_unit_test(the_table_stays_sorted),
		cmocka_unit_test(a_port_in_use_can_be_adopted_and_bound_later),
	};

	(void) (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
