/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backoff - jittered exponential delays.
 * The n-th delay is d_n + rand[0, d_n * jitter), d_0 = min, d_n+1 = min(max, d_n * factor).
 */
#pragma once

#include <stdint.h>

struct backoff {
	int64_t min_ms, max_ms;
	double jitter, factor;
	int64_t current_ms; /* 0: start at min_ms */
};

/* The next delay in milliseconds. */
int64_t backoff_next_ms(struct backoff *b);

/* Back to min_ms. */
void backoff_reset(struct backoff *b);

/* A uniformly random number in [0, @bound); 0 when @bound <= 0. */
int64_t random_below(int64_t bound);
