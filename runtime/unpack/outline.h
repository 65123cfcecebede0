/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline - what a layer's archive holds beside the contents of files, so that the archive can be
 * put together again from the unpacked directory: to check the directory against the layer's digest,
 * and to save an image byte for byte. A zstd stream of records, little-endian:
 *   0, u64 length, bytes               as they are in the archive
 *   1, u64 length, u16 length, path    the content of a file of the directory
 *   2, u64 size, u16 length, path, u64 n, n times (u64 offset, u64 length)
 *                                      those parts of a file; between them it has holes
 *   3, u64 size, u16 length, path, parts (u64 offset, u64 length, bytes), the last one of length 0
 *                                      a file that a later entry replaced: what the last record
 *                                      before with the same path means; in a zstd frame of its own
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/unpack/tar.h"

struct outline; /* opaque: the writer */

int outline_new(int fd, struct outline **ret, struct err *err); /* @fd stays the caller's */
struct outline *outline_free(struct outline *o);
DEFINE_CLEANUP(struct outline *, outline_free)

/* NULL is fine for @o in all of these. A failure shows in outline_finish(). */
void outline_literal(void *o, const void *data, size_t len);
void outline_content(struct outline *o, const char *path, const struct tar_entry *e);

/*
 * What stands at @name of @dir_fd, which is @path of the archive, is about to be replaced: keeps the
 * contents of the files there.
 */
void outline_keep(struct outline *o, int dir_fd, const char *name, const char *path);

/* Writes the rest; an outline that got too large leaves an empty file. */
int outline_finish(struct outline *o, struct err *err);

/* ---- reading ---- */

struct outline_reader; /* opaque */

/*
 * The archive of the outline at @fd and the files beneath @root_fd; both stay the caller's. Without
 * @contents the files are not looked at and read as zeros. Returns 0, -ENODATA when the outline is
 * empty, -EBADMSG when it is damaged.
 */
int outline_open(int fd, int root_fd, bool contents, struct outline_reader **ret, struct err *err);
struct outline_reader *outline_close(struct outline_reader *r);
DEFINE_CLEANUP(struct outline_reader *, outline_close)

/* Up to @len bytes, 0 at the end; -EBADMSG: the outline or a file is not as it was. */
ssize_t outline_read(struct outline_reader *r, void *buf, size_t len, struct err *err);

typedef int (*outline_sink_fn)(void *userdata, const void *data, size_t len); /* 0 or -errno */

/* Puts the archive together: gives its bytes to @sink. Returns as the above, or what @sink returns. */
int outline_replay(int fd, int root_fd, outline_sink_fn sink, void *userdata, struct err *err);
