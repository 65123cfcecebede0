/* SPDX-License-Identifier: Apache-2.0 */
/* pages - what the files of metadata/ share. */
#pragma once

#include "agent/metadata/caller.h"
#include "agent/metadata/metadata.h"

struct listener;

struct metadata {
	const struct agent_view *view;
	const struct role_store *roles;
	struct in_addr addrs[METADATA_ADDRS_MAX];
	struct listener *listeners[METADATA_ADDRS_MAX]; /* owned; NULL for tests */
	size_t n_addrs;
	int64_t expired_told_ms; /* monotonic: of the last warning */
};

/* Takes @o over. */
void answer_json(struct http_reply *r, unsigned status, json_t *o);
void answer_text(struct http_reply *r, unsigned status, const char *text);

/* @v1: as in the text of errors. An empty id or none is an answer, too. */
void answer_credentials(struct metadata *m, const struct caller *c, bool v1, const char *id,
			struct http_reply *r);
