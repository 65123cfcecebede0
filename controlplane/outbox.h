/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - the messages of one ACS session that wait for an acknowledgement. It knows when each is
 * to be repeated and nothing of sockets.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"

enum pending_kind { PENDING_PAYLOAD, PENDING_MANIFEST, PENDING_CREDENTIALS, PENDING_ATTACH };

struct pending {
	struct pending *next;
	enum pending_kind kind;
	char message_id[UUID_TEXT_MAX];
	char *text;    /* owned: the frame */
	json_t *tasks; /* owned: {task ARN: desired status} of a payload; {task ARN: null} of
			  credentials; NULL of a manifest */
	int64_t next_ms, delay_ms; /* monotonic */
	int attempts;
};

struct outbox {
	struct pending *first; /* oldest first */
};

/* Adds a message sent at @now_ms; takes @text and @tasks, also on failure. */
int outbox_add(struct outbox *o, const struct pending *p, char *text, json_t *tasks, int64_t now_ms,
	       struct err *err);

struct pending *outbox_find(struct outbox *o, const char *message_id);

/* Whether a payload under way tells @task_arn that it is to be @desired. */
bool outbox_tells(const struct outbox *o, const char *task_arn, const char *desired);

/* Whether any message of that kind under way is about @task_arn. */
bool outbox_is_about(const struct outbox *o, enum pending_kind kind, const char *task_arn);

/* The first message that is to be repeated at @now_ms; NULL: none. */
struct pending *outbox_due(struct outbox *o, int64_t now_ms);

/* It was repeated: sets when the next repetition is due. */
void outbox_repeated(struct pending *p, int64_t now_ms);

/* When the next repetition is due; 0: nothing waits. */
int64_t outbox_next_ms(const struct outbox *o);

/* How many wait. */
size_t outbox_count(const struct outbox *o);

void outbox_remove(struct outbox *o, struct pending *p);
void outbox_done(struct outbox *o);
