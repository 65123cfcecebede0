/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasks-json - tasks and containers as the control socket shows them. What is unknown is left out.
 * Environments and commands are not part of it: they may hold secrets.
 */
#pragma once

#include "agent/http/view.h"

/* New references. */
json_t *task_to_json(const struct agent_view *v, const struct task *t);
/* [{DockerName, Source, Destination}] as the reference agent's services show them. */
json_t *task_volumes_json(const struct agent_view *v, const struct container *c);
/* NULL: no sample of the container yet. */
json_t *container_stats_to_json(const struct agent_view *v, const struct container *c);
