/* SPDX-License-Identifier: Apache-2.0 */
/* instance - container instances: registration, and what is left of their resources. */
#pragma once

#include <stdbool.h>

#include "controlplane/ops.h"

/*
 * RegisterContainerInstance: @in is the whole request. A new instance, or with
 * containerInstanceArn the known one with fresh resources (an unknown or deregistered ARN is an
 * InvalidParameterException, a changed cluster too). Every attribute sent comes back with its
 * value, with ecs.availability-zone and the like added. *ret is the ContainerInstance.
 */
int instance_register(struct controlplane *cp, const json_t *in, json_t **ret, struct api_error *e);

/*
 * The ACS session of the instance came up (@connected, with the agent's version and hash from its
 * query string, which may be NULL) or ended. The caller brackets this with cp_begin()/cp_end().
 * Returns 0, STORE_E_NOT_FOUND (also for one that is to connect but was deregistered) or a negative
 * errno with @err set.
 */
int instance_set_connected(struct controlplane *cp, const char *instance_arn, bool connected,
			   const char *agent_version, const char *agent_hash,
			   const char *docker_version, struct err *err);

/* The document as DescribeContainerInstances shows it: counted members added to @doc. */
int instance_describe(struct controlplane *cp, json_t *doc, struct err *err);

/*
 * Finds "containerInstance" values: an ARN, or an id within @cluster. Returns 0 with a document,
 * STORE_E_NOT_FOUND, or a negative errno with @err set.
 */
int instance_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
		  struct err *err);
