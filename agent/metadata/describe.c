/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/describe.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/http/eni-json.h"
#include "agent/http/tasks-json.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"

enum { CPU_MIN = 2 };

static void put(json_t *o, const char *key, json_t *value)
{
	(void) json_object_set_new(o, key, value);
}

static void put_text(json_t *o, const char *key, const char *value)
{
	put(o, key, json_string(value ? value : ""));
}

static void put_some(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		put_text(o, key, value);
}

static void put_time(json_t *o, const char *key, int64_t ms)
{
	char text[CLOCK_RFC3339_MAX];

	if (ms > 0)
		put_text(o, key, clock_format_rfc3339(ms, 1, text));
}

/* An empty list or object is left out. @value is taken. */
static void put_filled(json_t *o, const char *key, json_t *value)
{
	if (json_array_size(value) + json_object_size(value) > 0)
		put(o, key, value);
	else
		json_decref(value);
}

static json_t *pairs_json(const struct json_pair *pairs, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		put_text(o, pairs[i].key, pairs[i].value);
	return o;
}

/* @ip: where it is bound; NULL: not told. */
static json_t *port_json(const struct port_binding *b, const char *ip)
{
	json_t *one = json_object();

	put(one, "ContainerPort", json_integer(b->container_port));
	put_text(one, "Protocol", b->proto == IPPROTO_UDP ? "udp" : "tcp");
	if (b->host_port)
		put(one, "HostPort", json_integer(b->host_port));
	if (b->host_port)
		put_some(one, "HostIp", ip);
	return one;
}

/* Version 4 tells of both families, whatever is reported of them. */
static json_t *ports_json(const struct agent_view *v, const struct container *c, bool v4)
{
	bool six = v4 && v->config->six.prefix_len > 0;
	json_t *list = c->network_mode == NETWORK_AWSVPC ? eni_ports_json(c) : json_array();

	for (size_t i = 0; i < c->n_bindings; i++) {
		const struct port_binding *b = &c->bindings[i];

		(void) json_array_append_new(list, port_json(b, v4 ? "0.0.0.0" : NULL));
		if (six && b->host_port)
			(void) json_array_append_new(list, port_json(b, "::"));
	}
	return list;
}

/* A mode without an address of its own has one empty one, as Docker says it. */
static json_t *networks_json(const struct agent_view *v, const struct container *c, bool v4)
{
	struct in6_addr six = container_address6(c, &v->config->six);
	char text[INET_ADDRSTRLEN] = "", text6[INET6_ADDRSTRLEN];
	json_t *o;

	if (c->network_mode == NETWORK_AWSVPC)
		return eni_networks_json(c->task, v4);
	if (c->address.s_addr)
		(void) inet_ntop(AF_INET, &c->address, text, sizeof(text));
	o = json_pack("{s:s,s:[s]}", "NetworkMode", network_mode_name(c->network_mode),
		      "IPv4Addresses", text);
	if (!IN6_IS_ADDR_UNSPECIFIED(&six))
		put(o, "IPv6Addresses",
		    json_pack("[s]", inet_ntop(AF_INET6, &six, text6, sizeof(text6))));
	return json_pack("[o]", o);
}

static json_t *health_json(const struct container_health *h)
{
	json_t *o = json_object();

	if (h->status != HEALTH_UNKNOWN)
		put_some(o, "status", health_status_name(h->status));
	put_time(o, "statusSince", h->since_ms);
	if (h->exit_code)
		put(o, "exitCode", json_integer(h->exit_code));
	put_some(o, "output", h->output);
	return o;
}

static void put_identity(json_t *o, const struct container *c)
{
	put_text(o, "DockerId", c->id);
	put_text(o, "Name", c->name);
	put_text(o, "DockerName", *c->id ? c->docker_name : "");
	put_text(o, "Image", c->image);
	put_text(o, "ImageID", c->image_id);
}

