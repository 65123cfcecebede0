/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net - the host side of container networking: the bridge, network namespaces, veth pairs, and host
 * ports published through one nftables table, `inet ecs`. netlink and libnftables only, no
 * programs. Loop thread only; calls are short. Idempotent: attaching what is attached and removing
 * what is gone succeed. Host ports stand in maps (proto . port : addr . port), one for IPv4 and one for
 * IPv6, so a lookup costs O(1) and publishing is an element of each in one transaction.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/net/firewall.h"
#include "runtime/net/net6.h"

struct net;
struct local_params;

struct net_params {
	const char *bridge;                   /* "ecs0" */
	struct in_addr subnet;                /* network address, network byte order */
	uint8_t prefix_len;                   /* 16..28 */
	struct net6 six;                      /* none: containers have no IPv6 */
	const char *netns_dir;                /* where namespaces are bound: <run_dir>/netns */
	uint16_t dynamic_first, dynamic_last; /* range of host ports chosen by us */
	const uint16_t *reserved_tcp, *reserved_udp; /* never chosen */
	size_t n_reserved_tcp, n_reserved_udp;
	bool allow_imds; /* containers may reach the instance metadata service; else it is closed */
	bool firewall_accept; /* rules in the chains of others let the bridge pass: firewall.h */
	uint16_t near_port; /* TCP, of the bridge, closed to who is elsewhere; 0: none */
	uint16_t service_port; /* of this host, where 169.254.170.2:80 leads; 0: nowhere */
	const struct local_params *local; /* locallink.h; NULL: no task has an interface of its own */
};

/*
 * Makes or takes over bridge, addresses, sysctls and table; what is published stays published and
 * running connections go on. -EPERM: no CAP_NET_ADMIN. Forwarding is switched on. Containers
 * are reached from outside through published ports only. Where the host has a forward policy of its own that
 * drops, rules of ours have to be put there: net_check_firewall().
 */
int net_new(const struct net_params *p, struct net **ret, struct err *err);

/* Frees; what was made in the kernel stays, since containers go on. */
struct net *net_free(struct net *n);
DEFINE_CLEANUP(struct net *, net_free)

/* Removes bridge and table from the kernel: for uninstall and tests. */
int net_teardown(struct net *n, struct err *err);

/*
 * A chain of the host that drops what is forwarded and that our rules cannot overrule ("chain FORWARD
 * of table ip filter"); *@ret owned, NULL: there is none. Without firewall_accept it has to accept what
 * enters and leaves the bridge. Rules of the legacy iptables are not seen.
 */
int net_forward_policy(const struct net *n, char **ret, struct err *err);

/* False: this kernel lets containers send under each other's addresses (they get no answers). */
bool net_is_guarded(const struct net *n);

/* The gateway of the bridge: its own address. */
struct in_addr net_gateway(const struct net *n);

/* The IPv6 address of the container that has @addr; "::" when the bridge has no IPv6. */
struct in6_addr net_address6(const struct net *n, struct in_addr addr);

/* Why this host has no IPv6 for the bridge; NULL: it has, or it was not asked for. Stays @n's. */
const char *net_ipv6_missing(const struct net *n);

/*
 * Takes a free address of the subnet (not the network, gateway or broadcast one). Lowest first
 * after the last taken, so that an address rests before it is used again. -ENOSPC: all are taken.
 */
int net_address_take(struct net *n, struct in_addr *ret, struct err *err);

/* Marks an address read back from the store as taken. 0, or -EADDRINUSE/-EADDRNOTAVAIL. */
int net_address_restore(struct net *n, struct in_addr addr, struct err *err);
void net_address_release(struct net *n, struct in_addr addr);

/* Makes a network namespace bound at <netns_dir>/@id, its loopback up. *ret_path owned. */
int net_ns_create(struct net *n, const char *id, char **ret_path, struct err *err);

/* Unbinds; the kernel takes the namespace apart once nobody is in it, which is not waited for. */
int net_ns_remove(struct net *n, const char *id, struct err *err);

/* Ids bound in netns_dir; strv, owned. */
int net_ns_list(struct net *n, char ***ret, struct err *err);

