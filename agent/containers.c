/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with what it needs, and who hears what it tells. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/attachments.h"
#include "agent/ctl/capabilities.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/engine.h"
#include "agent/families.h"
#include "agent/store/store.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/log.h"
#include "runtime/net/locallink.h"
#include "runtime/net/net.h"

static void on_outbox(void *userdata, const char *task_arn)
{
	struct agent *a = userdata;

	if (a->outbox) /* else outbox_start() finds it */
		outbox_kick(a->outbox, task_arn);
}

static void on_container_running(void *userdata, const struct container *c)
{
	struct agent *a = userdata;

	if (c->internal)
		return;
	agent_meter(a, c);
	/* One found again at a restart was counted by the run that started it. */
	if (c->started_ms >= a->started_ms)
		counters_running(&a->counters, c);
}

static bool has_ended(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].known != CONTAINER_STOPPED)
			return false;
	return true;
}

static void on_container_stopped(void *userdata, const struct container *c)
{
	agent_unmeter(userdata, c);
}

/* Its role's credentials end with the task, those of its execution role when it is removed. */
static void drop_role_at_the_end(struct agent *a, const json_t *event)
{
	const struct task *t = engine_find_task(a->engine, json_get_string(event, "task", ""));

	if (t && t->known == TASK_STOPPED && t->role_credentials_id)
		role_store_remove(a->roles, t->role_credentials_id);
}

/* Also of a container that never ran. */
static void count_end(struct agent *a, const json_t *event)
{
	const struct task *t = engine_find_task(a->engine, json_get_string(event, "task", ""));
	const char *name = json_get_string(event, "container", "");

	for (size_t i = 0; t && i < t->n_containers; i++)
		if (strcmp(t->containers[i].name, name) == 0) {
			counters_stopped(&a->counters, &t->containers[i]);
			agent_unmeter(a, &t->containers[i]);
		}
}

static void on_task_removed(void *userdata, const struct task *t)
{
	struct agent *a = userdata;

	role_store_remove_task(a->roles, t->arn);
	if (a->attachments)
		attachments_forget_task(a->attachments, t->arn);
}

static void on_event(void *userdata, const json_t *event)
{
	struct agent *a = userdata;

	const char *type = json_get_string(event, "type", "");

	/* One that is restarted exits and does not stop. */
	if (strcmp(type, "container-stopped") == 0 || strcmp(type, "container-exited") == 0)
		count_end(a, event);
	if (strcmp(type, "task-status") == 0)
		drop_role_at_the_end(a, event);
	if (strcmp(type, "container-limits-differ") == 0)
		a->counters.limits_differ++;
	if (strcmp(type, "packet-filter-restored") == 0)
		a->counters.filter_restored++;
	events_add(&a->events, event);
	if (a->control)
		control_wake(a->control);
}

/* Docker's firewall, and others, drop what is forwarded unless a rule of theirs accepts it. */
static void warn_of_forward_policy(const struct agent *a)
{
	_cleanup_(freep) char *chain = NULL;

	if (firewall_has_legacy())
		log_warn("iptables-legacy filters here, which the agent neither sees nor changes: where it drops, "
			 "it has to accept what enters and leaves bridge '%s'",
			 a->config->bridge_name);
	if (a->config->firewall_accept)
		return; /* the engine looks, now and whenever it changes */
	if (net_forward_policy(a->net, &chain, NULL) == 0 && chain)
		log_warn("The policy of %s is to drop: tasks on bridge '%s' are reached from this "
			 "host only, and reach nobody else, unless it accepts what enters and "
			 "leaves the bridge",
			 chain, a->config->bridge_name);
}

/* The further prefixes that tasks in mode awsvpc reach through this host. */
static struct ip_prefix *list_routes(const struct config *c)
{
	struct ip_prefix *list = calloc(c->local_routes.n + 1, sizeof(*list));

	for (size_t i = 0; list && i < c->local_routes.n; i++)
		list[i] = (struct ip_prefix){ { .family = AF_INET,
						.v4 = c->local_routes.routes[i].addr },
					      c->local_routes.routes[i].prefix_len };
	return list;
}

static void set_bridge_network(struct agent *a, struct net6 six)
{
	const char *missing = net_ipv6_missing(a->net);

	if (missing)
		log_info("Tasks on bridge '%s' have no IPv6: %s", a->config->bridge_name, missing);
	a->config->six = missing ? (struct net6){} : six;
}

