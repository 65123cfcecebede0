/* SPDX-License-Identifier: Apache-2.0 */
#include "common/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

extern char **environ;

static int is_given(const struct spawn_params *p, int child_fd)
{
	for (size_t i = 0; i < p->n_fds; i++)
		if (p->fds[i].child_fd == child_fd)
			return 1;
	return 0;
}

/*
 * dup2() of one pair must not overwrite the source of a later one, so sources are first moved above
 * every target. They are ours, hence close-on-exec, and addclosefrom() covers the rest.
 */
static int add_fds(posix_spawn_file_actions_t *a, const struct spawn_params *p, int *moved)
{
	int top = 2, k = 0;

	for (size_t i = 0; i < p->n_fds; i++)
		top = MAX(top, p->fds[i].child_fd);
	for (size_t i = 0; i < p->n_fds; i++) {
		moved[i] = fcntl(p->fds[i].fd, F_DUPFD_CLOEXEC, top + 1);
		if (moved[i] < 0)
			return errno;
		k = k ? k : posix_spawn_file_actions_adddup2(a, moved[i], p->fds[i].child_fd);
	}
	for (int fd = 0; fd <= 2 && k == 0; fd++)
		if (!is_given(p, fd))
			k = posix_spawn_file_actions_addopen(a, fd, "/dev/null", O_RDWR, 0);
	for (int fd = 3; fd <= top && k == 0; fd++)
		if (!is_given(p, fd) && fcntl(fd, F_GETFD) >= 0)
			k = posix_spawn_file_actions_addclose(a, fd);
	return k ? k : posix_spawn_file_actions_addclosefrom_np(a, top + 1);
}

static int add_attributes(posix_spawnattr_t *attr, bool new_session)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
		      (new_session ? POSIX_SPAWN_SETSID : 0);
	sigset_t none, all;
	int k;

	(void) sigemptyset(&none);
	(void) sigfillset(&all);
	k = posix_spawnattr_setflags(attr, flags);
	k = k ? k : posix_spawnattr_setsigmask(attr, &none);
	return k ? k : posix_spawnattr_setsigdefault(attr, &all);
}

#define PARENT "SPAWN_PARENT"

/* The environment for the child: those of @env, and who its parent is. */
static char **env_with_parent(char *const *env, char *parent)
{
	size_t n = 0;
	char **ret;

	while (env[n])
		n++;
	ret = calloc(n + 2, sizeof(*ret));
	if (!ret)
		return NULL;
	memcpy(ret, env, n * sizeof(*ret));
	ret[n] = parent;
	return ret;
}

void spawn_end_with_parent(int sig)
{
	const char *parent = getenv(PARENT);

	if (!parent)
		return;
	(void) prctl(PR_SET_PDEATHSIG, sig);
	if (getppid() != (pid_t) strtol(parent, NULL, 10)) /* it ended before that */
		_exit(EXIT_FAILURE);
	(void) unsetenv(PARENT);
}

static int start(const struct spawn_params *p, int *moved, pid_t *ret_pid)
{
	_cleanup_(freep) char **env = NULL;
	char *const *given = p->env ? p->env : environ;
	char parent[sizeof(PARENT) + 16];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int k;

	(void) snprintf(parent, sizeof(parent), PARENT "=%d", (int) getpid());
	k = posix_spawn_file_actions_init(&actions);
	if (k)
		return k;
	k = posix_spawnattr_init(&attr);
	if (k) {
		(void) posix_spawn_file_actions_destroy(&actions);
		return k;
	}
	k = add_fds(&actions, p, moved);
	k = k ? k : add_attributes(&attr, p->new_session);
	if (k == 0 && p->cwd)
		k = posix_spawn_file_actions_addchdir_np(&actions, p->cwd);
	if (k == 0 && p->ends_with_us && !(env = env_with_parent(given, parent)))
		k = ENOMEM;
	if (k == 0)
		k = posix_spawnp(ret_pid, p->path, &actions, &attr, p->argv, env ? env : given);
	(void) posix_spawnattr_destroy(&attr);
	(void) posix_spawn_file_actions_destroy(&actions);
	return k;
}

int spawn(const struct spawn_params *p, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	int moved[16], k, fd;
	pid_t pid = 0;

	if (p->n_fds > ARRAY_SIZE(moved))
		return err_set(err, E2BIG, "spawn '%s': too many descriptors", p->path);
	memset(moved, 0xff, sizeof(moved));
	k = start(p, moved, &pid);
	for (size_t i = 0; i < p->n_fds; i++)
		moved[i] = safe_close(moved[i]);
	if (k)
		return err_set_errno(err, k, "spawn '%s'", p->path);
	fd = pidfd_open(pid,
			0); /* ours and not reaped yet, so the number cannot have been reused */
	if (fd < 0) {
		k = errno;
		(void) kill(pid, SIGKILL);
		(void) waitpid(pid, NULL, 0);
		return err_set_errno(err, k, "open pidfd of '%s'", p->path);
	}
	if (ret_pid)
		*ret_pid = pid;
	*ret_pidfd = fd;
	return 0;
}

int spawn_reap(int pidfd)
{
	siginfo_t si = {};

	if (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED | WNOHANG) < 0)
		return -errno;
	if (si.si_pid == 0)
		return -EAGAIN;
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

int spawn_wait(char *const *argv, struct err *err)
{
	_cleanup_(closep) int pidfd = -EBADF;
	siginfo_t si = {};
	int k = spawn(&(struct spawn_params){ .path = argv[0], .argv = argv }, NULL, &pidfd, err);

	if (k < 0)
		return k;
	do
		k = waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return err_set_errno(err, errno, "wait for '%s'", argv[0]);
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}
