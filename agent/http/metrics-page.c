/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/http/view.h"
#include "common/clock.h"
#include "common/macro.h"

static const char *const phase_names[] = { "pull", "start", "total" };
static const double phase_bounds[] = {
	0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300
};

void counters_init(struct agent_counters *n)
{
	*n = (struct agent_counters){};
	for (int i = 0; i < _LAUNCH_PHASE_MAX; i++)
		n->launch[i] = (struct prom_histogram){ .bounds = phase_bounds,
							.n_bounds = ARRAY_SIZE(phase_bounds) };
}

static void observe_span(struct prom_histogram *h, int64_t from_ms, int64_t to_ms)
{
	if (from_ms > 0 && to_ms >= from_ms)
		prom_observe(h, (double) (to_ms - from_ms) / 1000.0);
}

void counters_running(struct agent_counters *n, const struct container *c)
{
	n->containers_started++;
	if (c->restart_count > 0) { /* it was launched long ago */
		n->restarts++;
		return;
	}
	observe_span(&n->launch[LAUNCH_START], c->created_ms, c->started_ms);
	if (c->task->pull_stopped_ms) {
		n->pulls++;
		observe_span(&n->launch[LAUNCH_PULL], c->task->pull_started_ms,
			     c->task->pull_stopped_ms);
	}
	observe_span(&n->launch[LAUNCH_TOTAL],
		     c->task->pull_started_ms ? c->task->pull_started_ms : c->created_ms,
		     c->started_ms);
}

void counters_stopped(struct agent_counters *n, const struct container *c)
{
	if (c->started_ms)
		n->containers_exited++;
	else
		n->containers_failed++;
	if (c->error_name && strcmp(c->error_name, "OutOfMemoryError") == 0)
		n->oom_kills++;
}

/* ---- the agent ---- */

static void put_agent(struct buf *b, const struct agent_view *v, const struct agent_status *s)
{
	const struct prom_label info[] = {
		{ "version", PACKAGE_VERSION }, { "git", GIT_HASH },
		{ "cluster", s->cluster },      { "container_instance", s->container_instance_arn },
		{ "runc", s->runc_version },    {}
	};

	prom_family(b, "ecs_agent_info", "gauge", "What runs here; always 1.");
	prom_sample_u64(b, "ecs_agent_info", info, 1);
	prom_family(b, "ecs_agent_start_time_seconds", "gauge", "When the agent started, epoch.");
	prom_sample(b, "ecs_agent_start_time_seconds", NULL, (double) s->started_ms / 1000.0);
	prom_family(b, "ecs_agent_outbox_tasks", "gauge",
		    "Tasks with a state change that the control plane has not taken yet.");
	prom_sample_u64(b, "ecs_agent_outbox_tasks", NULL, s->outbox_pending);
	if (!v->sampler)
		return;
	prom_family(b, "ecs_agent_sample_failures_total", "counter",
		    "Samples of containers that could not be taken.");
	prom_sample_u64(b, "ecs_agent_sample_failures_total", NULL, sampler_failures(v->sampler));
}

