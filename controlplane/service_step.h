/* SPDX-License-Identifier: Apache-2.0 */
/* service_step - what one service needs next: which tasks to start and which to stop. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct controlplane;

enum { SERVICE_BATCH = 10 }; /* tasks started, and stopped, in one step */

/* One service as it is now. The tasks of each list are new references. */
struct plan {
	struct controlplane *cp;
	json_t *doc;     /* borrowed; changed */
	json_t *request; /* owned: service_run_request(); what is read of it borrows from it */
	json_t *live;    /* owned: not STOPPED, those told to stop among them */
	json_t *good;  /* owned: of the PRIMARY deployment, on an ACTIVE instance, not unhealthy */
	json_t *stale; /* owned: wanted until now, to be replaced */
	json_t *started;  /* owned: "(task ID)" */
	json_t *stopped;  /* owned: likewise */
	int64_t running;  /* of good and stale: RUNNING and not unhealthy */
	int64_t now_ms;   /* wall clock */
	int64_t retry_ms; /* look again after it; -1: the timer will do */
};

/* Of an ACTIVE service. Returns 0, or a negative errno with @err set. */
int service_step_replica(struct plan *p, struct err *err);
int service_step_daemon(struct plan *p, struct err *err);

/* Of a service that is DRAINING. */
int service_step_drain(struct plan *p, struct err *err);

bool service_task_is_running(const json_t *task);   /* RUNNING, and wanted so */
bool service_task_is_unhealthy(const json_t *task); /* by the health checks of its containers */
