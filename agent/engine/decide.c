/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From reconcile.c's answer to intents: statuses, ids, addresses, ports. Nothing here leaves a
 * trace that a crash could lose; the acts come after the flush.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/efs-role.h"
#include "agent/engine/holder.h"
#include "agent/engine/host-ports.h"
#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/strv.h"

void container_set_busy(struct container *c, enum container_busy busy)
{
	c->run->busy = busy;
	if (busy != BUSY_STARTING)
		slots_give_back(c);
}

void container_set_known(struct container *c, enum container_status known)
{
	if (known <= c->known)
		return;
	c->known = known;
	c->run->save = true;
	engine_touch(c->run->engine, c->task);
}

/* The first error counts; the container goes no further. */
void container_fail(struct container *c, const char *error_name, const char *fmt, ...)
{
	_cleanup_(freep) char *msg = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&msg, fmt, ap) < 0)
		msg = NULL;
	va_end(ap);
	container_set_error(c, error_name, msg ? msg : "out of memory");
	container_log(LOG_ERROR, c, "Container '%s' failed: %s: %s", c->name, error_name,
		      msg ? msg : "");
	c->desired = CONTAINER_STOPPED;
	c->run->save = true;
	engine_touch(c->run->engine, c->task);
}

/* Nothing of it runs any more. What it held goes back before anybody hears of the end. */
void container_finish(struct container *c)
{
	struct task *t = c->task;

	if (c->known == CONTAINER_STOPPED)
		return;
	host_ports_free(c);
	if (c->finished_ms == 0 && c->known >= CONTAINER_CREATED)
		c->finished_ms = clock_real_ms();
	if (c->essential && t->execution_stopped_ms == 0) {
		t->execution_stopped_ms = c->finished_ms ? c->finished_ms : clock_real_ms();
		t->run->save = true;
	}
	holder_note_end(c);
	container_set_busy(c, BUSY_NOTHING);
	c->run->timer = sd_event_source_disable_unref(c->run->timer);
	c->desired = CONTAINER_STOPPED;
	c->run->wants_slot = c->restarting = false;
	c->pid = 0;
	container_set_known(c, CONTAINER_STOPPED);
	if (*c->id) {
		c->run->teardown = true;
		engine_want_teardown(c->run->engine);
	}
	engine_tell(c->run->engine, t, c, "container-stopped");
	if (c->has_exit_code)
		container_log(LOG_INFO, c, "Container '%s' stopped with exit code %d%s", c->name,
			      c->exit_code,
			      c->error_name && strcmp(c->error_name, "OutOfMemoryError") == 0
				      ? ", out of memory"
				      : "");
}

/* ---- admission ---- */

static void stop_for(struct task *t, const char *fmt, ...) _printf_(2, 3);

static void stop_for(struct task *t, const char *fmt, ...)
{
	va_list ap;

	t->desired = TASK_STOPPED;
	t->run->save = true;
	if (t->reason)
		return;
	va_start(ap, fmt);
	if (vasprintf(&t->reason, fmt, ap) < 0)
		t->reason = NULL;
	va_end(ap);
	task_log(LOG_ERROR, t, "Task '%s' is stopped: %s", t->id, t->reason ? t->reason : "");
}

static void admit(struct engine *e, struct task *t)
{
	_cleanup_(freep) char *lack = NULL;
	int k = admission_take(&e->ledger, t, &lack);

	if (k == 0) {
		if (t->waiting_for)
			task_log(LOG_INFO, t, "Task '%s' waited %lld ms for %s", t->id,
				 (long long) (clock_real_ms() - t->waiting_since_ms),
				 t->waiting_for);
		t->run->admitted = true;
		free(t->waiting_for);
		t->waiting_for = NULL;
		return;
	}
	if (k == ADMISSION_NEVER) {
		stop_for(t, "resource cannot be initialized for task %s: %s", t->arn, lack);
		return;
	}
	if (!t->waiting_for) {
		t->waiting_since_ms = clock_real_ms();
		task_log(LOG_INFO, t, "Task '%s' waits for host resources: %s", t->id,
			 lack ? lack : "memory of the agent");
	}
	free(t->waiting_for);
	t->waiting_for = TAKE_PTR(lack);
}

static void release(struct engine *e, struct task *t)
{
	if (!t->run->admitted)
		return;
	t->run->admitted = false;
	admission_release(&e->ledger, t);
	e->room = true;
}

/* ---- intents ---- */

static int take_address(struct engine *e, struct container *c)
{
	_cleanup_(err_done) struct err err = {};

	if (!e->net) {
		container_fail(c, "ContainerNetworkingError",
			       "networkMode: bridge: this host has no bridge network");
		return -ENETDOWN;
	}
	if (c->address.s_addr == 0 && net_address_take(e->net, &c->address, &err) < 0) {
		container_fail(c, "ContainerNetworkingError", "%s", err_text(&err));
		return -ENOSPC;
	}
	return 0;
}

