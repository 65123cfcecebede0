/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what survives a restart: clusters, task definitions, container instances, tasks.
 * A record is the JSON object that the Describe operations show; the columns that are searched
 * are derived from it on every put. What is private to the server (acks, sequence numbers) has
 * columns of its own. Numbers that can be counted (running tasks, free memory) are counted, never
 * stored, so they cannot drift. Returned objects are new references, the caller's own to change.
 * All functions return 0, a positive STORE_E_*, or a negative errno with @err set.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/err.h"

struct store;

enum { STORE_E_NOT_FOUND = 1 };

/* @path NULL: in memory. */
int store_open(const char *path, struct store **ret, struct err *err);
struct store *store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close)

/* For transactions and for tables that a caller adds to; everything else has a function here. */
struct db *store_db(struct store *s);

/* Called for each row with a new reference that the callback may steal by json_incref(). Returns 0
 * to go on, DB_E_DONE to stop, negative errno with @err set to fail. */
typedef int (*store_doc_fn)(json_t *doc, void *userdata, struct err *err);

/* --- clusters, by name ------------------------------------------------------------------- */
int store_cluster_get(struct store *s, const char *name, json_t **ret, struct err *err);
int store_cluster_put(struct store *s, const char *name, const json_t *doc, struct err *err);

/* Names after @after (NULL: from the start) of ACTIVE clusters in order, at most @limit, as JSON
 * strings. */
int store_cluster_list(struct store *s, const char *after, int limit, json_t **ret_names,
		       struct err *err);

struct cluster_counts {
	int64_t instances; /* ACTIVE and DRAINING */
	int64_t running_tasks, pending_tasks;
	int64_t active_services, draining_services;
};

int store_cluster_counts(struct store *s, const char *name, struct cluster_counts *ret,
			 struct err *err);

/* --- task definitions, by family and revision -------------------------------------------- */
int store_taskdef_next_revision(struct store *s, const char *family, int *ret, struct err *err);
int store_taskdef_put(struct store *s, const json_t *doc, struct err *err);

/* @revision 0: the newest ACTIVE one. */
int store_taskdef_get(struct store *s, const char *family, int revision, json_t **ret,
		      struct err *err);
int store_taskdef_get_arn(struct store *s, const char *arn, json_t **ret, struct err *err);

struct taskdef_filter {
	const char *family; /* NULL: all; exact match */
	const char *status; /* NULL: all */
	bool descending;    /* of family, then revision */
	int limit;
	const char *after_family; /* NULL: from the start */
	int after_revision;
};

/* ARNs as JSON strings. */
int store_taskdef_list(struct store *s, const struct taskdef_filter *f, json_t **ret_arns,
		       struct err *err);

/* @status "ACTIVE", "INACTIVE" (families with no ACTIVE revision) or "ALL"; names as JSON strings.
 */
int store_family_list(struct store *s, const char *prefix, const char *status, const char *after,
		      int limit, json_t **ret_names, struct err *err);

/* --- container instances, by ARN ---------------------------------------------------------- */

/*
 * The document is the ContainerInstance without the counted members remainingResources,
 * runningTasksCount, pendingTasksCount: instance_describe() adds them.
 */
int store_instance_get(struct store *s, const char *arn, json_t **ret, struct err *err);
int store_instance_put(struct store *s, const json_t *doc, struct err *err);

/* Instances of @cluster in order of ARN after @after; @status NULL: ACTIVE and DRAINING. */
int store_instance_each(struct store *s, const char *cluster, const char *status, const char *after,
			int limit, store_doc_fn fn, void *userdata, struct err *err);

/* After a start no agent is connected: clears agentConnected everywhere. */
int store_instances_disconnect_all(struct store *s, struct err *err);

/* The next ACS sequence number of this instance: 1, 2, …; never repeats, also after a crash. */
int store_instance_next_seq(struct store *s, const char *arn, int64_t *ret, struct err *err);

struct instance_use {
	int64_t cpu, memory; /* promised to tasks not STOPPED, in CPU units and MiB */
	int64_t running_tasks, pending_tasks;
};

int store_instance_use(struct store *s, const char *arn, struct instance_use *ret, struct err *err);

/* How many of its tasks that are not STOPPED belong to @group. */
int store_instance_group_tasks(struct store *s, const char *arn, const char *group, int64_t *ret,
			       struct err *err);

/* Host ports in use by tasks: @protocol "tcp" or "udp"; JSON strings, ascending. */
int store_instance_ports(struct store *s, const char *arn, const char *protocol, json_t **ret_ports,
			 struct err *err);

