/* SPDX-License-Identifier: Apache-2.0 */
/* mirror - which mirror is asked before a registry (ECS_IMAGE_MIRRORS). */
#pragma once

#include "common/err.h"

/*
 * @list: "registry=URL" set apart by commas or blanks, "docker.io=https://mirror.example:5000/path".
 * Finds the first one for @domain (NULL: only check the list): *ret is owned, without a trailing
 * slash, NULL when there is none. -EINVAL names what is wrong.
 */
int mirror_find(const char *list, const char *domain, char **ret, struct err *err);
