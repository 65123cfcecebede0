/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - files that are whole or absent, and paths that stay where they belong.
 * All descriptors are O_CLOEXEC. Functions with a @dirfd take AT_FDCWD.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

/*
 * Reads a whole file of at most @max bytes,
 * NUL-terminated. The caller frees. -EFBIG when larger.
 */
int fs_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len,
		 struct err *err);

/*
 * Writes by temporary file, fsync and rename: after a crash the
 * old or the new content is there, never less.
 */
int fs_write_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
		  struct err *err);

/* The same without fsync: for state that dies with the machine (a tmpfs) or can be made again. */
int fs_write_file_volatile(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
			   struct err *err);

/* Creates @path and its parents with @mode; present directories are left alone. */
int fs_mkdir_p(const char *path, mode_t mode, struct err *err);

/*
 * Removes a tree; absent is fine. Symlinks are removed, not
 * followed; other file systems are not entered.
 */
int fs_remove_tree(int dirfd, const char *path, struct err *err);

/*
 * Opens @path beneath @root_fd as if @root_fd were "/" (openat2 RESOLVE_IN_ROOT, no magic links): a
 * symlink of the tree cannot lead out. Returns the descriptor or a negative errno with @err set.
 */
int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct err *err);

/* Writes all of @len bytes or fails with a negative errno. EINTR and short writes are handled. */
int fs_write_all(int fd, const void *data, size_t len);

/* "a/b" and the like: formats into an owned string, NULL when out of memory. */
char *path_join(const char *fmt, ...) _printf_(1, 2);
