/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/unpack/inroot.h"
#include "runtime/unpack/outline.h"

enum {
	IMPLIED_MAX = 1 << 20,     /* bytes of paths */
	DIR_TIMES_MAX = 256 << 20, /* bytes of paths and times */
};

struct apply {
	int root_fd;
	const struct apply_limits *limits;
	struct tar *tar;
	struct apply_result *result;
	struct outline *outline; /* NULL: none is wanted */
	uint64_t apparent;       /* bytes of files with their holes */
	struct buf dir_times;    /* struct timespec and path\0, in the order of the archive */

	/* The entry at hand: its cleaned path, the directory it is in, its name there. */
	char path[TAR_PATH_MAX + 1];
	const char *name; /* in path; "." for the root */
	int parent_fd;    /* of parent_path; kept, since neighbours follow each other */
	char parent_path[TAR_PATH_MAX + 1];
};

void apply_result_done(struct apply_result *r)
{
	buf_done(&r->implied);
}

int apply_clean_path(const char *path, char *ret, struct err *err)
{
	size_t n = 0;

	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.') {
			if (n == 0)
				return err_set(err, EPROTO, "'%.200s' leads out of the archive",
					       path);
			while (n > 0 && ret[--n] != '/')
				;
		} else if (len > 255) {
			return err_set(err, EPROTO, "'%.200s': a name is longer than 255 bytes",
				       path);
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (n > 0)
				ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len + (p[len] == '/');
	}
	ret[n] = '\0';
	return 0;
}

static int open_beneath(int root_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t) (flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int fd;

	do
		fd = (int) syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : fd;
}

static int fail(const struct apply *a, int code, const char *what, struct err *err)
{
	return err_set_errno(err, code, "'%.200s': %s", a->path[0] ? a->path : "/", what);
}

/* Makes the directories of @path that the archive left out, and remembers them. */
static int make_parents(struct apply *a, char *path, struct err *err)
{
	for (char *s = path;; s++) {
		_cleanup_(closep) int dir = -EBADF;
		char c = *s, *slash;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
		dir = open_beneath(a->root_fd, slash ? path : "", O_PATH | O_DIRECTORY);
		if (slash)
			*slash = '/';
		if (dir < 0)
			return fail(a, -dir, "open parent directory", err);
		if (mkdirat(dir, slash ? slash + 1 : path, 0755) == 0) {
			if (a->result->implied.len + strlen(path) > IMPLIED_MAX ||
			    !buf_append(&a->result->implied, path, strlen(path) + 1))
				return err_set(err, EFBIG,
					       "the archive leaves out too many "
					       "directories");
			if (a->limits->mode == APPLY_LAYER)
				(void) !fchownat(dir, slash ? slash + 1 : path, 0, 0,
						 AT_SYMLINK_NOFOLLOW);
		} else if (errno != EEXIST) {
			return fail(a, errno, "make parent directory", err);
		}
		*s = c;
		if (c == '\0')
			return 0;
	}
}

/*
 * A parent is a link that the layer brought before: the entry goes where it leads within the layer,
 * as with Docker, which unpacks in a root of its own. From here on the entry has that path.
 */
static int follow_links(struct apply *a, char parent[TAR_PATH_MAX + 1], struct err *err)
{
	char name[256];
	size_t at;
	int k;

	(void) snprintf(name, sizeof(name), "%s", a->name);
	k = inroot_resolve(a->root_fd, parent, err);
	if (k < 0)
		return k;
	if (strlen(parent) + 1 + strlen(name) > TAR_PATH_MAX)
		return err_set(err, EPROTO, "'%.200s': leads too far", a->path);
	at = strlen(parent);
	memcpy(a->path, parent, at);
	if (at > 0)
		a->path[at++] = '/';
	memcpy(a->path + at, name, strlen(name) + 1);
	a->name = a->path + at;
	return 0;
}

static int open_parent(struct apply *a, const char *parent, struct err *err)
{
	int fd = open_beneath(a->root_fd, parent, O_PATH | O_DIRECTORY);

	if (fd == -ENOENT) {
		char made[TAR_PATH_MAX + 1];
		int k;

		(void) snprintf(made, sizeof(made), "%s", parent);
		k = make_parents(a, made, err);
		if (k < 0)
			return k;
		fd = open_beneath(a->root_fd, parent, O_PATH | O_DIRECTORY);
	}
	return fd;
}

