/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/telemetry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"

struct telemetry {
	int64_t metrics, health, status, refused;
	char *last_refusal; /* owned */
	json_t *rounds;     /* oldest first */
	json_t *containers, *healths, *statuses;
};

struct telemetry *telemetry_new(void)
{
	struct telemetry *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->rounds = json_array();
	t->containers = json_object();
	t->healths = json_object();
	t->statuses = json_object();
	if (!t->rounds || !t->containers || !t->healths || !t->statuses)
		return telemetry_free(t);
	return t;
}

struct telemetry *telemetry_free(struct telemetry *t)
{
	if (!t)
		return NULL;
	free(t->last_refusal);
	json_decref(t->rounds);
	json_decref(t->containers);
	json_decref(t->healths);
	json_decref(t->statuses);
	free(t);
	return NULL;
}

static json_t *seconds(int64_t now_ms)
{
	return json_real((double) now_ms / MSEC_PER_SEC);
}

/* The round of that message id: the newest one if it matches, else a new one. */
static json_t *find_round(struct telemetry *t, const json_t *metadata, int64_t now_ms)
{
	const char *id = json_get_string(metadata, "messageId", "");
	size_t n = json_array_size(t->rounds);
	json_t *round = n ? json_array_get(t->rounds, n - 1) : NULL;

	if (round && strcmp(json_get_string(round, "messageId", ""), id) == 0)
		return round;
	round = json_pack("{s:s, s:o, s:b, s:i, s:i, s:[]}", "messageId", id, "receivedAt",
			  seconds(now_ms), "idle", json_is_true(json_object_get(metadata, "idle")),
			  "requests", 0, "containers", 0, "taskMetrics");
	if (json_array_append_new(t->rounds, round) < 0)
		return NULL;
	while (json_array_size(t->rounds) > TELEMETRY_ROUNDS)
		(void) json_array_remove(t->rounds, 0);
	return round;
}

static void prune(json_t *map, int64_t now_ms)
{
	const char *key;
	json_t *value;
	void *tmp;

	json_object_foreach_safe(map, tmp, key, value)
	{
		double at = json_number_value(json_object_get(value, "receivedAt"));

		if (at * MSEC_PER_SEC < (double) (now_ms - TELEMETRY_KEEP_MS))
			(void) json_object_del(map, key);
	}
}

static bool keep_newest(json_t *map, json_t *key, const json_t *value, int64_t now_ms)
{
	json_auto_t *owned_key = key, *copy = json_copy((json_t *) value);

	if (json_object_size(map) >= TELEMETRY_MAX_CONTAINERS &&
	    !json_object_get(map, json_string_value(owned_key)))
		return true;
	return owned_key && copy && json_object_set_new(copy, "receivedAt", seconds(now_ms)) == 0 &&
	       json_object_set(map, json_string_value(owned_key), copy) == 0;
}

static bool add_task(struct telemetry *t, json_t *round, json_t *task, int64_t now_ms)
{
	json_t *list = json_object_get(round, "taskMetrics"), *container;
	const json_t *containers = json_object_get(task, "containerMetrics");
	int64_t n = json_get_int(round, "containers", 0) + (int64_t) json_array_size(containers);
	size_t i;

	if (json_array_size(list) < TELEMETRY_MAX_TASKS && n <= TELEMETRY_MAX_CONTAINERS &&
	    (json_array_append(list, task) < 0 ||
	     json_object_set_new(round, "containers", json_integer(n)) < 0))
		return false;
	json_array_foreach(containers, i, container)
		if (!keep_newest(t->containers,
				 json_sprintf("%s/%s", json_get_string(task, "taskArn", ""),
					      json_get_string(container, "containerName", "")),
				 container, now_ms))
			return false;
	return true;
}

int telemetry_add_metrics(struct telemetry *t, const json_t *message, int64_t now_ms,
			  struct err *err)
{
	const json_t *metadata = json_object_get(message, "metadata");
	json_t *round = find_round(t, metadata, now_ms), *task;
	bool ok = round != NULL;
	size_t i;

	t->metrics++;
	ok = ok &&
	     json_object_set(round, "timestamp", json_object_get(message, "timestamp")) == 0 &&
	     json_object_set(round, "fin", json_object_get(metadata, "fin")) == 0 &&
	     json_object_set_new(round, "requests",
				 json_integer(json_get_int(round, "requests", 0) + 1)) == 0;
	json_array_foreach(json_object_get(message, "taskMetrics"), i, task)
		ok = ok && add_task(t, round, task, now_ms);
	prune(t->containers, now_ms);
	return ok ? 0 : err_set(err, ENOMEM, "keep metrics");
}

int telemetry_add_health(struct telemetry *t, const json_t *message, int64_t now_ms,
			 struct err *err)
{
	json_t *task;
	bool ok = true;
	size_t i;

	t->health++;
	json_array_foreach(json_object_get(message, "tasks"), i, task)
		ok = ok &&
		     keep_newest(t->healths, json_string(json_get_string(task, "taskArn", "")),
				 task, now_ms);
	prune(t->healths, now_ms);
	return ok ? 0 : err_set(err, ENOMEM, "keep health");
}

int telemetry_add_status(struct telemetry *t, const json_t *message, int64_t now_ms,
			 struct err *err)
{
	json_t *status;
	bool ok = true;
	size_t i;

	t->status++;
	json_array_foreach(json_object_get(message, "statuses"), i, status)
		ok = ok &&
		     keep_newest(t->statuses, json_string(json_get_string(status, "type", "")),
				 status, now_ms);
	prune(t->statuses, now_ms);
	return ok ? 0 : err_set(err, ENOMEM, "keep instance status");
}

void telemetry_count_refused(struct telemetry *t, const char *why)
{
	t->refused++;
	free(t->last_refusal);
	t->last_refusal = strdup(why);
}

json_t *telemetry_show(const struct telemetry *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:O, s:O, s:O, s:O}", "metricsRequests",
			 (json_int_t) t->metrics, "healthRequests", (json_int_t) t->health,
			 "statusRequests", (json_int_t) t->status, "refusedRequests",
			 (json_int_t) t->refused, "lastRefusal",
			 t->last_refusal ? t->last_refusal : "", "rounds", t->rounds, "containers",
			 t->containers, "health", t->healths, "statuses", t->statuses);
}
