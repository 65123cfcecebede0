/* SPDX-License-Identifier: Apache-2.0 */
/* sigv4_keys - the key table behind sigv4.h; for its two source files only. */
#pragma once

#include <stddef.h>

struct sigv4_key {
	char *id, *secret;
	char *token; /* NULL: long-term credentials, which carry none */
};

struct sigv4_keys {
	struct sigv4_key *keys;
	size_t n;
};

/* NULL when there is none of that id. */
const struct sigv4_key *sigv4_keys_find(const struct sigv4_keys *keys, const char *id);
