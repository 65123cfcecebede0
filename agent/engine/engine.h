/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - turns what the control plane wants into containers, and what happens to them into
 * reports. One reconcile path: reconcile.c decides from (desired, observed) what to do next,
 * actions.c does it, every event comes back here. A restart takes the same path: load, observe,
 * reconcile. Loop thread only. Nothing here blocks longer than a database commit.
 */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "agent/acs/credentials.h"
#include "agent/config.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/task.h"

struct engine;
struct store;
struct net;
struct http_client;
struct aws_credentials;

struct engine_callbacks {
	void *userdata;
	/* A row for @task_arn was committed to the outbox of the store: deliver it (outbox_kick()).
	 */
	void (*on_outbox)(void *userdata, const char *task_arn);
	/* A container started (now or found again at a restart) or ended: for the sampler. */
	void (*on_container_running)(void *userdata, const struct container *c);
	void (*on_container_stopped)(void *userdata, const struct container *c);
	/* A task was cleaned up; @t is valid until the call returns. Its credentials may go. */
	void (*on_task_removed)(void *userdata, const struct task *t);
	/* Something worth telling `ecsctl events`: an object, borrowed. */
	void (*on_event)(void *userdata, const json_t *event);
};

struct instance_facts;

struct engine_params {
	sd_event *loop;
	const struct config *config; /* borrowed, outlives the engine, as store and net do */
	struct store *store;
	struct net *net; /* NULL: no bridge; tasks that want one are stopped with a reason */
	struct http_client *http;          /* to ask registries; NULL: ecs-image alone does */
	struct aws_credentials *credentials; /* of the instance, for ECR; NULL: unsigned */
	const struct role_store *roles;      /* of the tasks; NULL with @http */
	const struct instance_facts *instance; /* as known by now; may be NULL */
	struct engine_callbacks callbacks; /* any may be NULL */
};

/* Opens the image store and the cgroup parent (-EPERM, -EROFS …: no containers can be run here). */
int engine_new(const struct engine_params *p, struct engine **ret, struct err *err);

/* Knows the tasks and does nothing about them: for engine_doctor() without a running agent. */
int engine_load(struct engine *e, struct err *err);

/*
 * Loads all tasks of the store, finds their shims again, reconciles and collects what belongs to no
 * task. Once, before the sessions connect; what ended meanwhile is in the outbox when it returns.
 * -EAGAIN: a shim lives but does not answer; nothing that lives was touched, and the next run may
 * do better.
 */
int engine_restore(struct engine *e, struct err *err);

/* Stops watching; containers go on. */
struct engine *engine_free(struct engine *e);
DEFINE_CLEANUP(struct engine *, engine_free)

/* Host resources as registered; ports already include the reserved ones. Until then nothing is
 * bounded. */
struct host_resources {
	int64_t cpu, memory_mib;
};
void engine_set_host_resources(struct engine *e, const struct host_resources *r);

/* What @c had used when its run ended: kept with it, for the statistics of the next run. */
void engine_note_usage(const struct container *c, const struct past_usage *past);

/*
 * Takes an ACS PayloadMessage's tasks (stops first), in one store transaction. A task that asks for
 * what this build cannot do is taken as STOPPED with a reason that names the field. Returns 0 when
 * everything was taken and the payload may be acked; else a negative errno (-EPROTO: some task is
 * malformed, it is reported STOPPED and the others are taken; -ENOSPC, …: nothing was taken).
 * Signature of acs_handlers.on_payload, @e as void.
 */
int engine_on_payload(struct engine *e, const json_t *message, struct err *err);

/*
 * Takes a task that somebody of this host starts (localtask_build()): like any other but that nobody is told of
 * it, and that no list of the service's ends it. -EPROTO, -ENOTSUP: @err names the member; -EEXIST: a task of that
 * name is there; -ENOSPC, …: the host cannot. Nothing is kept of a refused one.
 */
int engine_run_local(struct engine *e, const json_t *task, struct err *err);

/* Cleans up a local task that has stopped. -ENOENT; -EPERM: it is the service's; -EBUSY: it has not stopped. */
int engine_remove_local(struct engine *e, const char *arn, struct err *err);

/* Sets a task to desired STOPPED. *ret_known (may be NULL) is false when the ARN is unknown.
 * @reason may be NULL. */
int engine_stop_task(struct engine *e, const char *arn, const char *reason, bool *ret_known,
		     struct err *err);

/* Keeps the id under which a task's credentials stand. -ENOENT: unknown task. */
int engine_set_credentials_id(struct engine *e, const char *arn, enum role_type type,
			      const char *id, struct err *err);

/* A new array of ARNs of tasks that are desired RUNNING and not in @running (an array of ARNs). */
int engine_stop_candidates(const struct engine *e, const json_t *running, json_t **ret,
			   struct err *err);

size_t engine_task_count(const struct engine *e);
const struct task *engine_task_at(const struct engine *e, size_t i); /* in order of arrival */

/* By ARN, by id, or by an unambiguous beginning of an id (at least 4 characters). NULL: none. */
const struct task *engine_find_task(const struct engine *e, const char *arn_or_id_prefix);

/* Path of a container's json-file log; NULL when it has none. Owned. */
char *engine_log_path(const struct engine *e, const struct container *c);

/* What it sees of the host: [{type, name, source, destination, readOnly}]; NULL: nothing. */
json_t *engine_container_mounts(const struct engine *e, const struct container *c);

/* Absolute cgroup directory of the container for @controller; owned. */
char *engine_cgroup_dir(const struct container *c, const char *controller);

/* The outbox's view of the engine's rows; userdata is the engine. */
extern const struct outbox_source engine_outbox_source;
