/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linkinfo - which devices there are, told apart by hardware address. Names mean nothing here: a
 * host may call its devices as it likes, and rename them.
 */
#pragma once

#include <linux/netlink.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/net/link.h"

enum { LINKINFO_KIND_BYTES = 16, LINKINFO_MAC_TEXT = 18 };

struct linkinfo {
	int index;
	char name[LINK_NAME_BYTES];
	char kind[LINKINFO_KIND_BYTES]; /* "" for a physical device, "veth", "vlan", "bridge", … */
	uint8_t mac[ETH_ALEN];
	uint8_t perm_mac[ETH_ALEN]; /* what the hardware was made with; zeros: it does not say */
	int parent;       /* index of the device below it, of the same namespace; 0: none */
	uint16_t vlan_id; /* of a vlan */
	uint32_t group;
	bool loopback, up, enslaved;
};

/* Reads an RTM_NEWLINK message; false: it is none, or of no Ethernet-like device. */
bool linkinfo_parse(const struct nlmsghdr *h, struct linkinfo *ret);

/*
 * Whether it can be a network interface of the host's that a task is given: a physical device, or a
 * veth that stands for one; not our own, and nothing that a bridge or bond has taken. A VLAN device
 * or a bridge has the address of what is below it, so these are no answer to a search.
 */
bool linkinfo_is_interface(const struct linkinfo *l);

/* The interface with @mac in the namespace of socket @rtnl. 0, -ENODEV: there is none, or another error. */
int linkinfo_find(int rtnl, const uint8_t mac[ETH_ALEN], struct linkinfo *ret, struct err *err);

/*
 * Calls @fn for each device of the namespace; what it returns below 0 ends up as the result, once all
 * were seen.
 */
typedef int (*linkinfo_fn)(const struct linkinfo *l, void *userdata);
int linkinfo_each(int rtnl, linkinfo_fn fn, void *userdata, struct err *err);

/* "0a:1b:…", lower case. @text has LINKINFO_MAC_TEXT bytes. Returns @text. */
const char *linkinfo_mac_text(const uint8_t mac[ETH_ALEN], char *text);
