/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/attachments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/outbox.h"
#include "agent/engine/task.h"
#include "agent/store/store.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum { ATTACHMENTS_MAX = 1024, RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30000 };

struct attachment {
	struct attachments *all; /* borrowed: frees it */
	struct attachment *next;
	struct store_attachment row;
	void *wait;             /* for the device; NULL: nothing is waited for */
	sd_event_source *retry; /* the report could not be written */
	struct backoff backoff;
};

struct attachments {
	struct attachments_params p;
	struct attachment *first;
	size_t n;
};

static struct attachment *attachment_free(struct attachment *t)
{
	if (t->wait)
		t->all->p.watch->end(t->wait);
	(void) sd_event_source_disable_unref(t->retry);
	free(t->row.arn);
	free(t->row.task_arn);
	free(t);
	return NULL;
}

/* Out of the list and out of the world; the row is somebody else's business. */
static void drop(struct attachment *t)
{
	struct attachment **p = &t->all->first;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	t->all->n--;
	(void) attachment_free(t);
}

static void forget(struct attachment *t)
{
	_cleanup_(err_done) struct err err = {};

	if (store_delete_attachment(t->all->p.store, t->row.mac, &err) < 0)
		log_warn("Failed to forget attachment '%s', it goes with the next start: %s",
			 t->row.arn, err_text(&err));
	drop(t);
}

static struct attachment *find(const struct attachments *a, const uint8_t mac[6])
{
	struct attachment *t = a->first;

	while (t && memcmp(t->row.mac, mac, sizeof(t->row.mac)) != 0)
		t = t->next;
	return t;
}

static int add(struct attachments *a, const struct store_attachment *row, struct attachment **ret,
	       struct err *err)
{
	struct attachment *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, ENOMEM, "allocate attachment");
	t->all = a;
	t->row = (struct store_attachment){ .expires_ms = row->expires_ms, .told = row->told };
	memcpy(t->row.mac, row->mac, sizeof(t->row.mac));
	t->backoff = (struct backoff){ RETRY_MIN_MS, RETRY_MAX_MS, 0.2, 1.3, 0 };
	if (strdup_to(&t->row.arn, row->arn) < 0 ||
	    (row->task_arn && strdup_to(&t->row.task_arn, row->task_arn) < 0)) {
		(void) attachment_free(t);
		return err_set(err, ENOMEM, "allocate attachment");
	}
	t->next = a->first;
	a->first = t;
	a->n++;
	*ret = t;
	return 0;
}

/* ---- the report ---- */

static char *body_of(const struct attachment *t)
{
	json_t *o = json_pack("{s:s,s:s*,s:[{s:s,s:s}]}", "cluster", t->all->p.cluster, "task",
			      t->row.task_arn, "attachments", "attachmentArn", t->row.arn, "status",
			      "ATTACHED");
	char *text = o ? json_to_text(o) : NULL;

	json_decref(o);
	return text;
}

static char *lane_of(const struct attachment *t)
{
	char *lane = NULL;

	if (t->row.task_arn)
		return strdup(t->row.task_arn);
	return asprintf(&lane, OUTBOX_ATTACHMENT "%s", t->row.arn) < 0 ? NULL : lane;
}

/* Nobody hears of it before it is on the disk. */
static int write_report(struct attachment *t, const char *lane, const char *body, struct err *err)
{
	struct store *s = t->all->p.store;
	int k = store_begin(s, err);

	if (k < 0)
		return k;
	t->row.told = true;
	k = store_put_attachment(s, &t->row, err);
	if (k == 0)
		k = store_outbox_put_until(s, lane, body, t->row.expires_ms, err);
	if (k == 0)
		k = store_commit(s, err);
	if (k == 0)
		return store_wait_durable(s, err);
	store_rollback(s);
	t->row.told = false;
	return k;
}

static void tell(struct attachment *t);

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct attachment *t = userdata;

	(void) s, (void) usec;
	t->retry = sd_event_source_disable_unref(t->retry);
	tell(t);
	return 0;
}

