/* SPDX-License-Identifier: Apache-2.0 */
/*
 * localtask - a task that somebody of this host starts without a control plane: a task definition in the
 * form of RegisterTaskDefinition becomes the task of an ACS payload, which the engine takes like any other.
 *
 * Every member of a definition has a row here. What only a control plane can give (roles, secrets, network
 * interfaces, GPUs) is refused by name; what only concerns one (tags, placement) is named in the notes; what
 * nobody knows is an error. What is left is checked once more when the engine decodes it.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"

/*
 * @request: {"taskDefinition": {…}, "name": id of the task, "family": of a definition without one,
 * "remove": whether nothing is kept of it once it has stopped, "overrides": {"containerOverrides":
 * [{"name", "command", "environment", "cpu", "memory", "memoryReservation"}]}}; all but the first may be absent.
 *
 * Returns 0 with a new task and a new array of texts, or a negative errno with @err naming the member:
 * -EPROTO, -ENOTSUP, -ENOMEM.
 */
int localtask_build(const json_t *request, json_t **ret_task, json_t **ret_notes, struct err *err);
