/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume - what a named volume is made of, by driver. Knows no task and no container.
 *
 * A volume has a directory <volumes>/NAME, root's and 0700:
 *   _data      what containers get: a directory, or what the driver's mount puts there
 *   task       ARN of the task that owns it; absent: shared, and removed by nobody
 *   lock       held by the one ecs-volume that is at work on it
 * A driver is plain (mount_args gives NULL: the directory is the volume) or has something mounted
 * on _data from the first use to the last.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/json.h"

#define VOLUME_DATA "_data"
#define VOLUME_OWNER "task"
#define VOLUME_LOCK "lock"

enum { VOLUME_NAME_MAX = 255 };

struct volume_spec {
	const char *driver; /* NULL or "": local */
	const struct json_pair *options;
	size_t n_options;
};

struct volume_driver {
	const char *name;
	/* -EINVAL: the options are not for this driver. */
	int (*check)(const struct volume_spec *v, struct err *err);
	/* What mount(8) takes before the target: {"-t", "tmpfs", …}, owned; NULL: nothing to mount. */
	int (*mount_args)(const struct volume_spec *v, char ***ret_args, struct err *err);
};

/* NULL: this host has no such driver. */
const struct volume_driver *volume_driver_find(const char *name);

/* Driver and options. -ENOTSUP names a driver that is none of ours; -EINVAL an option. */
int volume_check(const struct volume_spec *v, struct err *err);

/* As driver->mount_args, after volume_check(). */
int volume_mount_args(const struct volume_spec *v, char ***ret_args, struct err *err);

const char *volume_option(const struct volume_spec *v, const char *key); /* "" when absent */

/* What Docker takes for a name, and no more than a file name holds. */
bool volume_name_is_valid(const char *name);

/*
 * Makes <dir>, its owner file (NULL: shared) and _data; what is there stays. The order makes sure
 * that a directory without an owner file is one that nobody may remove.
 */
int volume_make(const char *dir, const char *owner, struct err *err);