static void tell(struct attachment *t)
{
	_cleanup_(freep) char *lane = lane_of(t), *body = body_of(t);
	_cleanup_(err_done) struct err err = {};
	int64_t delay_ms;
	int k = lane && body ? write_report(t, lane, body, &err)
			     : err_set(&err, ENOMEM, "write a report");

	if (k == 0) {
		log_info("The interface of attachment '%s' is there", t->row.arn);
		t->all->p.on_outbox(t->all->p.userdata, lane);
		return;
	}
	delay_ms = backoff_next_ms(&t->backoff);
	log_error("Failed to report attachment '%s', retrying in %" PRId64 " ms: %s", t->row.arn,
		  delay_ms, err_text(&err));
	if (t->row.told) /* it is written, and only the disk's word is missing */
		return;
	(void) sd_event_add_time_relative(t->all->p.loop, &t->retry, CLOCK_MONOTONIC,
					  (uint64_t) delay_ms * USEC_PER_MSEC, 10000, on_retry, t);
}

/* ---- the device ---- */

static void on_device(void *userdata, bool there)
{
	struct attachment *t = userdata;

	t->all->p.watch->end(t->wait);
	t->wait = NULL;
	if (there) {
		tell(t);
		return;
	}
	log_warn("The interface of attachment '%s' did not come in time", t->row.arn);
	forget(t);
}

static int watch(struct attachment *t, struct err *err)
{
	int64_t left_ms = t->row.expires_ms - clock_real_ms();

	return t->all->p.watch->add(t->all->p.watch_userdata, t->row.mac, MAX(left_ms, 1),
				    on_device, t, &t->wait, err);
}

/* ---- announcements ---- */

static int put_durably(struct attachments *a, const struct store_attachment *row, struct err *err)
{
	int k = store_begin(a->p.store, err);

	if (k < 0)
		return k;
	k = store_put_attachment(a->p.store, row, err);
	if (k == 0)
		k = store_commit(a->p.store, err);
	if (k == 0)
		return store_wait_durable(a->p.store, err);
	store_rollback(a->p.store);
	return k;
}

int attachments_announce(struct attachments *a, const char *task_arn, const struct task_eni *eni,
			 int64_t wait_ms, struct err *err)
{
	struct store_attachment row = { .arn = eni->attachment_arn,
					.task_arn = (char *) task_arn,
					.expires_ms = clock_real_ms() + wait_ms };
	struct attachment *t = find(a, eni->mac);
	int k;

	memcpy(row.mac, eni->mac, sizeof(row.mac));
	if (t && strcmp(t->row.arn, eni->attachment_arn) == 0)
		return t->wait || t->row.told || t->retry ? 0 : watch(t, err);
	if (!t && a->n >= ATTACHMENTS_MAX)
		return err_set(err, ENOSPC, "%zu attachments are known, more are not taken", a->n);
	k = put_durably(a, &row, err);
	if (k < 0)
		return k;
	if (t) /* the interface is in use anew */
		drop(t);
	k = add(a, &row, &t, err);
	if (k == 0 && a->p.watch->is_there(a->p.watch_userdata, t->row.mac))
		tell(t);
	else if (k == 0)
		k = watch(t, err);
	return k;
}

void attachments_forget_task(struct attachments *a, const char *task_arn)
{
	struct attachment *t, *next;

	for (t = a->first; t; t = next) {
		next = t->next;
		if (t->row.task_arn && strcmp(t->row.task_arn, task_arn) == 0)
			forget(t);
	}
}

size_t attachments_waiting(const struct attachments *a)
{
	size_t n = 0;

	for (const struct attachment *t = a->first; t; t = t->next)
		n += t->wait != NULL;
	return n;
}

/* ---- up and down ---- */

static int on_row(void *userdata, const struct store_attachment *row, struct err *err)
{
	struct attachment *t;

	return add(userdata, row, &t, err);
}

int attachments_new(const struct attachments_params *p, struct attachments **ret, struct err *err)
{
	_cleanup_(attachments_freep) struct attachments *a = calloc(1, sizeof(*a));
	struct attachment *t, *next;
	int k;

	if (!a)
		return err_set(err, ENOMEM, "allocate attachments");
	a->p = *p;
	k = store_each_attachment(p->store, on_row, a, err);
	for (t = a->first; k == 0 && t; t = next) {
		next = t->next;
		if (t->row.expires_ms <= clock_real_ms())
			forget(t);
		else if (!t->row.told)
			k = watch(t, err);
	}
	if (k < 0)
		return k;
	*ret = TAKE_PTR(a);
	return 0;
}

struct attachments *attachments_free(struct attachments *a)
{
	if (!a)
		return NULL;
	while (a->first) {
		struct attachment *t = a->first;

		a->first = t->next;
		(void) attachment_free(t);
	}
	free(a);
	return NULL;
}
