/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts - how the bytes of a layer come from the registry: in runs, each a request with its own tries.
 * A small layer is one part. A large one is asked for part after part; where the network is what the
 * unpacker waits for and the registry knows ranges, several parts come at once over connections of
 * their own. Bytes are handed on in their order; those before their turn wait in memory, PARTS_AHEAD
 * times PART_BYTES at most for all layers of a pull. No byte is asked for twice, but what a broken
 * connection lost. A registry that answers with the whole blob gets one request.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct layer;
struct part; /* opaque */

enum {
	PARTS_AHEAD = 4, /* beside the first of each layer, of one pull */
	PART_BYTES = 4 << 20,
	PARTS_LAYER_MIN = 16 << 20, /* smaller layers come whole */
};

struct parts {
	struct part *part[1 + PARTS_AHEAD]; /* owned; in the order of their bytes */
	size_t n;
	int64_t planned;  /* where the next one begins */
	int64_t stride;   /* its length while they come one by one */
	bool whole;       /* no ranges: the registry knows none, or they went wrong */
	bool narrow;      /* one connection is slower than we are */
	char *address;    /* owned: where redirects led, when no login goes there; or NULL */
	bool at_mirror;   /* it is a mirror's */
	int64_t began_ms; /* of the first part: its first byte; 0: none yet */
	int64_t paused_at_ms, paused_ms; /* of it: waiting for the unpacker */
};

/* Asks for the first bytes. @whole: for all at once. */
int parts_start(struct layer *l, bool whole, struct err *err);

/*
 * Moves on: hands on what is kept, starts retries and further parts, judges ended requests. Returns 1
 * when every byte was handed on. What the content or the registry did wrong is an error; l->refused
 * tells the registry's.
 */
int parts_advance(struct layer *l, struct err *err);

/* Whether one waits to be tried again. */
bool parts_wait(const struct parts *p);

/* Ends the transfers. */
void parts_done(struct layer *l);