static void put_process(struct buf *b)
{
	struct rusage u = {};
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	(void) getrusage(RUSAGE_SELF, &u);
	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		(void) fclose(f);
	}
	prom_family(b, "process_cpu_seconds_total", "counter", "CPU time of the agent itself.");
	prom_sample(b, "process_cpu_seconds_total", NULL,
		    (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			    (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	prom_family(b, "process_resident_memory_bytes", "gauge", "Memory of the agent itself.");
	prom_sample_u64(b, "process_resident_memory_bytes", NULL,
			(uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE));
}

static void put_sessions(struct buf *b, const struct agent_status *s)
{
	prom_family(b, "ecs_session_connected", "gauge", "1 while the session is up.");
	for (size_t i = 0; i < ARRAY_SIZE(s->sessions); i++)
		prom_sample_u64(b, "ecs_session_connected",
				(struct prom_label[]){ { "session", s->sessions[i].name }, {} },
				s->sessions[i].connected);
	prom_family(b, "ecs_session_disconnected_seconds_total", "counter",
		    "Time the session was down since the agent started.");
	for (size_t i = 0; i < ARRAY_SIZE(s->sessions); i++)
		prom_sample(b, "ecs_session_disconnected_seconds_total",
			    (struct prom_label[]){ { "session", s->sessions[i].name }, {} },
			    (double) s->sessions[i].disconnected_ms / 1000.0);
	prom_family(b, "ecs_acs_last_message_time_seconds", "gauge",
		    "When the control plane was last heard of, epoch; 0: never.");
	prom_sample(b, "ecs_acs_last_message_time_seconds", NULL,
		    (double) s->last_acs_message_ms / 1000.0);
}

static void put_states(struct buf *b, const struct agent_view *v)
{
	uint64_t tasks[_TASK_STATUS_MAX] = {}, containers[_CONTAINER_STATUS_MAX] = {}, waiting = 0;

	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		tasks[t->known]++;
		waiting += t->waiting_for != NULL;
		for (size_t j = 0; j < t->n_containers; j++)
			containers[t->containers[j].known] += !t->containers[j].internal;
	}
	prom_family(b, "ecs_tasks", "gauge", "Tasks by their status.");
	for (int i = 0; i < _TASK_STATUS_MAX; i++)
		prom_sample_u64(b, "ecs_tasks",
				(struct prom_label[]){
					{ "status", task_status_name((enum task_status) i) }, {} },
				tasks[i]);
	prom_family(b, "ecs_tasks_waiting", "gauge", "Tasks that wait for resources of this host.");
	prom_sample_u64(b, "ecs_tasks_waiting", NULL, waiting);
	prom_family(b, "ecs_containers", "gauge", "Containers by their status.");
	for (int i = 0; i < _CONTAINER_STATUS_MAX; i++)
		prom_sample_u64(
			b, "ecs_containers",
			(struct prom_label[]){
				{ "status", container_status_name((enum container_status) i) },
				{} },
			containers[i]);
}

static void put_counters(struct buf *b, const struct agent_counters *n)
{
	const struct {
		const char *name, *help;
		uint64_t value;
	} rows[] = {
		{ "ecs_container_starts_total", "Containers that came up.", n->containers_started },
		{ "ecs_container_exits_total", "Containers that ended after they had come up.",
		  n->containers_exited },
		{ "ecs_container_start_failures_total", "Containers that never came up.",
		  n->containers_failed },
		{ "ecs_container_policy_restarts_total",
		  "Restarts by a restart policy, of all containers.", n->restarts },
		{ "ecs_credentials_expired_total",
		  "Requests for role credentials that had expired; they were refused.",
		  n->expired_credentials },
		{ "ecs_container_limits_differ_total",
		  "Containers with a limit that did not read as it was asked for.",
		  n->limits_differ },
		{ "ecs_container_oom_kills_total", "Containers ended by the out-of-memory killer.",
		  n->oom_kills },
		{ "ecs_packet_filter_restored_total",
		  "Times that others changed the agent's nftables table and it was put right.",
		  n->filter_restored },
		{ "ecs_image_pulls_total", "Starts that a pull went before.", n->pulls },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		prom_family(b, rows[i].name, "counter", rows[i].help);
		prom_sample_u64(b, rows[i].name, NULL, rows[i].value);
	}
	prom_family(b, "ecs_launch_seconds", "histogram", "How long the phases of a start took.");
	for (int i = 0; i < _LAUNCH_PHASE_MAX; i++)
		prom_histogram(b, "ecs_launch_seconds",
			       (struct prom_label[]){ { "phase", phase_names[i] }, {} },
			       &n->launch[i]);
}

/* ---- containers ---- */

enum unit { BYTES, COUNT, NANOSECONDS };

static const struct container_family {
	const char *name, *type, *help;
	size_t offset; /* a uint64_t of struct sample */
	enum unit unit;
	bool network, storage;
} container_families[] = {
#define ROW(n, t, h, field, ...)                                                                   \
	{                                                                                          \
		n, t, h, offsetof(struct sample, field), __VA_ARGS__                               \
	}
	ROW("ecs_container_cpu_seconds_total", "counter", "CPU time used.", cpu_total_ns,
	    NANOSECONDS),
	ROW("ecs_container_cpu_user_seconds_total", "counter", "CPU time used in user mode.",
	    cpu_user_ns, NANOSECONDS),
	ROW("ecs_container_cpu_system_seconds_total", "counter", "CPU time used in the kernel.",
	    cpu_system_ns, NANOSECONDS),
	ROW("ecs_container_memory_bytes", "gauge", "Memory used, without page cache.",
	    memory_used_bytes, BYTES),
	ROW("ecs_container_processes", "gauge", "Processes and threads.", pids, COUNT),
	ROW("ecs_container_network_receive_bytes_total", "counter", "Bytes received.", rx_bytes,
	    BYTES, .network = true),
	ROW("ecs_container_network_receive_packets_total", "counter", "Packets received.",
	    rx_packets, COUNT, .network = true),
	ROW("ecs_container_network_receive_errors_total", "counter", "Packets received in error.",
	    rx_errors, COUNT, .network = true),
	ROW("ecs_container_network_receive_dropped_total", "counter", "Received packets dropped.",
	    rx_dropped, COUNT, .network = true),
	ROW("ecs_container_network_transmit_bytes_total", "counter", "Bytes sent.", tx_bytes, BYTES,
	    .network = true),
	ROW("ecs_container_network_transmit_packets_total", "counter", "Packets sent.", tx_packets,
	    COUNT, .network = true),
	ROW("ecs_container_network_transmit_errors_total", "counter", "Packets sent in error.",
	    tx_errors, COUNT, .network = true),
	ROW("ecs_container_network_transmit_dropped_total", "counter", "Sent packets dropped.",
	    tx_dropped, COUNT, .network = true),
	ROW("ecs_container_storage_read_bytes_total", "counter", "Bytes read from block devices.",
	    storage_read_bytes, BYTES, .storage = true),
	ROW("ecs_container_storage_write_bytes_total", "counter", "Bytes written to block devices.",
	    storage_write_bytes, BYTES, .storage = true),
#undef ROW
};

static void put_container(struct buf *b, const struct container_family *f,
			  const struct container *c, const struct sample *s)
{
	const struct prom_label labels[] = { { "task", c->task->id },
					     { "family", c->task->family },
					     { "container", c->name },
					     { "id", c->id },
					     {} };
	uint64_t v = *(const uint64_t *) ((const char *) s + f->offset);

	if ((f->network && !s->has_network) || (f->storage && !s->has_storage))
		return;
	if (f->unit == NANOSECONDS)
		prom_sample(b, f->name, labels, (double) v / 1e9);
	else
		prom_sample_u64(b, f->name, labels, v);
}

typedef void (*container_fn)(struct buf *b, const void *userdata, const struct container *c,
			     const struct sampled *s);

static void each_sampled(const struct agent_view *v, struct buf *b, container_fn fn,
			 const void *userdata)
{
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const struct sampled *s = sampler_find(v->sampler, t->containers[j].id);

			if (s && sampled_last(s))
				fn(b, userdata, &t->containers[j], s);
		}
	}
}

