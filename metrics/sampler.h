/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler - reads the cgroups of the containers it is told about and keeps a window of samples.
 * Source of cadence and formulas: the ECS telemetry protocol (TCS): 100 % CPU means all cores of the
 * host busy; memory is usage without page cache, in MiB.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct sampler;
struct sampled; /* one container */

/* What a container had used at the end of its earlier runs: the control group of each begins at 0. */
struct sampled_past {
	uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
	uint64_t storage_read_bytes, storage_write_bytes;
};

struct sampled_params {
	const char *id;         /* container id */
	const char *memory_dir; /* directories of the container's cgroup; on v2 all the same */
	const char *cpuacct_dir;
	const char *blkio_dir; /* NULL: not read */
	const char *pids_dir;  /* NULL: not read */
	bool cgroup_v2;
	pid_t pid;                  /* to read /proc/<pid>/net/dev; 0: no network statistics */
	int64_t memory_limit_bytes; /* for people; 0: none */
	bool counts_restarts;       /* it has a restart policy */
	int restarts;               /* which of its runs this is: 0, 1, … */
	struct sampled_past past;   /* where nothing is known of the run before */
};

struct sample {
	int64_t mono_ns;
	uint64_t cpu_total_ns; /* cpuacct.usage, or usage_usec * 1000 */
	uint64_t cpu_user_ns, cpu_system_ns;
	float cpu_percent;          /* of all cores; NAN for the first one */
	uint64_t memory_used_bytes; /* without page cache */
	uint64_t memory_mib;        /* floor of the above */
	uint64_t storage_read_bytes, storage_write_bytes;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
	float rx_bytes_per_sec, tx_bytes_per_sec; /* NAN for the first one */
	uint64_t pids;
	int restarts;
	bool has_network, has_storage;
	bool sent;
};

/*
 * The window holds four reporting periods, as the reference agent's does, at the interval of the
 * ticks. Sets need two samples per period of 20 s; more make minimum and maximum sharper and cost
 * CPU: SAMPLER_INTERVAL_MS keeps 100 containers within half a percent of a core.
 */
enum { SAMPLER_INTERVAL_MS = 2000, SAMPLER_PERIOD_MS = 20000 };
size_t sampler_window(int64_t interval_ms); /* at most 80 */

struct sampler_params {
	int host_cpus;         /* logical; 100 % is all of them */
	size_t window;         /* samples kept per container, 2.. */
	const char *proc_root; /* NULL: /proc */
};

/*
 * Whether what goes through interface @name of a container is traffic of its own: not loopback, and not
 * the link by which tasks in mode awsvpc ask the agent.
 */
bool sampler_counts(const char *name, size_t len);

/* NULL when out of memory. */
struct sampler *sampler_new(const struct sampler_params *p);
struct sampler *sampler_free(struct sampler *s);
DEFINE_CLEANUP(struct sampler *, sampler_free)

/*
 * Opens the container's files, which stay open. One that is there already is replaced; if it counts
 * restarts, its samples stay and a later run adds to what the earlier ones used. -ENOENT: the control
 * group is gone.
 */
int sampler_add(struct sampler *s, const struct sampled_params *p, struct err *err);
void sampler_remove(struct sampler *s, const char *id);

/* Its run is over and the next may come: no samples are taken until sampler_add(). */
void sampler_hold(struct sampler *s, const char *id);

/* Takes one sample of every container; @mono_ns is the time now. Unreadable ones are skipped and counted. */
void sampler_tick(struct sampler *s, int64_t mono_ns);

/* The same of one container; unknown is fine. */
void sampler_sample(struct sampler *s, const char *id, int64_t mono_ns);

size_t sampler_count(const struct sampler *s);
const struct sampled *sampler_find(const struct sampler *s, const char *id);

/* Samples that could not be taken, of all containers since the start. */
uint64_t sampler_failures(const struct sampler *s);

/* The samples kept, oldest first; @i < sampled_count(). */
size_t sampled_count(const struct sampled *c);
const struct sample *sampled_at(const struct sampled *c, size_t i);

/* The newest sample; NULL when there is none yet. */
const struct sample *sampled_last(const struct sampled *c);
int64_t sampled_memory_limit_bytes(const struct sampled *c);
bool sampled_counts_restarts(const struct sampled *c);
int sampled_restarts(const struct sampled *c);
const struct sampled_past *sampled_past(const struct sampled *c);

/* Marks all samples of all containers as sent: after a successful collection round. */
void sampler_mark_sent(struct sampler *s);
