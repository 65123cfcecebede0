/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-parts - what docker.c reads a profile with: its members, and the conditions of its rules.
 * null counts as absent, and so does an empty text: programs write both. What is wrong is -EPROTO, with
 * the member's name.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/seccomp/docker.h"

/* @obj is an object and has no member but those of @known, NULL-terminated. */
int profile_check_keys(json_t *obj, const char *const *known, struct err *err);

/* Borrowed; NULL when absent. */
json_t *profile_member(const json_t *obj, const char *key);
int profile_text(const json_t *obj, const char *key, const char **ret, struct err *err);
int profile_list(const json_t *obj, const char *key, size_t max, json_t **ret, struct err *err);

/* 0..@max, or -1 when absent. */
int profile_number(const json_t *obj, const char *key, json_int_t max, json_int_t *ret,
		   struct err *err);

/* "SCMP_ARCH_X86_64" and libseccomp's number of it; NULL when @name is none, or NULL. */
const char *profile_arch(const char *name, uint32_t *ret_token);

struct profile_conditions {
	const struct seccomp_host *host;
	char *const *caps; /* NULL-terminated */
};

/*
 * Whether the member @key of @rule, "includes" or "excludes", holds. The former does when one of its
 * architectures, all of its capabilities and its kernel do, or when it is absent; the latter when
 * any of them does.
 */
int profile_filter(const struct profile_conditions *c, json_t *rule, const char *key, bool include,
		   bool *ret, struct err *err);
