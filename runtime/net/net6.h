/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net6 - the IPv6 network of a bridge. The address of a container is its IPv4 address within the
 * prefix (172.30.0.2: fd5a:1b2c:3d4e::ac1e:2), so there is nothing more to hand out, to keep or to
 * give back, and its last bytes are those of its hardware address (link_mac()).
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NET6_PREFIX_MIN = 48, NET6_PREFIX_MAX = 96 }; /* 32 bits are left for IPv4 addresses */

struct net6 {
	struct in6_addr prefix; /* no bits set behind it */
	uint8_t prefix_len;     /* 0: there is no IPv6 */
};

/* The address that belongs to @v4; "::" when there is no IPv6. */
struct in6_addr net6_address(const struct net6 *six, struct in_addr v4);

/* False: bits are set behind the prefix, or its length is out of bounds. */
bool net6_is_network(const struct in6_addr *addr, int64_t prefix_len);

/*
 * A unique local /64 (RFC 4193): fd, 40 bits of the hash of @seed, subnet 0. The same seed has the same
 * network, always.
 */
struct net6 net6_unique_local(const char *seed);