static void put_v4(json_t *o, const struct container *c)
{
	put_some(o, "LogDriver", c->log_driver);
	put_filled(o, "LogOptions", pairs_json(c->log_options, c->n_log_options));
	put_some(o, "ContainerARN", c->container_arn);
	if (c->restart.enabled)
		put(o, "RestartCount", json_integer(c->restart_count));
}

json_t *describe_container(const struct agent_view *v, const struct container *c, bool v4)
{
	json_t *o = json_object();

	put_identity(o, c);
	put_filled(o, "Ports", ports_json(v, c, v4));
	put_filled(o, "Labels", pairs_json(c->labels, c->n_labels));
	put_text(o, "DesiredStatus", container_status_name(c->desired));
	put_text(o, "KnownStatus", container_status_name(c->known));
	if (c->has_exit_code)
		put(o, "ExitCode", json_integer(c->exit_code));
	put(o, "Limits",
	    json_pack("{s:I,s:I}", "CPU", (json_int_t) MAX(c->cpu_shares, (int64_t) CPU_MIN),
		      "Memory", (json_int_t) c->memory_mib));
	put_time(o, "CreatedAt", c->created_ms);
	put_time(o, "StartedAt", c->started_ms);
	put_time(o, "FinishedAt", c->finished_ms);
	put_text(o, "Type", c->internal ? "NAMESPACE_PAUSE" : "NORMAL");
	if (container_health_is_tracked(c))
		put(o, "Health", health_json(&c->health));
	put_filled(o, "Volumes", task_volumes_json(v, c));
	if (v4)
		put_v4(o, c);
	if (!c->internal)
		put(o, "Networks", networks_json(v, c, v4));
	return o;
}

/* Those that are made; version 4 has those that are about to be, too. */
static bool is_shown(const struct container *c, bool v4)
{
	return c->known >= (v4 ? CONTAINER_PULLED : CONTAINER_CREATED) || *c->id;
}

static json_t *containers_json(const struct agent_view *v, const struct task *t, bool v4)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_containers; i++)
		if (is_shown(&t->containers[i], v4))
			(void) json_array_append_new(list,
						     describe_container(v, &t->containers[i], v4));
	return list;
}

/* Whole numbers have no fraction, as Go writes them. */
static json_t *number_json(double n)
{
	return n == (double) (json_int_t) n ? json_integer((json_int_t) n) : json_real(n);
}

static json_t *limits_json(const struct task *t)
{
	json_t *o = json_object();

	if (t->cpu > 0)
		put(o, "CPU", number_json(t->cpu));
	if (t->memory_mib > 0)
		put(o, "Memory", json_integer(t->memory_mib));
	return o;
}

json_t *describe_task(const struct agent_view *v, const struct task *t, bool v4)
{
	struct agent_status s = {};
	json_t *o = json_object();

	v->status(v->userdata, &s);
	put_text(o, "Cluster", s.cluster);
	put_text(o, "TaskARN", t->arn);
	put_text(o, "Family", t->family);
	put_text(o, "Revision", t->version);
	put_text(o, "DesiredStatus", task_status_name(t->desired));
	put_text(o, "KnownStatus", task_status_name(t->known));
	put_filled(o, "Limits", limits_json(t));
	put_time(o, "PullStartedAt", t->pull_started_ms);
	put_time(o, "PullStoppedAt", t->pull_stopped_ms);
	put_time(o, "ExecutionStoppedAt", t->execution_stopped_ms);
	if (!v->config->metadata_az_disabled)
		put_some(o, "AvailabilityZone", s.availability_zone);
	if (v4 && !v->config->metadata_az_disabled)
		put_some(o, "AvailabilityZoneID", s.availability_zone_id);
	if (v4)
		put_some(o, "LaunchType", t->launch_type);
	put(o, "Containers", containers_json(v, t, v4));
	if (v4) {
		put_some(o, "VPCID", s.vpc_id);
		put_some(o, "ServiceName", t->service_name);
		put(o, "FaultInjectionEnabled", json_false());
	}
	return o;
}
