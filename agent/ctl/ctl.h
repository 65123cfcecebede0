/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl - the ECS API as the agent uses it: register, discover the sessions' endpoints, report.
 * Loop thread only; every call answers by callback from the loop, exactly once unless cancelled.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "aws/http.h"
#include "common/cleanup.h"
#include "common/err.h"

struct aws_client;
struct config;
struct ctl;
struct ctl_op; /* a call under way */
struct imds;

struct ctl_params {
	sd_event *event;
	const struct config *config; /* borrowed; outlives the ctl */
	struct aws_client *ecs;      /* borrowed */
	struct imds *imds;           /* borrowed; NULL: no identity document */
	/* What keeps the registration from succeeding, which goes on trying. May be NULL. */
	void (*on_trouble)(void *userdata, const struct err *why);
	void *userdata;
};

int ctl_new(const struct ctl_params *p, struct ctl **ret, struct err *err);
struct ctl *ctl_free(struct ctl *c); /* pending operations are dropped without a callback */
DEFINE_CLEANUP(struct ctl *, ctl_free)
struct ctl_op *ctl_cancel(struct ctl_op *op);

/* The agent string of every request to AWS. Owned; NULL when out of memory. */
char *ctl_user_agent(const struct config *config);
/* Proxies and certificates as they are set; what it holds is borrowed. */
struct http_options ctl_http_options(const struct config *config, const char *user_agent);

/* The control plane was just seen alive: what waits for its next retry goes out now. */
void ctl_retry_now(struct ctl *c);

/* ---- registration ---- */

enum ctl_register_outcome {
	CTL_REGISTERED,
	CTL_REGISTER_TERMINAL, /* exit 5: the supervisor must not restart us */
	CTL_REGISTER_FAILED,   /* exit 1: it shall */
};

struct ctl_registration {
	enum ctl_register_outcome outcome;
	const char *container_instance_arn; /* borrowed from the ctl, "" unless registered */
	const char *cluster;                /* as configured, or as CreateCluster named it */
	const char *availability_zone;      /* "" when not told */
};

typedef void (*ctl_register_fn)(void *userdata, const struct ctl_registration *r,
				const struct err *err);

/* @saved_arn: from the state database, NULL or "" for a first registration. */
int ctl_register(struct ctl *c, const char *saved_arn, ctl_register_fn fn, void *userdata,
		 struct err *err);

/* After registration; "" before. */
const char *ctl_container_instance_arn(const struct ctl *c);
const char *ctl_cluster(const struct ctl *c);

/* ---- endpoints of the two sessions ---- */

struct ctl_endpoints {
	char *acs;       /* owned by the ctl */
	char *telemetry; /* owned by the ctl */
};

typedef void (*ctl_discover_fn)(void *userdata, const struct ctl_endpoints *e,
				const struct err *err);

/* Kept for 12 h; one request at a time serves all who ask. Calls back from the loop. */
int ctl_discover(struct ctl *c, ctl_discover_fn fn, void *userdata, struct ctl_op **ret,
		 struct err *err);

/* They lead nowhere: ask again next time. When that fails the known ones still serve. */
void ctl_doubt_endpoints(struct ctl *c);

/* ---- reports ---- */

enum ctl_submit_result {
	CTL_SUBMIT_ACCEPTED,
	CTL_SUBMIT_DISCARD, /* InvalidParameterException: it will never be taken */
	CTL_SUBMIT_RETRY,
};

typedef void (*ctl_submit_fn)(void *userdata, enum ctl_submit_result result, const struct err *err);

/*
 * SubmitTaskStateChange. @body is the whole request as JSON text, `cluster` included
 * (ctl_cluster()). 5xx, throttling and broken connections are retried inside for about a day.
 */
int ctl_submit_task_state(struct ctl *c, const char *body, ctl_submit_fn fn, void *userdata,
			  struct ctl_op **ret, struct err *err);

/* SubmitAttachmentStateChanges, likewise. */
int ctl_submit_attachment_states(struct ctl *c, const char *body, ctl_submit_fn fn, void *userdata,
				 struct ctl_op **ret, struct err *err);

/* UpdateContainerInstancesState of this instance: "ACTIVE" or "DRAINING". */
int ctl_update_instance_state(struct ctl *c, const char *status, ctl_submit_fn fn, void *userdata,
			      struct ctl_op **ret, struct err *err);

/*
 * The delay before retry @n (0: the first) of a report, as the ECS
 * agent protocol has it: 2^n * 30..59 ms, then 5 min.
 */
int64_t ctl_submit_retry_delay_ms(unsigned n);
