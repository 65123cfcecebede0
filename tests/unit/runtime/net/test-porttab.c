/* SPDX-License-Identifier: Apache-2.0 */
/* In a network namespace of its own where that is allowed; no packet is sent. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/net/porttab.h"

enum { FIRST = 29700, LAST = 29709, NOW = 1000, REST = PORTPOOL_REST_MS };

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
		assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
		assert_int_equal(port, want[i]);
		if (i == 1) /* rests: not given out again until the range has gone round */
			porttab_drop(&t, IPPROTO_TCP, FIRST + 3);
	}
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	assert_int_equal(port, FIRST + 3);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, &err), PORTTAB_E_IN_USE);
	assert_string_equal(err.msg, "no tcp port of 29700-29709 is free");
	assert_int_equal(porttab_hold_any(&t, IPPROTO_UDP, NOW, &port, NULL), 0);
	assert_int_equal(port, FIRST);
}

static void ports_are_found_in_whatever_order_they_came(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};

	assert_int_equal(porttab_init(&t, 1, 65535, NULL), 0);
	for (uint32_t i = 0; i < 100; i++) /* 37 is prime to 100: each once, out of order */
		assert_int_equal(porttab_adopt(&t, i % 2 ? IPPROTO_TCP : IPPROTO_UDP,
					       (uint16_t) (29600 + i * 37 % 100), NULL),
				 0);
	assert_int_equal(t.n, 100);
	for (uint32_t i = 0; i < 100; i += 3)
		porttab_drop(&t, i % 2 ? IPPROTO_TCP : IPPROTO_UDP,
			     (uint16_t) (29600 + i * 37 % 100));
	for (uint32_t i = 0; i < 100; i++) {
		uint16_t port = (uint16_t) (29600 + i * 37 % 100);
		const struct held_port *h =
			porttab_find(&t, i % 2 ? IPPROTO_TCP : IPPROTO_UDP, port);

		assert_true((h != NULL) == (i % 3 != 0));
		assert_true(!h || h->port == port);
		assert_null(porttab_find(&t, i % 2 ? IPPROTO_UDP : IPPROTO_TCP, port));
	}
	for (uint16_t port = 29600; port < 29700; port++) {
		porttab_drop(&t, IPPROTO_TCP, port);
		porttab_drop(&t, IPPROTO_UDP, port);
	}
	assert_int_equal(t.n, 0);
}

/* Each port rests while all the others of the range have their turn, and for a minute in any case. */
static void ten_thousand_ports_come_and_go(void **state _unused_)
{
	enum { AT_ONCE = 50, RANGE = 1000, ROUNDS = 10000, STEP_MS = 200 };
	_cleanup_(porttab_done) struct porttab t = {};
	static int given[2][RANGE];
	static int64_t released_ms[2][RANGE];
	uint16_t held[AT_ONCE];
	int64_t now = NOW;

	assert_int_equal(porttab_init(&t, 20000, 20000 + RANGE - 1, NULL), 0);
	for (int i = 0; i < ROUNDS; i++, now += STEP_MS) {
		bool udp = i / AT_ONCE % 2;
		uint8_t proto = udp ? IPPROTO_UDP : IPPROTO_TCP;
		size_t port;

		for (size_t j = 0; i % AT_ONCE == 0 && i > 0 && j < AT_ONCE; j++) {
			porttab_release(&t, udp ? IPPROTO_TCP : IPPROTO_UDP, held[j], now);
			released_ms[!udp][held[j] - 20000] = now;
		}
		assert_int_equal(porttab_hold_any(&t, proto, now, &held[i % AT_ONCE], NULL), 0);
		port = (size_t) held[i % AT_ONCE] - 20000;
		assert_true(given[udp][port] == 0 || i + 1 - given[udp][port] >= RANGE);
		assert_true(released_ms[udp][port] == 0 || now - released_ms[udp][port] >= REST);
		given[udp][port] = i + 1;
	}
	assert_int_equal(t.n, AT_ONCE);
}

static void a_released_port_rests_for_a_minute(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	_cleanup_(err_done) struct err err = {};
	uint16_t port = 0;

	assert_int_equal(porttab_init(&t, FIRST, FIRST + 1, NULL), 0);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	porttab_release(&t, IPPROTO_TCP, FIRST, NOW);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW + REST - 1, &port, &err),
			 PORTTAB_E_RESTING);
	assert_string_equal(err.msg, "no tcp port of 29700-29701 is free and has rested");
	assert_int_equal(err.code, EAGAIN);
	assert_int_equal(porttab_hold(&t, IPPROTO_TCP, FIRST, NULL), 0); /* asked for by number */
	porttab_release(&t, IPPROTO_TCP, FIRST, NOW + 1);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW + REST, &port, NULL),
			 PORTTAB_E_RESTING);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW + 1 + REST, &port, NULL), 0);
	assert_int_equal(port, FIRST);
	porttab_drop(&t, IPPROTO_TCP, FIRST); /* promised to nobody */
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW + 1 + REST, &port, NULL), 0);
}

