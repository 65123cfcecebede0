/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum { IN_FLIGHT_MAX = 10, RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30000 };

enum lane_state { LANE_READY, LANE_IN_FLIGHT, LANE_WAITING, LANE_SPENT };

/* A task, or an attachment of the instance, that has or may have entries. */
struct lane {
	struct outbox *outbox;
	struct lane *next;
	char *task_arn; /* owned */
	enum lane_state state;
	bool kicked; /* again, while in flight */
	int64_t id;  /* of the entry in flight */
	struct ctl_op *op;
	struct backoff backoff;
	sd_event_source *timer; /* while waiting */
};

struct outbox {
	struct outbox_params p;
	sd_event *event;
	sd_event_source *pump; /* deferred: starts what may start */
	struct lane *lanes;    /* in order of arrival */
	size_t in_flight;
	bool started;
};

static int submit_to_ctl(void *userdata, const char *lane, const char *body, ctl_submit_fn fn,
			 void *fn_userdata, struct ctl_op **ret, struct err *err)
{
	if (strncmp(lane, OUTBOX_ATTACHMENT, strlen(OUTBOX_ATTACHMENT)) == 0)
		return ctl_submit_attachment_states(userdata, body, fn, fn_userdata, ret, err);
	return ctl_submit_task_state(userdata, body, fn, fn_userdata, ret, err);
}

static void cancel_in_ctl(struct ctl_op *op)
{
	(void) ctl_cancel(op);
}

static void wake(struct outbox *o)
{
	if (o->started)
		(void) sd_event_source_set_enabled(o->pump, SD_EVENT_ONESHOT);
}

static struct lane *lane_free(struct lane *l)
{
	if (l->op)
		l->outbox->p.cancel(l->op);
	(void) sd_event_source_disable_unref(l->timer);
	free(l->task_arn);
	free(l);
	return NULL;
}

static int on_waited(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct lane *l = userdata;

	(void) s, (void) usec;
	l->timer = sd_event_source_disable_unref(l->timer);
	l->state = LANE_READY;
	wake(l->outbox);
	return 0;
}

static void wait_a_while(struct lane *l, const struct err *why)
{
	int64_t delay = backoff_next_ms(&l->backoff);

	log_warn("Failed to report a state change of task '%s', retrying in %lld ms: %s",
		 l->task_arn, (long long) delay, err_text(why));
	l->state = LANE_WAITING;
	if (sd_event_add_time_relative(l->outbox->event, &l->timer, CLOCK_MONOTONIC,
				       (uint64_t) delay * USEC_PER_MSEC, 10000, on_waited, l) < 0)
		l->state = LANE_READY; /* tried again with the next kick of any task */
}

static void on_answer(void *userdata, enum ctl_submit_result result, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct lane *l = userdata;
	struct outbox *o = l->outbox;

	l->op = NULL;
	o->in_flight--;
	wake(o);
	if (result == CTL_SUBMIT_RETRY) {
		wait_a_while(l, why);
		return;
	}
	if (result == CTL_SUBMIT_DISCARD)
		log_error("Gave up a state change of task '%s' that the control plane refuses: %s",
			  l->task_arn, err_text(why));
	if (o->p.source->done(o->p.source_userdata, l->task_arn, l->id,
			      result == CTL_SUBMIT_ACCEPTED, &err) < 0) {
		wait_a_while(l, &err);
		return;
	}
	backoff_reset(&l->backoff);
	l->state = LANE_READY;
}

/* Hands over the oldest entry of the lane, or finds that there is none. */
static int send_head(struct lane *l, struct err *err)
{
	struct outbox *o = l->outbox;
	_cleanup_(freep) char *body = NULL;
	int k = o->p.source->head(o->p.source_userdata, l->task_arn, &l->id, &body, err);

	l->kicked = false;
	if (k <= 0) {
		l->state = k == 0 ? LANE_SPENT : l->state;
		return k;
	}
	k = o->p.submit(o->p.submit_userdata, l->task_arn, body, on_answer, l, &l->op, err);
	if (k < 0)
		return k;
	l->state = LANE_IN_FLIGHT;
	o->in_flight++;
	return 0;
}

