/* SPDX-License-Identifier: Apache-2.0 */
/* volumes - what volumes.c and volume-mounts.c share. */
#pragma once

#include "agent/engine/internal.h"
#include "agent/engine/mounts.h"
#include "runtime/volume/job.h"

/* Of a container that has mounts, while it is made and runs. */
struct container_volumes {
	struct mount_list mounts;
	size_t next;  /* the first that may not be ready */
	bool waiting; /* for a child: its own, or one that mounts for several */
	bool for_source; /* … or for the container whose volumes it takes to have made them */
	struct volume_job *copy;
};

struct volume_args {
	char **args; /* owned; NULL: nothing to mount */
};

/* volumes.c */
int64_t volumes_deadline_ms(const struct engine *e);
void volumes_resume(struct container *c); /* what it waited for is there */
void volumes_fail(struct container *c, const char *error_name, const struct err *err);
void volumes_collect(struct engine *e); /* volumes of nobody go */

/* volume-mounts.c */
/* 0: the volume @name is mounted, 1: it is being; who waits hears. */
int volumes_mount(struct engine *e, const char *name, char *const *args, struct err *err);
void volumes_unmount(struct engine *e, const char *name);
void volumes_unmount_orphan(struct engine *e, const char *name); /* volumes_collect() follows */
void volumes_found(struct engine *e, const char *name);          /* mounted by an earlier run */