/* Chooses all by which traces of the container on this host will be known. */
static int intend_traces(struct engine *e, struct container *c)
{
	if (*c->id)
		return 0;
	(void) random_hex(c->id, 64);
	c->run->save = true;
	e->commit_first = true;
	return c->network_mode == NETWORK_BRIDGE ? take_address(e, c) : 0;
}

static void intend_pull(struct engine *e, struct container *c)
{
	_cleanup_(err_done) struct err err = {};
	int k;

	if (intend_traces(e, c) < 0)
		return;
	if (c->internal) { /* its program is there */
		container_set_known(c, CONTAINER_PULLED);
		return;
	}
	k = pulls_from_cache(e, c, &err);
	if (k < 0) {
		container_fail(c, "CannotPullContainerError", "%s", err_text(&err));
	} else if (k == 0) {
		container_set_busy(c, BUSY_PULLING);
		c->run->action = ACTION_PULL;
	}
}

static void intend_start(struct engine *e, struct container *c)
{
	if (!slots_take(c) || intend_traces(e, c) < 0)
		return;
	if (c->created_ms == 0)
		c->created_ms = clock_real_ms();
	container_set_known(c, CONTAINER_CREATED);
	container_set_busy(c, BUSY_STARTING);
	c->run->action = ACTION_START;
}

/* The same container once more: the id, the writable layer, the address and the ports stay. */
static void intend_restart(struct engine *e, struct container *c)
{
	if (!slots_take(c))
		return;
	c->restart_count++;
	c->last_restart_ms = clock_real_ms();
	c->restarting = true;
	c->run->save = true;
	e->commit_first = true;
	container_set_busy(c, BUSY_STARTING);
	c->run->action = ACTION_START;
}

/* It never was, so it ends as if it had been told to. */
static void give_up(struct container *c, const struct reconcile_step *step)
{
	enum { EXIT_TERMINATED = 128 + SIGTERM };
	_cleanup_(freep) char *why =
		depends_explain(step->answer, c, &c->task->containers[step->waits_for->index]);

	c->has_exit_code = true;
	c->exit_code = EXIT_TERMINATED;
	container_fail(c, "CannotStartContainerError", "%s", why ? why : "dependency graph");
}

static bool has_error(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].error_name || t->containers[i].has_exit_code)
			return true;
	return t->reason != NULL;
}

static void intend_finish(struct container *c)
{
	_cleanup_(freep) char *msg = NULL;

	/* Stopped from outside before anything of it was there: say so. */
	if (c->known == CONTAINER_NONE && !has_error(c->task) &&
	    asprintf(&msg, "Task stopped before image pull could begin for task: %s",
		     c->task->arn) >= 0)
		container_set_error(c, "TaskStoppedBeforePullBeginError", msg);
	container_finish(c);
}

static void intend(struct engine *e, struct container *c, const struct reconcile_step *step)
{
	if (!efs_role_lets(c, step->action) || !task_inputs_let(c, step->action) ||
	    !holder_lets(c, step->action) || !task_net_lets(c, step->action) ||
	    !host_ports_let(c, step->action))
		return;
	switch (step->action) {
	case ACTION_PULL:
		intend_pull(e, c);
		break;
	case ACTION_START:
		intend_start(e, c);
		break;
	case ACTION_RESOLVE:
		container_set_busy(c, BUSY_PULLING);
		c->run->action = ACTION_RESOLVE;
		break;
	case ACTION_RESTART:
		intend_restart(e, c);
		break;
	case ACTION_GIVE_UP:
		give_up(c, step);
		break;
	case ACTION_STOP:
		container_set_busy(c, BUSY_STOPPING);
		c->run->action = ACTION_STOP;
		break;
	case ACTION_CANCEL_PULL:
		pulls_leave(c);
		container_finish(c);
		break;
	case ACTION_FINISH:
		c->run->action = ACTION_NONE;
		intend_finish(c);
		break;
	case ACTION_IMPOSSIBLE:
		container_log(LOG_ERROR, c, "Container '%s' is in an impossible state: %s, busy %d",
			      c->name, container_status_name(c->known), (int) c->run->busy);
		break;
	default:
		break;
	}
}

/* ---- the task ---- */

/* What was decided in this pass and not yet begun. */
static void take_back_intent(struct container *c)
{
	if (c->run->action != ACTION_START && c->run->action != ACTION_PULL &&
	    c->run->action != ACTION_RESOLVE)
		return;
	c->run->action = ACTION_NONE;
	container_set_busy(c, c->restarting ? BUSY_ENDED : BUSY_NOTHING);
	if (!c->restarting)
		return;
	c->restarting = false;
	c->restart_count--;
	c->run->save = true;
}

static void want_stopped(struct task *t)
{
	if (t->desired != TASK_STOPPED) {
		t->desired = TASK_STOPPED;
		t->run->save = true;
	}
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		take_back_intent(c);
		c->run->save |= c->desired != CONTAINER_STOPPED;
		c->desired = CONTAINER_STOPPED;
		container_volumes_review(c);
	}
}

