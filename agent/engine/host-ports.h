/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host-ports - the ports of the host that a container in bridge mode publishes. They are held before
 * anything of it is made, so a conflict is known before the pull. One whose dynamic ports are all
 * free but rest (net.h) waits for them; a fixed port that somebody has fails it, as in Docker.
 */
#pragma once

#include "agent/engine/reconcile.h"
#include "agent/engine/task.h"

/* Holds what @action needs. False: not yet, or never, and then the container has failed. */
bool host_ports_let(struct container *c, enum container_action action);

/* When to look again, wall clock: @wake_ms, or earlier when one of @t's containers waits here. */
int64_t host_ports_wake_ms(const struct task *t, int64_t wake_ms);

void host_ports_free(struct container *c);
