/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal - what the files of engine/ share.
 *
 * One pass (engine.c) settles everything: decide for each task that something happened to, write
 * down what was decided together with the reports it causes, in one transaction, then act. An act
 * that leaves traces on the host is done only after its intent (the container's id, address and
 * ports) is on the disk; what a crash leaves half done is found again by that id.
 */
#pragma once

#include "agent/engine/admission.h"
#include "agent/engine/crash.h"
#include "agent/engine/engine.h"
#include "agent/engine/image-check.h"
#include "agent/engine/reconcile.h"
#include "agent/engine/task-net.h"
#include "common/backoff.h"
#include "runtime/image/image.h"
#include "runtime/image/pull.h"
#include "runtime/shim/shim.h"

struct pull;
struct volume;
struct container_volumes;
struct mount_list;
struct image_cleanup;
struct task_inputs;

/* One per container, for as long as the engine has it. */
struct container_run {
	struct engine *engine;       /* borrowed */
	struct container *container; /* borrowed */
	enum container_busy busy;
	enum container_action action; /* decided, not yet done */
	bool save;                    /* the row is older than the struct */
	bool holds_slot;              /* it counts among the starts at a time */
	bool wants_slot;
	int64_t start_mono_ms;
	int64_t stop_mono_ms; /* when it was told to stop; 0: nobody did */
	bool prepared;        /* cgroup, network namespace, address are there */
	bool ports_held;
	bool unverified; /* its limits were not read back yet */
	bool teardown;   /* stopped; its traces are to be removed */
	enum container_status durable_sent;
	struct pull *pull;                 /* borrowed; NULL: none */
	struct container_volumes *volumes; /* owned; NULL: it mounts nothing, or is not yet made */
	struct image_check *check;         /* owned; while only its digest is asked for */
	char *netns_path;                  /* owned; NULL until the namespace is made */
	struct shim *shim;                 /* owned */
	sd_event_source *shim_io, *timer;  /* owned */
	struct shim_health_rules health;   /* of the start under way */
	struct shim_event exit;            /* while processes are left */
	int64_t left_wait_ms;              /* between looks at them */
};

struct task_run {
	struct engine *engine;
	bool dirty; /* something happened to it */
	bool save;
	bool admitted;
	bool reported;        /* an entry goes into the outbox with the next flush */
	uint64_t report_mark; /* the commit with the entry; 0: the outbox was told */
	bool teardown;        /* its own traces: the cgroup */
	bool cgroup_made;
	enum task_status durable_sent;
	sd_event_source *wake; /* owned: a start timeout of one of its containers */
	int64_t wake_ms;       /* when, wall clock; 0: never */
	json_t *insert;        /* owned: definition of a task that has no row yet */
	struct task_inputs
		*inputs;     /* owned; NULL: nothing was asked for yet, or is wanted any more */
	char *cgroup_path;   /* owned: what runc takes as parent */
	struct task_net net; /* of mode awsvpc */
	int64_t arrived_mono_ms;
	int64_t remove_at_ms;     /* wall clock; 0: not yet known */
	int64_t cleanup_again_ms; /* how long ago the last try was, when it failed */
	struct container_run containers[];
};

