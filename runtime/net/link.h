/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link - the bridge of the host and the veth pairs that hang on it.
 * @rtnl is a socket of rtnl_open() in the namespace that the device is to be in. All calls may be
 * repeated.
 */
#pragma once

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { LINK_NAME_BYTES = 16 }; /* IFNAMSIZ */

/* What a device of ours is called: at most 15 of [A-Za-z0-9_.-], not "." or "..". -EINVAL. */
int link_name_check(const char *name, struct err *err);

/* The index of device @name as seen by socket @fd; 0: there is none. */
int link_index(int fd, const char *name);

/* The hardware address that belongs to @addr: locally administered, the address within. */
void link_mac(struct in_addr addr, uint8_t mac[ETH_ALEN]);

/* The name of the host's end for container @id: "ev" and 52 bits of its hash. */
void link_veth_name(const char *id, char name[LINK_NAME_BYTES]);

/*
 * Makes bridge @name with address @addr/@prefix_len and brings it up, or takes over one that is
 * there. @mac receives its hardware address, which stays as it is from now on. Returns its index, or
 * -EEXIST when @name is a device of another kind.
 */
int link_bridge_ensure(int rtnl, const char *name, struct in_addr addr, uint8_t prefix_len,
		       uint8_t mac[ETH_ALEN], struct err *err);

struct link_veth {
	const char *name;    /* of the host's end */
	int bridge;          /* index */
	int ns_fd;           /* where the peer, eth0, goes */
	struct in_addr addr; /* of the peer */
	struct in6_addr addr6; /* the same; "::": it has none */
	uint32_t group;      /* of devices: where the host's end belongs; with @peer, both */
	const char *peer;    /* what the other end is called; NULL: eth0 */
};

/* Makes the pair in one request, the host's end on the bridge; both ends are down. */
int link_veth_create(int rtnl, const struct link_veth *v, struct err *err);

/*
 * Pins what the host believes, then brings the host's end up: the neighbour entry of @addr and the
 * bridge port of its hardware address are fixed, and the port learns nothing, so a container that
 * forges another's address gets no answers.
 */
int link_veth_pin(int rtnl, const struct link_veth *v, struct err *err);

/*
 * The kernel notices a new carrier in a worker, and until then drops what device @name (as seen by
 * socket @rtnl) sends; a container's first packet would be lost, to be repeated after a second. Asking
 * for the link state makes it look now, or else it is waited for, half a second at most. A port of a
 * bridge cannot be switched on before.
 */
void link_settle(int rtnl, const char *name);

/*
 * Lets packets through the bridge port @name, or none at all: at once, where taking the device off
 * the bridge would wait for several RCU grace periods. Off: absent is fine.
 */
int link_port_enable(int rtnl, const char *name, bool on, struct err *err);

/* Forgets the pinned neighbour entry; one that is gone is fine. */
int link_neighbour_forget(int rtnl, int bridge, struct in_addr addr, struct err *err);

struct link_address {
	struct in_addr addr, gateway;
	uint8_t prefix_len;
	const uint8_t *gateway_mac; /* ETH_ALEN */
};

/*
 * Brings device @index (of the socket's namespace) up with its address and the default route. The
 * gateway's hardware address is fixed: no neighbour can pass for it, and nothing is asked first.
 */
int link_configure(int rtnl, int index, const struct link_address *a, struct err *err);

/* Removes device @name; absent is fine. The kernel waits for packets in flight: 30 ms and more. */
int link_delete(int rtnl, const char *name, struct err *err);
