/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent - everything the daemon is made of, and the order in which it comes up and goes.
 * agent.c wires the parts, containers.c has the engine, join.c registers, sessions.c answers the
 * control plane, local.c this host, metering.c samples containers, wait.c is patient, drain.c sends
 * tasks away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/config.h"
#include "agent/engine/instance.h"
#include "agent/http/control.h"
#include "agent/http/introspection.h"
#include "agent/http/view.h"
#include "agent/metadata/metadata.h"
#include "agent/reach.h"
#include "common/macro.h"
#include "runtime/runc/runc.h"

/* As the reference agent's; 169.254.170.2:80 leads there. */
enum { TASK_SERVER_PORT = 51679 };

enum { EXIT_OK = 0, EXIT_RETRY = 1, EXIT_TERMINAL = 5 };
/* No exit code: the settings are to be read again. */
enum { EXIT_RELOAD = 256 };

struct session_clock {
	bool connected;
	int64_t since_ms; /* monotonic: of the last change */
	int64_t down_ms;  /* in all, without what runs since then */
};

struct agent {
	size_t late_step;      /* of those that follow once it is known who this host is */
	sd_event_source *trim; /* owned */
	struct config *config; /* owned, as everything that is not said to be borrowed */
	sd_event *loop;
	int run_lock, data_lock;
	struct store *store;
	struct http_client *http;
	struct imds *imds; /* NULL: never asked */
	struct aws_credentials *credentials;
	struct aws_client *ecs;
	struct ctl *ctl;
	struct net *net; /* NULL: no bridge could be made */
	struct engine *engine;
	struct outbox *outbox;
	struct role_store *roles;
	struct linkwatch *linkwatch;
	struct attachments *attachments; /* NULL: no interfaces of tasks here, or not registered yet */
	struct acs *acs;
	struct tcs *tcs;
	struct sampler *sampler; /* NULL: metrics are off */
	sd_event_source *sample_timer;
	struct watchdog *watchdog;
	sd_event_source *spot_timer;
	struct imds_request *spot_request;
	struct ctl_op *spot_op;
	sd_event_source *runtime_check; /* a `runc --version` under way */
	int runtime_pidfd;
	struct agent_view view;
	struct agent_counters counters;
	struct events events;
	struct control *control;
	struct introspection *introspection;
	struct metadata *metadata;
	struct session_clock acs_clock, tcs_clock;
	char runc_version[RUNC_VERSION_MAX];
	struct instance_facts instance;
	size_t facts_known; /* of those to ask for */
	struct imds_request *facts_request;
	int64_t started_ms; /* wall clock */
	int64_t started_mono_ms;
	bool registered, ready;
	char status_line[256]; /* what systemd and ecsctl were told last */
	int64_t said_ms;       /* monotonic; when, or the same again */
	sd_event_source *wait_timer;
	sd_event_source *settings_timer;
	uint64_t settings_seen;
	struct ctl_op *drain_op;
	sd_event_source *drain_timer;
	sd_event_source *drain_stop_timer; /* tasks are to be stopped, by then at the latest */
	enum drain_wish drain_wish;
};

/* Runs until a signal or an error ends it. Takes @config. Returns the exit code or EXIT_RELOAD. */
int agent_run(struct config *config);

/*
 * Lists what belongs to no task on standard output, and removes it with @repair. Takes @config.
 * Returns an exit code: EXIT_OK, or one of those below.
 */
enum { DOCTOR_FAILED = 1, DOCTOR_LEFT = 4 };
int agent_doctor(struct config *config, bool repair, bool json);

/*
 * Prints whether this host can speak to its services, as a running agent would be asked for it. Takes @config.
 * EXIT_OK, or DOCTOR_FAILED when something will not do.
 */
int agent_check_services(struct config *config, bool json);

/* ---- between the files of the agent ---- */

