/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/report.h"

#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "common/clock.h"

/* A plain byte cut, as the reference does it, but not through the middle of a character. */
static json_t *cut(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n > max) {
		n = max;
		while (n > 0 && ((unsigned char) s[n] & 0xc0) == 0x80)
			n--;
	}
	json_t *v = json_stringn(s, n);

	return v ? v : json_string("");
}

/* Text of a runtime may hold what is not UTF-8, which JSON cannot carry. */
static json_t *text(const char *s, size_t max)
{
	char clean[4096];
	size_t n = 0;
	json_t *v = cut(s, max);

	if (json_string_length(v) > 0 || !*s)
		return v;
	for (; *s && n < sizeof(clean) - 1; s++)
		clean[n++] = (unsigned char) *s < 0x80 ? *s : '?';
	clean[n] = '\0';
	json_decref(v);
	return cut(clean, max);
}

/* One port, or a range of @n: "8000-8009" and "61000-61009". @ip: where it is bound. */
static json_t *binding(const struct port_binding *b, size_t n, const char *ip)
{
	const char *proto = b->proto == IPPROTO_UDP ? "udp" : "tcp";
	char container[32], host[32];

	if (b->range == 0)
		return json_pack("{s:s,s:i,s:i,s:s}", "bindIP", ip, "containerPort",
				 (int) b->container_port, "hostPort", (int) b->host_port,
				 "protocol", proto);
	(void) snprintf(container, sizeof(container), "%u-%zu", b->container_port,
			b->container_port + n - 1);
	(void) snprintf(host, sizeof(host), "%u-%zu", b->host_port, b->host_port + n - 1);
	return json_pack("{s:s,s:s,s:s,s:s}", "bindIP", ip, "containerPortRange", container,
			 "hostPortRange", host, "protocol", proto);
}

bool report_names_ipv4(const struct config *c)
{
	return !c->ipv6_only;
}

bool report_names_ipv6(const struct config *c)
{
	return c->six.prefix_len > 0 && (c->ipv6_only || !c->exclude_ipv6_port_binding);
}

static json_t *bindings(const struct container *c, const struct config *config)
{
	bool four = report_names_ipv4(config), six = report_names_ipv6(config);
	json_t *list = json_array();

	for (size_t i = 0, n; i < c->n_bindings; i += n) {
		n = port_binding_range(&c->bindings[i], c->n_bindings - i);
		if (c->bindings[i].host_port && four)
			(void) json_array_append_new(list, binding(&c->bindings[i], n, "0.0.0.0"));
		if (c->bindings[i].host_port && six)
			(void) json_array_append_new(list, binding(&c->bindings[i], n, "::"));
	}
	return list;
}

static json_t *container_entry(const struct container *c, const struct config *config)
{
	json_t *o = json_pack("{s:o,s:s}", "containerName", text(c->name, REPORT_ID_MAX), "status",
			      container_status_for_service(c->known));
	_cleanup_(json_decrefp) json_t *ports = bindings(c, config);

	if (*c->id)
		(void) json_object_set_new(o, "runtimeId", text(c->id, REPORT_ID_MAX));
	if (c->image_digest)
		(void) json_object_set_new(o, "imageDigest", text(c->image_digest, REPORT_ID_MAX));
	if (c->error_name) {
		char reason[4096];

		(void) snprintf(reason, sizeof(reason), "%s: %s",
				*c->error_name ? c->error_name : "UnknownError",
				c->error_message ? c->error_message : "");
		(void) json_object_set_new(o, "reason", text(reason, REPORT_REASON_MAX));
	}
	if (c->has_exit_code && c->known == CONTAINER_STOPPED)
		(void) json_object_set_new(o, "exitCode", json_integer(c->exit_code));
	if (c->known >= CONTAINER_RUNNING && json_array_size(ports) > 0)
		(void) json_object_set(o, "networkBindings", ports);
	return o;
}

/* What the service is told of: a digest we found, a start, an end. */
static bool is_news(const struct container *c)
{
	if (c->internal)
		return false;
	if (c->known == CONTAINER_STOPPED || c->known == CONTAINER_RUNNING)
		return c->sent < c->known;
	return c->known >= CONTAINER_MANIFEST_PULLED && c->sent < CONTAINER_MANIFEST_PULLED &&
	       c->digest_resolved_by_agent;
}

bool report_has_container_news(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (is_news(&t->containers[i]))
			return true;
	return false;
}

bool report_is_due(const struct task *t)
{
	if (t->known == TASK_STOPPED || t->known == TASK_RUNNING)
		return t->sent < t->known;
	if (t->known < TASK_MANIFEST_PULLED || t->sent >= TASK_MANIFEST_PULLED)
		return false;
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].digest_resolved_by_agent)
			return true;
	return false;
}

/* Epoch seconds with milliseconds, as the service's JSON protocol has times. */
static void set_time(json_t *o, const char *key, int64_t ms)
{
	if (ms > 0)
		(void) json_object_set_new(o, key, json_real((double) ms / MSEC_PER_SEC));
}

json_t *report_body(const struct task *t, const struct config *config)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:o}", "cluster", config->cluster, "task", t->arn,
			      "status", task_status_for_service(t->known), "reason",
			      text(t->reason ? t->reason : "", REPORT_REASON_MAX));
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];

		/* The last call carries the final state of all. */
		if (is_news(c) || (t->known == TASK_STOPPED && !c->internal))
			(void) json_array_append_new(list, container_entry(c, config));
	}
	if (json_array_size(list) > 0)
		(void) json_object_set(o, "containers", list);
	json_decref(list);
	set_time(o, "pullStartedAt", t->pull_started_ms);
	set_time(o, "pullStoppedAt", t->pull_stopped_ms);
	set_time(o, "executionStoppedAt", t->execution_stopped_ms);
	return o;
}

void report_mark_sent(struct task *t)
{
	t->sent = MAX(t->sent, t->known);
	for (size_t i = 0; i < t->n_containers; i++)
		t->containers[i].sent = MAX(t->containers[i].sent, t->containers[i].known);
}
