/* SPDX-License-Identifier: Apache-2.0 */
/* task - the life of a task as the control plane sees it. */
#pragma once

#include "controlplane/ops.h"

/* In the order of life; a task only moves forward. */
enum task_state {
	TASK_PROVISIONING,
	TASK_PENDING,
	TASK_ACTIVATING,
	TASK_RUNNING,
	TASK_DEACTIVATING,
	TASK_STOPPING,
	TASK_DEPROVISIONING,
	TASK_STOPPED,
	_TASK_STATE_MAX,
	TASK_STATE_INVALID = -1
};

const char *task_state_name(enum task_state s);
enum task_state task_state_parse(const char *name);

/*
 * The state after a task in @from was reported to be in @reported (PENDING, RUNNING or STOPPED are
 * what agents say; others are taken as PENDING). Never goes backwards.
 */
enum task_state task_state_next(enum task_state from, enum task_state reported);

/*
 * SubmitTaskStateChange: @in is the whole request (cluster, task, status, reason, containers[],
 * pullStartedAt, pullStoppedAt, executionStoppedAt, attachments[]). Idempotent; a status never
 * goes backwards, an older one only merges its container facts. At STOPPED the stop code and
 * reason are settled and resources given back. Unknown task: ClientException.
 */
int task_apply_state_change(struct controlplane *cp, const json_t *in, struct api_error *e);

/* SubmitContainerStateChange: one container's facts (containerName, status, exitCode, …). */
int task_apply_container_change(struct controlplane *cp, const json_t *in, struct api_error *e);

/* Wants the task of @doc STOPPED, for stop code @code and @reason: its agent is told. */
int task_begin_stop(struct controlplane *cp, json_t *doc, const char *code, const char *reason,
		    struct err *err);

/* Declares the task of @doc STOPPED for @reason (a user's) without asking an agent. */
int task_give_up(struct controlplane *cp, json_t *doc, const char *reason, struct err *err);

/*
 * Finds a "task" value: an ARN, or an id within @cluster. Returns 0 with a document,
 * STORE_E_NOT_FOUND, or a negative errno with @err set.
 */
int task_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
	      struct err *err);
