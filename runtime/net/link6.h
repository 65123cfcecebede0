/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link6 - what link.c sets up, for IPv6. Nobody discovers anything here: addresses are not probed for,
 * neighbours are fixed, routers do not advertise. A container sends everything to the gateway, to its
 * neighbours too, so that neighbour discovery need not be believed, and does not cross the bridge.
 */
#pragma once

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdint.h>

#include "common/err.h"

struct nl_msg;

/* Messages for calls of link.c; NULL when out of memory. */
struct nl_msg *link6_no_link_local(int index); /* before the device comes up */
struct nl_msg *link6_neighbour(int index, const struct in6_addr *addr, const uint8_t mac[ETH_ALEN]);

/*
 * Gives device @index (of the socket's namespace), which is up, an address that is reached at once. May be
 * repeated.
 */
int link6_add_address(int rtnl, int index, const struct in6_addr *addr, uint8_t prefix_len,
		      struct err *err);

struct link6_addresses {
	struct in6_addr addr, gateway;
	const uint8_t *gateway_mac; /* ETH_ALEN */
};

/* The same with the default route, whose gateway's hardware address is fixed. */
int link6_configure(int rtnl, int index, const struct link6_addresses *a, struct err *err);

/*
 * Lets answers to connections from ::1 in by the bridge, where they come back translated. The kernel
 * routes nothing to ::1 that comes in by another device than the one of the route; packets that name
 * ::1 on the wire are dropped before that. May be repeated.
 */
int link6_loopback_route(int rtnl, int index, struct err *err);

/* Forgets the pinned neighbour entry; one that is gone is fine. */
void link6_neighbour_forget(int rtnl, int index, const struct in6_addr *addr,
			    const uint8_t mac[ETH_ALEN]);
