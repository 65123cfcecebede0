/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step: every service is compared with its tasks and brought one step on. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/service.h"
#include "controlplane/service_step.h"
#include "controlplane/store.h"

enum {
	FIRST_LOOK_MS = 2000, /* unless an agent comes back before */
	LOOK_EVERY_MS = 30 * 1000,
	RAN_WELL_MS = 10 * 1000, /* what ends before counts as a start that failed */
	RETRY_FIRST_MS = 1000,   /* doubles with each failure */
	RETRY_LAST_MS = 5 * 60 * 1000,
	FAILURES_TOLD = 3, /* in a row */
};

/* --- what there is ----------------------------------------------------------------------------- */

static int on_active(json_t *doc, void *userdata, struct err *err)
{
	const char *arn = json_get_string(doc, "containerInstanceArn", "");

	return json_object_set_new(userdata, arn, json_true()) < 0
		       ? err_set(err, ENOMEM, "list instances")
		       : 0;
}

static void plan_done(struct plan *p)
{
	json_decref(p->request);
	json_decref(p->live);
	json_decref(p->good);
	json_decref(p->stale);
	json_decref(p->started);
	json_decref(p->stopped);
}

static void sort_in(struct plan *p, const json_t *active, json_t *task)
{
	const char *deployment = json_get_string(service_primary(p->doc), "id", "");
	const char *instance = json_get_string(task, "containerInstanceArn", "");
	bool unhealthy = service_task_is_unhealthy(task);
	bool good = !unhealthy && json_object_get(active, instance) &&
		    strcmp(json_get_string(task, "startedBy", ""), deployment) == 0;

	if (strcmp(json_get_string(task, "desiredStatus", ""), "RUNNING") != 0)
		return;
	(void) json_array_append(good ? p->good : p->stale, task);
	if (service_task_is_running(task) && !unhealthy)
		p->running++;
}

static int plan_load(struct controlplane *cp, json_t *doc, struct plan *p, struct err *err)
{
	_cleanup_(json_decrefp) json_t *active = json_object();
	struct arn a = {};
	json_t *task;
	size_t i;
	int k;

	*p = (struct plan){ .cp = cp,
			    .doc = doc,
			    .request = service_run_request(doc),
			    .good = json_array(),
			    .stale = json_array(),
			    .started = json_array(),
			    .stopped = json_array(),
			    .now_ms = clock_real_ms(),
			    .retry_ms = -1 };
	if (!arn_parse(json_get_string(doc, "serviceArn", ""), &a))
		return err_set(err, EBADMSG, "database: a service without an ARN");
	if (!p->request)
		return err_set(err, ENOMEM, "load a service");
	k = service_tasks(cp, doc, &p->live, err);
	if (k == 0)
		k = store_instance_each(cp->store, a.cluster, "ACTIVE", NULL, -1, on_active, active,
					err);
	json_array_foreach(p->live, i, task)
		if (k == 0)
			sort_in(p, active, task);
	return k < 0 ? k : 0;
}

/* --- what became of it ------------------------------------------------------------------------- */

static char *joined(const json_t *list, char *buf, size_t size)
{
	const json_t *v;
	size_t i, len = 0;

	buf[0] = '\0';
	json_array_foreach(list, i, v) {
		int n = snprintf(buf + len, size - len, "%s%s", len ? " " : "",
				 json_string_value(v));

		if (n < 0 || (size_t) n >= size - len)
			break;
		len += (size_t) n;
	}
	return buf;
}

static void tell_changes(struct plan *p)
{
	char text[1024];

	if (json_array_size(p->stopped) > 0)
		service_event(p->doc, "has stopped %zu running tasks: %s.",
			      json_array_size(p->stopped), joined(p->stopped, text, sizeof(text)));
	if (json_array_size(p->started) > 0)
		service_event(p->doc, "has started %zu tasks: %s.", json_array_size(p->started),
			      joined(p->started, text, sizeof(text)));
}

