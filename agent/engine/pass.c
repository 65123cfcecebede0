/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine does whenever there is something to do: decide, write down, act, and remove traces. */
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "agent/engine/report.h"
#include "agent/store/store.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"

enum {
	PASS_PRIORITY = SD_EVENT_PRIORITY_NORMAL + 10, /* after the news of one wake-up is in */
	TEARDOWN_PRIORITY = SD_EVENT_PRIORITY_IDLE,
	RETRY_MS = 1000,
	TICKER_MIN_MS = 10000, /* news of containers alone wait for 10..30 s */
	TICKER_SPREAD_MS = 20000,
};

/* ---- the pass ---- */

void engine_touch(struct engine *e, struct task *t)
{
	t->run->dirty = true;
	if (!e->in_pass)
		(void) sd_event_source_set_enabled(e->pass, SD_EVENT_ONESHOT);
}

static void decide_all(struct engine *e)
{
	do {
		e->room = false;
		slots_offer(e);
		for (size_t i = 0; i < e->n_tasks; i++)
			if (e->tasks[i]->run->dirty)
				decide_task(e, e->tasks[i]);
		/* Freed resources go to the waiting ones, in order of arrival. */
		for (size_t i = 0; e->room && i < e->n_tasks; i++)
			e->tasks[i]->run->dirty |= e->tasks[i]->waiting_for != NULL;
	} while (e->room);
}

static int put_row(struct engine *e, struct task *t, struct err *err)
{
	_cleanup_(json_decrefp) json_t *body = report_body(t, e->config);
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;
	int k = text ? store_outbox_put(e->store, t->arn, text, NULL, err)
		     : err_set(err, ENOMEM, "write report");

	if (k == 0)
		t->run->reported = true;
	return k;
}

/* Of a local task there is nobody to tell, so it counts as told. */
static int put_report(struct engine *e, struct task *t, struct err *err)
{
	int k = task_is_local(t) ? 0 : put_row(e, t, err);

	if (k < 0)
		return k;
	report_mark_sent(t);
	t->run->save = true;
	for (size_t i = 0; i < t->n_containers; i++)
		t->containers[i].run->save = true;
	return 0;
}

static int flush_task(struct engine *e, struct task *t, struct err *err)
{
	int k = 0;

	if (t->run->insert)
		k = store_put_task(e->store, t, t->run->insert, err);
	if (k == 0 && report_is_due(t))
		k = put_report(e, t, err);
	if (k == 0 && t->run->save)
		k = store_update_task(e->store, t, err);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++)
		if (t->containers[i].run->save)
			k = store_update_container(e->store, &t->containers[i], err);
	return k;
}

static bool is_stale(const struct task *t)
{
	if (t->run->save || t->run->insert || report_is_due(t))
		return true;
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].run->save)
			return true;
	return false;
}

/* What was meant to be sent was not: the next flush reports it again. */
static void take_back(struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task *t = e->tasks[i];

		if (!t->run->reported)
			continue;
		t->run->reported = false;
		t->sent = t->run->durable_sent;
		for (size_t j = 0; j < t->n_containers; j++)
			t->containers[j].sent = t->containers[j].run->durable_sent;
	}
}

static void note_committed(struct engine *e, struct task *t)
{
	bool reported = t->run->reported;

	json_decref(t->run->insert);
	t->run->insert = NULL;
	t->run->save = t->run->reported = false;
	t->run->durable_sent = t->sent;
	for (size_t i = 0; i < t->n_containers; i++) {
		t->containers[i].run->save = false;
		t->containers[i].run->durable_sent = t->containers[i].sent;
	}
	if (reported)
		t->run->report_mark = store_mark(e->store);
}

/* Nobody hears of what a power cut could undo. */
static void tell_outbox(struct engine *e)
{
	uint64_t durable = store_durable(e->store);

	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task_run *r = e->tasks[i]->run;

		if (r->report_mark == 0 || r->report_mark > durable)
			continue;
		r->report_mark = 0;
		CRASH_POINT(OUTBOX_TOLD);
		if (e->callbacks.on_outbox)
			e->callbacks.on_outbox(e->callbacks.userdata, e->tasks[i]->arn);
	}
}

/* After a failed write the kernel may call lost data clean; a new start reads what is there. */
static void on_durable(int error, void *userdata)
{
	struct engine *e = userdata;

	if (error == 0) {
		tell_outbox(e);
		return;
	}
	log_error("Failed to write the state to the disk, ending: %s", strerrordesc_np(-error));
	(void) sd_event_exit(e->loop, EXIT_FAILURE);
}

/* One transaction for all that changed. */
static int flush(struct engine *e, struct err *err)
{
	bool begun = false;
	int k = 0;

	for (size_t i = 0; k == 0 && i < e->n_tasks; i++) {
		if (!is_stale(e->tasks[i]))
			continue;
		if (!begun)
			k = store_begin(e->store, err);
		begun = true;
		if (k == 0)
			k = flush_task(e, e->tasks[i], err);
	}
	if (begun)
		CRASH_POINT(FLUSH_WRITTEN);
	if (begun && k == 0)
		k = store_commit(e->store, err);
	if (k < 0) {
		store_rollback(e->store);
		take_back(e);
		return k;
	}
	for (size_t i = 0; begun && i < e->n_tasks; i++)
		if (is_stale(e->tasks[i]))
			note_committed(e, e->tasks[i]);
	if (begun) {
		CRASH_POINT(FLUSH_COMMITTED);
		tell_outbox(e);
	}
	return 0;
}

