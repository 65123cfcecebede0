/* SPDX-License-Identifier: Apache-2.0 */
/*
 * teardown - ending what is left of a container: its
 * processes, its cgroups, the runtime's state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/shim/args.h"

/* KILL to every process in the container's cgroup. 0, or -ENOENT when the cgroup is not known. */
int teardown_kill(const struct shim_args *a);

/* How often the OOM killer struck in the container's cgroup so far. */
int64_t teardown_oom_kills(const struct shim_args *a);

/*
 * Removes cgroups and state of a container whose processes are gone, where the runtime is runc: its own
 * `delete` costs more processor time than the rest of a short task. False when something is left, such as
 * a process that was killed and has not gone yet.
 */
bool teardown_try(const struct shim_args *a);

/* What teardown_try() left: waits a little for the last processes, then asks the runtime. */
void teardown_remove(const struct shim_args *a);
