/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service - services keep a number of tasks running: as many as asked (REPLICA), or one on each
 * instance that may have it (DAEMON). Operations only write down what is wanted and wake the
 * reconcile step (service_plan.c), which runs on the loop after every change that could matter and
 * now and then; each service in a transaction of its own. There is no other state than the document,
 * so a restart changes nothing.
 *
 * The stored document is the Service with deployments, newest first: deployments[0] is PRIMARY, the
 * others are ACTIVE, on their way out. A task belongs to the deployment whose id is its startedBy.
 * Member "scheduler", never shown: failures (starts that failed in a row), retryAtMs (wall clock; no
 * start before it), steady (the steady state was told), unplaced (the last reason told).
 */
#pragma once

#include "controlplane/ops.h"

enum { SERVICE_EVENTS_MAX = 100, SERVICE_DESIRED_MAX = 5000 };

/* --- the document (service_doc.c) ------------------------------------------------------------ */

/* Finds a name in @cluster or an ARN. Returns 0, STORE_E_NOT_FOUND, or a negative errno. */
int service_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
		 struct err *err);
int service_put(struct controlplane *cp, const json_t *doc, struct err *err);

/* The document as DescribeServices shows it: counted members added, private ones taken out. */
int service_show(struct controlplane *cp, json_t *doc, struct err *err);

/* New list of the tasks whose lastStatus is not STOPPED, of every deployment. */
int service_tasks(struct controlplane *cp, const json_t *doc, json_t **ret, struct err *err);

/* A new PRIMARY deployment of what @doc says now; that of before becomes ACTIVE. */
int service_deploy(json_t *doc, struct err *err);
json_t *service_primary(const json_t *doc); /* borrowed */

/* Adds event "(service NAME) TEXT" on top; the oldest goes when there are too many. */
void service_event(json_t *doc, const char *fmt, ...) _printf_(2, 3);

/* The request of RunTask that starts a task of the PRIMARY deployment. NULL: out of memory. */
json_t *service_run_request(const json_t *doc);

/* --- requests (service_request.c) ------------------------------------------------------------ */

/* A new document from CreateService @in, all but its tasks checked. Returns 0, or -1 with @e set. */
int service_from_request(struct controlplane *cp, const json_t *in, const char *cluster,
			 json_t **ret, struct api_error *e);

/* Applies UpdateService @in to @doc. Returns 0, or -1 with @e set. */
int service_apply_update(struct controlplane *cp, const json_t *in, json_t *doc,
			 struct api_error *e);

/* --- the reconcile step (service_plan.c) ----------------------------------------------------- */

/* Runs services_reconcile() on the loop, when woken and on a timer. */
int services_start(struct controlplane *cp, struct err *err);

/* Brings every service one step on. Returns after how many ms to look again at the latest. */
int64_t services_reconcile(struct controlplane *cp);

/*
 * The task of document @task reached STOPPED, not stored yet: its service, if it has one, counts
 * failed starts and waits with the next. Within the caller's transaction.
 */
int service_task_stopped(struct controlplane *cp, const json_t *task, struct err *err);
