/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - delivers task state changes that are already on disk.
 * The store keeps entries (rows: id, task ARN, body text); the outbox keeps only what is in flight:
 * per task first in, first out and one at a time, over all tasks at most 10. What fails is tried
 * for ever, 1 s * 1.3 up to 30 s; what the control plane calls invalid is thrown away and said. An
 * entry is removed only after the answer, so a crash in between sends it again (the service does
 * not mind).
 *
 * The engine writes the entry in the transaction that changes the task, commits, and then calls
 * outbox_kick(). Container events ride in the next task event or in the engine's 10-30 s ticker:
 * the engine makes the bodies.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/ctl/ctl.h"
#include "common/cleanup.h"
#include "common/err.h"

struct outbox;

/* Implemented by the store. All calls come from the loop, none from inside outbox_kick(). */
struct outbox_source {
	/*
	 * The oldest entry of @task: *ret_id and *ret_body (owned by the caller, free()).
	 * Returns 1, 0 when the task has none, or a negative errno.
	 */
	int (*head)(void *userdata, const char *task_arn, int64_t *ret_id, char **ret_body,
		    struct err *err);
	/*
	 * Entry @id was @accepted (or refused for good): remove it, note what is sent. Returns 0 or
	 * a negative errno; then the entry is delivered again later.
	 */
	int (*done)(void *userdata, const char *task_arn, int64_t id, bool accepted,
		    struct err *err);
	/* Calls @each for every task that has entries, at start. */
	int (*each_task)(void *userdata, void (*each)(void *outbox, const char *task_arn),
			 void *outbox, struct err *err);
};

/* What the lanes of attachments of the instance begin with; their ARN follows. */
#define OUTBOX_ATTACHMENT "attachment:"

/*
 * How an entry is handed over. The default is ctl_submit_attachment_states() for lanes that begin
 * with OUTBOX_ATTACHMENT, and else ctl_submit_task_state().
 */
typedef int (*outbox_submit_fn)(void *userdata, const char *lane, const char *body,
				ctl_submit_fn fn, void *fn_userdata, struct ctl_op **ret,
				struct err *err);

struct outbox_params {
	sd_event *event;
	const struct outbox_source *source; /* kept by address */
	void *source_userdata;
	struct ctl *ctl;         /* borrowed; may be NULL when submit is given */
	outbox_submit_fn submit; /* NULL: to the ctl */
	void *submit_userdata;
	void (*cancel)(struct ctl_op *op); /* beside submit; NULL: ctl_cancel() */
	size_t max_in_flight;              /* 0: 10 */
	int64_t retry_min_ms;              /* 0: 1 s */
};

int outbox_new(const struct outbox_params *p, struct outbox **ret, struct err *err);
struct outbox *outbox_free(struct outbox *o);
DEFINE_CLEANUP(struct outbox *, outbox_free)

/*
 * Begins to deliver, after registration, with what an
 * earlier run left. Kicks before it only queue.
 */
int outbox_start(struct outbox *o, struct err *err);

/* @task_arn has a new entry. Cheap; repeated kicks are one. */
void outbox_kick(struct outbox *o, const char *task_arn);

/* Tasks that have or may have something undelivered. */
size_t outbox_pending(const struct outbox *o);
