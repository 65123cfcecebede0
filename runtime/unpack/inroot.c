/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { LINKS_MAX = 40 /* as the kernel has it */ };

/* The target of @path when that is a link whose parents are none; else a negative errno. */
static ssize_t read_link(int root_fd, const char *path, char *target, size_t len)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve =
					RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
	_cleanup_(closep) int fd = (int) syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, len);

	return n < 0 ? -errno : n;
}

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');

	*(slash ? slash : path) = '\0';
}

/* Puts @target before the @rest of the path. Returns false when that is too long. */
static bool prepend(char todo[TAR_PATH_MAX + 1], const char *target, size_t len, const char *rest)
{
	size_t tail = strlen(rest);

	if (len + 1 + tail > TAR_PATH_MAX)
		return false;
	memmove(todo + len + 1, rest, tail + 1);
	memcpy(todo, target, len);
	todo[len] = '/';
	return true;
}

int inroot_resolve(int root_fd, char path[TAR_PATH_MAX + 1], struct err *err)
{
	char todo[TAR_PATH_MAX + 1], done[TAR_PATH_MAX + 2] = "", target[TAR_PATH_MAX + 1];
	int links = 0;

	(void) snprintf(todo, sizeof(todo), "%s", path);
	for (char *p = todo; *p;) {
		size_t len = strcspn(p, "/"), at = strlen(done);
		ssize_t n;

		if (len == 2 && p[0] == '.' && p[1] == '.') {
			drop_last(done);
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (at + 1 + len > TAR_PATH_MAX)
				return err_set(err, EPROTO, "'%.200s': leads too far", path);
			(void) snprintf(done + at, sizeof(done) - at, "%s%.*s", at ? "/" : "",
					(int) len, p);
			n = read_link(root_fd, done, target, sizeof(target));
			if (n >= 0) {
				drop_last(done);
				if (target[0] == '/')
					done[0] = '\0';
				if (++links > LINKS_MAX || n > TAR_PATH_MAX ||
				    !prepend(todo, target, (size_t) n, p + len))
					return err_set(err, EPROTO,
						       "'%.200s': too many symbolic links, or too "
						       "long ones",
						       path);
				p = todo;
				continue;
			}
		}
		p += len;
		p += *p == '/';
	}
	(void) snprintf(path, TAR_PATH_MAX + 1, "%s", done);
	return 0;
}
