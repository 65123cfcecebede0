/* SPDX-License-Identifier: Apache-2.0 */
/* instance_expr - the cluster query language put to one container instance. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct controlplane;

/*
 * Does the described instance @doc satisfy @text? "task:group" and the like are looked up among its
 * tasks. Returns 0 with *ret set, -EINVAL for a malformed expression, or another negative errno.
 */
int instance_expr_match(struct controlplane *cp, const json_t *doc, const char *text, bool *ret,
			struct err *err);

/* The value of an attribute: NULL when it has none of that name, "" when it has no value. */
const char *instance_attribute(const json_t *doc, const char *name);
