/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/firewall-rule.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <string.h>

#include "common/macro.h"
#include "runtime/net/rtnl.h"

/* User data of a rule are type, length and value; this type is a comment (libnftnl's udata.h). */
enum { UDATA_COMMENT = 0, DPORT_OFFSET = 2, ATTRS_BYTES = 2048 };

/* ---- writing: in the order in which the kernel tells it, so that it can be compared ---- */

struct expr {
	struct nlattr *elem, *data;
};

/* As nla_nest_start(), which sets a flag that the kernel leaves out. */
static struct nlattr *nest(struct nl_msg *m, int type)
{
	struct nlattr *a = nla_nest_start(m, type);

	if (a)
		a->nla_type = (uint16_t) type;
	return a;
}

static int begin(struct nl_msg *m, const char *name, struct expr *ret)
{
	ret->elem = nest(m, NFTA_LIST_ELEM);
	if (!ret->elem || nla_put_string(m, NFTA_EXPR_NAME, name) < 0)
		return -ENOMEM;
	ret->data = nest(m, NFTA_EXPR_DATA);
	return ret->data ? 0 : -ENOMEM;
}

static int end(struct nl_msg *m, const struct expr *e)
{
	nla_nest_end(m, e->data);
	nla_nest_end(m, e->elem);
	return 0;
}

static int put_be32(struct nl_msg *m, int type, uint32_t value)
{
	return nla_put_u32(m, type, htonl(value));
}

static int put_value(struct nl_msg *m, int type, const void *data, size_t n)
{
	struct nlattr *value = nest(m, type);

	if (!value || nla_put(m, NFTA_DATA_VALUE, (int) n, data) < 0)
		return -ENOMEM;
	nla_nest_end(m, value);
	return 0;
}

static int put_meta(struct nl_msg *m, uint32_t key)
{
	struct expr e;

	if (begin(m, "meta", &e) < 0 || put_be32(m, NFTA_META_KEY, key) < 0 ||
	    put_be32(m, NFTA_META_DREG, NFT_REG_1) < 0)
		return -ENOMEM;
	return end(m, &e);
}

static int put_cmp(struct nl_msg *m, uint32_t op, const void *data, size_t n)
{
	struct expr e;

	if (begin(m, "cmp", &e) < 0 || put_be32(m, NFTA_CMP_SREG, NFT_REG_1) < 0 ||
	    put_be32(m, NFTA_CMP_OP, op) < 0 || put_value(m, NFTA_CMP_DATA, data, n) < 0)
		return -ENOMEM;
	return end(m, &e);
}

/* Any bit of @bits, in the host's byte order. */
static int put_ct(struct nl_msg *m, uint32_t key, uint32_t bits)
{
	static const uint32_t none;
	struct expr e;

	if (begin(m, "ct", &e) < 0 || put_be32(m, NFTA_CT_DREG, NFT_REG_1) < 0 ||
	    put_be32(m, NFTA_CT_KEY, key) < 0)
		return -ENOMEM;
	(void) end(m, &e);
	if (begin(m, "bitwise", &e) < 0 || put_be32(m, NFTA_BITWISE_SREG, NFT_REG_1) < 0 ||
	    put_be32(m, NFTA_BITWISE_DREG, NFT_REG_1) < 0 ||
	    put_be32(m, NFTA_BITWISE_LEN, sizeof(bits)) < 0 ||
	    put_be32(m, NFTA_BITWISE_OP, NFT_BITWISE_BOOL) < 0 ||
	    put_value(m, NFTA_BITWISE_MASK, &bits, sizeof(bits)) < 0 ||
	    put_value(m, NFTA_BITWISE_XOR, &none, sizeof(none)) < 0)
		return -ENOMEM;
	(void) end(m, &e);
	return put_cmp(m, NFT_CMP_NEQ, &none, sizeof(none));
}

/* iptables 1.8.9 takes a table with another form of this for one that is not its own. */
static int put_xt_conntrack(struct nl_msg *m, uint16_t states)
{
	union {
		struct xt_conntrack_mtinfo3 xt;
		uint8_t whole[XT_ALIGN(sizeof(struct xt_conntrack_mtinfo3))];
	} info = {};
	struct expr e;

	info.xt.match_flags = XT_CONNTRACK_STATE;
	info.xt.state_mask = states;
	if (begin(m, "match", &e) < 0 || nla_put_string(m, NFTA_MATCH_NAME, "conntrack") < 0 ||
	    put_be32(m, NFTA_MATCH_REV, 3) < 0 ||
	    nla_put(m, NFTA_MATCH_INFO, sizeof(info), &info) < 0)
		return -ENOMEM;
	return end(m, &e);
}

