/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events - the last things that happened, a JSON line each, for those who ask and those who follow.
 * Kept in memory, the oldest go first. A cursor counts bytes since the start, so a reader that was
 * too slow finds the beginning of the oldest line still there.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/buf.h"

enum { EVENTS_BYTES_MAX = 64 * 1024 };

struct events {
	struct buf text;
	uint64_t dropped; /* bytes that went */
};

void events_add(struct events *e, const json_t *event);
/* Copies at most @max bytes from *cursor on, which moves. An http_stream_fn. */
size_t events_read(void *events, uint64_t *cursor, char *buf, size_t max);
/* The cursor of the first event that is not older than @since_ms (wall clock). */
uint64_t events_since(const struct events *e, int64_t since_ms);
void events_done(struct events *e);
