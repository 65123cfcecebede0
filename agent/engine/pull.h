/* SPDX-License-Identifier: Apache-2.0 */
/* pull - what pulls.c and pull-start.c share. Nobody else looks into a pull. */
#pragma once

#include "agent/engine/image-check.h"
#include "agent/engine/internal.h"
#include "agent/engine/registry-auth.h"
#include "agent/engine/registry-token.h"

struct pull {
	struct pull *next;
	struct engine *engine;    /* borrowed */
	char *reference, *digest; /* owned */
	char *auth_key;           /* owned: whose login it is; "" for the host's */
	enum registry_auth_type auth_type;
	struct registry_login login;  /* owned */
	struct registry_token *token; /* owned; while AWS is asked for the login */
	sd_event_source *refused;     /* owned: there is no login, from the loop */
	struct err why_refused;
	struct image_pull *child;   /* owned; NULL while it waits for its turn */
	struct image_check *check;  /* owned; while only the tag is looked at */
	sd_event_source *cached;    /* owned: what the store has will do, from the loop */
	sd_event_source *limit;     /* owned: of the whole pull */
	sd_event_source *no_word;   /* owned: of its begin, until there is word of the image */
	int64_t began_mono_ms;      /* the child, or the check */
	const char *late;           /* what it did not become in time; NULL: nothing yet */
	int64_t late_ms;            /* after so long */
	struct container **waiting; /* owned array of borrowed */
	size_t n_waiting;
	bool ended;
};

/* pulls.c */
bool pull_has_digest(const char *reference);
void pull_resolved(struct pull *p,
		   const char *digest); /* the reference stands for it; NULL: unknown */
/* Of @child, or of whoever ends @p in its place. The last event frees @p and starts the next pull. */
void pull_on_event(struct image_pull *child, struct image_pull_event *ev, void *userdata);

/*
 * pull-start.c: a login, then what the store has, then a child, if it is the pull's turn; what fails
 * later is told to pull_on_event(). -errno: it cannot begin.
 */
int pull_start(struct pull *p, const struct container *c, struct err *err);
void pull_start_next(struct engine *e); /* those whose turn it is */
