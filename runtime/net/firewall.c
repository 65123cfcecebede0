/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/firewall.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/net/firewall-rule.h"
#include "runtime/net/rtnl.h"
#include "runtime/net/ruleset.h"

#define DOCKER_USER "DOCKER-USER"

enum { NAME_BYTES = 128, MARKED_MAX = 12, RULES_MAX = 5, TRIES = 5, LIST_BYTES = 4096 };

struct chain {
	uint8_t family;
	uint32_t hook;
	char table[NAME_BYTES],
		name[NAME_BYTES]; /* longer ones are nobody's we know, and left alone */
	bool drops_by_policy, is_docker_user, jumps_to_docker_user;
	enum firewall_verdict verdict; /* of the first rule that holds for every packet */
	uint64_t marked[MARKED_MAX];   /* handles of rules of ours */
	size_t n_marked;
	size_t n_right; /* how many of them, from the first on, are as they should be */
};

struct scan {
	const struct firewall *f;
	struct chain chains[FIREWALL_CHAINS];
	size_t n;
	struct chain *reading;
};

static bool is_closed(const struct chain *c)
{
	if (c->is_docker_user)
		return false;
	return c->verdict == FIREWALL_DROP ||
	       (c->verdict == FIREWALL_CONDITIONAL && c->drops_by_policy);
}

/* Tables of iptables are known by their names: nobody else shouts. */
static bool is_iptables(const struct chain *c)
{
	return c->family != NFPROTO_INET && strcmp(c->table, "filter") == 0 &&
	       (c->is_docker_user || strcmp(c->name, "FORWARD") == 0 ||
		strcmp(c->name, "INPUT") == 0);
}

struct rule {
	enum firewall_rule what;
	const struct firewall_bridge *bridge; /* borrowed */
};

/* The rules of ours that a chain of this hook gets, in order; how many. */
static size_t rules_for(const struct firewall *f, uint32_t hook, struct rule ret[RULES_MAX])
{
	size_t n = 0;

	if (hook == NF_INET_LOCAL_IN) {
		if (f->bridge.service_port)
			ret[n++] = (struct rule){ FIREWALL_TO_SERVICE, &f->bridge };
		if (f->local.name && f->local.service_port)
			ret[n++] = (struct rule){ FIREWALL_TO_SERVICE, &f->local };
		return n;
	}
	ret[n++] = (struct rule){ FIREWALL_FROM_BRIDGE, &f->bridge };
	ret[n++] = (struct rule){ FIREWALL_TO_KNOWN, &f->bridge };
	ret[n++] = (struct rule){ FIREWALL_TO_PUBLISHED, &f->bridge };
	if (f->local.name && f->local.leads_on) {
		ret[n++] = (struct rule){ FIREWALL_FROM_BRIDGE, &f->local };
		ret[n++] = (struct rule){ FIREWALL_TO_KNOWN, &f->local };
	}
	return n;
}

static void describe(const struct chain *c, char text[FIREWALL_TEXT_BYTES])
{
	(void) snprintf(text, FIREWALL_TEXT_BYTES, "chain %.60s of table %s %.60s", c->name,
			c->family == NFPROTO_INET   ? "inet"
			: c->family == NFPROTO_IPV6 ? "ip6"
						    : "ip",
			c->table);
}

static uint64_t place_of(const struct chain *c)
{
	uint64_t hash = ruleset_mix(0, &c->family, sizeof(c->family));

	hash = ruleset_mix(hash, c->table, strlen(c->table) + 1);
	return ruleset_mix(hash, c->name, strlen(c->name) + 1);
}

static bool knows(const uint64_t *v, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == value)
			return true;
	return false;
}

/* ---- reading ---- */

static bool take_name(char ret[NAME_BYTES], const struct nlattr *a)
{
	if (!a || nla_len(a) < 2 || nla_len(a) > NAME_BYTES)
		return false;
	memcpy(ret, nla_data(a), (size_t) nla_len(a));
	ret[nla_len(a) - 1] = '\0';
	return true;
}

