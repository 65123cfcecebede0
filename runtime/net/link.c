/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "common/digest.h"
#include "runtime/net/link6.h"
#include "runtime/net/linkmsg.h"

/* RFC 2863; in linux/if.h, which does not go together with net/if.h. */
enum { OPER_UNKNOWN = 0, OPER_UP = 6 };

/* Half a second: with thousands of devices coming and going the worker has much to do. */
enum { SETTLE_LOOKS = 1000, SETTLE_EVERY_NS = 500000 };

_Static_assert(LINK_NAME_BYTES == IFNAMSIZ, "device names of the kernel");

int link_name_check(const char *name, struct err *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strlen(name);

	if (len < 1 || len >= LINK_NAME_BYTES || strspn(name, allowed) != len ||
	    !strcmp(name, ".") || !strcmp(name, ".."))
		return err_set(err, EINVAL,
			       "device name '%.32s' is not 1..15 letters, digits, '_', '.' or '-'",
			       name);
	return 0;
}

int link_index(int fd, const char *name)
{
	struct ifreq r = {};

	(void) snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	return ioctl(fd, SIOCGIFINDEX, &r) < 0 ? 0 : r.ifr_ifindex;
}

void link_mac(struct in_addr addr, uint8_t mac[ETH_ALEN])
{
	mac[0] = 0x0e; /* locally administered, one receiver */
	mac[1] = 0xc5;
	memcpy(mac + 2, &addr.s_addr, 4);
}

void link_veth_name(const char *id, char name[LINK_NAME_BYTES])
{
	char hex[SHA256_HEX_MAX];

	(void) snprintf(name, LINK_NAME_BYTES, "ev%.13s", sha256_hex(id, strlen(id), hex));
}

static struct nl_msg *bridge_create(const char *name, struct in_addr addr)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *info;
	uint8_t mac[ETH_ALEN];

	m = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	if (!m)
		return NULL;
	/*
	 * A bridge without an address of its own takes on that
	 * of a port, and changes it with them.
	 */
	link_mac(addr, mac);
	PUT(nla_put(m, IFLA_ADDRESS, sizeof(mac), mac));
	PUT(nla_put_string(m, IFLA_IFNAME, name));
	info = nla_nest_start(m, IFLA_LINKINFO);
	PUT(info ? 0 : -1);
	PUT(nla_put_string(m, IFLA_INFO_KIND, "bridge"));
	nla_nest_end(m, info);
	return TAKE_PTR(m);
}

static int check_is_bridge(int rtnl, int index, const char *name, struct err *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = link_message(RTM_GETLINK, 0, &head, sizeof(head));
	_Alignas(struct nlmsghdr) char reply[16 * 1024];
	struct nlattr *info, *kind = NULL;
	int k;

	if (!m)
		return err_set_errno(err, ENOMEM, "build rtnetlink request");
	k = rtnl_query(rtnl, m, reply, sizeof(reply), err);
	if (k < 0)
		return err_wrap(err, "look at device '%s'", name);
	info = nlmsg_find_attr((struct nlmsghdr *) reply, sizeof(head), IFLA_LINKINFO);
	if (info)
		kind = nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND);
	if (!kind || nla_strcmp(kind, "bridge"))
		return err_set(err, EEXIST, "device '%s' is there and is not a bridge", name);
	return 0;
}

static struct nl_msg *link_up(int index)
{
	struct ifinfomsg head = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};

	return link_message(RTM_NEWLINK, 0, &head, sizeof(head));
}

static struct nl_msg *address_add(int index, struct in_addr addr, uint8_t prefix_len)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = prefix_len,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (unsigned int) index,
	};
	struct in_addr broadcast = { addr.s_addr | htonl(UINT32_MAX >> prefix_len) };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

	m = link_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m)
		return NULL;
	PUT(nla_put(m, IFA_LOCAL, sizeof(addr), &addr));
	PUT(nla_put(m, IFA_ADDRESS, sizeof(addr), &addr));
	PUT(nla_put(m, IFA_BROADCAST, sizeof(broadcast), &broadcast));
	return TAKE_PTR(m);
}