void agent_init(struct agent *a, struct config *config);
void agent_tear_down(struct agent *a);
/* One agent per directory: -EBUSY names the other one. */
int agent_lock_dirs(struct agent *a, struct err *err);

#define META_CLUSTER "cluster-name"
#define META_INSTANCE_ARN "container-instance-arn"

/* HTTP, instance metadata, credentials; needs the loop. */
int agent_set_up_transport(struct agent *a, struct err *err);
/* The same check from inside: @agent is a struct agent; see reach_start(). */
int agent_reach(void *agent, reach_fn fn, void *userdata, struct reach **ret, struct err *err);

/* Ends the loop with this exit code. */
void agent_stop(struct agent *a, int code);

/* The network, the sampler, the engine; then the tasks of an earlier run. */
int agent_start_engine(struct agent *a, struct err *err);
int agent_find_tasks_again(struct agent *a, struct err *err);

/* What tasks are told of this host: what is known from an earlier run; the rest is asked for. */
void agent_recall_instance(struct agent *a);
void agent_learn_instance(struct agent *a);

void agent_init_view(struct agent *a);
int agent_start_servers(struct agent *a, struct err *err);
/* Registers; sessions and reports begin with the answer. */
int agent_join_cluster(struct agent *a, struct err *err);

/* ---- wait.c ---- */

/* One line of what goes on, for `systemctl status` and ecsctl. */
void agent_say(struct agent *a, const char *fmt, ...) _printf_(2, 3);
/* Tells systemd, once, that the agent is up: it may yet wait for others. */
void agent_say_ready(struct agent *a);
/* Calls @again, from the loop, in @usec; the agent counts as up meanwhile. */
int agent_wait(struct agent *a, uint64_t usec, sd_event_time_handler_t again, struct err *err);
void agent_stop_waiting(struct agent *a);
/* Whether this machine is an EC2 instance, by @sys_root ("/sys"). */
bool agent_on_ec2(const char *sys_root);
/* Changes whenever one of the files does. */
uint64_t agent_fingerprint(const char *const *files);
/* Ends the loop with EXIT_RELOAD when the settings change. */
int agent_watch_settings(struct agent *a, struct err *err);

/* ---- drain.c ---- */

#define META_DRAINED_BY "drained-by" /* "operator", "shutdown" or "" */
/*
 * DRAIN_KEEP and DRAIN_UNDO set this instance DRAINING and ACTIVE; DRAIN_STOP, for a shutdown, sets it
 * DRAINING until the next registration (unless DRAIN_KEEP came before) and stops all tasks. Goes on by itself. -ENOTCONN before the
 * registration; DRAIN_STOP stops tasks even then.
 */
int agent_drain(struct agent *a, enum drain_wish wish, struct err *err);
/* After the registration: a host that was drained by its shutdown serves again. */
int agent_undo_shutdown(struct agent *a, struct err *err);
void agent_stop_draining(struct agent *a);

/* Feeds systemd's watchdog while registration and sessions get on, and ends the loop when they do not. */
int agent_watch_progress(struct agent *a, struct err *err);
/* Takes up what an answer to the registration brought. */
int agent_start_sessions(struct agent *a, struct err *err);
void agent_stop_sessions(struct agent *a);
/* Watches for the end of a spot instance, where that is asked for (spot.c). */
int agent_watch_spot(struct agent *a, struct err *err);
void agent_stop_spot(struct agent *a);
/* For how long a session was down, up to now. */
int64_t session_clock_down_ms(const struct session_clock *c, int64_t mono_ms);
void agent_refresh_clocks(struct agent *a);

int agent_start_metering(struct agent *a, struct err *err);
void agent_stop_metering(struct agent *a);
void agent_meter(struct agent *a, const struct container *c);
void agent_unmeter(struct agent *a, const struct container *c);
/* Takes samples where the newest is not of this moment; @agent is a struct agent. */
void agent_refresh_samples(void *agent);
extern const struct tcs_provider agent_tcs_provider;
