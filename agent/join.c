/* SPDX-License-Identifier: Apache-2.0 */
/* Registration with the cluster, and what begins with it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/attachments.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/engine.h"
#include "agent/families.h"
#include "agent/store/store.h"
#include "agent/trim.h"
#include "aws/call.h"
#include "common/clock.h"
#include "common/log.h"
#include "runtime/net/linkwatch.h"
#include "runtime/net/rtnl.h"

enum { REGISTER_AGAIN_USEC = 10 * 1000 * 1000 };

/* ---- interfaces that tasks wait for ---- */

struct wait {
	struct linkwatch_wait *link;
	void (*fn)(void *userdata, bool there);
	void *userdata;
};

static void on_link(void *userdata, const struct linkinfo *l)
{
	struct wait *w = userdata;

	w->fn(w->userdata, l != NULL);
}

static int watch_add(void *userdata, const uint8_t mac[6], int64_t timeout_ms,
		     void (*fn)(void *fn_userdata, bool there), void *fn_userdata, void **ret,
		     struct err *err)
{
	struct wait *w = calloc(1, sizeof(*w));
	int k;

	if (!w)
		return err_set(err, ENOMEM, "wait for an interface");
	w->fn = fn;
	w->userdata = fn_userdata;
	k = linkwatch_add(userdata, mac, timeout_ms, on_link, w, &w->link, err);
	if (k < 0) {
		free(w);
		return k;
	}
	*ret = w;
	return 0;
}

static void watch_end(void *wait)
{
	struct wait *w = wait;

	(void) linkwatch_end(w->link);
	free(w);
}

static bool is_there(void *userdata, const uint8_t mac[6])
{
	_cleanup_(closep) int rtnl = rtnl_open(NULL);
	struct linkinfo l;

	(void) userdata;
	return rtnl >= 0 && linkinfo_find(rtnl, mac, &l, NULL) == 0;
}

static const struct attachments_watch links = { watch_add, watch_end, is_there };

static void on_outbox(void *userdata, const char *lane)
{
	outbox_kick(((struct agent *) userdata)->outbox, lane);
}

static int start_attachments(struct agent *a, struct err *err)
{
	struct attachments_params p = { .loop = a->loop,
					.store = a->store,
					.watch = &links,
					.cluster = ctl_cluster(a->ctl),
					.on_outbox = on_outbox,
					.userdata = a };
	int r = 0;

	if (!a->config->task_eni || a->attachments)
		return 0;
	if (!a->linkwatch)
		r = linkwatch_new(a->loop, &a->linkwatch, err);
	p.watch_userdata = a->linkwatch;
	return r < 0 ? r : attachments_new(&p, &a->attachments, err);
}

static int take_registration(struct agent *a, struct err *err)
{
	int r = store_put_meta(a->store, META_INSTANCE_ARN, ctl_container_instance_arn(a->ctl),
			       err);

	if (r >= 0)
		r = store_put_meta(a->store, META_CLUSTER, ctl_cluster(a->ctl), err);
	if (r >= 0)
		r = outbox_start(a->outbox, err);
	if (r >= 0)
		r = start_attachments(a, err);
	if (r >= 0)
		r = agent_watch_spot(a, err);
	return r < 0 ? r : agent_start_sessions(a, err);
}

/* Now and then a host loses its runtime; to know it at once helps more than each task's reason. */
static void look_for_runtime(struct agent *a)
{
	_cleanup_(err_done) struct err err = {};

	if (runc_check(a->config->runc, a->runc_version, &err) < 0)
		log_error("No container can be started: %s", err_text(&err));
}

/* ---- until the cluster takes us ---- */

static int register_now(struct agent *a, struct err *err);

static int on_register_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	(void) source, (void) usec;
	if (register_now(a, &err) < 0) {
		log_error("Failed to register: %s", err_text(&err));
		agent_stop(a, EXIT_RETRY);
	}
	return 0;
}

/* Endpoints, tokens and reports are made for the families that the host had when the agent came up. */
static bool starts_for_other_families(struct agent *a)
{
	bool was = a->config->ipv6_only;

	families_find(a->config);
	if (a->config->ipv6_only == was)
		return false;
	log_info("The default routes of this host are others than at the start, starting anew");
	agent_stop(a, EXIT_RELOAD);
	return true;
}

