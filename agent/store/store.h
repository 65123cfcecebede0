/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what must survive a restart, in <data_dir>/agent.db.
 * Tables: metadata (key, value), tasks and containers (definition as the payload's JSON, state as
 * columns), outbox (events not yet delivered, in order per task). Schema and migrations stand side
 * by side in store.c.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

struct store;
struct task;
struct container;

/*
 * Opens <dir>/agent.db, making it and @dir; ":memory:" for tests. A damaged file is renamed to
 * agent.db.damaged-<seconds since the epoch>, which is logged, and a new one begun. Every commit is
 * on the disk when it returns, until store_overlap(). -ENOTSUP: a newer release wrote it, and it is left alone.
 */
int store_open(const char *dir, struct store **ret, struct err *err);
struct store *store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close)

/*
 * From now on a commit of store_begin() returns when the kernel has it, which is enough to survive
 * the end of this process, and the disk works meanwhile: @fn is called from @loop whenever more
 * became durable (or once with -errno: the disk failed, and nothing becomes durable any more).
 * Nobody outside may hear of a commit before that. A store in memory stays as it is. Undone by
 * store_overlap_end().
 */
int store_overlap(struct store *s, sd_event *loop, void (*fn)(int error, void *userdata),
		  void *userdata, struct err *err);
void store_overlap_end(struct store *s);

uint64_t store_mark(const struct store *s); /* number of the last commit */
uint64_t store_durable(struct store *s);    /* the last one that is on the disk */

/* Waits until all that was committed is on the disk. */
int store_wait_durable(struct store *s, struct err *err);

int store_begin(struct store *s, struct err *err);
int store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);

#define STORE_EC2_INSTANCE "ec2-instance-id"

/* Keys of metadata: "cluster-name", "container-instance-arn", "ec2-instance-id",
 * "task-manifest-seq-num", … */
int store_get_meta(struct store *s, const char *key, char **ret_or_null, struct err *err);
int store_put_meta(struct store *s, const char *key, const char *value,
		   struct err *err); /* durable when it returns */

/* Forgets everything: the cluster or the EC2 instance is another one. */
int store_clear(struct store *s, struct err *err);

/* A new task with its containers; @definition is the payload's task object without secrets. */
int store_put_task(struct store *s, const struct task *t, const json_t *definition,
		   struct err *err);
/* The state half of a task or container. */
int store_update_task(struct store *s, const struct task *t, struct err *err);
int store_update_container(struct store *s, const struct container *c, struct err *err);
/* The definition as it was put; *ret is NULL when there is no such row. Owned. */
int store_get_definition(struct store *s, const char *arn, char **ret_or_null, struct err *err);
int store_delete_task(struct store *s, const struct task *t, struct err *err);

/*
 * Calls @on_task for each task in order of arrival, definition decoded and state filled in; it
 * takes the task over. A definition that can no longer be decoded gives a task desired STOPPED with
 * a reason, whose containers have names and state only.
 */
int store_load_tasks(struct store *s,
		     int (*on_task)(void *userdata, struct task *t, struct err *err),
		     void *userdata, struct err *err);

/*
 * The outbox: SubmitTaskStateChange bodies (JSON text) waiting to be delivered, in order per task.
 * Ids ascend and are never given twice.
 */
int store_outbox_put(struct store *s, const char *task_arn, const char *body, int64_t *ret_id,
		     struct err *err);
/*
 * The same for an entry that is worth nothing from @expires_ms on (wall clock; 0: never); @lane is a
 * task's ARN, or another name whose entries are delivered in order.
 */
int store_outbox_put_until(struct store *s, const char *lane, const char *body, int64_t expires_ms,
			   struct err *err);
/* Expired entries are removed on the way. The oldest entry of the task: 1 with *ret_id and *ret_body (owned by the caller), 0 when it has
 * none. */
int store_outbox_head(struct store *s, const char *task_arn, int64_t *ret_id, char **ret_body,
		      struct err *err);
/* Durable with the next commit: an entry that comes back after a power cut is delivered again. */
int store_outbox_delete(struct store *s, int64_t id, struct err *err);
/* Calls @each once for every task that has entries. */
int store_outbox_each_task(struct store *s, void (*each)(void *userdata, const char *task_arn),
			   void *userdata, struct err *err);

/* A network interface that was announced; agent/attachments.h. */
struct store_attachment {
	uint8_t mac[6];
	char *arn;          /* of the attachment */
	char *task_arn;     /* NULL: the instance's */
	int64_t expires_ms; /* wall clock */
	bool told;          /* that it is attached: the report is in the outbox, or was */
};

/* Replaces what is there under the MAC. */
int store_put_attachment(struct store *s, const struct store_attachment *a, struct err *err);
int store_delete_attachment(struct store *s, const uint8_t mac[6], struct err *err);
/* Calls @fn for each; what it is given is borrowed for the call. */
int store_each_attachment(struct store *s,
			  int (*fn)(void *userdata, const struct store_attachment *a,
				    struct err *err),
			  void *userdata, struct err *err);

/* A volume of ours; see runtime/volume/volume.h. All owned. */
struct store_volume {
	char *name;
	char *task_arn; /* NULL: shared */
	char *driver;
	struct json_pair *options;
	size_t n_options;
	struct json_pair *labels;
	size_t n_labels;
};

/* One that is there stays as it is. */
int store_put_volume(struct store *s, const struct store_volume *v, struct err *err);
/* 1 with *ret (store_volume_done()), 0: none of that name. */
int store_get_volume(struct store *s, const char *name, struct store_volume *ret, struct err *err);
int store_delete_volume(struct store *s, const char *name, struct err *err);
void store_volume_done(struct store_volume *v);

/* Names of a task's volumes; with NULL those whose task is not known any more. *ret is a strv. */
int store_list_volumes(struct store *s, const char *task_arn, char ***ret, struct err *err);
