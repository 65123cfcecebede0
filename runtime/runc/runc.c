/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/runc/runc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/spawn.h"

enum { FLOOR_MAJOR = 1, FLOOR_MINOR = 1, FLOOR_PATCH = 5, ANSWER_MS = 5000 };

static const char search_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static int search(const char *name, char **ret_path)
{
	const char *path = getenv("PATH");

	for (const char *p = path && *path ? path : search_path; *p; p += *p == ':') {
		size_t len = strcspn(p, ":");
		_cleanup_(freep) char *full = path_join("%.*s/%s", (int) len, p, name);

		if (!full)
			return -ENOMEM;
		if (*full == '/' && access(full, X_OK) == 0) {
			*ret_path = TAKE_PTR(full);
			return 0;
		}
		p += len;
	}
	return -ENOENT;
}

int runc_find(const char *path, char **ret_path, struct err *err)
{
	const char *name = path ? path : "runc";
	int k = -ENOENT;

	if (!strchr(name, '/')) {
		k = search(name, ret_path);
	} else if (*name == '/' && access(name, X_OK) == 0) {
		*ret_path = strdup(name);
		k = *ret_path ? 0 : -ENOMEM;
	}
	return k < 0 ? err_set(err, -k, "the container runtime '%s' was not found", name) : 0;
}

/* Reads until the end, but at most ANSWER_MS: a runtime that hangs must not hang us. */
static ssize_t read_answer(int fd, char *buf, size_t size)
{
	int64_t by = clock_mono_ms() + ANSWER_MS;
	size_t len = 0;

	while (len + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = by - clock_mono_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int) left) == 0)
			return -ETIMEDOUT;
		n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t) n;
	}
	buf[len] = '\0';
	return (ssize_t) len;
}

static int ask_version(const char *path, char *answer, size_t size, struct err *err)
{
	char *argv[] = { (char *) path, (char *) "--version", NULL };
	_cleanup_(closep) int out = -EBADF, theirs = -EBADF, pidfd = -EBADF;
	siginfo_t si = {};
	ssize_t n;
	int p[2], k;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "make a pipe");
	out = p[0];
	theirs = p[1];
	k = spawn(&(struct spawn_params){ .path = path,
					  .argv = argv,
					  .fds = &(struct spawn_fd){ theirs, 1 },
					  .n_fds = 1 },
		  NULL, &pidfd, err);
	if (k < 0)
		return k;
	theirs = safe_close(theirs);
	n = read_answer(out, answer, size);
	if (n < 0)
		(void) pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	if (n < 0)
		return err_set_errno(err, (int) -n, "'%s --version'", path);
	if (si.si_code != CLD_EXITED || si.si_status != 0)
		return err_set(err, ENOTSUP, "'%s --version' failed", path);
	return 0;
}

static int check_floor(const char *answer, char version[RUNC_VERSION_MAX], struct err *err)
{
	char name[16] = "";
	int major = 0, minor = 0, patch = 0;

	if (sscanf(answer, "%15s version %63s", name, version) != 2)
		return err_set(err, ENOTSUP, "the container runtime does not tell its version");
	if (strcmp(name, "crun") == 0)
		return 0;
	if (strcmp(name, "runc") != 0)
		return err_set(err, ENOTSUP, "the container runtime '%s' is not known", name);
	if (sscanf(version, "%d.%d.%d", &major, &minor, &patch) < 2)
		return err_set(err, ENOTSUP, "runc version '%s' cannot be read", version);
	if (major != FLOOR_MAJOR   ? major > FLOOR_MAJOR
	    : minor != FLOOR_MINOR ? minor > FLOOR_MINOR
				   : patch >= FLOOR_PATCH)
		return 0;
	return err_set(err, ENOTSUP, "runc %s is older than %d.%d.%d: containers could leave it",
		       version, FLOOR_MAJOR, FLOOR_MINOR, FLOOR_PATCH);
}

int runc_check(const char *path, char version[RUNC_VERSION_MAX], struct err *err)
{
	_cleanup_(freep) char *full = NULL;
	char answer[1024];
	int k = runc_find(path, &full, err);

	if (k == 0)
		k = ask_version(full, answer, sizeof(answer), err);
	return k == 0 ? check_floor(answer, version, err) : k;
}

int runc_forget(const char *root, const char *id, struct err *err)
{
	_cleanup_(closep) int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int k;

	if (!*id || *id == '.' || strchr(id, '/'))
		return err_set(err, EINVAL, "'%s' is no container id", id);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "open '%s'", root);
	k = fs_remove_tree(fd, id, err);
	return k < 0 ? err_wrap(err, "forget container '%s'", id) : 0;
}
