/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "runtime/net/rtnl.h"

/*
 * Which parts of the tuple count. The kernel has these bits in its own source only
 * (net/netfilter/nf_conntrack_netlink.c, CTA_FILTER_F_*), though they are what user space sends.
 */
enum { FILTER_PROTO_NUM = 1 << 3, FILTER_PROTO_DST_PORT = 1 << 5, PACKET_BYTES = 32 * 1024 };

static struct nl_msg *build(int type, uint8_t family, uint16_t port)
{
	struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *tuple, *proto, *filter;

	m = nlmsg_alloc_simple(NFNL_SUBSYS_CTNETLINK << 8 | type, 0);
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

/* ---- kernels before 6.10 know no such selection when they delete ---- */

struct flows {
	uint8_t family;
	uint16_t port;
	struct buf requests; /* one to delete each */
};

static bool is_towards(struct nlattr *tuple, uint16_t port)
{
	struct nlattr *in_tuple[CTA_TUPLE_MAX + 1], *in_proto[CTA_PROTO_MAX + 1];
	const struct nlattr *number, *dst;

	if (nla_parse_nested(in_tuple, CTA_TUPLE_MAX, tuple, NULL) < 0 ||
	    !in_tuple[CTA_TUPLE_PROTO] ||
	    nla_parse_nested(in_proto, CTA_PROTO_MAX, in_tuple[CTA_TUPLE_PROTO], NULL) < 0)
		return false;
	number = in_proto[CTA_PROTO_NUM];
	dst = in_proto[CTA_PROTO_DST_PORT];
	return number && nla_len(number) >= 1 && nla_get_u8(number) == IPPROTO_UDP && dst &&
	       nla_len(dst) >= 2 && nla_get_u16(dst) == htons(port);
}

/* Named by its addresses and its id, so that no flow that came after it goes in its place. */
static int name_flow(struct buf *b, uint8_t family, struct nlattr *const *a)
{
	static const int naming[] = { CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID };
	struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(
		NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST);

	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(naming); i++)
		if (a[naming[i]] && nla_put(m, a[naming[i]]->nla_type, nla_len(a[naming[i]]),
					    nla_data(a[naming[i]])) < 0)
			return -ENOMEM;
	return buf_append(b, nlmsg_hdr(m), NLMSG_ALIGN(nlmsg_hdr(m)->nlmsg_len)) ? 0 : -ENOMEM;
}

static int note_flow(struct nlmsghdr *h, void *userdata)
{
	struct nlattr *a[CTA_MAX + 1];
	struct flows *f = userdata;

	if (nlmsg_parse(h, sizeof(struct nfgenmsg), a, CTA_MAX, NULL) < 0 || !a[CTA_TUPLE_ORIG] ||
	    !is_towards(a[CTA_TUPLE_ORIG], f->port))
		return 0;
	return name_flow(&f->requests, f->family, a);
}

/* Many in a packet and not answered: one that is gone by then is what is wanted. */
static void delete_flows(int nfnl, struct buf *b)
{
	while (b->len > 0) {
		size_t n = 0;

		while (n < b->len && n < PACKET_BYTES)
			n += NLMSG_ALIGN(((const struct nlmsghdr *) (const void *) (b->data + n))
						 ->nlmsg_len);
		if (send(nfnl, b->data, n, 0) < 0)
			return;
		buf_consume(b, n);
	}
}

static void forget_one_by_one(int nfnl, uint8_t family, uint16_t port)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = build(IPCTNL_MSG_CT_GET, family, port);
	struct flows f = { .family = family, .port = port };

	if (m)
		(void) rtnl_dump(nfnl, m, note_flow, &f, NULL);
	if (!f.requests.failed)
		delete_flows(nfnl, &f.requests);
	buf_done(&f.requests);
}

void conntrack_forget_udp(int nfnl, uint16_t port)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		_cleanup_(nlmsg_freep) struct nl_msg *m =
			build(IPCTNL_MSG_CT_DELETE, families[i], port);

		if (m && rtnl_call(nfnl, &m, 1, NULL) < 0)
			forget_one_by_one(nfnl, families[i], port);
	}
}
