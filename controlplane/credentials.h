/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials - the role credentials of tasks, as the local control plane issues them: well-formed
 * and unique, good for requests to this control plane and for nothing outside. They are kept in the
 * store, because the credentialsId of a task must outlive refreshes and restarts: it is part of the
 * URI inside its containers.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"

struct sigv4_keys;
struct store;

enum credentials_role { ROLE_TASK, ROLE_EXECUTION };

enum { CREDENTIALS_LIFE_SEC = 6 * 3600, CREDENTIALS_RENEW_SEC = 3600 };

/* "TaskApplication", "TaskExecution". */
const char *credentials_role_type(enum credentials_role role);

/* Adds the table to the store. */
int credentials_init(struct store *store, struct err *err);

struct credentials_request {
	const char *instance_arn, *task_arn, *role_arn;
	enum credentials_role role;
	int64_t now_ms; /* wall clock */
};

/*
 * The task's credentials for a role: those it has, made afresh (with the same credentialsId) when
 * less than CREDENTIALS_RENEW_SEC of them is left. *ret is an IAMRoleCredentials.
 */
int credentials_get(struct store *store, const struct credentials_request *r, json_t **ret,
		    struct err *err);

enum { CREDENTIALS_E_UNKNOWN = 1, CREDENTIALS_E_EXPIRED = 2 };

/*
 * What a request by one of the tasks is verified with: 0 and *ret with that one key. A set that was
 * issued stays good until it expires or its task ends.
 */
int credentials_keys(struct store *store, const char *access_key, int64_t now_ms,
		     struct sigv4_keys **ret, struct err *err);

/* The agent of @instance_arn acked credentials of this id and expiration. */
int credentials_acked(struct store *store, const char *instance_arn, const char *credentials_id,
		      const char *expiration, struct err *err);

/* Forgets the acks of an instance: its agent lost them. */
int credentials_unack_all(struct store *store, const char *instance_arn, struct err *err);

/*
 * The credentials of an instance that are due: never acked in their present form, or to be renewed.
 * *ret is an array of {"taskArn", "roleArn", "role": 0|1}.
 */
int credentials_due(struct store *store, const char *instance_arn, int64_t now_ms, json_t **ret,
		    struct err *err);

/* Drops those of tasks that are stopped or gone. */
int credentials_purge(struct store *store, struct err *err);

/* The task stopped or is gone: its credentials end. */
int credentials_drop(struct store *store, const char *task_arn, struct err *err);
