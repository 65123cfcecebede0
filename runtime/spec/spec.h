/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec - the OCI runtime config.json of one container, built from scratch each time.
 * Takes plain values that are already merged and resolved (image configuration, payload, defaults)
 * and knows nothing of ECS. Nothing is shared between two specs.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/json.h"

struct spec_rlimit {
	const char *name; /* "nofile": the Docker spelling, without RLIMIT_ */
	uint64_t soft, hard;
};

struct spec_mount {
	const char *source;      /* absolute host path, or the name for a pseudo file system */
	const char *destination; /* absolute, inside the container */
	const char *type;        /* "bind", "tmpfs", … */
	const char *options;     /* comma-separated: "rbind,ro" */
};

struct spec_device {
	const char *host_path, *container_path, *permissions; /* permissions: of "rwm" */
};

enum spec_namespace_mode { SPEC_NS_PRIVATE, SPEC_NS_HOST, SPEC_NS_PATH };

enum spec_block_limit {
	SPEC_BLOCK_WEIGHT, /* 10..1000 */
	SPEC_BLOCK_READ_BPS,
	SPEC_BLOCK_WRITE_BPS,
	SPEC_BLOCK_READ_IOPS,
	SPEC_BLOCK_WRITE_IOPS,
	_SPEC_BLOCK_MAX
};

struct spec_block_rate {
	enum spec_block_limit limit;
	const char *path; /* of the block device on the host */
	int64_t value;
};

struct container_spec {    /* all pointers borrowed */
	char *const *args; /* at least one */
	char *const *env;  /* KEY=value */
	const char *cwd;   /* absolute; NULL: "/" */
	uid_t uid;
	gid_t gid;
	const gid_t *additional_gids;
	size_t n_additional_gids;
	const char *rootfs; /* absolute path of the mounted root */
	bool readonly_rootfs;
	const char *hostname, *domainname; /* NULL: none set */
	bool terminal;
	bool privileged;
	bool no_new_privileges;
	char *const *cap_add,
		*const *cap_drop; /* "NET_ADMIN", "CAP_NET_ADMIN" or "ALL"; any case */
	const struct spec_rlimit *rlimits;
	size_t n_rlimits;
	const struct spec_mount *mounts; /* after the standard ones: /proc /dev /sys … */
	size_t n_mounts;
	const struct spec_device *devices;
	size_t n_devices;
	char *const *device_rules;     /* "c 10:* rw", as Docker's --device-cgroup-rule */
	const struct json_pair *tmpfs; /* path -> options */
	size_t n_tmpfs;
	char *const *masked_paths, *const *readonly_paths; /* NULL: Docker's */
	const struct json_pair *sysctls;
	size_t n_sysctls;
	const struct json_pair *annotations;
	size_t n_annotations;
	const char *netns_path;         /* SPEC_NS_PATH: bound network namespace */
	enum spec_namespace_mode netns; /* PRIVATE: an empty one of its own (ECS "none") */
	enum spec_namespace_mode pidns, ipcns, utsns, cgroupns;
	const char *pidns_path, *ipcns_path; /* SPEC_NS_PATH: of a process that holds it */
	const char *shm_path;                /* host directory for /dev/shm; NULL: one of its own */
	bool no_shm;                         /* no /dev/shm at all (ipcMode none) */
	const char *cgroups_path;            /* as runc takes it: "/ecs/<task>/<container>" */
	bool cgroup_v2;
	int64_t memory_limit_bytes; /* 0: none */
	int64_t memory_reservation_bytes;
	int64_t memory_swap_bytes; /* memory + swap; 0: engine default, -1: unlimited */
	int swappiness;            /* -1: kernel default */
	bool oom_kill_disable;     /* cgroup v1 only */
	int64_t cpu_shares;        /* 2..262144 */
	int64_t cpu_quota_usec, cpu_period_usec; /* 0: none, the kernel's */
	const char *cpuset_cpus, *cpuset_mems;   /* "0-2,4"; NULL: all */
	int block_weight;                        /* 10..1000; 0: none */
	const struct spec_block_rate *block_rates;
	size_t n_block_rates;
	int64_t pids_limit;     /* 0: none */
	int64_t shm_size_bytes; /* 0: 64 MiB */
	int oom_score_adj;
	bool unconfined_seccomp; /* privileged containers are, too, unless they bring a profile */
	const char *seccomp_profile; /* in Docker's format; NULL: our own */
	const char
		*prestart_hook; /* called with "prestart" before the process starts; NULL: none */
	const char *apparmor_profile, *selinux_label, *mount_label; /* NULL: none */
};

/*
 * Builds config.json. Returns 0 with a new reference, or a negative errno with @err naming the
 * member at fault (-EINVAL: an unknown capability, rlimit, relative path, cwd under /proc …).
 */
int spec_build(const struct container_spec *s, json_t **ret, struct err *err);

/*
 * Merges the way Docker does: @entrypoint/@cmd given by the user (NULL: not given) over the
 * image's. A given entrypoint resets the image's command. The result is owned; -ENOENT when empty.
 */
int spec_merge_command(char *const *image_entrypoint, char *const *image_cmd,
		       char *const *entrypoint, char *const *cmd, char ***ret_args,
		       struct err *err);