static struct nl_msg *default_route(int index, struct in_addr gateway)
{
	struct rtmsg head = {
		.rtm_family = AF_INET,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

	m = link_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m)
		return NULL;
	PUT(nla_put(m, RTA_GATEWAY, sizeof(gateway), &gateway));
	PUT(nla_put_u32(m, RTA_OIF, (uint32_t) index));
	return TAKE_PTR(m);
}

/*
 * Keeps the address that the bridge has: one that was never set changes with the bridge's ports. The one
 * that we give at its making, @own, is not set again: the kernel would forget all neighbours for it.
 */
static int keep_mac(int rtnl, const char *name, struct in_addr own, uint8_t mac[ETH_ALEN],
		    struct err *err)
{
	struct ifreq r = {};
	int k;

	(void) snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	k = ioctl(rtnl, SIOCGIFHWADDR, &r);
	link_mac(own, mac);
	if (k == 0 && memcmp(mac, r.ifr_hwaddr.sa_data, ETH_ALEN) != 0)
		k = ioctl(rtnl, SIOCSIFHWADDR, &r);
	if (k < 0)
		return err_set_errno(err, errno, "fix hardware address of '%s'", name);
	memcpy(mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	return 0;
}

int link_bridge_ensure(int rtnl, const char *name, struct in_addr addr, uint8_t prefix_len,
		       uint8_t mac[ETH_ALEN], struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *make = NULL, *quiet = NULL, *up = NULL;
	_cleanup_(nlmsg_freep) struct nl_msg *address = NULL;
	int index = link_index(rtnl, name), k;

	if (index == 0) {
		make = bridge_create(name, addr);
		k = rtnl_call(rtnl, &make, 1, err);
		if (k < 0 && k != -EEXIST)
			return err_wrap(err, "create bridge '%s'", name);
		index = link_index(rtnl, name);
	}
	k = check_is_bridge(rtnl, index, name, err);
	if (k == 0)
		k = keep_mac(rtnl, name, addr, mac, err);
	if (k < 0)
		return k;
	/* Before it comes up. A kernel without IPv6 refuses, and needs it not. */
	quiet = link6_no_link_local(index);
	(void) rtnl_call(rtnl, &quiet, 1, NULL);
	up = link_up(index);
	address = address_add(index, addr, prefix_len);
	k = rtnl_call(rtnl, (struct nl_msg *[]){ up, address }, 2, err);
	if (k < 0)
		return err_wrap(err, "give bridge '%s' address %s/%d", name, inet_ntoa(addr),
				prefix_len);
	return index;
}

/* The container's end, nested in the request for the pair. */
static int put_peer(struct nl_msg *m, const struct link_veth *v)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC }; /* it comes up once it has a peer */
	struct nlattr *peer = nla_nest_start(m, VETH_INFO_PEER);
	uint8_t mac[ETH_ALEN];

	link_mac(v->addr, mac);
	if (!peer || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0 ||
	    nla_put_string(m, IFLA_IFNAME, v->peer ? v->peer : "eth0") < 0 ||
	    (v->peer && nla_put_u32(m, IFLA_GROUP, v->group) < 0) ||
	    nla_put(m, IFLA_ADDRESS, sizeof(mac), mac) < 0 ||
	    nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t) v->ns_fd) < 0)
		return -1;
	nla_nest_end(m, peer);
	return 0;
}

static struct nl_msg *veth_create(const struct link_veth *v)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *info, *data;

	m = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	if (!m)
		return NULL;
	PUT(nla_put_string(m, IFLA_IFNAME, v->name));
	PUT(nla_put_u32(m, IFLA_MASTER, (uint32_t) v->bridge));
	PUT(nla_put_u32(m, IFLA_GROUP, v->group));
	info = nla_nest_start(m, IFLA_LINKINFO);
	PUT(info ? 0 : -1);
	PUT(nla_put_string(m, IFLA_INFO_KIND, "veth"));
	data = nla_nest_start(m, IFLA_INFO_DATA);
	PUT(data ? 0 : -1);
	PUT(put_peer(m, v));
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return TAKE_PTR(m);
}

