/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/docker-options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/holder.h"
#include "agent/engine/payload.h"
#include "common/strv.h"

enum { DEVICES_MAX = 256, RATES_MAX = 256, TMPFS_MAX = 100, PERIOD_DEFAULT_USEC = 100000 };

static const int64_t NANO = 1000000000;

/* ---- devices ---- */

static const struct json_field device_fields[] = {
	{ "PathOnHost", json_decode_string, offsetof(struct device_wish, host_path), true },
	{ "PathInContainer", json_decode_string, offsetof(struct device_wish, container_path),
	  false },
	{ "CgroupPermissions", json_decode_string, offsetof(struct device_wish, permissions),
	  false },
	{}
};

static void device_done(void *element)
{
	struct device_wish *d = element;

	free(d->host_path);
	free(d->container_path);
	free(d->permissions);
}

static const struct json_array device_array = {
	.size = sizeof(struct device_wish),
	.fields = device_fields,
	.done = device_done,
	.max = DEVICES_MAX,
};

static const struct json_field weight_fields[] = {
	{ "Path", json_decode_string, offsetof(struct block_rate, path), true },
	{ "Weight", json_decode_i64, offsetof(struct block_rate, value), false, NULL, 0, 1000 },
	{}
};

static const struct json_field rate_fields[] = {
	{ "Path", json_decode_string, offsetof(struct block_rate, path), true },
	{ "Rate", json_decode_i64, offsetof(struct block_rate, value), false, NULL, 0, INT64_MAX },
	{}
};

static void rate_done(void *element)
{
	free(((struct block_rate *) element)->path);
}

static const struct json_array weight_array = {
	.size = sizeof(struct block_rate),
	.fields = weight_fields,
	.done = rate_done,
	.max = RATES_MAX,
};

static const struct json_array rate_array = {
	.size = sizeof(struct block_rate),
	.fields = rate_fields,
	.done = rate_done,
	.max = RATES_MAX,
};

/* ---- tmpfs ---- */

static bool is_one_of(const char *text, size_t n, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == n && memcmp(*names, text, n) == 0)
			return true;
	return false;
}

/* The options that ECS lists for linuxParameters.tmpfs. */
static int check_tmpfs_option(const char *p, size_t n, struct err *err)
{
	static const char *const flags[] = {
		"defaults", "ro",       "rw",         "suid",        "nosuid",
		"dev",      "nodev",    "exec",       "noexec",      "sync",
		"async",    "dirsync",  "mand",       "nomand",      "atime",
		"noatime",  "diratime", "nodiratime", "unbindable",  "runbindable",
		"private",  "rprivate", "shared",     "rshared",     "slave",
		"rslave",   "relatime", "norelatime", "strictatime", "nostrictatime",
		NULL,
	};
	static const char *const values[] = { "size",      "mode",      "uid",  "gid",
					      "nr_inodes", "nr_blocks", "mpol", NULL };
	static const char *const senseless[] = { "bind", "rbind", "remount", NULL };
	const char *eq = memchr(p, '=', n);

	if (is_one_of(p, n, senseless))
		return err_set(err, ENOTSUP, "'%.*s' makes no sense for a new tmpfs", (int) n, p);
	if (eq ? is_one_of(p, (size_t) (eq - p), values) && eq < p + n - 1
	       : n == 0 || is_one_of(p, n, flags))
		return 0;
	return err_set(err, EPROTO, "invalid tmpfs option '%.*s'", (int) MIN(n, (size_t) 64), p);
}

static int check_tmpfs_options(const char *options, struct err *err)
{
	for (const char *p = options; *p; p += *p == ',') {
		size_t n = strcspn(p, ",");

		if (check_tmpfs_option(p, n, err) < 0)
			return -err->code;
		p += n;
	}
	return 0;
}

