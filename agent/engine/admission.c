/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/admission.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct demand admission_demand(const struct task *t)
{
	struct demand d = { .cpu = (int64_t) (t->cpu * 1024), .memory_mib = t->memory_mib };

	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];

		if (t->cpu <= 0)
			d.cpu += c->cpu_shares;
		if (t->memory_mib <= 0)
			d.memory_mib += c->memory_reservation_bytes > 0
						? c->memory_reservation_bytes >> 20
						: c->memory_mib;
	}
	return d;
}

static uint64_t *map_of(struct ledger *l, uint8_t proto)
{
	return proto == IPPROTO_UDP ? l->udp : l->tcp;
}

static bool is_taken(const uint64_t *map, uint16_t port)
{
	return map[port / 64] >> (port % 64) & 1;
}

static void mark(uint64_t *map, uint16_t port, bool taken)
{
	uint64_t bit = UINT64_C(1) << (port % 64);

	map[port / 64] = taken ? map[port / 64] | bit : map[port / 64] & ~bit;
}

static bool is_reserved(struct ledger *l, const struct port_binding *b)
{
	const struct port_list *list = b->proto == IPPROTO_UDP ? l->reserved_udp : l->reserved_tcp;

	for (size_t i = 0; list && i < list->n; i++)
		if (list->ports[i] == b->host_port)
			return true;
	return false;
}

static bool is_another_tasks(struct ledger *l, const struct port_binding *b)
{
	return is_taken(map_of(l, b->proto), b->host_port);
}

/* The first of the task's fixed host ports that is @so; NULL: none. */
static const struct port_binding *find_port(struct ledger *l, const struct task *t,
					    bool (*so)(struct ledger *l,
						       const struct port_binding *b))
{
	for (size_t i = 0; i < t->n_containers; i++)
		for (size_t j = 0; j < t->containers[i].n_ports; j++) {
			const struct port_binding *b = &t->containers[i].ports[j];

			if (b->host_port && so(l, b))
				return b;
		}
	return NULL;
}

static void mark_ports(struct ledger *l, const struct task *t, bool taken)
{
	for (size_t i = 0; i < t->n_containers; i++)
		for (size_t j = 0; j < t->containers[i].n_ports; j++) {
			const struct port_binding *b = &t->containers[i].ports[j];

			if (b->host_port)
				mark(map_of(l, b->proto), b->host_port, taken);
		}
}

/* Its place among the host's, -1: not one of them. */
static int gpu_index(const struct ledger *l, const char *id)
{
	for (int i = 0; l->gpus && l->gpus[i]; i++)
		if (strcmp(l->gpus[i], id) == 0)
			return i;
	return -1;
}

/* The first of the task's GPUs that is not the host's (@taken: that another task has). */
static const char *find_gpu(const struct ledger *l, const struct task *t, bool taken)
{
	for (size_t i = 0; i < t->n_containers; i++)
		for (char **s = t->containers[i].docker.gpus; s && *s; s++) {
			int n = gpu_index(l, *s);

			if (taken ? n >= 0 && (l->gpus_used >> n & 1) : n < 0)
				return *s;
		}
	return NULL;
}

static void mark_gpus(struct ledger *l, const struct task *t, bool taken)
{
	for (size_t i = 0; i < t->n_containers; i++)
		for (char **s = t->containers[i].docker.gpus; s && *s; s++) {
			int n = gpu_index(l, *s);
			uint64_t bit = n < 0 ? 0 : UINT64_C(1) << n;

			l->gpus_used = taken ? l->gpus_used | bit : l->gpus_used & ~bit;
		}
}

static int lack(int answer, char **ret, const char *fmt, ...) _printf_(3, 4);

static int lack(int answer, char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : answer;
}

static const char *proto_name(const struct port_binding *b)
{
	return b->proto == IPPROTO_UDP ? "udp" : "tcp";
}

static int check_never(struct ledger *l, const struct task *t, const struct demand *d,
		       char **ret_lack)
{
	const struct port_binding *b = find_port(l, t, is_reserved);
	const char *gpu = find_gpu(l, t, false);

	if (l->bounded && d->cpu > l->cpu_total)
		return lack(ADMISSION_NEVER, ret_lack,
			    "cpu: %" PRId64 " units are wanted, this host has %" PRId64, d->cpu,
			    l->cpu_total);
	if (l->bounded && d->memory_mib > l->memory_total_mib)
		return lack(ADMISSION_NEVER, ret_lack,
			    "memory: %" PRId64 " MiB are wanted, this host has %" PRId64,
			    d->memory_mib, l->memory_total_mib);
	if (b)
		return lack(ADMISSION_NEVER, ret_lack, "host port %u/%s is reserved on this host",
			    b->host_port, proto_name(b));
	if (gpu)
		return lack(ADMISSION_NEVER, ret_lack, "task gpu %s not found in host gpus", gpu);
	return 0;
}

int admission_take(struct ledger *l, const struct task *t, char **ret_lack)
{
	struct demand d = admission_demand(t);
	int64_t cpu_free = MAX(l->cpu_total - l->cpu_used, 0);
	int64_t memory_free_mib = MAX(l->memory_total_mib - l->memory_used_mib, 0);
	const struct port_binding *b;
	const char *gpu;
	int k = check_never(l, t, &d, ret_lack);

	if (k != 0)
		return k;
	if (l->bounded && d.cpu > cpu_free)
		return lack(ADMISSION_WAIT, ret_lack,
			    "cpu: %" PRId64 " units are wanted, %" PRId64 " are free", d.cpu,
			    cpu_free);
	if (l->bounded && d.memory_mib > memory_free_mib)
		return lack(ADMISSION_WAIT, ret_lack,
			    "memory: %" PRId64 " MiB are wanted, %" PRId64 " are free",
			    d.memory_mib, memory_free_mib);
	b = find_port(l, t, is_another_tasks);
	if (b)
		return lack(ADMISSION_WAIT, ret_lack, "host port %u/%s is taken", b->host_port,
			    proto_name(b));
	gpu = find_gpu(l, t, true);
	if (gpu)
		return lack(ADMISSION_WAIT, ret_lack, "GPU %s is taken", gpu);
	admission_force(l, t);
	return 0;
}

void admission_force(struct ledger *l, const struct task *t)
{
	struct demand d = admission_demand(t);

	l->cpu_used += d.cpu;
	l->memory_used_mib += d.memory_mib;
	mark_ports(l, t, true);
	mark_gpus(l, t, true);
}

void admission_release(struct ledger *l, const struct task *t)
{
	struct demand d = admission_demand(t);

	l->cpu_used -= d.cpu;
	l->memory_used_mib -= d.memory_mib;
	mark_ports(l, t, false);
	mark_gpus(l, t, false);
}
