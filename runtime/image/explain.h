/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain - what a registry's answers, or the lack of one, are called in messages: who, the status,
 * the registry's own reason, and which try it was. No secrets: addresses lose path and query.
 */
#pragma once

#include "common/err.h"
#include "runtime/image/registry.h"

enum { REGISTRY_TRIES_MAX = 5 };

/* "https://host:port". Owned; NULL when out of memory. */
char *origin_of(const char *url);

/* One line about a try that failed. Owned; NULL when out of memory. */
char *explain_try(const struct reference *ref, const struct registry_call *c);

/* Why the request is given up, as -EACCES, -ENOENT, -ETIMEDOUT, -EPROTO or -EIO. */
int explain_end(const struct reference *ref, const struct registry_call *c, struct err *err);

/* The same of the token service after @tries. */
int explain_token_service(const struct http_request *req, int tries, struct err *err);
