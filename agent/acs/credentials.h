/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials - the role credentials of tasks, by id, in memory only, wiped when replaced or freed.
 * The text of expiration is neither parsed nor changed: containers and the acknowledgement get what
 * the control plane sent.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"

enum role_type { ROLE_TASK, ROLE_EXECUTION };

struct role_credentials {
	char *id;                /* owned; an unguessable UUID */
	char *role_arn;          /* owned, like all that follow; "" when absent */
	char *access_key_id;     /* secret */
	char *secret_access_key; /* secret */
	char *session_token;     /* secret */
	char *expiration;
	char *scope;
	char *task_arn;
	enum role_type type;
	bool pending; /* known from an earlier run, the secret has not come yet: 503 */
};

struct role_store;

int role_store_new(struct role_store **ret, struct err *err);
struct role_store *role_store_free(struct role_store *s);
DEFINE_CLEANUP(struct role_store *, role_store_free)

/* Decodes an IAMRoleCredentials object and puts it under its id, replacing. */
int role_store_put(struct role_store *s, const char *task_arn, enum role_type type,
		   const json_t *credentials, struct err *err);
/* Whether role_store_put() would take them, but for memory; changes nothing. */
int role_store_check(const struct role_store *s, const char *task_arn, enum role_type type,
		     const json_t *credentials, struct err *err);
/* An id that a stored task carries; does not touch credentials that are there already. */
int role_store_put_pending(struct role_store *s, const char *task_arn, enum role_type type,
			   const char *id, struct err *err);
/* Borrowed until the next change; NULL: unknown. Compares in constant time. */
const struct role_credentials *role_store_get(const struct role_store *s, const char *id);
void role_store_remove(struct role_store *s, const char *id);
void role_store_remove_task(struct role_store *s, const char *task_arn);
size_t role_store_count(const struct role_store *s);
