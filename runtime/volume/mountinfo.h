/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo - what the kernel says is mounted in this namespace. Touches no mounted file system. */
#pragma once

#include <stdbool.h>

#include "common/err.h"

/*
 * Calls @fn for each mount on @dir or below it, the deepest and last mounted first, until it
 * returns other than 0. Returns that, 0 at the end, or a negative errno.
 */
int mountinfo_below(const char *dir, int (*fn)(const char *path, void *userdata), void *userdata,
		    struct err *err);

/* 1: something is mounted on @dir or below it, 0: nothing. */
int mountinfo_is_used(const char *dir, struct err *err);
