/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/fs.h"
#include "common/strv.h"
#include "runtime/net/guard.h"
#include "runtime/net/host6.h"
#include "runtime/net/internal.h"
#include "runtime/net/link.h"
#include "runtime/net/link6.h"
#include "runtime/net/netns.h"
#include "runtime/net/redirect.h"
#include "runtime/net/rtnl.h"
#include "runtime/net/ruleset.h"
#include "runtime/net/sysctl.h"

static int set_up_six(const struct net *n, struct err *err)
{
	struct in6_addr gateway = net6_address(&n->nft_params.six, n->gateway);
	int k = host6_check(err);

	if (k == 0)
		k = host6_set_bridge(n->bridge, true, err);
	if (k == 0)
		k = link6_add_address(n->rtnl, n->bridge_index, &gateway,
				      n->nft_params.six.prefix_len, err);
	if (k == 0)
		k = link6_loopback_route(n->rtnl, n->bridge_index, err);
	return k < 0 ? k : host6_forward(n->bridge, err);
}

int net_set_sysctls(const struct net *n, struct err *err)
{
	static const struct {
		const char *knob, *value;
		bool optional;
	} knobs[] = {
		/* Without it answers to 127.0.0.1:<host port> would be dropped as martians. */
		{ "ipv4/conf/%s/route_localnet", "1", false },
		{ "ipv4/ip_forward", "1", false },
	};
	int k;

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		const char *hole = strstr(knobs[i].knob, "%s");
		int head = hole ? (int) (hole - knobs[i].knob) : (int) strlen(knobs[i].knob);
		char path[80];

		(void) snprintf(path, sizeof(path), "net/%.*s%s%s", head, knobs[i].knob,
				hole ? n->bridge : "", hole ? hole + 2 : "");
		k = sysctl_set(path, knobs[i].value, knobs[i].optional, err);
		if (k < 0)
			return k;
	}
	return n->nft_params.six.prefix_len > 0 ? set_up_six(n, err)
						: host6_set_bridge(n->bridge, false, err);
}

/* Goes on without. */
static void do_without_six(struct net *n, const struct err *why)
{
	n->nft_params.six = (struct net6){};
	n->no_ipv6 = strdup(err_text(why));
	(void) host6_set_bridge(n->bridge, false, NULL);
}

/*
 * Takes the table over with what it holds; one that another
 * version left in another form is made anew.
 */
static int make_table(struct net *n, struct err *err)
{
	_cleanup_(err_done) struct err first = {};
	_cleanup_(buf_done) struct buf text = {};

	nft_text_table(&text, &n->nft_params);
	if (nft_run(n->nft, &text, &first) == 0)
		return 0;
	buf_reset(&text);
	nft_text_remove(&text);
	nft_text_table(&text, &n->nft_params);
	return nft_run(n->nft, &text, err);
}

/* A kernel may have IPv6 and cannot translate it. */
static int set_up_table(struct net *n, struct err *err)
{
	_cleanup_(err_done) struct err why = {};

	if (n->nft_params.six.prefix_len > 0) {
		if (make_table(n, &why) == 0)
			return 0;
		do_without_six(n, &why);
	}
	return make_table(n, err);
}

static int set_up_kernel(struct net *n, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	int k;

	n->self_ns = netns_self(err);
	if (n->self_ns < 0)
		return n->self_ns;
	n->rtnl = rtnl_open(err);
	if (n->rtnl < 0)
		return n->rtnl;
	n->nfnl = rtnl_open_netfilter(err);
	if (n->nfnl < 0)
		return n->nfnl;
	n->monitor = ruleset_monitor(err);
	if (n->monitor < 0)
		return n->monitor;
	k = fs_mkdir_p(n->netns_dir, 0700, err);
	if (k < 0)
		return k;
	n->bridge_index = link_bridge_ensure(n->rtnl, n->bridge, n->gateway,
					     n->nft_params.prefix_len, n->gateway_mac, err);
	if (n->bridge_index < 0)
		return n->bridge_index;
	if (n->nft_params.six.prefix_len > 0 && set_up_six(n, &why) < 0)
		do_without_six(n, &why);
	/* The rules stand before the bridge can carry anything to 127.0.0.0/8. */
	k = set_up_table(n, err);
	if (k == 0 && n->nft_params.service_port)
		k = redirect_route(n->rtnl, err);
	if (k < 0)
		return k;
	n->guarded = net_assert_guard(n, NULL) == 0;
	return net_set_sysctls(n, err);
}

