/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token - idempotency by clientToken: the same token with the same request gives the same answer, with
 * another request it is refused. Tokens are forgotten with the tasks of their time.
 */
#pragma once

#include "common/digest.h"
#include "controlplane/arn.h"
#include "controlplane/ops.h"

struct token {
	char key[ARN_NAME_MAX + 96]; /* "": the request has none */
	char fingerprint[SHA256_HEX_MAX];
};

/*
 * Reads clientToken (up to 64 characters) of request @in; tokens of one @kind in one @cluster do not
 * meet those of another. Sets *out when it was answered before. Returns 0, or -1 with @e set.
 */
int token_check(struct controlplane *cp, const json_t *in, const char *kind, const char *cluster,
		struct token *ret, json_t **out, struct api_error *e);

/* Keeps @answer for the next request with this token; nothing to do when there is none. */
int token_remember(struct controlplane *cp, const struct token *t, json_t *answer,
		   struct api_error *e);
