/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/killtree.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/shim/record.h"

enum { DEPTH_MAX = 32, PASSES = 4, PATH_ROOM = 4096 };

static void kill_below(pid_t pid, int depth);

/* The children that one thread of @pid started. */
static void kill_children_of(int tasks, const char *tid, int depth)
{
	char name[64], list[1024], *p = list, *next = NULL;

	(void) snprintf(name, sizeof(name), "%.32s/children", tid);
	ssize_t n = record_read(tasks, name, list, sizeof(list));
	char *last = n == sizeof(list) - 1 ? strrchr(list, ' ') : NULL;

	if (n <= 0)
		return;
	if (last)
		*last = '\0'; /* no half numbers; who is cut off is of the session, too */
	for (long child; (child = strtol(p, &next, 10)) > 1 && next != p; p = next)
		kill_below((pid_t) child, depth + 1);
}

static void kill_below(pid_t pid, int depth)
{
	char path[32], buf[1024] __attribute__((aligned(8)));
	long n;
	int tasks;

	(void) kill(pid, SIGSTOP);
	(void) snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = depth < DEPTH_MAX ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	while (tasks >= 0 && (n = syscall(SYS_getdents64, tasks, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64 *e = (struct dirent64 *) (void *) (buf + at);

			at += e->d_reclen;
			if (isdigit((unsigned char) e->d_name[0]))
				kill_children_of(tasks, e->d_name, depth);
		}
	}
	if (tasks >= 0)
		(void) close(tasks);
	(void) kill(pid, SIGKILL);
}

void killtree_descendants(pid_t pid)
{
	if (pid > 1)
		kill_below(pid, 0);
}

static int kill_members(int fd, pid_t sid)
{
	char buf[1024];
	long pid = 0;
	int seen = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (isdigit((unsigned char) buf[i])) {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 1 && getsid((pid_t) pid) == sid &&
			    kill((pid_t) pid, SIGKILL) == 0)
				seen++;
			pid = 0;
		}
	return seen;
}

void killtree_session(const char *dir, pid_t sid)
{
	char path[PATH_ROOM];

	if (!dir || sid <= 1 || snprintf(path, sizeof(path), "%s/cgroup.procs", dir) >= PATH_ROOM)
		return;
	for (int i = 0, seen = 1; i < PASSES && seen > 0; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		seen = kill_members(fd, sid);
		(void) close(fd);
	}
}
