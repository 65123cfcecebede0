/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpus - the GPUs that a task's associations give to its containers: which they are, and what of
 * them a container's specification needs.
 */
#pragma once

#include "agent/engine/task.h"
#include "common/err.h"
#include "runtime/spec/spec.h"

/*
 * Decodes associations[] of the task object: each GPU to the one container it names. -EPROTO: a
 * container that is not there, or more than one. -ENOTSUP: another type of association.
 */
int gpus_decode(const json_t *obj, struct task *t, struct err *err);

/* What gpus_apply() made: freed when the specification was built. */
struct gpus_scratch {
	char **nodes; /* owned strv */
	struct spec_device *devices;
	char *hook; /* owned */
};

/*
 * Adds device nodes and the driver's hook to @s, whose devices are there already. -ENOENT: the hook is
 * not installed. Nothing to do without GPUs.
 */
int gpus_apply(const struct container *c, struct container_spec *s, struct gpus_scratch *ret,
	       struct err *err);
void gpus_scratch_done(struct gpus_scratch *x);

/* "GPU-a,GPU-b" for NVIDIA_VISIBLE_DEVICES; owned. NULL: none, or no memory. */
char *gpus_visible(const struct container *c);
