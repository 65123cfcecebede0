/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebuild - knows tasks again that the database forgot.
 * Beside each container's writable layer stands task.json: the task's definition, as the store has
 * it, and by what the container is known on this host. It is written before the container starts and
 * goes with the writable layer, so whatever was ever started and not yet cleaned up has one. Where a
 * database was damaged and set aside, lost its last commits or was removed, the tasks come back
 * from there and take the ordinary path: what lives is adopted, what ended is reported.
 */
#pragma once

#include "common/err.h"

struct container;
struct engine;

/* Writes the record of a container whose directory was made. Not synced: it need not survive more
 * than the agent. */
int rebuild_note(const struct container *c, struct err *err);

/*
 * Reads all records and adds what the engine, which has loaded its rows, does not know. Tasks of
 * another cluster are left for the collection of what belongs to nobody. A record that names a task
 * and cannot be decoded further gives a task that is stopped, with a reason.
 */
int rebuild_tasks(struct engine *e, struct err *err);
