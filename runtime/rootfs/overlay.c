/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/rootfs/rootfs.h"

/* mount(2) takes one page of options; what else stands there needs some room too. */
enum { OPTIONS_MAX = 4096 - 1, LAYERS_MAX = 200 };

static bool is_mount_point(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* The root of the overlay looks like the upper directory, so that gets what the top layer says. */
static int copy_root_attributes(const char *layer, int upper, struct err *err)
{
	struct stat st;

	if (stat(layer, &st) < 0)
		return err_set_errno(err, errno, "look at layer '%s'", layer);
	if (fchown(upper, st.st_uid, st.st_gid) < 0 || fchmod(upper, st.st_mode & 07777) < 0)
		return err_set_errno(err, errno, "set the owner of the root");
	return 0;
}

/*
 * A volatile mount that was not unmounted leaves this mark,
 * and the kernel would refuse to mount again.
 */
static void clear_volatile_mark(int dir)
{
	(void) fs_remove_tree(dir, "work/work/incompat", NULL);
}

static int make_dirs(const struct rootfs_params *p, int *ret_dir, struct err *err)
{
	static const char *const names[] = { "upper", "work", "merged" };
	_cleanup_(closep) int dir = -EBADF, upper = -EBADF;
	int k = fs_mkdir_p(p->dir, 0700, err);

	if (k < 0)
		return k;
	dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set_errno(err, errno, "open '%s'", p->dir);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (mkdirat(dir, names[i], 0700) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "make '%s/%s'", p->dir, names[i]);
	upper = openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return err_set_errno(err, errno, "open '%s/upper'", p->dir);
	k = copy_root_attributes(p->layers[strv_length(p->layers) - 1], upper, err);
	if (k < 0)
		return k;
	*ret_dir = TAKE_FD(dir);
	return 0;
}

struct layer_fds {
	int fds[LAYERS_MAX];
	size_t n;
};

static void layer_fds_done(struct layer_fds *l)
{
	for (size_t i = 0; i < l->n; i++)
		(void) safe_close(l->fds[i]);
}

/* A path inside mount options must not hold what separates them. */
static bool needs_fd(char *const *layers)
{
	size_t total = 0;

	for (size_t i = 0; layers[i]; i++) {
		total += strlen(layers[i]) + 1;
		if (strpbrk(layers[i], ":,\\"))
			return true;
	}
	return total > OPTIONS_MAX - 1024;
}

/* Highest first. Long lists go through descriptors, whose names are short: 200 layers fit. */
static int append_lower(struct buf *b, char *const *layers, struct layer_fds *l, struct err *err)
{
	bool by_fd = needs_fd(layers);

	(void) buf_puts(b, "lowerdir=");
	for (size_t i = strv_length(layers); i-- > 0;) {
		if (by_fd) {
			int fd = open(layers[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

			if (fd < 0)
				return err_set_errno(err, errno, "open layer '%s'", layers[i]);
			l->fds[l->n++] = fd;
			(void) buf_printf(b, "/proc/self/fd/%d", fd);
		} else {
			(void) buf_puts(b, layers[i]);
		}
		if (i > 0)
			(void) buf_puts(b, ":");
	}
	return 0;
}

static int mount_overlay(const struct rootfs_params *p, int dir, const char *merged,
			 struct err *err)
{
	_cleanup_(layer_fds_done) struct layer_fds layers = {};
	_cleanup_(buf_done) struct buf b = { .max_bytes = OPTIONS_MAX };
	size_t without;
	int k = append_lower(&b, p->layers, &layers, err);

	if (k < 0)
		return k;
	(void) buf_printf(&b, ",upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work", dir,
			  dir);
	without = b.len;
	(void) buf_puts(&b, ",volatile");
	if (b.failed)
		return err_set(err, EINVAL, "%zu layers are more than fit", strv_length(p->layers));
	clear_volatile_mark(dir);
	if (mount("overlay", merged, "overlay", 0, b.data) == 0)
		return 0;
	b.data[without] = '\0'; /* before Linux 5.10 */
	if (errno == EINVAL && mount("overlay", merged, "overlay", 0, b.data) == 0)
		return 0;
	return err_set_errno(err, errno, "mount overlay at '%s'", merged);
}

/*
 * The runtime mounts on these, and makes nodes and links in /dev, by name and before it changes its
 * root: where the image has a link there, it would write to the host (CVE-2019-19921,
 * CVE-2025-31133). What is absent the runtime makes.
 */
static int check_system_directories(const char *merged, struct err *err)
{
	static const char *const names[] = { "proc", "sys", "dev" };
	_cleanup_(closep) int root = open(merged, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (root < 0)
		return err_set_errno(err, errno, "open '%s'", merged);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (fstatat(root, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return err_set_errno(err, errno, "look at the image's /%s",
						     names[i]);
		} else if (!S_ISDIR(st.st_mode)) {
			return err_set(err, EINVAL, "the image's /%s is not a directory: refused",
				       names[i]);
		}
	}
	return 0;
}

int rootfs_mount(const struct rootfs_params *p, char **ret_path, struct err *err)
{
	_cleanup_(freep) char *merged = path_join("%s/merged", p->dir);
	_cleanup_(closep) int dir = -EBADF;
	size_t n = strv_length(p->layers);
	int k;

	if (!merged)
		return err_set(err, ENOMEM, "mount root");
	if (n == 0 || n > LAYERS_MAX)
		return err_set(err, EINVAL, "layers: %zu is outside 1..%d", n, LAYERS_MAX);
	if (!is_mount_point(merged)) {
		k = make_dirs(p, &dir, err);
		if (k == 0)
			k = mount_overlay(p, dir, merged, err);
		if (k < 0)
			return k;
	}
	k = check_system_directories(merged, err);
	if (k < 0)
		return k;
	*ret_path = TAKE_PTR(merged);
	return 0;
}

int rootfs_unmount(const char *dir, struct err *err)
{
	_cleanup_(freep) char *merged = path_join("%s/merged", dir);

	if (!merged)
		return err_set(err, ENOMEM, "unmount root");
	if (umount2(merged, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return err_set_errno(err, errno, "unmount '%s'", merged);
	return 0;
}

int rootfs_remove(const char *dir, struct err *err)
{
	static const char *const names[] = { "merged", "work", "upper" };
	_cleanup_(closep) int fd = -EBADF;
	int k = rootfs_unmount(dir, err);

	if (k < 0)
		return k;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "open '%s'", dir);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		k = fs_remove_tree(fd, names[i], err);
		if (k < 0)
			return err_wrap(err, "remove '%s'", dir);
	}
	return 0;
}
