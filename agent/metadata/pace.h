/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace - how often whoever asks may do so. A rate and a burst for each of any number of askers, in a
 * table of fixed size: of those that share a place, the one goes that has used least of its burst,
 * so asking under many names costs others nothing and its own account is what is kept. O(1).
 * Times are microseconds of one monotonic clock, which the caller has.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { PACE_SETS = 256, PACE_WAYS = 4 };

struct pace {
	int64_t interval_us, burst_us; /* between two at the steady rate; of a whole burst */
	uint64_t seed;                 /* places in the table cannot be guessed */
	struct pace_account {
		uint64_t key;
		int64_t until_us; /* when all of the burst is there again; 0: nobody's */
	} accounts[PACE_SETS][PACE_WAYS];
};

/* @per_s and @burst are at least 1. */
void pace_init(struct pace *p, int64_t per_s, int64_t burst);

/* Whose account it is: of an address, or of what it asks for; @path may be NULL. Never 0. */
uint64_t pace_key(const struct pace *p, struct in_addr addr, const char *path);

/*
 * 0: go on, it is counted. Else how long to wait: with @in_line it is counted all the same and may
 * go on after that, behind those that came before it; without, it is as if it had not asked.
 */
int64_t pace_ask(struct pace *p, uint64_t key, int64_t now_us, bool in_line);
