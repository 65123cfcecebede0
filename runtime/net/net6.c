/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/net6.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"

struct in6_addr net6_address(const struct net6 *six, struct in_addr v4)
{
	struct in6_addr a = six->prefix;

	if (six->prefix_len == 0)
		return (struct in6_addr){};
	memcpy(a.s6_addr + 12, &v4.s_addr, 4);
	return a;
}

bool net6_is_network(const struct in6_addr *addr, int64_t prefix_len)
{
	if (prefix_len < NET6_PREFIX_MIN || prefix_len > NET6_PREFIX_MAX)
		return false;
	for (int i = (int) prefix_len; i < 128; i++)
		if (addr->s6_addr[i / 8] & 0x80 >> i % 8)
			return false;
	return true;
}

struct net6 net6_unique_local(const char *seed)
{
	struct net6 six = { .prefix_len = 64, .prefix.s6_addr = { 0xfd } };
	char hex[SHA256_HEX_MAX];

	(void) sha256_hex(seed, strlen(seed), hex);
	for (int i = 0; i < 5; i++) {
		char byte[] = { hex[2 * i], hex[2 * i + 1], '\0' };

		six.prefix.s6_addr[i + 1] = (uint8_t) strtoul(byte, NULL, 16);
	}
	return six;
}
