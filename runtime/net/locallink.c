/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/locallink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/strv.h"
#include "runtime/net/guard.h"
#include "runtime/net/internal.h"
#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "runtime/net/sysctl.h"

#define SERVICE_ADDR "169.254.170.2"

int local_init(struct local_link *l, const struct local_params *p, struct err *err)
{
	int k;

	*l = (struct local_link){};
	if (!p->bridge)
		return 0;
	k = link_name_check(p->bridge, err);
	if (k < 0)
		return err_wrap(err, "bridge of the local link");
	k = addrpool_init(&l->addresses, p->subnet, p->prefix_len, err);
	if (k < 0)
		return err_wrap(err, "local link");
	l->routes = calloc(p->n_routes + 1, sizeof(*l->routes));
	if (!l->routes || strdup_to(&l->bridge, p->bridge) < 0)
		return err_set_errno(err, ENOMEM, "allocate the local link");
	for (size_t i = 0; i < p->n_routes; i++)
		l->routes[i] = p->routes[i];
	l->n_routes = p->n_routes;
	l->subnet = p->subnet;
	l->prefix_len = p->prefix_len;
	l->gateway.s_addr = htonl(ntohl(p->subnet.s_addr) + 1);
	return 0;
}

void local_done(struct local_link *l)
{
	addrpool_done(&l->addresses);
	free(l->bridge);
	free(l->routes);
	*l = (struct local_link){};
}

/* ---- rules ---- */

static const char chains[] =
	"add chain inet ecs local_raw { type filter hook prerouting priority -300; policy accept; "
	"}\n"
	"add chain inet ecs local_in { type nat hook prerouting priority -101; policy accept; }\n"
	"add chain inet ecs local_forward { type filter hook forward priority 0; policy accept; }\n"
	"add chain inet ecs local_nat { type nat hook postrouting priority 100; policy accept; }\n"
	"flush chain inet ecs local_raw\n"
	"flush chain inet ecs local_in\n"
	"flush chain inet ecs local_forward\n"
	"flush chain inet ecs local_nat\n";

/*
 * What a task sends goes to the task server or to the further prefixes, under its own address. The
 * task server listens at the address of the containers' bridge, @server.
 */
