/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what net.c (bridge, namespaces, addresses) and ports.c share. */
#pragma once

#include <net/ethernet.h>

#include "runtime/net/addrpool.h"
#include "runtime/net/locallink.h"
#include "runtime/net/net.h"
#include "runtime/net/nft.h"
#include "runtime/net/porttab.h"

struct net {
	char *bridge;    /* owned */
	char *netns_dir; /* owned */
	int bridge_index;
	int rtnl;    /* owned; a socket in the host's namespace */
	int nfnl;    /* owned; the same for netfilter */
	int self_ns; /* owned; the host's namespace */
	struct in_addr gateway;
	uint8_t gateway_mac[ETH_ALEN];
	struct nft *nft; /* owned */
	int monitor;     /* owned; of ruleset_monitor() */
	uint32_t generation;  /* of nftables when our table was as it should be … */
	uint64_t fingerprint; /* … and looked like this; 0: unknown */
	struct nft_params nft_params;
	struct firewall firewall;
	bool guarded; /* the kernel knows nftables of bridges */
	char *no_ipv6; /* owned; why there is none though it was asked for; NULL: there is */
	struct addrpool addresses;
	struct local_link local;
	struct porttab ports;
};

/* Table `bridge ecs` as it should be. */
int net_assert_guard(struct net *n, struct err *err);

/* What the bridge needs of the kernel: sysctls, and addresses that go with them. */
int net_set_sysctls(const struct net *n, struct err *err);
