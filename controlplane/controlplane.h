/* SPDX-License-Identifier: Apache-2.0 */
/*
 * controlplane - what all parts of the server share: loop, store, settings, and the seam between
 * the API half (clusters, task definitions, tasks, placement) and the wire half (the agents' ACS
 * and TCS sessions). One thread. Every operation runs in one store transaction; what it wants
 * agents to hear is noted with cp_note_*() and handed to the wire half after the commit, so an
 * agent never hears of what a crash could undo.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/err.h"

struct MHD_Connection;
struct api_error;
struct controlplane;
struct request;
struct server;
struct sigv4_keys;
struct store;

/*
 * The wire half's wire_start(cp, err), called by main() before server_start(), sets cp->wire to one
 * of these, adds its operations with ops_add() and reads settings.credentials_file. Any member may
 * be NULL.
 */
struct wire {
	/*
	 * After the commit. The task is new on its instance (desiredStatus RUNNING) or its
	 * desiredStatus became STOPPED: tell the agent, if one is connected, and again until acked.
	 */
	void (*task_changed)(struct controlplane *cp, const char *task_arn);

	/* After the commit. The instance was deregistered: end its sessions. */
	void (*instance_gone)(struct controlplane *cp, const char *instance_arn);

	/*
	 * A GET whose path ends in "/ws". Queues the answer (101 or an error) on @connection.
	 * Returns an enum MHD_Result.
	 */
	int (*upgrade)(struct controlplane *cp, struct request *req,
		       struct MHD_Connection *connection);

	/*
	 * Before operation @operation of a POST runs: verifies the signature, and injects a fault
	 * when one is asked for. Returns 0, or -1 with @e set (its http_status may be 403 or 5xx).
	 */
	int (*admit)(struct controlplane *cp, struct request *req, const char *operation,
		     struct api_error *e);
	/*
	 * Any request whose path starts with "/local/", its body read: queues the answer. Returns
	 * an enum MHD_Result.
	 */
	int (*local)(struct controlplane *cp, struct request *req);
	/*
	 * The clean exit, called until it answers true: tells the agents (close code 1001) and
	 * waits for their answers. No new session is let in once cp->stopping is set.
	 */
	bool (*drained)(struct controlplane *cp);
	/* Drop what is left of the sessions and free what the wire half owns. */
	void (*stop)(struct controlplane *cp);
};

struct cp_settings {
	const char *listen_host; /* numeric address */
	uint16_t listen_port;    /* 0: any free one */
	const char *region;
	const char *account;          /* twelve digits */
	const char *data_dir;         /* NULL: the store is in memory, for tests */
	const char *credentials_file; /* NULL: any well-formed signature is accepted */
	const char *subnets_file;     /* NULL: no subnets, so no tasks of mode awsvpc */
	int heartbeat_s;              /* between ACS heartbeats (--heartbeat-seconds); 0: 60 */
	int eni_wait_s;               /* for an interface (--eni-wait-seconds); 0: 300 */
	bool fault_injection;         /* POST /local/fault is served (--fault-injection) */
};

struct cp_note; /* one queued notification */

struct controlplane {
	struct cp_settings settings;
	sd_event *loop;          /* owned; NULL in tests of operations */
	int lock_fd;             /* owned: keeps a second server off the data directory; 0: none */
	struct store *store;     /* owned */
	json_t *subnets;         /* owned: subnets_load(); NULL: none */
	struct server *server;   /* owned; NULL in tests of operations */
	struct sigv4_keys *keys; /* owned by the wire half; NULL: signatures are not verified */
	const struct wire *wire; /* NULL: no wire half */
	void *wire_data;         /* the wire half's own */
	bool stopping;           /* a signal came */
	struct cp_note *notes;   /* owned: queued until the commit, oldest first */
	/* The next look at the services, and whether it is due at once. services_start() makes it;
	 * owned, NULL in tests of operations. */
	sd_event_source *services;
	bool services_awake;
};

/*
 * Locks the data directory and opens the store by @settings, whose strings are borrowed for ever.
 * The rest is NULL. -EBUSY: another server has the directory. On failure cp_done() cleans up.
 */
int cp_init(struct controlplane *cp, const struct cp_settings *settings, struct err *err);
void cp_done(struct controlplane *cp);

/* Queue a notification; dropped if the transaction is rolled back. -ENOMEM with @err set. */
int cp_note_task(struct controlplane *cp, const char *task_arn, struct err *err);
int cp_note_instance_gone(struct controlplane *cp, const char *instance_arn, struct err *err);

/* Something changed that services may have to answer: look at them soon, after the commit. */
void cp_wake_services(struct controlplane *cp);

/*
 * The bracket around everything that changes the store from outside of an operation (a timer, a
 * socket): begin, change, then end with @ok. End commits and then delivers the notes, or rolls
 * back and drops them. The server does this for operations.
 */
int cp_begin(struct controlplane *cp, struct err *err);
int cp_end(struct controlplane *cp, bool ok, struct err *err);
