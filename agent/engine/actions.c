/* SPDX-License-Identifier: Apache-2.0 */
/* What is done for a container from its preparation to the removal of its traces. All acts are idempotent. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/health.h"
#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/rebuild.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"

enum {
	EARLY_MAX = 8,
	QUOTA_MIN_USEC = 1000, /* the kernel takes no less */
};

char *container_runs_dir(const struct container *c)
{
	return path_join("%s/%s", c->run->engine->run_dir, c->id);
}

/*
 * A run directory serves one start only, so what is found in one after a crash can be of no other
 * run: a restart that was written down is made exactly once.
 */
char *container_run_dir(const struct container *c)
{
	if (c->restart_count == 0)
		return container_runs_dir(c);
	return path_join("%s/%s/%d", c->run->engine->run_dir, c->id, c->restart_count);
}

char *container_data_dir(const struct container *c)
{
	return path_join("%s/%s", c->run->engine->data_dir, c->id);
}

char *container_cgroup_path(const struct container *c)
{
	const char *parent = c->task->run->cgroup_path;

	return parent ? path_join("%s/%s", parent, c->id) : NULL;
}

/* ---- what needs no image ---- */

static struct cgroup_limits task_limits(const struct engine *e, const struct task *t)
{
	struct cgroup_limits l = { .pids = e->config->task_pids_limit };
	int64_t shares = 0;

	if (!e->config->task_cpu_mem_limit)
		return l;
	for (size_t i = 0; i < t->n_containers; i++)
		shares += MAX(t->containers[i].cpu_shares, CPU_SHARES_MIN);
	l.memory_bytes = t->memory_mib << 20;
	if (t->cpu > 0) {
		l.cpu_period_usec = e->config->cgroup_cpu_period_usec;
		l.cpu_quota_usec =
			MAX((int64_t) (t->cpu * (double) l.cpu_period_usec), QUOTA_MIN_USEC);
	} else {
		l.cpu_shares = MIN(shares, CPU_SHARES_MAX);
	}
	return l;
}

static int make_task_cgroup(struct engine *e, struct task *t, struct err *err)
{
	struct cgroup_limits limits = task_limits(e, t);
	int k;

	if (t->run->cgroup_made)
		return 0;
	CRASH_POINT(TASK_CGROUP_BEFORE);
	k = cgroup_task_create(t->id, &limits, &t->run->cgroup_path, err);
	CRASH_POINT(TASK_CGROUP_MADE);
	if (k < 0) {
		/* the service knows this text; the cause is the container's reason */
		if (!t->reason)
			t->reason = strdup(
				"CgroupError: Agent could not create task's platform resources");
		return k;
	}
	t->run->cgroup_made = true;
	return 0;
}

int container_prepare(struct container *c, struct err *err)
{
	struct container_run *r = c->run;
	int k;

	if (r->prepared)
		return 0;
	k = make_task_cgroup(r->engine, c->task, err);
	if (k == 0 && c->network_mode == NETWORK_BRIDGE) {
		free(r->netns_path);
		r->netns_path = NULL;
		k = net_ns_create(r->engine->net, c->id, &r->netns_path, err);
		CRASH_POINT(NETNS_MADE);
		if (k == 0)
			k = net_attach(r->engine->net, c->id, c->address, err);
		CRASH_POINT(NETWORK_ATTACHED);
	}
	r->prepared = k == 0;
	return k;
}

static const char *prepare_error(const struct container *c)
{
	return c->task->run->cgroup_made ? "ContainerNetworkingError" : "CgroupError";
}

/* ---- start ---- */

int64_t container_grace_ms(const struct container *c)
{
	return c->stop_timeout_s > 0 ? c->stop_timeout_s * MSEC_PER_SEC
				     : c->run->engine->config->stop_timeout_ms;
}

