/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar - a streaming reader of untrusted archives: ustar, pax and GNU long names.
 * Names come out byte for byte as they are in the archive, whatever the locale (a general archive
 * library converts and normalises them, and two files may become one). Sparse files come in the four
 * ways GNU tar writes them (sparse.h); multi-volume archives and other rarities are refused by name. Formats: POSIX.1-2017 pax, "tar Interchange
 * Format"; https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/unpack/sparse.h"

enum {
	TAR_PATH_MAX = 4095,
	TAR_XATTRS_MAX = 128,
	TAR_XATTR_VALUE_MAX = 64 * 1024,
	TAR_EXTENSION_MAX = 1 << 20, /* one pax header or long name */
};

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCK,
	TAR_DIRECTORY,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name;
	const void *value;
	size_t len;
};

/* One entry; everything is borrowed from the reader until the next tar_next(). */
struct tar_entry {
	enum tar_type type;
	const char *path; /* not empty, at most TAR_PATH_MAX; as written, may hold ".." */
	const char *link; /* of links, else "" */
	mode_t mode;      /* the 07777 bits */
	uid_t uid;
	gid_t gid;
	int64_t size; /* of files, with their holes; else 0 */
	bool sparse;  /* only the extents have content in the archive; the rest reads as zeros */
	const struct tar_extent *extents;
	size_t n_extents;
	struct timespec mtime;
	uint32_t dev_major, dev_minor;
	struct tar_xattr *xattrs;
	size_t n_xattrs;
};

enum { TAR_E_END = 1 };

/* Reads up to @len bytes. Returns their number, 0 at the end, or a negative errno. */
typedef ssize_t (*tar_read_fn)(void *userdata, void *buf, size_t len);

struct tar; /* opaque */

int tar_open(tar_read_fn read, void *userdata, struct tar **ret, struct err *err);
struct tar *tar_close(struct tar *t);
DEFINE_CLEANUP(struct tar *, tar_close)

/* @tap sees every byte of the input, in order, but for those that tar_data() gives. */
void tar_set_tap(struct tar *t, void (*tap)(void *userdata, const void *data, size_t len),
		 void *userdata);

/* The next entry; what is left of the current file is skipped. Returns 0, TAR_E_END or -errno. */
int tar_next(struct tar *t, struct tar_entry *ret, struct err *err);

/*
 * The next piece of the current file: *ret_len 0 at its end. Of a sparse file that is what its
 * extents hold, one after the other.
 * The bytes are borrowed until the next call.
 */
int tar_data(struct tar *t, const void **ret_data, size_t *ret_len, struct err *err);

/* Reads to the end of the input, past the archive's end. */
int tar_drain(struct tar *t, struct err *err);
