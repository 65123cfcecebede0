/* SPDX-License-Identifier: Apache-2.0 */
/* killtree - ending a process with all that descends from it. No allocation. */
#pragma once

#include <sys/types.h>

/* KILL to @pid, a child of ours that was not reaped, and its descendants: each is stopped before
 * its children are looked at, so none is born unseen. */
void killtree_descendants(pid_t pid);

/*
 * KILL to all of session @sid among the processes of the cgroup directory @dir: those whose parents
 * ended before. NULL is fine.
 */
void killtree_session(const char *dir, pid_t sid);
