/* SPDX-License-Identifier: Apache-2.0 */
/* private - the pure parts of tcs.c, for its tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct aws_keys;

/* Owned; NULL when out of memory. */
char *tcs_url(const char *endpoint, const char *cluster, const char *instance_arn);

/* The header block, an empty line, @json. Owned; NULL with @err set. */
char *tcs_sign_frame(const char *url, const char *region, const struct aws_keys *keys,
		     const char *json, int64_t now_ms, struct err *err);

/* Whether a message of @type shows that the peer lives. */
bool tcs_message_is_alive(const char *type);