static int set_up_net(struct agent *a, struct err *err)
{
	const struct config *c = a->config;
	_cleanup_(freep) struct ip_prefix *routes = list_routes(c);
	struct local_params local = { .bridge = c->task_eni ? c->awsvpc_bridge_name : NULL,
				      .subnet.s_addr = inet_addr("169.254.172.0"),
				      .prefix_len = 22,
				      .routes = routes,
				      .n_routes = c->local_routes.n };
	_cleanup_(freep) char *netns = path_join("%s/netns", c->run_dir);
	_cleanup_(err_done) struct err why = {};
	struct net_params p = { .bridge = c->bridge_name,
				.subnet = c->bridge_subnet,
				.prefix_len = c->bridge_prefix_len,
				.six = families_bridge_network(c),
				.netns_dir = netns,
				.dynamic_first = c->dynamic_port_first,
				.dynamic_last = c->dynamic_port_last,
				.reserved_tcp = c->reserved_ports.ports,
				.n_reserved_tcp = c->reserved_ports.n,
				.reserved_udp = c->reserved_ports_udp.ports,
				.n_reserved_udp = c->reserved_ports_udp.n,
				.allow_imds = c->allow_imds,
				.firewall_accept = c->firewall_accept,
				.near_port = c->introspection_offhost ? 0 : c->introspection_port,
				.service_port = TASK_SERVER_PORT,
				.local = &local };

	if (!netns || !routes)
		return err_set(err, ENOMEM, "allocate path");
	if (net_new(&p, &a->net, &why) < 0)
		log_error("Failed to make bridge '%s', only host networking works: %s",
			  c->bridge_name, err_text(&why));
	else if (!net_is_guarded(a->net))
		log_warn("This kernel has no nftables for bridges (nf_tables_bridge), ignoring: "
			 "tasks can send under each other's addresses");
	families_find(a->config);
	if (a->net) {
		set_bridge_network(a, p.six);
		warn_of_forward_policy(a);
	}
	if (c->allow_imds)
		log_warn("ECS_ALLOW_INSTANCE_METADATA: Tasks on bridge '%s' reach the instance "
			 "metadata service and the role of this host",
			 c->bridge_name);
	if (c->task_eni && !c->awsvpc_block_imds)
		log_warn("ECS_AWSVPC_BLOCK_IMDS is off: Tasks with an interface of their own reach "
			 "the instance metadata service and the role of this host");
	return 0;
}

/* What tasks may have of this host: what is registered, too. */
static int set_resources(struct agent *a, struct err *err)
{
	struct host_facts facts = {};
	int r = host_facts_read(&facts, err);

	if (r < 0)
		return r;
	engine_set_host_resources(
		a->engine,
		&(struct host_resources){ .cpu = (int64_t) facts.cpus * 1024,
					  .memory_mib = facts.memory_mib -
							a->config->reserved_memory_mib });
	return 0;
}

/* Containers find their credentials' ids again; the secrets come with the next message. */
static int restore_roles(struct agent *a, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < engine_task_count(a->engine); i++) {
		const struct task *t = engine_task_at(a->engine, i);

		if (t->role_credentials_id && !has_ended(t))
			r = role_store_put_pending(a->roles, t->arn, ROLE_TASK,
						   t->role_credentials_id, err);
		if (r >= 0 && t->execution_credentials_id)
			r = role_store_put_pending(a->roles, t->arn, ROLE_EXECUTION,
						   t->execution_credentials_id, err);
	}
	return r;
}

int agent_start_engine(struct agent *a, struct err *err)
{
	struct engine_params p = { .loop = a->loop,
				   .config = a->config,
				   .store = a->store,
				   .http = a->http,
				   .credentials = a->credentials,
				   .roles = a->roles,
				   .instance = &a->instance,
				   .callbacks = { .userdata = a,
						  .on_outbox = on_outbox,
						  .on_container_running = on_container_running,
						  .on_container_stopped = on_container_stopped,
						  .on_task_removed = on_task_removed,
						  .on_event = on_event } };
	int r = set_up_net(a, err);

	agent_recall_instance(a);
	p.net = a->net;
	if (r >= 0)
		r = agent_start_metering(a, err);
	a->view.sampler = a->sampler;
	if (r >= 0)
		r = engine_new(&p, &a->engine, err);
	return r < 0 ? r : set_resources(a, err);
}

int agent_find_tasks_again(struct agent *a, struct err *err)
{
	int r = engine_restore(a->engine, err);

	return r < 0 ? r : restore_roles(a, err);
}