/* What an earlier run of the agent let go of rests too, behind those that never were in use. */
static void ports_rest_over_a_restart(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	uint16_t port = 0;

	assert_int_equal(porttab_init(&t, FIRST, FIRST + 2, NULL), 0);
	assert_int_equal(porttab_adopt(&t, IPPROTO_TCP, FIRST + 1, NULL), 0);
	porttab_rest(&t, IPPROTO_TCP, FIRST + 2, NOW);
	porttab_rest(&t, IPPROTO_TCP, FIRST + 1, NOW); /* held: nothing happens */
	porttab_rest(&t, IPPROTO_TCP, 80, NOW);        /* none of ours */
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	assert_int_equal(port, FIRST);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), PORTTAB_E_RESTING);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW + REST, &port, NULL), 0);
	assert_int_equal(port, FIRST + 2);
}

static void a_block_rests_as_a_whole(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	_cleanup_(closep) _unused_ int taken = listener(FIRST);
	_cleanup_(err_done) struct err err = {};
	uint16_t first = 0;

	assert_int_equal(porttab_init(&t, FIRST, FIRST + 3, NULL), 0);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW, &first, NULL), 0);
	assert_int_equal(first, FIRST + 1);
	porttab_release(&t, IPPROTO_TCP, FIRST + 1, NOW);
	porttab_release(&t, IPPROTO_TCP, FIRST + 2, NOW + 5);
	porttab_release(&t, IPPROTO_TCP, FIRST + 3, NOW);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW + REST, &first, &err),
			 PORTTAB_E_RESTING);
	assert_string_equal(err.msg,
			    "no 3 contiguous tcp ports of 29700-29703 are free and have rested");
	assert_int_equal(t.n, 0);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW + 5 + REST, &first, NULL), 0);
	assert_int_equal(first, FIRST + 1);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 2, NOW + REST, &first, NULL),
			 PORTTAB_E_IN_USE); /* waiting would not help */
}

static void a_block_has_no_holes(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	_cleanup_(closep) _unused_ int taken = listener(FIRST + 2);
	_cleanup_(err_done) struct err err = {};
	uint16_t first = 0;

	assert_int_equal(porttab_init(&t, FIRST, LAST, NULL), 0);
	porttab_reserve(&t, IPPROTO_TCP, FIRST + 6);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW, &first, NULL), 0);
	assert_int_equal(first, FIRST + 3);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW, &first, NULL), 0);
	assert_int_equal(first, FIRST + 7);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 3, NOW, &first, &err),
			 PORTTAB_E_IN_USE);
	assert_string_equal(err.msg, "no 3 contiguous tcp ports of 29700-29709 are free");
	assert_int_equal(t.n, 6);
	assert_null(porttab_find(&t, IPPROTO_TCP, FIRST));
	porttab_drop(&t, IPPROTO_TCP, FIRST + 4);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_TCP, 2, NOW, &first, NULL), 0);
	assert_int_equal(first, FIRST);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_UDP, 10, NOW, &first, NULL), 0);
	assert_int_equal(first, FIRST);
	assert_int_equal(porttab_hold_block(&t, IPPROTO_UDP, 11, NOW, &first, NULL),
			 PORTTAB_E_IN_USE);
}

static void after_a_restart_ports_go_on_after_those_in_use(void **state _unused_)
{
	_cleanup_(porttab_done) struct porttab t = {};
	uint16_t port = 0;

	assert_int_equal(porttab_init(&t, FIRST, LAST, NULL), 0);
	assert_int_equal(porttab_adopt(&t, IPPROTO_TCP, FIRST + 4, NULL), 0);
	assert_int_equal(porttab_adopt(&t, IPPROTO_TCP, FIRST + 1, NULL), 0);
	assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	assert_int_equal(port, FIRST + 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(porttab_hold_any(&t, IPPROTO_TCP, NOW, &port, NULL), 0);
	assert_int_equal(port, FIRST);
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
		cmocka_unit_test(ports_are_found_in_whatever_order_they_came),
		cmocka_unit_test(ten_thousand_ports_come_and_go),
		cmocka_unit_test(a_released_port_rests_for_a_minute),
		cmocka_unit_test(ports_rest_over_a_restart),
		cmocka_unit_test(a_block_has_no_holes),
		cmocka_unit_test(a_block_rests_as_a_whole),
		cmocka_unit_test(after_a_restart_ports_go_on_after_those_in_use),
		cmocka_unit_test(a_port_in_use_can_be_adopted_and_bound_later),
	};

	(void) (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
