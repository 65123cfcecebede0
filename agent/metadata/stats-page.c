/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/pages.h"

#include "metrics/docker-stats.h"
#include "runtime/cgroup/cgroup.h"

json_t *container_stats(const struct metadata *m, const struct container *c, bool v4)
{
	const struct agent_view *v = m->view;
	_cleanup_(freep) char *memory = NULL, *cpu = NULL, *cpuacct = NULL, *blkio = NULL,
			      *pids = NULL;
	struct docker_stats_params p = { .name = c->docker_name,
					 .id = c->id,
					 .cgroup_v2 = cgroup_mode() == CGROUP_V2,
					 .rates = v4 };

	if (!v->sampler || c->known != CONTAINER_RUNNING || !v->cgroup_dir)
		return NULL;
	p.memory_dir = memory = v->cgroup_dir(c, "memory");
	p.cpu_dir = cpu = v->cgroup_dir(c, "cpu");
	p.cpuacct_dir = cpuacct = v->cgroup_dir(c, "cpuacct");
	p.blkio_dir = blkio = v->cgroup_dir(c, "blkio");
	p.pids_dir = pids = v->cgroup_dir(c, "pids");
	p.sampled = sampler_find(v->sampler, c->id);
	/* The host's own interfaces are not the container's. */
	if (c->network_mode != NETWORK_HOST)
		p.pid = c->pid;
	return docker_stats_read(&p);
}

json_t *task_stats(const struct metadata *m, const struct task *t, bool v4)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];
		json_t *one = *c->id ? container_stats(m, c, v4) : NULL;

		if (*c->id)
			(void) json_object_set_new(o, c->id,
						   one  ? one
						   : v4 ? json_object()
							: json_null());
	}
	return o;
}
