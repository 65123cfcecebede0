/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall - lets the bridge pass the host's own firewall. In nftables a drop in any chain is final, so where
 * Docker, firewalld, ufw or a nftables.conf drop what no rule of theirs accepts, an accept of ours elsewhere
 * is of no use: it has to stand in that very chain. Such a chain has a hook (forward, input), and either the policy
 * drop or a rule that drops or rejects whatever reaches it. Rules of ours are put at its head, or at
 * the head of DOCKER-USER where it jumps there, which Docker keeps for others:
 *
 *   forward  what leaves the bridge; answers to it; what was translated to a published port; what
 *            comes by the local link and answers to it, where it leads to more than the host
 *   input    from the bridges to the port that serves 169.254.170.2
 *
 * No more than table `inet ecs` lets pass, which is asked in any case. They bear a comment and are left where
 * they are found, so somebody may put rules before them. What the ruleset says decides: rules of ours in
 * chains that need none, doubled ones and those of another bridge go away. Not seen: the legacy
 * iptables, drops behind a jump, families netdev and bridge.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { FIREWALL_CHAINS = 32, FIREWALL_RULES = 96, FIREWALL_TEXT_BYTES = 160 };

struct firewall_bridge {
	const char *name;      /* of the device */
	uint16_t service_port; /* TCP, of this host, that containers reach; 0: none */
	bool leads_on;         /* of local: what comes by it may go further */
};

struct firewall {
	struct firewall_bridge bridge;
	struct firewall_bridge local; /* locallink.h; name NULL: there is none */
	bool accept; /* false: rules of ours are taken away, and none are made */
	uint32_t
		generation; /* of nftables when all was well; the caller counts its own transactions */
	bool settled;       /* generation holds */
	uint64_t rules;     /* which rules of ours there were then */
	struct {
		uint64_t place, handle;    /* of the chain; of the rule */
	} had[FIREWALL_RULES];             /* the same one by one */
	uint64_t refused[FIREWALL_CHAINS]; /* places that do not take any */
	size_t n_had, n_refused;
};

struct firewall_news {
	bool restored; /* rules of ours were gone or changed */
	/* Chains that have got rules: "chain FORWARD of table ip filter". */
	char accepted[FIREWALL_CHAINS][FIREWALL_TEXT_BYTES];
	size_t n_accepted;
	char refused
		[FIREWALL_TEXT_BYTES]; /* one that belongs to a program and takes none; told once */
};

/*
 * Looks at the host's chains when the ruleset has changed, and puts our rules right. 1: @ret tells
 * news; 0: nothing new. -EAGAIN: it changes all the time.
 */
int firewall_check(struct firewall *f, int nfnl, struct firewall_news *ret, struct err *err);

/* Takes all rules of ours away. */
int firewall_remove(struct firewall *f, int nfnl, struct err *err);

/* A chain that keeps the bridge from passing, for who leaves the firewall alone; "": there is none. */
int firewall_find(int nfnl, char ret[FIREWALL_TEXT_BYTES], struct err *err);

/* Whether the legacy iptables, which is not seen here, filters anything in this network namespace. */
bool firewall_has_legacy(void);