static int take_params(struct net *n, const struct net_params *p, struct err *err)
{
	int k = link_name_check(p->bridge, err);

	if (k < 0)
		return err_wrap(err, "bridge");
	k = addrpool_init(&n->addresses, p->subnet, p->prefix_len, err);
	if (k < 0)
		return k;
	k = p->local ? local_init(&n->local, p->local, err) : 0;
	if (k < 0)
		return k;
	k = porttab_init(&n->ports, p->dynamic_first, p->dynamic_last, err);
	if (k < 0)
		return k;
	for (size_t i = 0; i < p->n_reserved_tcp; i++)
		porttab_reserve(&n->ports, IPPROTO_TCP, p->reserved_tcp[i]);
	for (size_t i = 0; i < p->n_reserved_udp; i++)
		porttab_reserve(&n->ports, IPPROTO_UDP, p->reserved_udp[i]);
	if (strdup_to(&n->bridge, p->bridge) < 0 || strdup_to(&n->netns_dir, p->netns_dir) < 0)
		return err_set_errno(err, ENOMEM, "allocate network");
	n->gateway.s_addr = htonl(ntohl(p->subnet.s_addr) + 1);
	n->nft_params = (struct nft_params){
		.bridge = n->bridge,
		.subnet = p->subnet,
		.prefix_len = p->prefix_len,
		.six = p->six,
		.loopback6 = host6_reaches_loopback(),
		.allow_imds = p->allow_imds,
		.near_port = p->near_port,
		.service_port = p->service_port,
	};
	n->firewall = (struct firewall){
		.bridge = { .name = n->bridge, .service_port = p->service_port },
		.local = { .name = n->local.bridge,
			   .service_port = p->service_port,
			   .leads_on = n->local.n_routes > 0 },
		.accept = p->firewall_accept,
	};
	return 0;
}

int net_new(const struct net_params *p, struct net **ret, struct err *err)
{
	_cleanup_(net_freep) struct net *n = calloc(1, sizeof(*n));
	int k;

	if (!n)
		return err_set_errno(err, ENOMEM, "allocate network");
	n->rtnl = n->nfnl = n->monitor = n->self_ns = -EBADF;
	k = take_params(n, p, err);
	if (k < 0)
		return k;
	k = nft_new(&n->nft, err);
	if (k < 0)
		return k;
	k = set_up_kernel(n, err);
	if (k < 0)
		return err_wrap(err, "set up bridge network '%s'", n->bridge);
	*ret = TAKE_PTR(n);
	return 0;
}

struct net *net_free(struct net *n)
{
	if (!n)
		return NULL;
	n->nft = nft_free(n->nft);
	n->rtnl = safe_close(n->rtnl);
	n->nfnl = safe_close(n->nfnl);
	n->monitor = safe_close(n->monitor);
	n->self_ns = safe_close(n->self_ns);
	porttab_done(&n->ports);
	addrpool_done(&n->addresses);
	local_done(&n->local);
	free(n->bridge);
	free(n->netns_dir);
	free(n->no_ipv6);
	free(n);
	return NULL;
}

int net_teardown(struct net *n, struct err *err)
{
	_cleanup_(buf_done) struct buf text = {};
	int k;

	nft_text_remove(&text);
	k = nft_run(n->nft, &text, err);
	if (k < 0)
		return k;
	buf_reset(&text);
	guard_text_remove(&text);
	(void) nft_run(n->nft, &text, NULL);
	(void) firewall_remove(&n->firewall, n->nfnl, NULL);
	n->local.on = false;
	if (n->local.bridge)
		(void) link_delete(n->rtnl, n->local.bridge, NULL);
	return link_delete(n->rtnl, n->bridge, err);
}

int net_assert_guard(struct net *n, struct err *err)
{
	_cleanup_(buf_done) struct buf text = {};

	guard_text_table(&text, &n->nft_params, n->gateway_mac);
	return nft_run(n->nft, &text, err);
}

int net_forward_policy(const struct net *n, char **ret, struct err *err)
{
	char chain[FIREWALL_TEXT_BYTES];
	int k = firewall_find(n->nfnl, chain, err);

	*ret = NULL;
	if (k < 0 || !*chain)
		return k;
	*ret = strdup(chain);
	return *ret ? 0 : err_set_errno(err, ENOMEM, "allocate text");
}

int net_check_firewall(struct net *n, struct firewall_news *ret, struct err *err)
{
	return firewall_check(&n->firewall, n->nfnl, ret, err);
}

bool net_is_guarded(const struct net *n)
{
	return n->guarded;
}

struct in_addr net_gateway(const struct net *n)
{
	return n->gateway;
}

struct in6_addr net_address6(const struct net *n, struct in_addr addr)
{
	return net6_address(&n->nft_params.six, addr);
}

const char *net_ipv6_missing(const struct net *n)
{
	return n->no_ipv6;
}

int net_address_take(struct net *n, struct in_addr *ret, struct err *err)
{
	return addrpool_take(&n->addresses, ret, err);
}

int net_address_restore(struct net *n, struct in_addr addr, struct err *err)
{
	return addrpool_restore(&n->addresses, addr, err);
}

void net_address_release(struct net *n, struct in_addr addr)
{
	struct in6_addr six = net_address6(n, addr);
	uint8_t mac[ETH_ALEN];

	if (!addrpool_release(&n->addresses, addr))
		return;
	/* One that stays does no harm: an address always has the same hardware address. */
	(void) link_neighbour_forget(n->rtnl, n->bridge_index, addr, NULL);
	link_mac(addr, mac);
	if (!IN6_IS_ADDR_UNSPECIFIED(&six))
		link6_neighbour_forget(n->rtnl, n->bridge_index, &six, mac);
}