/* The port learns no addresses, and frames to unknown ones are not sent to it. */
static struct nl_msg *port_fixed(int index)
{
	struct ifinfomsg head = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *port;

	m = link_message(RTM_SETLINK, 0, &head, sizeof(head));
	if (!m)
		return NULL;
	port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	PUT(port ? 0 : -1);
	PUT(nla_put_u8(m, IFLA_BRPORT_LEARNING, 0));
	/* Frames from other hardware addresses are dropped; kernels before 5.16 let them pass. */
	PUT(nla_put_u8(m, IFLA_BRPORT_LOCKED, 1));
	/* With br_netfilter a container that calls its own published port is answered within the
	 * bridge: out of the port it came in by. */
	PUT(nla_put_u8(m, IFLA_BRPORT_MODE, BRIDGE_MODE_HAIRPIN));
	PUT(nla_put_u8(m, IFLA_BRPORT_UNICAST_FLOOD, 0));
	nla_nest_end(m, port);
	return TAKE_PTR(m);
}

/* Which bridge port @addr's hardware address is behind. */
static struct nl_msg *port_of_mac(int index, struct in_addr addr)
{
	struct ndmsg head = {
		.ndm_family = AF_BRIDGE,
		.ndm_ifindex = index,
		.ndm_state = NUD_NOARP,
		.ndm_flags = NTF_MASTER,
	};
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	uint8_t mac[ETH_ALEN];

	m = link_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m)
		return NULL;
	link_mac(addr, mac);
	PUT(nla_put(m, NDA_LLADDR, sizeof(mac), mac));
	return TAKE_PTR(m);
}

/* Which hardware address @addr has. */
static struct nl_msg *neighbour(int type, int flags, int index, struct in_addr addr,
				const uint8_t mac[ETH_ALEN])
{
	struct ndmsg head = { .ndm_family = AF_INET,
			      .ndm_ifindex = index,
			      .ndm_state = NUD_PERMANENT };
	_cleanup_(nlmsg_freep) struct nl_msg *m = link_message(type, flags, &head, sizeof(head));

	if (!m)
		return NULL;
	PUT(nla_put(m, NDA_DST, sizeof(addr), &addr));
	PUT(nla_put(m, NDA_LLADDR, ETH_ALEN, mac));
	return TAKE_PTR(m);
}

static struct nl_msg *neighbour_add(int index, struct in_addr addr, const uint8_t mac[ETH_ALEN])
{
	return neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, addr, mac);
}

int link_veth_pin(int rtnl, const struct link_veth *v, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *quiet = NULL, *up = NULL, *port = NULL, *mac = NULL;
	_cleanup_(nlmsg_freep) struct nl_msg *neigh = NULL, *neigh6 = NULL;
	int index = link_index(rtnl, v->name), k;
	bool six = !IN6_IS_ADDR_UNSPECIFIED(&v->addr6);
	uint8_t hw[ETH_ALEN];

	/* Before it comes up. A kernel without IPv6 refuses, and needs it not. */
	quiet = link6_no_link_local(index);
	(void) rtnl_call(rtnl, &quiet, 1, NULL);
	up = link_up(index);
	port = port_fixed(index);
	mac = port_of_mac(index, v->addr);
	link_mac(v->addr, hw);
	neigh = neighbour_add(v->bridge, v->addr, hw);
	if (six)
		neigh6 = link6_neighbour(v->bridge, &v->addr6, hw);
	k = rtnl_call(rtnl, (struct nl_msg *[]){ port, mac, neigh, up, neigh6 }, six ? 5 : 4, err);
	return k < 0 ? err_wrap(err, "pin %s to '%s'", inet_ntoa(v->addr), v->name) : 0;
}

int link_veth_create(int rtnl, const struct link_veth *v, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *make = veth_create(v);
	int k = rtnl_call(rtnl, &make, 1, err);

	return k < 0 ? err_wrap(err, "create veth pair '%s'", v->name) : 0;
}

