/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall-rule - one rule in a chain of somebody else: how ours are written, and what can be told of any.
 * Ours bear the comment FIREWALL_MARK. In the tables of iptables they are written so that iptables
 * lists, saves and restores them as its own; what it restores is known by its comment, too.
 */
#pragma once

#include <linux/netlink.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/net/firewall.h"

#define FIREWALL_MARK "ecs-agent"

enum firewall_rule {
	FIREWALL_FROM_BRIDGE,  /* whatever containers send */
	FIREWALL_TO_KNOWN,     /* answers to it */
	FIREWALL_TO_PUBLISHED, /* what was translated: to published ports */
	FIREWALL_TO_SERVICE,   /* from containers to the service port */
};

/* Adds the attributes EXPRESSIONS and USERDATA of a rule. @xt: for a table of iptables. -ENOMEM. */
int firewall_rule_put(struct nl_msg *m, enum firewall_rule rule, const struct firewall_bridge *b,
		      bool xt);

enum firewall_verdict {
	FIREWALL_CONDITIONAL, /* looks at the packet, or decides nothing */
	FIREWALL_ACCEPT,
	FIREWALL_DROP, /* or rejects */
	FIREWALL_JUMP,
};

struct firewall_rule_seen {
	uint64_t handle;
	bool ours; /* by its comment */
	enum firewall_verdict verdict;
	const char *jump;                 /* borrowed from the message; of FIREWALL_JUMP */
	const struct nlattr *expressions; /* borrowed; NULL: none */
};

/* Reads a NFT_MSG_NEWRULE. False: it is no rule. */
bool firewall_rule_read(struct nlmsghdr *h, struct firewall_rule_seen *ret);

/* Whether the rule is @rule exactly as firewall_rule_put() writes it. */
bool firewall_rule_is(const struct firewall_rule_seen *seen, enum firewall_rule rule,
		      const struct firewall_bridge *b, bool xt);