/* By its name. */
static bool hides_something(const struct apply *a)
{
	return a->limits->mode == APPLY_LAYER &&
	       strncmp(a->name, APPLY_WHITEOUT, strlen(APPLY_WHITEOUT)) == 0;
}

/*
 * Points parent_fd and name at where the entry goes. Returns 1 when it is a whiteout beneath what is
 * no directory: that already hides everything (umoci writes such when a file replaces a directory).
 */
static int enter_parent(struct apply *a, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	char parent[TAR_PATH_MAX + 1];
	char *slash;
	int fd, k;

	(void) snprintf(parent, sizeof(parent), "%s", a->path);
	slash = strrchr(parent, '/');
	a->name = slash ? a->path + (slash - parent) + 1 : a->path[0] ? a->path : ".";
	*(slash ? slash : parent) = '\0';
	if (a->parent_fd >= 0 && strcmp(parent, a->parent_path) == 0)
		return 0;
	fd = open_parent(a, parent, &why);
	if (fd == -ELOOP && a->limits->mode == APPLY_LAYER) {
		k = follow_links(a, parent, err);
		if (k < 0)
			return k;
		err_done(&why);
		fd = open_parent(a, parent, &why);
	}
	if (fd == -ENOTDIR && hides_something(a))
		return 1;
	if (fd == -ELOOP || fd == -ENOTDIR)
		return err_set(err, EPROTO, "'%.200s': a parent is not a directory of the archive",
			       a->path);
	if (fd < 0)
		return why.code ? err_move(err, &why) : fail(a, -fd, "open parent directory", err);
	(void) safe_close(a->parent_fd);
	a->parent_fd = fd;
	(void) snprintf(a->parent_path, sizeof(a->parent_path), "%s", parent);
	return 0;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/*
 * Takes away what stands where the entry goes. *ret_whiteout: it was a whiteout of this layer, so a
 * directory that takes its place hides the lower one entirely.
 */
static int make_room(struct apply *a, bool *ret_whiteout, struct err *err)
{
	struct stat st;

	*ret_whiteout = false;
	if (fstatat(a->parent_fd, a->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(a, errno, "look at", err);
	*ret_whiteout = is_whiteout(&st);
	if (a->path[0] != '\0')
		outline_keep(a->outline, a->parent_fd, a->name, a->path);
	if (!S_ISDIR(st.st_mode))
		return unlinkat(a->parent_fd, a->name, 0) < 0 ? fail(a, errno, "replace", err) : 0;
	if (a->path[0] == '\0')
		return err_set(err, EPROTO, "the root of the archive is not a directory");
	(void) snprintf(a->parent_path, sizeof(a->parent_path), "/"); /* may be inside: look anew */
	if (fs_remove_tree(a->parent_fd, a->name, err) < 0)
		return err_wrap(err, "'%.200s': replace", a->path);
	return 0;
}

bool apply_takes_xattr(const char *name)
{
	return strcmp(name, "security.capability") == 0 || strncmp(name, "user.", 5) == 0 ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

/* Which extended attributes a layer may set. 1: yes, 0: of no meaning here, -EPROTO: never. */
static int weigh_xattr(const struct apply *a, const struct tar_xattr *x, struct err *err)
{
	if (strncmp(x->name, "trusted.", 8) == 0 || strncmp(x->name, "user.overlay.", 13) == 0)
		return err_set(err, EPROTO, "'%.200s': extended attribute '%.64s' is reserved",
			       a->path, x->name);
	return apply_takes_xattr(x->name);
}

static int set_xattrs(const struct apply *a, const struct tar_entry *e, int fd, struct err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		int k = weigh_xattr(a, x, err);

		if (k < 0)
			return k;
		if (k == 0 || fd < 0 || fsetxattr(fd, x->name, x->value, x->len, 0) == 0)
			continue;
		if (errno == ENOTSUP && strncmp(x->name, "user.", 5) == 0)
			continue; /* the file system has none; Docker goes on, too */
		return err_set_errno(err, errno, "'%.200s': set '%.64s'", a->path, x->name);
	}
	return 0;
}

static void entry_times(const struct tar_entry *e, struct timespec ts[2])
{
	ts[0] = ts[1] = e->mtime;
}

/* Owner before mode (chown clears setuid), capabilities after owner (it drops them). */
static int set_attributes(const struct apply *a, const struct tar_entry *e, int fd, struct err *err)
{
	struct timespec ts[2];
	int k;

	if (a->limits->mode == APPLY_PLAIN)
		return fchmod(fd, e->type == TAR_DIRECTORY ? 0700 : 0600) < 0
			       ? fail(a, errno, "set mode", err)
			       : 0;
	if (fchown(fd, e->uid, e->gid) < 0)
		return fail(a, errno, "set owner", err);
	if (fchmod(fd, e->mode) < 0)
		return fail(a, errno, "set mode", err);
	k = set_xattrs(a, e, fd, err);
	if (k < 0)
		return k;
	entry_times(e, ts);
	return futimens(fd, ts) < 0 ? fail(a, errno, "set time", err) : 0;
}

/* Holes count, too, although they take no room: whoever copies the file fills them. */
static int check_size(struct apply *a, const struct tar_entry *e, struct err *err)
{
	a->apparent += (uint64_t) e->size;
	return a->apparent > a->limits->max_bytes
		       ? err_set(err, EFBIG, "the archive unpacks to more than %llu bytes",
				 (unsigned long long) a->limits->max_bytes)
		       : 0;
}

static int write_content(struct apply *a, int fd, struct err *err)
{
	const void *data;
	size_t len;
	int k;

	for (;;) {
		k = tar_data(a->tar, &data, &len, err);
		if (k < 0 || len == 0)
			return k;
		a->result->bytes += len;
		k = fs_write_all(fd, data, len);
		if (k < 0)
			return fail(a, -k, "write", err);
	}
}

/* The parts where they belong; what lies between them is never written. */
static int write_sparse(struct apply *a, const struct tar_entry *e, int fd, struct err *err)
{
	const void *data = NULL;
	size_t len = 0;

	if (ftruncate(fd, e->size) < 0)
		return fail(a, errno, "make sparse file", err);
	for (size_t i = 0; i < e->n_extents; i++) {
		int64_t left = e->extents[i].len;

		if (lseek(fd, e->extents[i].offset, SEEK_SET) < 0)
			return fail(a, errno, "seek", err);
		while (left > 0) {
			size_t n;
			int k = len == 0 ? tar_data(a->tar, &data, &len, err) : 0;

			if (k < 0)
				return k;
			n = (size_t) MIN(left, (int64_t) len);
			k = fs_write_all(fd, data, n);
			if (k < 0)
				return fail(a, -k, "write", err);
			data = (const char *) data + n;
			len -= n;
			left -= (int64_t) n;
			a->result->bytes += n;
		}
	}
	return 0;
}

static int apply_file(struct apply *a, const struct tar_entry *e, struct err *err)
{
	_cleanup_(closep) int fd = -EBADF;
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	bool whiteout;
	int k;

	fd = openat(a->parent_fd, a->name, flags, 0600);
	if (fd < 0 && errno == EEXIST) {
		k = make_room(a, &whiteout, err);
		if (k < 0)
			return k;
		fd = openat(a->parent_fd, a->name, flags, 0600);
	}
	if (fd < 0)
		return fail(a, errno, "create", err);
	outline_content(a->outline, a->path, e);
	k = check_size(a, e, err);
	if (k == 0)
		k = e->sparse ? write_sparse(a, e, fd, err) : write_content(a, fd, err);
	return k < 0 ? k : set_attributes(a, e, fd, err);
}

static int set_opaque(const struct apply *a, int fd, struct err *err)
{
	return fsetxattr(fd, APPLY_OPAQUE_XATTR, "y", 1, 0) < 0 ? fail(a, errno, "make opaque", err)
								: 0;
}

/* An explicit entry ends a directory's being implied. */
static void drop_implied(struct apply *a)
{
	struct buf *b = &a->result->implied;

	for (size_t i = 0; i < b->len;) {
		size_t len = strlen(b->data + i) + 1;

		if (strcmp(b->data + i, a->path) == 0) {
			memmove(b->data + i, b->data + i + len, b->len - i - len);
			b->len -= len;
			return;
		}
		i += len;
	}
}

static int remember_times(struct apply *a, const struct tar_entry *e, struct err *err)
{
	struct timespec ts = e->mtime;

	if (a->dir_times.len > DIR_TIMES_MAX || !buf_append(&a->dir_times, &ts, sizeof(ts)) ||
	    !buf_append(&a->dir_times, a->path, strlen(a->path) + 1))
		return err_set(err, EFBIG, "the archive has too many directories");
	return 0;
}

static int apply_directory(struct apply *a, const struct tar_entry *e, struct err *err)
{
	_cleanup_(closep) int fd = -EBADF;
	bool whiteout = false;
	struct stat st;
	int k;

	if (mkdirat(a->parent_fd, a->name, 0700) < 0) {
		if (errno != EEXIST)
			return fail(a, errno, "make directory", err);
		if (fstatat(a->parent_fd, a->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail(a, errno, "look at", err);
		if (!S_ISDIR(st.st_mode)) {
			k = make_room(a, &whiteout, err);
			if (k < 0)
				return k;
			if (mkdirat(a->parent_fd, a->name, 0700) < 0)
				return fail(a, errno, "make directory", err);
		}
		drop_implied(a);
	}
	fd = openat(a->parent_fd, a->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(a, errno, "open", err);
	k = whiteout ? set_opaque(a, fd, err) : 0;
	if (k == 0)
		k = set_attributes(a, e, fd, err);
	return k < 0 || a->limits->mode == APPLY_PLAIN ? k : remember_times(a, e, err);
}

/* The attributes of what cannot be opened for it: links, devices, pipes. */
static int set_attributes_at(const struct apply *a, const struct tar_entry *e, struct err *err)
{
	struct timespec ts[2];
	int k;

	if (a->limits->mode == APPLY_PLAIN)
		return 0;
	entry_times(e, ts);
	k = set_xattrs(a, e, -EBADF, err);
	if (k < 0)
		return k;
	if (fchownat(a->parent_fd, a->name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(a, errno, "set owner", err);
	if (utimensat(a->parent_fd, a->name, ts, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(a, errno, "set time", err);
	return 0;
}

static int apply_symlink(struct apply *a, const struct tar_entry *e, struct err *err)
{
	bool whiteout;
	int k = make_room(a, &whiteout, err);

	if (k < 0)
		return k;
	if (symlinkat(e->link, a->parent_fd, a->name) < 0)
		return fail(a, errno, "make symbolic link", err);
	return set_attributes_at(a, e, err);
}

/* The target has to be a file that this archive already brought. */
static int apply_hardlink(struct apply *a, const struct tar_entry *e, struct err *err)
{
	_cleanup_(closep) int dir = -EBADF;
	char target[TAR_PATH_MAX + 1], parent[TAR_PATH_MAX + 1];
	const char *name;
	struct stat st;
	bool whiteout;
	char *slash;
	int k = apply_clean_path(e->link, target, err);

	if (k < 0)
		return err_wrap(err, "'%.200s': hard link to", a->path);
	if (strcmp(target, a->path) == 0)
		return err_set(err, EPROTO, "'%.200s': hard link to itself", a->path);
	slash = strrchr(target, '/');
	if (slash)
		*slash = '\0';
	name = slash ? slash + 1 : target;
	(void) snprintf(parent, sizeof(parent), "%s", slash ? target : "");
	dir = open_beneath(a->root_fd, parent, O_PATH | O_DIRECTORY);
	if (dir == -ELOOP && a->limits->mode == APPLY_LAYER &&
	    inroot_resolve(a->root_fd, parent, NULL) == 0)
		dir = open_beneath(a->root_fd, parent, O_PATH | O_DIRECTORY);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) ||
	    is_whiteout(&st))
		return err_set(err, EPROTO,
			       "'%.200s': hard link to '%.200s', which is no file of the archive",
			       a->path, e->link);
	k = make_room(a, &whiteout, err);
	if (k < 0)
		return k;
	if (linkat(dir, name, a->parent_fd, a->name, 0) < 0)
		return fail(a, errno, "make hard link", err);
	return 0;
}

static int apply_node(struct apply *a, const struct tar_entry *e, struct err *err)
{
	mode_t type = e->type == TAR_FIFO ? S_IFIFO : e->type == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t dev = e->type == TAR_FIFO ? 0 : makedev(e->dev_major, e->dev_minor);
	bool whiteout;
	int k;

	if (a->limits->mode == APPLY_PLAIN)
		return err_set(err, EPROTO, "'%.200s': devices and pipes are not wanted here",
			       a->path);
	if (e->type == TAR_CHAR && dev == 0)
		return err_set(err, EPROTO, "'%.200s': the device 0/0 is reserved for whiteouts",
			       a->path);
	k = make_room(a, &whiteout, err);
	if (k < 0)
		return k;
	if (mknodat(a->parent_fd, a->name, type | (e->mode & 0777), dev) < 0)
		return fail(a, errno, "make node", err);
	return set_attributes_at(a, e, err);
}

/* "dir/.wh..wh..opq": nothing of the lower dir shows. */
static int apply_opaque(struct apply *a, struct err *err)
{
	_cleanup_(closep) int fd = openat(a->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? fail(a, errno, "open", err) : set_opaque(a, fd, err);
}

/*
 * "dir/.wh.name": the lower name does not show. What this layer itself has under that name stays,
 * whichever came first; a file hides the lower one anyhow, a directory has to be opaque.
 */
static int apply_whiteout(struct apply *a, struct err *err)
{
	const char *target = a->name + strlen(APPLY_WHITEOUT);
	_cleanup_(closep) int fd = -EBADF;

	if (*target == '\0' || strcmp(target, ".") == 0 || strcmp(target, "..") == 0)
		return err_set(err, EPROTO, "'%.200s': a whiteout of nothing", a->path);
	if (mknodat(a->parent_fd, target, S_IFCHR, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return fail(a, errno, "make whiteout", err);
	fd = openat(a->parent_fd, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : set_opaque(a, fd, err);
}

static int apply_entry(struct apply *a, const struct tar_entry *e, struct err *err)
{
	int k = apply_clean_path(e->path, a->path, err);

	if (k == 0)
		k = enter_parent(a, err);
	if (k != 0)
		return k < 0 ? k : 0;
	if (hides_something(a)) {
		if (strcmp(a->name, APPLY_WHITEOUT_OPAQUE) == 0)
			return apply_opaque(a, err);
		if (strncmp(a->name, APPLY_WHITEOUT_META, strlen(APPLY_WHITEOUT_META)) == 0)
			return 0; /* book-keeping of aufs */
		return apply_whiteout(a, err);
	}
	switch (e->type) {
	case TAR_FILE:
		return apply_file(a, e, err);
	case TAR_DIRECTORY:
		return apply_directory(a, e, err);
	case TAR_SYMLINK:
		return apply_symlink(a, e, err);
	case TAR_HARDLINK:
		return apply_hardlink(a, e, err);
	default:
		return apply_node(a, e, err);
	}
}

/* Last, because what is written into a directory changes its time. Later entries win. */
static int apply_dir_times(struct apply *a, struct err *err)
{
	const struct buf *b = &a->dir_times;

	for (size_t i = 0; i < b->len;) {
		_cleanup_(closep) int fd = -EBADF;
		struct timespec ts[2];
		const char *path = b->data + i + sizeof(ts[0]);

		memcpy(&ts[0], b->data + i, sizeof(ts[0]));
		ts[1] = ts[0];
		i += sizeof(ts[0]) + strlen(path) + 1;
		fd = open_beneath(a->root_fd, path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0 && futimens(fd, ts) < 0)
			return err_set_errno(err, errno, "'%.200s': set time", path);
	}
	return 0;
}

static int apply_all(struct apply *a, struct err *err)
{
	struct tar_entry e;
	int k;

	while ((k = tar_next(a->tar, &e, err)) == 0) {
		if (++a->result->entries > a->limits->max_entries)
			return err_set(err, EFBIG, "the archive has more than %llu entries",
				       (unsigned long long) a->limits->max_entries);
		k = apply_entry(a, &e, err);
		if (k < 0)
			return k;
	}
	if (k == TAR_E_END)
		k = tar_drain(a->tar, err);
	if (k >= 0)
		k = apply_dir_times(a, err);
	return k < 0 ? k : outline_finish(a->outline, err);
}

int apply_archive(int root_fd, const struct apply_limits *limits, tar_read_fn read, void *userdata,
		  struct apply_result *ret, struct err *err)
{
	_cleanup_(tar_closep) struct tar *tar = NULL;
	struct apply a = { .root_fd = root_fd, .limits = limits, .parent_fd = -EBADF };
	mode_t mask;
	_cleanup_(outline_freep) struct outline *outline = NULL;
	int k = tar_open(read, userdata, &tar, err);

	if (k == 0 && limits->outline_fd > 0)
		k = outline_new(limits->outline_fd, &outline, err);
	if (k < 0)
		return k;
	a.tar = tar;
	a.outline = outline;
	if (outline)
		tar_set_tap(tar, outline_literal, outline);
	a.result = ret;
	*ret = (struct apply_result){};
	mask = umask(0);
	k = apply_all(&a, err);
	(void) umask(mask);
	(void) safe_close(a.parent_fd);
	buf_done(&a.dir_times);
	if (k < 0)
		apply_result_done(ret);
	return k < 0 ? k : 0;
}
