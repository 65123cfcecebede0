/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/host-firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/macro.h"

#define MARK "ecs-agent" /* with its end, the comment of the agent's rules */

enum { ANSWER_BYTES = 64 * 1024, TYPE_CHAIN = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN };

struct span {
	const uint8_t *p; /* NULL: absent */
	size_t n;
};

static struct span find(struct span in, int type)
{
	struct nlattr a;

	while (in.n >= sizeof(a)) {
		size_t whole;

		memcpy(&a, in.p, sizeof(a));
		whole = NLA_ALIGN((size_t) a.nla_len);
		if (a.nla_len < sizeof(a) || a.nla_len > in.n)
			break;
		if ((a.nla_type & NLA_TYPE_MASK) == type)
			return (struct span){ in.p + sizeof(a), a.nla_len - sizeof(a) };
		in.p += MIN(whole, in.n);
		in.n -= MIN(whole, in.n);
	}
	return (struct span){};
}

static uint32_t number(struct span s, uint32_t fallback)
{
	uint32_t be;

	if (!s.p || s.n < sizeof(be))
		return fallback;
	memcpy(&be, s.p, sizeof(be));
	return ntohl(be);
}

static bool is_text(struct span s, const char *text)
{
	return s.p && s.n == strlen(text) + 1 && memcmp(s.p, text, s.n) == 0;
}

/* At most 60 bytes are shown. */
static int shown(struct span s)
{
	return (int) strnlen((const char *) s.p, s.n < 60 ? s.n : 60);
}

static void take_chain(struct host_firewall *f, uint8_t family, struct span in)
{
	struct span table = find(in, NFTA_CHAIN_TABLE), name = find(in, NFTA_CHAIN_NAME);
	struct span hook = find(in, NFTA_CHAIN_HOOK);
	bool ours = family == NFPROTO_INET && is_text(table, "ecs");

	f->agent_was |= ours;
	if (ours || *f->closed || !table.p || !name.p || !hook.p ||
	    (family != NFPROTO_IPV4 && family != NFPROTO_IPV6 && family != NFPROTO_INET) ||
	    number(find(hook, NFTA_HOOK_HOOKNUM), NF_INET_NUMHOOKS) != NF_INET_FORWARD ||
	    number(find(in, NFTA_CHAIN_POLICY), NF_ACCEPT) != NF_DROP)
		return;
	(void) snprintf(f->closed, sizeof(f->closed), "chain %.*s of table %s %.*s", shown(name),
			(const char *) name.p,
			family == NFPROTO_INET   ? "inet"
			: family == NFPROTO_IPV6 ? "ip6"
						 : "ip",
			shown(table), (const char *) table.p);
}

void host_firewall_take(struct host_firewall *f, const void *message, size_t n)
{
	const size_t start = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	const uint8_t *p = message;
	struct nfgenmsg g;
	struct nlmsghdr h;

	if (n < start)
		return;
	memcpy(&h, p, sizeof(h));
	memcpy(&g, p + NLMSG_HDRLEN, sizeof(g));
	if (h.nlmsg_type == TYPE_CHAIN)
		take_chain(f, g.nfgen_family, (struct span){ p + start, n - start });
	else if (memmem(p + start, n - start, MARK, sizeof(MARK)))
		f->has_rules = true;
}

/* One buffer of the answer. False: it was the last, or no answer at all. */
static bool take_answer(struct host_firewall *f, const uint8_t *p, size_t n)
{
	struct nlmsghdr h;

	while (n >= sizeof(h)) {
		size_t whole;

		memcpy(&h, p, sizeof(h));
		whole = NLMSG_ALIGN((size_t) h.nlmsg_len);
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n || h.nlmsg_type == NLMSG_ERROR)
			return f->read = false;
		if (h.nlmsg_type == NLMSG_DONE)
			return false;
		host_firewall_take(f, p, h.nlmsg_len);
		p += MIN(whole, n);
		n -= MIN(whole, n);
	}
	return true;
}

static void dump(struct host_firewall *f, int fd, int type)
{
	static uint8_t answer[ANSWER_BYTES];
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} q = { .h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = (uint16_t) (NFNL_SUBSYS_NFTABLES << 8 | type),
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	ssize_t n = send(fd, &q, sizeof(q), 0);

	do {
		n = n < 0 ? n : recv(fd, answer, sizeof(answer), 0);
		f->read &= n >= 0;
	} while (n > 0 && take_answer(f, answer, (size_t) n));
}

void host_firewall_read(struct host_firewall *ret)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct timeval patience = { .tv_sec = 2 };

	*ret = (struct host_firewall){ .read = fd >= 0 };
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (ret->read)
		dump(ret, fd, NFT_MSG_GETCHAIN);
	if (ret->read && *ret->closed)
		dump(ret, fd, NFT_MSG_GETRULE);
}