static void act_all(struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++) {
		if (e->tasks[i]->run->net.state == TASK_NET_INTENDED)
			task_net_act(e->tasks[i]);
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (e->tasks[i]->containers[j].run->action != ACTION_NONE)
				container_act(&e->tasks[i]->containers[j]);
	}
	e->commit_first = false;
}

static bool any_dirty(const struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->run->dirty)
			return true;
	return false;
}

static void retry_later(struct engine *e)
{
	(void) sd_event_source_set_time_relative(e->retry, RETRY_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(e->retry, SD_EVENT_ONESHOT);
}

/*
 * Decide, write down, act, until nothing is left to decide. An act waits for the commit, which a
 * later run of the agent finds again, and not for the disk: all that an act leaves behind ends with
 * the host, but for directories and pins that nobody's row names, and engine_restore() removes
 * those. What is known from an earlier flush goes first: runc then works while the disk does.
 */
int engine_pass(struct engine *e, struct err *err)
{
	int k = 0;

	if (e->in_pass)
		return 0;
	e->in_pass = true;
	e->starved = false;
	do {
		decide_all(e);
		CRASH_POINT(PASS_DECIDED);
		if (!e->commit_first)
			act_all(e);
		k = flush(e, err);
		if (k == 0 && e->commit_first)
			act_all(e);
		CRASH_POINT(PASS_ACTED);
	} while (k == 0 && any_dirty(e) && !e->starved);
	e->in_pass = false;
	if (k < 0 || e->starved)
		retry_later(e);
	return k;
}

static int on_pass(sd_event_source *s, void *userdata)
{
	_cleanup_(err_done) struct err err = {};

	(void) s;
	if (engine_pass(userdata, &err) < 0)
		log_error("Failed to write the state down, trying again: %s", err_text(&err));
	return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) usec;
	return on_pass(s, userdata);
}

/* ---- traces of what stopped are removed when there is nothing better to do, one at a time ---- */

void engine_want_teardown(struct engine *e)
{
	(void) sd_event_source_set_enabled(e->teardown, SD_EVENT_ON);
}

static bool teardown_one(struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		if (!c->run->teardown)
			continue;
		c->run->teardown = false;
		container_teardown(c);
		return true;
	}
	if (!t->run->teardown)
		return false;
	t->run->teardown = false;
	task_teardown(t);
	return true;
}

static int on_teardown(sd_event_source *s, void *userdata)
{
	struct engine *e = userdata;

	for (size_t i = 0; i < e->n_tasks; i++)
		if (teardown_one(e->tasks[i]))
			return 0;
	(void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
}

/* ---- the ticker ---- */

static int on_ticker(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	bool news = false;

	(void) usec;
	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task *t = e->tasks[i];
		_cleanup_(err_done) struct err err = {};

		if (t->known == TASK_STOPPED || !report_has_container_news(t))
			continue;
		if (store_begin(e->store, &err) < 0 || put_report(e, t, &err) < 0 ||
		    store_commit(e->store, &err) < 0) {
			store_rollback(e->store);
			take_back(e);
			task_log(LOG_WARN, t, "Failed to report on '%s', trying again: %s", t->id,
				 err_text(&err));
			continue;
		}
		news = true;
	}
	if (news)
		(void) on_pass(NULL, e);
	packet_filter_check(e, true);
	(void) sd_event_source_set_time_relative(
		s, (uint64_t) (TICKER_MIN_MS + random_below(TICKER_SPREAD_MS)) * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- the start ---- */

static int add_timer(struct engine *e, uint64_t usec, sd_event_time_handler_t fn, const char *name,
		     sd_event_source **ret)
{
	int k = sd_event_add_time_relative(e->loop, ret, CLOCK_MONOTONIC, usec, 0, fn, e);

	return k < 0 ? k : sd_event_source_set_description(*ret, name);
}

int pass_start(struct engine *e, struct err *err)
{
	uint64_t first = (uint64_t) (TICKER_MIN_MS + random_below(TICKER_SPREAD_MS));
	int k = sd_event_add_defer(e->loop, &e->pass, on_pass, e);

	if (k >= 0)
		k = sd_event_source_set_priority(e->pass, PASS_PRIORITY);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->pass, SD_EVENT_OFF);
	if (k >= 0)
		k = sd_event_add_defer(e->loop, &e->teardown, on_teardown, e);
	if (k >= 0)
		k = sd_event_source_set_priority(e->teardown, TEARDOWN_PRIORITY);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->teardown, SD_EVENT_OFF);
	if (k >= 0)
		k = add_timer(e, first * USEC_PER_MSEC, on_ticker, "engine-ticker", &e->ticker);
	if (k >= 0)
		k = add_timer(e, 0, on_retry, "engine-retry", &e->retry);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->retry, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "add event sources");
	(void) sd_event_source_set_description(e->pass, "engine-pass");
	(void) sd_event_source_set_description(e->teardown, "engine-teardown");
	return store_overlap(e->store, e->loop, on_durable, e, err);
}
