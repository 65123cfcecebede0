/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host-firewall - whether the host's own firewall lets tasks pass: by netlink, of which this reads as much as it needs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { HOST_FIREWALL_CHAIN_BYTES = 160 };

struct host_firewall {
	bool read;      /* nftables answered; otherwise nothing below holds */
	bool agent_was; /* table `inet ecs` is there */
	char closed
		[HOST_FIREWALL_CHAIN_BYTES]; /* a chain with hook forward and policy drop; "": none */
	bool has_rules;                      /* its table has rules with the agent's comment */
};

void host_firewall_read(struct host_firewall *ret);

/* What nftables answers to "all chains" or "all rules": one message of @n bytes. For tests. */
void host_firewall_take(struct host_firewall *f, const void *message, size_t n);
