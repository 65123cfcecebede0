/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-cleanup - has images removed that no container needs any more: at intervals a few of those
 * not used for longest, and as many as it takes when the disk of the store fills up. The work is
 * done by a child (ecs-image prune), one at a time, with a deadline. Loop thread only.
 */
#pragma once

#include <stdbool.h>

#include "common/err.h"

struct engine;
struct image_cleanup; /* opaque */

/* Starts the timers, unless the configuration wants no clean-up: then *ret stays NULL. */
int image_cleanup_start(struct engine *e, struct image_cleanup **ret, struct err *err);

/* Looks at the disk soon: a pull ended, maybe because the disk is full. NULL is fine. */
void image_cleanup_check_disk(struct image_cleanup *c, bool pull_failed);

/* Removes now what an interval's end would remove. */
void image_cleanup_run(struct image_cleanup *c);

/*
 * Arguments of ecs-image for one run, a NULL-terminated vector of owned strings. @interval: the
 * interval ended, else only the disk is to be relieved. NULL when out of memory.
 */
char **image_cleanup_arguments(const struct engine *e, bool interval);

/* A child that is at work is told to end. NULL is fine. Always returns NULL. */
struct image_cleanup *image_cleanup_free(struct image_cleanup *c);