static void put_family_row(struct buf *b, const void *family, const struct container *c,
			   const struct sampled *s)
{
	put_container(b, family, c, sampled_last(s));
}

static void put_limit(struct buf *b, const void *unused, const struct container *c,
		      const struct sampled *s)
{
	const struct prom_label labels[] = { { "task", c->task->id },
					     { "family", c->task->family },
					     { "container", c->name },
					     { "id", c->id },
					     {} };

	(void) unused;
	if (sampled_memory_limit_bytes(s) > 0)
		prom_sample_u64(b, "ecs_container_memory_limit_bytes", labels,
				(uint64_t) sampled_memory_limit_bytes(s));
}

static void put_health(struct buf *b, const struct agent_view *v)
{
	prom_family(b, "ecs_container_healthy", "gauge",
		    "Of containers with a health check: 1 healthy, 0 not, absent while unknown.");
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const struct container *c = &t->containers[j];

			if (c->known == CONTAINER_RUNNING && c->health.status > HEALTH_UNKNOWN)
				prom_sample_u64(b, "ecs_container_healthy",
						(struct prom_label[]){ { "task", t->id },
								       { "family", t->family },
								       { "container", c->name },
								       { "id", c->id },
								       {} },
						c->health.status == HEALTH_HEALTHY);
		}
	}
}

/* Since the task came in, whichever runs of the agent made them. */
static void put_restarts(struct buf *b, const struct agent_view *v)
{
	prom_family(b, "ecs_container_restarts_total", "counter",
		    "Of containers with a restart policy: how often it was applied.");
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const struct container *c = &t->containers[j];

			if (c->restart.enabled && c->known == CONTAINER_RUNNING)
				prom_sample_u64(b, "ecs_container_restarts_total",
						(struct prom_label[]){ { "task", t->id },
								       { "family", t->family },
								       { "container", c->name },
								       { "id", c->id },
								       {} },
						(uint64_t) c->restart_count);
		}
	}
}

static void put_containers(struct buf *b, const struct agent_view *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(container_families); i++) {
		const struct container_family *f = &container_families[i];

		prom_family(b, f->name, f->type, f->help);
		each_sampled(v, b, put_family_row, f);
	}
	prom_family(b, "ecs_container_memory_limit_bytes", "gauge", "Memory limit.");
	each_sampled(v, b, put_limit, NULL);
}

char *metrics_page(const struct agent_view *v)
{
	struct agent_status s = {};
	struct buf b = {};

	v->status(v->userdata, &s);
	put_agent(&b, v, &s);
	put_process(&b);
	put_sessions(&b, &s);
	put_states(&b, v);
	put_health(&b, v);
	put_restarts(&b, v);
	put_counters(&b, v->counters);
	if (v->sampler)
		put_containers(&b, v);
	return buf_take(&b);
}