static void put_rules(struct buf *b, const struct local_link *l, struct in_addr server,
		      uint16_t port)
{
	char subnet[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
	const char *br = l->bridge;

	(void) inet_ntop(AF_INET, &l->subnet, subnet, sizeof(subnet));
	(void) inet_ntop(AF_INET, &server, to, sizeof(to));
	buf_puts(b, chains);
	buf_printf(b, "add rule inet ecs local_raw iifname != \"%s\" return\n", br);
	buf_puts(b, "add rule inet ecs local_raw meta nfproto != ipv4 drop\n");
	buf_printf(b, "add rule inet ecs local_raw ip saddr != %s/%d drop\n", subnet,
		   l->prefix_len);
	buf_puts(b, "add rule inet ecs local_raw ip daddr 169.254.169.254 drop\n");
	if (port > 0) {
		buf_puts(b, "add rule inet ecs local_raw ip daddr " SERVICE_ADDR
			    " tcp dport 80 accept\n");
		buf_printf(b,
			   "add rule inet ecs local_in iifname \"%s\" ip daddr " SERVICE_ADDR
			   " tcp dport 80 dnat ip to %s:%u\n",
			   br, to, port);
	}
	for (size_t i = 0; i < l->n_routes; i++) {
		(void) inet_ntop(AF_INET, &l->routes[i].addr.v4, to, sizeof(to));
		buf_printf(b, "add rule inet ecs local_raw ip daddr %s/%d accept\n", to,
			   l->routes[i].len);
	}
	buf_puts(b, "add rule inet ecs local_raw drop\n");
	buf_printf(b,
		   "add rule inet ecs local_forward oifname \"%s\" ct state established,related"
		   " accept\n",
		   br);
	buf_printf(b, "add rule inet ecs local_forward oifname \"%s\" drop\n", br);
	buf_printf(b, "add rule inet ecs local_nat oifname != \"%s\" ip saddr %s/%d masquerade\n",
		   br, subnet, l->prefix_len);
}

/* Which address has which hardware address is known beforehand, of all there are. */
static void put_pairs(struct buf *b, const struct local_link *l)
{
	uint32_t first = ntohl(l->subnet.s_addr), n = UINT32_C(1) << (32 - l->prefix_len);

	buf_puts(b, "add element bridge ecs local_pairs { ");
	for (uint32_t i = 2; i + 1 < n; i++) {
		struct in_addr a = { htonl(first + i) };
		char text[INET_ADDRSTRLEN];
		uint8_t m[ETH_ALEN];

		link_mac(a, m);
		(void) inet_ntop(AF_INET, &a, text, sizeof(text));
		buf_printf(b, "%s%02x:%02x:%02x:%02x:%02x:%02x . %s", i > 2 ? ", " : "", m[0], m[1],
			   m[2], m[3], m[4], m[5], text);
	}
	buf_puts(b, " }\n");
}

static void put_guard(struct buf *b, const struct local_link *l)
{
	buf_puts(b, "add table bridge ecs\n"
		    "add set bridge ecs local_pairs { type ether_addr . ipv4_addr; }\n"
		    "add chain bridge ecs local_guard"
		    " { type filter hook prerouting priority -300; policy accept; }\n"
		    "flush chain bridge ecs local_guard\n"
		    "flush set bridge ecs local_pairs\n");
	put_pairs(b, l);
	buf_printf(b, "add rule bridge ecs local_guard iifgroup != %d accept\n", GUARD_GROUP_LOCAL);
	buf_puts(b, "add rule bridge ecs local_guard ether saddr . ip saddr @local_pairs accept\n"
		    "add rule bridge ecs local_guard ether saddr . arp saddr ip @local_pairs"
		    " arp saddr ether . arp saddr ip @local_pairs accept\n"
		    "add rule bridge ecs local_guard drop\n");
}

int local_assert(struct net *n, struct err *err)
{
	_cleanup_(buf_done) struct buf text = {};
	int k;

	if (!n->local.on)
		return 0;
	put_rules(&text, &n->local, n->gateway, n->nft_params.service_port);
	k = nft_run(n->nft, &text, err);
	if (k == 0 && n->guarded) {
		buf_reset(&text);
		put_guard(&text, &n->local);
		k = nft_run(n->nft, &text, err);
	}
	return k < 0 ? err_wrap(err, "rules of bridge '%s'", n->local.bridge) : 0;
}

/* ---- the bridge ---- */

static int set_sysctls(const char *bridge, struct err *err)
{
	static const char *const knobs[][2] = { { "accept_ra", "0" }, { "disable_ipv6", "1" } };
	int k = 0;

	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(knobs); i++) {
		char path[80];

		(void) snprintf(path, sizeof(path), "net/ipv6/conf/%s/%s", bridge, knobs[i][0]);
		k = sysctl_set(path, knobs[i][1], true, err);
	}
	return k;
}

/* The rules stand before the bridge can carry anything. */
static int start(struct net *n, struct err *err)
{
	struct local_link *l = &n->local;
	int k = 0;

	if (!l->bridge)
		return err_set(err, ENOTSUP, "networkMode: awsvpc: this host has no local link");
	if (l->on && l->index == link_index(n->rtnl, l->bridge))
		return 0;
	if (!l->on) {
		l->on = true;
		k = net_reassert(n, err);
		l->on = k == 0;
	}
	if (k == 0)
		l->index = k = link_bridge_ensure(n->rtnl, l->bridge, l->gateway, l->prefix_len,
						  l->mac, err);
	return k < 0 ? k : set_sysctls(l->bridge, err);
}

int net_local_take(struct net *n, struct in_addr *ret, struct err *err)
{
	if (!n->local.bridge)
		return err_set(err, ENOTSUP, "networkMode: awsvpc: this host has no local link");
	return addrpool_take(&n->local.addresses, ret, err);
}

