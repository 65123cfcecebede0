/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ruleset - notices what others do to table `inet ecs`. The kernel numbers the transactions of
 * nftables and tells of each; so one number says that nothing happened, and only when something did
 * is our table read (and only ours: a host may have many thousands of other rules).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/net/nft.h"

/* A socket that becomes readable after every transaction. Descriptor or negative errno. */
int ruleset_monitor(struct err *err);

/* Empties that socket. */
void ruleset_monitor_drain(int fd);

/* FNV-1a, starting at 0; not against malice: who may write nftables rules may do anything. */
uint64_t ruleset_mix(uint64_t hash, const void *data, size_t n);

/* The number of the last transaction. @nfnl: a socket of rtnl_open_netfilter(). */
int ruleset_generation(int nfnl, uint32_t *ret, struct err *err);

struct ruleset_print {
	uint64_t hash;
	bool inet, bridge; /* the table is there */
};

/*
 * A hash of the tables `inet ecs` and `bridge ecs`, their chains and their rules with their
 * handles; not of the elements of maps. *@ret_generation is the one that it belongs to.
 */
int ruleset_fingerprint(int nfnl, struct ruleset_print *ret, uint32_t *ret_generation,
			struct err *err);
