/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - SubmitTaskStateChange bodies. Which members, in what order and what is
 * left out when is the ECS API's, as amazon-ecs-agent speaks it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "agent/engine/task.h"

struct config;

enum { REPORT_REASON_MAX = 1024, REPORT_ID_MAX = 255 };

/* Whether the task has come to a status that the service is told of. */
bool report_is_due(const struct task *t);

/* Whether a container has news that wait for the next event of its task. */
bool report_has_container_news(const struct task *t);

/* The body for what @t is now. NULL when out of memory. */
json_t *report_body(const struct task *t, const struct config *config);

/* The families of whose bindings is told, where a container has them. */
bool report_names_ipv4(const struct config *c);
bool report_names_ipv6(const struct config *c);

/* Notes that report_body() went into the outbox. */
void report_mark_sent(struct task *t);