/* Whether it is a filter with one of our hooks, or DOCKER-USER. */
static bool read_chain(struct nlattr *in[], struct chain *c)
{
	struct nlattr *hook[NFTA_HOOK_MAX + 1];

	c->is_docker_user = c->family != NFPROTO_INET && strcmp(c->name, DOCKER_USER) == 0;
	c->hook = NF_INET_FORWARD;
	if (c->is_docker_user || !in[NFTA_CHAIN_HOOK])
		return c->is_docker_user;
	if (nla_parse_nested(hook, NFTA_HOOK_MAX, in[NFTA_CHAIN_HOOK], NULL) < 0 ||
	    !hook[NFTA_HOOK_HOOKNUM] || !in[NFTA_CHAIN_TYPE] ||
	    strcmp(nla_get_string(in[NFTA_CHAIN_TYPE]), "filter") != 0)
		return false;
	c->hook = ntohl(nla_get_u32(hook[NFTA_HOOK_HOOKNUM]));
	c->drops_by_policy =
		in[NFTA_CHAIN_POLICY] && ntohl(nla_get_u32(in[NFTA_CHAIN_POLICY])) == NF_DROP;
	return c->hook == NF_INET_FORWARD || c->hook == NF_INET_LOCAL_IN;
}

static int take_chain(struct nlmsghdr *h, void *userdata)
{
	const struct nfgenmsg *head = nlmsg_data(h);
	struct nlattr *in[NFTA_CHAIN_MAX + 1];
	struct scan *s = userdata;
	struct chain c = {};

	if (s->n == FIREWALL_CHAINS ||
	    h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN) ||
	    nlmsg_parse(h, sizeof(*head), in, NFTA_CHAIN_MAX, NULL) < 0)
		return 0;
	c.family = head->nfgen_family;
	if (c.family != NFPROTO_IPV4 && c.family != NFPROTO_IPV6 && c.family != NFPROTO_INET)
		return 0;
	if (!take_name(c.table, in[NFTA_CHAIN_TABLE]) || !take_name(c.name, in[NFTA_CHAIN_NAME]) ||
	    (c.family == NFPROTO_INET && strcmp(c.table, "ecs") == 0))
		return 0;
	if (read_chain(in, &c))
		s->chains[s->n++] = c;
	return 0;
}

static int take_rule(struct nlmsghdr *h, void *userdata)
{
	struct rule want[RULES_MAX];
	struct firewall_rule_seen seen;
	struct scan *s = userdata;
	struct chain *c = s->reading;

	if (!firewall_rule_read(h, &seen))
		return 0;
	if (seen.ours) {
		if (c->n_right == c->n_marked && c->n_right < rules_for(s->f, c->hook, want) &&
		    firewall_rule_is(&seen, want[c->n_right].what, want[c->n_right].bridge,
				     is_iptables(c)))
			c->n_right++;
		if (c->n_marked < MARKED_MAX)
			c->marked[c->n_marked++] = seen.handle;
		return 0;
	}
	if (seen.verdict == FIREWALL_JUMP)
		c->jumps_to_docker_user |= strcmp(seen.jump, DOCKER_USER) == 0;
	else if (c->verdict == FIREWALL_CONDITIONAL)
		c->verdict = seen.verdict;
	return 0;
}

static struct nl_msg *message(int type, int flags, uint8_t family, uint16_t res_id)
{
	struct nfgenmsg head = { .nfgen_family = family,
				 .version = NFNETLINK_V0,
				 .res_id = htons(res_id) };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_size(LIST_BYTES);

	if (!m || !nlmsg_put(m, 0, 0, type, 0, flags) ||
	    nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(m);
}

static struct nl_msg *rule_message(int type, int flags, const struct chain *c)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		message(NFNL_SUBSYS_NFTABLES << 8 | type, flags, c->family, 0);

	if (!m || nla_put_string(m, NFTA_RULE_TABLE, c->table) < 0 ||
	    nla_put_string(m, NFTA_RULE_CHAIN, c->name) < 0)
		return NULL;
	return TAKE_PTR(m);
}

static int dump(int nfnl, struct nl_msg *m, int (*fn)(struct nlmsghdr *, void *), struct scan *s,
		struct err *err)
{
	int k = m ? rtnl_dump(nfnl, m, fn, s, err) : err_set_errno(err, ENOMEM, "build request");

	return k == -ENOENT ? 0 : k; /* gone in the meantime */
}

static int read_all(struct scan *s, int nfnl, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, 0, NFPROTO_UNSPEC, 0);
	int k = dump(nfnl, m, take_chain, s, err);

	for (size_t i = 0; k >= 0 && i < s->n; i++) {
		_cleanup_(nlmsg_freep) struct nl_msg *rules =
			rule_message(NFT_MSG_GETRULE, 0, &s->chains[i]);

		s->reading = &s->chains[i];
		k = dump(nfnl, rules, take_rule, s, err);
	}
	return k < 0 ? err_wrap(err, "read the host's firewall") : 0;
}

