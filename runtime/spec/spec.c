/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spec/spec.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "runtime/seccomp/docker.h"
#include "runtime/seccomp/seccomp.h"
#include "runtime/spec/caps.h"
#include "runtime/spec/parts.h"

static const char *const masked[] = {
	"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
	"/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap",
};

static const char *const readonly[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static json_t *string_array(const char *const *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void) json_array_append_new(list, json_string(v[i]));
	return list;
}

/* Paths that a container asks for replace Docker's; nothing is masked in a privileged one. */
static int add_paths(json_t *l, const char *key, char *const *asked, const char *const *fallback,
		     size_t n, bool privileged, struct err *err)
{
	size_t n_asked = 0;

	for (; asked && asked[n_asked]; n_asked++)
		if (!spec_path_is_clean(asked[n_asked]))
			return err_set(err, EINVAL, "%s[%zu]: '%.100s' is no absolute path", key,
				       n_asked, asked[n_asked]);
	if (!asked && privileged)
		return 0;
	return json_object_set_new(l, key,
				   asked ? string_array((const char *const *) asked, n_asked)
					 : string_array(fallback, n)) < 0
		       ? err_set(err, ENOMEM, "%s", key)
		       : 0;
}

static int append_namespace(json_t *list, const char *type, enum spec_namespace_mode mode,
			    const char *path)
{
	json_t *ns;

	if (mode == SPEC_NS_HOST)
		return 0;
	ns = json_pack("{s:s}", "type", type);
	if (mode == SPEC_NS_PATH)
		(void) json_object_set_new(ns, "path", json_string(path));
	return json_array_append_new(list, ns);
}

static int build_namespaces(const struct container_spec *s, json_t **ret, struct err *err)
{
	json_auto_t *list = json_array();
	int k;

	if (s->netns == SPEC_NS_PATH && (!s->netns_path || *s->netns_path != '/'))
		return err_set(err, EINVAL, "netns_path: not an absolute path");
	if (s->pidns == SPEC_NS_PATH && (!s->pidns_path || *s->pidns_path != '/'))
		return err_set(err, EINVAL, "pidns_path: not an absolute path");
	if (s->ipcns == SPEC_NS_PATH && (!s->ipcns_path || *s->ipcns_path != '/'))
		return err_set(err, EINVAL, "ipcns_path: not an absolute path");
	k = append_namespace(list, "mount", SPEC_NS_PRIVATE, NULL) |
	    append_namespace(list, "uts", s->utsns, NULL) |
	    append_namespace(list, "pid", s->pidns, s->pidns_path) |
	    append_namespace(list, "ipc", s->ipcns, s->ipcns_path) |
	    append_namespace(list, "network", s->netns, s->netns_path) |
	    append_namespace(list, "cgroup", s->cgroupns, NULL);
	if (k < 0)
		return err_set(err, ENOMEM, "namespaces");
	*ret = TAKE_PTR(list);
	return 0;
}

static int add_seccomp(const struct container_spec *s, uint64_t caps, json_t *linux_part,
		       struct err *err)
{
	_cleanup_(freep) const char **names = NULL;
	struct seccomp_host host = seccomp_this_host();
	json_auto_t *profile = NULL;
	int k;

	if (s->unconfined_seccomp || (s->privileged && !s->seccomp_profile))
		return 0;
	names = caps_names(caps);
	if (!names)
		return err_set(err, ENOMEM, "seccomp");
	k = s->seccomp_profile ? seccomp_from_docker(s->seccomp_profile, (char *const *) names,
						     &host, &profile, err)
			       : seccomp_profile((char *const *) names, &profile, err);
	if (k < 0)
		return err_wrap(err, "seccomp");
	return json_object_set(linux_part, "seccomp", profile) < 0 ? err_set(err, ENOMEM, "seccomp")
								   : 0;
}

