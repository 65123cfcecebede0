/* SPDX-License-Identifier: Apache-2.0 */
/* eni-json - the interface and the ports of a task in mode awsvpc, as the local services show them. */
#pragma once

#include <jansson.h>

#include "agent/engine/task.h"

/*
 * [{NetworkMode, IPv4Addresses, IPv6Addresses, …}], one element, empty members left out; task-metadata
 * version 4 has all members (@extended), the others those three. NULL: the task is in another mode.
 */
json_t *eni_networks_json(const struct task *t, bool extended);

/* The ports of @c as they are there: those of the interface itself. */
json_t *eni_ports_json(const struct container *c);
