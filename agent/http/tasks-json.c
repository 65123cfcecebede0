/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/tasks-json.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/depends.h"
#include "agent/http/eni-json.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"

static void put_text(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_set_new(o, key, json_string(value));
}

static void put_time(json_t *o, const char *key, int64_t ms)
{
	char text[CLOCK_RFC3339_MAX];

	if (ms)
		put_text(o, key, clock_format_rfc3339(ms, 1, text));
}

static json_t *ports_to_json(const struct container *c)
{
	const struct port_binding *p = c->n_bindings ? c->bindings : c->ports;
	size_t n = c->n_bindings ? c->n_bindings : c->n_ports;
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_pack("{s:i,s:i,s:s}", "hostPort", p[i].host_port,
						   "containerPort", p[i].container_port, "protocol",
						   p[i].proto == IPPROTO_UDP ? "udp" : "tcp"));
	return a;
}

static json_t *health_to_json(const struct container_health *h)
{
	json_t *o = json_object();

	put_text(o, "status", health_status_name(h->status));
	put_time(o, "since", h->since_ms);
	if (h->output) {
		json_object_set_new(o, "exitCode", json_integer(h->exit_code));
		put_text(o, "output", h->output);
	}
	return o;
}

/* What keeps it from starting; for some containers of a task and not for others. */
static void put_waiting(json_t *o, const struct container *c)
{
	char text[DEPENDS_TEXT_MAX];

	if (c->known >= CONTAINER_RUNNING || (!depends_waiting_text(c, text) && !c->waits_note))
		return;
	put_text(o, "waitingFor", c->waits_for ? text : c->waits_note);
	put_time(o, "waitingSince", c->waits_since_ms);
}

static void put_restarts(json_t *o, const struct container *c)
{
	if (!c->restart.enabled)
		return;
	json_object_set_new(o, "restartCount", json_integer(c->restart_count));
	put_time(o, "lastRestartAt", c->last_restart_ms);
}

static json_t *container_to_json(const struct agent_view *v, const struct container *c)
{
	_cleanup_(freep) char *log = v->log_path(v->userdata, c);
	struct in6_addr six = container_address6(c, &v->config->six);
	char address[INET6_ADDRSTRLEN] = "";
	json_t *o = json_object(), *mounts;

	put_text(o, "name", c->name);
	put_text(o, "id", c->id);
	put_text(o, "dockerName", c->docker_name);
	put_text(o, "arn", c->container_arn);
	put_text(o, "image", c->image);
	put_text(o, "imageId", c->image_id);
	put_text(o, "imageDigest", c->image_digest);
	put_text(o, "lastStatus", container_status_name(c->known));
	put_text(o, "desiredStatus", container_status_name(c->desired));
	json_object_set_new(o, "essential", json_boolean(c->essential));
	if (c->pid > 0)
		json_object_set_new(o, "pid", json_integer(c->pid));
	if (c->address.s_addr && inet_ntop(AF_INET, &c->address, address, sizeof(address)))
		put_text(o, "address", address);
	if (!IN6_IS_ADDR_UNSPECIFIED(&six) &&
	    inet_ntop(AF_INET6, &six, address, sizeof(address)))
		put_text(o, "address6", address);
	json_object_set_new(o, "ports", ports_to_json(c));
	if (c->has_exit_code)
		json_object_set_new(o, "exitCode", json_integer(c->exit_code));
	if (c->health.status != HEALTH_NONE)
		json_object_set_new(o, "health", health_to_json(&c->health));
	put_waiting(o, c);
	put_restarts(o, c);
	if (v->mounts && (mounts = v->mounts(v->userdata, c)))
		json_object_set_new(o, "mounts", mounts);
	put_text(o, "error", c->error_name);
	put_text(o, "errorMessage", c->error_message);
	put_time(o, "createdAt", c->created_ms);
	put_time(o, "startedAt", c->started_ms);
	put_time(o, "finishedAt", c->finished_ms);
	put_text(o, "logDriver", c->log_driver);
	put_text(o, "logPath", log);
	return o;
}

