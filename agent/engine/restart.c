/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container that is run again in its own place: same id, writable layer, network and log, another
 * run directory. Between the runs it stays RUNNING for everybody else. The order is: the end is
 * seen, the restart is decided and committed (count, time, how the last run ended), then made; an
 * agent that finds a restart written down and no trace of its run makes it, and counts it no more.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "agent/engine/crash.h"
#include "agent/engine/internal.h"
#include "common/fs.h"
#include "common/log.h"

/* A shim that ended is not yet gone: it may still remove what the next run would make. */
bool restart_must_wait(const struct container *c)
{
	_cleanup_(freep) char *dir = NULL;

	if (!c->restart.enabled || c->run->exit.type != SHIM_EXITED)
		return false;
	dir = container_run_dir(c);
	return !dir || shim_is_alive(dir);
}

void restart_ended(struct container *c)
{
	c->run->timer = sd_event_source_disable_unref(c->run->timer);
	c->pid = 0;
	if (c->health.status != HEALTH_NONE)
		c->health.status = HEALTH_UNKNOWN;
	c->run->save = true;
	container_set_busy(c, BUSY_ENDED);
	engine_tell(c->run->engine, c->task, c, "container-exited");
	engine_touch(c->run->engine, c->task);
	CRASH_POINT(RESTART_ENDED);
}

/* Of the run before the last nobody wants to know any more. */
void restart_clear_runs(struct container *c)
{
	_cleanup_(freep) char *dir = container_runs_dir(c);
	_cleanup_(err_done) struct err err = {};

	if (dir && fs_remove_tree(AT_FDCWD, dir, &err) < 0)
		container_log(LOG_WARN, c, "Failed to remove '%s', going on: %s", dir,
			      err_text(&err));
	CRASH_POINT(RESTART_CLEARED);
}

void restart_begun(struct container *c)
{
	container_log(LOG_INFO, c, "Container '%s' runs again, restart %d; it had ended with %d",
		      c->name, c->restart_count, c->exit_code);
	c->restarting = false;
	c->has_exit_code = false;
	c->exit_code = 0;
	c->finished_ms = 0;
	free(c->error_name);
	free(c->error_message);
	c->error_name = c->error_message = NULL;
	c->run->save = true;
	engine_touch(c->run->engine, c->task); /* it may have been asked to stop meanwhile */
	CRASH_POINT(RESTART_BEGUN);
}

/* Then it ended as it did before. */
void restart_failed(struct container *c, const char *why)
{
	container_log(LOG_ERROR, c, "Failed to restart '%s', it stays as it ended: %s", c->name,
		      why);
	c->restarting = false;
	c->run->save = true;
	container_finish(c);
}
