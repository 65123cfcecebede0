/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu - GPUs by their ids: what instances register, what tasks want, who has which.
 * An instance's are a STRINGSET resource "GPU"; a task's stand in its containers' gpuIds.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"
#include "controlplane/param.h"

struct controlplane;

/* Appends the resource "GPU" for the platformDevices of a registration; none without GPUs. */
int gpu_register(const json_t *request, json_t *resources, struct api_error *e);

/* Takes those that tasks of the instance have out of its remaining @resources. */
int gpu_take_used(struct controlplane *cp, const char *instance_arn, json_t *resources,
		  struct err *err);

/* How many a container wants; an override's list replaces that of the definition. */
int64_t gpu_wanted(const json_t *definition, const json_t *override);

/* How many are left in the described instance @doc. */
int64_t gpu_left(const json_t *doc);

/* Takes @n of them out of @doc; a new array, shorter when there are not so many. */
json_t *gpu_give(json_t *doc, int64_t n);

/* The associations of a task's payload, after its containers' gpuIds; a new array. */
json_t *gpu_associations(const json_t *task);

/* What RegisterTaskDefinition demands of resourceRequirements. */
int gpu_check(const json_t *td, json_t *container, struct api_error *e);
