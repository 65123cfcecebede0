/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each entry is compared as it comes; what differs is a suspect until the end, since a later entry
 * of the archive may have replaced it. So nothing has to be remembered of entries that are in order.
 */
#include "runtime/unpack/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/buf.h"
#include "runtime/unpack/apply.h"
#include "runtime/unpack/inroot.h"

enum { SUSPECTS_MAX = 10000, WHY_MAX = 200 };

struct suspect {
	char *path, *target; /* owned; target: of a hard link, or NULL */
	char *why;           /* owned */
	bool weak;           /* follows from what another one says better */
};

struct check {
	int root_fd;
	struct suspect *suspects; /* owned */
	size_t n_suspects;

	/* The entry at hand. */
	char path[TAR_PATH_MAX + 1], target[TAR_PATH_MAX + 1];
	const char *name;
	int parent_fd;
	bool followed; /* a parent is a link now, who knows what it was then */
	char why[WHY_MAX];
	bool weak;
};

static bool _printf_(2, 3) differs(struct check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return true;
}

/* ---- suspects ---- */

static bool is_at_or_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/' || n == 0);
}

static void free_suspect(struct suspect *s)
{
	free(s->path);
	free(s->target);
	free(s->why);
}

/* An entry comes at @path: whatever stood there before, and what was below, had to go. */
static void absolve(struct check *c, const char *path, bool is_directory)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_suspects; i++) {
		struct suspect *s = &c->suspects[i];
		bool gone = is_directory ? strcmp(s->path, path) == 0
					 : is_at_or_below(s->path, path) ||
						   (s->target && is_at_or_below(s->target, path));

		if (gone)
			free_suspect(s);
		else
			c->suspects[kept++] = *s;
	}
	c->n_suspects = kept;
}

static int suspect(struct check *c, const char *target, struct err *err)
{
	struct suspect *p;

	if (c->n_suspects == SUSPECTS_MAX)
		return 0; /* that many do not all become good */
	p = realloc(c->suspects, (c->n_suspects + 1) * sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "check layer");
	c->suspects = p;
	p += c->n_suspects++;
	*p = (struct suspect){ strdup(c->path), target ? strdup(target) : NULL, strdup(c->why),
			       c->weak };
	return p->path && p->why && (p->target || !target) ? 0
							   : err_set(err, ENOMEM, "check layer");
}

/* ---- places ---- */

static int open_beneath(const struct check *c, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t) (flags | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int) syscall(SYS_openat2, c->root_fd, *path ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* The directory that @path is in, and its name there. */
static int open_parent(struct check *c, const char *path, const char **ret_name)
{
	char parent[TAR_PATH_MAX + 1];
	const char *slash = strrchr(path, '/');
	int fd;

	*ret_name = slash ? slash + 1 : *path ? path : ".";
	(void) snprintf(parent, sizeof(parent), "%.*s", slash ? (int) (slash - path) : 0, path);
	fd = open_beneath(c, parent, O_PATH | O_DIRECTORY);
	if (fd != -ELOOP)
		return fd;
	c->followed = true;
	return inroot_resolve(c->root_fd, parent, NULL) < 0
		       ? -ELOOP
		       : open_beneath(c, parent, O_PATH | O_DIRECTORY);
}

/* ---- what can differ ---- */

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	default:
		return "a pipe";
	}
}

static mode_t type_of(const struct tar_entry *e)
{
	static const mode_t types[] = {
		[TAR_FILE] = S_IFREG, [TAR_HARDLINK] = S_IFREG, [TAR_SYMLINK] = S_IFLNK,
		[TAR_CHAR] = S_IFCHR, [TAR_BLOCK] = S_IFBLK,    [TAR_DIRECTORY] = S_IFDIR,
		[TAR_FIFO] = S_IFIFO,
	};

	return types[e->type];
}

static const struct tar_xattr *find_xattr(const struct tar_entry *e, const char *name)
{
	for (size_t i = e->n_xattrs; i-- > 0;) /* the last of a name was set last */
		if (strcmp(e->xattrs[i].name, name) == 0)
			return &e->xattrs[i];
	return NULL;
}

static bool xattr_differs(struct check *c, int fd, const struct tar_xattr *x)
{
	char value[TAR_XATTR_VALUE_MAX];
	ssize_t n = fgetxattr(fd, x->name, value, sizeof(value));

	if (n < 0 && errno == ENOTSUP)
		return false; /* the file system has none: it was not set either */
	if (n < 0)
		return differs(c, "the attribute '%.64s' is missing", x->name);
	return ((size_t) n != x->len || memcmp(value, x->value, x->len) != 0) &&
	       differs(c, "the attribute '%.64s' has changed", x->name);
}

