/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/eni.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

#include "runtime/net/guard.h"
#include "runtime/net/netns.h"
#include "runtime/net/sysctl.h"

enum { INTERFACES_MAX = 16 };

/* ---- into the namespace ---- */

static struct nl_msg *link_message(int type, int flags, int index)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(type, flags);

	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(m);
}

/* Down, elsewhere and renamed, in this order, is one request; the name is free over there. */
static int move(int rtnl, int index, int ns, const char *name, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = link_message(RTM_NEWLINK, 0, index);

	if (m && (nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t) ns) < 0 ||
		  nla_put_string(m, IFLA_IFNAME, name) < 0)) {
		nlmsg_free(m);
		m = NULL;
	}
	return rtnl_call(rtnl, &m, 1, err);
}

static struct nl_msg *vlan_message(int trunk, const struct eni_params *e, int ns)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info, *data;

	if (!m || nla_put_string(m, IFLA_IFNAME, ENI_NAME) < 0 ||
	    nla_put(m, IFLA_ADDRESS, ETH_ALEN, e->mac) < 0 ||
	    nla_put_u32(m, IFLA_LINK, (uint32_t) trunk) < 0 ||
	    nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t) ns) < 0)
		return NULL;
	info = nla_nest_start(m, IFLA_LINKINFO);
	if (!info || nla_put_string(m, IFLA_INFO_KIND, "vlan") < 0)
		return NULL;
	data = nla_nest_start(m, IFLA_INFO_DATA);
	if (!data || nla_put_u16(m, IFLA_VLAN_ID, e->vlan_id) < 0)
		return NULL;
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return TAKE_PTR(m);
}

/* The trunk stays where it is; it has to be up to carry anything. */
static int make_vlan(const struct eni_place *p, const struct eni_params *e, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *up = NULL, *make = NULL;
	struct linkinfo trunk;
	int k = linkinfo_find(p->rtnl, e->trunk_mac, &trunk, err);

	if (k == -ENODEV) {
		(void) err_wrap(err, "trunk");
		return ENI_E_ABSENT;
	}
	if (k < 0)
		return k;
	up = rtmsg_link_up(trunk.index, true);
	make = vlan_message(trunk.index, e, p->ns);
	k = rtnl_call(p->rtnl, (struct nl_msg *[]){ up, make }, 2, err);
	return k < 0 ? err_wrap(err, "make VLAN %d of '%s'", e->vlan_id, trunk.name) : 0;
}

static int bring_in(const struct eni_place *p, const struct eni_params *e, struct err *err)
{
	struct linkinfo l;
	int k;

	if (e->vlan)
		return make_vlan(p, e, err);
	k = linkinfo_find(p->rtnl, e->mac, &l, err);
	if (k == -ENODEV)
		return ENI_E_ABSENT;
	if (k == 0)
		k = move(p->rtnl, l.index, p->ns, ENI_NAME, err);
	return k < 0 ? err_wrap(err, "move '%s' into the task's namespace", l.name) : 0;
}

/* ---- in the namespace ---- */

struct inside {
	const uint8_t *mac;
	struct linkinfo found; /* index 0: none */
};

static int look_inside(const struct linkinfo *l, void *userdata)
{
	struct inside *in = userdata;

	if (!l->loopback && memcmp(l->mac, in->mac, ETH_ALEN) == 0)
		in->found = *l;
	return 0;
}

static bool has_family(const struct eni_params *e, int family)
{
	for (size_t i = 0; i < e->n_addresses; i++)
		if (e->addresses[i].addr.family == family)
			return true;
	return false;
}

/*
 * Before the device comes up. VPCs keep addresses apart, so nobody has to ask whether one is taken;
 * the answer would be a second of silence.
 */
static int set_ipv6(const void *userdata, struct err *err)
{
	const struct eni_params *e = userdata;
	const struct {
		const char *path, *value;
	} knobs[] = {
		{ "net/ipv6/conf/" ENI_NAME "/accept_dad", "0" },
		{ "net/ipv6/conf/" ENI_NAME "/dad_transmits", "0" },
		/* Neighbours and routers are asked under a link-local address. */
		{ "net/ipv6/conf/" ENI_NAME "/addr_gen_mode", "0" },
		{ "net/ipv6/conf/" ENI_NAME "/autoconf", "0" },
		{ "net/ipv6/conf/" ENI_NAME "/accept_redirects", "0" },
		{ "net/ipv6/conf/" ENI_NAME "/accept_ra", e->gateway6.family ? "0" : "2" },
		{ "net/ipv6/conf/" ENI_NAME "/disable_ipv6", "0" },
	};
	int k = 0;

	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(knobs); i++)
		k = sysctl_set(knobs[i].path, knobs[i].value, false, err);
	return k;
}

static int set_addresses(const struct eni_place *p, const struct eni_params *e, int index,
			 struct err *err)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < e->n_addresses; i++) {
		const struct ip_prefix *a = &e->addresses[i];
		_cleanup_(nlmsg_freep) struct nl_msg *m = rtmsg_address(index, a);
		int k = rtnl_call(p->inside, &m, 1, err);

		if (k < 0)
			return err_wrap(err, "set address %s/%d",
					inet_ntop(a->addr.family, &a->addr.v4, text, sizeof(text)),
					a->len);
	}
	return 0;
}

static int set_route(const struct eni_place *p, int index, const struct ip_addr *gateway,
		     struct err *err)
{
	const struct ip_prefix all = { .addr.family = gateway->family };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	char text[INET6_ADDRSTRLEN];
	int k;

