/* SPDX-License-Identifier: Apache-2.0 */
/* describe - tasks and containers as task metadata shows them: versions 2 and 3 alike, and 4. */
#pragma once

#include <jansson.h>

#include "agent/engine/task.h"
#include "agent/http/view.h"

/* New objects; NULL when out of memory. */
json_t *describe_container(const struct agent_view *v, const struct container *c, bool v4);
json_t *describe_task(const struct agent_view *v, const struct task *t, bool v4);
