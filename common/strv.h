/* SPDX-License-Identifier: Apache-2.0 */
/* strv - NULL-terminated vectors of owned strings. A NULL vector is an empty one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

size_t strv_length(char *const *v);

/* Appends a copy of @s. Returns 0 or -ENOMEM, leaving @v as it was. */
int strv_append(char ***v, const char *s);

/* Deep copy; NULL for NULL or when out of memory (*ret_oom tells which, may be NULL). */
char **strv_copy(char *const *v, bool *ret_oom);

bool strv_contains(char *const *v, const char *s);

/* Frees the vector and its strings. Always returns NULL. */
char **strv_free(char **v);

DEFINE_CLEANUP(char **, strv_free)

/* Replaces *dst by a copy of @src (which may be NULL). Returns 0 or -ENOMEM, leaving *dst. */
int strdup_to(char **dst, const char *src);
