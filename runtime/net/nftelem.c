/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/nftelem.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/net/rtnl.h"

enum {
	CHUNK = 1000, /* elements of one message: they share one attribute, of at most 64 KiB */
	ELEMENT_BYTES = 64, /* of one element with its headers, rounded up */
	MESSAGES_MAX = 2 * (NFTELEM_MAX / CHUNK) + 2,
};

/* Parts of a concatenation take whole 32-bit words each; numbers are in network byte order. */
struct map_key {
	uint8_t proto, pad[3];
	uint16_t port, pad2;
};

struct map_data {
	struct in_addr addr;
	uint16_t port, pad;
};

struct map_data6 {
	struct in6_addr addr;
	uint16_t port, pad;
};

static const char *const map_names[] = { "ports", "ports6" }; /* by whether it is of IPv6 */

static struct nl_msg *message(int type, uint8_t family, uint16_t res_id, size_t size)
{
	struct nfgenmsg head = { .nfgen_family = family,
				 .version = NFNETLINK_V0,
				 .res_id = htons(res_id) };
	struct nl_msg *m = nlmsg_alloc_size(size);

	if (m && (!nlmsg_put(m, 0, 0, type, 0, NLM_F_CREATE) ||
		  nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static int put_value(struct nl_msg *m, int type, const void *data, size_t size)
{
	struct nlattr *nest = nla_nest_start(m, type | NLA_F_NESTED);

	if (!nest || nla_put(m, NFTA_DATA_VALUE, (int) size, data) < 0)
		return -1;
	nla_nest_end(m, nest);
	return 0;
}

static int put_data(struct nl_msg *m, bool six, const struct nft_element *e)
{
	struct map_data data = { .addr = e->addr, .port = htons(e->container_port) };
	struct map_data6 data6 = { .addr = e->addr6, .port = htons(e->container_port) };

	return six ? put_value(m, NFTA_SET_ELEM_DATA, &data6, sizeof(data6))
		   : put_value(m, NFTA_SET_ELEM_DATA, &data, sizeof(data));
}

static int put_element(struct nl_msg *m, bool add, bool six, const struct nft_element *e)
{
	struct map_key key = { .proto = e->proto, .port = htons(e->host_port) };
	struct nlattr *elem = nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED);

	if (!elem || put_value(m, NFTA_SET_ELEM_KEY, &key, sizeof(key)) < 0 ||
	    (add && put_data(m, six, e) < 0))
		return -1;
	nla_nest_end(m, elem);
	return 0;
}

static struct nl_msg *elements(bool add, bool six, const struct nft_element *e, size_t n)
{
	int type = NFNL_SUBSYS_NFTABLES << 8 | (add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
	_cleanup_(nlmsg_freep) struct nl_msg *m = NULL;
	struct nlattr *list;

	m = message(type, NFPROTO_INET, 0, 256 + n * ELEMENT_BYTES);
	if (!m || nla_put_string(m, NFTA_SET_ELEM_LIST_TABLE, "ecs") < 0 ||
	    nla_put_string(m, NFTA_SET_ELEM_LIST_SET, map_names[six]) < 0)
		return NULL;
	list = nla_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
	if (!list)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (put_element(m, add, six, &e[i]) < 0)
			return NULL;
	nla_nest_end(m, list);
	return TAKE_PTR(m);
}

int nftelem_change(int nfnl, bool add, const struct nft_element *e, size_t n, struct err *err)
{
	const bool in_map[] = { n > 0 && e->addr.s_addr,
				n > 0 && !IN6_IS_ADDR_UNSPECIFIED(&e->addr6) };
	struct nl_msg *msgs[MESSAGES_MAX];
	size_t n_msgs = 0;
	int k;

	if (n == 0)
		return 0;
	if (n > NFTELEM_MAX)
		return err_set(err, E2BIG, "%zu map elements at once, at most %d go", n,
			       NFTELEM_MAX);
	msgs[n_msgs++] = message(NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, 64);
	for (int six = 0; six < 2; six++)
		for (size_t i = 0; in_map[six] && i < n; i += CHUNK)
			msgs[n_msgs++] = elements(add, six, e + i, MIN(n - i, (size_t) CHUNK));
	msgs[n_msgs++] = message(NFNL_MSG_BATCH_END, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, 64);
	k = rtnl_batch(nfnl, msgs, n_msgs, err);
	for (size_t i = 0; i < n_msgs; i++)
		if (msgs[i])
			nlmsg_free(msgs[i]);
	return k;
}

/* ---- reading ---- */

struct listing {
	bool six;
	struct nft_element *v; /* owned */
	size_t n;
};

static const void *value_of(struct nlattr *attr, size_t size)
{
	struct nlattr *in[NFTA_DATA_MAX + 1];

	if (!attr || nla_parse_nested(in, NFTA_DATA_MAX, attr, NULL) < 0 || !in[NFTA_DATA_VALUE] ||
	    nla_len(in[NFTA_DATA_VALUE]) < (int) size)
		return NULL;
	return nla_data(in[NFTA_DATA_VALUE]);
}

static void take_data(struct nft_element *e, bool six, const void *data)
{
	struct map_data6 d6 = {};
	struct map_data d = {};

	if (six)
		memcpy(&d6, data, sizeof(d6));
	else
		memcpy(&d, data, sizeof(d));
	e->addr = d.addr;
	e->addr6 = d6.addr;
	e->container_port = ntohs(six ? d6.port : d.port);
}

static int take_element(struct listing *l, struct nlattr *attr)
{
	struct nlattr *in[NFTA_SET_ELEM_MAX + 1];
	struct nft_element *grown;
	struct map_key key;
	const void *k, *d;

	if (nla_parse_nested(in, NFTA_SET_ELEM_MAX, attr, NULL) < 0)
		return 0;
	k = value_of(in[NFTA_SET_ELEM_KEY], sizeof(key));
	d = value_of(in[NFTA_SET_ELEM_DATA],
		     l->six ? sizeof(struct map_data6) : sizeof(struct map_data));
	if (!k || !d) /* of another form than ours */
		return 0;
	memcpy(&key, k, sizeof(key));
	grown = reallocarray(l->v, l->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->v = grown;
	grown[l->n] = (struct nft_element){ .host_port = ntohs(key.port), .proto = key.proto };
	take_data(&grown[l->n++], l->six, d);
	return 0;
}

static int take_elements(struct nlmsghdr *h, void *userdata)
{
	struct nlattr *in[NFTA_SET_ELEM_LIST_MAX + 1], *list, *elem;
	int left, k = 0;

	if (nlmsg_parse(h, sizeof(struct nfgenmsg), in, NFTA_SET_ELEM_LIST_MAX, NULL) < 0)
		return 0;
	list = in[NFTA_SET_ELEM_LIST_ELEMENTS];
	if (list)
		nla_for_each_nested(elem, list, left) k = k < 0 ? k : take_element(userdata, elem);
	return k;
}

int nftelem_list(int nfnl, bool six, struct nft_element **ret, size_t *ret_n, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, NFPROTO_INET, 0, 256);
	struct listing l = { .six = six };
	int k = -ENOMEM;

	if (m && nla_put_string(m, NFTA_SET_ELEM_LIST_TABLE, "ecs") == 0 &&
	    nla_put_string(m, NFTA_SET_ELEM_LIST_SET, map_names[six]) == 0)
		k = rtnl_dump(nfnl, m, take_elements, &l, &why);
	if (k < 0 && k != -ENOENT) {
		free(l.v);
		return err_set_errno(err, -k, "read the published ports");
	}
	*ret = l.v;
	*ret_n = l.n;
	return 0;
}