static bool has_tasks(const json_t *live, const char *deployment)
{
	const json_t *t;
	size_t i;

	json_array_foreach(live, i, t)
		if (strcmp(json_get_string(t, "startedBy", ""), deployment) == 0 &&
		    strcmp(json_get_string(t, "desiredStatus", ""), "RUNNING") == 0)
			return true;
	return false;
}

/* A deployment that nothing runs of any more is history. */
static void drop_deployments(struct plan *p)
{
	json_t *list = json_object_get(p->doc, "deployments");

	for (size_t i = json_array_size(list); i-- > 1;)
		if (!has_tasks(p->live, json_get_string(json_array_get(list, i), "id", "")))
			(void) json_array_remove(list, i);
}

static bool is_settled(const struct plan *p)
{
	const json_t *t;
	size_t i;

	json_array_foreach(p->good, i, t)
		if (!service_task_is_running(t))
			return false;
	return json_array_size(json_object_get(p->doc, "deployments")) == 1 &&
	       json_array_size(p->stale) == 0 && json_array_size(p->started) == 0 &&
	       (int64_t) json_array_size(p->good) == json_get_int(p->doc, "desiredCount", 0);
}

static void tell_settled(struct plan *p)
{
	json_t *state = json_object_get(p->doc, "scheduler"), *d = service_primary(p->doc);
	const char *id = json_get_string(d, "id", "");

	if (!is_settled(p)) {
		(void) json_object_del(state, "steady");
		return;
	}
	if (strcmp(json_get_string(d, "rolloutState", ""), "COMPLETED") != 0) {
		(void) json_object_set_new(d, "rolloutState", json_string("COMPLETED"));
		(void) json_object_set_new(d, "rolloutStateReason",
					   json_sprintf("ECS deployment %s completed.", id));
		(void) json_object_set_new(d, "updatedAt", json_now());
		service_event(p->doc, "(deployment %s) deployment completed.", id);
	}
	if (!json_is_true(json_object_get(state, "steady")))
		service_event(p->doc, "has reached a steady state.");
	(void) json_object_set_new(state, "steady", json_true());
}

/* --- a step ---------------------------------------------------------------------------------------- */

static int step(struct plan *p, struct err *err)
{
	bool daemon = strcmp(json_get_string(p->doc, "schedulingStrategy", ""), "DAEMON") == 0;
	bool draining = strcmp(json_get_string(p->doc, "status", ""), "DRAINING") == 0;
	int k = draining ? service_step_drain(p, err)
		: daemon ? service_step_daemon(p, err)
			 : service_step_replica(p, err);

	if (k < 0)
		return k;
	tell_changes(p);
	if (json_array_size(p->stopped) >= SERVICE_BATCH)
		p->retry_ms = 0;
	drop_deployments(p);
	if (!draining)
		tell_settled(p);
	else if (json_array_size(p->live) == 0)
		(void) json_object_set_new(p->doc, "status", json_string("INACTIVE"));
	return 0;
}

static int reconcile(struct controlplane *cp, const char *arn, int64_t *next_ms, struct err *err)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *before = NULL;
	_cleanup_(plan_done) struct plan p = {};
	int k = store_service_get(cp->store, arn, &doc, err);

	if (k != 0)
		return k < 0 ? k : 0;
	before = json_deep_copy(doc);
	k = plan_load(cp, doc, &p, err);
	if (k == 0)
		k = step(&p, err);
	if (k == 0 && p.retry_ms >= 0)
		*next_ms = MIN(*next_ms, p.retry_ms);
	return k < 0 || json_equal(before, doc) ? k : service_put(cp, doc, err);
}

int64_t services_reconcile(struct controlplane *cp)
{
	_cleanup_(json_decrefp) json_t *arns = NULL;
	_cleanup_(err_done) struct err err = {};
	int64_t next_ms = LOOK_EVERY_MS;
	const json_t *arn;
	size_t i;

	if (store_service_list(cp->store, NULL, NULL, NULL, -1, &arns, &err) < 0)
		log_warn("Failed to list services, will try again: %s", err_text(&err));
	json_array_foreach(arns, i, arn) {
		_cleanup_(err_done) struct err one = {};
		int k = cp_begin(cp, &one);

		if (k == 0) {
			k = reconcile(cp, json_string_value(arn), &next_ms, &one);
			if (cp_end(cp, k == 0, &one) < 0)
				k = -1;
		}
		if (k < 0)
			log_warn("Failed to look after service '%s', will try again: %s",
				 json_string_value(arn), err_text(&one));
	}
	return next_ms;
}

