/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - what of the host a container sees, and at which path. */
#pragma once

#include "agent/engine/task.h"
#include "runtime/image/image.h"
#include "runtime/volume/volume.h"

struct mount_item {
	enum mount_kind kind;
	char *destination;                  /* owned */
	char *source;                       /* owned: a path of the host */
	char *name;                         /* owned: of a volume of ours; neither: a tmpfs */
	const struct task_volume *volume;   /* borrowed, as the rest; NULL: none of the task's */
	const struct volume_config *config; /* of a volume of ours that has no row yet */
	const char *options;
	bool read_only, copy, must_exist, shared, autoprovision;
};

struct mount_list {
	struct mount_item *items; /* owned */
	size_t n;
};

/*
 * All mounts of @c; @image is its image, whose volumes get anonymous ones. -ENOENT: "Volume target
 * not available: x". -EINVAL: the image declares volumes where none may be.
 */
int mounts_collect(const struct container *c, const struct image *image, struct mount_list *ret,
		   struct err *err);
void mount_list_done(struct mount_list *l);

/* Whether the definition of @t names the volume @name of this host. */
bool mounts_task_has(const struct task *t, const char *name);

/* [{type, name, source, destination, readOnly}] */
json_t *mounts_to_json(const struct mount_list *l, const char *volumes_dir);
