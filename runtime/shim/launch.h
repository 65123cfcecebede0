/* SPDX-License-Identifier: Apache-2.0 */
/* launch - starting runc for one container, and what is left to do when it came to nothing. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "runtime/shim/args.h"

struct launch {
	pid_t pid;    /* of runc; 0: not running */
	int out, err; /* our ends of the container's output; -1: none. A pty's master is `out`. */
	int in;       /* kept open so that an open stdin does not end; -1: none */
	int console;  /* socket on which runc hands over the pty; -1: none */
};

/* Forks and executes `runc run --detach`. 0, or -errno with nothing left behind. */
int launch_start(const struct shim_args *a, int run_dir_fd, struct launch *ret);

/*
 * Runs the runtime with @argv as a child that does not hurry: the probes' way. @fds: its 0, 1, 2.
 * Its process id or -errno.
 */
pid_t launch_probe(const struct shim_args *a, char *const *argv, const int fds[3]);

/*
 * A move of a process to another cgroup waits for a grace period of RCU, some 10 ms, when there was none
 * shortly before, and so would runc's. One to where we are already lets it pass while runc is starting.
 * Blocks for as long; what fails is of no matter.
 */
void launch_hasten_migration(void);

/* Takes the pty from a runc that has ended well. 0 or -errno. */
int launch_take_console(struct launch *l);

/* Why runc failed, into @ret: its log, else the last line of its stderr, else its status. */
void launch_explain(const struct launch *l, int run_dir_fd, int status, char *ret, size_t size);

/* Runs `runc delete --force` and waits for it, at most ten seconds. */
void launch_delete(const struct shim_args *a);

/* Kills what a failed start left as our children, and reaps it. */
void launch_reap_leftovers(void);