static void on_trouble(void *userdata, const struct err *why)
{
	struct agent *a = userdata;

	if (starts_for_other_families(a))
		return;
	agent_say_ready(a);
	agent_say(a, "Waiting to register with cluster %s: %s", a->config->cluster, err_text(why));
}

/* A cluster may be made, and a role be given rights, after the host came up. */
static bool may_pass(const struct ctl_registration *reg, const struct err *why)
{
	return reg->outcome == CTL_REGISTER_FAILED ||
	       (why && why->msg && strstr(why->msg, "Cluster not found"));
}

static void not_registered(struct agent *a, const struct ctl_registration *reg,
			   const struct err *why)
{
	_cleanup_(err_done) struct err err = {};

	log_error("Failed to register with cluster '%s': %s", a->config->cluster, err_text(why));
	if (!may_pass(reg, why)) {
		agent_say(a, "Failed to register with cluster %s: %s", a->config->cluster,
			  err_text(why));
		agent_stop(a, EXIT_TERMINAL);
		return;
	}
	on_trouble(a, why);
	if (agent_wait(a, REGISTER_AGAIN_USEC, on_register_again, &err) < 0) {
		log_error("Failed to wait: %s", err_text(&err));
		agent_stop(a, EXIT_RETRY);
	}
}

static void on_registered(void *userdata, const struct ctl_registration *reg, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	if (reg->outcome != CTL_REGISTERED) {
		not_registered(a, reg, why);
		return;
	}
	if (starts_for_other_families(a))
		return;
	a->registered = true;
	agent_stop_waiting(a);
	if (*reg->availability_zone)
		(void) snprintf(a->instance.zone, sizeof(a->instance.zone), "%s",
				reg->availability_zone);
	(void) snprintf(a->instance.arn, sizeof(a->instance.arn), "%s",
			reg->container_instance_arn);
	(void) snprintf(a->instance.cluster, sizeof(a->instance.cluster), "%s", reg->cluster);
	agent_learn_instance(a);
	if (take_registration(a, &err) < 0) {
		log_error("Failed to go on after the registration: %s", err_text(&err));
		agent_stop(a, EXIT_RETRY);
		return;
	}
	log_info("Registered with cluster '%s' as %s after %" PRId64 " ms", reg->cluster,
		 reg->container_instance_arn, clock_mono_ms() - a->started_mono_ms);
	agent_say(a, "Registered with cluster %s as %s", reg->cluster, reg->container_instance_arn);
	agent_say_ready(a);
	if (agent_undo_shutdown(a, &err) < 0)
		log_warn("Failed to set this instance to ACTIVE: %s", err_text(&err));
	look_for_runtime(a);
	if (!a->trim && trim_start(a->loop, &a->trim, &err) < 0)
		log_warn("Going on with the memory of the start: %s", err_text(&err));
}

static char *ecs_endpoint(const struct agent *a)
{
	families_find(a->config); /* routes may have come since */
	return aws_endpoint("ecs", a->config->region, a->config->ipv6_only,
			    a->config->backend_host);
}

static int make_ecs_client(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *endpoint = ecs_endpoint(a);
	struct aws_client_params p = { .http = a->http,
				       .credentials = a->credentials,
				       .service = "ecs",
				       .target_prefix = "AmazonEC2ContainerServiceV20141113",
				       .region = a->config->region,
				       .endpoint = endpoint };

	return endpoint ? aws_client_new(&p, &a->ecs, err)
			: err_set(err, ENOMEM, "allocate endpoint");
}

static int register_now(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *arn = NULL;
	int r = store_get_meta(a->store, META_INSTANCE_ARN, &arn, err);

	return r < 0 ? r : ctl_register(a->ctl, arn, on_registered, a, err);
}

int agent_join_cluster(struct agent *a, struct err *err)
{
	struct ctl_params p = { .event = a->loop,
				.config = a->config,
				.imds = a->imds,
				.on_trouble = on_trouble,
				.userdata = a };
	struct outbox_params o = { .event = a->loop,
				   .source = &engine_outbox_source,
				   .source_userdata = a->engine };
	int r = make_ecs_client(a, err);

	p.ecs = a->ecs;
	if (r >= 0)
		r = ctl_new(&p, &a->ctl, err);
	o.ctl = a->ctl;
	if (r >= 0)
		r = outbox_new(&o, &a->outbox, err);
	agent_say(a, "Registering with cluster %s", a->config->cluster);
	agent_learn_instance(a);
	return r < 0 ? r : register_now(a, err);
}
