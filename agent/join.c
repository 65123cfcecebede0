/* SPDX-License-Identifier: Apache-2.0 */
/* Registration with the cluster, and what begins with it. */
#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "agent/agent.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/engine.h"
#include "agent/store/store.h"
#include "agent/trim.h"
#include "aws/call.h"
#include "common/clock.h"
#include "common/log.h"

static int take_registration(struct agent *a, struct err *err)
{
	int r = store_put_meta(a->store, META_INSTANCE_ARN, ctl_container_instance_arn(a->ctl),
			       err);

	if (r >= 0)
		r = store_put_meta(a->store, META_CLUSTER, ctl_cluster(a->ctl), err);
	if (r >= 0)
		r = outbox_start(a->outbox, err);
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

static void on_registered(void *userdata, const struct ctl_registration *reg, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	if (reg->outcome != CTL_REGISTERED) {
		log_error("Failed to register with cluster '%s': %s", a->config->cluster,
			  err_text(why));
		agent_stop(a, reg->outcome == CTL_REGISTER_TERMINAL ? EXIT_TERMINAL : EXIT_RETRY);
		return;
	}
	a->registered = true;
	if (take_registration(a, &err) < 0) {
		log_error("Failed to go on after the registration: %s", err_text(&err));
		agent_stop(a, EXIT_RETRY);
		return;
	}
	log_info("Registered with cluster '%s' as %s after %" PRId64 " ms", reg->cluster,
		 reg->container_instance_arn, clock_mono_ms() - a->started_mono_ms);
	(void) sd_notifyf(0, "READY=1\nSTATUS=Registered with cluster %s as %s", reg->cluster,
			  reg->container_instance_arn);
	look_for_runtime(a);
	if (!a->trim && trim_start(a->loop, &a->trim, &err) < 0)
		log_warn("Going on with the memory of the start: %s", err_text(&err));
}

static int make_ecs_client(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *endpoint =
		aws_endpoint("ecs", a->config->region, false, a->config->backend_host);
	struct aws_client_params p = { .http = a->http,
				       .credentials = a->credentials,
				       .service = "ecs",
				       .target_prefix = "AmazonEC2ContainerServiceV20141113",
				       .region = a->config->region,
				       .endpoint = endpoint };

	return endpoint ? aws_client_new(&p, &a->ecs, err)
			: err_set(err, ENOMEM, "allocate endpoint");
}

int agent_join_cluster(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *arn = NULL;
	struct ctl_params p = { .event = a->loop, .config = a->config, .imds = a->imds };
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
	if (r >= 0)
		r = store_get_meta(a->store, META_INSTANCE_ARN, &arn, err);
	(void) sd_notifyf(0, "STATUS=Registering with cluster %s", a->config->cluster);
	return r < 0 ? r : ctl_register(a->ctl, arn, on_registered, a, err);
}