/* Docker's defaults stand first, so that what is asked for overrules them. */
static int complete_tmpfs(struct json_pair *p, struct err *err)
{
	char *text = NULL;

	if (*p->key != '/')
		return err_set(err, EPROTO, "'%.100s' is not absolute", p->key);
	if (check_tmpfs_options(p->value, err) < 0)
		return err_wrap(err, "%.100s", p->key);
	if (asprintf(&text, "noexec,nosuid,nodev%s%s", *p->value ? "," : "", p->value) < 0)
		return err_set(err, ENOMEM, "copy options");
	free(p->value);
	p->value = text;
	return 0;
}

static int decode_tmpfs(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct pairs {
		struct json_pair *items;
		size_t n;
	} *to = dst;
	_cleanup_(err_done) struct err mine = {};
	int k = json_decode_pairs(value, dst, f, err);

	if (k < 0)
		return k;
	if (to->n > TMPFS_MAX)
		return err_set(err, EPROTO, "has %zu entries, at most %d are taken", to->n,
			       TMPFS_MAX);
	for (size_t i = 0; i < to->n; i++)
		if (complete_tmpfs(&to->items[i], &mine) < 0)
			return err_move(err, &mine);
	return 0;
}

/* ---- namespaces ---- */

struct mode_name {
	const char *text;
	enum namespace_mode mode;
};

static const struct mode_name pid_modes[] = {
	{ "", NAMESPACE_DEFAULT }, { "private", NAMESPACE_PRIVATE }, { "host", NAMESPACE_HOST }, {}
};

/* Shareable means that others may ask to join; here only the containers of a task can. */
static const struct mode_name ipc_modes[] = {
	{ "", NAMESPACE_DEFAULT },  { "private", NAMESPACE_PRIVATE },
	{ "host", NAMESPACE_HOST }, { "shareable", NAMESPACE_PRIVATE },
	{ "none", NAMESPACE_NONE }, {}
};

static const struct mode_name task_modes[] = { { "", NAMESPACE_DEFAULT },
					       { "host", NAMESPACE_HOST },
					       { "task", NAMESPACE_TASK },
					       { "none", NAMESPACE_NONE },
					       {} };

static const struct mode_name *find_mode(const struct mode_name *m, const char *text)
{
	for (; m->text; m++)
		if (text && strcmp(m->text, text) == 0)
			return m;
	return NULL;
}

static int decode_mode(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *s = json_string_value(value);
	const struct mode_name *m = find_mode(f->arg, s);

	if (s && strncmp(s, "container:", 10) == 0)
		return err_set(
			err, ENOTSUP,
			"'%.64s': no other container can be named; pidMode and ipcMode 'task' "
			"of the task definition share one",
			s);
	if (!m)
		return err_set(err, EPROTO, "'%.64s' is no mode", s ? s : "(no string)");
	*(enum namespace_mode *) dst = m->mode;
	return 0;
}

static int decode_task_mode(const json_t *value, bool with_none, enum namespace_mode *ret,
			    struct err *err)
{
	const char *text = json_string_value(value);
	const struct mode_name *m = find_mode(task_modes, text);

	if (!m || (m->mode == NAMESPACE_NONE && !with_none))
		return err_set(err, EPROTO, "'%.32s' is none of host, task%s",
			       text ? text : "(no string)", with_none ? ", none" : "");
	*ret = m->mode;
	return 0;
}

int docker_decode_pid_mode(const json_t *value, void *dst, const struct json_field *f,
			   struct err *err)
{
	(void) f;
	return decode_task_mode(value, false, dst, err);
}

int docker_decode_ipc_mode(const json_t *value, void *dst, const struct json_field *f,
			   struct err *err)
{
	(void) f;
	return decode_task_mode(value, true, dst, err);
}

static int decode_userns(const json_t *value, void *dst, const struct json_field *f,
			 struct err *err)
{
	const char *s = json_string_value(value);

	(void) dst, (void) f;
	if (s && (!*s || strcmp(s, "host") == 0))
		return 0;
	return err_set(err, ENOTSUP, "'%.64s': containers are in the user namespace of the host",
		       s ? s : "(no string)");
}