/*
 * Puts eth0 with @addr (and net_address6()) and default routes into namespace @id, its peer onto the
 * bridge. One that was attached when the bridge had no IPv6, or another prefix, gets the address now.
 */
int net_attach(struct net *n, const char *id, struct in_addr addr, struct err *err);

/*
 * Cuts @id off the bridge at once. The devices go away with the namespace, after net_ns_remove(), in
 * the kernel's own time: removing them here would stall the loop for 30 ms and more.
 */
int net_detach(struct net *n, const char *id, struct err *err);

struct port_binding {
	uint16_t container_port; /* 1..65535 */
	uint16_t host_port;      /* 0: any free port of the dynamic range */
	uint8_t proto;           /* IPPROTO_TCP or IPPROTO_UDP */
	/*
	 * 0: on its own. Neighbours in a list with the same number are a range of container ports:
	 * ascending without gaps, of one protocol, and so are the host ports chosen for them.
	 */
	uint16_t range;
};

/* How many of @b, counted from the first on, are one range; 1: the first one is on its own. */
size_t port_binding_range(const struct port_binding *b, size_t n_b);

enum {
	NET_E_PORT_IN_USE = 1, /* somebody holds a host port: err says which; nothing was changed */
	NET_E_PORT_RESTING = 2 /* what is free was released less than a minute ago; the same */
};

/*
 * Holds the host ports of @b (choosing those that are 0) by binding them, so that nobody else can
 * take them before they are published. All or none. Until it is published a TCP port refuses
 * connections. Returns 0, NET_E_PORT_IN_USE ("host port 8080/tcp is in use", "no tcp port of
 * 61000-65535 is free", "no 10 contiguous tcp ports of 61000-65535 are free"), NET_E_PORT_RESTING
 * or a negative errno; -EINVAL names a protocol or container port out of bounds.
 */
int net_ports_hold(struct net *n, struct port_binding *b, size_t n_b, struct err *err);

/* Publishes held ports towards @addr: one nftables transaction. */
int net_ports_publish(struct net *n, struct in_addr addr, const struct port_binding *b, size_t n_b,
		      struct err *err);

/*
 * Withdraws (if published) and lets go of the ports; those not held are fine. They rest for a
 * minute before they are chosen again.
 */
int net_ports_release(struct net *n, const struct port_binding *b, size_t n_b, struct err *err);

/* The same rest for what an earlier run of the program released less than a minute ago. */
void net_ports_rest(struct net *n, const struct port_binding *b, size_t n_b);

struct net_published {
	struct in_addr addr;
	struct port_binding binding;
};

/*
 * After a restart: brings the table in line with exactly the bindings given (elements of others go,
 * missing ones come), in one transaction, and holds their ports again. A port that somebody bound
 * meanwhile stays published: packets are redirected before they would reach a socket.
 */
int net_ports_restore(struct net *n, const struct net_published *p, size_t n_p, struct err *err);

/*
 * Puts the whole table as it should be, in one transaction: rules and published ports. Running
 * connections go on.
 */
int net_reassert(struct net *n, struct err *err);

/*
 * Others flush rulesets, and firewalls load theirs anew: the rule that closes the instance metadata
 * service is gone then, and so are the published ports. This descriptor turns readable when
 * anything happened to the host's rules, our own doing included; then call net_check() soon.
 */
int net_monitor_fd(const struct net *n);
void net_monitor_drain(struct net *n);

/*
 * Looks whether the table is as we left it, and puts it right when it is not. Costs two system calls
 * when nothing happened. @thorough: also what nobody tells of, the sysctls of the bridge.
 * Returns 0, NET_E_RESTORED, or a negative errno: it is not right yet.
 */
enum { NET_E_RESTORED = 1 };
int net_check(struct net *n, bool thorough, struct err *err);

/*
 * The same for the rules that let the bridge pass the host's own firewall, with the same two calls when nothing
 * happened. 1: @ret tells news; see firewall_check().
 */
int net_check_firewall(struct net *n, struct firewall_news *ret, struct err *err);