static int spawn_shim(struct container *c, struct err *err)
{
	struct engine *e = c->run->engine;
	_cleanup_(freep) char *run_dir = container_run_dir(c);
	_cleanup_(freep) char *log = engine_log_path(e, c);
	_cleanup_(freep) char *memory = engine_cgroup_dir(c, "memory");
	_cleanup_(freep) char *cgroup = container_cgroup_path(c);
	struct shim_params p = {
		.program = e->shim_program,
		.runc = e->runc,
		.runc_root = e->runc_root,
		.id = c->id,
		.run_dir = run_dir,
		.bundle = run_dir,
		.log = log ? SHIM_LOG_JSON_FILE : SHIM_LOG_NONE,
		.log_path = log,
		.log_max_bytes = c->log_max_bytes,
		.log_max_files = c->log_max_files,
		.start_timeout_ms = (int) MIN(e->config->start_timeout_ms, 3600000),
		.crowded = slots_crowded(e),
		.terminal = c->terminal,
		.open_stdin = c->open_stdin,
		.init = c->init,
		.cgroups_path = cgroup,
		.memory_cgroup_dir = memory,
		.stop_grace_ms = container_grace_ms(c),
		.health = c->run->health,
	};

	if (!run_dir || !cgroup)
		return err_set(err, ENOMEM, "start a shim");
	return shim_spawn(&p, &c->run->shim, err);
}

static int find_image(struct container *c, struct image **ret, struct err *err)
{
	int k = image_store_lookup(c->run->engine->images, c->image_id ? c->image_id : c->image,
				   ret, err);

	if (k == IMAGE_E_NOT_FOUND)
		return err_set(err, ENOENT, "No such image: %s", c->image);
	if (k < 0)
		return k;
	k = image_store_pin(c->run->engine->images, c->id, (*ret)->id, err);
	CRASH_POINT(IMAGE_PINNED);
	if (k == IMAGE_E_NOT_FOUND)
		k = err_set(err, ENOENT, "No such image: %s", c->image);
	if (k < 0)
		*ret = image_free(*ret);
	return k;
}

void container_fail_start(struct container *c, const char *error_name, const struct err *err)
{
	if (c->restarting) {
		restart_failed(c, err_text(err));
		return;
	}
	container_set_busy(c, BUSY_NOTHING);
	container_fail(c, error_name, "%s", err_text(err));
}

/* @image is none for a container of ours. */
static void start_with(struct container *c, const struct image *image)
{
	struct engine *e = c->run->engine;
	_cleanup_(err_done) struct err err = {};

	if ((c->internal ? holder_make(c, &err) : bundle_make(c, image, &err)) < 0 ||
	    rebuild_note(c, &err) < 0) {
		container_fail_start(c, "CannotCreateContainerError", &err);
		return;
	}
	CRASH_POINT(BUNDLE_MADE);
	if (spawn_shim(c, &err) < 0) {
		container_fail_start(c, "CannotStartContainerError", &err);
		return;
	}
	CRASH_POINT(SHIM_SPAWNED);
	container_watch(c);
	container_volumes_started(c);
	if (c->restarting) /* its ports are still published */
		return;
	/* While runc is at work: nobody can know of the ports before RUNNING is reported. */
	if (c->n_bindings > 0 &&
	    net_ports_publish(e->net, c->address, c->bindings, c->n_bindings, &err) < 0) {
		container_fail(c, "CannotStartContainerError", "publish ports: %s", err_text(&err));
		if (c->run->shim)
			(void) shim_kill_all(c->run->shim, NULL);
	}
	CRASH_POINT(PORTS_PUBLISHED);
}

static void start(struct container *c)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(err_done) struct err err = {};
	int k;

	CRASH_POINT(START_BEFORE);
	if (health_config_error(c)) {
		(void) err_set(&err, EPROTO, "%s", health_config_error(c));
		container_fail_start(c, "DockerClientConfigError", &err);
		return;
	}
	if (container_prepare(c, &err) < 0) {
		container_fail_start(c, prepare_error(c), &err);
		return;
	}
	if (c->internal) {
		start_with(c, NULL);
		return;
	}
	if (find_image(c, &image, &err) < 0) {
		container_fail_start(c, "CannotCreateContainerError", &err);
		return;
	}
	k = container_volumes_prepare(c, image, &err);
	if (k < 0)
		container_fail_start(c, "CannotCreateContainerError", &err);
	else if (k == 0)
		start_with(c, image);
}

