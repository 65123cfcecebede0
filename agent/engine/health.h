/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health - a container's health check: from definition and image to the shim, which probes, and
 * from what the shim says to the container's state. Nothing of it is in the store: the shim lives
 * as long as the container and tells it again to every agent that attaches.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "agent/engine/task.h"

struct image;
struct shim_event;

/*
 * What stands in the way of the container before anything is made: text for DockerClientConfigError;
 * NULL: nothing.
 */
const char *health_config_error(const struct container *c);

/*
 * Merges definition and image as Docker does, writes health.json beside config.json when there is
 * something to probe, and sets the shim's rules in c->run. @spec is the container's config.json.
 */
int health_add_probe(struct container *c, const struct image *image, const json_t *spec,
		     const char *run_dir, struct err *err);

/* The container came up, or a new run of it. */
void health_begin(struct container *c);

/* A SHIM_HEALTH event. */
void health_on_event(struct container *c, const struct shim_event *ev);
