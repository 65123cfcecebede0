/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delegate - a part of systemd's tree that is ours.
 * On v2 all share one tree, and where systemd runs it is systemd's: it takes controllers away at the
 * root as its own units need them, and nobody but the owner of a delegated unit may make groups
 * (systemd.resource-control(5), Delegate=). Slices cannot be delegated; scopes and services end with
 * their last process, even RemainAfterExit= ones lose their group then. So the unit is a transient
 * service with a process that only sleeps, in the group "keeper" of it. It outlives the agent;
 * stopping it ends all tasks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* Whether systemd manages this machine. */
bool delegate_wanted(void);

/*
 * The unit to start for @parent: "ecs-tasks.service" for "/ecs" and for "/ecs/b". In
 * "/x.slice/y.service/ecs" the administrator has one for it already: then *ret_unit is NULL and
 * *ret_given how much of @parent is said unit. @parent starts with '/'. Owned. -EINVAL: no unit can
 * be called so.
 */
int delegate_unit(const char *parent, char **ret_unit, size_t *ret_given, struct err *err);

/*
 * Starts @unit unless it is active; @ret_group: its group below @root, "/ecs-tasks.service", owned;
 * there are no processes in it itself. A unit file of that name is honoured as long as it delegates.
 * Blocks, for milliseconds as a rule and some seconds at most.
 */
int delegate_start(const char *root, const char *unit, char **ret_group, struct err *err);
