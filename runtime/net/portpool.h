/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portpool - which ports of a range are free, in the order in which they are to be given out: the
 * one released longest ago first, so that each rests for as long as the range allows, and for
 * PORTPOOL_REST_MS in any case. Clients, load balancers and connection tracking remember the last
 * owner of a port for minutes. Taking, giving back and asking cost O(1), however many ports are in
 * use; a run of neighbours is searched for. Times are of one monotonic clock, which the caller has.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { PORTPOOL_REST_MS = 60 * 1000 };

struct portpool {
	uint16_t first, last;
	uint16_t head, n_free;  /* head: the next one; valid while n_free > 0 */
	uint16_t *next, *prev;  /* owned: a ring of the free ports, by port - first; 0: not free */
	int64_t *rested_ms;     /* owned: when each may be given out again, by port - first */
	uint16_t after_a_block; /* where the search for a run starts */
};

/* All of @first to @last are free. -EINVAL: @first is 0 or over @last. */
int portpool_init(struct portpool *p, uint16_t first, uint16_t last, struct err *err);
void portpool_done(struct portpool *p);

bool portpool_is_free(const struct portpool *p, uint16_t port); /* false outside the range, too */

/* The port whose turn it is; 0: none is free, or all that are rest. It stays free. */
uint16_t portpool_peek(const struct portpool *p, int64_t now_ms);

/* One that is not free, or not of the range, is fine. */
void portpool_take(struct portpool *p, uint16_t port);

/* @port comes last now; one that is free goes to the end too. Outside the range: nothing happens. */
void portpool_give(struct portpool *p, uint16_t port);

/* The same for one that somebody had: it is not given out again before it has rested. */
void portpool_rest(struct portpool *p, uint16_t port, int64_t now_ms);

/* @port was given out by an earlier run of the program: those that follow it are next. */
void portpool_resume_after(struct portpool *p, uint16_t port);

/*
 * The first of @n free neighbours of which none rests, searched from @from upwards to the end of the
 * range and not beyond; 0: there is no such run. Nothing is taken.
 */
uint16_t portpool_find_run(const struct portpool *p, uint16_t from, uint16_t n, int64_t now_ms);
