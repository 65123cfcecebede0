/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holder - the container behind pidMode and ipcMode `task`: it holds the namespaces that the others
 * share, and does nothing. It is started before them and stopped after them, and the task ends with
 * it. It is the last container of its task, `internal`, and nobody outside the engine sees it.
 */
#pragma once

#include <stdbool.h>

#include "agent/engine/reconcile.h"
#include "agent/engine/task.h"
#include "common/err.h"
#include "runtime/spec/spec.h"

/* The reference agent's name of it; no container of a user can be called so. */
#define HOLDER_NAME "~internal~ecs~pause~namespace"

enum { HOLDER_PATH_MAX = 512 };

/* Where a joining container's specification borrows its paths from. */
struct holder_paths {
	char pid[64], ipc[64], shm[HOLDER_PATH_MAX];
};

/* Appends the holder when @t asks for shared namespaces, and says so to the others. -ENOMEM. */
int holder_add(struct task *t, struct err *err);

/* NULL: this task has none. */
const struct container *holder_of(const struct task *t);

/* Whether it is @c's turn: not before the holder runs, and the holder's stop not before the others'. */
bool holder_lets(const struct container *c, enum container_action action);

/* When the holder @c ended although it was wanted: the task's reason, for those who cannot see it. */
void holder_note_end(struct container *c);

/* Root and config.json of the holder @c, and what its task shares beside namespaces: /dev/shm. */
int holder_make(struct container *c, struct err *err);

/* Has the container of @s join what @c shares. -ESRCH: the holder is gone. */
int holder_join(const struct container *c, struct container_spec *s, struct holder_paths *paths,
		struct err *err);

/* Takes away what holder_make() mounted below a run directory; nothing there is fine. */
void holder_unmount(const char *run_dir);