struct engine {
	sd_event *loop;
	const struct config *config;
	struct store *store;
	struct net *net;
	struct linkwatch *linkwatch; /* owned; NULL until a device is waited for */
	struct http_client *http;    /* may be NULL */
	const struct role_store *roles;
	const struct instance_facts *instance;
	struct registry_tokens *registry_tokens; /* owned; NULL without http */
	struct prefetch *prefetch;               /* owned; NULL: nothing to do */
	struct engine_callbacks callbacks;
	struct image_store *images; /* owned */
	struct task **tasks;        /* owned, in order of arrival */
	size_t n_tasks;
	int64_t next_sequence;
	struct ledger ledger;
	struct pull *pulls;                 /* owned list */
	struct volume *volumes;             /* owned list: those with something mounted, or to be */
	char *volumes_dir, *volume_program; /* owned */
	struct image_cleanup *image_cleanup; /* owned; NULL: none is wanted */
	size_t slots_used, slots_max, cpus;  /* starts at a time */
	bool slot_wanted;                    /* somebody waits for one */
	bool room;         /* host resources became free: ask the waiting tasks again */
	bool commit_first; /* an act of this pass needs its intent on the disk */
	bool starved;      /* no memory to decide with */
	bool in_pass;
	int64_t eni_wait_ms;   /* how long a task waits for its interface */
	int64_t stop_limit_ms; /* after the grace of a stop; it goes on, but the reason is known */
	sd_event_source *filter_monitor, *filter_check;
	int filter_restored_n; /* in a row: none stood for a while */
	int64_t filter_checked_ms, filter_restored_ms;
	sd_event_source *pass, *teardown, *ticker, *cleanup, *retry, *slots, *limits;
	char *run_dir, *data_dir, *runc, *runc_root, *shim_program, *image_program, *pause_program,
		*init_program, *trash; /* owned */
	sd_event_source *trash_work;   /* the child that empties it, or the timer until the next */
	struct backoff trash_backoff;
	sd_event_source *lingering; /* what is nobody's and is not gone yet */
	int64_t lingering_ms;
	bool trash_grew; /* meanwhile */
};

/* pass.c */
int pass_start(struct engine *e, struct err *err); /* once; engine_free() ends it */
int engine_pass(struct engine *e, struct err *err);
void engine_touch(struct engine *e, struct task *t); /* something happened: look at it soon */
void engine_want_teardown(struct engine *e);

/* engine.c */
int engine_add_task(struct engine *e, struct task *t,
		    struct err *err); /* takes @t over on success */
void engine_drop_task(struct engine *e, size_t i);
struct task *engine_task_by_arn(const struct engine *e, const char *arn);
void engine_tell(struct engine *e, const struct task *t, const struct container *c,
		 const char *type);

#define task_log(level, t, ...)                                                                    \
	log_emit(level,                                                                            \
		 (const struct log_field[]){ { "task", (t)->arn, "ECS_TASK_ARN" },                 \
					     { NULL, (t)->id, "ECS_TASK_ID" },                     \
					     { NULL, (t)->family, "ECS_TASK_FAMILY" },             \
					     {} },                                                 \
		 __VA_ARGS__)
#define container_log(level, c, ...)                                                               \
	log_emit(level,                                                                            \
		 (const struct log_field[]){ { "task", (c)->task->arn, "ECS_TASK_ARN" },           \
					     { NULL, (c)->task->id, "ECS_TASK_ID" },               \
					     { NULL, (c)->task->family, "ECS_TASK_FAMILY" },       \
					     { "container", (c)->name, "ECS_CONTAINER_NAME" },     \
					     { NULL, (c)->id, "ECS_CONTAINER_ID" },                \
					     {} },                                                 \
		 __VA_ARGS__)

/* decide.c: intents only; nothing outside the process changes but held ports. */
void decide_task(struct engine *e, struct task *t);
void container_fail(struct container *c, const char *error_name, const char *fmt, ...)
	_printf_(3, 4);
void container_set_known(struct container *c, enum container_status known);
void container_finish(struct container *c);
void container_set_busy(struct container *c, enum container_busy busy);

/* actions.c */
void container_act(struct container *c);
int container_prepare(struct container *c, struct err *err);
int64_t container_grace_ms(const struct container *c); /* from its stop signal to KILL */
void container_teardown(struct container *c);
void task_teardown(struct task *t);
char *container_run_dir(const struct container *c);  /* of this run: each restart has its own */
char *container_runs_dir(const struct container *c); /* of all its runs */
char *container_data_dir(const struct container *c);
char *container_cgroup_path(const struct container *c); /* NULL before the task's group is made */

/* shim-events.c */
void container_stop(struct container *c);
void container_watch(struct container *c); /* run->shim is there: hear what it says */
void container_drain_shim(struct container *c);
void container_settle_exit(struct container *c); /* run->exit says how it ended; STOPPED follows */

/* restart.c */
bool restart_must_wait(const struct container *c);
void restart_ended(struct container *c);      /* whether it runs again is the next pass's matter */
void restart_clear_runs(struct container *c); /* before the new run's directory is made */
void restart_begun(struct container *c);
void restart_failed(struct container *c, const char *why);

void container_start_rest(struct container *c); /* after its volumes are there */
void container_fail_start(struct container *c, const char *error_name, const struct err *err);

