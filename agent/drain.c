/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A drained instance gets no more tasks and a service moves what it has elsewhere. Before a shutdown
 * that is not enough: all tasks are stopped as StopTask would, so that containers get their signal and
 * their time, and the service hears of it: of the draining first. What the shutdown set, the next
 * registration takes back; a host that its operator drained by ecsctl stays drained.
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/ctl/ctl.h"
#include "agent/engine/engine.h"
#include "agent/store/store.h"
#include "common/log.h"

enum { AGAIN_USEC = 2 * 1000 * 1000, STOP_AT_LATEST_USEC = 5 * 1000 * 1000 };

static int tell(struct agent *a, struct err *err);
static void stop_now(struct agent *a);

static int on_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	(void) s, (void) usec;
	if (tell(a, &err) < 0)
		log_warn("Failed to change the status of this instance: %s", err_text(&err));
	return 0;
}

static void again(struct agent *a)
{
	a->drain_timer = sd_event_source_disable_unref(a->drain_timer);
	if (sd_event_add_time_relative(a->loop, &a->drain_timer, CLOCK_MONOTONIC, AGAIN_USEC, 0,
				       on_again, a) < 0)
		log_warn("Failed to try again to change the status of this instance");
}

static const char *wanted_status(const struct agent *a)
{
	return a->drain_wish == DRAIN_UNDO ? "ACTIVE" : "DRAINING";
}

static void on_told(void *userdata, enum ctl_submit_result result, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	a->drain_op = NULL;
	if (result != CTL_SUBMIT_ACCEPTED) {
		log_warn("Failed to set this instance to %s, trying again: %s", wanted_status(a),
			 err_text(why));
		again(a);
		return;
	}
	log_info("This instance is %s", wanted_status(a));
	if (a->drain_wish == DRAIN_UNDO && store_put_meta(a->store, META_DRAINED_BY, "", &err) < 0)
		log_warn("This instance will be set to ACTIVE once more: %s", err_text(&err));
	if (a->drain_stop_timer)
		stop_now(a);
}

static int tell(struct agent *a, struct err *err)
{
	a->drain_timer = sd_event_source_disable_unref(a->drain_timer);
	a->drain_op = ctl_cancel(a->drain_op);
	return ctl_update_instance_state(a->ctl, wanted_status(a), on_told, a, &a->drain_op, err);
}

static int stop_all_tasks(struct agent *a, struct err *err)
{
	int first = 0;

	for (size_t i = 0; i < engine_task_count(a->engine); i++) {
		const struct task *t = engine_task_at(a->engine, i);
		_cleanup_(err_done) struct err why = {};
		int k;

		if (t->desired == TASK_STOPPED)
			continue;
		k = engine_stop_task(a->engine, t->arn,
				     "Task stopped because its container instance shuts down", NULL,
				     &why);
		if (k < 0 && first == 0)
			first = err_move(err, &why);
	}
	return first;
}

static void stop_now(struct agent *a)
{
	_cleanup_(err_done) struct err err = {};

	a->drain_stop_timer = sd_event_source_disable_unref(a->drain_stop_timer);
	if (stop_all_tasks(a, &err) < 0)
		log_warn("Failed to stop all tasks: %s", err_text(&err));
}

static int on_stop_at_latest(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) s, (void) usec;
	stop_now(userdata);
	return 0;
}

/*
 * A service that hears of a stopped task before it hears of the draining starts another one, on this very
 * host. So the answer is waited for, a while, where one is to be expected.
 */
static int stop_when_told(struct agent *a, struct err *err)
{
	int k;

	if (!a->registered || !a->acs_clock.connected)
		return stop_all_tasks(a, err);
	k = sd_event_add_time_relative(a->loop, &a->drain_stop_timer, CLOCK_MONOTONIC,
				       STOP_AT_LATEST_USEC, 0, on_stop_at_latest, a);
	return k < 0 ? err_set_errno(err, -k, "stop all tasks") : 0;
}

/* Written down first: a shutdown that is cut off must not leave the host drained for good. */
static int note_wish(struct agent *a, enum drain_wish wish, struct err *err)
{
	_cleanup_(freep) char *by = NULL;
	int k = store_get_meta(a->store, META_DRAINED_BY, &by, err);

	if (k < 0 || wish == DRAIN_UNDO)
		return k;
	if (wish == DRAIN_STOP && by && strcmp(by, "operator") == 0)
		return 0;
	return store_put_meta(a->store, META_DRAINED_BY,
			      wish == DRAIN_STOP ? "shutdown" : "operator", err);
}

int agent_drain(struct agent *a, enum drain_wish wish, struct err *err)
{
	int k;

	if (!a->registered && wish != DRAIN_STOP)
		return err_set(err, ENOTCONN, "this host is not registered yet");
	log_info("%s", wish == DRAIN_UNDO   ? "Setting this instance to ACTIVE"
		       : wish == DRAIN_KEEP ? "Draining this instance"
					    : "Draining this instance and stopping all tasks");
	a->drain_stop_timer = sd_event_source_disable_unref(a->drain_stop_timer);
	k = note_wish(a, wish, err);
	if (k == 0 && a->registered) {
		a->drain_wish = wish;
		k = tell(a, err);
	}
	if (k == 0 && wish == DRAIN_STOP)
		k = stop_when_told(a, err);
	return k;
}

int agent_undo_shutdown(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *by = NULL;
	int k = store_get_meta(a->store, META_DRAINED_BY, &by, err);

	if (k < 0 || !by || strcmp(by, "shutdown") != 0)
		return k;
	return agent_drain(a, DRAIN_UNDO, err);
}

void agent_stop_draining(struct agent *a)
{
	a->drain_timer = sd_event_source_disable_unref(a->drain_timer);
	a->drain_stop_timer = sd_event_source_disable_unref(a->drain_stop_timer);
	a->drain_op = ctl_cancel(a->drain_op);
}
