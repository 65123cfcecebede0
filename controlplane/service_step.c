/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/service_step.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/protection.h"
#include "controlplane/controlplane.h"
#include "controlplane/run.h"
#include "controlplane/scheduler.h"
#include "controlplane/service.h"
#include "controlplane/task.h"

bool service_task_is_running(const json_t *task)
{
	return strcmp(json_get_string(task, "lastStatus", ""), "RUNNING") == 0 &&
	       strcmp(json_get_string(task, "desiredStatus", ""), "RUNNING") == 0;
}

bool service_task_is_unhealthy(const json_t *task)
{
	return strcmp(json_get_string(task, "healthStatus", ""), "UNHEALTHY") == 0;
}

static bool is_up(const json_t *task)
{
	return service_task_is_running(task) && !service_task_is_unhealthy(task);
}

static int64_t percent(const struct plan *p, const char *key)
{
	return json_get_int(json_object_get(p->doc, "deploymentConfiguration"), key, 100);
}

/* Tasks that must go on running: the lower bound, rounded up. */
static int64_t least(const struct plan *p, int64_t desired)
{
	return (desired * percent(p, "minimumHealthyPercent") + 99) / 100;
}

/* Tasks that may be there at once: the upper bound, rounded down. */
static int64_t most(const struct plan *p, int64_t desired)
{
	return desired * percent(p, "maximumPercent") / 100;
}

/* --- stopping ---------------------------------------------------------------------------------- */

static int note(json_t *list, const json_t *task, struct err *err)
{
	json_t *text = json_sprintf("(task %s)", arn_last(json_get_string(task, "taskArn", "")));

	return json_array_append_new(list, text) < 0 ? err_set(err, ENOMEM, "note a task") : 0;
}

static int stop(struct plan *p, json_t *task, struct err *err)
{
	char reason[128];
	bool up = is_up(task);
	int k;

	(void) snprintf(reason, sizeof(reason), "Scaling activity initiated by (deployment %s)",
			json_get_string(service_primary(p->doc), "id", ""));
	k = task_begin_stop(p->cp, task, "ServiceSchedulerInitiated", reason, err);
	if (k < 0)
		return k;
	if (up)
		p->running--;
	return note(p->stopped, task, err);
}

/*
 * Stops up to @wanted tasks of @list, those that serve nobody first, then the youngest; never so many
 * that less than @keep run. A protected task is left alone unless it is unhealthy. The stopped are
 * taken out of @list.
 */
static int stop_some(struct plan *p, json_t *list, int64_t wanted, int64_t keep, struct err *err)
{
	for (int serving = 0; serving < 2; serving++)
		for (size_t i = json_array_size(list); i-- > 0 && wanted > 0;) {
			json_t *task = json_array_get(list, i);
			int64_t until_ms = 0;
			int k;

			if (is_up(task) != (serving == 1) || (serving && p->running - 1 < keep) ||
			    json_array_size(p->stopped) >= SERVICE_BATCH)
				continue;
			k = protection_until(p->cp->store, json_get_string(task, "taskArn", ""),
					     &until_ms, err);
			if (k == 0 && until_ms > 0 && !service_task_is_unhealthy(task))
				continue;
			if (k == 0)
				k = stop(p, task, err);
			if (k < 0)
				return k;
			(void) json_array_remove(list, i);
			wanted--;
		}
	return 0;
}

int service_step_drain(struct plan *p, struct err *err)
{
	int k = stop_some(p, p->stale, SERVICE_BATCH, 0, err);

	if (k == 0)
		k = stop_some(p, p->good, SERVICE_BATCH, 0, err);
	return k;
}

/* --- starting ---------------------------------------------------------------------------------- */