static int put_states(struct nl_msg *m, enum firewall_rule rule, bool xt)
{
	uint32_t known = NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED);

	if (rule == FIREWALL_TO_KNOWN)
		return xt ? put_xt_conntrack(m, (uint16_t) known) : put_ct(m, NFT_CT_STATE, known);
	return xt ? put_xt_conntrack(m, XT_CONNTRACK_STATE_DNAT)
		  : put_ct(m, NFT_CT_STATUS, IPS_DST_NAT);
}

static int put_tcp_port(struct nl_msg *m, uint16_t port)
{
	static const uint8_t tcp = IPPROTO_TCP;
	uint16_t net_port = htons(port);
	struct expr e;

	if (put_meta(m, NFT_META_L4PROTO) < 0 || put_cmp(m, NFT_CMP_EQ, &tcp, sizeof(tcp)) < 0)
		return -ENOMEM;
	if (begin(m, "payload", &e) < 0 || put_be32(m, NFTA_PAYLOAD_DREG, NFT_REG_1) < 0 ||
	    put_be32(m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER) < 0 ||
	    put_be32(m, NFTA_PAYLOAD_OFFSET, DPORT_OFFSET) < 0 ||
	    put_be32(m, NFTA_PAYLOAD_LEN, sizeof(net_port)) < 0)
		return -ENOMEM;
	(void) end(m, &e);
	return put_cmp(m, NFT_CMP_EQ, &net_port, sizeof(net_port));
}

static int put_accept(struct nl_msg *m)
{
	struct nlattr *data, *verdict;
	struct expr e;

	if (begin(m, "immediate", &e) < 0 || put_be32(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT) < 0)
		return -ENOMEM;
	data = nest(m, NFTA_IMMEDIATE_DATA);
	verdict = data ? nest(m, NFTA_DATA_VERDICT) : NULL;
	if (!verdict || put_be32(m, NFTA_VERDICT_CODE, NF_ACCEPT) < 0)
		return -ENOMEM;
	nla_nest_end(m, verdict);
	nla_nest_end(m, data);
	return end(m, &e);
}

static int put_expressions(struct nl_msg *m, enum firewall_rule rule,
			   const struct firewall_bridge *b, bool xt)
{
	bool out = rule == FIREWALL_TO_KNOWN || rule == FIREWALL_TO_PUBLISHED;
	struct nlattr *list = nest(m, NFTA_RULE_EXPRESSIONS);
	char device[IFNAMSIZ] = {};
	int k = 0;

	memcpy(device, b->name, strnlen(b->name, sizeof(device) - 1));
	if (!list || put_meta(m, out ? NFT_META_OIFNAME : NFT_META_IIFNAME) < 0 ||
	    put_cmp(m, NFT_CMP_EQ, device, sizeof(device)) < 0)
		return -ENOMEM;
	if (out)
		k = put_states(m, rule, xt);
	else if (rule == FIREWALL_TO_SERVICE)
		k = put_tcp_port(m, b->service_port);
	if (k < 0 || put_accept(m) < 0)
		return -ENOMEM;
	nla_nest_end(m, list);
	return 0;
}

int firewall_rule_put(struct nl_msg *m, enum firewall_rule rule, const struct firewall_bridge *b,
		      bool xt)
{
	static const char comment[] = { UDATA_COMMENT, sizeof(FIREWALL_MARK) };
	char data[sizeof(comment) + sizeof(FIREWALL_MARK)];

	memcpy(data, comment, sizeof(comment));
	memcpy(data + sizeof(comment), FIREWALL_MARK, sizeof(FIREWALL_MARK));
	if (put_expressions(m, rule, b, xt) < 0 ||
	    nla_put(m, NFTA_RULE_USERDATA, sizeof(data), data) < 0)
		return -ENOMEM;
	return 0;
}

/* ---- reading ---- */

static bool is_text(const struct nlattr *a, const char *text)
{
	return a && nla_len(a) > 0 && strnlen(nla_data(a), (size_t) nla_len(a)) == strlen(text) &&
	       memcmp(nla_data(a), text, strlen(text)) == 0;
}

static bool has_comment(const struct nlattr *userdata)
{
	const uint8_t *p = userdata ? nla_data(userdata) : NULL;
	size_t left = userdata ? (size_t) nla_len(userdata) : 0;

	for (; left >= 2 && left - 2 >= p[1]; left -= 2 + p[1], p += 2 + p[1])
		if (p[0] == UDATA_COMMENT)
			return p[1] == sizeof(FIREWALL_MARK) &&
			       memcmp(p + 2, FIREWALL_MARK, sizeof(FIREWALL_MARK)) == 0;
	return false;
}

