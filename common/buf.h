/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growable byte string that is always NUL-terminated.
 * Starts as {}; buf_done() frees. @max_bytes, when set, bounds the length: reads from a peer set
 * it. The first failed append marks the buffer (`failed`), later ones do nothing, so a run of
 * appends is checked once at its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/macro.h"

struct buf {
	char *data; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	size_t max_bytes; /* 0: no bound */
	bool failed;      /* out of memory or over the bound */
};

bool buf_append(struct buf *b, const void *data, size_t len);
bool buf_puts(struct buf *b, const char *s);
bool buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);

/* Drops @n bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Empties without freeing. */
void buf_reset(struct buf *b);

/* The content, "" while empty; stays the buffer's. */
const char *buf_str(const struct buf *b);

/* Takes the content (free() it); NULL when an append failed. The buffer is empty afterwards. */
char *buf_take(struct buf *b);

void buf_done(struct buf *b);
