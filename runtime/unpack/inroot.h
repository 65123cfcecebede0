/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inroot - where a path of an archive leads when symbolic links of the same directory tree are
 * followed as if the tree were the whole file system: absolute targets and ".." stay inside.
 */
#pragma once

#include "common/err.h"
#include "runtime/unpack/tar.h"

/*
 * Rewrites @path (relative, cleaned) so that none of its components is a link; what does not exist
 * is taken as it stands. The result is only words: whoever opens it does so without following links,
 * so that a tree which changes meanwhile leads nowhere else.
 * Returns 0 or -EPROTO (too many links, too long).
 */
int inroot_resolve(int root_fd, char path[TAR_PATH_MAX + 1], struct err *err);
