/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline - when agents were told and when they answered, for measuring them from outside.
 * In memory since the start of the process, the last TIMELINE_MAX tasks and registrations; GET
 * /local/timeline shows it. Times are wall-clock milliseconds with a fraction.
 */
#pragma once

#include <jansson.h>

#include "common/cleanup.h"
#include "common/err.h"

struct timeline;

enum { TIMELINE_MAX = 10000 };

int timeline_new(struct timeline **ret, struct err *err);
struct timeline *timeline_free(struct timeline *t);
DEFINE_CLEANUP(struct timeline *, timeline_free)

/* A payload about @tasks ({task ARN: desired status}) was sent: payloadSentAt, stopSentAt. */
void timeline_sent(struct timeline *t, const json_t *tasks);

/* A task was reported RUNNING or STOPPED: runningAt, stoppedAt. First report counts. */
void timeline_reported(struct timeline *t, const char *task_arn, const char *status);

/* RegisterContainerInstance was answered. */
void timeline_registered(struct timeline *t, const char *instance_arn);

/* {"tasks": [{"taskArn": …, "payloadSentAt": …}], "registrations": [{"instance": …, "at": …}]}; NULL when out of memory. */
json_t *timeline_show(const struct timeline *t);
