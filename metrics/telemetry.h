/* SPDX-License-Identifier: Apache-2.0 */
/* telemetry - TCS stats sets (tcs.json: ContainerMetric) from a container's window of samples. */
#pragma once

#include <jansson.h>

#include "metrics/sampler.h"

/* A containerMetrics[] entry over the unsent samples; NULL while CPU or memory cannot be built. New reference. */
json_t *telemetry_container(const struct sampled *c, const char *container_name);
