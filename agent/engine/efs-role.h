/* SPDX-License-Identifier: Apache-2.0 */
/*
 * efs-role - EFS file systems that are mounted with the credentials of the task's role.
 * amazon-efs-utils is told where they are, not what they are: it asks the agent from the host's own
 * namespace when it mounts, and again as long as the mount lasts.
 */
#pragma once

#include <stdbool.h>

#include "agent/engine/reconcile.h"
#include "agent/engine/task.h"

/* Whether one of its volumes is such a file system. */
bool efs_role_is_used(const struct task *t);

/* What the helper appends to http://169.254.170.2, owned; NULL: @t has no role, or no memory. */
char *efs_role_uri(const struct task *t);

/*
 * false: @action has to wait until the credentials are there. After a restart of the agent they come
 * with the connection to the service; a mount before that would fail.
 */
bool efs_role_lets(struct container *c, enum container_action action);

/* What the helper says may have the id in it, which nobody but the task is to know. */
void efs_role_hide(const struct task *t, char *text);
