/* SPDX-License-Identifier: Apache-2.0 */
/* How a container is stopped, and what its shim says of it: that it runs, and how it ended. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/health.h"
#include "agent/engine/internal.h"
#include "agent/engine/metadata-file.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/tree.h"

enum {
	LEFT_PROCESSES_MS = 5, /* between looks at a cgroup whose processes were killed; doubles */
	LEFT_PROCESSES_MAX_MS = 1000,
	KILL_PATIENCE_MS = 5000, /* after the shim should have killed */
};

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
	int64_t limit_ms = container_grace_ms(c) + c->run->engine->stop_limit_ms;
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

void container_stop(struct container *c)
{
	int sig = bundle_stop_signal(c);
	_cleanup_(err_done) struct err err = {};

	if (!c->run->shim) /* it ended; container_settle_exit() waits for the last of its processes */
		return;
	container_log(LOG_INFO, c,
		      "Stopping container '%s' with signal %d, KILL after %" PRId64 " ms", c->name,
		      sig, container_grace_ms(c));
	c->run->stop_mono_ms = clock_mono_ms();
	CRASH_POINT(STOP_BEFORE);
	/* The shim keeps the time, so the promise holds even if we end now. */
	if (shim_stop(c->run->shim, sig, &err) < 0) {
		container_log(LOG_WARN, c, "Failed to signal '%s', killing it: %s", c->name,
			      err_text(&err));
		kill_left(c);
	}
	CRASH_POINT(STOP_SENT);
	set_timer(c, container_grace_ms(c) + KILL_PATIENCE_MS, on_overdue);
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
	metadata_file_finish(c);
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