static int build_linux(const struct container_spec *s, uint64_t caps, json_t **ret, struct err *err)
{
	json_auto_t *l = json_object(), *namespaces = NULL, *nodes = NULL, *rules = NULL,
		    *resources = NULL, *sysctls = NULL;
	const char *propagation = spec_root_propagation(s);
	int k = build_namespaces(s, &namespaces, err);

	if (k == 0)
		k = spec_devices(s, &nodes, &rules, err);
	if (k == 0)
		k = spec_resources(s, rules, &resources, err);
	if (k == 0)
		k = spec_sysctls(s, &sysctls, err);
	if (k == 0)
		k = add_seccomp(s, caps, l, err);
	if (k < 0)
		return k;
	k = json_object_set(l, "namespaces", namespaces) | json_object_set(l, "devices", nodes) |
	    json_object_set(l, "resources", resources) | json_object_set(l, "sysctl", sysctls) |
	    json_object_set_new(l, "cgroupsPath", json_string(s->cgroups_path));
	if (k == 0 && propagation)
		k = json_object_set_new(l, "rootfsPropagation", json_string(propagation));
	if (k == 0 && s->mount_label)
		k = json_object_set_new(l, "mountLabel", json_string(s->mount_label));
	if (k < 0)
		return err_set(err, ENOMEM, "linux");
	k = add_paths(l, "maskedPaths", s->masked_paths, masked, ARRAY_SIZE(masked), s->privileged,
		      err);
	if (k == 0)
		k = add_paths(l, "readonlyPaths", s->readonly_paths, readonly, ARRAY_SIZE(readonly),
			      s->privileged, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(l);
	return 0;
}

static int add_annotations(const struct container_spec *s, json_t *spec, struct err *err)
{
	json_auto_t *o = json_object();

	for (size_t i = 0; i < s->n_annotations; i++)
		if (json_object_set_new(o, s->annotations[i].key,
					json_string(s->annotations[i].value)) < 0)
			return err_set(err, EINVAL, "annotations[%zu]: not valid UTF-8", i);
	if (s->n_annotations > 0 && json_object_set(spec, "annotations", o) < 0)
		return err_set(err, ENOMEM, "annotations");
	return 0;
}

static int add_hook(const char *path, json_t *spec)
{
	const char *slash = strrchr(path, '/');

	return json_object_set_new(
		spec, "hooks",
		json_pack("{s:[{s:s, s:[s, s], s:[s]}]}", "prestart", "path", path, "args",
			  slash ? slash + 1 : path, "prestart", "env",
			  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
}

static int check_paths(const struct container_spec *s, struct err *err)
{
	if (!s->rootfs || !spec_path_is_clean(s->rootfs))
		return err_set(err, EINVAL, "rootfs: not an absolute path");
	if (!s->cgroups_path || !spec_path_is_clean(s->cgroups_path))
		return err_set(err, EINVAL, "cgroups_path: not an absolute path");
	if (s->oom_score_adj < -1000 || s->oom_score_adj > 1000)
		return err_set(err, EINVAL, "oom_score_adj: %d is outside -1000..1000",
			       s->oom_score_adj);
	return 0;
}

static int resolve_caps(const struct container_spec *s, uint64_t *ret, struct err *err)
{
	static char all[] = "ALL";
	char *const everything[] = { all, NULL };
	/* The bounding set is only asked for when it matters: it costs a read of /proc. */
	bool whole = s->privileged;

	for (size_t i = 0; s->cap_add && s->cap_add[i]; i++)
		whole = whole || strcasecmp(s->cap_add[i], "ALL") == 0;
	return caps_resolve(s->privileged ? everything : s->cap_add,
			    s->privileged ? NULL : s->cap_drop, whole ? caps_bounding() : 0, ret,
			    err);
}

int spec_build(const struct container_spec *s, json_t **ret, struct err *err)
{
	json_auto_t *spec = NULL, *process = NULL, *mounts = NULL, *linux_part = NULL;
	uint64_t caps = 0;
	int k = check_paths(s, err);

	if (k == 0)
		k = resolve_caps(s, &caps, err);
	if (k == 0)
		k = spec_process(s, caps, &process, err);
	if (k == 0)
		k = spec_mounts(s, &mounts, err);
	if (k == 0)
		k = build_linux(s, caps, &linux_part, err);
	if (k < 0)
		return err_wrap(err, "config.json");
	spec = json_pack("{s:s, s:O, s:{s:s, s:b}, s:O, s:O}", "ociVersion", "1.0.2", "process",
			 process, "root", "path", s->rootfs, "readonly", s->readonly_rootfs,
			 "mounts", mounts, "linux", linux_part);
	if (!spec)
		return err_set(err, ENOMEM, "config.json");
	if (s->hostname && s->utsns != SPEC_NS_HOST &&
	    json_object_set_new(spec, "hostname", json_string(s->hostname)) < 0)
		return err_set(err, EINVAL, "config.json: hostname: not valid UTF-8");
	if (s->prestart_hook && add_hook(s->prestart_hook, spec) < 0)
		return err_set(err, ENOMEM, "config.json: hooks");
	k = add_annotations(s, spec, err);
	if (k < 0)
		return err_wrap(err, "config.json");
	*ret = TAKE_PTR(spec);
	return 0;
}