/* Access lists may be inherited, so that more of them than in the archive means nothing. */
static bool has_more_xattrs(struct check *c, const struct tar_entry *e, int fd, bool *ret_acl)
{
	char names[TAR_XATTR_VALUE_MAX];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		*ret_acl |= strcmp(p, "system.posix_acl_access") == 0;
		if (apply_takes_xattr(p) && strncmp(p, "system.", 7) != 0 && !find_xattr(e, p))
			return differs(c, "the attribute '%.64s' is new", p);
	}
	return false;
}

static bool xattrs_differ(struct check *c, const struct tar_entry *e, mode_t type, bool *ret_acl)
{
	_cleanup_(closep) int fd = -EBADF;

	if (type != S_IFREG && type != S_IFDIR)
		return false;
	fd = openat(c->parent_fd, c->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return differs(c, "cannot be opened");
	for (size_t i = 0; i < e->n_xattrs; i++)
		if (apply_takes_xattr(e->xattrs[i].name) &&
		    find_xattr(e, e->xattrs[i].name) == &e->xattrs[i] &&
		    xattr_differs(c, fd, &e->xattrs[i]))
			return true;
	return has_more_xattrs(c, e, fd, ret_acl);
}

static bool target_differs(struct check *c, const struct tar_entry *e)
{
	char target[TAR_PATH_MAX + 1];
	ssize_t n = readlinkat(c->parent_fd, c->name, target, sizeof(target));

	return (n < 0 || (size_t) n != strlen(e->link) ||
		memcmp(target, e->link, (size_t) n) != 0) &&
	       differs(c, "leads to '%.*s', not to '%.80s'", (int) MIN(MAX(n, 0), 80), target,
		       e->link);
}

/*
 * Times that not every file system can keep are left out. That of a directory tells that something
 * was added to it or taken away.
 */
static bool time_differs(struct check *c, const struct tar_entry *e, const struct stat *st)
{
	c->weak = S_ISDIR(st->st_mode);
	return c->path[0] && e->mtime.tv_sec >= 0 && e->mtime.tv_sec <= INT32_MAX &&
	       e->mtime.tv_sec != st->st_mtim.tv_sec &&
	       differs(c, "was changed at %lld, not at %lld", (long long) st->st_mtim.tv_sec,
		       (long long) e->mtime.tv_sec);
}

static bool entry_differs(struct check *c, const struct tar_entry *e)
{
	mode_t type = type_of(e), mask = 07777;
	struct stat st;
	bool acl = false;

	if (c->parent_fd < 0 || fstatat(c->parent_fd, c->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return differs(c, "is missing");
	if ((st.st_mode & S_IFMT) != type)
		return differs(c, "is %s, not %s", type_name(st.st_mode), type_name(type));
	if (type == S_IFREG && st.st_size != e->size)
		return differs(c, "has %lld bytes, not %lld", (long long) st.st_size,
			       (long long) e->size);
	if ((type == S_IFCHR || type == S_IFBLK) &&
	    st.st_rdev != makedev(e->dev_major, e->dev_minor))
		return differs(c, "is another device");
	if (st.st_uid != e->uid || st.st_gid != e->gid)
		return differs(c, "belongs to %u:%u, not to %u:%u", st.st_uid, st.st_gid, e->uid,
			       e->gid);
	if (xattrs_differ(c, e, type, &acl) || (type == S_IFLNK && target_differs(c, e)))
		return true;
	/* with an access list the group's bits are its mask; a link has none, a node no set-id ones */
	mask = type == S_IFLNK ? 0 : type == S_IFREG || type == S_IFDIR ? mask : 0777;
	mask &= acl ? ~(mode_t) 070 : ~(mode_t) 0;
	if ((st.st_mode & mask) != (e->mode & mask))
		return differs(c, "has the mode %04o, not %04o", (unsigned int) st.st_mode & 07777,
			       (unsigned int) e->mode);
	return time_differs(c, e, &st);
}

static bool hardlink_differs(struct check *c)
{
	_cleanup_(closep) int fd = -EBADF;
	struct stat here, there;
	const char *name;

	if (c->parent_fd < 0 || fstatat(c->parent_fd, c->name, &here, AT_SYMLINK_NOFOLLOW) < 0)
		return differs(c, "is missing");
	fd = open_parent(c, c->target, &name);
	return (fd < 0 || fstatat(fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
		here.st_dev != there.st_dev || here.st_ino != there.st_ino) &&
	       differs(c, "is no longer the same file as '%.80s'", c->target);
}

static bool is_opaque(int parent_fd, const char *name)
{
	_cleanup_(closep) int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char value[8];

	return fd >= 0 && fgetxattr(fd, APPLY_OPAQUE_XATTR, value, sizeof(value)) == 1 &&
	       value[0] == 'y';
}

/* The name is that of what is hidden; "." with the marker of a whole directory. */
static bool whiteout_differs(struct check *c, bool opaque)
{
	struct stat st = {};

	if (c->parent_fd < 0 ||
	    (!opaque && fstatat(c->parent_fd, c->name, &st, AT_SYMLINK_NOFOLLOW) < 0))
		return differs(c, "is hidden no longer");
	if (opaque || S_ISDIR(st.st_mode))
		return !is_opaque(c->parent_fd, c->name) &&
		       differs(c, "shows what is below it again");
	return false;
}

/* ---- the archive ---- */

/* Rewrites the path to what it hides. Returns whether it is a whiteout; *ret_skip: of no meaning. */
static bool take_whiteout(struct check *c, bool *ret_opaque, bool *ret_skip)
{
	char *name = strrchr(c->path, '/');

	name = name ? name + 1 : c->path;
	*ret_skip = *ret_opaque = false;
	if (strncmp(name, APPLY_WHITEOUT, strlen(APPLY_WHITEOUT)) != 0)
		return false;
	*ret_opaque = strcmp(name, APPLY_WHITEOUT_OPAQUE) == 0;
	*ret_skip = !*ret_opaque &&
		    strncmp(name, APPLY_WHITEOUT_META, strlen(APPLY_WHITEOUT_META)) == 0;
	if (*ret_opaque)
		name[name > c->path ? -1 : 0] = '\0';
	else
		memmove(name, name + strlen(APPLY_WHITEOUT),
			strlen(name + strlen(APPLY_WHITEOUT)) + 1);
	return true;
}

static int check_entry(struct check *c, const struct tar_entry *e, struct err *err)
{
	bool opaque, skip, whiteout, bad;
	int k = apply_clean_path(e->path, c->path, err);

	if (k == 0 && e->type == TAR_HARDLINK)
		k = apply_clean_path(e->link, c->target, err);
	if (k < 0)
		return k;
	whiteout = take_whiteout(c, &opaque, &skip);
	if (skip)
		return 0;
	if (!whiteout)
		absolve(c, c->path, e->type == TAR_DIRECTORY);
	c->followed = c->weak = false;
	(void) safe_close(c->parent_fd);
	c->parent_fd = open_parent(c, c->path, &c->name);
	bad = whiteout                  ? whiteout_differs(c, opaque)
	      : e->type == TAR_HARDLINK ? hardlink_differs(c)
					: entry_differs(c, e);
	/* a whiteout beneath what is no directory hides nothing */
	if (!bad || c->followed || (whiteout && c->parent_fd == -ENOTDIR))
		return 0;
	return suspect(c, e->type == TAR_HARDLINK ? c->target : NULL, err);
}

static int report(const struct check *c, struct err *err)
{
	const struct suspect *s = c->suspects;

	if (c->n_suspects == 0)
		return 0;
	for (size_t i = 0; s->weak && i < c->n_suspects; i++)
		if (!c->suspects[i].weak)
			s = &c->suspects[i];
	return err_set(err, EBADMSG, "'%.200s' %s", s->path[0] ? s->path : "/", s->why);
}

int check_archive(int root_fd, tar_read_fn read, void *userdata, struct err *err)
{
	struct check c = { .root_fd = root_fd, .parent_fd = -EBADF };
	_cleanup_(tar_closep) struct tar *tar = NULL;
	struct tar_entry e;
	int k = tar_open(read, userdata, &tar, err);

	while (k == 0) {
		k = tar_next(tar, &e, err);
		if (k == 0)
			k = check_entry(&c, &e, err);
	}
	if (k == TAR_E_END)
		k = report(&c, err);
	for (size_t i = 0; i < c.n_suspects; i++)
		free_suspect(&c.suspects[i]);
	free(c.suspects);
	(void) safe_close(c.parent_fd);
	return k;
}