/* A task that has one may ask at any time. */
int net_local_restore(struct net *n, struct in_addr addr, struct err *err)
{
	int k = start(n, err);

	return k < 0 ? k : addrpool_restore(&n->local.addresses, addr, err);
}

void net_local_release(struct net *n, struct in_addr addr)
{
	if (n->local.bridge && addrpool_release(&n->local.addresses, addr))
		(void) link_neighbour_forget(n->rtnl, n->local.index, addr, NULL);
}

/* ---- the link ---- */

static int open_ns(struct net *n, const char *id, int *ret, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k = netns_id_check(id, err);

	if (k < 0)
		return k;
	path = path_join("%s/%s", n->netns_dir, id);
	if (!path)
		return err_set_errno(err, ENOMEM, "name namespace '%s'", id);
	*ret = netns_open(path, err);
	return *ret < 0 ? *ret : 0;
}

/* The port sends nothing to other isolated ones: tasks do not see each other. */
static int isolate(int rtnl, int index, struct err *err)
{
	struct ifinfomsg head = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(RTM_SETLINK, 0);
	struct nlattr *port;
	int k;

	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return err_set_errno(err, ENOMEM, "build rtnetlink request");
	port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	if (!port || nla_put_u8(m, IFLA_BRPORT_ISOLATED, 1) < 0)
		return err_set_errno(err, ENOMEM, "build rtnetlink request");
	nla_nest_end(m, port);
	k = rtnl_call(rtnl, &m, 1, err);
	return k < 0 ? err_wrap(err, "isolate the port of a task") : 0;
}

static int ensure_veth(struct net *n, const struct link_veth *v, int inside, struct err *err)
{
	int k;

	if (link_index(n->rtnl, v->name) > 0) {
		if (link_index(inside, LOCAL_NAME) > 0)
			return 0;
		k = link_delete(n->rtnl, v->name, err);
		if (k < 0)
			return k;
	}
	return link_veth_create(n->rtnl, v, err);
}

static int set_route(int inside, int index, const struct ip_prefix *to, struct in_addr gateway,
		     struct err *err)
{
	struct ip_addr by = { .family = AF_INET, .v4 = gateway };
	_cleanup_(nlmsg_freep) struct nl_msg *m = rtmsg_route(index, to, &by);
	char text[INET_ADDRSTRLEN];
	int k = rtnl_call(inside, &m, 1, err);

	return k < 0 ? err_wrap(err, "set route to %s/%d by " LOCAL_NAME,
				inet_ntop(AF_INET, &to->addr.v4, text, sizeof(text)), to->len)
		     : 0;
}

static int configure(const struct local_link *l, int inside, struct in_addr addr, struct err *err)
{
	int index = link_index(inside, LOCAL_NAME), k;
	struct ip_prefix own = { { .family = AF_INET, .v4 = addr }, l->prefix_len };
	struct ip_prefix service = { { .family = AF_INET, .v4.s_addr = inet_addr(SERVICE_ADDR) },
				     32 };
	struct ip_addr gateway = { .family = AF_INET, .v4 = l->gateway };
	_cleanup_(nlmsg_freep) struct nl_msg *up = rtmsg_link_up(index, true);
	_cleanup_(nlmsg_freep) struct nl_msg *address = rtmsg_address(index, &own);
	_cleanup_(nlmsg_freep) struct nl_msg *neigh = rtmsg_neighbour(index, &gateway, l->mac);

	k = rtnl_call(inside, (struct nl_msg *[]){ up, address, neigh }, 3, err);
	if (k < 0)
		return err_wrap(err, "set address %s of " LOCAL_NAME, inet_ntoa(addr));
	k = set_route(inside, index, &service, l->gateway, err);
	for (size_t i = 0; k == 0 && i < l->n_routes; i++)
		k = set_route(inside, index, &l->routes[i], l->gateway, err);
	return k;
}

