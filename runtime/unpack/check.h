/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - whether a layer's directory still looks as its archive says: types, modes, owners, times,
 * sizes, link targets, device numbers, attributes, whiteouts. Contents are not read.
 */
#pragma once

#include "common/err.h"
#include "runtime/unpack/tar.h"

/*
 * Reads the archive to its end. Returns 0, -EBADMSG naming the first entry that is not as it was, or
 * another negative errno. Where an entry was replaced by a later one the last one counts.
 */
int check_archive(int root_fd, tar_read_fn read, void *userdata, struct err *err);
