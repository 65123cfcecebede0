/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>

#include "runtime/net/addrpool.h"

static struct in_addr ip(const char *text)
{
	struct in_addr a;

	assert_int_equal(inet_pton(AF_INET, text, &a), 1);
	return a;
}

static void pool(struct addrpool *p, const char *subnet, uint8_t prefix_len)
{
	assert_int_equal(addrpool_init(p, ip(subnet), prefix_len, NULL), 0);
}

static void assert_takes(struct addrpool *p, const char *want)
{
	struct in_addr a;

	assert_int_equal(addrpool_take(p, &a, NULL), 0);
	assert_string_equal(inet_ntoa(a), want);
}

static void bad_subnets_are_named(void **state _unused_)
{
	static const struct {
		const char *subnet;
		uint8_t prefix_len;
		const char *complaint;
	} cases[] = {
		{ "10.0.0.0", 15, "prefix length 15 of the subnet is outside 16..28" },
		{ "10.0.0.0", 29, "prefix length 29 of the subnet is outside 16..28" },
		{ "10.0.0.16", 24, "subnet 10.0.0.16/24 has bits set behind its prefix" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct addrpool p = {};

		assert_int_equal(addrpool_init(&p, ip(cases[i].subnet), cases[i].prefix_len, &err),
				 -EINVAL);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_null(p.bits);
	}
}

static void a_released_address_rests(void **state _unused_)
{
	_cleanup_(addrpool_done) struct addrpool p = {};

	pool(&p, "10.1.2.0", 24);
	assert_takes(&p, "10.1.2.2");
	assert_takes(&p, "10.1.2.3");
	assert_true(addrpool_release(&p, ip("10.1.2.2")));
	assert_takes(&p, "10.1.2.4");
}

static void every_address_is_given_once_and_the_reserved_ones_never(void **state _unused_)
{
	_cleanup_(addrpool_done) struct addrpool p = {};
	_cleanup_(err_done) struct err err = {};
	struct in_addr a;

	pool(&p, "172.20.0.0", 16);
	for (uint32_t i = 2; i < 65535; i++) {
		assert_int_equal(addrpool_take(&p, &a, NULL), 0);
		assert_int_equal(ntohl(a.s_addr), 0xac140000 + i);
	}
	assert_int_equal(addrpool_take(&p, &a, &err), -ENOSPC);
	assert_string_equal(err.msg, "all 65533 addresses of the bridge's subnet are taken");
	assert_true(addrpool_release(&p, ip("172.20.200.7")));
	assert_takes(&p, "172.20.200.7");
}

static void restored_addresses_are_taken(void **state _unused_)
{
	_cleanup_(addrpool_done) struct addrpool p = {};

	pool(&p, "10.1.2.0", 28);
	assert_int_equal(addrpool_restore(&p, ip("10.1.2.5"), NULL), 0);
	assert_int_equal(addrpool_restore(&p, ip("10.1.2.5"), NULL), -EADDRINUSE);
	assert_takes(&p, "10.1.2.6"); /* after the highest that was in use */
	for (int i = 0; i < 11; i++) {
		struct in_addr a;

		assert_int_equal(addrpool_take(&p, &a, NULL), 0);
		assert_string_not_equal(inet_ntoa(a), "10.1.2.5");
	}
}

static void foreign_addresses_are_refused(void **state _unused_)
{
	static const char *const foreign[] = { "10.1.1.255", "10.1.2.0",       "10.1.2.1",
					       "10.1.2.255", "10.1.3.0",       "0.0.0.0",
					       "127.0.0.1",  "255.255.255.255" };
	_cleanup_(addrpool_done) struct addrpool p = {};

	pool(&p, "10.1.2.0", 24);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		assert_int_equal(addrpool_restore(&p, ip(foreign[i]), NULL), -EADDRNOTAVAIL);
		assert_false(addrpool_release(&p, ip(foreign[i])));
	}
	assert_false(addrpool_release(&p, ip("10.1.2.9"))); /* ours, and free */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_subnets_are_named),
		cmocka_unit_test(a_released_address_rests),
		cmocka_unit_test(every_address_is_given_once_and_the_reserved_ones_never),
		cmocka_unit_test(restored_addresses_are_taken),
		cmocka_unit_test(foreign_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
