/* SPDX-License-Identifier: Apache-2.0 */
/* cluster - the cluster an operation speaks of. */
#pragma once

#include "controlplane/arn.h"
#include "controlplane/ops.h"

/*
 * Reads member "cluster" of @in: a name or an ARN, "default" when absent. The cluster must exist
 * and be ACTIVE, else ClusterNotFoundException "Cluster not found.". @name holds ARN_NAME_MAX.
 */
int cluster_of_request(struct controlplane *cp, const json_t *in, char *name, struct api_error *e);
