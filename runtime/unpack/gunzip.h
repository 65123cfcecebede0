/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gunzip - inflates gzip members, checksums included. Built upon ISA-L's igzip where configure found it
 * (x86-64 and ARM: twice to three times as fast), else upon zlib; both behave alike.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct gunzip; /* opaque */

enum { GUNZIP_E_END = 1 }; /* the member is over, and its checksum right */

struct gunzip *gunzip_new(void); /* NULL: out of memory */
struct gunzip *gunzip_free(struct gunzip *g);
DEFINE_CLEANUP(struct gunzip *, gunzip_free)

/* Ready for a new member. */
void gunzip_reset(struct gunzip *g);

/*
 * Inflates from *@in, which moves on, into @out. Call again with the rest of @in until @out is not
 * filled to the brim: output may be held back without any input left.
 * Returns 0, GUNZIP_E_END or -EPROTO.
 */
int gunzip_step(struct gunzip *g, const uint8_t **in, size_t *in_len, uint8_t *out, size_t out_len,
		size_t *ret_out, struct err *err);

extern const char gunzip_library[]; /* "isa-l" or "zlib" */
