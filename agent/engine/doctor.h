/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor - finds what is on the host and belongs to no task: what a crash left, and what the
 * collection at the start of the agent could not remove. It judges by the tasks that the engine has,
 * so it works in a running agent and, after engine_load(), without one.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"

struct engine;

/*
 * *ret: {"leftovers": [{"kind": "cgroup", "name": …, "repaired": false, "error": …}], "left": N}.
 * With @repair each is removed (processes are killed), and those that are gone are marked so; "left"
 * counts the others. @error only where that failed. -ENOMEM.
 */
int engine_doctor(struct engine *e, bool repair, json_t **ret, struct err *err);