json_t *task_volumes_json(const struct agent_view *v, const struct container *c)
{
	json_t *mounts = v->mounts ? v->mounts(v->userdata, c) : NULL, *m;
	json_t *list = json_array();
	size_t i;

	json_array_foreach(mounts, i, m) {
		json_t *one = json_object();

		if (strcmp(json_get_string(m, "type", ""), "tmpfs") != 0) {
			put_text(one, "DockerName", json_get_string(m, "name", NULL));
			put_text(one, "Source", json_get_string(m, "source", NULL));
			put_text(one, "Destination", json_get_string(m, "destination", NULL));
		}
		if (json_object_size(one) > 0)
			(void) json_array_append(list, one);
		json_decref(one);
	}
	json_decref(mounts);
	return list;
}

json_t *task_to_json(const struct agent_view *v, const struct task *t)
{
	json_t *containers = json_array(), *o = json_object();

	put_text(o, "arn", t->arn);
	put_text(o, "id", t->id);
	put_text(o, "family", t->family);
	put_text(o, "revision", t->version);
	put_text(o, "group", t->group);
	if (task_is_local(t))
		json_object_set_new(o, "local", json_true());
	put_text(o, "launchType", t->launch_type);
	put_text(o, "lastStatus", task_status_for_service(t->known));
	put_text(o, "desiredStatus", task_status_for_service(t->desired));
	put_text(o, "detailedStatus", task_status_name(t->known));
	put_text(o, "networkMode", network_mode_name(t->network_mode));
	if (t->cpu > 0)
		json_object_set_new(o, "cpu", json_real(t->cpu));
	if (t->memory_mib > 0)
		json_object_set_new(o, "memoryMiB", json_integer(t->memory_mib));
	if (t->eni)
		json_object_set_new(o, "networks", eni_networks_json(t, true));
	put_text(o, "reason", t->reason);
	put_text(o, "waitingFor", t->waiting_for);
	put_time(o, "waitingSince", t->waiting_since_ms);
	put_time(o, "pullStartedAt", t->pull_started_ms);
	put_time(o, "pullStoppedAt", t->pull_stopped_ms);
	put_time(o, "executionStoppedAt", t->execution_stopped_ms);
	put_time(o, "stoppedAt", t->stopped_ms);
	for (size_t i = 0; i < t->n_containers; i++)
		if (!t->containers[i].internal)
			json_array_append_new(containers, container_to_json(v, &t->containers[i]));
	json_object_set_new(o, "containers", containers);
	return o;
}

static void put_count(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t) v));
}

json_t *container_stats_to_json(const struct agent_view *v, const struct container *c)
{
	const struct sampled *sampled = *c->id ? sampler_find(v->sampler, c->id) : NULL;
	const struct sample *s = sampled ? sampled_last(sampled) : NULL;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	json_t *o;

	if (!s)
		return NULL;
	o = json_pack("{s:s,s:s,s:s,s:s}", "taskArn", c->task->arn, "task", c->task->id,
		      "container", c->name, "id", c->id);
	if (!o)
		return NULL;
	if (!isnan(s->cpu_percent)) {
		/* For people 100 is one core, as with top; the control plane gets the host's share. */
		json_object_set_new(o, "cpuPercent",
				    json_real((double) s->cpu_percent * (double) cpus));
		json_object_set_new(o, "cpuHostPercent", json_real((double) s->cpu_percent));
	}
	json_object_set_new(o, "cpuSeconds", json_real((double) s->cpu_total_ns / 1e9));
	put_count(o, "memoryBytes", s->memory_used_bytes);
	if (sampled_memory_limit_bytes(sampled) > 0)
		put_count(o, "memoryLimitBytes", (uint64_t) sampled_memory_limit_bytes(sampled));
	put_count(o, "processes", s->pids);
	if (s->has_network) {
		put_count(o, "rxBytes", s->rx_bytes);
		put_count(o, "txBytes", s->tx_bytes);
	}
	if (s->has_storage) {
		put_count(o, "readBytes", s->storage_read_bytes);
		put_count(o, "writeBytes", s->storage_write_bytes);
	}
	return o;
}
