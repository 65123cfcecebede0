/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eni - network interfaces of tasks in network mode awsvpc: which one a task gets, how the task shows
 * it, and what agents say of it. A task holds its interface until it is STOPPED.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"
#include "controlplane/ops.h"

/*
 * networkConfiguration of a request for a task of definition @td. *ret (borrowed) is the list of
 * subnet ids, NULL when the network mode is another one.
 */
int eni_check_request(struct controlplane *cp, const json_t *in, const json_t *td,
		      const json_t **ret, struct api_error *e);

/*
 * Whether @instance (a document) has an interface in one of @subnets that no task holds. Returns 0 or
 * a negative errno (-EINVAL: the expression of an interface is malformed).
 */
int eni_is_free(struct controlplane *cp, const json_t *instance, const json_t *subnets, bool *ret,
		struct err *err);

/* Gives the new task of document @task one of them: attachments, networkInterfaces, PROVISIONING. */
int eni_give(struct controlplane *cp, const json_t *instance, const json_t *subnets, json_t *task,
	     struct err *err);

/* Attachments of a report, @list, into @task. Unknown ones: InvalidParameterException. */
int eni_merge_reported(json_t *task, const json_t *list, struct api_error *e);

/* All attachments of @task are in @status from now on. */
void eni_set_status(json_t *task, const char *status);

/* SubmitAttachmentStateChanges: @in as checked by its schema. */
int eni_apply_attachment_changes(struct controlplane *cp, const json_t *in, struct api_error *e);
