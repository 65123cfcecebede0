/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/ctl/private.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum {
	ENDPOINTS_FOR_MS = 12 * 3600 * 1000,
	SUBMIT_ATTEMPTS = 299, /* the first and 298 more: about a day */
	SUBMIT_DELAY_MAX_MS = 5 * 60 * 1000,
	SUBMIT_DOUBLINGS = 13,
};

struct ctl_op {
	struct ctl *ctl;
	struct ctl_op *next, **prev;
	struct aws_call *call;    /* of a report */
	sd_event_source *timer;   /* answers from the cache */
	ctl_discover_fn discover; /* NULL: a report */
	ctl_submit_fn submit;
	void *userdata;
};

int ctl_new(const struct ctl_params *p, struct ctl **ret, struct err *err)
{
	_cleanup_(ctl_freep) struct ctl *c = calloc(1, sizeof(*c));

	if (!c || strdup_to(&c->arn, "") < 0 || strdup_to(&c->zone, "") < 0 ||
	    strdup_to(&c->cluster, p->config->cluster ? p->config->cluster : "default") < 0)
		return err_set(err, ENOMEM, "allocate control-plane client");
	c->event = sd_event_ref(p->event);
	c->config = p->config;
	c->ecs = p->ecs;
	c->imds = p->imds;
	c->on_trouble = p->on_trouble;
	c->userdata = p->userdata;
	(void) random_uuid(c->client_token);
	*ret = TAKE_PTR(c);
	return 0;
}

struct ctl_op *ctl_cancel(struct ctl_op *op)
{
	if (!op)
		return NULL;
	*op->prev = op->next;
	if (op->next)
		op->next->prev = op->prev;
	(void) aws_call_cancel(op->call);
	(void) sd_event_source_disable_unref(op->timer);
	free(op);
	return NULL;
}

struct ctl *ctl_free(struct ctl *c)
{
	if (!c)
		return NULL;
	while (c->ops)
		(void) ctl_cancel(c->ops);
	(void) registration_free(c->registration);
	(void) aws_call_cancel(c->discovery);
	(void) sd_event_unref(c->event);
	free(c->endpoints.acs);
	free(c->endpoints.telemetry);
	free(c->arn);
	free(c->cluster);
	free(c->zone);
	free(c);
	return NULL;
}

const char *ctl_container_instance_arn(const struct ctl *c)
{
	return c->arn;
}

const char *ctl_cluster(const struct ctl *c)
{
	return c->cluster;
}

void ctl_retry_now(struct ctl *c)
{
	aws_client_retry_now(c->ecs);
}

char *ctl_user_agent(const struct config *config)
{
	return path_join("Amazon ECS Agent - v%s (%s) (linux; %s) (+http://aws.amazon.com/ecs/)",
			 PACKAGE_VERSION, GIT_HASH,
			 config->detailed_os_family ? config->detailed_os_family : "linux");
}

struct http_options ctl_http_options(const struct config *c, const char *user_agent)
{
	return (struct http_options){ .https_proxy = c->https_proxy,
				      .http_proxy = c->http_proxy,
				      .no_proxy = c->no_proxy,
				      .ca_dir = c->ca_dir,
				      .ca_file = c->ca_file,
				      .user_agent = user_agent,
				      .insecure = c->tls_insecure };
}

static struct ctl_op *op_new(struct ctl *c, void *userdata)
{
	struct ctl_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	*op = (struct ctl_op){ .ctl = c, .next = c->ops, .prev = &c->ops, .userdata = userdata };
	if (op->next)
		op->next->prev = &op->next;
	c->ops = op;
	return op;
}

/* ---- discovery ---- */

static struct ctl_op *first_discover(struct ctl *c)
{
	struct ctl_op *op = c->ops;

	while (op && !op->discover)
		op = op->next;
	return op;
}

/* Serves all who wait for endpoints. They may ask again from inside: then a new request is made. */
static void serve_discover(struct ctl *c, const struct err *err)
{
	struct err none = {};
	struct ctl_op *op;

	while (!c->discovery && (op = first_discover(c))) {
		ctl_discover_fn fn = op->discover;
		void *userdata = op->userdata;

		(void) ctl_cancel(op);
		fn(userdata, c->endpoints.acs ? &c->endpoints : NULL,
		   c->endpoints.acs ? &none : err);
	}
}

static int take_endpoints(struct ctl *c, const json_t *body, struct err *err)
{
	const char *acs = json_get_string(body, "endpoint", "");
	const char *telemetry = json_get_string(body, "telemetryEndpoint", "");

	if (!*acs || !*telemetry)
		return err_set(err, EPROTO, "DiscoverPollEndpoint: %s: missing",
			       *acs ? "telemetryEndpoint" : "endpoint");
	if (strdup_to(&c->endpoints.acs, acs) < 0 ||
	    strdup_to(&c->endpoints.telemetry, telemetry) < 0)
		return err_set(err, ENOMEM, "DiscoverPollEndpoint");
	c->endpoints_at_ms = clock_mono_ms();
	return 0;
}

