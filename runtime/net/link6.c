/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/link6.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "runtime/net/linkmsg.h"
#include "runtime/net/rtmsg.h"

enum { WHOLE = 128 }; /* bits of an address */

struct nl_msg *link6_no_link_local(int index)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = index };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *spec, *inet6;

	m = link_message(RTM_SETLINK, 0, &head, sizeof(head));
	if (!m)
		return NULL;
	spec = nla_nest_start(m, IFLA_AF_SPEC);
	inet6 = spec ? nla_nest_start(m, AF_INET6) : NULL;
	PUT(inet6 ? 0 : -1);
	PUT(nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE));
	nla_nest_end(m, inet6);
	nla_nest_end(m, spec);
	return TAKE_PTR(m);
}

/* Packets to @addr that come in by the device are for this host, or this namespace. */
static struct nl_msg *local_route(int index, const struct in6_addr *addr)
{
	struct rtmsg head = {
		.rtm_family = AF_INET6,
		.rtm_dst_len = WHOLE,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_LOCAL,
	};
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		link_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));

	if (!m)
		return NULL;
	PUT(nla_put_u32(m, RTA_OIF, (uint32_t) index));
	PUT(nla_put(m, RTA_DST, sizeof(*addr), addr));
	return TAKE_PTR(m);
}

struct nl_msg *link6_neighbour(int index, const struct in6_addr *addr, const uint8_t mac[ETH_ALEN])
{
	return rtmsg_neighbour(index, &(struct ip_addr){ AF_INET6, .v6 = *addr }, mac);
}

/*
 * The kernel makes the route that an address needs to be reached later, in a worker (where it would look
 * for others that have it). So one is made beside the address.
 */
int link6_add_address(int rtnl, int index, const struct in6_addr *addr, uint8_t prefix_len,
		      struct err *err)
{
	struct ip_prefix p = { { AF_INET6, .v6 = *addr }, prefix_len };
	_cleanup_(nlmsg_freep) struct nl_msg *address = rtmsg_address(index, &p);
	_cleanup_(nlmsg_freep) struct nl_msg *in = local_route(index, addr);
	char text[INET6_ADDRSTRLEN];
	int k = rtnl_call(rtnl, (struct nl_msg *[]){ address, in }, 2, err);

	if (k == 0)
		return 0;
	return err_wrap(err, "set address %s/%d", inet_ntop(AF_INET6, addr, text, sizeof(text)),
			prefix_len);
}

int link6_configure(int rtnl, int index, const struct link6_addresses *a, struct err *err)
{
	static const struct ip_prefix all = { { AF_INET6 }, 0 };
	struct ip_addr gateway = { AF_INET6, .v6 = a->gateway };
	_cleanup_(nlmsg_freep) struct nl_msg *out = rtmsg_route(index, &all, &gateway);
	_cleanup_(nlmsg_freep) struct nl_msg *neigh = NULL;
	int k = link6_add_address(rtnl, index, &a->addr, WHOLE, err);

	if (k < 0)
		return k;
	neigh = link6_neighbour(index, &a->gateway, a->gateway_mac);
	k = rtnl_call(rtnl, (struct nl_msg *[]){ out, neigh }, 2, err);
	return k < 0 ? err_wrap(err, "set the default route of IPv6") : 0;
}

int link6_loopback_route(int rtnl, int index, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = local_route(index, &in6addr_loopback);
	int k = rtnl_call(rtnl, &m, 1, err);

	return k < 0 ? err_wrap(err, "add a route to ::1") : 0;
}

void link6_neighbour_forget(int rtnl, int index, const struct in6_addr *addr,
			    const uint8_t mac[ETH_ALEN])
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = link6_neighbour(index, addr, mac);

	if (!m)
		return;
	nlmsg_hdr(m)->nlmsg_type = RTM_DELNEIGH;
	nlmsg_hdr(m)->nlmsg_flags = 0;
	(void) rtnl_call(rtnl, &m, 1, NULL);
}
