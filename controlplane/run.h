/* SPDX-License-Identifier: Apache-2.0 */
/* run - a RunTask or StartTask request, read and checked. */
#pragma once

#include "controlplane/arn.h"
#include "controlplane/ops.h"
#include "controlplane/scheduler.h"

enum { RUN_TASKS_MAX = 10 };

/* A request, checked. */
struct run {
	char cluster[ARN_NAME_MAX];
	json_t *td;             /* owned */
	json_t *overrides;      /* owned: TaskOverride */
	json_t *tags;           /* owned */
	json_t *constraints;    /* owned: of the definition and of the request */
	json_t *ports;          /* owned: fixed host ports */
	const json_t *strategy; /* borrowed from the request, like the strings */
	const char *started_by;
	const json_t *subnets; /* of a task in mode awsvpc; NULL: it is in another */
	const char *service; /* set before run_read() for a task of a service; borrowed */
	char group[ARN_NAME_MAX + 8];
	int count;
	bool exec;
	struct demand demand;
};

/*
 * Reads @in into @r, which starts as {} but for service: the definition, overrides, placement, names, and what one
 * task takes. All but count, clientToken and containerInstances. Returns 0, or -1 with @e set.
 */
int run_read(struct controlplane *cp, const json_t *in, struct run *r, struct api_error *e);
void run_done(struct run *r);

/* Makes the task on @instance (a scheduler's document) and appends it to @tasks. */
int run_start_on(struct controlplane *cp, const struct run *r, json_t *instance, json_t *tasks,
		 struct api_error *e);

/* The override of container @name, borrowed; NULL when there is none. */
const json_t *run_override(const struct run *r, const char *name);

/* A number of container definition @c as overridden ("cpu", "memory", …); 0 when not given. */
int64_t run_effective(const struct run *r, const json_t *c, const char *key);
