/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acs - the session over which tasks and credentials come in.
 * Connects for ever; acknowledges a message only after its handler returned 0, so what is
 * acknowledged is on disk. Loop thread only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/acs/credentials.h"
#include "common/cleanup.h"
#include "common/err.h"

struct acs;
struct aws_credentials;
struct config;
struct ctl;
struct http_client;
struct task_eni;

/*
 * Implemented by the engine. Handlers do not block; any may be
 * NULL, then its message is not acknowledged.
 */
struct acs_handlers {
	/*
	 * A PayloadMessage (the inner object, messageId, clusterArn and containerInstanceArn
	 * checked). 0: every task is stored, acknowledge. Negative: at least one could not be (the
	 * others are handled all the same): no acknowledgement, the service sends it again.
	 */
	int (*on_payload)(void *userdata, const json_t *message, struct err *err);
	/*
	 * Is @task_arn known? Asked for IAMRoleCredentialsMessage, with the id that the task shall
	 * carry for @type from now on. Negative: unknown task, no acknowledgement.
	 */
	int (*on_role_credentials)(void *userdata, const char *task_arn, enum role_type type,
				   const char *credentials_id, struct err *err);
	/*
	 * A manifest: @running is an array of the task ARNs the service wants to run here. Returns
	 * in
	 * @ret_candidates a new array of ARNs (strings) of local tasks whose desired status is
	 * RUNNING and that are not among them. Nothing is stopped yet.
	 */
	int (*on_manifest)(void *userdata, const json_t *running, json_t **ret_candidates,
			   struct err *err);
	/* The service confirmed: this task (maybe unknown here) shall stop. */
	int (*on_stop_verified)(void *userdata, const char *task_arn, struct err *err);
	/*
	 * @eni was announced for @task_arn, NULL: for the instance; it has an attachment ARN and is
	 * waited for @wait_ms. Negative: it is not on the disk, no acknowledgement.
	 */
	int (*on_interface)(void *userdata, const char *task_arn, const struct task_eni *eni,
			    int64_t wait_ms, struct err *err);
	/* The manifest sequence number to keep over restarts. */
	int (*put_manifest_seq)(void *userdata, int64_t seq, struct err *err);
	/* For information: connected or not, a heartbeat, the instance was deregistered. */
	void (*on_connected)(void *userdata, bool connected);
	void (*on_heartbeat)(void *userdata);
	void (*on_inactive)(void *userdata);
};

struct acs_params {
	sd_event *event;
	const struct config *config;         /* borrowed */
	struct http_client *http;            /* borrowed */
	struct aws_credentials *credentials; /* borrowed; may be NULL */
	struct ctl *ctl;                     /* borrowed; registered */
	struct role_store *roles;            /* borrowed */
	const struct acs_handlers *handlers; /* kept by address */
	void *userdata;
	int64_t manifest_seq; /* as kept by put_manifest_seq; -1: none yet */
};

int acs_new(const struct acs_params *p, struct acs **ret, struct err *err);
struct acs *acs_free(struct acs *a);
DEFINE_CLEANUP(struct acs *, acs_free)

/* Connects, and again for ever. */
int acs_start(struct acs *a, struct err *err);

bool acs_connected(const struct acs *a);
int64_t acs_due_ms(const struct acs *a); /* session_due_ms() */
/* Wall clock of the last message that came in, 0: none yet. */
int64_t acs_last_message_ms(const struct acs *a);
