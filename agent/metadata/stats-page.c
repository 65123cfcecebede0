/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics. An answer is kept until the sampler has a newer sample of its container: however many
 * ask, its control group is read once per sample.
 */
#include "agent/metadata/pages.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "metrics/docker-stats.h"
#include "runtime/cgroup/cgroup.h"

struct stats_answer {
	struct stats_answer *next;
	char *id;        /* owned: the container's */
	char *text[2];   /* owned: versions 2 and 3, version 4; NULL: to be read */
	int64_t mono_ns; /* of the sample after which it was read */
};

static struct stats_answer *answer_free(struct stats_answer *a)
{
	if (!a)
		return NULL;
	free(a->text[0]);
	free(a->text[1]);
	free(a->id);
	free(a);
	return NULL;
}

struct stats_answer *stats_answers_free(struct stats_answer *list)
{
	for (struct stats_answer *next; list; list = next) {
		next = list->next;
		answer_free(list);
	}
	return NULL;
}

/* Containers that are sampled no longer need no answer. */
static void sweep(struct metadata *m)
{
	for (struct stats_answer **at = &m->stats; *at;) {
		struct stats_answer *a = *at;

		if (sampler_find(m->view->sampler, a->id)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		answer_free(a);
	}
}

/* The one of a container, made when there is none; NULL: out of memory. */
static struct stats_answer *find(struct metadata *m, const char *id)
{
	struct stats_answer *a = m->stats;

	while (a && strcmp(a->id, id) != 0)
		a = a->next;
	if (a)
		return a;
	sweep(m);
	a = calloc(1, sizeof(*a));
	if (!a || !(a->id = strdup(id)))
		return answer_free(a);
	a->next = m->stats;
	m->stats = a;
	return a;
}

static char *read_now(const struct metadata *m, const struct container *c,
		      const struct sampled *sampled, bool v4)
{
	const struct agent_view *v = m->view;
	_cleanup_(freep) char *memory = v->cgroup_dir(c, "memory"), *cpu = v->cgroup_dir(c, "cpu"),
			      *cpuacct = v->cgroup_dir(c, "cpuacct"),
			      *blkio = v->cgroup_dir(c, "blkio"), *pids = v->cgroup_dir(c, "pids");
	/* The host's own interfaces are not the container's. */
	bool has_network =
		c->network_mode == NETWORK_BRIDGE || c->network_mode == NETWORK_AWSVPC;
	struct docker_stats_params p = { .name = c->docker_name,
					 .id = c->id,
					 .memory_dir = memory,
					 .cpu_dir = cpu,
					 .cpuacct_dir = cpuacct,
					 .blkio_dir = blkio,
					 .pids_dir = pids,
					 .cgroup_v2 = cgroup_mode() == CGROUP_V2,
					 .pid = has_network ? c->pid : 0,
					 .sampled = sampled,
					 .rates = v4 };
	_cleanup_(json_decrefp) json_t *o = docker_stats_read(&p);

	return o ? json_to_text(o) : NULL;
}

const char *container_stats(struct metadata *m, const struct container *c, bool v4)
{
	const struct agent_view *v = m->view;
	const struct sampled *s;
	const struct sample *last;
	struct stats_answer *a;

	if (!v->sampler || c->known != CONTAINER_RUNNING || !v->cgroup_dir)
		return NULL;
	s = sampler_find(v->sampler, c->id);
	if (!s)
		return NULL;
	last = sampled_last(s);
	if (!last)
		return v4 ? "{}" : "null";
	a = find(m, c->id);
	if (!a)
		return NULL;
	if (a->mono_ns != last->mono_ns)
		for (size_t i = 0; i < ARRAY_SIZE(a->text); i++) {
			free(a->text[i]);
			a->text[i] = NULL;
		}
	a->mono_ns = last->mono_ns;
	if (!a->text[v4])
		a->text[v4] = read_now(m, c, s, v4);
	return a->text[v4];
}

char *task_stats(struct metadata *m, const struct task *t, bool v4)
{
	const char *between = "";
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	(void) fputc('{', f);
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];
		const char *one = *c->id ? container_stats(m, c, v4) : NULL;

		if (!*c->id)
			continue;
		(void) fprintf(f, "%s\"%s\":%s", between, c->id, one ? one : v4 ? "{}" : "null");
		between = ",";
	}
	(void) fputc('}', f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