static void read_verdict(struct nlattr *data, struct firewall_rule_seen *s)
{
	struct nlattr *in[NFTA_IMMEDIATE_MAX + 1], *d[NFTA_DATA_MAX + 1], *v[NFTA_VERDICT_MAX + 1];
	int code;

	if (nla_parse_nested(in, NFTA_IMMEDIATE_MAX, data, NULL) < 0 || !in[NFTA_IMMEDIATE_DATA] ||
	    nla_parse_nested(d, NFTA_DATA_MAX, in[NFTA_IMMEDIATE_DATA], NULL) < 0 ||
	    !d[NFTA_DATA_VERDICT] ||
	    nla_parse_nested(v, NFTA_VERDICT_MAX, d[NFTA_DATA_VERDICT], NULL) < 0 ||
	    !v[NFTA_VERDICT_CODE])
		return;
	code = (int) ntohl(nla_get_u32(v[NFTA_VERDICT_CODE]));
	if (code == NF_ACCEPT)
		s->verdict = FIREWALL_ACCEPT;
	else if (code == NF_DROP)
		s->verdict = FIREWALL_DROP;
	else if ((code == NFT_JUMP || code == NFT_GOTO) && v[NFTA_VERDICT_CHAIN]) {
		s->verdict = FIREWALL_JUMP;
		s->jump = nla_get_string(v[NFTA_VERDICT_CHAIN]);
	}
}

/* What iptables has as a match or target of its own; false: it looks at the packet. */
static bool read_xt(bool match, struct nlattr *data, struct firewall_rule_seen *s)
{
	struct nlattr *in[NFTA_MATCH_MAX + 1]; /* targets are numbered alike */

	if (nla_parse_nested(in, NFTA_MATCH_MAX, data, NULL) < 0)
		return false;
	if (match && is_text(in[NFTA_MATCH_NAME], "comment")) {
		s->ours |= is_text(in[NFTA_MATCH_INFO], FIREWALL_MARK);
		return true;
	}
	if (!match && is_text(in[NFTA_TARGET_NAME], "REJECT"))
		s->verdict = FIREWALL_DROP;
	return !match;
}

/* False: the rule depends on the packet. */
static bool read_expression(const struct nlattr *elem, struct firewall_rule_seen *s)
{
	struct nlattr *in[NFTA_EXPR_MAX + 1];

	if (nla_parse_nested(in, NFTA_EXPR_MAX, (struct nlattr *) (uintptr_t) elem, NULL) < 0)
		return false;
	if (is_text(in[NFTA_EXPR_NAME], "counter") || is_text(in[NFTA_EXPR_NAME], "log"))
		return true;
	if (is_text(in[NFTA_EXPR_NAME], "reject")) {
		s->verdict = FIREWALL_DROP;
		return true;
	}
	if (!in[NFTA_EXPR_DATA])
		return false;
	if (is_text(in[NFTA_EXPR_NAME], "immediate")) {
		read_verdict(in[NFTA_EXPR_DATA], s);
		return true;
	}
	if (is_text(in[NFTA_EXPR_NAME], "match") || is_text(in[NFTA_EXPR_NAME], "target"))
		return read_xt(is_text(in[NFTA_EXPR_NAME], "match"), in[NFTA_EXPR_DATA], s);
	return false;
}

bool firewall_rule_read(struct nlmsghdr *h, struct firewall_rule_seen *ret)
{
	struct nlattr *in[NFTA_RULE_MAX + 1], *elem;
	bool always = true;
	int left;

	*ret = (struct firewall_rule_seen){};
	if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE) ||
	    nlmsg_parse(h, sizeof(struct nfgenmsg), in, NFTA_RULE_MAX, NULL) < 0 ||
	    !in[NFTA_RULE_HANDLE])
		return false;
	ret->handle = be64toh(nla_get_u64(in[NFTA_RULE_HANDLE]));
	ret->ours = has_comment(in[NFTA_RULE_USERDATA]);
	ret->expressions = in[NFTA_RULE_EXPRESSIONS];
	if (ret->expressions)
		nla_for_each_nested(elem, in[NFTA_RULE_EXPRESSIONS], left) always &=
			read_expression(elem, ret);
	if (!always)
		ret->verdict = FIREWALL_CONDITIONAL;
	return true;
}

bool firewall_rule_is(const struct firewall_rule_seen *seen, enum firewall_rule rule,
		      const struct firewall_bridge *b, bool xt)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_size(ATTRS_BYTES);
	const struct nlattr *want;

	if (!m || !nlmsg_put(m, 0, 0, 0, 0, 0) || firewall_rule_put(m, rule, b, xt) < 0)
		return false;
	want = nlmsg_find_attr(nlmsg_hdr(m), 0, NFTA_RULE_EXPRESSIONS);
	return want && seen->expressions && nla_len(want) == nla_len(seen->expressions) &&
	       memcmp(nla_data(want), nla_data(seen->expressions), (size_t) nla_len(want)) == 0;
}