static int ns_path(const struct net *n, const char *id, char **ret, struct err *err)
{
	int k = netns_id_check(id, err);

	if (k < 0)
		return k;
	*ret = path_join("%s/%s", n->netns_dir, id);
	return *ret ? 0 : err_set_errno(err, ENOMEM, "name namespace '%s'", id);
}

int net_ns_create(struct net *n, const char *id, char **ret_path, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k = ns_path(n, id, &path, err);

	if (k < 0)
		return k;
	k = netns_create(n->self_ns, path, err);
	if (k < 0)
		return k;
	*ret_path = TAKE_PTR(path);
	return 0;
}

int net_ns_remove(struct net *n, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k = ns_path(n, id, &path, err);

	return k < 0 ? k : netns_remove(path, err);
}

int net_ns_list(struct net *n, char ***ret, struct err *err)
{
	_cleanup_(strv_freep) char **ids = NULL;
	_cleanup_(closedirp) DIR *d = opendir(n->netns_dir);
	const struct dirent *e;

	if (!d && errno != ENOENT)
		return err_set_errno(err, errno, "list '%s'", n->netns_dir);
	while (d && (e = readdir(d)))
		if (netns_id_check(e->d_name, NULL) == 0 && strv_append(&ids, e->d_name) < 0)
			return err_set_errno(err, ENOMEM, "list '%s'", n->netns_dir);
	*ret = TAKE_PTR(ids);
	return 0;
}

/* Makes the pair, unless an earlier call did. */
static int ensure_veth(struct net *n, const struct link_veth *v, int inside, struct err *err)
{
	int k;

	if (link_index(n->rtnl, v->name) > 0) {
		if (link_index(inside, "eth0") > 0)
			return netns_set_linger(n->self_ns, v->ns_fd, true, err);
		/* Its other end is in a namespace that is going away. */
		k = link_delete(n->rtnl, v->name, err);
		if (k < 0)
			return k;
	}
	return link_veth_create(n->rtnl, v, err);
}

static int attach(struct net *n, const char *id, int ns_fd, struct in_addr addr, struct err *err)
{
	_cleanup_(closep) int inside = netns_rtnl_open(n->self_ns, ns_fd, err);
	char name[LINK_NAME_BYTES];
	struct link_veth v = {
		.name = name,
		.bridge = n->bridge_index,
		.ns_fd = ns_fd,
		.addr = addr,
		.addr6 = net_address6(n, addr),
		.group = GUARD_GROUP,
	};
	struct link_address a = {
		.addr = addr,
		.gateway = n->gateway,
		.prefix_len = n->nft_params.prefix_len,
		.gateway_mac = n->gateway_mac,
	};
	struct link6_addresses a6 = {
		.addr = v.addr6,
		.gateway = net_address6(n, n->gateway),
		.gateway_mac = n->gateway_mac,
	};
	bool six = n->nft_params.six.prefix_len > 0;
	int k;

	if (inside < 0)
		return inside;
	link_veth_name(id, name);
	k = six ? netns_enable_ipv6(n->self_ns, ns_fd, err) : 0;
	if (k == 0)
		k = ensure_veth(n, &v, inside, err);
	if (k == 0)
		k = link_configure(inside, link_index(inside, "eth0"), &a, err);
	if (k == 0 && six)
		k = link6_configure(inside, link_index(inside, "eth0"), &a6, err);
	/* The host's end last: when it comes up the other is there, and the bridge takes it. */
	if (k == 0)
		k = link_veth_pin(n->rtnl, &v, err);
	if (k < 0)
		return k;
	link_settle(inside, "eth0");
	link_settle(n->rtnl, name);
	k = link_port_enable(n->rtnl, name, true, err);
	/* A bridge without a port that is on has no carrier. */
	link_settle(n->rtnl, n->bridge);
	return k;
}

int net_attach(struct net *n, const char *id, struct in_addr addr, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	_cleanup_(closep) int ns_fd = -EBADF;
	int k = ns_path(n, id, &path, err);

	if (k < 0)
		return k;
	ns_fd = netns_open(path, err);
	if (ns_fd < 0)
		return ns_fd;
	k = attach(n, id, ns_fd, addr, err);
	return k < 0 ? err_wrap(err, "attach '%s' to bridge '%s'", id, n->bridge) : 0;
}

int net_detach(struct net *n, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	_cleanup_(closep) int ns_fd = -EBADF;
	char name[LINK_NAME_BYTES];
	int k = ns_path(n, id, &path, err);

	if (k < 0)
		return k;
	link_veth_name(id, name);
	k = link_port_enable(n->rtnl, name, false, err);
	if (k < 0)
		return k;
	ns_fd = netns_open(path, NULL);
	if (ns_fd >= 0)
		(void) netns_set_linger(n->self_ns, ns_fd, false, NULL);
	return 0;
}
