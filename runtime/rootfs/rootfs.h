/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs - a container's root: an overlay of image layers and a writable directory of its own.
 * Idempotent: making what is there and removing what is gone succeed.
 * The overlay is mounted "volatile" where the kernel can: a writable layer lives no longer than its
 * container, and without it each unmount would write out the whole file system below, with the
 * caller waiting.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

struct rootfs_params {
	char *const *layers; /* absolute directories, lowest first; at least one */
	const char
		*dir; /* the container's data directory: upper/, work/ and merged/ are made in it */
};

/*
 * Mounts and returns the path of the root, owned. -ENOSPC, -EINVAL (more layers than the kernel
 * takes; an image whose /proc, /sys or /dev is a link) …
 */
int rootfs_mount(const struct rootfs_params *p, char **ret_path, struct err *err);

/* Unmounts (lazily when busy). The writable layer stays. */
int rootfs_unmount(const char *dir, struct err *err);

/* Unmounts and removes the writable layer. */
int rootfs_remove(const char *dir, struct err *err);

struct user_ids {
	uid_t uid;
	gid_t gid;
	gid_t *additional; /* owned: the primary group, groups that list the user, and @groups */
	size_t n_additional;
	char *home; /* owned; "/" when unknown */
};

/*
 * Resolves a Docker user ("", "1000", "1000:1000", "www-data", "www-data:staff") against the
 * /etc/passwd and /etc/group of the root at @rootfs, which are read beneath it and capped in size.
 * @groups (NULL-terminated, may be NULL) are names or numbers to add. Ids above 2^31-1 are refused.
 * Returns 0, -ENOENT ("unable to find user x: no matching entries in passwd file") or -EINVAL.
 */
int rootfs_resolve_user(const char *rootfs, const char *user, char *const *groups,
			struct user_ids *ret, struct err *err);
void user_ids_done(struct user_ids *u);

/*
 * Makes @path (absolute, inside the root) as a directory when absent, never through a symlink that
 * leads out. -EINVAL when the image's links take it below /proc or /dev/fd: as a working directory
 * that would be whatever descriptor the runtime has open (CVE-2024-21626).
 */
int rootfs_make_dir(const char *rootfs, const char *path, uid_t uid, gid_t gid, struct err *err);
