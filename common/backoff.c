/* SPDX-License-Identifier: Apache-2.0 */
#include "common/backoff.h"

#include <sys/random.h>

#include "common/macro.h"

int64_t random_below(int64_t bound)
{
	uint64_t r = 0;

	if (bound <= 0)
		return 0;
	/*
	 * At most 256 bytes are never short once the pool is
	 * up; before that 0 is still a valid draw.
	 */
	(void) !getrandom(&r, sizeof(r), 0);
	return (int64_t) (r % (uint64_t) bound);
}

int64_t backoff_next_ms(struct backoff *b)
{
	int64_t d = b->current_ms > 0 ? b->current_ms : b->min_ms;

	b->current_ms = MIN(b->max_ms, (int64_t) ((double) d * b->factor));
	return d + random_below((int64_t) ((double) d * b->jitter));
}

void backoff_reset(struct backoff *b)
{
	b->current_ms = 0;
}
