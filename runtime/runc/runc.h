/* SPDX-License-Identifier: Apache-2.0 */
/* runc - finding the runtime, its version floor, and removing state that a crash left behind. */
#pragma once

#include "common/err.h"

enum { RUNC_VERSION_MAX = 64 };

/*
 * Checks that @path (or runc on PATH when NULL) runs and is at least the floor; writes its version.
 * Blocks for a few ms: at start and in health checks run as a child only.
 * Returns 0, -ENOENT or -ENOTSUP ("runc 1.0.0 is older than 1.1.5: …").
 */
int runc_check(const char *path, char version[RUNC_VERSION_MAX], struct err *err);

/* The absolute path of @path (or of runc on PATH when NULL); owned. -ENOENT. */
int runc_find(const char *path, char **ret_path, struct err *err);

/* Removes what is left of container @id below @root without asking runc; gone is fine. */
int runc_forget(const char *root, const char *id, struct err *err);
