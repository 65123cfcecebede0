/* SPDX-License-Identifier: Apache-2.0 */
/* pages - what the files of metadata/ share. */
#pragma once

#include "agent/metadata/audit.h"
#include "agent/metadata/caller.h"
#include "agent/metadata/line.h"
#include "agent/metadata/metadata.h"
#include "agent/metadata/pace.h"

struct later;
struct stats_answer;
struct listener;

struct metadata {
	const struct agent_view *view;
	const struct role_store *roles;
	struct in_addr addrs[METADATA_ADDRS_MAX];
	struct listener *listeners[METADATA_ADDRS_MAX]; /* owned; NULL for tests */
	size_t n_addrs;
	sd_event *loop; /* NULL for tests */
	struct http_client *http;
	struct aws_client **ecs;
	char *ecs_endpoint;      /* owned */
	struct later *later;     /* owned list: what is not answered yet */
	int64_t expired_told_ms; /* monotonic: of the last warning */
	struct stats_answer *stats; /* owned list: what is not older than the last sample */
	struct audit *audit;     /* owned; NULL: nothing is written */
	struct line *line;       /* owned; NULL for tests */
	bool limited;            /* the second of these is in force */
	int64_t per_s;           /* of the one that headers tell of */
	struct pace pace, limit; /* those who wait, and those who are refused */
};

/* Takes @o over. */
void answer_json(struct http_reply *r, unsigned status, json_t *o);
/* The same of what is written already; takes @text over. */
void answer_json_text(struct http_reply *r, unsigned status, char *text);
void answer_text(struct http_reply *r, unsigned status, const char *text);

/* The same with a JSON string for its body; printf-like. */
void answer_error(struct http_reply *r, unsigned status, const char *fmt, ...) _printf_(3, 4);

/* What was asked; borrowed from the call. */
void request_take(struct http_call *c, struct metadata_request *q);

/* "name: value" for each answer of this server. */
void add_rate_headers(const struct metadata *m, const struct metadata_request *q,
		      struct http_reply *r);

/* Another form of the path that leads to the same: the answer. True: it was clean. */
bool path_is_clean(const struct metadata_request *q, struct http_reply *r);

/* @v1: as in the text of errors. An empty id or none is an answer, too. */
void answer_credentials(struct metadata *m, const struct caller *c, bool v1, const char *id,
			const struct metadata_request *q, struct http_reply *r);

/* What is behind /v3/ and /v4/, and behind /v2/metadata and /v2/stats. */
void answer_endpoint(struct metadata *m, const struct caller *c, bool v4, const char *rest,
		     struct http_call *http, struct http_reply *r);
void answer_by_address(struct metadata *m, const struct caller *c, const char *path,
		       const struct metadata_request *q, struct http_reply *r);

/* Whose endpoint id it is, as far as @c may know. NULL: nobody's. */
const struct container *container_by_endpoint(const struct metadata *m, const struct caller *c,
					      const char *id);

/* JSON, borrowed until the next call; NULL: there are no statistics of it. */
const char *container_stats(struct metadata *m, const struct container *c, bool v4);
/* {container id: statistics}. Owned; NULL when out of memory. */
char *task_stats(struct metadata *m, const struct task *t, bool v4);
struct stats_answer *stats_answers_free(struct stats_answer *list);

/* Of the task of @c; NULL: of nobody's. The answer may come later, as that of tags always does. */
void answer_protection(struct metadata *m, const struct container *c,
		       const struct metadata_request *q, struct http_reply *r);
void answer_with_tags(struct metadata *m, const struct task *t, bool v4, struct http_call *http,
		      struct http_reply *r);