/*
 * volumes.c: volumes of ours, from their rows to their mounts.
 * What a container needs is made by container_volumes_prepare(): 0: all is there. 1: a child is at
 * work, container_start_rest() or container_fail_start() follow. -errno: it cannot be, and the
 * task's reason says so where the volume itself is at fault.
 */
int container_volumes_prepare(struct container *c, const struct image *image, struct err *err);
const struct mount_list *container_volumes_mounts(const struct container *c); /* NULL: none */
char *volumes_data_path(const struct engine *e, const char *name);
void container_volumes_started(struct container *c); /* its volumes are there for others, too */
void container_volumes_review(struct container *c);  /* a start that waits for what cannot come */
void container_volumes_adopt(struct container *c);   /* it runs already */
void container_volumes_free(struct container *c);
void volumes_release(struct container *c);                    /* it and its traces are gone */
bool volumes_discard(struct engine *e, const struct task *t); /* false: some are still in use */
void volumes_restore(struct engine *e); /* mounts and directories of nobody go */
void volumes_free(struct engine *e);

/*
 * task-inputs.c: values of secrets, environment files. They are asked for when the task's first image is, and are there
 * before a container that has some is CREATED; a failure stops the task. Nothing is on the disk: an
 * agent that was restarted asks again when it needs them.
 */
bool task_inputs_let(struct container *c, enum container_action action); /* false: not yet */
void task_inputs_review(struct task *t); /* after each decision: what nobody needs goes */
void task_inputs_free(struct task *t);
/* Hands each variable to @set, in no order that matters. -ENOENT: they are not there. */
typedef int (*task_inputs_set_fn)(char ***env, const char *key, const char *value);
int task_inputs_set_secrets(const struct container *c, char ***env, task_inputs_set_fn set);
int task_inputs_set_files(const struct container *c, char ***env, task_inputs_set_fn set);

/* bundle.c: root, files and config.json of a container; the shim's parameters follow from it. */
int bundle_make(struct container *c, const struct image *image, struct err *err);
int bundle_stop_signal(const struct container *c);

/* pulls.c */
int pulls_join(struct engine *e, struct container *c, struct err *err);
void pulls_leave(struct container *c);
size_t
pulls_waiting(const struct container *c); /* for the same image as @c; 0: it waits for none */
void pulls_free(struct engine *e);
/* Serves @c from the store without asking a registry, when the behaviour allows it. 1: done, 0:
 * pull. */
int pulls_from_cache(struct engine *e, struct container *c, struct err *err);

/* Asks the registry which digest the image stands for. -ENOTSUP: the container has a login of its own,
 * so the pull finds out. */
int pulls_check(struct engine *e, const struct container *c, image_check_fn fn, void *userdata,
		struct image_check **ret, struct err *err);
void pulls_set_digest(struct container *c, const char *digest);

/* resolve.c: the digest of a container that may not be pulled yet; then it is MANIFEST_PULLED. */
void resolve_start(struct container *c);

/* packet-filter.c: the rules of the host. */
int packet_filter_watch(struct engine *e, struct err *err);
void packet_filter_check(struct engine *e, bool thorough);

/* limits.c: the container's own, read back when there is nothing else to do. */
enum { CPU_SHARES_MIN = 2, CPU_SHARES_MAX = 262144 };
void limits_check_later(struct container *c);

/* collect.c */
bool container_is_live(const struct container *c); /* it runs, or is about to run again */
void engine_collect(struct engine *e);             /* once, when all that lives was found again */

/* slots.c: how many runtimes start containers at a time, so that a burst does not thrash the host. */
int slots_start(struct engine *e, struct err *err);
bool slots_take(struct container *c);
void slots_give_back(struct container *c);
bool slots_crowded(const struct engine *e); /* more starts are at work than there are cores */
void slots_offer(struct engine *e);         /* free ones to those who wait, in order of arrival */

/* cleanup.c */
int cleanup_start(struct engine *e, struct err *err);
void cleanup_schedule(struct engine *e);
void cleanup_delivered(struct engine *e);
/* Removed by a child process. < 0: it is still where it was, which was logged. */
int cleanup_discard_dir(struct engine *e, const char *dir);
