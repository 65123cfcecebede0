/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

int fs_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len,
		 struct err *err)
{
	_cleanup_(closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *data = NULL;
	size_t len = 0, cap = 0;

	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", path);
	for (;;) {
		ssize_t n;

		if (len + 1 >= cap) {
			char *p = realloc(data, cap = cap ? cap * 2 : 4096);

			if (!p)
				return err_set(err, ENOMEM, "read '%s': out of memory", path);
			data = p;
		}
		n = read(fd, data + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, errno, "read '%s'", path);
		if (n == 0)
			break;
		len += (size_t) n;
		if (len > max)
			return err_set(err, EFBIG, "'%s' is larger than %zu bytes", path, max);
	}
	data[len] = '\0';
	*ret = TAKE_PTR(data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int fs_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t) n;
	}
	return 0;
}

static int sync_parent(int dirfd, const char *path)
{
	_cleanup_(freep) char *dir = strdup(path);
	_cleanup_(closep) int fd = -EBADF;
	char *slash;

	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (slash)
		*(slash == dir ? slash + 1 : slash) = '\0';
	fd = openat(dirfd, slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_renamed(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
			 int sync, struct err *err)
{
	_cleanup_(freep) char *tmp = path_join("%s.tmp-%d", path, (int) getpid());
	_cleanup_(closep) int fd = -EBADF;
	int k;

	if (!tmp)
		return err_set(err, ENOMEM, "write '%s'", path);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set_errno(err, errno, "create '%s'", tmp);
	k = fs_write_all(fd, data, len);
	if (k == 0 && fchmod(fd, mode) < 0)
		k = -errno;
	if (k == 0 && sync && fsync(fd) < 0)
		k = -errno;
	if (k == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		k = -errno;
	if (k < 0) {
		(void) unlinkat(dirfd, tmp, 0);
		return err_set_errno(err, -k, "write '%s'", path);
	}
	if (sync)
		k = sync_parent(dirfd, path);
	return k < 0 ? err_set_errno(err, -k, "sync the directory of '%s'", path) : 0;
}

int fs_write_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
		  struct err *err)
{
	return write_renamed(dirfd, path, data, len, mode, 1, err);
}

int fs_write_file_volatile(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
			   struct err *err)
{
	return write_renamed(dirfd, path, data, len, mode, 0, err);
}

int fs_mkdir_p(const char *path, mode_t mode, struct err *err)
{
	_cleanup_(freep) char *p = strdup(path);

	if (!p)
		return err_set(err, ENOMEM, "make directory '%s'", path);
	for (char *s = p + 1;; s++) {
		char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "make directory '%s'", p);
		if (c == '\0')
			return 0;
		*s = c;
	}
}

static int remove_entries(int fd, dev_t dev, struct err *err);

static int remove_entry(int dirfd, const char *name, dev_t dev, struct err *err)
{
	_cleanup_(closep) int fd = -EBADF;
	struct stat st;
	int k;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_set_errno(err, errno, "remove '%s'", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "open '%s'", name);
	if (st.st_dev != dev)
		return err_set(err, EXDEV, "'%s' is a mount point", name);
	k = remove_entries(fd, dev, err);
	if (k < 0)
		return err_wrap(err, "%s", name);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove '%s'", name);
	return 0;
}

static int remove_entries(int fd, dev_t dev, struct err *err)
{
	_cleanup_(closedirp) DIR *d = NULL;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), k = 0;
	struct dirent *e;

	if (copy < 0)
		return err_set_errno(err, errno, "duplicate descriptor");
	d = fdopendir(copy);
	if (!d) {
		(void) close(copy);
		return err_set_errno(err, errno, "read directory");
	}
	while (k == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			k = remove_entry(fd, e->d_name, dev, err);
	return k;
}

int fs_remove_tree(int dirfd, const char *path, struct err *err)
{
	struct stat st;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "look at '%s'", path);
	return remove_entry(dirfd, path, st.st_dev, err);
}

int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode, struct err *err)
{
	struct open_how how = {
		.flags = (uint64_t) (flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do
		fd = (int) syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	while (fd < 0 &&
	       (errno == EAGAIN || errno == EINTR)); /* EAGAIN: a rename raced the lookup */
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", path);
	return fd;
}

char *path_join(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}
