/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - what ecsctl speaks to: HTTP/1.1 with JSON on <run_dir>/agent.sock, for root (0600, and
 * the peer's uid is checked).
 *   GET  /v1/version                      who runs here, where it keeps its things
 *   GET  /v1/status                       what goes on, how many tasks, what is not delivered yet
 *   POST /v1/drain, /v1/drain/stop, /v1/drain/undo   no more tasks; nor those it has; as ever
 *   GET  /v1/ps                           {"tasks": [task …]}
 *   GET  /v1/tasks/ID                     one task; ID is an ARN, an id or the start of one
 *   POST /v1/tasks/ID/stop                wants it STOPPED; answers at once
 *   POST /v1/tasks/ID/remove              cleans up a local one that has stopped
 *   POST /v1/run                          starts a local one; see agent/localtask/localtask.h
 *   GET  /v1/tasks/ID/containers/N/log    {"path": …}: who may ask may read the file as well
 *   GET  /v1/doctor/services              {"checks": [row …]}, see agent/reach.h; takes a while
 *   GET  /v1/stats                        {"containers": [numbers …]}
 *   GET  /v1/events[?follow=1][&since=MS] JSON lines; those from then on, wall clock
 * An error is {"error": "sentence"} with a status of 4xx or 5xx.
 */
#pragma once

#include <systemd/sd-event.h>

#include "agent/http/events.h"
#include "agent/http/server.h"
#include "agent/http/view.h"

struct control;

struct control_params {
	sd_event *loop;
	const struct agent_view *view; /* kept by address */
	struct events *events;         /* kept by address */
	const char *path;
};

/* Takes the path over from an earlier run: who holds the lock of the run directory may. */
int control_new(const struct control_params *p, struct control **ret, struct err *err);
struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)

/* Events were added: for those who follow. */
void control_wake(struct control *c);

/* The answer to one request, and to POST /v1/run with this body; for tests. */
void control_run(const struct agent_view *v, const char *body, size_t len, struct http_reply *r);
void control_answer(const struct agent_view *v, const char *method, const char *path,
		    struct http_reply *r);
