/* SPDX-License-Identifier: Apache-2.0 */
/* taskdef - task definitions: what may be registered, what it needs, finding it again. */
#pragma once

#include <stdint.h>

#include "controlplane/ops.h"

/*
 * Checks a task definition that shape_copy() made, and fills in what ECS fills in (essential, cpu,
 * hostPort, protocol, empty lists; task cpu and memory in units). Returns 0, or -1 with a
 * ClientException or InvalidParameterException.
 */
int taskdef_check(json_t *td, struct api_error *e);

enum { TASKDEF_BYTES_MAX = 64 << 10 }; /* of one as JSON, like in ECS */

/* New list of {"name": …}: the attributes an instance must have, without duplicates. NULL when out
 * of memory. */
json_t *taskdef_required_attributes(const json_t *td);

/* New list of the launch types this checked definition could run on. */
json_t *taskdef_compatibilities(const json_t *td);

/* Task-level sizes: "256", "0.25 vCPU" in CPU units; "512", "0.5GB" in MiB. 0 or -EINVAL. */
int taskdef_parse_cpu(const char *text, int64_t *ret_units);
int taskdef_parse_memory(const char *text, int64_t *ret_mib);

/*
 * Finds "family" (newest active revision), "family:revision" or an ARN. Returns 0,
 * STORE_E_NOT_FOUND, or a negative errno with @err set.
 */
int taskdef_find(struct controlplane *cp, const char *ref, json_t **ret, struct err *err);

/* The container definition called @name, borrowed; NULL when there is none. */
const json_t *taskdef_container(const json_t *td, const char *name);