void container_start_rest(struct container *c)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(err_done) struct err err = {};

	if (find_image(c, &image, &err) < 0)
		container_fail_start(c, "CannotCreateContainerError", &err);
	else
		start_with(c, image);
}

static void pull(struct container *c)
{
	_cleanup_(err_done) struct err err = {};

	CRASH_POINT(PULL_BEFORE);
	if (pulls_join(c->run->engine, c, &err) < 0) {
		container_set_busy(c, BUSY_NOTHING);
		container_fail(c, "CannotPullContainerError", "%s", err_text(&err));
		return;
	}
	CRASH_POINT(PULL_JOINED);
	/* The registry takes its time; what needs no image is made meanwhile. Not for a crowd, whose
	 * turn comes one by one. */
	if (pulls_waiting(c) <= EARLY_MAX && container_prepare(c, &err) < 0) {
		pulls_leave(c);
		container_set_busy(c, BUSY_NOTHING);
		container_fail(c, prepare_error(c), "%s", err_text(&err));
	}
}

void container_act(struct container *c)
{
	enum container_action action = c->run->action;

	c->run->action = ACTION_NONE;
	if (action == ACTION_START && c->restarting)
		restart_clear_runs(c);
	if (action == ACTION_PULL)
		pull(c);
	else if (action == ACTION_START)
		start(c);
	else if (action == ACTION_STOP)
		container_stop(c);
	else if (action == ACTION_RESOLVE)
		resolve_start(c);
}

/* ---- after the end ---- */

static void warn_left(const struct container *c, const char *what, struct err *err)
{
	container_log(LOG_WARN, c, "Failed to remove the %s of '%s', going on: %s", what, c->name,
		      err_text(err));
	err_done(err);
}

/* The writable layer and the log stay until the task is cleaned up. */
void container_teardown(struct container *c)
{
	struct engine *e = c->run->engine;
	_cleanup_(freep) char *run_dir = container_runs_dir(c), *data_dir = container_data_dir(c);
	_cleanup_(err_done) struct err err = {};

	if (!*c->id || !run_dir || !data_dir)
		return;
	CRASH_POINT(TEARDOWN_BEFORE);
	if (e->net && c->network_mode == NETWORK_BRIDGE) {
		if (net_detach(e->net, c->id, &err) < 0)
			warn_left(c, "network", &err);
		if (net_ns_remove(e->net, c->id, &err) < 0)
			warn_left(c, "network namespace", &err);
		if (c->address.s_addr)
			net_address_release(e->net, c->address);
		c->address.s_addr = 0;
	}
	CRASH_POINT(TEARDOWN_NETWORK_GONE);
	c->run->prepared = false;
	/* A shim that died left the runtime's own state behind, perhaps after it wrote the exit down. */
	if (runc_forget(e->runc_root, c->id, &err) < 0)
		warn_left(c, "runtime state", &err);
	if (rootfs_unmount(data_dir, &err) < 0)
		warn_left(c, "root mount", &err);
	CRASH_POINT(TEARDOWN_UNMOUNTED);
	holder_unmount(run_dir);
	if (fs_remove_tree(AT_FDCWD, run_dir, &err) < 0)
		warn_left(c, "run directory", &err);
	CRASH_POINT(TEARDOWN_RUN_DIR_GONE);
	volumes_release(c);
}

void task_teardown(struct task *t)
{
	_cleanup_(err_done) struct err err = {};

	task_net_teardown(t);
	if (t->n_containers > 0 && cgroup_task_remove(t->id, &err) < 0)
		task_log(LOG_WARN, t, "Failed to remove the cgroup of '%s', going on: %s", t->id,
			 err_text(&err));
	CRASH_POINT(TASK_CGROUP_GONE);
	t->run->cgroup_made = false;
	free(t->run->cgroup_path);
	t->run->cgroup_path = NULL;
}
