/* SPDX-License-Identifier: Apache-2.0 */
/* docker-options: from what was decoded to the specification of the container. */
#include "agent/engine/docker-options.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/engine/task.h"

enum { PERIOD_DEFAULT_USEC = 100000 };

struct docker_scratch {
	struct spec_device *devices;
	struct spec_block_rate *rates;
	struct json_pair *annotations; /* strings borrowed */
	char *process_label, *mount_label;
};

struct docker_scratch *docker_scratch_free(struct docker_scratch *x)
{
	if (!x)
		return NULL;
	free(x->devices);
	free(x->rates);
	free(x->annotations);
	free(x->process_label);
	free(x->mount_label);
	free(x);
	return NULL;
}

static const char *text_or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static void apply_devices(const struct docker_options *o, struct docker_scratch *x,
			  struct container_spec *s)
{
	for (size_t i = 0; i < o->n_devices; i++)
		x->devices[i] = (struct spec_device){ o->devices[i].host_path,
						      text_or_null(o->devices[i].container_path),
						      text_or_null(o->devices[i].permissions) };
	s->devices = x->devices;
	s->n_devices = o->n_devices;
	s->device_rules = o->device_rules;
}

static void apply_block_rates(const struct docker_options *o, struct docker_scratch *x,
			      struct container_spec *s)
{
	s->block_rates = x->rates;
	for (enum spec_block_limit l = 0; l < _SPEC_BLOCK_MAX; l++)
		for (size_t i = 0; i < o->block_rates[l].n; i++)
			x->rates[s->n_block_rates++] =
				(struct spec_block_rate){ l, o->block_rates[l].items[i].path,
							  o->block_rates[l].items[i].value };
	s->block_weight = o->block_weight;
}

/* Labels come first: an annotation of the same name is the later word. */
static void apply_annotations(const struct container *c, struct docker_scratch *x,
			      struct container_spec *s)
{
	s->annotations = x->annotations;
	for (size_t i = 0; i < c->n_labels; i++)
		x->annotations[s->n_annotations++] = c->labels[i];
	for (size_t i = 0; i < c->docker.n_annotations; i++)
		x->annotations[s->n_annotations++] = c->docker.annotations[i];
}

static enum spec_namespace_mode spec_mode(enum namespace_mode m)
{
	return m == NAMESPACE_HOST ? SPEC_NS_HOST : SPEC_NS_PRIVATE;
}

/* A cgroup namespace of its own is Docker's default where there is but one hierarchy. */
static void apply_namespaces(const struct docker_options *o, struct container_spec *s)
{
	bool host_cgroups =
		o->cgroupns == NAMESPACE_DEFAULT ? !s->cgroup_v2 : o->cgroupns == NAMESPACE_HOST;

	s->pidns = spec_mode(o->pid);
	s->ipcns = spec_mode(o->ipc);
	s->utsns = spec_mode(o->uts);
	s->cgroupns = host_cgroups ? SPEC_NS_HOST : SPEC_NS_PRIVATE;
	s->no_shm = o->ipc == NAMESPACE_NONE;
}

/* On cgroup v1 a group cannot have more than the one above it, and the kernel does not say so. */
static int check_quota(const struct container *c, const struct container_spec *s, struct err *err)
{
	const struct docker_options *o = &c->docker;
	double cpus = (double) o->cpu_quota_usec /
		      (double) (o->cpu_period_usec ? o->cpu_period_usec : PERIOD_DEFAULT_USEC);

	if (s->cgroup_v2 || c->task->cpu <= 0 || cpus <= c->task->cpu)
		return 0;
	return err_set(err, EINVAL, "CpuQuota, NanoCpus: %.2f CPUs are more than the task's %.2f",
		       cpus, c->task->cpu);
}

int docker_options_apply(const struct container *c, struct container_spec *s,
			 struct docker_scratch **ret_scratch, struct err *err)
{
	const struct docker_options *o = &c->docker;
	struct docker_scratch *x;
	size_t n_rates = 0;
	int k = check_quota(c, s, err);

	if (k < 0)
		return k;
	x = calloc(1, sizeof(*x));
	for (size_t l = 0; l < _SPEC_BLOCK_MAX; l++)
		n_rates += o->block_rates[l].n;
	if (x) {
		x->devices = calloc(o->n_devices + 1, sizeof(*x->devices));
		x->rates = calloc(n_rates + 1, sizeof(*x->rates));
		x->annotations =
			calloc(c->n_labels + o->n_annotations + 1, sizeof(*x->annotations));
	}
	if (!x || !x->devices || !x->rates || !x->annotations) {
		(void) docker_scratch_free(x);
		return err_set(err, ENOMEM, "lay options over the specification");
	}
	if (access("/sys/fs/selinux/enforce", F_OK) == 0 && !c->privileged &&
	    docker_selinux_labels(o->selinux_options, &x->process_label, &x->mount_label) < 0) {
		(void) docker_scratch_free(x);
		return err_set(err, ENOMEM, "make labels");
	}
	s->selinux_label = x->process_label;
	s->mount_label = x->mount_label;
	apply_devices(o, x, s);
	apply_block_rates(o, x, s);
	apply_annotations(c, x, s);
	apply_namespaces(o, s);
	s->tmpfs = o->tmpfs;
	s->n_tmpfs = o->n_tmpfs;
	s->masked_paths = o->masked_paths;
	s->readonly_paths = o->readonly_paths;
	s->cpuset_cpus = text_or_null(o->cpuset_cpus);
	s->cpuset_mems = text_or_null(o->cpuset_mems);
	s->cpu_quota_usec = o->cpu_quota_usec;
	s->cpu_period_usec = o->cpu_period_usec;
	s->oom_kill_disable = o->oom_kill_disable;
	s->apparmor_profile = o->apparmor_profile;
	s->seccomp_profile = o->seccomp_profile;
	*ret_scratch = x;
	return 0;
}
