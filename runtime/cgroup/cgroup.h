/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - the task's control group and the paths below it, on v1, hybrid and v2.
 * v1 and hybrid: <parent>/<task> in every hierarchy. v2: the same below the unified mount. The
 * container's own group, <parent>/<task>/<container>, is made by runc. Limits are read back.
 * On v1 groups are made for cpu, memory and pids, which have limits; runc makes the others when it
 * needs them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum cgroup_mode { CGROUP_V1, CGROUP_V2 }; /* hybrid counts as v1: the controllers are there */

struct cgroup_limits {
	int64_t cpu_quota_usec; /* 0: none */
	int64_t cpu_period_usec;
	int64_t cpu_shares;   /* 0: default */
	int64_t memory_bytes; /* 0: none */
	int64_t memory_reservation_bytes;
	int64_t memory_swap_bytes; /* with the memory; 0: none, or it is not looked at */
	int64_t pids;         /* 0: none */
};

/*
 * Once per process: finds the mode and makes @parent ("/ecs"). (cgroup_init() is libcgroup's own.)
 * @root is "/sys/fs/cgroup" but for tests. On v2 under systemd the parent is made in a unit that
 * systemd delegates ("/ecs-tasks.service/ecs"; runtime/cgroup/delegate.h): see cgroup_parent().
 */
int cgroup_setup(const char *root, const char *parent, struct err *err);
const char *cgroup_parent(void); /* where it really is, after cgroup_setup() */
enum cgroup_mode cgroup_mode(void);

/*
 * Makes or takes over <parent>/<task> and sets the limits.
 * *ret_path: what runc takes as parent, owned.
 */
int cgroup_task_create(const char *task, const struct cgroup_limits *limits, char **ret_path,
		       struct err *err);

/*
 * Whether @limits stand in the group @path ("/ecs/task/container"), whoever wrote them; those that are
 * 0 are not looked at. -EIO when one differs: @err tells which. Any other error: it cannot be told.
 */
int cgroup_read_back(const char *path, const struct cgroup_limits *limits, struct err *err);

/*
 * Removes the task's group and what is left below it; gone
 * is fine. -EBUSY while a process lives in it.
 */
int cgroup_task_remove(const char *task, struct err *err);

/* Sends SIGKILL to every process at and below @path ("/ecs/task/container"); none is fine. */
int cgroup_kill(const char *path, struct err *err);

/* Names of the task groups that exist below the parent; strv, owned. */
int cgroup_list_tasks(char ***ret, struct err *err);

/* The directory that holds @controller's files of group @path ("memory", "cpuacct", …); owned. */
char *cgroup_controller_dir(const char *controller, const char *path);
