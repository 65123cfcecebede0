/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart: what the store says is compared with what is there. Shims that live are heard
 * again, what ended says how, what never began is begun anew by the ordinary pass, and what belongs
 * to no task goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/rebuild.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/net/portpool.h"

/* ---- loading ---- */

static int on_task(void *userdata, struct task *t, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	int k = depends_resolve(t, &why);

	if (k == DEPENDS_E_UNRESOLVABLE) { /* an earlier build took it */
		t->desired = TASK_STOPPED;
		if (!t->reason)
			(void) strdup_to(&t->reason, err_text(&why));
	}
	k = k < 0 ? err_move(err, &why) : engine_add_task(userdata, t, err);
	if (k < 0)
		(void) task_free(t);
	return k;
}

/* Whether the machine was booted since the last run; then nothing that ran runs any more. */
static int check_boot(struct engine *e, bool *ret_rebooted, struct err *err)
{
	_cleanup_(freep) char *now = NULL, *then = NULL;
	size_t len = 0;
	int k = fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &now, &len, err);

	if (k == 0)
		k = store_get_meta(e->store, "boot-id", &then, err);
	if (k < 0)
		return k;
	now[strcspn(now, "\n")] = '\0';
	*ret_rebooted = then && strcmp(then, now) != 0;
	return then && !*ret_rebooted ? 0 : store_put_meta(e->store, "boot-id", now, err);
}

/* ---- containers ---- */

/* Nothing of it ran: it is made anew, under another name. */
static void begin_again(struct container *c)
{
	struct engine *e = c->run->engine;
	_cleanup_(freep) char *dir = container_runs_dir(c);

	if (dir) {
		holder_unmount(dir);
		(void) fs_remove_tree(AT_FDCWD, dir, NULL);
	}
	(void) image_store_unpin(e->images, c->id, NULL);
	CRASH_POINT(RESTORE_BEGUN_AGAIN);
	c->id[0] = '\0';
	if (c->network_mode == NETWORK_BRIDGE) /* the task's is kept */
		c->address.s_addr = 0;
	c->n_bindings = 0;
	c->created_ms = 0;
	if (c->known > CONTAINER_PULLED && c->known < CONTAINER_STOPPED)
		c->known = CONTAINER_PULLED;
	c->run->save = true;
}

static void vanished(struct container *c, bool rebooted)
{
	container_set_error(c, "ContainerVanishedError",
			    rebooted ? "No container matching saved ID found: the host was "
				       "rebooted"
				     : "No container matching saved ID found");
	container_log(LOG_ERROR, c, "Container '%s' is gone%s", c->name,
		      rebooted ? ": the host was rebooted" : "");
	/* Its record is gone; its processes may not be. */
	c->run->exit.type = SHIM_GONE;
	container_settle_exit(c);
}

/* An agent that had no IPv6, or another prefix, may have attached it. */
static void keep_address(struct container *c)
{
	struct engine *e = c->run->engine;
	_cleanup_(err_done) struct err err = {};

	if (e->net && c->network_mode == NETWORK_BRIDGE && c->address.s_addr &&
	    net_address_restore(e->net, c->address, &err) < 0)
		container_log(LOG_WARN, c, "Failed to keep the address of '%s', going on: %s",
			      c->name, err_text(&err));
	else if (e->net && c->network_mode == NETWORK_BRIDGE && c->address.s_addr &&
		 e->config->six.prefix_len > 0 &&
		 net_attach(e->net, c->id, c->address, &err) < 0)
		container_log(LOG_WARN, c, "Failed to give '%s' its IPv6 address, going on: %s",
			      c->name, err_text(&err));
}

/* Not "prepared": should it be restarted, this run of the agent looks for what it needs itself. */
static void adopt(struct container *c)
{
	c->run->ports_held = c->n_bindings > 0;
	if (c->known < CONTAINER_RUNNING) {
		c->known = CONTAINER_CREATED;
		container_set_busy(c, BUSY_STARTING);
		c->run->save = true;
	}
	if (c->restarting)
		container_set_busy(c, BUSY_STARTING);
	keep_address(c);
	container_volumes_adopt(c);
	container_watch(c);
	CRASH_POINT(RESTORE_ADOPTED);
}

/* Its restart was written down, and there is no trace of that run: it is made now. */
static void restart(struct container *c)
{
	c->run->ports_held = c->n_bindings > 0;
	keep_address(c);
	container_set_busy(c, BUSY_STARTING);
	c->run->action = ACTION_START;
}