static void sweep(struct outbox *o)
{
	struct lane **p = &o->lanes, *l;

	while ((l = *p)) {
		if (l->state == LANE_SPENT && !l->kicked) {
			*p = l->next;
			(void) lane_free(l);
		} else {
			if (l->state == LANE_SPENT)
				l->state = LANE_READY;
			p = &l->next;
		}
	}
}

static int on_pump(sd_event_source *s, void *userdata)
{
	struct outbox *o = userdata;

	(void) s;
	for (struct lane *l = o->lanes; l && o->in_flight < o->p.max_in_flight; l = l->next) {
		_cleanup_(err_done) struct err err = {};

		if (l->state == LANE_READY && send_head(l, &err) < 0)
			wait_a_while(l, &err);
	}
	sweep(o);
	return 0;
}

int outbox_new(const struct outbox_params *p, struct outbox **ret, struct err *err)
{
	_cleanup_(outbox_freep) struct outbox *o = calloc(1, sizeof(*o));
	int k;

	if (!o)
		return err_set(err, ENOMEM, "allocate outbox");
	o->p = *p;
	o->event = sd_event_ref(p->event);
	if (!o->p.submit) {
		o->p.submit = submit_to_ctl;
		o->p.submit_userdata = p->ctl;
	}
	if (!o->p.cancel)
		o->p.cancel = cancel_in_ctl;
	if (!o->p.max_in_flight)
		o->p.max_in_flight = IN_FLIGHT_MAX;
	if (!o->p.retry_min_ms)
		o->p.retry_min_ms = RETRY_MIN_MS;
	k = sd_event_add_defer(o->event, &o->pump, on_pump, o);
	if (k >= 0)
		k = sd_event_source_set_enabled(o->pump, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "outbox event source");
	(void) sd_event_source_set_description(o->pump, "outbox");
	*ret = TAKE_PTR(o);
	return 0;
}

struct outbox *outbox_free(struct outbox *o)
{
	if (!o)
		return NULL;
	while (o->lanes) {
		struct lane *l = o->lanes;

		o->lanes = l->next;
		(void) lane_free(l);
	}
	(void) sd_event_source_disable_unref(o->pump);
	(void) sd_event_unref(o->event);
	free(o);
	return NULL;
}

void outbox_kick(struct outbox *o, const char *task_arn)
{
	struct lane **p = &o->lanes, *l;

	for (; (l = *p); p = &l->next) {
		if (strcmp(l->task_arn, task_arn) != 0)
			continue;
		l->kicked = true;
		wake(o);
		return;
	}
	l = calloc(1, sizeof(*l));
	if (!l || strdup_to(&l->task_arn, task_arn) < 0) {
		free(l);
		log_error("Failed to queue a report of task '%s': out of memory; it goes out after "
			  "a restart",
			  task_arn);
		return;
	}
	l->outbox = o;
	l->kicked = true;
	l->backoff =
		(struct backoff){ o->p.retry_min_ms, MAX((int64_t) RETRY_MAX_MS, o->p.retry_min_ms),
				  0.2, 1.3, 0 };
	*p = l;
	wake(o);
}

static void kick_each(void *outbox, const char *task_arn)
{
	outbox_kick(outbox, task_arn);
}

int outbox_start(struct outbox *o, struct err *err)
{
	int k = o->p.source->each_task(o->p.source_userdata, kick_each, o, err);

	if (k < 0)
		return k;
	o->started = true;
	wake(o);
	return 0;
}

static void count_each(void *count, const char *task_arn)
{
	(void) task_arn;
	++*(size_t *) count;
}

/* What waits for the disk has no lane yet: who asks whether all is told must not be told so. */
size_t outbox_pending(const struct outbox *o)
{
	_cleanup_(err_done) struct err err = {};
	size_t lanes = 0, stored = 0;

	for (const struct lane *l = o->lanes; l; l = l->next)
		lanes++;
	if (lanes == 0)
		(void) o->p.source->each_task(o->p.source_userdata, count_each, &stored, &err);
	return lanes + stored;
}
