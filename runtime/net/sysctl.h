/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl - knobs under /proc/sys of the network namespace that the calling thread is in. */
#pragma once

#include <stdbool.h>

#include "common/err.h"

/*
 * Sets @path (relative to /proc/sys, '/' between parts) to @value unless it has it already, so that
 * a read-only /proc/sys with the right values is fine. With @optional a knob that this kernel does
 * not have is no error.
 */
int sysctl_set(const char *path, const char *value, bool optional, struct err *err);

/* Whether the knob is there and says @value. */
bool sysctl_is(const char *path, const char *value);