/* Whether the kernel has seen that the device has a carrier; yes when it cannot be told. */
static bool is_settled(int rtnl, int index)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = link_message(RTM_GETLINK, 0, &head, sizeof(head));
	_Alignas(struct nlmsghdr) char reply[16 * 1024];
	struct nlattr *state;

	if (!m || rtnl_query(rtnl, m, reply, sizeof(reply), NULL) < 0)
		return true;
	state = nlmsg_find_attr((struct nlmsghdr *) reply, sizeof(head), IFLA_OPERSTATE);
	return !state || nla_get_u8(state) == OPER_UP || nla_get_u8(state) == OPER_UNKNOWN;
}

void link_settle(int rtnl, const char *name)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq r = { .ifr_data = (char *) &link };
	int index = link_index(rtnl, name);

	(void) snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	(void) ioctl(rtnl, SIOCETHTOOL, &r);
	/* Kernels before 6.10 leave it to the worker all the same. */
	for (int i = 0; index > 0 && i < SETTLE_LOOKS && !is_settled(rtnl, index); i++)
		(void) nanosleep(&(struct timespec){ .tv_nsec = SETTLE_EVERY_NS }, NULL);
}

static struct nl_msg *port_state(int index, uint8_t state)
{
	struct ifinfomsg head = { .ifi_family = AF_BRIDGE, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *port;

	m = link_message(RTM_SETLINK, 0, &head, sizeof(head));
	if (!m)
		return NULL;
	port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	PUT(port ? 0 : -1);
	PUT(nla_put_u8(m, IFLA_BRPORT_STATE, state));
	nla_nest_end(m, port);
	return TAKE_PTR(m);
}

int link_port_enable(int rtnl, const char *name, bool on, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	_cleanup_(err_done) struct err e = {};
	int index = link_index(rtnl, name), k;

	if (index == 0 && !on)
		return 0;
	m = port_state(index, on ? BR_STATE_FORWARDING : BR_STATE_DISABLED);
	k = rtnl_call(rtnl, &m, 1, &e);
	if (k == 0 || (!on && k == -ENODEV))
		return 0;
	(void) err_wrap(&e, "switch bridge port '%s' %s", name, on ? "on" : "off");
	return err_move(err, &e);
}

int link_neighbour_forget(int rtnl, int bridge, struct in_addr addr, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	_cleanup_(err_done) struct err e = {};
	uint8_t mac[ETH_ALEN];
	int k;

	link_mac(addr, mac);
	m = neighbour(RTM_DELNEIGH, 0, bridge, addr, mac);
	k = rtnl_call(rtnl, &m, 1, &e);
	if (k == 0 || k == -ENOENT || k == -ENODEV)
		return 0;
	(void) err_wrap(&e, "forget neighbour %s", inet_ntoa(addr));
	return err_move(err, &e);
}

int link_configure(int rtnl, int index, const struct link_address *a, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *up = link_up(index);
	_cleanup_(nlmsg_freep) struct nl_msg *address = address_add(index, a->addr, a->prefix_len);
	_cleanup_(nlmsg_freep) struct nl_msg *route = default_route(index, a->gateway);
	_cleanup_(nlmsg_freep) struct nl_msg *neigh = NULL;
	int k;

	neigh = neighbour_add(index, a->gateway, a->gateway_mac);
	k = rtnl_call(rtnl, (struct nl_msg *[]){ up, address, route, neigh }, 4, err);
	return k < 0 ? err_wrap(err, "set address %s/%d and route", inet_ntoa(a->addr),
				a->prefix_len)
		     : 0;
}

int link_delete(int rtnl, const char *name, struct err *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	_cleanup_(err_done) struct err e = {};
	int k;

	head.ifi_index = link_index(rtnl, name);
	if (head.ifi_index == 0)
		return 0;
	m = link_message(RTM_DELLINK, 0, &head, sizeof(head));
	k = rtnl_call(rtnl, &m, 1, &e);
	if (k == 0 || k == -ENODEV)
		return 0;
	(void) err_wrap(&e, "remove device '%s'", name);
	return err_move(err, &e);
}