/* What there is to say of an instance that came closest, in the words of the service. */
static const struct {
	const char *reason, *text;
} shortages[] = {
	{ "RESOURCE:MEMORY", "has insufficient memory available" },
	{ "RESOURCE:CPU", "has insufficient CPU units available" },
	{ "RESOURCE:PORTS", "is already using a port required by your task" },
	{ "RESOURCE:GPU", "encountered error \"RESOURCE:GPU\"" },
	{ "RESOURCE:ENI", "encountered error \"RESOURCE:ENI\"" },
	{ "ATTRIBUTE", "is missing an attribute required by your task" },
	{ "AGENT", "encountered error \"AGENT\"" },
};

enum { NOT_CLOSE = 1000 };

static size_t distance(const char *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(shortages); i++)
		if (strcmp(shortages[i].reason, reason) == 0)
			return i;
	return NOT_CLOSE - 1;
}

/* Told once, until a task is started again or the reason is another. */
static void say_unplaced(struct plan *p, const char *why)
{
	json_t *state = json_object_get(p->doc, "scheduler");

	if (strcmp(json_get_string(state, "unplaced", ""), why) == 0)
		return;
	(void) json_object_set_new(state, "unplaced", json_string(why));
	service_event(p->doc, "was unable to place a task because %s", why);
}

static void say_closest(struct plan *p, const char *arn, const char *reason)
{
	char text[ARN_MAX + 256];

	if (!arn) {
		say_unplaced(p, "no container instance met all of its requirements. Reason: No "
				"Container Instances were found in your cluster.");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(shortages); i++)
		if (strcmp(shortages[i].reason, reason) == 0)
			reason = shortages[i].text;
	(void) snprintf(text, sizeof(text),
			"no container instance met all of its requirements. The closest matching "
			"(container-instance %s) %s.",
			arn_last(arn), reason);
	say_unplaced(p, text);
}

static int explain_closest(struct plan *p, struct scheduler *s, const struct demand *d,
			   struct err *err)
{
	const char *best = NULL, *best_arn = NULL;
	size_t near = NOT_CLOSE;

	for (size_t i = 0; i < scheduler_count(s); i++) {
		const char *reason = NULL, *arn = NULL;
		int k = scheduler_explain(s, i, d, &reason, &arn, err);

		if (k < 0)
			return k;
		if (reason && distance(reason) < near) {
			near = distance(reason);
			best = reason;
			best_arn = arn;
		}
	}
	say_closest(p, best_arn, best);
	return 0;
}

/* Something in what a task is made of is gone: told as an event, looked at again later. */
static int read_run(struct plan *p, struct run *r, bool *ret_ok, struct err *err)
{
	_cleanup_(api_error_done) struct api_error e = {};
	char why[512];

	r->service = json_get_string(p->doc, "serviceName", "");
	*ret_ok = run_read(p->cp, p->request, r, &e) == 0;
	if (*ret_ok)
		return 0;
	if (e.http_status == 500)
		return err_set(err, EIO, "read what a task of the service is made of");
	(void) snprintf(why, sizeof(why), "%s: %s", e.type, e.message ? e.message : "");
	say_unplaced(p, why);
	return 0;
}

static int start_on(struct plan *p, const struct run *r, json_t *instance, struct err *err)
{
	_cleanup_(api_error_done) struct api_error e = {};
	_cleanup_(json_decrefp) json_t *tasks = json_array();
	json_t *state = json_object_get(p->doc, "scheduler");

	if (run_start_on(p->cp, r, instance, tasks, &e) < 0)
		return err_set(err, EIO, "start a task: %s", e.message ? e.message : "");
	(void) json_object_del(state, "unplaced");
	return note(p->started, json_array_get(tasks, 0), err);
}

/* A start that failed makes the next one wait. */
static bool must_wait(struct plan *p)
{
	int64_t at = json_get_int(json_object_get(p->doc, "scheduler"), "retryAtMs", 0);

	if (at <= p->now_ms)
		return false;
	p->retry_ms = at - p->now_ms;
	return true;
}

