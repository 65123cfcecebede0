/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-up: what the image has at a volume's path becomes the volume's content, when that is empty.
 * The copy is made in a directory of the volume that nobody looks at, and marked as whole by its
 * name; then its entries move up, one by one. A cut copy is thrown away and made again, a cut move
 * goes on where it was: the volume never counts as filled before it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/volume/ecs-volume.h"
#include "runtime/volume/volume.h"

enum { NAMES_MAX = 64 * 1024, VALUE_MAX = 64 * 1024 };

struct populate {
	int source, data;                 /* descriptors */
	char partial[128], complete[128]; /* names in the volume; other hosts may use others */
};

static void choose_names(struct populate *p)
{
	struct utsname u = {};

	(void) uname(&u);
	for (char *c = u.nodename; *c; c++)
		if (*c == '/')
			*c = '_';
	(void) snprintf(p->partial, sizeof(p->partial), ".ecs-partial-%.64s", u.nodename);
	(void) snprintf(p->complete, sizeof(p->complete), ".ecs-complete-%.64s", u.nodename);
}

/* 1: nothing in it but a cut copy of ours, 0: there is something, or a negative errno. */
static int is_empty(const struct populate *p, struct err *err)
{
	int fd = openat(p->data, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!d)
		return err_set_errno(err, errno, "read the volume");
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, p->partial) != 0)
			return 0;
	return 1;
}

static int copy(const struct populate *p, struct err *err)
{
	char from[64], to[64];
	char *argv[] = { (char[]){ "cp" }, (char[]){ "-a" }, (char[]){ "--" }, from, to, NULL };
	int fd = -EBADF, k = fs_remove_tree(p->data, p->partial, err);

	if (k < 0)
		return k;
	if (mkdirat(p->data, p->partial, 0700) < 0)
		return err_set_errno(err, errno, "make '%s'", p->partial);
	fd = openat(p->data, p->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", p->partial);
	/* cp finds both by number: no link on the way to either can lead elsewhere. */
	(void) fcntl(p->source, F_SETFD, 0);
	(void) fcntl(fd, F_SETFD, 0);
	(void) snprintf(from, sizeof(from), "/proc/self/fd/%d/.", p->source);
	(void) snprintf(to, sizeof(to), "/proc/self/fd/%d/", fd);
	k = run_program(argv, err);
	(void) safe_close(fd);
	return k;
}

static int finish_copy(const struct populate *p, bool durably, struct err *err)
{
	if (durably && syncfs(p->data) < 0)
		return err_set_errno(err, errno, "write the copy to the disk");
	if (renameat(p->data, p->partial, p->data, p->complete) < 0)
		return err_set_errno(err, errno, "rename '%s'", p->partial);
	return 0;
}

/* Somebody may have made an entry of that name meanwhile: theirs stays. */
static int move_one(const struct populate *p, int from, const char *name, struct err *err)
{
	struct stat st;

	if (renameat2(from, name, p->data, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST)
		return fs_remove_tree(from, name, err);
	if (errno != EINVAL) /* not every file system knows the flag */
		return err_set_errno(err, errno, "move '%s'", name);
	if (fstatat(p->data, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return fs_remove_tree(from, name, err);
	return renameat(from, name, p->data, name) < 0
		       ? err_set_errno(err, errno, "move '%s'", name)
		       : 0;
}

static int copy_xattrs(int from, int to)
{
	_cleanup_(freep) char *list = malloc(NAMES_MAX), *value = malloc(VALUE_MAX);
	ssize_t n = list && value ? flistxattr(from, list, NAMES_MAX) : -1;

	for (ssize_t i = 0; i < n; i += (ssize_t) strlen(list + i) + 1) {
		ssize_t len = fgetxattr(from, list + i, value, VALUE_MAX);

		if (len >= 0 && strncmp(list + i, "trusted.overlay.", 16) != 0 &&
		    fsetxattr(to, list + i, value, (size_t) len, 0) < 0 && errno != ENOTSUP &&
		    errno != EPERM)
			return -errno;
	}
	return 0;
}

/* Owner, mode, times: the directory itself is part of what the image has there. */
static int take_attributes(const struct populate *p, int from, struct err *err)
{
	struct stat st;

	if (fstat(from, &st) < 0 || fchown(p->data, st.st_uid, st.st_gid) < 0 ||
	    fchmod(p->data, st.st_mode & 07777) < 0 || copy_xattrs(from, p->data) < 0 ||
	    futimens(p->data, (struct timespec[]){ st.st_atim, st.st_mtim }) < 0)
		return err_set_errno(err, errno, "set the owner and mode of the volume");
	return 0;
}

static int move_up(const struct populate *p, struct err *err)
{
	int from = openat(p->data, p->complete, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = from >= 0 ? fdopendir(from) : NULL;
	const struct dirent *e;
	int k = 0;

	if (!d)
		return err_set_errno(err, errno, "open '%s'", p->complete);
	while (k == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			k = move_one(p, from, e->d_name, err);
	if (k == 0)
		k = take_attributes(p, from, err);
	if (k == 0 && unlinkat(p->data, p->complete, AT_REMOVEDIR) < 0)
		k = errno == ENOTEMPTY ? move_up(p, err)
				       : err_set_errno(err, errno, "remove '%s'", p->complete);
	return k;
}

/* A descriptor of PATH as the container would find it, -ENOENT when it has no such directory. */
static int open_source(const char *root, const char *path, struct err *err)
{
	_cleanup_(closep) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int k;

	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", root);
	k = fs_open_in_root(fd, path, O_RDONLY | O_DIRECTORY, 0, NULL);
	if (k == -ENOENT || k == -ENOTDIR)
		return -ENOENT;
	return k < 0 ? err_set_errno(err, -k, "open '%s' of the image", path) : k;
}

static int open_volume(const char *dir, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/" VOLUME_DATA, dir);
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	return fd < 0 ? err_set_errno(err, errno, "open '%s'", dir) : fd;
}

static int fill(const struct populate *p, bool durably, struct err *err)
{
	struct stat st;
	int k;

	if (fstatat(p->data, p->complete, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return move_up(p, err);
	k = is_empty(p, err);
	if (k <= 0)
		return k;
	k = copy(p, err);
	if (k == 0)
		k = finish_copy(p, durably, err);
	return k < 0 ? k : move_up(p, err);
}

int volume_populate(const char *root, const char *path, const char *dir, bool durably,
		    struct err *err)
{
	struct populate p = { .source = open_source(root, path, err), .data = -EBADF };
	int k;

	if (p.source < 0)
		return p.source == -ENOENT ? 0 : p.source;
	choose_names(&p);
	p.data = open_volume(dir, err);
	k = p.data < 0 ? p.data : fill(&p, durably, err);
	(void) safe_close(p.data);
	(void) safe_close(p.source);
	return k;
}
