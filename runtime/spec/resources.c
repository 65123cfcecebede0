/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/spec/parts.h"

/* Swap accounting may be off on the kernel's command line; a limit would then fail the start. */
static bool can_limit_swap(const struct container_spec *s)
{
	_cleanup_(freep) char *path = NULL;
	const char *slash = s->cgroups_path ? strrchr(s->cgroups_path, '/') : NULL;

	if (!s->cgroup_v2)
		return access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0;
	if (!slash)
		return false;
	path = path_join("/sys/fs/cgroup%.*s/memory.swap.max", (int) (slash - s->cgroups_path),
			 s->cgroups_path);
	return path && access(path, F_OK) == 0;
}

static int check_memory(const struct container_spec *s, struct err *err)
{
	if (s->memory_limit_bytes < 0 || s->memory_reservation_bytes < 0)
		return err_set(err, EINVAL, "memory: negative");
	if (s->memory_limit_bytes > 0 && s->memory_reservation_bytes > s->memory_limit_bytes)
		return err_set(
			err, EINVAL, "memoryReservation: %lld is above the memory limit %lld",
			(long long) s->memory_reservation_bytes, (long long) s->memory_limit_bytes);
	if (s->memory_swap_bytes > 0 && s->memory_swap_bytes < s->memory_limit_bytes)
		return err_set(err, EINVAL, "memorySwap: %lld is below the memory limit %lld",
			       (long long) s->memory_swap_bytes, (long long) s->memory_limit_bytes);
	if (s->memory_swap_bytes > 0 && s->memory_limit_bytes == 0)
		return err_set(err, EINVAL, "memorySwap: there is no memory limit beside it");
	if (s->oom_kill_disable && s->cgroup_v2)
		return err_set(err, EINVAL, "oomKillDisable: cgroup v2 has no such switch");
	if (s->memory_swap_bytes < -1 || s->swappiness < -1 || s->swappiness > 100)
		return err_set(err, EINVAL, "memorySwap, swappiness: outside -1.., -1..100");
	return 0;
}

static void set_integer(json_t *obj, const char *key, int64_t value)
{
	(void) json_object_set_new(obj, key, json_integer(value));
}

static json_t *build_memory(const struct container_spec *s)
{
	json_t *m = json_object();

	if (s->memory_limit_bytes > 0)
		set_integer(m, "limit", s->memory_limit_bytes);
	if (s->memory_reservation_bytes > 0)
		set_integer(m, "reservation", s->memory_reservation_bytes);
	if (s->memory_limit_bytes > 0 &&
	    can_limit_swap(s)) /* as much swap as memory, as in Docker */
		set_integer(m, "swap",
			    s->memory_swap_bytes ? s->memory_swap_bytes
						 : 2 * s->memory_limit_bytes);
	if (s->swappiness >= 0 && !s->cgroup_v2)
		set_integer(m, "swappiness", s->swappiness);
	if (s->oom_kill_disable)
		(void) json_object_set_new(m, "disableOOMKiller", json_true());
	return m;
}

int spec_resources(const struct container_spec *s, json_t *rules, json_t **ret, struct err *err)
{
	json_auto_t *r = json_pack("{s:O}", "devices", rules), *memory = NULL;
	int k = check_memory(s, err);

	if (k < 0)
		return k;
	if (s->pids_limit < 0)
		return err_set(err, EINVAL, "pidsLimit: negative");
	memory = build_memory(s);
	if (!r || !memory)
		return err_set(err, ENOMEM, "resources");
	if (json_object_size(memory) > 0)
		(void) json_object_set(r, "memory", memory);
	k = spec_cpu(s, r, err);
	if (k == 0)
		k = spec_block_io(s, r, err);
	if (k < 0)
		return k;
	if (s->pids_limit > 0)
		(void) json_object_set_new(r, "pids",
					   json_pack("{s:I}", "limit", (json_int_t) s->pids_limit));
	*ret = TAKE_PTR(r);
	return 0;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Only what belongs to a namespace of the container: anything else would change the host. */
static bool may_set(const struct container_spec *s, const char *key)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",
					   "kernel.msgmni", "kernel.sem",
					   "kernel.shmall", "kernel.shmmax",
					   "kernel.shmmni", "kernel.shm_rmid_forced" };

	if (strstr(key, "..") || strchr(key, '/'))
		return false;
	if (starts_with(key, "net."))
		return s->netns != SPEC_NS_HOST;
	if (strcmp(key, "kernel.domainname") == 0)
		return s->utsns != SPEC_NS_HOST;
	if (s->ipcns == SPEC_NS_HOST)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
		if (strcmp(key, ipc[i]) == 0)
			return true;
	return starts_with(key, "fs.mqueue.");
}

/* Docker's own: no capability is needed for low ports and ping. */
static int set_default_sysctls(const struct container_spec *s, json_t *to)
{
	int k = 0;

	if (s->netns != SPEC_NS_HOST &&
	    access("/proc/sys/net/ipv4/ip_unprivileged_port_start", F_OK) == 0)
		k = json_object_set_new(to, "net.ipv4.ip_unprivileged_port_start",
					json_string("0"));
	if (k == 0 && s->netns != SPEC_NS_HOST &&
	    access("/proc/sys/net/ipv4/ping_group_range", F_OK) == 0)
		k = json_object_set_new(to, "net.ipv4.ping_group_range",
					json_string("0 2147483647"));
	if (k == 0 && s->domainname && *s->domainname && s->utsns != SPEC_NS_HOST)
		k = json_object_set_new(to, "kernel.domainname", json_string(s->domainname));
	return k;
}

int spec_sysctls(const struct container_spec *s, json_t **ret, struct err *err)
{
	json_auto_t *o = json_object();

	if (!o || set_default_sysctls(s, o) < 0)
		return err_set(err, ENOMEM, "sysctls");
	for (size_t i = 0; i < s->n_sysctls; i++) {
		const struct json_pair *p = &s->sysctls[i];

		if (!p->key || !p->value || !may_set(s, p->key))
			return err_set(
				err, EINVAL,
				"systemControls[%zu]: '%s' is not of this container's namespaces",
				i, p->key ? p->key : "");
		if (json_object_set_new(o, p->key, json_string(p->value)) < 0)
			return err_set(err, EINVAL, "systemControls[%zu]: not valid UTF-8", i);
	}
	*ret = TAKE_PTR(o);
	return 0;
}
