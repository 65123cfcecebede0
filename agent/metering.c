/* SPDX-License-Identifier: Apache-2.0 */
/* Containers into the sampler, samples into telemetry. */
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/engine/engine.h"
#include "agent/tcs/rounds.h"
#include "agent/tcs/tcs.h"
#include "common/clock.h"
#include "common/log.h"
#include "metrics/telemetry.h"
#include "runtime/cgroup/cgroup.h"

/* Less time than this between two samples says little of what a container does. */
static const int64_t FRESH_NS = 200 * 1000000LL;

static int64_t interval_ms(const struct config *c)
{
	return c->poll_metrics ? c->poll_metrics_ms : SAMPLER_INTERVAL_MS;
}

static int on_sample(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct agent *a = userdata;

	(void) usec;
	sampler_tick(a->sampler, clock_mono_ns());
	(void) sd_event_source_set_time_relative(
		source, (uint64_t) (interval_ms(a->config) * USEC_PER_MSEC));
	/* Nobody to sample: no reason to wake up. */
	(void) sd_event_source_set_enabled(source, sampler_count(a->sampler) ? SD_EVENT_ONESHOT
									     : SD_EVENT_OFF);
	return 0;
}

int agent_start_metering(struct agent *a, struct err *err)
{
	struct sampler_params p = { .host_cpus = (int) sysconf(_SC_NPROCESSORS_ONLN),
				    .window = sampler_window(interval_ms(a->config)) };
	int r;

	if (a->config->metrics_disabled)
		return 0;
	a->sampler = sampler_new(&p);
	if (!a->sampler)
		return err_set(err, ENOMEM, "allocate sampler");
	r = sd_event_add_time_relative(a->loop, &a->sample_timer, CLOCK_MONOTONIC, 0, 0, on_sample,
				       a);
	if (r < 0)
		return err_set_errno(err, -r, "start sampling");
	(void) sd_event_source_set_description(a->sample_timer, "sampler");
	return sd_event_source_set_enabled(a->sample_timer, SD_EVENT_OFF) < 0
		       ? err_set(err, EIO, "start sampling")
		       : 0;
}

void agent_stop_metering(struct agent *a)
{
	a->sample_timer = sd_event_source_disable_unref(a->sample_timer);
	a->sampler = sampler_free(a->sampler);
}

void agent_meter(struct agent *a, const struct container *c)
{
	_cleanup_(freep) char *memory = engine_cgroup_dir(c, "memory");
	_cleanup_(freep) char *cpuacct = engine_cgroup_dir(c, "cpuacct");
	_cleanup_(freep) char *blkio = engine_cgroup_dir(c, "blkio");
	_cleanup_(freep) char *pids = engine_cgroup_dir(c, "pids");
	_cleanup_(err_done) struct err err = {};
	struct sampled_params p = {
		.id = c->id,
		.memory_dir = memory,
		.cpuacct_dir = cpuacct,
		.blkio_dir = blkio,
		.pids_dir = pids,
		.cgroup_v2 = cgroup_mode() == CGROUP_V2,
		.pid = c->network_mode == NETWORK_BRIDGE || c->network_mode == NETWORK_AWSVPC ?
			       c->pid : 0,
		.memory_limit_bytes = c->memory_mib << 20,
		.counts_restarts = c->restart.enabled,
		.restarts = c->restart_count,
		.past = { .cpu_total_ns = c->past.cpu_total_ns,
			  .cpu_user_ns = c->past.cpu_user_ns,
			  .cpu_system_ns = c->past.cpu_system_ns,
			  .storage_read_bytes = c->past.storage_read_bytes,
			  .storage_write_bytes = c->past.storage_write_bytes },
	};

	if (!a->sampler || !memory || !cpuacct)
		return;
	if (sampler_add(a->sampler, &p, &err) < 0) {
		/* It may have ended this instant; the engine tells next. */
		log_debug("Container '%s' is not sampled: %s", c->name, err_text(&err));
		return;
	}
	/* Two samples are needed for the first numbers: the first one is now. */
	sampler_sample(a->sampler, c->id, clock_mono_ns());
	if (sampler_count(a->sampler) > 1)
		return;
	(void) sd_event_source_set_time_relative(
		a->sample_timer, (uint64_t) (interval_ms(a->config) * USEC_PER_MSEC));
	(void) sd_event_source_set_enabled(a->sample_timer, SD_EVENT_ONESHOT);
}

