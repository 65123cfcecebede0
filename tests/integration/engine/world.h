/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world - an engine with all it needs, in network and mount namespaces of its own: a store, a
 * bridge, an image made of busybox, a cgroup parent that nobody else uses.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "agent/engine/engine.h"

#define IMAGE "ecs-engine-test:1"
enum { WORLD_PORT_FIRST = 41000, WORLD_PORT_LAST = 41999 }; /* config's dynamic range, at first */

#define ARN(id) "arn:aws:ecs:eu-west-1:123456789012:task/test/" id

struct world {
	char *top; /* everything lies in it */
	struct config config;
	sd_event *loop;
	struct store *store;
	struct net *net;
	struct engine *engine;
	struct http_client *http;          /* of the test that wants services of AWS; else NULL */
	struct role_store *roles;          /* the same */
	struct host_resources resources;   /* cpu 0: nothing is bounded */
	bool offline;                      /* nobody takes reports */
	bool undelivered;                  /* an entry could not be taken out of the outbox */
	json_t *events;                    /* what the engine told, in order */
	json_t *reports;                   /* what went into the outbox, in order */
	void (*on_running)(void *userdata, const struct container *c); /* NULL: nobody asks */
	void (*on_stopped)(void *userdata, const struct container *c);
	void (*deliver)(const char *body); /* takes the reports instead; NULL: nobody does */
};

extern struct world world;

/* Makes the world once, or prints a skip and ends. */
void world_begin(void);
void world_end(void);

/* The agent starts, and goes away as an orderly exit would have it. */
void world_start_agent(void);
void world_end_agent(void);

/* The same, where it may not come up: what engine_restore() says. world_end_agent() either way. */
int world_try_agent(void);

/* Gives a payload of one task; further members of its first container come as JSON text or "". */
int world_run(const char *arn, const char *container_members);
int world_payload(const char *text);

/* Runs the loop until a report of the task has @status; NULL when none comes in @timeout_ms. */
const json_t *world_wait(const char *arn, const char *status, int timeout_ms);

/* Until the log of the task's first container has @text. */
bool world_wait_output(const char *arn, const char *text);
void world_turn(int ms);
void world_kick(void); /* delivers what waits */
const json_t *world_report(const char *arn, const char *status);
const json_t *world_container(const json_t *report, size_t i);

/* Whether nothing is left of any container but rows and writable layers. */
bool world_is_clean(void);

/* Whether @pid is a program that was started for this world: a shim, a runtime, a pull. */
bool world_has_our_path(pid_t pid);

/* The same, and no process, writable layer, image pin or rubbish either: all tasks are removed. */
bool world_is_spotless(void);

/* For a test that fails: what is not gone. */
void world_print_leftovers(void);

/* Runs the loop until world_is_clean(). */
bool world_gets_clean(void);

/* Stops every task, waits for that, and says whether all is clean after it. */
bool world_stop_all(void);