/* All of it as of one moment, whose number is *@ret_generation. */
static int scan(struct scan *s, const struct firewall *f, int nfnl, uint32_t *ret_generation,
		struct err *err)
{
	uint32_t after = 0;

	for (int i = 0; i < TRIES; i++) {
		int k = ruleset_generation(nfnl, ret_generation, err);

		memset(s, 0, sizeof(*s));
		s->f = f;
		if (k == 0)
			k = read_all(s, nfnl, err);
		if (k == 0)
			k = ruleset_generation(nfnl, &after, err);
		if (k < 0)
			return k;
		if (after == *ret_generation)
			return 0;
	}
	return err_set(err, EAGAIN, "nftables changes all the time");
}

/* ---- putting right ---- */

/* The chain of which @c, which is closed, leaves it to others to let something pass. */
static const struct chain *target_of(const struct scan *s, const struct chain *c)
{
	for (size_t i = 0; c->jumps_to_docker_user && i < s->n; i++)
		if (s->chains[i].is_docker_user && s->chains[i].family == c->family &&
		    strcmp(s->chains[i].table, c->table) == 0)
			return &s->chains[i];
	return c;
}

static bool is_wanted(const struct scan *s, const struct chain *target)
{
	for (size_t i = 0; s->f->accept && i < s->n; i++)
		if (is_closed(&s->chains[i]) && target_of(s, &s->chains[i]) == target)
			return true;
	return false;
}

/* Which rules of ours are where. */
static uint64_t rules_of(const struct scan *s)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < s->n; i++) {
		uint64_t place = place_of(&s->chains[i]);
		bool wanted = is_wanted(s, &s->chains[i]);

		hash = ruleset_mix(hash, &place, sizeof(place));
		hash = ruleset_mix(hash, &wanted, sizeof(wanted));
		hash = ruleset_mix(hash, s->chains[i].marked, sizeof(s->chains[i].marked));
	}
	return hash;
}

static struct nl_msg *deletion(const struct chain *c, uint64_t handle)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = rule_message(NFT_MSG_DELRULE, 0, c);

	return m && nla_put_u64(m, NFTA_RULE_HANDLE, htobe64(handle)) == 0 ? TAKE_PTR(m) : NULL;
}

static struct nl_msg *insertion(const struct chain *c, const struct rule *rule, bool xt)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = rule_message(NFT_MSG_NEWRULE, NLM_F_CREATE, c);

	return m && firewall_rule_put(m, rule->what, rule->bridge, xt) == 0 ? TAKE_PTR(m) : NULL;
}

/* One transaction: our rules of @c out, @n_rules at its head. */
static int replace(const struct firewall *f, int nfnl, const struct chain *c, size_t n_rules,
		   bool xt, struct err *err)
{
	struct rule rules[RULES_MAX];
	struct nl_msg *msgs[MARKED_MAX + RULES_MAX + 2];
	size_t n = 0;
	int k;

	(void) rules_for(f, c->hook, rules);
	msgs[n++] = message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	for (size_t i = 0; i < c->n_marked; i++)
		msgs[n++] = deletion(c, c->marked[i]);
	for (size_t i = n_rules; i-- > 0;) /* each goes before those that are there */
		msgs[n++] = insertion(c, &rules[i], xt);
	msgs[n++] = message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	k = rtnl_batch(nfnl, msgs, n, err);
	for (size_t i = 0; i < n; i++)
		if (msgs[i])
			nlmsg_free(msgs[i]);
	return k;
}

/* A kernel without nft_compat has no rules of iptables' form, and then no iptables either. */
static int put_right(const struct firewall *f, int nfnl, const struct chain *c, bool wanted,
		     struct err *err)
{
	_cleanup_(err_done) struct err first = {};
	struct rule rules[RULES_MAX];
	size_t n = wanted ? rules_for(f, c->hook, rules) : 0;

	if (is_iptables(c) && n > 0) {
		int k = replace(f, nfnl, c, n, true, &first);

		if (k != -ENOENT)
			return k < 0 ? err_set(err, -k, "%s", err_text(&first)) : k;
	}
	return replace(f, nfnl, c, n, false, err);
}

static bool is_right(const struct firewall *f, const struct chain *c, bool wanted)
{
	struct rule rules[RULES_MAX];

	return c->n_marked == (wanted ? rules_for(f, c->hook, rules) : 0) &&
	       c->n_right == c->n_marked;
}

