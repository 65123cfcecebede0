/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locallink - how a task with an interface of its own reaches this host: ecs-eth0 in its namespace,
 * the other end on a bridge of the host's, an address of a link-local subnet, and a route to
 * 169.254.170.2. It carries questions to the task server and, when the administrator says so, what
 * goes to further prefixes; nothing else of the host, and nothing between tasks: the ports of the
 * bridge are isolated from each other, a port is locked to its hardware address, and address and
 * hardware address have to agree.
 * Bridge and rules are made when the first task needs them. What is read here is net.h's struct net.
 */
#pragma once

#include <netinet/in.h>

#include "common/cleanup.h"
#include "runtime/net/addrpool.h"
#include "runtime/net/eni.h"
#include "runtime/net/net.h"

#define LOCAL_NAME "ecs-eth0" /* the task's end */

struct local_params {
	const char *bridge;    /* "ecs-bridge"; NULL: this host has none */
	struct in_addr subnet; /* network byte order; its first address is the bridge's */
	uint8_t prefix_len;
	const struct ip_prefix
		*routes; /* IPv4: what tasks reach by the bridge beside the task server */
	size_t n_routes;
};

struct local_link {
	char *bridge; /* owned; NULL: there is none */
	struct in_addr subnet, gateway;
	uint8_t prefix_len;
	struct ip_prefix *routes; /* owned */
	size_t n_routes;
	struct addrpool addresses;
	bool on; /* rules and bridge are made */
	int index;
	uint8_t mac[ETH_ALEN];
};

/* Checks and keeps @p; nothing is made yet. */
int local_init(struct local_link *l, const struct local_params *p, struct err *err);
void local_done(struct local_link *l);

/* Puts the rules as they should be, when there are any. */
int local_assert(struct net *n, struct err *err);

/* Addresses of the subnet, as net_address_take() and its companions. */
int net_local_take(struct net *n, struct in_addr *ret, struct err *err);
int net_local_restore(struct net *n, struct in_addr addr, struct err *err);
void net_local_release(struct net *n, struct in_addr addr);

/* Puts the link with @addr into namespace @id. May be repeated. */
int net_local_attach(struct net *n, const char *id, struct in_addr addr, struct err *err);

/* Cuts namespace @id off the bridge at once; the device goes with the namespace. */
int net_local_detach(struct net *n, const char *id, struct err *err);

/* Puts the interface into namespace @id, as eni_attach(). 0, ENI_E_ABSENT, or a negative errno. */
int net_eni_attach(struct net *n, const char *id, const struct eni_params *e, struct err *err);

/* Fetches what is in namespace @id back, as eni_return(); no such namespace is fine. */
int net_eni_return(struct net *n, const char *id, struct err *err);
