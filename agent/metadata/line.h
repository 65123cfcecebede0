/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line - requests of those who ask faster than is their share wait here for their turn, so that
 * nobody else does. How long the line of one asker gets follows from how many connections it may
 * have. Loop thread only.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/http/server.h"

struct line;

/* Answers @c now; with @r->later set nothing more is done here. */
typedef void (*line_fn)(void *userdata, struct http_call *c, struct http_reply *r);

int line_new(sd_event *loop, line_fn fn, void *userdata, struct line **ret, struct err *err);
/* Whoever still waits gets a 503. */
struct line *line_free(struct line *l);

/*
 * @c is answered in @wait_us, behind those whose turn comes before. Sets @r->later. -ENOMEM: it does
 * not wait.
 */
int line_join(struct line *l, struct http_call *c, int64_t wait_us, struct http_reply *r);
