/* SPDX-License-Identifier: Apache-2.0 */
/*
 * telemetry - what agents reported lately, in memory: the last rounds of metrics, the newest
 * numbers of each container, health and instance status, and how many requests were good and bad.
 * GET /local/telemetry shows it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct telemetry;

enum {
	TELEMETRY_ROUNDS = 4,
	TELEMETRY_MAX_TASKS = 1000,         /* of one round; the rest is dropped */
	TELEMETRY_MAX_CONTAINERS = 2000,    /* of one round, and remembered; the rest is dropped */
	TELEMETRY_KEEP_MS = 10 * 60 * 1000, /* of a container that is no longer reported */
};

struct telemetry *telemetry_new(void);
struct telemetry *telemetry_free(struct telemetry *t);

/* Each takes a request that was checked. @now_ms is the wall clock. -ENOMEM with @err set. */
int telemetry_add_metrics(struct telemetry *t, const json_t *message, int64_t now_ms,
			  struct err *err);
int telemetry_add_health(struct telemetry *t, const json_t *message, int64_t now_ms,
			 struct err *err);
int telemetry_add_status(struct telemetry *t, const json_t *message, int64_t now_ms,
			 struct err *err);

/* A request was refused, for the reason given. */
void telemetry_count_refused(struct telemetry *t, const char *why);

/*
 * {"metricsRequests", "healthRequests", "statusRequests", "refusedRequests", "lastRefusal",
 *  "rounds": [{"messageId", "receivedAt", "timestamp", "idle", "fin", "requests", "containers",
 *             "taskMetrics"}],
 *  "containers": {"TASKARN/NAME": {…, "receivedAt"}}, "health": {TASKARN: …}, "statuses": {TYPE: …}}
 */
json_t *telemetry_show(const struct telemetry *t);