static void set_task_known(struct engine *e, struct task *t, enum task_status known)
{
	if (known == t->known)
		return;
	t->known = known;
	t->run->save = true;
	engine_tell(e, t, NULL, "task-status");
	if (known == TASK_RUNNING)
		task_log(LOG_INFO, t, "Task '%s' is running after %lld ms", t->id,
			 (long long) (clock_mono_ms() - t->run->arrived_mono_ms));
	if (known != TASK_STOPPED)
		return;
	t->stopped_ms = clock_real_ms();
	if (t->execution_stopped_ms == 0)
		t->execution_stopped_ms = t->stopped_ms;
	free(t->waiting_for);
	t->waiting_for = NULL;
	release(e, t);
	t->run->teardown = true;
	engine_want_teardown(e);
	cleanup_schedule(e);
	task_log(LOG_INFO, t, "Task '%s' stopped%s%s", t->id, t->reason ? ": " : "",
		 t->reason ? t->reason : "");
}

static void look(const struct task *t, struct reconcile_container *cs)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];

		cs[i] = (struct reconcile_container){
			.known = c->known,
			.desired = c->desired,
			/* A restart that was begun and taken back: it is where it ended. */
			.busy = c->restarting && c->run->busy == BUSY_NOTHING ? BUSY_ENDED
									      : c->run->busy,
			.essential = c->essential,
			.internal = c->internal,
			.health = c->health.status,
			.has_exit_code = c->has_exit_code,
			.exit_code = c->exit_code,
			.started_ms = c->started_ms,
			.start_timeout_s = c->start_timeout_s,
			.depends = c->depends,
			.n_depends = c->n_depends,
			.restart = &c->restart,
			.last_restart_ms = c->last_restart_ms,
			.finished_ms = c->finished_ms,
		};
	}
}

/* For people: what it waits for, and since when. */
static void note_waiting(struct container *c, const struct depend *d)
{
	char text[DEPENDS_TEXT_MAX];

	if (c->waits_for == d)
		return;
	c->waits_for = d;
	c->waits_since_ms = d ? clock_real_ms() : 0;
	if (d)
		container_log(LOG_INFO, c, "Container '%s' waits for %s", c->name,
			      depends_waiting_text(c, text));
}

static int on_patience_ends(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct task *t = userdata;

	(void) s, (void) usec;
	engine_touch(t->run->engine, t);
	return 0;
}

/* Start timeouts are told from wall-clock times, so the timer follows that clock, too. */
static void wake_at(struct task *t, int64_t wake_ms)
{
	struct task_run *r = t->run;

	if (r->wake_ms == wake_ms)
		return;
	r->wake = sd_event_source_disable_unref(r->wake);
	r->wake_ms = wake_ms;
	if (wake_ms == 0)
		return;
	if (sd_event_add_time(r->engine->loop, &r->wake, CLOCK_REALTIME,
			      (uint64_t) (wake_ms * USEC_PER_MSEC), 0, on_patience_ends, t) >= 0)
		(void) sd_event_source_set_description(r->wake, "task-wake");
}

/* Once through; true when something changed that may allow the next step at once. */
static bool decide_once(struct engine *e, struct task *t, struct reconcile_container *cs,
			struct reconcile_step *steps)
{
	struct reconcile_task view = { .known = t->known,
				       .desired = t->desired,
				       .admitted = t->run->admitted,
				       .containers = cs,
				       .n_containers = t->n_containers,
				       .now_ms = clock_real_ms(),
				       .pull_upfront = e->config->pull_dependents_upfront };
	struct reconcile_plan plan = { .steps = steps };

	look(t, cs);
	reconcile_task(&view, &plan);
	if (plan.desired == TASK_STOPPED) {
		want_stopped(t);
		look(t, cs);
		view.desired = TASK_STOPPED;
		reconcile_task(&view, &plan);
	}
	set_task_known(e, t, plan.known);
	if (plan.admit) {
		admit(e, t);
		return t->run->admitted || t->desired == TASK_STOPPED;
	}
	t->run->dirty = false;
	for (size_t i = 0; i < t->n_containers; i++) {
		note_waiting(&t->containers[i], steps[i].waits_for);
		if (steps[i].action != ACTION_NONE)
			intend(e, &t->containers[i], &steps[i]);
	}
	wake_at(t, host_ports_wake_ms(t, plan.wake_ms));
	return t->run->dirty;
}

void decide_task(struct engine *e, struct task *t)
{
	_cleanup_(freep) struct reconcile_container *cs = calloc(t->n_containers + 1, sizeof(*cs));
	_cleanup_(freep) struct reconcile_step *steps = calloc(t->n_containers + 1, sizeof(*steps));

	if (!cs || !steps) {
		e->starved = true; /* it stays dirty; the pass is repeated a little later */
		return;
	}
	for (size_t i = 0; i < t->n_containers; i++)
		container_volumes_review(&t->containers[i]);
	while (decide_once(e, t, cs, steps))
		;
	t->run->dirty = false;
	task_inputs_review(t);
}
