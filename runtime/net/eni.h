/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eni - a network interface of the host's that belongs to one task while that runs.
 * It is found by its hardware address, goes into the task's namespace as eth0, and comes back when the
 * task has ended. Or the task has a VLAN of an interface that stays with the host (a trunk): then a
 * device is made, and removed afterwards.
 *
 * A physical device returns to the initial namespace by itself when the namespace it is in ends; a
 * veth, which stands for one in tests and in nested hosts, ends with it. So it is fetched back before
 * that. Each call may be repeated, after a crash in the middle of itself, too.
 */
#pragma once

#include <stddef.h>

#include "runtime/net/linkinfo.h"
#include "runtime/net/rtmsg.h"

#define ENI_NAME "eth0" /* what the task knows it as */

struct eni_params {
	uint8_t mac[ETH_ALEN];
	bool vlan;
	uint16_t vlan_id; /* 1..4094 */
	uint8_t trunk_mac[ETH_ALEN];
	const struct ip_prefix *addresses; /* the primary one of each family first */
	size_t n_addresses;
	struct ip_addr gateway4, gateway6; /* family 0: none */
	bool block_imds;                   /* no way to 169.254.169.254 and fd00:ec2::254 */
};

struct eni_place {
	int self_ns, ns;  /* namespaces: the host's, the task's */
	int rtnl, inside; /* sockets of rtnl_open() in them */
};

enum { ENI_E_ABSENT = 1 }; /* the device, or the trunk, is not there (yet): err says which */

/*
 * Puts the interface into the namespace with its addresses and routes, and up. Its MTU stays. IPv6 is
 * on when it has such an address: without a gateway of that family, the router that announces itself
 * is believed. 0, ENI_E_ABSENT, or a negative errno.
 */
int eni_attach(const struct eni_place *p, const struct eni_params *e, struct err *err);

/*
 * Fetches every interface in the namespace back, whoever renamed it there: down, without addresses,
 * called "eni" and its hardware address. VLAN devices are removed. None there is fine.
 */
int eni_return(const struct eni_place *p, struct err *err);