/* Who looks wants to see now, and of what just started more than its first sample. */
void agent_refresh_samples(void *agent)
{
	struct agent *a = agent;
	int64_t now = clock_mono_ns();

	for (size_t i = 0; a->sampler && i < engine_task_count(a->engine); i++) {
		const struct task *t = engine_task_at(a->engine, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const char *id = t->containers[j].id;
			const struct sampled *s = *id ? sampler_find(a->sampler, id) : NULL;
			const struct sample *last = s ? sampled_last(s) : NULL;

			if (last && now - last->mono_ns >= FRESH_NS)
				sampler_sample(a->sampler, id, now);
		}
	}
}

/* An agent that comes after us goes on from there. */
static void note_usage(struct agent *a, const struct container *c)
{
	const struct sampled *s = sampler_find(a->sampler, c->id);
	const struct sample *last = s ? sampled_last(s) : NULL;

	if (last)
		engine_note_usage(c, &(struct past_usage){
					     .cpu_total_ns = last->cpu_total_ns,
					     .cpu_user_ns = last->cpu_user_ns,
					     .cpu_system_ns = last->cpu_system_ns,
					     .storage_read_bytes = last->storage_read_bytes,
					     .storage_write_bytes = last->storage_write_bytes });
}

void agent_unmeter(struct agent *a, const struct container *c)
{
	if (!a->sampler || !*c->id)
		return;
	if (!c->restart.enabled || c->known == CONTAINER_STOPPED) {
		sampler_remove(a->sampler, c->id);
		return;
	}
	note_usage(a, c); /* it may run again */
	sampler_hold(a->sampler, c->id);
}

/* ---- telemetry ---- */

static json_t *task_metrics(const struct agent *a, const struct task *t)
{
	_cleanup_(json_decrefp) json_t *containers = json_array();

	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];
		const struct sampled *s = *c->id ? sampler_find(a->sampler, c->id) : NULL;
		json_t *entry = s ? telemetry_container(s, c->name) : NULL;

		if (entry)
			json_array_append_new(containers, entry);
	}
	if (json_array_size(containers) == 0)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:O}", "taskArn", t->arn, "taskDefinitionFamily",
			 t->family ? t->family : "", "taskDefinitionVersion",
			 t->version ? t->version : "", "containerMetrics", containers);
}

/* Containers of local tasks are none of the service's. */
static bool is_reported(const struct agent *a, const struct task *t)
{
	if (task_is_local(t))
		return false;
	for (size_t i = 0; i < t->n_containers; i++)
		if (*t->containers[i].id && sampler_find(a->sampler, t->containers[i].id))
			return true;
	return false;
}

static int collect(void *userdata, json_t **ret_tasks, bool *ret_idle, struct err *err)
{
	struct agent *a = userdata;
	json_t *tasks = json_array();

	if (!tasks)
		return err_set(err, ENOMEM, "allocate metrics");
	*ret_tasks = tasks;
	/* Switched off is not idle: then nothing is said at all. */
	*ret_idle = a->sampler != NULL;
	if (!a->sampler)
		return 0;
	for (size_t i = 0; i < engine_task_count(a->engine); i++) {
		const struct task *task = engine_task_at(a->engine, i);
		json_t *t = is_reported(a, task) ? task_metrics(a, task) : NULL;

		*ret_idle &= !is_reported(a, task);
		if (t)
			json_array_append_new(tasks, t);
	}
	sampler_mark_sent(a->sampler);
	return 0;
}

static json_t *task_health(const struct task *t, int64_t now_ms)
{
	_cleanup_(json_decrefp) json_t *containers = json_array();

	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];
		const char *status = health_status_name(c->health.status);

		if (c->known != CONTAINER_RUNNING || !container_health_is_tracked(c))
			continue;
		json_array_append_new(
			containers,
			json_pack("{s:s,s:s,s:o}", "containerName", c->name, "healthStatus",
				  status ? status : "UNKNOWN", "statusSince",
				  round_time(c->health.since_ms ? c->health.since_ms : now_ms)));
	}
	if (json_array_size(containers) == 0)
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:O}", "taskArn", t->arn, "taskDefinitionFamily",
			 t->family ? t->family : "", "taskDefinitionVersion",
			 t->version ? t->version : "", "containers", containers);
}

/* The whole of it in every round, changed or not. */
static int collect_health(void *userdata, json_t **ret_tasks, struct err *err)
{
	struct agent *a = userdata;
	json_t *tasks = json_array();

	if (!tasks)
		return err_set(err, ENOMEM, "allocate health");
	for (size_t i = 0; i < engine_task_count(a->engine); i++) {
		const struct task *task = engine_task_at(a->engine, i);
		json_t *t = task_is_local(task) ? NULL : task_health(task, clock_real_ms());

		if (t)
			json_array_append_new(tasks, t);
	}
	*ret_tasks = tasks;
	return 0;
}

const struct tcs_provider agent_tcs_provider = { .collect = collect,
						 .collect_health = collect_health };