static int decode_runtime(const json_t *value, void *dst, const struct json_field *f,
			  struct err *err)
{
	const char *s = json_string_value(value);

	(void) dst, (void) f;
	if (s && (!*s || strcmp(s, "runc") == 0 || strcmp(s, "io.containerd.runc.v2") == 0))
		return 0;
	return err_set(err, ENOTSUP, "'%.64s' is no runtime of this host; there is runc",
		       s ? s : "(no string)");
}

/* Said by Docker clients, without meaning where an agent starts, groups and cleans up. */
static int decode_nothing(const json_t *value, void *dst, const struct json_field *f,
			  struct err *err)
{
	(void) value, (void) dst, (void) f, (void) err;
	return 0;
}

#define O(member) offsetof(struct container, docker.member)

const struct json_field docker_host_fields[] = {
	{ "Devices", json_decode_array, O(devices), false, &device_array },
	{ "DeviceCgroupRules", json_decode_strv, O(device_rules), false },
	{ "Tmpfs", decode_tmpfs, O(tmpfs), false },
	{ "PidMode", decode_mode, O(pid), false, pid_modes },
	{ "IpcMode", decode_mode, O(ipc), false, ipc_modes },
	{ "UTSMode", decode_mode, O(uts), false, pid_modes },
	{ "CgroupnsMode", decode_mode, O(cgroupns), false, pid_modes },
	{ "UsernsMode", decode_userns, 0, false },
	{ "MaskedPaths", json_decode_strv, O(masked_paths), false },
	{ "ReadonlyPaths", json_decode_strv, O(readonly_paths), false },
	{ "CpusetCpus", json_decode_string, O(cpuset_cpus), false },
	{ "CpusetMems", json_decode_string, O(cpuset_mems), false },
	{ "CpuQuota", json_decode_i64, O(cpu_quota_usec), false, NULL, -1, INT64_MAX / 2 },
	{ "CpuPeriod", json_decode_i64, O(cpu_period_usec), false, NULL, 0, 1000000 },
	{ "NanoCpus", json_decode_i64, O(nano_cpus), false, NULL, 0, INT64_MAX / 2 },
	{ "BlkioWeight", json_decode_int, O(block_weight), false, NULL, 0, 1000 },
	{ "BlkioWeightDevice", json_decode_array, O(block_rates[SPEC_BLOCK_WEIGHT]), false,
	  &weight_array },
	{ "BlkioDeviceReadBps", json_decode_array, O(block_rates[SPEC_BLOCK_READ_BPS]), false,
	  &rate_array },
	{ "BlkioDeviceWriteBps", json_decode_array, O(block_rates[SPEC_BLOCK_WRITE_BPS]), false,
	  &rate_array },
	{ "BlkioDeviceReadIOps", json_decode_array, O(block_rates[SPEC_BLOCK_READ_IOPS]), false,
	  &rate_array },
	{ "BlkioDeviceWriteIOps", json_decode_array, O(block_rates[SPEC_BLOCK_WRITE_IOPS]), false,
	  &rate_array },
	{ "OomKillDisable", json_decode_bool, O(oom_kill_disable), false },
	{ "Annotations", json_decode_pairs, O(annotations), false },
	{ "PortBindings", payload_decode_port_bindings, 0, false },
	{ "Runtime", decode_runtime, 0, false },
	{ "CgroupParent", decode_nothing, 0, false }, /* the agent's own: the task's group */
	{ "AutoRemove", decode_nothing, 0, false },   /* what stopped is cleaned up anyway */
	{}
};

const struct json_field docker_config_fields[] = {
	{ "NetworkDisabled", json_decode_bool, O(network_disabled), false },
	{ "OnBuild", decode_nothing, 0, false }, /* of docker build */
	{}
};

/* ---- what contradicts itself ---- */

