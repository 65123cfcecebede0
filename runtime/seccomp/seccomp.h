/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp - the profile containers run under: our own default-deny list.
 * Names are resolved and checked with libseccomp on this host's architecture before runc sees them,
 * so an unknown system call is left out here instead of failing a container start there.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"

/*
 * The `linux.seccomp` object for a container that holds @caps ("CAP_SYS_ADMIN", …;
 * NULL-terminated): calls that make sense only with a capability are allowed with it. Returns 0
 * with a new reference. The result for a given set is built once and kept.
 */
int seccomp_profile(char *const *caps, json_t **ret, struct err *err);
