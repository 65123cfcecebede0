/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "controlplane/acs.h"

static void pending_free(struct pending *p)
{
	free(p->text);
	json_decref(p->tasks);
	free(p);
}

int outbox_add(struct outbox *o, const struct pending *p, char *text, json_t *tasks, int64_t now_ms,
	       struct err *err)
{
	struct pending *copy = calloc(1, sizeof(*copy)), **at = &o->first;

	if (!copy || !text) {
		free(copy);
		free(text);
		json_decref(tasks);
		return err_set(err, ENOMEM, "keep a message");
	}
	*copy = *p;
	copy->next = NULL;
	copy->text = text;
	copy->tasks = tasks;
	copy->attempts = 1;
	copy->delay_ms = ACS_RESEND_MS;
	copy->next_ms = now_ms + copy->delay_ms;
	while (*at)
		at = &(*at)->next;
	*at = copy;
	return 0;
}

struct pending *outbox_find(struct outbox *o, const char *message_id)
{
	for (struct pending *p = o->first; p; p = p->next)
		if (strcmp(p->message_id, message_id) == 0)
			return p;
	return NULL;
}

bool outbox_tells(const struct outbox *o, const char *task_arn, const char *desired)
{
	for (const struct pending *p = o->first; p; p = p->next)
		if (p->kind == PENDING_PAYLOAD &&
		    strcmp(json_get_string(p->tasks, task_arn, ""), desired) == 0)
			return true;
	return false;
}

bool outbox_is_about(const struct outbox *o, enum pending_kind kind, const char *task_arn)
{
	for (const struct pending *p = o->first; p; p = p->next)
		if (p->kind == kind && json_object_get(p->tasks, task_arn))
			return true;
	return false;
}

struct pending *outbox_due(struct outbox *o, int64_t now_ms)
{
	for (struct pending *p = o->first; p; p = p->next)
		if (p->next_ms <= now_ms)
			return p;
	return NULL;
}

void outbox_repeated(struct pending *p, int64_t now_ms)
{
	p->attempts++;
	p->delay_ms = MIN(p->delay_ms * 2, (int64_t) ACS_RESEND_MAX_MS);
	p->next_ms = now_ms + p->delay_ms;
}

int64_t outbox_next_ms(const struct outbox *o)
{
	int64_t next_ms = 0;

	for (const struct pending *p = o->first; p; p = p->next)
		if (next_ms == 0 || p->next_ms < next_ms)
			next_ms = p->next_ms;
	return next_ms;
}

size_t outbox_count(const struct outbox *o)
{
	size_t n = 0;

	for (const struct pending *p = o->first; p; p = p->next)
		n++;
	return n;
}

void outbox_remove(struct outbox *o, struct pending *p)
{
	for (struct pending **at = &o->first; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			pending_free(p);
			return;
		}
}

void outbox_done(struct outbox *o)
{
	while (o->first)
		outbox_remove(o, o->first);
}
