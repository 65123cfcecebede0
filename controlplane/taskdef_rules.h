/* SPDX-License-Identifier: Apache-2.0 */
/* taskdef_rules - the rules for one container of a task definition; for taskdef_check.c only. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/taskdef.h"

enum { TASKDEF_CPU_UNITS_MAX = 196608 }; /* 192 vCPU */

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* The rules speak of a container as ECS does, by its name. */
#define fail_container(e, c, fmt, ...)                                                             \
	api_fail(e, "ClientException", "Invalid setting for container '%s'. " fmt,                 \
		 json_get_string(c, "name", "") __VA_OPT__(, ) __VA_ARGS__)

static inline bool one_of(const char *text, const char *const *choices)
{
	for (; *choices; choices++)
		if (strcmp(*choices, text) == 0)
			return true;
	return false;
}

static inline const char *mode_of(const json_t *td)
{
	return json_get_string(td, "networkMode", "bridge");
}

/* Tries the rules on container @c of @td in their order; fills in defaults. 0, or -1 with @e set. */
int taskdef_check_container(const json_t *td, json_t *c, struct api_error *e);
