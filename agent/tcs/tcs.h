/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcs - the telemetry session: metrics and health every 20 s, status after ACS heartbeats.
 * Every frame goes out signed. Rounds made while disconnected wait, at most 15 of them. Loop thread
 * only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct aws_credentials;
struct config;
struct ctl;
struct http_client;
struct tcs;

struct tcs_provider {
	/*
	 * The samples since the last call, which are consumed: *ret_tasks is a new array of
	 * TaskMetric objects (taskArn, taskDefinitionFamily, taskDefinitionVersion,
	 * containerMetrics …), *ret_idle tells whether no container is tracked at all. Returns 0 or
	 * a negative errno.
	 */
	int (*collect)(void *userdata, json_t **ret_tasks, bool *ret_idle, struct err *err);
	/* A new array of TaskHealth objects, empty or NULL when no container has a health check.
	 * The member itself may be NULL. */
	int (*collect_health)(void *userdata, json_t **ret_tasks, struct err *err);
};

struct tcs_params {
	sd_event *event;
	const struct config *config;         /* borrowed */
	struct http_client *http;            /* borrowed */
	struct aws_credentials *credentials; /* borrowed; may be NULL */
	struct ctl *ctl;                     /* borrowed; registered */
	const struct tcs_provider *provider; /* kept by address */
	void *userdata;
};

int tcs_new(const struct tcs_params *p, struct tcs **ret, struct err *err);
struct tcs *tcs_free(struct tcs *t);
DEFINE_CLEANUP(struct tcs *, tcs_free)

int tcs_start(struct tcs *t, struct err *err);
bool tcs_connected(const struct tcs *t);
int64_t tcs_due_ms(const struct tcs *t); /* session_due_ms() */

/* The outcome of the runtime check that an ACS heartbeat caused; goes out with the next status. */
void tcs_report_runtime(struct tcs *t, bool ok);

/* The instance was deregistered: drop the connection. The session comes back with its back-off. */
void tcs_disconnect(struct tcs *t);
