/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart: what the store says is compared with what is there. Shims that live are heard
 * again, what ended says how, what never began is begun anew by the ordinary pass, and what belongs
 * to no task goes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/metadata-file.h"
#include "agent/engine/rebuild.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/net/portpool.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"

enum { LINGERING_MIN_MS = 10, LINGERING_MAX_MS = 30000 };

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

static bool is_live(const struct container *c)
{
	return (c->run->shim || c->restarting) && c->known < CONTAINER_STOPPED;
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
		live |= is_live(&t->containers[i]);
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

			for (size_t p = 0; is_live(c) && p < c->n_bindings; p++)
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

			if (!is_live(c) && (c->known < CONTAINER_STOPPED || c->finished_ms > since))
				net_ports_rest(e->net, c->bindings, c->n_bindings);
		}
}

/* ---- what belongs to nobody ---- */

static struct container *container_by_id(const struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (strcmp(e->tasks[i]->containers[j].id, id) == 0)
				return &e->tasks[i]->containers[j];
	return NULL;
}

static int on_lingering(sd_event_source *s, uint64_t usec, void *userdata);

/* What was killed takes a moment to die; what cannot be killed yet may take longer. */
static void look_again(struct engine *e)
{
	e->lingering_ms = CLAMP(e->lingering_ms * 2, LINGERING_MIN_MS, LINGERING_MAX_MS);
	e->lingering = sd_event_source_disable_unref(e->lingering);
	if (sd_event_add_time_relative(e->loop, &e->lingering, CLOCK_MONOTONIC,
				       (uint64_t) e->lingering_ms * USEC_PER_MSEC, 0, on_lingering,
				       e) >= 0)
		(void) sd_event_source_set_description(e->lingering, "engine-lingering");
}

static bool collect_cgroups(struct engine *e)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(err_done) struct err err = {};
	bool left = false;

	if (cgroup_list_tasks(&names, &err) < 0)
		log_warn("Failed to list cgroups, going on: %s", err_text(&err));
	for (char **s = names; s && *s; s++) {
		const struct task *t = engine_find_task(e, *s);
		_cleanup_(freep) char *path = NULL;

		if (t && strcmp(t->id, *s) == 0 && t->known != TASK_STOPPED && t->n_containers > 0)
			continue;
		path = path_join("%s/%s", cgroup_parent(), *s);
		log_info("Removing what is left of '%s'", *s);
		left |= !path || cgroup_kill(path, &err) < 0 || cgroup_task_remove(*s, &err) < 0;
		err_done(&err);
	}
	return left;
}

static void collect_namespaces(struct engine *e)
{
	_cleanup_(strv_freep) char **ids = NULL;
	_cleanup_(err_done) struct err err = {};

	if (net_ns_list(e->net, &ids, &err) < 0)
		log_warn("Failed to list network namespaces, going on: %s", err_text(&err));
	for (char **s = ids; s && *s; s++) {
		const struct container *c = container_by_id(e, *s);

		if (task_net_is_id(*s)) {
			if (!task_net_in_use(e, *s) && task_net_remove(e, *s, &err) < 0)
				log_warn("Failed to take the network of no task down, going on: %s",
					 err_text(&err));
			err_done(&err);
			continue;
		}
		if (c && is_live(c))
			continue;
		(void) net_detach(e->net, *s, NULL);
		(void) net_ns_remove(e->net, *s, NULL);
	}
}

/* @fn tells whether something is left of an entry; so does this, of any. */
static bool each_entry(const char *dir,
		       bool (*fn)(struct engine *e, const char *dir, const char *id),
		       struct engine *e)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *entry;
	bool left = false;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			left |= fn(e, dir, entry->d_name);
	return left;
}

/* A shim whose processes were just killed may still write there. */
static bool collect_run_dir(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);
	_cleanup_(freep) char *path = path_join("%s/%s", dir, id);

	if ((c && is_live(c)) || !path)
		return false;
	holder_unmount(path);
	return fs_remove_tree(AT_FDCWD, path, NULL) < 0;
}

static bool collect_runtime_state(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);

	return (!c || !is_live(c)) && runc_forget(dir, id, NULL) < 0;
}

/* Those of tasks that came since the start are none of these. */
static bool collect_stray_run_dir(struct engine *e, const char *dir, const char *id)
{
	return !container_by_id(e, id) && collect_run_dir(e, dir, id);
}

static bool collect_stray_runtime_state(struct engine *e, const char *dir, const char *id)
{
	return !container_by_id(e, id) && collect_runtime_state(e, dir, id);
}

static int on_lingering(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	bool left = collect_cgroups(e);

	(void) s, (void) usec;
	left |= each_entry(e->run_dir, collect_stray_run_dir, e);
	left |= each_entry(e->runc_root, collect_stray_runtime_state, e);
	if (left)
		look_again(e);
	return 0;
}

static bool collect_data_dir(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);
	_cleanup_(freep) char *path = path_join("%s/%s", dir, id);

	if ((c && is_live(c)) || !path)
		return false;
	(void) rootfs_unmount(path, NULL);
	return !c && cleanup_discard_dir(e, path) < 0;
}

static int collect_pin(const char *name, const char *id, void *userdata, struct err *err)
{
	struct engine *e = userdata;

	(void) id;
	/* Others may pin, too; ours are named by 64 digits. */
	if (strlen(name) != 64 || container_by_id(e, name))
		return 0;
	return image_store_unpin(e->images, name, err);
}

static void collect(struct engine *e)
{
	_cleanup_(err_done) struct err err = {};
	bool left = collect_cgroups(e);

	if (e->net)
		collect_namespaces(e);
	left |= each_entry(e->run_dir, collect_run_dir, e);
	left |= each_entry(e->runc_root, collect_runtime_state, e);
	(void) each_entry(e->data_dir, collect_data_dir, e);
	if (left)
		look_again(e);
	metadata_file_collect(e);
	volumes_restore(e);
	if (image_store_list_pins(e->images, collect_pin, e, &err) < 0)
		log_warn("Failed to look through the image pins, going on: %s", err_text(&err));
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
	collect(e);
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
