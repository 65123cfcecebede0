/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtmsg - rtnetlink requests for addresses and routes of either family. Each is a message for
 * rtnl_call(), NULL when out of memory; all may be repeated.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/net/rtnl.h"

struct ip_addr {
	int family; /* AF_INET, AF_INET6; 0: none */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/* An address on a device, or a range of addresses. */
struct ip_prefix {
	struct ip_addr addr;
	uint8_t len; /* 0..32, 0..128 */
};

/* Device @index up or down. */
struct nl_msg *rtmsg_link_up(int index, bool up);

/* @p on device @index. Whether another host has an IPv6 address already is not asked. */
struct nl_msg *rtmsg_address(int index, const struct ip_prefix *p);

/*
 * The way to @to (len 0: the default route) by @gateway (family 0: directly) on device @index. The
 * gateway counts as reachable whatever the addresses say.
 */
struct nl_msg *rtmsg_route(int index, const struct ip_prefix *to, const struct ip_addr *gateway);

/* Packets to @to are thrown away. */
struct nl_msg *rtmsg_blackhole(const struct ip_prefix *to);

/* @addr has hardware address @mac on device @index, for good. */
struct nl_msg *rtmsg_neighbour(int index, const struct ip_addr *addr, const uint8_t *mac);
