/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "runtime/net/rtnl.h"

/*
 * Which parts of the tuple count. The kernel has these bits in its own source only
 * (net/netfilter/nf_conntrack_netlink.c, CTA_FILTER_F_*), though they are what user space sends.
 */
enum { FILTER_PROTO_NUM = 1 << 3, FILTER_PROTO_DST_PORT = 1 << 5 };

static struct nl_msg *build(uint16_t port)
{
	struct nfgenmsg head = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *tuple, *proto, *filter;

	m = nlmsg_alloc_simple(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0);
	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return NULL;
	tuple = nla_nest_start(m, CTA_TUPLE_ORIG | NLA_F_NESTED);
	proto = tuple ? nla_nest_start(m, CTA_TUPLE_PROTO | NLA_F_NESTED) : NULL;
	if (!proto || nla_put_u8(m, CTA_PROTO_NUM, IPPROTO_UDP) < 0 ||
	    nla_put_u16(m, CTA_PROTO_DST_PORT, htons(port)) < 0)
		return NULL;
	nla_nest_end(m, proto);
	nla_nest_end(m, tuple);
	filter = nla_nest_start(m, CTA_FILTER | NLA_F_NESTED);
	if (!filter ||
	    nla_put_u32(m, CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM | FILTER_PROTO_DST_PORT) < 0 ||
	    nla_put_u32(m, CTA_FILTER_REPLY_FLAGS, 0) < 0)
		return NULL;
	nla_nest_end(m, filter);
	return TAKE_PTR(m);
}

void conntrack_forget_udp(int nfnl, uint16_t port)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = build(port);

	if (m)
		(void) rtnl_call(nfnl, &m, 1, NULL);
}