static int place_some(struct plan *p, struct scheduler *s, const struct run *r, int64_t wanted,
		      struct err *err)
{
	while (wanted-- > 0) {
		json_t *instance = NULL;
		int k;

		if (json_array_size(p->started) >= SERVICE_BATCH) {
			p->retry_ms = 0;
			return 0;
		}
		k = scheduler_place(s, &r->demand, &instance, err);
		if (k == 0 && !instance)
			return explain_closest(p, s, &r->demand, err);
		if (k == 0)
			k = start_on(p, r, instance, err);
		if (k < 0)
			return k;
	}
	return 0;
}

static int start_some(struct plan *p, int64_t wanted, struct err *err)
{
	_cleanup_(scheduler_freep) struct scheduler *s = NULL;
	_cleanup_(run_done) struct run r = {};
	bool ok = false;
	int k;

	if (wanted <= 0 || must_wait(p))
		return 0;
	k = read_run(p, &r, &ok, err);
	if (k < 0 || !ok)
		return k;
	k = scheduler_new(p->cp, r.cluster, NULL, r.group, &s, err);
	return k < 0 ? k : place_some(p, s, &r, wanted, err);
}

/* --- as many as asked ---------------------------------------------------------------------------- */

int service_step_replica(struct plan *p, struct err *err)
{
	int64_t desired = json_get_int(p->doc, "desiredCount", 0);
	int64_t good = (int64_t) json_array_size(p->good);
	int64_t stale = (int64_t) json_array_size(p->stale);
	int64_t room, k;

	k = stop_some(p, p->good, good - desired, 0, err);
	if (k == 0)
		k = stop_some(p, p->stale, stale, least(p, desired), err);
	if (k < 0)
		return (int) k;
	good = (int64_t) json_array_size(p->good);
	stale = (int64_t) json_array_size(p->stale);
	room = most(p, desired) - good - stale;
	return start_some(p, MIN(desired - good, room), err);
}

/* --- one on each instance -------------------------------------------------------------------------- */

static json_t *task_on(const json_t *list, const char *instance_arn)
{
	json_t *t;
	size_t i;

	json_array_foreach((json_t *) list, i, t)
		if (strcmp(json_get_string(t, "containerInstanceArn", ""), instance_arn) == 0)
			return t;
	return NULL;
}

/* What an instance lacks for ever is no shortage: it gets no task, and none is missed. */
static bool is_shortage(const char *reason)
{
	return strncmp(reason, "RESOURCE:", 9) == 0 || strcmp(reason, "AGENT") == 0;
}

/* Counts the instance, and starts a task there when none of the service's is left. */
static int visit(struct plan *p, struct scheduler *s, size_t i, const struct run *r,
		 int64_t *desired, struct err *err)
{
	const char *reason = NULL, *arn = NULL;
	int k = scheduler_explain(s, i, &r->demand, &reason, &arn, err);

	if (k < 0)
		return k;
	if (task_on(p->live, arn) || !reason || is_shortage(reason))
		(*desired)++;
	if (task_on(p->live, arn) || must_wait(p))
		return 0;
	if (!reason && json_array_size(p->started) < SERVICE_BATCH)
		return start_on(p, r, scheduler_take(s, i, &r->demand), err);
	if (!reason)
		p->retry_ms = 0;
	else if (is_shortage(reason))
		say_closest(p, arn, reason);
	return 0;
}

int service_step_daemon(struct plan *p, struct err *err)
{
	_cleanup_(scheduler_freep) struct scheduler *s = NULL;
	_cleanup_(run_done) struct run r = {};
	int64_t desired = 0;
	bool ok = false;
	int k = read_run(p, &r, &ok, err);

	if (k < 0 || !ok)
		return k;
	k = scheduler_new(p->cp, r.cluster, NULL, r.group, &s, err);
	for (size_t i = 0; k == 0 && i < scheduler_count(s); i++)
		k = visit(p, s, i, &r, &desired, err);
	if (k < 0)
		return k;
	(void) json_object_set_new(p->doc, "desiredCount", json_integer(desired));
	(void) json_object_set_new(service_primary(p->doc), "desiredCount", json_integer(desired));
	return stop_some(p, p->stale, (int64_t) json_array_size(p->stale), least(p, desired), err);
}