static void on_discovered(void *userdata, const struct aws_result *r, const struct err *call_err)
{
	_cleanup_(err_done) struct err err = {};
	struct ctl *c = userdata;

	c->discovery = NULL;
	if (call_err->code)
		(void) err_set(&err, call_err->code, "%s", err_text(call_err));
	else
		(void) take_endpoints(c, r->body, &err);
	if (err.code && c->endpoints.acs)
		log_warn("Failed to refresh the endpoints, going on with the known ones: %s",
			 err_text(&err));
	serve_discover(c, &err);
}

static int start_discovery(struct ctl *c, struct err *err)
{
	json_auto_t *body = json_pack("{s:s, s:s, s:s}", "containerInstance", c->arn, "cluster",
				      c->cluster, "zoneId", "");
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;

	if (!text)
		return err_set(err, ENOMEM, "DiscoverPollEndpoint");
	return aws_call(c->ecs, "DiscoverPollEndpoint", text, NULL, on_discovered, c, &c->discovery,
			err);
}

static int on_cached(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct ctl_op *op = userdata;
	struct ctl *c = op->ctl;
	ctl_discover_fn fn = op->discover;
	struct err none = {};
	void *fn_userdata = op->userdata;

	(void) s, (void) usec;
	(void) ctl_cancel(op);
	fn(fn_userdata, &c->endpoints, &none);
	return 0;
}

int ctl_discover(struct ctl *c, ctl_discover_fn fn, void *userdata, struct ctl_op **ret,
		 struct err *err)
{
	struct ctl_op *op = op_new(c, userdata);
	int k = 0;

	if (!op)
		return err_set(err, ENOMEM, "DiscoverPollEndpoint");
	op->discover = fn;
	if (c->endpoints.acs && clock_mono_ms() - c->endpoints_at_ms < ENDPOINTS_FOR_MS)
		k = sd_event_add_time_relative(c->event, &op->timer, CLOCK_MONOTONIC, 0, 1000,
					       on_cached, op);
	else if (!c->discovery)
		k = start_discovery(c, err);
	if (k < 0) {
		(void) ctl_cancel(op);
		return k;
	}
	if (ret)
		*ret = op;
	return 0;
}

void ctl_doubt_endpoints(struct ctl *c)
{
	c->endpoints_at_ms = clock_mono_ms() - ENDPOINTS_FOR_MS;
}

/* ---- reports ---- */

int64_t ctl_submit_retry_delay_ms(unsigned n)
{
	int64_t d;

	if (n >= SUBMIT_DOUBLINGS)
		return SUBMIT_DELAY_MAX_MS;
	d = (30 + random_below(30)) << (n + 1);
	return MIN(d, (int64_t) SUBMIT_DELAY_MAX_MS);
}

static void on_submitted(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct ctl_op *op = userdata;
	enum ctl_submit_result result = CTL_SUBMIT_RETRY;
	ctl_submit_fn fn = op->submit;
	void *fn_userdata = op->userdata;

	op->call = NULL;
	(void) ctl_cancel(op);
	if (!err->code)
		result = CTL_SUBMIT_ACCEPTED;
	else if (strcmp(r->error, "InvalidParameterException") == 0)
		result = CTL_SUBMIT_DISCARD;
	fn(fn_userdata, result, err);
}

static int submit(struct ctl *c, const char *operation, const char *body,
		  const struct aws_call_options *options, ctl_submit_fn fn, void *userdata,
		  struct ctl_op **ret, struct err *err)
{
	struct ctl_op *op = op_new(c, userdata);
	int k;

	if (!op)
		return err_set(err, ENOMEM, "%s", operation);
	op->submit = fn;
	k = aws_call(c->ecs, operation, body, options, on_submitted, op, &op->call, err);
	if (k < 0) {
		(void) ctl_cancel(op);
		return k;
	}
	if (ret)
		*ret = op;
	return 0;
}

static const struct aws_call_options day_long = {
	.max_attempts = SUBMIT_ATTEMPTS,
	.no_bucket = true,
	.retry_delay_ms = ctl_submit_retry_delay_ms,
};

int ctl_submit_task_state(struct ctl *c, const char *body, ctl_submit_fn fn, void *userdata,
			  struct ctl_op **ret, struct err *err)
{
	return submit(c, "SubmitTaskStateChange", body, &day_long, fn, userdata, ret, err);
}

int ctl_submit_attachment_states(struct ctl *c, const char *body, ctl_submit_fn fn, void *userdata,
				 struct ctl_op **ret, struct err *err)
{
	return submit(c, "SubmitAttachmentStateChanges", body, &day_long, fn, userdata, ret, err);
}

int ctl_update_instance_state(struct ctl *c, const char *status, ctl_submit_fn fn, void *userdata,
			      struct ctl_op **ret, struct err *err)
{
	json_auto_t *body = json_pack("{s:[s], s:s, s:s}", "containerInstances", c->arn, "status",
				      status, "cluster", c->cluster);
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;

	if (!text)
		return err_set(err, ENOMEM, "UpdateContainerInstancesState");
	return submit(c, "UpdateContainerInstancesState", text, NULL, fn, userdata, ret, err);
}
