/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list - the names in the profile: what every container
 * may call, and what comes with a capability.
 */
#pragma once

#include <stddef.h>

struct seccomp_group {
	const char *cap;   /* NULL: everyone; else the capability that opens it */
	const char *calls; /* separated by blanks */
};

extern const struct seccomp_group seccomp_groups[];
extern const size_t n_seccomp_groups;
