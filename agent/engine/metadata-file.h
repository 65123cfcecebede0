/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metadata-file - the file in which a container reads of itself, with ECS_ENABLE_CONTAINER_METADATA:
 * <data_dir>/metadata/<task id>/<container>/ecs-container-metadata.json. Its directory is what is
 * mounted, so that a rename within is seen. It is written before the container is made, and again
 * with what is only known then when it runs: that adds to what is there, so after a restart of the
 * agent, too. The path within the container has the container's endpoint id, which is random, its
 * own and kept in the database.
 */
#pragma once

#include "agent/engine/task.h"

/* False: no file for this one. */
bool metadata_file_is_wanted(const struct container *c);

/* The first stage. 0 or a negative errno. */
int metadata_file_begin(const struct container *c, struct err *err);
/* The second; what fails is logged: the container runs. */
void metadata_file_finish(const struct container *c);

/* Owned; NULL when out of memory: the directory on the host, that in the container, the file there. */
char *metadata_file_source(const struct container *c);
char *metadata_file_target(const struct container *c);
char *metadata_file_path(const struct container *c);

/* Of a task that is cleaned up. < 0: it is still there, which was logged. */
int metadata_file_discard(const struct task *t);

/* Of tasks that nobody knows any more. */
struct engine;
void metadata_file_collect(struct engine *e);
