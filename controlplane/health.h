/* SPDX-License-Identifier: Apache-2.0 */
/* health - what agents say about container health, written into tasks. */
#pragma once

#include <jansson.h>

#include "common/err.h"

struct controlplane;

/*
 * Applies a checked PublishHealthRequest of an instance: healthStatus of the containers named, and
 * of the task: UNHEALTHY when an essential container with a health check is, HEALTHY when all of
 * them are, else UNKNOWN. Tasks that are stopped, unknown or of another instance are passed over.
 */
int health_apply(struct controlplane *cp, const char *instance_arn, const json_t *message,
		 struct err *err);
