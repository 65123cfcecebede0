/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline - what a layer's archive holds beside the contents of files, so that the archive can be
 * put together again from the unpacked directory: to check the directory against the layer's digest,
 * and to save an image byte for byte. A zstd stream of records, little-endian:
 *   0, u64 length, bytes               as they are in the archive
 *   1, u64 length, u16 length, path    the content of a file of the directory
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"

struct outline; /* opaque: the writer */

int outline_new(int fd, struct outline **ret, struct err *err); /* @fd stays the caller's */
struct outline *outline_free(struct outline *o);
DEFINE_CLEANUP(struct outline *, outline_free)

/* NULL is fine for @o in all of these. A failure shows in outline_finish(). */
void outline_literal(void *o, const void *data, size_t len);
void outline_content(struct outline *o, const char *path, uint64_t len);

/* The archive cannot be put together again: something in it replaced another thing of it. */
void outline_spoil(struct outline *o);

/* Writes the rest; an outline that is spoilt or too large leaves an empty file. */
int outline_finish(struct outline *o, struct err *err);

typedef int (*outline_sink_fn)(void *userdata, const void *data, size_t len); /* 0 or -errno */

/*
 * Puts the archive together: gives its bytes to @sink. Returns 0, -ENODATA when the outline at @fd
 * is empty, -EBADMSG when it or a file beneath @root_fd is not as it was, or what @sink returns.
 */
int outline_replay(int fd, int root_fd, outline_sink_fn sink, void *userdata, struct err *err);
