/* SPDX-License-Identifier: Apache-2.0 */
/* endpoints - the environment that tells a container where the agent's task server is. */
#pragma once

#include "agent/engine/task.h"

/*
 * Appends to @env, a vector of KEY=value with everything else already in it; what is there under
 * the same key is replaced, but for the region, which a task may set. Returns 0 or -ENOMEM.
 */
int endpoints_add(const struct container *c, const char *region, char ***env);
