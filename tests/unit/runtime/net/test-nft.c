/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "runtime/net/nft.h"

/* 10.1.0.0/16, fd00:1::/64 */
static const struct nft_params params = {
	.bridge = "ecs0",
	.subnet.s_addr = 0x010a,
	.prefix_len = 16,
	.six = { .prefix.s6_addr = { 0xfd, 0, 0, 1 }, .prefix_len = 64 },
};

static void the_metadata_service_is_closed_unless_asked_for(void **state _unused_)
{
	struct nft_params p = params;
	_cleanup_(buf_done) struct buf closed = {}, open = {};

	nft_text_table(&closed, &p);
	assert_non_null(
		strstr(closed.data, "raw iifname \"ecs0\" ip daddr 169.254.169.254 drop\n"));
	assert_non_null(strstr(closed.data, "raw iifname \"ecs0\" ip6 daddr fd00:ec2::254 drop\n"));
	assert_non_null(strstr(closed.data, "raw iifname \"ecs0\" ip saddr != 10.1.0.0/16 drop\n"));
	p.allow_imds = true;
	nft_text_table(&open, &p);
	assert_null(strstr(open.data, "169.254.169.254"));
	assert_null(strstr(open.data, "fd00:ec2::254"));
}

static void a_port_for_the_host_and_its_tasks_is_closed_to_others(void **state _unused_)
{
	struct nft_params p = params;
	_cleanup_(buf_done) struct buf closed = {}, open = {};

	p.near_port = 51678;
	nft_text_table(&closed, &p);
	assert_non_null(strstr(closed.data, "raw iifname != \"ecs0\" iifname != lo ip daddr"
					    " 10.1.0.1 tcp dport 51678 drop\n"));
	nft_text_table(&open, &params);
	assert_null(strstr(open.data, "51678"));
}

static void without_ipv6_nothing_of_it_passes(void **state _unused_)
{
	struct nft_params p = params;
	_cleanup_(buf_done) struct buf with = {}, without = {};

	nft_text_table(&with, &p);
	assert_non_null(strstr(with.data, "raw iifname \"ecs0\" ip6 saddr != fd00:1::/64 drop\n"));
	assert_non_null(strstr(with.data, "output ip6 daddr != { ::1, fe80::/10 } fib"));
	p.loopback6 = true;
	p.six.prefix_len = 0;
	nft_text_table(&without, &p);
	assert_non_null(strstr(without.data, "raw iifname \"ecs0\" meta nfproto ipv6 drop\n"));
	assert_null(strstr(without.data, "@ports6"));
}

static void a_table_taken_over_keeps_its_elements(void **state _unused_)
{
	struct nft_params p = params;
	_cleanup_(buf_done) struct buf b = {};

	nft_text_table(&b, &p);
	assert_null(strstr(b.data, "delete"));
	assert_null(strstr(b.data, "flush map"));
	assert_null(strstr(b.data, "flush table"));
}

static void device_names_cannot_leave_their_quotes(void **state _unused_)
{
	static const char *const bad[] = { "",    "a\"b", "a b",
					   "a/b", "a\nb", ".",
					   "..",  "a;b",  "sixteen-letters-",
					   "a{b", "$a",   "\xc3\xa4" };
	static const char *const good[] = { "ecs0", "br-1.2_x", "fifteen-letters" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(link_name_check(bad[i], NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(link_name_check(good[i], NULL), 0);
}

static void namespace_ids_are_file_names(void **state _unused_)
{
	static const char *const bad[] = {
		"",    ".",   "..",
		".x",  "a/b", "../x",
		"a b", "a\n", "12345678901234567890123456789012345678901234567890123456789012345",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(netns_id_check(bad[i], NULL), -EINVAL);
	assert_int_equal(netns_id_check("0f-a_b.c", NULL), 0);
	assert_int_equal(netns_id_check("1234567890123456789012345678901234567890123456789012345678"
					"901234",
					NULL),
			 0);
}

static void veth_names_differ_and_fit(void **state _unused_)
{
	char a[LINK_NAME_BYTES], b[LINK_NAME_BYTES];

	link_veth_name("1234567890123456789012345678901234567890123456789012345678901234", a);
	link_veth_name("1234567890123456789012345678901234567890123456789012345678901235", b);
	assert_int_equal(strlen(a), 15);
	assert_string_not_equal(a, b);
	assert_int_equal(link_name_check(a, NULL), 0);
}

static void hardware_addresses_are_local_and_unique(void **state _unused_)
{
	uint8_t mac[6];

	link_mac((struct in_addr){ htonl(0x0a010203) }, mac);
	assert_memory_equal(mac, "\x0e\xc5\x0a\x01\x02\x03", 6);
	assert_int_equal(mac[0] & 3, 2); /* locally administered, not a group */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_metadata_service_is_closed_unless_asked_for),
		cmocka_unit_test(a_port_for_the_host_and_its_tasks_is_closed_to_others),
		cmocka_unit_test(without_ipv6_nothing_of_it_passes),
		cmocka_unit_test(a_table_taken_over_keeps_its_elements),
		cmocka_unit_test(device_names_cannot_leave_their_quotes),
		cmocka_unit_test(namespace_ids_are_file_names),
		cmocka_unit_test(veth_names_differ_and_fit),
		cmocka_unit_test(hardware_addresses_are_local_and_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
