/* SPDX-License-Identifier: Apache-2.0 */
/* caps - capability names, and the set a container gets. */
#pragma once

#include <stdint.h>

#include "common/err.h"

/* "CAP_CHOWN" for 0, …; NULL past the last one known. */
const char *caps_name(int number);

/* The number of "NET_ADMIN" or "CAP_NET_ADMIN", any case; -1 when unknown. */
int caps_number(const char *name);

/*
 * The set as a bit mask, with Docker's meaning of --cap-add and --cap-drop: added ALL starts from
 * everything this system may give (@bounding), dropped ALL from nothing, else from the default set.
 * Returns 0 or -EINVAL naming the entry ("capAdd[1]: unknown capability 'X'").
 */
int caps_resolve(char *const *add, char *const *drop, uint64_t bounding, uint64_t *ret,
		 struct err *err);

/* What our own bounding set allows. */
uint64_t caps_bounding(void);

/* The names of @set as a NULL-terminated vector of static strings; free() the vector only. */
const char **caps_names(uint64_t set);
