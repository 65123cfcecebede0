/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/rtmsg.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>

#include "runtime/net/linkmsg.h"

static size_t addr_bytes(const struct ip_addr *a)
{
	return a->family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

static int put_addr(struct nl_msg *m, int type, const struct ip_addr *a)
{
	return nla_put(m, type, (int) addr_bytes(a), &a->v4);
}

struct nl_msg *rtmsg_link_up(int index, bool up)
{
	struct ifinfomsg head = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP,
	};

	return link_message(RTM_NEWLINK, 0, &head, sizeof(head));
}

struct nl_msg *rtmsg_address(int index, const struct ip_prefix *p)
{
	struct ifaddrmsg head = {
		.ifa_family = (uint8_t) p->addr.family,
		.ifa_prefixlen = p->len,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (unsigned int) index,
		.ifa_flags = p->addr.family == AF_INET6 ? IFA_F_NODAD : 0,
	};
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct in_addr broadcast;

	m = link_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m || put_addr(m, IFA_LOCAL, &p->addr) < 0 || put_addr(m, IFA_ADDRESS, &p->addr) < 0)
		return NULL;
	if (p->addr.family == AF_INET && p->len < 31) {
		broadcast.s_addr = p->addr.v4.s_addr | htonl(UINT32_MAX >> p->len);
		if (nla_put(m, IFA_BROADCAST, sizeof(broadcast), &broadcast) < 0)
			return NULL;
	}
	return TAKE_PTR(m);
}

static struct nl_msg *route(const struct ip_prefix *to, uint8_t type, uint8_t scope, uint8_t flags)
{
	struct rtmsg head = {
		.rtm_family = (uint8_t) to->addr.family,
		.rtm_dst_len = to->len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = scope,
		.rtm_type = type,
		.rtm_flags = flags,
	};
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

	m = link_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m || (to->len > 0 && put_addr(m, RTA_DST, &to->addr) < 0))
		return NULL;
	return TAKE_PTR(m);
}

struct nl_msg *rtmsg_route(int index, const struct ip_prefix *to, const struct ip_addr *gateway)
{
	bool direct = gateway->family == 0;
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

	m = route(to, RTN_UNICAST, direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		  direct ? 0 : RTNH_F_ONLINK);
	if (!m || nla_put_u32(m, RTA_OIF, (uint32_t) index) < 0 ||
	    (!direct && put_addr(m, RTA_GATEWAY, gateway) < 0))
		return NULL;
	return TAKE_PTR(m);
}

struct nl_msg *rtmsg_blackhole(const struct ip_prefix *to)
{
	return route(to, RTN_BLACKHOLE, RT_SCOPE_UNIVERSE, 0);
}

struct nl_msg *rtmsg_neighbour(int index, const struct ip_addr *addr, const uint8_t *mac)
{
	struct ndmsg head = { .ndm_family = (uint8_t) addr->family,
			      .ndm_ifindex = index,
			      .ndm_state = NUD_PERMANENT };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;

	m = link_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	if (!m || put_addr(m, NDA_DST, addr) < 0 || nla_put(m, NDA_LLADDR, ETH_ALEN, mac) < 0)
		return NULL;
	return TAKE_PTR(m);
}
