/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn - starts a child process that inherits nothing it was not given.
 * The child gets default signals, an empty mask, descriptors 0..2 and the ones listed, and nothing
 * else (everything above is closed before exec). The parent gets a pidfd for its event loop.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

struct spawn_fd {
	int fd;       /* ours; stays the caller's */
	int child_fd; /* its number in the child, 0.. */
};

struct spawn_params {
	const char *path;           /* absolute, or searched on PATH when it has no '/' */
	char *const *argv;          /* NULL-terminated */
	char *const *env;           /* NULL: ours */
	const char *cwd;            /* NULL: ours */
	const struct spawn_fd *fds; /* descriptors 0..2 default to /dev/null */
	size_t n_fds;
	bool new_session;  /* setsid(): out of reach of our terminal's signals */
	bool ends_with_us; /* the child calls spawn_end_with_parent() and is told who that is */
};

/*
 * Returns 0 with pid and pidfd (close it; wait with
 * waitid(P_PIDFD)), or a negative errno with @err set.
 */
int spawn(const struct spawn_params *p, pid_t *ret_pid, int *ret_pidfd, struct err *err);

/*
 * In a child that was started with ends_with_us: @sig comes when the parent ends; when it has ended
 * already, so does the child, here. For others nothing changes.
 */
void spawn_end_with_parent(int sig);

/*
 * Reaps a child of ours whose pidfd turned readable.
 * Returns its exit code, 128+n when signal n ended it, or a negative errno (-EAGAIN: still
 * running).
 */
int spawn_reap(int pidfd);

/*
 * Runs to the end, discarding output, and returns as
 * spawn_reap(). Blocks: for tests and command line tools.
 */
int spawn_wait(char *const *argv, struct err *err);
