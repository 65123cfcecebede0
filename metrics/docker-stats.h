/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-stats - what a container uses, in the JSON that Docker's API answers /stats with.
 * It is read when it is asked for, a dozen small files; the sampler has what was before.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "metrics/sampler.h"

struct docker_stats_params {
	const char *name, *id;
	/* the container's groups; on v2 all the same; NULL: not there */
	const char *memory_dir, *cpu_dir, *cpuacct_dir, *blkio_dir, *pids_dir;
	bool cgroup_v2;
	pid_t pid;                     /* whose /proc/<pid>/net/dev is meant; 0: no networks */
	const struct sampled *sampled; /* NULL: nothing was before */
	bool rates;                    /* network_rate_stats, which only metadata v4 has */
	const char *proc_root;         /* NULL: /proc */
};

/* A new object; NULL: the group is gone, or out of memory. */
json_t *docker_stats_read(const struct docker_stats_params *p);
