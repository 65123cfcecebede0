/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <string.h>

#include "runtime/net/net6.h"

static struct in6_addr six(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static void addresses_hold_the_ipv4_address(void **state _unused_)
{
	struct net6 n = { six("2001:db8:1:2::"), 64 };
	struct in_addr v4 = { inet_addr("172.30.1.2") };
	struct in6_addr want = six("2001:db8:1:2::ac1e:102"), got = net6_address(&n, v4);

	assert_memory_equal(&got, &want, sizeof(got));
	n.prefix_len = 0;
	got = net6_address(&n, v4);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&got));
}

static void networks_have_no_bits_behind_their_prefix(void **state _unused_)
{
	static const struct {
		const char *addr;
		int len;
		bool good;
	} cases[] = {
		{ "fd00::", 64, true },        { "fd00::", 48, true },
		{ "fd00::", 96, true },        { "fd00::", 47, false },
		{ "fd00::", 97, false },       { "fd00:0:0:1::", 64, true },
		{ "fd00:0:0:1::", 63, false }, { "fd00:0:0:1::", 48, false },
		{ "fd00::1", 64, false },      { "fd00::1:0:0", 96, true },
		{ "fd00::", -1, false },       { "fd00::", 65600, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct in6_addr a = six(cases[i].addr);

		if (net6_is_network(&a, cases[i].len) != cases[i].good)
			fail_msg("%s/%d", cases[i].addr, cases[i].len);
	}
}

static void the_same_seed_has_the_same_network(void **state _unused_)
{
	struct net6 a = net6_unique_local("one"), b = net6_unique_local("one"),
		    other = net6_unique_local("two");
	char text[INET6_ADDRSTRLEN];

	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &other, sizeof(a));
	assert_true(net6_is_network(&a.prefix, a.prefix_len));
	/* printf one | sha256sum: 7692c3ad35... */
	assert_string_equal(inet_ntop(AF_INET6, &a.prefix, text, sizeof(text)), "fd76:92c3:ad35::");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_hold_the_ipv4_address),
		cmocka_unit_test(networks_have_no_bits_behind_their_prefix),
		cmocka_unit_test(the_same_seed_has_the_same_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
