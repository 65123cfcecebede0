/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/rootfs/rootfs.h"

/* Makes @name in the directory @at, which is already resolved; mkdirat() follows no link. */
static int make_one(int at, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_(closep) int fd = -EBADF;

	if (mkdirat(at, name, 0755) < 0)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, 0755) < 0)
		return -errno;
	return 0;
}

/* Whether the directory @at is @dir of the root, or below it. */
static bool is_below(int root, int at, const char *dir)
{
	_cleanup_(freep) char *root_link = path_join("/proc/self/fd/%d", root),
			      *at_link = path_join("/proc/self/fd/%d", at);
	char base[PATH_MAX], path[PATH_MAX];
	ssize_t n = root_link ? readlink(root_link, base, sizeof(base) - 1) : -1;
	ssize_t m = at_link ? readlink(at_link, path, sizeof(path) - 1) : -1;
	size_t len = strlen(dir);

	if (n < 0 || m < n)
		return true; /* better refused than guessed */
	base[n] = path[m] = '\0';
	n = strcmp(base, "/") == 0 ? 0 : n;
	return strncmp(path + n, dir, len) == 0 && strchr("/", path[n + (ssize_t) len]);
}

static int check_place(int root, int at, const char *path, struct err *err)
{
	if (is_below(root, at, "/proc") || is_below(root, at, "/dev/fd"))
		return err_set(err, EINVAL, "'%s' leads below /proc or /dev/fd", path);
	return 0;
}

/*
 * Each prefix is looked up from the root again, as the container would see it, so links inside may
 * lead anywhere inside. What is missing is made in the directory found for the prefix before.
 */
int rootfs_make_dir(const char *rootfs, const char *path, uid_t uid, gid_t gid, struct err *err)
{
	_cleanup_(closep) int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC), at = -EBADF;
	_cleanup_(freep) char *copy = strdup(path);

	if (!copy)
		return err_set(err, ENOMEM, "make '%s'", path);
	if (root < 0)
		return err_set_errno(err, errno, "open '%s'", rootfs);
	if (*path != '/')
		return err_set(err, EINVAL, "'%s' is not an absolute path", path);
	at = fs_open_in_root(root, "/", O_PATH | O_DIRECTORY, 0, err);
	for (char *p = copy + strspn(copy, "/"), *end; *p && at >= 0; p = end) {
		size_t len = strcspn(p, "/");
		char saved = p[len];
		int next, k;

		p[len] = '\0';
		if (strcmp(p, "..") == 0)
			return err_set(err, EINVAL, "'%s' holds '..'", path);
		next = fs_open_in_root(root, copy, O_PATH | O_DIRECTORY, 0, NULL);
		if (next == -ENOENT) {
			k = make_one(at, p, uid, gid);
			if (k < 0)
				return err_set_errno(err, -k, "make '%s' in the container's root",
						     copy);
			next = fs_open_in_root(root, copy, O_PATH | O_DIRECTORY, 0, NULL);
		}
		if (next < 0)
			return err_set_errno(err, -next, "open '%s' in the container's root", copy);
		(void) safe_close(at);
		at = next;
		p[len] = saved;
		end = p + len + strspn(p + len, "/");
	}
	return at < 0 ? at : check_place(root, at, path, err);
}
