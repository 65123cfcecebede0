/* SPDX-License-Identifier: Apache-2.0 */
/* What is done for a container, and what its shim says of it. All acts are idempotent. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "runtime/cgroup/tree.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"

enum {
	LEFT_PROCESSES_MS = 5, /* between looks at a cgroup whose processes were killed; doubles */
	LEFT_PROCESSES_MAX_MS = 1000,
	KILL_PATIENCE_MS = 5000, /* after the shim should have killed */
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

static int64_t grace_ms(const struct container *c)
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
		.stop_grace_ms = grace_ms(c),
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

/* ---- stop ---- */

static bool processes_left(const struct container *c)
{
	_cleanup_(freep) char *dir = engine_cgroup_dir(c, "memory");

	return dir && cgroup_tree_populated(dir);
}

/* What is told of it once it ended all the same: it is killed again and again. */
static void stop_failed(struct container *c, const char *error_name, const char *text)
{
	if (c->desired != CONTAINER_STOPPED || c->error_name)
		return;
	container_set_error(c, error_name, text);
	c->run->save = true;
	engine_touch(c->run->engine, c->task);
}

static void note_late_stop(struct container *c)
{
	int64_t limit_ms = grace_ms(c) + c->run->engine->stop_limit_ms;
	char text[128], duration[DURATION_TEXT_MAX];

	if (c->run->stop_mono_ms == 0 || clock_mono_ms() - c->run->stop_mono_ms < limit_ms)
		return;
	(void) snprintf(text, sizeof(text),
			"Could not transition to stopped; timed out after waiting %s",
			duration_format_ms(limit_ms, duration));
	stop_failed(c, "DockerTimeoutError", text);
}

static void kill_left(struct container *c)
{
	_cleanup_(freep) char *path = path_join("%s/%s/%s", cgroup_parent(), c->task->id, c->id);
	_cleanup_(err_done) struct err err = {};

	if (!path || cgroup_kill(path, &err) >= 0)
		return;
	container_log(LOG_WARN, c, "Failed to kill what is left of '%s', trying again: %s", c->name,
		      err_text(&err));
	if (c->run->shim) /* without it the group may be about to go */
		stop_failed(c, "CannotStopContainerError", err_text(&err));
}

static void set_timer(struct container *c, int64_t ms, sd_event_time_handler_t fn)
{
	struct container_run *r = c->run;

	r->timer = sd_event_source_disable_unref(r->timer);
	if (sd_event_add_time_relative(r->engine->loop, &r->timer, CLOCK_MONOTONIC,
				       (uint64_t) (ms * USEC_PER_MSEC), 0, fn, c) >= 0)
		(void) sd_event_source_set_description(r->timer, "container-timer");
}

static int on_overdue(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct container *c = userdata;

	(void) s, (void) usec;
	container_log(LOG_WARN, c,
		      "Container '%s' is still there after KILL was due, killing again", c->name);
	if (c->run->shim)
		(void) shim_kill_all(c->run->shim, NULL);
	kill_left(c);
	note_late_stop(c);
	set_timer(c, KILL_PATIENCE_MS, on_overdue);
	return 0;
}

static void stop(struct container *c)
{
	int sig = bundle_stop_signal(c);
	_cleanup_(err_done) struct err err = {};

	if (!c->run->shim) /* it ended; container_settle_exit() waits for the last of its processes */
		return;
	container_log(LOG_INFO, c,
		      "Stopping container '%s' with signal %d, KILL after %" PRId64 " ms", c->name,
		      sig, grace_ms(c));
	c->run->stop_mono_ms = clock_mono_ms();
	CRASH_POINT(STOP_BEFORE);
	/* The shim keeps the time, so the promise holds even if we end now. */
	if (shim_stop(c->run->shim, sig, &err) < 0) {
		container_log(LOG_WARN, c, "Failed to signal '%s', killing it: %s", c->name,
			      err_text(&err));
		kill_left(c);
	}
	CRASH_POINT(STOP_SENT);
	set_timer(c, grace_ms(c) + KILL_PATIENCE_MS, on_overdue);
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
		stop(c);
	else if (action == ACTION_RESOLVE)
		resolve_start(c);
}

/* ---- what the shim says ---- */

static void say_running(const struct container *c)
{
	char ports[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < c->n_bindings && n < sizeof(ports) - 40; i++)
		n += (size_t) snprintf(ports + n, sizeof(ports) - n, "%s %u serves %u/%s",
				       i == 0 ? ", host port" : ",", c->bindings[i].host_port,
				       c->bindings[i].container_port,
				       c->bindings[i].proto == IPPROTO_UDP ? "udp" : "tcp");
	container_log(LOG_INFO, c, "Container '%s' is running after %lld ms%s", c->name,
		      (long long) (clock_mono_ms() - c->task->run->arrived_mono_ms), ports);
}

