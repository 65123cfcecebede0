/* SPDX-License-Identifier: Apache-2.0 */
/*
 * userdb - lines of passwd(5) and group(5) files that come out of an image.
 * A line with an id that is no number of 0..2147483647 counts as absent: read as a number anyhow,
 * it would be user 0 (CVE-2024-40635).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { USERDB_ID_MAX = 0x7fffffff };

struct userdb_text { /* not NUL-terminated, borrowed from the file */
	const char *data;
	size_t len;
};

struct userdb_user {
	struct userdb_text name, home;
	uint32_t uid, gid;
};

struct userdb_group {
	struct userdb_text name, members; /* members: separated by commas */
	uint32_t gid;
};

/* The next good line after *at, which moves on; false at the end. */
bool userdb_next_user(const char **at, const char *end, struct userdb_user *ret);
bool userdb_next_group(const char **at, const char *end, struct userdb_group *ret);

bool userdb_text_is(struct userdb_text t, const char *s);
bool userdb_is_member(const struct userdb_group *g, struct userdb_text name);

/* Only digits, and in range. 0, -EINVAL (no number) or -ERANGE. */
int userdb_parse_id(const char *data, size_t len, uint32_t *ret);