/* A program may own its table, so that nobody else changes it. */
static void note_refusal(struct firewall *f, const struct chain *c, struct firewall_news *news)
{
	if (f->n_refused == FIREWALL_CHAINS || knows(f->refused, f->n_refused, place_of(c)))
		return;
	f->refused[f->n_refused++] = place_of(c);
	describe(c, news->refused);
}

static bool has(const struct scan *s, uint64_t place, uint64_t handle)
{
	for (size_t i = 0; i < s->n; i++)
		if (place_of(&s->chains[i]) == place &&
		    knows(s->chains[i].marked, s->chains[i].n_marked, handle))
			return true;
	return false;
}

/* Whether somebody took rules of ours. */
static bool lacks_some(const struct firewall *f, const struct scan *s)
{
	for (size_t i = 0; i < f->n_had; i++)
		if (!has(s, f->had[i].place, f->had[i].handle))
			return true;
	return false;
}

static int converge(struct firewall *f, int nfnl, const struct scan *s, struct firewall_news *news,
		    struct err *err)
{
	int changed = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct chain *c = &s->chains[i];
		bool wanted = is_wanted(s, c);
		_cleanup_(err_done) struct err why = {};
		char where[FIREWALL_TEXT_BYTES] = "";
		int k;

		if (is_right(f, c, wanted))
			continue;
		k = put_right(f, nfnl, c, wanted, &why);
		if (k == -EPERM || k == -EOPNOTSUPP) {
			note_refusal(f, c, news);
			continue;
		}
		describe(c, where);
		if (k < 0)
			return err_set(err, -k, "%s: %s", where, err_text(&why));
		changed = 1;
		if (wanted)
			memcpy(news->accepted[news->n_accepted++], where, sizeof(where));
		news->restored |= wanted && lacks_some(f, s);
	}
	return changed;
}

static void remember(struct firewall *f, const struct scan *s, uint32_t generation)
{
	f->n_had = 0;
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->chains[i].n_marked && f->n_had < FIREWALL_RULES; j++) {
			f->had[f->n_had].place = place_of(&s->chains[i]);
			f->had[f->n_had++].handle = s->chains[i].marked[j];
		}
	f->rules = rules_of(s);
	f->generation = generation;
	f->settled = true;
}

int firewall_check(struct firewall *f, int nfnl, struct firewall_news *ret, struct err *err)
{
	_cleanup_(freep) struct scan *s = NULL;
	uint32_t generation;
	int k = ruleset_generation(nfnl, &generation, err);

	*ret = (struct firewall_news){};
	if (k < 0 || (f->settled && generation == f->generation))
		return k;
	s = malloc(sizeof(*s));
	if (!s)
		return err_set_errno(err, ENOMEM, "read the host's firewall");
	k = scan(s, f, nfnl, &generation, err);
	/* What this very process wrote counts as right, should the kernel tell it in other words. */
	if (k == 0 && !(f->settled && rules_of(s) == f->rules)) {
		k = converge(f, nfnl, s, ret, err);
		if (k == 1)
			k = scan(s, f, nfnl, &generation, err);
	}
	if (k < 0)
		return k;
	remember(f, s, generation);
	return ret->n_accepted > 0 || *ret->refused || ret->restored ? 1 : 0;
}

int firewall_remove(struct firewall *f, int nfnl, struct err *err)
{
	struct firewall_news news;
	int k;

	f->accept = f->settled = false;
	k = firewall_check(f, nfnl, &news, err);
	return MIN(k, 0);
}

int firewall_find(int nfnl, char ret[FIREWALL_TEXT_BYTES], struct err *err)
{
	static const struct firewall none = { .bridge = { .name = "" } };
	_cleanup_(freep) struct scan *s = malloc(sizeof(*s));
	uint32_t generation;
	int k = s ? scan(s, &none, nfnl, &generation, err)
		  : err_set_errno(err, ENOMEM, "read the host's firewall");

	*ret = '\0';
	for (size_t i = 0; k == 0 && i < s->n && !*ret; i++)
		if (s->chains[i].hook == NF_INET_FORWARD && is_closed(&s->chains[i]))
			describe(&s->chains[i], ret);
	return k;
}

bool firewall_has_legacy(void)
{
	static const char *const lists[] = { "/proc/self/net/ip_tables_names",
					     "/proc/self/net/ip6_tables_names" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_(freep) char *text = NULL;
		size_t n = 0;

		if (fs_read_file(AT_FDCWD, lists[i], LIST_BYTES, &text, &n, NULL) == 0 &&
		    strstr(text, "filter\n"))
			return true;
	}
	return false;
}
