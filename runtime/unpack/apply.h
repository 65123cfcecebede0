/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply - writes the entries of an untrusted layer archive beneath one directory.
 * Every name is normalised and must stay inside; parents are reached by openat2(RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS), so the kernel never follows a symbolic link of the archive. Where one of them
 * is a parent of a later entry of a layer, inroot.h says where that is inside. In a layer, whiteouts
 * become overlayfs's (a 0/0 character device; trusted.overlay.opaque=y on a directory).
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
 */
#pragma once

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "runtime/unpack/tar.h"

enum apply_mode {
	APPLY_LAYER, /* a file system layer, with owners, devices and whiteouts */
	APPLY_PLAIN, /* a box of files (an image archive): files, directories and links, our owner
		      */
};

#define APPLY_OPAQUE_XATTR "trusted.overlay.opaque"
#define APPLY_WHITEOUT ".wh."
#define APPLY_WHITEOUT_OPAQUE ".wh..wh..opq"
#define APPLY_WHITEOUT_META ".wh..wh."

struct apply_limits {
	enum apply_mode mode;
	uint64_t max_bytes;   /* of file contents */
	uint64_t max_entries; /* and as many inodes */
	int outline_fd;       /* where to write the archive's outline; 0: nowhere */
};

struct apply_result {
	uint64_t bytes; /* of file contents */
	uint64_t entries;
	struct buf
		implied; /* layer: NUL-terminated paths of directories that had to be made because
			    the archive leaves them out; theirs are the owners of the layer below */
};

void apply_result_done(struct apply_result *r);

/*
 * Applies everything that @read gives to the directory @root_fd and reads the input to its end.
 * Returns 0 or a negative errno naming the entry (-ENOSPC: the disk is full, -EFBIG: over a limit,
 * -EPROTO: the archive is at fault); what was written stays for the caller to remove.
 */
int apply_archive(int root_fd, const struct apply_limits *limits, tar_read_fn read, void *userdata,
		  struct apply_result *ret, struct err *err);

/* Whether a layer's extended attribute of that name is set; others mean nothing here. */
bool apply_takes_xattr(const char *name);

/*
 * Cleans a name of an archive into @ret (TAR_PATH_MAX + 1): no leading '/', no "." or "..", no
 * double or trailing slash; "" is the root. -EPROTO when it leads out.
 */
int apply_clean_path(const char *path, char *ret, struct err *err);
