/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree - killing and removing a cgroup directory with all that is below it.
 * libc and fixed buffers only, since ecs-shim uses it too. Nothing here waits for processes to die.
 */
#pragma once

#include <stdbool.h>

/*
 * Sends KILL to every process in and below @dir, by cgroup.kill where the kernel has it, else
 * frozen (if
 * @dir is of the v1 freezer) so that none can fork away. Returns how many were seen (0: none, or no
 * such group), at least 1 where the kernel does not tell, or a negative errno.
 */
int cgroup_tree_kill(const char *dir);

/* Whether a process is in @dir or below it; zombies are none. True when that cannot be told. */
bool cgroup_tree_populated(const char *dir);

/*
 * Removes @dir and the groups below it. Gone is fine. 0 or a
 * negative errno (-EBUSY: processes live there).
 */
int cgroup_tree_remove(const char *dir);

/* The value of @key in a "key value" file such as memory.events; 0 when unreadable or absent. */
long long cgroup_tree_counter(const char *dir, const char *file, const char *key);
