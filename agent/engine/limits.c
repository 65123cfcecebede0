/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a container are written by the runtime. They are read back once it runs and there is
 * nothing else to do, so that no report waits for it: what differs is told and counted, and the
 * container runs on. The task's own are written by us and stop it when they do not hold.
 */
#include <errno.h>

#include "agent/engine/internal.h"
#include "common/log.h"
#include "runtime/cgroup/cgroup.h"

/* As much swap as memory where nothing is said of it, as in Docker; -1: as much as there is. */
static int64_t swap_limit(const struct container *c)
{
	if (c->memory_limit_bytes == 0 || c->memory_swap_bytes < 0)
		return 0;
	return c->memory_swap_bytes ? c->memory_swap_bytes : 2 * c->memory_limit_bytes;
}

static struct cgroup_limits written(const struct container *c)
{
	return (struct cgroup_limits){
		.memory_bytes = c->memory_limit_bytes,
		.memory_reservation_bytes = c->memory_reservation_bytes,
		.memory_swap_bytes = swap_limit(c), /* last: not every kernel accounts for it */
		.pids = c->pids_limit,
		/* How shares become a weight on v2 is the runtime's affair, and changed with its
		 * releases. */
		.cpu_shares = cgroup_mode() == CGROUP_V1
				      ? CLAMP(c->cpu_shares, CPU_SHARES_MIN, CPU_SHARES_MAX)
				      : 0,
	};
}

static void check(const struct container *c)
{
	struct cgroup_limits limits = written(c);
	_cleanup_(freep) char *path = container_cgroup_path(c);
	_cleanup_(err_done) struct err err = {};

	/* Any other error: the group went with the container, whose end is told next. */
	if (!path || cgroup_read_back(path, &limits, &err) != -EIO)
		return;
	container_log(LOG_ERROR, c, "A limit of '%s' is not what was asked for, going on: %s",
		      c->name, err_text(&err));
	engine_tell(c->run->engine, c->task, c, "container-limits-differ");
}

static int on_idle(sd_event_source *s, void *userdata)
{
	struct engine *e = userdata;

	(void) s;
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			struct container *c = &e->tasks[i]->containers[j];

			if (!c->run->unverified)
				continue;
			c->run->unverified = false;
			if (c->known == CONTAINER_RUNNING)
				check(c);
		}
	return 0;
}

void limits_check_later(struct container *c)
{
	struct engine *e = c->run->engine;

	c->run->unverified = true;
	if (!e->limits) {
		if (sd_event_add_defer(e->loop, &e->limits, on_idle, e) < 0)
			return;
		(void) sd_event_source_set_description(e->limits, "container-limits");
		(void) sd_event_source_set_priority(e->limits, SD_EVENT_PRIORITY_IDLE);
	}
	(void) sd_event_source_set_enabled(e->limits, SD_EVENT_ONESHOT);
}
