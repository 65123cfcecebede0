/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portpool - which ports of a range are free, in the order in which they are to be given out: the
 * one released longest ago first, so that each rests for as long as the range allows. Clients, load
 * balancers and connection tracking remember the last owner of a port for minutes. Taking, giving
 * back and asking cost O(1), however many ports are in use; a run of neighbours is searched for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct portpool {
	uint16_t first, last;
	uint16_t head, n_free;  /* head: the next one; valid while n_free > 0 */
	uint16_t *next, *prev;  /* owned: a ring of the free ports, by port - first; 0: not free */
	uint16_t after_a_block; /* where the search for a run starts */
};

/* All of @first to @last are free. -EINVAL: @first is 0 or over @last. */
int portpool_init(struct portpool *p, uint16_t first, uint16_t last, struct err *err);
void portpool_done(struct portpool *p);

bool portpool_is_free(const struct portpool *p, uint16_t port); /* false outside the range, too */

/* The port whose turn it is; 0: none is free. It stays free. */
uint16_t portpool_peek(const struct portpool *p);

/* One that is not free, or not of the range, is fine. */
void portpool_take(struct portpool *p, uint16_t port);

/* @port comes last now; one that is free goes to the end too. Outside the range: nothing happens. */
void portpool_give(struct portpool *p, uint16_t port);

/* @port was given out by an earlier run of the program: those that follow it are next. */
void portpool_resume_after(struct portpool *p, uint16_t port);

/*
 * The first of @n free neighbours, searched from @from upwards to the end of the range and not
 * beyond; 0: there is no such run. Nothing is taken.
 */
uint16_t portpool_find_run(const struct portpool *p, uint16_t from, uint16_t n);
