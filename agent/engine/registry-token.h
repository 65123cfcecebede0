/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry-token - registry logins that AWS gives out: ECR's GetAuthorizationToken, and secrets of
 * Secrets Manager with username and password. ECR's are kept until 30 to 60 minutes before their end,
 * 12 hours at most, by role, region, registry and endpoint; who asks for one that is being asked for
 * waits for the same answer. Loop thread only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "agent/acs/credentials.h"
#include "agent/engine/registry-auth.h"
#include "agent/engine/task.h"
#include "common/cleanup.h"
#include "common/err.h"

struct aws_credentials;
struct http_client;
struct registry_tokens; /* opaque */
struct registry_token;  /* one login on its way */

struct registry_tokens_params {
	sd_event *loop;
	struct http_client *http;            /* borrowed, as all that follows */
	struct aws_credentials *credentials; /* of the instance; NULL: unsigned */
	const struct role_store *roles;
	const char *region;   /* where an auth names none */
	bool dual_stack;      /* asks endpoints of both families */
	int64_t role_wait_ms; /* for an execution role's keys after a restart; 0: 60 s */
};

int registry_tokens_new(const struct registry_tokens_params *p, struct registry_tokens **ret,
			struct err *err);
struct registry_tokens *registry_tokens_free(struct registry_tokens *t); /* its requests first */

/* What two containers have in common that may share a login, and a pull. Owned; "" for none. */
char *registry_auth_key(const struct registry_auth *auth, const struct role_store *roles,
			const char *credentials_id);

/* @login is borrowed; NULL with @err set: there is none, the container fails with
 * registry_auth_error(). Once, from the loop. */
typedef void (*registry_token_fn)(void *userdata, const struct registry_login *login,
				  const struct err *err);

struct registry_token_params {
	const struct registry_auth *auth; /* of type ECR or ASM */
	const char *key;                  /* registry_auth_key() */
	const char *credentials_id;       /* of the task's execution role; NULL: none */
	const char *image;                /* for messages */
};

/* Returns 1 with *ret_login (the caller's) when one is at hand, 0 when @fn follows, or -errno. */
int registry_token_get(struct registry_tokens *t, const struct registry_token_params *p,
		       registry_token_fn fn, void *userdata, struct registry_login *ret_login,
		       struct registry_token **ret, struct err *err);

/* No callback follows. NULL is fine. Always returns NULL. */
struct registry_token *registry_token_cancel(struct registry_token *r);

/* The registry refused it: the next one is asked for anew. */
void registry_tokens_forget(struct registry_tokens *t, const char *key);

const char *registry_auth_error(enum registry_auth_type type); /* "CannotPullECRContainerError" */
