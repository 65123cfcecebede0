/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DEPTH_MAX = 16, KILL_PASSES = 4 };

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int write_file(int dirfd, const char *name, const char *value)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC), k = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		k = -errno;
	(void) close(fd);
	return k;
}

/*
 * Calls @fn for each subdirectory; the buffer is on the
 * stack because opendir() allocates 32 KiB.
 */
static int for_each_child(int dirfd, int (*fn)(int dirfd, const char *name, int depth), int depth)
{
	char buf[2048] __attribute__((aligned(8)));
	long n;
	int total = 0;

	if (depth >= DEPTH_MAX)
		return -ELOOP;
	(void) lseek(dirfd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, dirfd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *) (void *) (buf + at);
			int k;

			at += e->d_reclen;
			if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 ||
			    strcmp(e->d_name, "..") == 0)
				continue;
			k = fn(dirfd, e->d_name, depth + 1);
			if (k < 0)
				return k;
			total += k;
		}
	}
	return total;
}

static int kill_listed(int dirfd)
{
	int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC), seen = 0;
	long pid = 0;
	char buf[1024];
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (isdigit((unsigned char) buf[i])) {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 1 && kill((pid_t) pid, SIGKILL) == 0)
				seen++;
			pid = 0;
		}
	}
	(void) close(fd);
	return seen;
}

static int kill_below(int at, const char *name, int depth)
{
	int fd = open_dir(at, name), seen, k;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	seen = kill_listed(fd);
	k = seen < 0 ? seen : for_each_child(fd, kill_below, depth);
	(void) close(fd);
	return k < 0 ? k : seen + k;
}

int cgroup_tree_kill(const char *dir)
{
	int fd = open_dir(AT_FDCWD, dir), seen = 0, most = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (write_file(fd, "cgroup.kill", "1") == 0) {
		(void) close(fd);
		return 1;
	}
	(void) write_file(fd, "freezer.state", "FROZEN");
	for (int pass = 0; pass < KILL_PASSES; pass++) {
		seen = kill_below(fd, ".", 0);
		if (seen <= most) /* nobody was born since the last look */
			break;
		most = seen;
	}
	(void) write_file(fd, "freezer.state", "THAWED");
	(void) close(fd);
	return seen < 0 ? seen : most;
}

static int populated_below(int at, const char *name, int depth)
{
	int fd = open_dir(at, name), procs, k = 0;
	char byte;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	if (procs < 0)
		k = errno == ENOENT ? 0 : -errno;
	else
		k = read(procs, &byte, 1) == 1;
	if (procs >= 0)
		(void) close(procs);
	if (k == 0)
		k = for_each_child(fd, populated_below, depth);
	(void) close(fd);
	return k;
}

bool cgroup_tree_populated(const char *dir)
{
	return populated_below(AT_FDCWD, dir, 0) != 0;
}

static int remove_below(int at, const char *name, int depth)
{
	int fd, k;

	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	fd = open_dir(at, name);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	k = for_each_child(fd, remove_below, depth);
	(void) close(fd);
	if (k < 0)
		return k;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_tree_remove(const char *dir)
{
	return remove_below(AT_FDCWD, dir, 0);
}

long long cgroup_tree_counter(const char *dir, const char *file, const char *key)
{
	size_t key_len = strlen(key);
	char buf[1024];
	ssize_t n = -1;
	int at = open_dir(AT_FDCWD, dir), fd;

	if (at < 0)
		return 0;
	fd = openat(at, file, O_RDONLY | O_CLOEXEC);
	(void) close(at);
	if (fd >= 0) {
		n = read(fd, buf, sizeof(buf) - 1);
		(void) close(fd);
	}
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	for (char *line = buf; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ')
			return strtoll(line + key_len + 1, NULL, 10);
	}
	return 0;
}