/* --- tasks, by ARN ------------------------------------------------------------------------- */

/*
 * The document is the Task as DescribeTasks shows it (status members upper-case strings, times
 * epoch seconds with fraction). A put derives: cluster, containerInstanceArn, family,
 * desiredStatus, lastStatus, startedBy, group, cpu and memory to hold. Once lastStatus is STOPPED
 * nothing is held any more.
 */
int store_task_get(struct store *s, const char *arn, json_t **ret, struct err *err);

/* @cpu (units) and @memory (MiB) are what the task holds on its instance. */
int store_task_add(struct store *s, const json_t *doc, int64_t cpu, int64_t memory,
		   struct err *err);
int store_task_put(struct store *s, const json_t *doc, struct err *err);

/* Host ports the task holds on its instance, besides those it has; given back at STOPPED. */
int store_task_hold_port(struct store *s, const char *task_arn, const char *instance_arn,
			 const char *protocol, int port, struct err *err);

/*
 * Tasks of an instance whose lastStatus is not STOPPED, oldest first. With @unacked_only, those
 * whose desiredStatus the agent has not acked yet.
 */
int store_tasks_of_instance(struct store *s, const char *instance_arn, bool unacked_only,
			    store_doc_fn fn, void *userdata, struct err *err);

/* The agent acked the payload that carried this desiredStatus of the task ("RUNNING", "STOPPED").
 */
int store_task_set_acked(struct store *s, const char *task_arn, const char *desired_status,
			 struct err *err);

struct task_filter {
	const char *cluster;        /* required: name */
	const char *desired_status; /* "RUNNING" (also PENDING tasks) or "STOPPED" */
	const char *family, *instance_arn, *started_by, *group; /* NULL: any */
	const char *after;                                      /* ARN */
	int limit;
};

int store_task_list(struct store *s, const struct task_filter *f, json_t **ret_arns,
		    struct err *err);

/* Forgets tasks STOPPED before @before_ms (wall clock). */
int store_tasks_purge(struct store *s, int64_t before_ms, struct err *err);

/* --- services, by ARN ------------------------------------------------------------------------ */

/*
 * The document is the Service without the counted members (runningCount, pendingCount, also of its
 * deployments), with member "scheduler", which is not shown (service.h). A put derives: cluster,
 * status, schedulingStrategy.
 */
int store_service_get(struct store *s, const char *arn, json_t **ret, struct err *err);
int store_service_put(struct store *s, const json_t *doc, int64_t now_ms, struct err *err);

/* ACTIVE and DRAINING ones of @cluster (NULL: all) in order after @after (NULL: from the start);
 * @strategy NULL: any; @limit -1: all. ARNs as JSON strings. */
int store_service_list(struct store *s, const char *cluster, const char *strategy,
		       const char *after, int limit, json_t **ret_arns, struct err *err);

/* Tasks of @group in @cluster whose lastStatus is not STOPPED, oldest first. */
int store_tasks_of_group(struct store *s, const char *cluster, const char *group, store_doc_fn fn,
			 void *userdata, struct err *err);

/* Forgets services INACTIVE since before @before_ms (wall clock). */
int store_services_purge(struct store *s, int64_t before_ms, struct err *err);

/* --- network interfaces, by id ---------------------------------------------------------------- */

/*
 * The task holds interface @eni, given back at STOPPED; @acs is what its agent is told of it, with
 * attachmentArn. -EEXIST: another task holds it.
 */
int store_eni_take(struct store *s, const char *eni, const char *task_arn, const json_t *acs,
		   struct err *err);
int store_eni_is_taken(struct store *s, const char *eni, bool *ret, struct err *err);
int store_eni_of_task(struct store *s, const char *task_arn, json_t **ret_acs, struct err *err);
/* *ret is owned by the caller. */
int store_eni_task_of(struct store *s, const char *attachment_arn, char **ret_task_arn,
		      struct err *err);
/* *ret: the ARNs of the tasks that hold one; owned by the caller. */
int store_eni_tasks(struct store *s, json_t **ret, struct err *err);
int store_eni_release(struct store *s, const char *task_arn, struct err *err);

/* --- RunTask idempotency, tags ------------------------------------------------------------- */
int store_token_get(struct store *s, const char *token, json_t **ret_answer, struct err *err);
int store_token_put(struct store *s, const char *token, const json_t *answer, int64_t now_ms,
		    struct err *err);
