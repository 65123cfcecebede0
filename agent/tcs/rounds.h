/* SPDX-License-Identifier: Apache-2.0 */
/* rounds - one round of telemetry as the messages that carry it. Pure: time and ids come in. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { ROUND_TASKS_MAX = 10, ROUND_BYTES_MAX = 1024 * 1024 };

struct round_identity {
	const char *cluster;
	const char *container_instance;
	const char *message_id; /* of the round: the same in all its messages */
	int64_t now_ms;
};

/*
 * PublishMetricsRequest envelopes as texts, appended to the vector *@ret: one when @idle, none when
 * there are no tasks, else at most ROUND_TASKS_MAX tasks and ROUND_BYTES_MAX bytes in each, `fin`
 * in the last. A task that alone is over the bound is left out and counted in *@ret_left_out.
 */
int round_metrics(const struct round_identity *id, const json_t *tasks, bool idle, char ***ret,
		  size_t *ret_left_out, struct err *err);

/* PublishHealthRequest envelopes; the same bounds. */
int round_health(const struct round_identity *id, const json_t *tasks, char ***ret,
		 struct err *err);

struct runtime_status {
	const char *status;     /* "OK" or "IMPAIRED" */
	int64_t previous_ms;    /* the check before the latest */
	int64_t last_change_ms; /* of the status */
};

/* A PublishInstanceStatusRequest envelope; owned. NULL when out of memory. */
char *round_status(const struct round_identity *id, const struct runtime_status *s);

/* Epoch seconds as the protocol writes them: milliseconds as a fraction, none when they are 0. */
json_t *round_time(int64_t real_ms);
