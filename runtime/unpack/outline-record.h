/* SPDX-License-Identifier: Apache-2.0 */
/* The records of an outline (outline.h), for its writer and its reader. */
#pragma once

#include <stdint.h>

enum outline_record { OUTLINE_LITERAL, OUTLINE_CONTENT, OUTLINE_PARTS, OUTLINE_KEPT };

enum {
	OUTLINE_CHUNK = 64 * 1024, /* most bytes of a literal */
	OUTLINE_HEAD = 9,
};

static inline void outline_put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t) (v >> (8 * i));
}

static inline uint64_t outline_get_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 8; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}
