/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later - a request whose answer takes a question to the control plane, with a deadline. Each is in
 * a list of the server, which ends all of them before it goes.
 */
#pragma once

#include "agent/metadata/pages.h"
#include "aws/call.h"

struct later {
	struct metadata *m;
	struct http_call *http; /* borrowed; NULL: answered */
	sd_event_source *timer; /* owned */
	struct aws_call *call;  /* owned: under way; NULL: none */
	struct later *next;
	void (*on_deadline)(struct later *l); /* answers */
	void (*free)(struct later *l);        /* frees the whole of what it is the head of */
};

/*
 * @l is the first member of an object made with calloc(). Sets r->later; from here it is freed by
 * later_answer() or with the server. Returns 0 or a negative errno with @err, @l then still the
 * caller's.
 */
int later_begin(struct later *l, struct metadata *m, struct http_call *http, int64_t timeout_ms,
		struct http_reply *r, struct err *err);

/* Answers with @o (taken over); @l is freed with the next round of the loop. */
void later_answer(struct later *l, unsigned status, json_t *o);

/* Of a server that goes: all are answered with 500. */
void later_end_all(struct metadata *m);