static int settle_cpu(struct docker_options *o, struct err *err)
{
	if (o->nano_cpus == 0)
		return 0;
	if (o->cpu_quota_usec != 0 || o->cpu_period_usec != 0)
		return err_set(err, EPROTO,
			       "NanoCpus: stands beside CpuQuota or CpuPeriod, which say the same");
	o->cpu_period_usec = PERIOD_DEFAULT_USEC;
	o->cpu_quota_usec = (int64_t) ((double) o->nano_cpus / (double) NANO * PERIOD_DEFAULT_USEC);
	if (o->cpu_quota_usec < PERIOD_DEFAULT_USEC / 100)
		return err_set(err, EPROTO, "NanoCpus: %" PRId64 " is below 0.01 CPU",
			       o->nano_cpus);
	return 0;
}

int docker_options_settle(struct container *c, struct err *err)
{
	struct docker_options *o = &c->docker;

	if (o->uts == NAMESPACE_HOST &&
	    ((c->hostname && *c->hostname) || (c->domainname && *c->domainname)))
		return err_set(err, EPROTO,
			       "UTSMode: 'host' and a hostname or domainname exclude each other");
	if (o->pid == NAMESPACE_NONE || o->uts == NAMESPACE_NONE)
		return err_set(err, EPROTO, "PidMode, UTSMode: 'none' is of IpcMode only");
	return settle_cpu(o, err);
}

/* What tools look for on every container of ECS; a user's own of these names are overwritten. */
static int add_labels(struct container *c, const struct task *t, struct err *err)
{
	const char *slash = t->cluster_arn ? strrchr(t->cluster_arn, '/') : NULL;
	const struct {
		const char *key, *value;
	} labels[] = {
		{ "com.amazonaws.ecs.cluster", slash ? slash + 1 : t->cluster_arn },
		{ "com.amazonaws.ecs.container-name", c->name },
		{ "com.amazonaws.ecs.task-arn", t->arn },
		{ "com.amazonaws.ecs.task-definition-family", t->family },
		{ "com.amazonaws.ecs.task-definition-version", t->version },
	};

	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (payload_pairs_set(&c->labels, labels[i].key,
				      labels[i].value ? labels[i].value : "") < 0)
			return err_set(err, ENOMEM, "label container '%s'", c->name);
	return 0;
}

int docker_settle_task(struct task *t, struct err *err)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		if (t->pid_mode != NAMESPACE_DEFAULT)
			c->docker.pid = t->pid_mode;
		if (t->ipc_mode != NAMESPACE_DEFAULT)
			c->docker.ipc = t->ipc_mode;
		if (c->links && *c->links && c->network_mode != NETWORK_BRIDGE)
			return err_set(err, ENOTSUP,
				       "containers[%zu]: links: there are none in network mode %s",
				       i, network_mode_name(c->network_mode));
		if (c->docker.network_disabled) {
			c->network_mode = NETWORK_NONE;
			c->n_ports = 0;
		}
		if (payload_settle_ports(c, err) < 0)
			return err_wrap(err, "containers[%zu]", i);
		if (add_labels(c, t, err) < 0)
			return -ENOMEM;
	}
	return holder_add(t, err);
}

void docker_options_done(struct docker_options *o)
{
	for (size_t i = 0; i < o->n_devices; i++)
		device_done(&o->devices[i]);
	free(o->devices);
	for (size_t l = 0; l < _SPEC_BLOCK_MAX; l++) {
		for (size_t i = 0; i < o->block_rates[l].n; i++)
			rate_done(&o->block_rates[l].items[i]);
		free(o->block_rates[l].items);
	}
	json_pairs_free(o->tmpfs, o->n_tmpfs);
	json_pairs_free(o->annotations, o->n_annotations);
	(void) strv_free(o->device_rules);
	(void) strv_free(o->masked_paths);
	(void) strv_free(o->readonly_paths);
	(void) strv_free(o->selinux_options);
	(void) strv_free(o->gpus);
	free(o->cpuset_cpus);
	free(o->cpuset_mems);
	free(o->apparmor_profile);
	free(o->seccomp_profile);
	*o = (struct docker_options){};
}