/* --- failed starts ------------------------------------------------------------------------------- */

static json_t *deployment_of(const json_t *doc, const char *id)
{
	json_t *d;
	size_t i;

	json_array_foreach(json_object_get(doc, "deployments"), i, d)
		if (strcmp(json_get_string(d, "id", ""), id) == 0)
			return d;
	return NULL;
}

/* It came up, and stayed for a while. */
static bool ran_well(const json_t *task)
{
	double started = json_number_value(json_object_get(task, "startedAt"));

	return started > 0 && (double) clock_real_ms() - started * MSEC_PER_SEC >= RAN_WELL_MS;
}

/* Waits with the next start, longer each time, up to a quarter less at random. */
static void count_failure(json_t *doc, json_t *deployment)
{
	json_t *state = json_object_get(doc, "scheduler");
	int64_t n = json_get_int(state, "failures", 0) + 1;
	int64_t wait =
		MIN((int64_t) RETRY_FIRST_MS << MIN(n - 1, (int64_t) 20), (int64_t) RETRY_LAST_MS);

	(void) json_object_set_new(state, "failures", json_integer(n));
	(void) json_object_set_new(state, "retryAtMs",
				   json_integer(clock_real_ms() + wait - random_below(wait / 4)));
	(void) json_object_set_new(deployment, "failedTasks",
				   json_integer(json_get_int(deployment, "failedTasks", 0) + 1));
	if (n == FAILURES_TOLD)
		service_event(doc, "is unable to consistently start tasks successfully.");
}

int service_task_stopped(struct controlplane *cp, const json_t *task, struct err *err)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	const char *group = json_get_string(task, "group", "");
	json_t *deployment;
	struct arn a;
	int k;

	if (strncmp(group, "service:", 8) != 0 ||
	    !arn_parse(json_get_string(task, "taskArn", ""), &a))
		return 0;
	cp_wake_services(cp);
	k = service_find(cp, a.cluster, group + 8, &doc, err);
	if (k != 0)
		return k < 0 ? k : 0;
	deployment = deployment_of(doc, json_get_string(task, "startedBy", ""));
	if (!deployment || deployment != service_primary(doc) ||
	    strcmp(json_get_string(task, "stopCode", ""), "ServiceSchedulerInitiated") == 0 ||
	    strcmp(json_get_string(task, "stopCode", ""), "UserInitiated") == 0)
		return 0;
	if (!ran_well(task))
		count_failure(doc, deployment);
	else if (json_get_int(json_object_get(doc, "scheduler"), "failures", 0) > 0)
		(void) json_object_del(json_object_get(doc, "scheduler"), "failures");
	else
		return 0;
	return service_put(cp, doc, err);
}

/* --- the loop ---------------------------------------------------------------------------------------- */

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct controlplane *cp = userdata;
	int64_t next_ms;

	(void) usec;
	cp->services_awake =
		true; /* what this changes itself needs no second look before the next */
	next_ms = cp->stopping ? LOOK_EVERY_MS : services_reconcile(cp);
	cp->services_awake = false;
	(void) sd_event_source_set_time_relative(source, (uint64_t) next_ms * 1000);
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int services_start(struct controlplane *cp, struct err *err)
{
	int k = sd_event_add_time_relative(cp->loop, &cp->services, CLOCK_MONOTONIC,
					   FIRST_LOOK_MS * 1000, 0, on_due, cp);

	if (k >= 0)
		(void) sd_event_source_set_description(cp->services, "services");
	return k < 0 ? err_set_errno(err, -k, "look after services") : 0;
}
