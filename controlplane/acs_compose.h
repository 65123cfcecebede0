/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acs_compose - what the store has to tell an agent, made into messages, and what the agent's
 * answers change in the store.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/digest.h"
#include "common/err.h"

struct acs_inbound;
struct controlplane;

/* A message ready to be sent. */
struct composed {
	char message_id[UUID_TEXT_MAX];
	char *text;    /* owned; NULL: there turned out to be nothing to say */
	json_t *tasks; /* owned: {task ARN: desired status}, {key: null} of others */
	char key[544]; /* of credentials: "ROLETYPE TASKARN"; of an interface: "ENI TASKARN" */
};

void composed_done(struct composed *c);

/*
 * Tasks whose desired status the agent may not know, those to stop first: the unacked ones, and
 * with @all also the acked stops which are not carried out. *ret is an array of task documents.
 */
int acs_list_due(struct controlplane *cp, const char *instance_arn, bool all, json_t **ret,
		 struct err *err);

/* A payload of at most ACS_TASKS_PER_PAYLOAD of @tasks from *@from on, which is moved forward. A
 * task that cannot be told is STOPPED with the reason. */
int acs_compose_payload(struct controlplane *cp, const char *instance_arn, const json_t *tasks,
			size_t *from, struct composed *ret, struct err *err);

/* What comes before the payload of a task that has a network interface; no text when @task has none. */
int acs_compose_attach(struct controlplane *cp, const char *instance_arn, const json_t *task,
		       struct composed *ret, struct err *err);

int acs_compose_manifest(struct controlplane *cp, const char *instance_arn, struct composed *ret,
			 struct err *err);

/* @due is an element of credentials_due(). */
int acs_compose_credentials(struct controlplane *cp, const char *instance_arn, const json_t *due,
			    struct composed *ret, struct err *err);

/* Whether each task of a message still wants what it says; @tasks as in struct composed. */
bool acs_is_current(struct controlplane *cp, bool payload, const json_t *tasks);

/* The payload about @tasks was acked: one transaction. */
int acs_store_acks(struct controlplane *cp, const json_t *tasks, struct err *err);

/* The agent knows of the interfaces of @tasks (as in struct composed) and waits for them. */
int acs_store_attaching(struct controlplane *cp, const json_t *tasks, struct err *err);

/* Which of the candidates really are to stop, as a list of task identifiers. */
int acs_verify_stops(struct controlplane *cp, const char *instance_arn, const struct acs_inbound *m,
		     json_t **ret, struct err *err);
