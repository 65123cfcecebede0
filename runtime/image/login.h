/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login - what a registry's challenge is answered with; no I/O. ecs-image and the agent's check of
 * cached images share it.
 * https://distribution.github.io/distribution/spec/auth/token/
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "runtime/image/challenge.h"
#include "runtime/image/reference.h"

enum { LOGIN_TOKEN_BYTES_MAX = 256 * 1024 }; /* largest answer of a token service that is read */

/* "Basic …" for an Authorization header. Owned, secret. */
int login_basic(const char *username, const char *password, char **ret, struct err *err);

/*
 * The URL of the token service that @ch names, asking to pull @ref. A realm that is not https is
 * refused (-EPROTO) when the registry itself is: our password must not travel in the clear because
 * a registry says so. Owned.
 */
int login_token_url(const struct challenge *ch, const struct reference *ref, bool registry_is_https,
		    char **ret, struct err *err);

/* "Bearer …" from the answer of a token service; -EPROTO when it holds no token. Owned, secret. */
int login_bearer(const char *body, size_t len, char **ret, struct err *err);

/* Wipes and frees a header's value. NULL is fine. */
void login_wipe(char *s);
