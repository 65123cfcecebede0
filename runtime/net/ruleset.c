/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "runtime/net/rtnl.h"

enum { MONITOR_BYTES = 64 * 1024, TRIES = 5 };

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

int ruleset_monitor(struct err *err)
{
	_cleanup_(closep) int fd = rtnl_open_netfilter(err);
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES, bytes = MONITOR_BYTES, on = 1;

	if (fd < 0)
		return fd;
	/* What does not fit is lost, and what is left says as much: that something happened. */
	(void) setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	/* Without an address of its own the kernel takes it for the sender, which is not told. */
	if (bind(fd, (struct sockaddr *) &self, sizeof(self)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return err_set_errno(err, errno, "watch nftables");
	return TAKE_FD(fd);
}

void ruleset_monitor_drain(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

/* A request of @family; NULL: out of memory. */
static struct nl_msg *request(int type, uint8_t family)
{
	struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_size(256);

	if (!m || !nlmsg_put(m, 0, 0, NFNL_SUBSYS_NFTABLES << 8 | type, 0, 0) ||
	    nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(m);
}

int ruleset_generation(int nfnl, uint32_t *ret, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = request(NFT_MSG_GETGEN, NFPROTO_UNSPEC);
	_Alignas(struct nlmsghdr) char reply[1024];
	struct nlmsghdr *h = (struct nlmsghdr *) reply;
	struct nlattr *in[NFTA_GEN_MAX + 1];
	int k;

	if (!m)
		return err_set_errno(err, ENOMEM, "build netlink request");
	k = rtnl_query(nfnl, m, reply, sizeof(reply), err);
	if (k < 0)
		return err_wrap(err, "ask for the generation of nftables");
	if (nlmsg_parse(h, sizeof(struct nfgenmsg), in, NFTA_GEN_MAX, NULL) < 0 || !in[NFTA_GEN_ID])
		return err_set(err, EPROTO, "nftables tells no generation");
	*ret = ntohl(nla_get_u32(in[NFTA_GEN_ID]));
	return 0;
}

uint64_t ruleset_mix(uint64_t hash, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

/* Tables, chains and rules all name their table in attribute 1. */
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1, "");

static int take(struct nlmsghdr *h, void *userdata)
{
	uint64_t *hash = userdata;
	const struct nlattr *attrs, *name;
	int left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return 0;
	attrs = nlmsg_attrdata(h, sizeof(struct nfgenmsg));
	left = nlmsg_attrlen(h, sizeof(struct nfgenmsg));
	name = nla_find(attrs, left, NFTA_TABLE_NAME);
	if (!name || nla_len(name) < 4 || strncmp(nla_data(name), "ecs", 4) != 0)
		return 0;
	*hash = ruleset_mix(*hash, &h->nlmsg_type, sizeof(h->nlmsg_type));
	*hash = ruleset_mix(*hash, attrs, (size_t) left);
	return 0;
}

static int read_family(int nfnl, uint8_t family, uint64_t *hash, struct err *err)
{
	static const int types[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		_cleanup_(nlmsg_freep) struct nl_msg *m = request(types[i], family);
		int k;

		if (!m ||
		    (types[i] == NFT_MSG_GETRULE && nla_put_string(m, NFTA_RULE_TABLE, "ecs") < 0))
			return err_set_errno(err, ENOMEM, "build netlink request");
		k = rtnl_dump(nfnl, m, take, hash, err);
		if (k == -ENOENT)
			return 0;
		if (k < 0)
			return err_wrap(err, "read the packet filter");
	}
	return 0;
}

static int read_table(int nfnl, struct ruleset_print *ret, struct err *err)
{
	uint64_t hash = 0, inet;
	int k = read_family(nfnl, NFPROTO_INET, &hash, err);

	inet = hash;
	if (k >= 0)
		k = read_family(nfnl, NFPROTO_BRIDGE, &hash, err);
	*ret = (struct ruleset_print){ hash, inet != 0, hash != inet };
	return k;
}

int ruleset_fingerprint(int nfnl, struct ruleset_print *ret, uint32_t *ret_generation,
			struct err *err)
{
	uint32_t before, after = 0;

	for (int i = 0; i < TRIES; i++) {
		int k = ruleset_generation(nfnl, &before, err);

		if (k == 0)
			k = read_table(nfnl, ret, err);
		if (k == 0)
			k = ruleset_generation(nfnl, &after, err);
		if (k < 0)
			return k;
		if (before == after) {
			*ret_generation = after;
			return 0;
		}
	}
	return err_set(err, EAGAIN, "nftables changes all the time");
}