static void on_started(struct container *c, const struct shim_event *ev)
{
	struct engine *e = c->run->engine;
	_cleanup_(freep) char *dir = container_run_dir(c);
	_cleanup_(freep) char *path = dir ? path_join("%s/config.json", dir) : NULL;
	bool news = c->known < CONTAINER_RUNNING;

	if (path)
		(void) unlink(path); /* it may hold secrets, and nobody reads it any more */
	if (c->run->busy == BUSY_STARTING)
		container_set_busy(c, BUSY_NOTHING);
	CRASH_POINT(STARTED_HEARD);
	if (c->restarting)
		restart_begun(c);
	c->pid = ev->pid;
	c->started_ms = ev->started_ms;
	c->run->save = true;
	health_begin(c);
	container_set_known(c, CONTAINER_RUNNING);
	if (news)
		say_running(c);
	if (e->callbacks.on_container_running)
		e->callbacks.on_container_running(e->callbacks.userdata, c);
	engine_tell(e, c->task, c, "container-running");
	limits_check_later(c);
}

static int on_left(sd_event_source *s, uint64_t usec, void *userdata);

static void on_failed(struct container *c, const struct shim_event *ev)
{
	int64_t limit_ms = c->run->engine->config->start_timeout_ms;
	char text[DURATION_TEXT_MAX];

	if (c->restarting) {
		restart_failed(c, ev->message);
		return;
	}
	container_set_busy(c, BUSY_NOTHING);
	if (c->run->start_mono_ms > 0 && clock_mono_ms() - c->run->start_mono_ms >= limit_ms)
		container_fail(c, "DockerTimeoutError",
			       "Could not transition to started; timed out after waiting %s",
			       duration_format_ms(limit_ms, text));
	else
		container_fail(c, "CannotStartContainerError", "%s", ev->message);
}

static void take_exit(struct container *c)
{
	struct engine *e = c->run->engine;
	const struct shim_event *ev = &c->run->exit;

	if (ev->type == SHIM_FAILED) {
		on_failed(c, ev);
		return;
	}
	if (ev->type == SHIM_EXITED) {
		c->has_exit_code = true;
		c->exit_code = ev->exit_code;
		c->finished_ms = ev->finished_ms;
		if (ev->oom)
			container_set_error(c, "OutOfMemoryError",
					    "Container killed due to memory usage");
	} else {
		container_set_error(
			c, "DockerStateError",
			"the container's parent process died; its exit code is not known");
	}
	if (e->callbacks.on_container_stopped)
		e->callbacks.on_container_stopped(e->callbacks.userdata, c);
	if (c->restart.enabled && ev->type == SHIM_EXITED && c->known == CONTAINER_RUNNING)
		restart_ended(c);
	else
		container_finish(c);
	CRASH_POINT(EXIT_SETTLED);
}

/* STOPPED only when no process lives: what is left is killed first, by our own hand. */
void container_settle_exit(struct container *c)
{
	int64_t *wait_ms = &c->run->left_wait_ms;
	bool left = processes_left(c);

	if (!left && !restart_must_wait(c)) {
		*wait_ms = 0;
		take_exit(c);
		return;
	}
	if (left) {
		kill_left(c);
		note_late_stop(c);
	}
	*wait_ms = CLAMP(*wait_ms * 2, LEFT_PROCESSES_MS, LEFT_PROCESSES_MAX_MS);
	set_timer(c, *wait_ms, on_left);
}

static int on_left(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) s, (void) usec;
	container_settle_exit(userdata);
	return 0;
}

static void on_ended(struct container *c, const struct shim_event *ev)
{
	struct container_run *r = c->run;

	CRASH_POINT(EXIT_HEARD);
	r->shim_io = sd_event_source_disable_unref(r->shim_io);
	r->shim = shim_free(r->shim);
	r->exit = *ev;
	container_settle_exit(c);
}

void container_drain_shim(struct container *c)
{
	_cleanup_(err_done) struct err err = {};
	struct shim_event ev;
	int k = 1;

	while (c->run->shim && (k = shim_next_event(c->run->shim, &ev, &err)) > 0) {
		if (ev.type == SHIM_STARTED)
			on_started(c, &ev);
		else if (ev.type == SHIM_HEALTH)
			health_on_event(c, &ev);
		else
			on_ended(c, &ev);
	}
	if (k < 0) {
		container_log(LOG_ERROR, c, "Failed to hear the shim of '%s': %s", c->name,
			      err_text(&err));
		on_ended(c, &(struct shim_event){ .type = SHIM_GONE });
	}
}

static int on_shim(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void) s, (void) fd, (void) revents;
	container_drain_shim(userdata);
	return 0;
}

void container_watch(struct container *c)
{
	struct container_run *r = c->run;
	int k = sd_event_add_io(r->engine->loop, &r->shim_io, shim_fd(r->shim), EPOLLIN, on_shim,
				c);

	if (k < 0) {
		container_log(LOG_ERROR, c, "Failed to watch the shim of '%s': %s", c->name,
			      strerrordesc_np(-k));
		return;
	}
	(void) sd_event_source_set_description(r->shim_io, "container-shim");
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

	if (t->n_containers > 0 && cgroup_task_remove(t->id, &err) < 0)
		task_log(LOG_WARN, t, "Failed to remove the cgroup of '%s', going on: %s", t->id,
			 err_text(&err));
	CRASH_POINT(TASK_CGROUP_GONE);
	t->run->cgroup_made = false;
	free(t->run->cgroup_path);
	t->run->cgroup_path = NULL;
}
