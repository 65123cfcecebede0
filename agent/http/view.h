/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view - what the local servers may see of the agent, and what they may ask of it.
 * main.c fills it in; so the servers know neither sessions nor engine and are tested without them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/engine/task.h"
#include "agent/reach.h"
#include "metrics/prometheus.h"
#include "metrics/sampler.h"

enum launch_phase { LAUNCH_PULL, LAUNCH_START, LAUNCH_TOTAL, _LAUNCH_PHASE_MAX };

/* What happened since the agent started; counted by counters.c. */
struct agent_counters {
	uint64_t containers_started, containers_exited, containers_failed, restarts, oom_kills,
		limits_differ, pulls, filter_restored, expired_credentials; /* asked for and refused */
	struct prom_histogram launch[_LAUNCH_PHASE_MAX]; /* seconds */
};

/* What becomes of this host: no more tasks; nor those it has, before a shutdown; all as ever. */
enum drain_wish { DRAIN_KEEP, DRAIN_STOP, DRAIN_UNDO };

struct session_state {
	const char *name; /* "acs", "tcs" */
	bool connected;
	int64_t disconnected_ms; /* in all, since the agent started */
};

struct agent_status {
	const char *container_instance_arn; /* NULL before registration */
	const char *cluster;
	const char *line; /* what goes on, in words; "" at first */
	const char *availability_zone, *availability_zone_id, *vpc_id; /* NULL or "": not known */
	const char *runc_version;
	struct session_state sessions[2];
	size_t outbox_pending;       /* tasks with something undelivered */
	int64_t last_acs_message_ms; /* wall clock; 0: none */
	int64_t started_ms;
};

struct agent_view {
	const struct config *config;
	const struct sampler *sampler; /* NULL: metrics are off */
	struct agent_counters *counters;
	void *userdata;
	size_t (*task_count)(void *userdata);
	const struct task *(*task_at)(void *userdata, size_t i);
	const struct task *(*find_task)(void *userdata, const char *arn_or_id_prefix);
	char *(*log_path)(void *userdata, const struct container *c); /* owned; NULL: none */
	/* [{type, name, source, destination, readOnly}]; NULL: none. The whole may be NULL. */
	json_t *(*mounts)(void *userdata, const struct container *c);
	/* Owned; NULL: it has none for this controller. */
	char *(*cgroup_dir)(const struct container *c, const char *controller);
	int (*stop_task)(void *userdata, const char *arn, struct err *err);
	/* localtask_build() and engine_run_local(): the answer, {"arn", "id", "notes"}; NULL: with @err. May be
	 * NULL itself, as remove_task. */
	json_t *(*run_task)(void *userdata, const json_t *request, struct err *err);
	int (*remove_task)(void *userdata, const char *arn, struct err *err);
	/* The doctor's answer, a new reference; NULL: with @err. May be NULL itself. */
	json_t *(*doctor)(void *userdata, bool repair, struct err *err);
	/* reach_start() with what the agent knows; may be NULL. */
	int (*reach)(void *userdata, reach_fn fn, void *fn_userdata, struct reach **ret,
		     struct err *err);
	int (*drain)(void *userdata, enum drain_wish wish, struct err *err); /* may be NULL */
	void (*status)(void *userdata, struct agent_status *ret);
	void (*refresh_samples)(
		void *userdata); /* those that are not of this moment; may be NULL */
};

void counters_init(struct agent_counters *n);
/* A container came up, or came to its end (also without having come up). */
void counters_running(struct agent_counters *n, const struct container *c);
void counters_stopped(struct agent_counters *n, const struct container *c);

/* The page at /metrics: Prometheus text, owned; NULL when out of memory. */
char *metrics_page(const struct agent_view *v);