static int attach(struct net *n, const char *id, int ns, struct in_addr addr, struct err *err)
{
	_cleanup_(closep) int inside = netns_rtnl_open(n->self_ns, ns, err);
	char name[LINK_NAME_BYTES];
	struct link_veth v = { .name = name,
			       .peer = LOCAL_NAME,
			       .bridge = n->local.index,
			       .ns_fd = ns,
			       .addr = addr,
			       .group = GUARD_GROUP_LOCAL };
	int k;

	if (inside < 0)
		return inside;
	link_veth_name(id, name);
	k = ensure_veth(n, &v, inside, err);
	if (k == 0)
		k = isolate(n->rtnl, link_index(n->rtnl, name), err);
	if (k == 0)
		k = configure(&n->local, inside, addr, err);
	if (k == 0)
		k = link_veth_pin(n->rtnl, &v, err);
	if (k < 0)
		return k;
	link_settle(inside, LOCAL_NAME);
	link_settle(n->rtnl, name);
	k = link_port_enable(n->rtnl, name, true, err);
	link_settle(n->rtnl, n->local.bridge);
	return k;
}

int net_local_attach(struct net *n, const char *id, struct in_addr addr, struct err *err)
{
	_cleanup_(closep) int ns = -EBADF;
	int k = start(n, err);

	if (k == 0)
		k = open_ns(n, id, &ns, err);
	if (k == 0)
		k = attach(n, id, ns, addr, err);
	return k < 0 ? err_wrap(err, "local link of '%s'", id) : 0;
}

int net_local_detach(struct net *n, const char *id, struct err *err)
{
	char name[LINK_NAME_BYTES];

	link_veth_name(id, name);
	return link_port_enable(n->rtnl, name, false, err);
}

/* ---- the interface ---- */

/*
 * The routes that lead nowhere (eni.h) hold whoever does not choose a device; a socket that is bound
 * to one is not asked for a route, and meets this.
 */
static int close_imds(struct net *n, int ns, struct err *err)
{
	static const char rules[] =
		"add table inet ecs\n"
		"add chain inet ecs out { type filter hook output priority -300; policy accept; }\n"
		"flush chain inet ecs out\n"
		"add rule inet ecs out ip daddr 169.254.169.254 drop\n"
		"add rule inet ecs out ip6 daddr fd00:ec2::254 drop\n";
	_cleanup_(buf_done) struct buf text = {};
	int k;

	buf_puts(&text, rules);
	k = nft_run_in(n->nft, n->self_ns, ns, &text, err);
	return k < 0 ? err_wrap(err, "close the instance metadata service") : 0;
}

static int open_place(struct net *n, int ns, struct eni_place *p, struct err *err)
{
	*p = (struct eni_place){ .self_ns = n->self_ns, .ns = ns, .rtnl = n->rtnl };
	p->inside = netns_rtnl_open(n->self_ns, ns, err);
	return p->inside < 0 ? p->inside : 0;
}

int net_eni_attach(struct net *n, const char *id, const struct eni_params *e, struct err *err)
{
	_cleanup_(closep) int ns = -EBADF;
	struct eni_place p;
	int k = open_ns(n, id, &ns, err);

	if (k == 0)
		k = open_place(n, ns, &p, err);
	if (k < 0)
		return k;
	k = e->block_imds ? close_imds(n, ns, err) : 0;
	if (k == 0)
		k = eni_attach(&p, e, err);
	(void) safe_close(p.inside);
	return k;
}

int net_eni_return(struct net *n, const char *id, struct err *err)
{
	_cleanup_(err_done) struct err first = {};
	_cleanup_(closep) int ns = -EBADF;
	struct eni_place p;
	int k = open_ns(n, id, &ns, &first);

	/* What is no namespace any more after a reboot is as good as none. */
	if (k == -ENOENT || k == -EINVAL)
		return 0;
	if (k == 0)
		k = open_place(n, ns, &p, &first);
	if (k < 0)
		return err_move(err, &first);
	k = eni_return(&p, err);
	(void) safe_close(p.inside);
	return k;
}
