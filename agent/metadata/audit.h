/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit - the log of who asked for credentials: one line for each request, in the reference agent's
 * form, and a short one for each that was refused because of its rate. No id is ever in it. A file
 * that cannot be written is said so once; nobody waits for it.
 */
#pragma once

#include <netinet/in.h>

#include "common/buf.h"
#include "common/rotate.h"

struct audit;

/* Begins when the file can be opened: one that cannot is tried again. NULL when out of memory. */
struct audit *audit_new(const struct rotate_params *p);
struct audit *audit_free(struct audit *a);
DEFINE_CLEANUP(struct audit *, audit_free)

/* What is NULL or "" is written as "-". */
struct audit_entry {
	int64_t real_ms;
	unsigned status;
	struct sockaddr_in peer;
	const char *path, *user_agent;
	const char *task_arn;
	const char *event; /* NULL: refused because of its rate, and the line ends before it */
	const char *cluster, *instance_arn;
};

/* @a may be NULL: then nothing is written. */
void audit_write(struct audit *a, const struct audit_entry *e);

/* For tests: the line with its newline. */
void audit_format(const struct audit_entry *e, struct buf *line);

/*
 * What is written of a request's path: without the ids, which stand for a credential; "/" for a path
 * that is none of ours. Static text.
 */
const char *audit_path(const char *path);
