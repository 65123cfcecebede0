/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress - how far a pull is, as lines for a terminal: one for each layer at work, one for all.
 * Nothing here writes or asks for the time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum { PROGRESS_SAMPLES = 16, PROGRESS_SAMPLE_MS = 250 };

struct progress_layer {
	const char *digest; /* "sha256:…" */
	const char *state;  /* "fetching", "retrying", "unpacking", "unpacked" */
	int64_t bytes, total;
};

struct progress {
	int64_t bytes, total;                /* compressed, of the layers that were not there */
	size_t done, n;                      /* layers, of all */
	const struct progress_layer *layers; /* those at work */
	size_t n_layers;
};

/* The rate over the last seconds. Starts as {}. */
struct progress_rate {
	struct progress_sample {
		int64_t ms, bytes;
	} samples[PROGRESS_SAMPLES];
	size_t n; /* taken so far */
};

/* Bytes per second; 0 until there is something to tell it from. */
int64_t progress_rate(struct progress_rate *r, int64_t now_ms, int64_t bytes);

/* "12.3 MB" */
void progress_put_size(char *ret, size_t len, int64_t bytes);

/*
 * Appends the lines, each of at most @columns - 1 characters and with a newline. Where fewer than
 * all would fit into @rows only the last one. Returns their number.
 */
size_t progress_render(const struct progress *p, int64_t bytes_per_s, size_t columns, size_t rows,
		       struct buf *ret);
