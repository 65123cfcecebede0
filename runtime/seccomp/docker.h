/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker - seccomp profiles of one's own, in the format of Docker's --security-opt seccomp=FILE.
 * Nothing in a profile is skipped in silence: an unknown member, action, comparison, architecture or
 * capability, and a value out of bounds, is an error that names where it stands ("syscalls[3]:
 * args[0]: op: …"). Only system calls are taken by name as they are: one that this host does not have
 * is passed over by the runtime, as profiles are written for many kernels.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum {
	SECCOMP_TEXT_MAX = 64 * 1024, /* bytes of a profile: those of a whole task definition */
	SECCOMP_RULES_MAX = 1024,
	SECCOMP_NAMES_MAX = 4096, /* system calls named by all rules together */
	SECCOMP_ARGS_MAX = 16,    /* conditions of one rule */
	SECCOMP_ARCHES_MAX = 32,
};

/* What the conditions of a rule are compared with. */
struct seccomp_host {
	uint32_t arch; /* as libseccomp numbers them */
	unsigned int kernel, major;
};

/* Those of this host; 0.0 when its kernel does not say. */
struct seccomp_host seccomp_this_host(void);

bool seccomp_kernel_is(const struct seccomp_host *host, unsigned int kernel, unsigned int major);

/*
 * The `linux.seccomp` object of @text for a container whose bounding set is @caps ("CAP_CHOWN", …;
 * NULL-terminated). Every rule is checked, those too whose conditions leave them out. Returns 0 with a
 * new reference; -EPROTO: @text is at fault; -ENOTSUP: it asks for what is not to be had here.
 */
int seccomp_from_docker(const char *text, char *const *caps, const struct seccomp_host *host,
			json_t **ret, struct err *err);