/* What cannot be told is no answer: a container taken for gone would be started twice. */
static int find_again(struct container *c, bool rebooted, struct err *err)
{
	_cleanup_(freep) char *dir = NULL;
	int k;

	if (c->known == CONTAINER_STOPPED || !*c->id)
		return 0;
	dir = container_run_dir(c);
	k = dir ? shim_attach(dir, &c->run->shim, err) : err_set(err, ENOMEM, "make path");
	if (k < 0)
		return err_wrap(err, "container '%s' of '%s'", c->name, c->task->id);
	if (k == 0)
		adopt(c);
	else if (c->restarting && !rebooted)
		restart(c);
	else if (c->known >= CONTAINER_RUNNING)
		vanished(c, rebooted);
	else
		begin_again(c);
	return 0;
}

static int find_task_again(struct engine *e, struct task *t, bool rebooted, struct err *err)
{
	bool holds = false, live = false;

	for (size_t i = 0; i < t->n_containers; i++) {
		int k = find_again(&t->containers[i], rebooted, err);

		if (k < 0)
			return k;
		holds |= t->containers[i].known > CONTAINER_NONE &&
			 t->containers[i].known < CONTAINER_STOPPED;
		live |= container_is_live(&t->containers[i]);
	}
	task_net_restore(t, live);
	if (t->known != TASK_STOPPED && holds) {
		admission_force(&e->ledger, t);
		t->run->admitted = true;
	}
	if (t->known == TASK_STOPPED) {
		t->run->dirty = false;
		cleanup_schedule(e);
	}
	return 0;
}

/* ---- network ---- */

static int restore_ports(struct engine *e, struct err *err)
{
	_cleanup_(freep) struct net_published *all = NULL;
	size_t n = 0, max = 0;

	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			max += e->tasks[i]->containers[j].n_bindings;
	all = calloc(max + 1, sizeof(*all));
	if (!all)
		return err_set(err, ENOMEM, "allocate port bindings");
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			const struct container *c = &e->tasks[i]->containers[j];

			for (size_t p = 0; container_is_live(c) && p < c->n_bindings; p++)
				all[n++] = (struct net_published){ c->address, c->bindings[p] };
		}
	return net_ports_restore(e->net, all, n, err);
}

/* What was released shortly before, or while nobody looked, is not given to others at once. */
static void rest_ports(struct engine *e)
{
	int64_t since = clock_real_ms() - PORTPOOL_REST_MS;

	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			const struct container *c = &e->tasks[i]->containers[j];

			if (!container_is_live(c) &&
			    (c->known < CONTAINER_STOPPED || c->finished_ms > since))
				net_ports_rest(e->net, c->bindings, c->n_bindings);
		}
}

/* ---- the whole ---- */

int engine_load(struct engine *e, struct err *err)
{
	int k = store_load_tasks(e->store, on_task, e, err);

	if (k < 0)
		return err_wrap(err, "load tasks");
	CRASH_POINT(RESTORE_LOADED);
	k = rebuild_tasks(e, err);
	CRASH_POINT(RESTORE_REBUILT);
	return k < 0 ? err_wrap(err, "look through the containers' records") : 0;
}

int engine_restore(struct engine *e, struct err *err)
{
	bool rebooted = false;
	size_t running = 0;
	int k = engine_load(e, err);

	if (k == 0)
		k = check_boot(e, &rebooted, err);
	if (k < 0)
		return k;
	for (size_t i = 0; k == 0 && i < e->n_tasks; i++)
		k = find_task_again(e, e->tasks[i], rebooted, err);
	if (k < 0)
		return err_wrap(err, "find containers again");
	if (e->net)
		k = restore_ports(e, err);
	if (k < 0)
		return err_wrap(err, "restore host ports");
	if (e->net)
		rest_ports(e);
	CRASH_POINT(RESTORE_PORTS);
	engine_collect(e);
	CRASH_POINT(RESTORE_COLLECTED);
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			container_drain_shim(&e->tasks[i]->containers[j]);
			running += e->tasks[i]->containers[j].known == CONTAINER_RUNNING;
		}
	CRASH_POINT(RESTORE_DRAINED);
	if (e->n_tasks > 0)
		log_info("Found %zu tasks of an earlier run, %zu containers of theirs are running",
			 e->n_tasks, running);
	return engine_pass(e, err);
}
