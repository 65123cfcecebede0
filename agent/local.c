/* SPDX-License-Identifier: Apache-2.0 */
/* The servers of this host, and what they see of the agent. */
#include <arpa/inet.h>

#include "agent/acs/acs.h"
#include "agent/agent.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/doctor.h"
#include "agent/engine/engine.h"
#include "agent/localtask/localtask.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/log.h"
#include "runtime/net/net.h"

static size_t view_task_count(void *userdata)
{
	return engine_task_count(((struct agent *) userdata)->engine);
}

static const struct task *view_task_at(void *userdata, size_t i)
{
	return engine_task_at(((struct agent *) userdata)->engine, i);
}

static const struct task *view_find_task(void *userdata, const char *name)
{
	return engine_find_task(((struct agent *) userdata)->engine, name);
}

static char *view_log_path(void *userdata, const struct container *c)
{
	return engine_log_path(((struct agent *) userdata)->engine, c);
}

static json_t *view_mounts(void *userdata, const struct container *c)
{
	return engine_container_mounts(((struct agent *) userdata)->engine, c);
}

static int view_stop_task(void *userdata, const char *arn, struct err *err)
{
	struct engine *e = ((struct agent *) userdata)->engine;
	const struct task *t = engine_find_task(e, arn);

	if (t && t->desired != TASK_STOPPED)
		log_info("Stopping task '%s' because ecsctl asks for it", arn);
	return engine_stop_task(e, arn, "Task stopped by ecsctl on its container instance", NULL,
				err);
}

static json_t *view_run_task(void *userdata, const json_t *request, struct err *err)
{
	_cleanup_(json_decrefp) json_t *task = NULL, *notes = NULL;
	struct engine *e = ((struct agent *) userdata)->engine;
	const struct task *t;
	json_t *answer;

	if (localtask_build(request, &task, &notes, err) < 0 || engine_run_local(e, task, err) < 0)
		return NULL;
	t = engine_find_task(e, json_get_string(task, "arn", ""));
	answer =
		t ? json_pack("{s:s, s:s, s:O}", "arn", t->arn, "id", t->id, "notes", notes) : NULL;
	if (!answer)
		(void) err_set(err, ENOMEM, "allocate answer");
	return answer;
}

static int view_remove_task(void *userdata, const char *arn, struct err *err)
{
	return engine_remove_local(((struct agent *) userdata)->engine, arn, err);
}

static json_t *view_doctor(void *userdata, bool repair, struct err *err)
{
	json_t *answer = NULL;

	return engine_doctor(((struct agent *) userdata)->engine, repair, &answer, err) < 0
		       ? NULL
		       : answer;
}

static int view_drain(void *userdata, enum drain_wish wish, struct err *err)
{
	return agent_drain(userdata, wish, err);
}

static void view_status(void *userdata, struct agent_status *ret)
{
	struct agent *a = userdata;
	int64_t now = clock_mono_ms();

	agent_refresh_clocks(a);
	*ret = (struct agent_status){
		.container_instance_arn = a->registered ? ctl_container_instance_arn(a->ctl) : NULL,
		.cluster = a->registered ? ctl_cluster(a->ctl) : a->config->cluster,
		.line = a->status_line,
		.availability_zone = a->instance.zone,
		.availability_zone_id = a->instance.zone_id,
		.vpc_id = a->instance.vpc_id,
		.runc_version = *a->runc_version ? a->runc_version : NULL,
		.sessions = { { "acs", a->acs_clock.connected,
				session_clock_down_ms(&a->acs_clock, now) },
			      { "tcs", a->tcs_clock.connected,
				session_clock_down_ms(&a->tcs_clock, now) } },
		.outbox_pending = a->outbox ? outbox_pending(a->outbox) : 0,
		.last_acs_message_ms = a->acs ? acs_last_message_ms(a->acs) : 0,
		.started_ms = a->started_ms,
	};
}

static int start_task_server(struct agent *a, struct err *err)
{
	struct in_addr addrs[2] = { { htonl(INADDR_LOOPBACK) } };
	struct metadata_params p = { .loop = a->loop,
				     .view = &a->view,
				     .roles = a->roles,
				     .addrs = addrs,
				     .n_addrs = 1,
				     .port = TASK_SERVER_PORT,
				     .http = a->http,
				     .ecs = &a->ecs };

	if (a->net)
		addrs[p.n_addrs++] = net_gateway(a->net);
	return metadata_new(&p, &a->metadata, err);
}

int agent_start_servers(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/agent.sock", a->config->run_dir);
	struct in_addr addrs[2] = { { htonl(INADDR_LOOPBACK) } };
	struct introspection_params i = { .loop = a->loop,
					  .view = &a->view,
					  .addrs = addrs,
					  .n_addrs = 1,
					  .port = a->config->introspection_port };
	struct control_params c = {
		.loop = a->loop, .view = &a->view, .events = &a->events, .path = path
	};
	int r;

	if (!path)
		return err_set(err, ENOMEM, "allocate path");
	if (a->config->introspection_offhost) {
		addrs[0].s_addr = htonl(INADDR_ANY);
		log_warn("ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS: port %u tells of this host's "
			 "tasks to "
			 "everybody who can reach it",
			 a->config->introspection_port);
	}
	if (a->net && !a->config->introspection_offhost)
		addrs[i.n_addrs++] = net_gateway(a->net);
	r = control_new(&c, &a->control, err);
	if (r >= 0)
		r = introspection_new(&i, &a->introspection, err);
	return r < 0 ? r : start_task_server(a, err);
}

void agent_init_view(struct agent *a)
{
	a->view = (struct agent_view){ .config = a->config,
				       .counters = &a->counters,
				       .userdata = a,
				       .task_count = view_task_count,
				       .task_at = view_task_at,
				       .find_task = view_find_task,
				       .doctor = view_doctor,
				       .reach = agent_reach,
				       .log_path = view_log_path,
				       .mounts = view_mounts,
				       .cgroup_dir = engine_cgroup_dir,
				       .stop_task = view_stop_task,
				       .run_task = view_run_task,
				       .remove_task = view_remove_task,
				       .drain = view_drain,
				       .status = view_status,
				       .refresh_samples = agent_refresh_samples };
}