	if (gateway->family == 0)
		return 0;
	m = rtmsg_route(index, &all, gateway);
	k = rtnl_call(p->inside, &m, 1, err);
	return k < 0 ? err_wrap(err, "set default route by %s",
				inet_ntop(gateway->family, &gateway->v4, text, sizeof(text)))
		     : 0;
}

/* A kernel without IPv6 refuses the second one, and needs it not. */
static int close_imds(const struct eni_place *p, bool ipv6, struct err *err)
{
	struct ip_prefix v4 = { { .family = AF_INET }, 32 }, v6 = { { .family = AF_INET6 }, 128 };
	_cleanup_(nlmsg_freep) struct nl_msg *m4 = NULL, *m6 = NULL;
	int k;

	(void) inet_pton(AF_INET, "169.254.169.254", &v4.addr.v4);
	(void) inet_pton(AF_INET6, "fd00:ec2::254", &v6.addr.v6);
	m4 = rtmsg_blackhole(&v4);
	m6 = rtmsg_blackhole(&v6);
	k = rtnl_call(p->inside, &m4, 1, err);
	if (k == 0)
		k = rtnl_call(p->inside, &m6, 1, ipv6 ? err : NULL);
	return k < 0 && (ipv6 || k == -ENOMEM)
		       ? err_wrap(err, "close the way to the instance metadata service")
		       : 0;
}

static int configure(const struct eni_place *p, const struct eni_params *e, int index,
		     struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *up = rtmsg_link_up(index, true);
	bool ipv6 = has_family(e, AF_INET6);
	int k = 0;

	/* First: nothing of the task can be quicker. */
	if (e->block_imds)
		k = close_imds(p, ipv6, err);
	if (k == 0 && ipv6)
		k = netns_call(p->self_ns, p->ns, set_ipv6, e, err);
	if (k == 0)
		k = rtnl_call(p->inside, &up, 1, err);
	if (k == 0)
		k = set_addresses(p, e, index, err);
	/* A gateway of a family in which the interface has no address is of no use to it. */
	if (k == 0 && has_family(e, AF_INET))
		k = set_route(p, index, &e->gateway4, err);
	return k == 0 && ipv6 ? set_route(p, index, &e->gateway6, err) : k;
}

int eni_attach(const struct eni_place *p, const struct eni_params *e, struct err *err)
{
	struct inside in = { .mac = e->mac };
	char text[LINKINFO_MAC_TEXT];
	int k = linkinfo_each(p->inside, look_inside, &in, err);

	if (k == 0 && in.found.index == 0) {
		k = bring_in(p, e, err);
		if (k == 0)
			k = linkinfo_each(p->inside, look_inside, &in, err);
	}
	if (k != 0)
		return k;
	if (in.found.index == 0)
		return err_set(err, ENODEV, "the interface with the MAC address %s got lost",
			       linkinfo_mac_text(e->mac, text));
	k = configure(p, e, in.found.index, err);
	return k < 0 ? err_wrap(err, "interface with the MAC address %s",
				linkinfo_mac_text(e->mac, text))
		     : 0;
}

/* ---- back ---- */

struct found {
	struct linkinfo links[INTERFACES_MAX];
	size_t n;
};

/*
 * What was in a task's hands may have any name, and the address that it was given there. What the task
 * itself made on top of it has a device of the same namespace below, or is in a bridge.
 */
static int collect(const struct linkinfo *l, void *userdata)
{
	struct found *f = userdata;
	bool from_outside = (strcmp(l->kind, "vlan") == 0 || strcmp(l->kind, "veth") == 0) &&
			    l->parent == 0 && !l->enslaved && l->group != GUARD_GROUP_LOCAL;

	if (f->n < INTERFACES_MAX && !l->loopback && (!*l->kind || from_outside))
		f->links[f->n++] = *l;
	return 0;
}

static int return_one(const struct eni_place *p, const struct linkinfo *l, struct err *err)
{
	static const uint8_t none[ETH_ALEN];
	const uint8_t *m = memcmp(l->perm_mac, none, ETH_ALEN) == 0 ? l->mac : l->perm_mac;
	_cleanup_(nlmsg_freep) struct nl_msg *remove = NULL;
	_cleanup_(err_done) struct err first = {};
	char name[LINK_NAME_BYTES];
	int k;

	if (strcmp(l->kind, "vlan") == 0) {
		remove = link_message(RTM_DELLINK, 0, l->index);
		return rtnl_call(p->inside, &remove, 1, err);
	}
	(void) snprintf(name, sizeof(name), "eni%02x%02x%02x%02x%02x%02x", m[0], m[1], m[2], m[3],
			m[4], m[5]);
	if (move(p->inside, l->index, p->self_ns, name, NULL) == 0)
		return 0;
	/* Somebody else bears that name. Then it stayed, or it went and could not be renamed. */
	k = move(p->inside, l->index, p->self_ns, "eni%d", &first);
	return k == 0 || k == -ENODEV ? 0 : err_move(err, &first);
}

int eni_return(const struct eni_place *p, struct err *err)
{
	struct found f = {};
	int k = linkinfo_each(p->inside, collect, &f, err), first = k;

	for (size_t i = 0; k == 0 && i < f.n; i++) {
		int each = return_one(p, &f.links[i], first < 0 ? NULL : err);

		if (each < 0 && first == 0)
			first = err_wrap(err, "return interface '%s'", f.links[i].name);
	}
	return first;
}
