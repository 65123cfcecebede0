/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler - where a task goes. A scheduler is filled once per request with the instances of a
 * cluster and what each has left; every placement is subtracted before the next.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct controlplane;
struct scheduler;

/* What one task wants of its instance. All borrowed. */
struct demand {
	int64_t cpu;               /* units */
	int64_t memory;            /* MiB */
	int64_t gpus;
	json_t *ports;             /* fixed host ports: {"tcp/80": true, …} */
	const json_t *attributes;  /* [{"name": …}], requiresAttributes */
	const json_t *constraints; /* [{"type": …, "expression": …}] */
	const json_t *strategy;    /* [{"type": …, "field": …}] */
	const char *group;         /* for distinctInstance and spread */
	const json_t *subnets;     /* a network interface in one of them; NULL: none is wanted */
};

/* Loads the ACTIVE instances of @cluster, or only those of the document list @only. */
int scheduler_new(struct controlplane *cp, const char *cluster, const json_t *only,
		  const char *group, struct scheduler **ret, struct err *err);
struct scheduler *scheduler_free(struct scheduler *s);
DEFINE_CLEANUP(struct scheduler *, scheduler_free)

size_t scheduler_count(const struct scheduler *s);

/*
 * Chooses the instance for one task and subtracts what it takes. *ret is its document (borrowed),
 * or NULL when none fits. -EINVAL with @err set: a constraint's expression is malformed.
 */
int scheduler_place(struct scheduler *s, const struct demand *d, json_t **ret, struct err *err);

/*
 * Why instance number @i cannot take the task: "AGENT", "ATTRIBUTE", "RESOURCE:CPU",
 * "RESOURCE:MEMORY", "RESOURCE:GPU", "RESOURCE:PORTS", "RESOURCE:ENI", a constraint's text; NULL when it can. *ret_arn is borrowed.
 */
int scheduler_explain(struct scheduler *s, size_t i, const struct demand *d,
		      const char **ret_reason, const char **ret_arn, struct err *err);

/*
 * Puts the task on instance number @i regardless of strategy: StartTask. GPUs are for the caller to
 * take, out of the document: he gives them to containers.
 */
json_t *scheduler_take(struct scheduler *s, size_t i, const struct demand *d);
