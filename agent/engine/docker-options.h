/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-options - what hostConfig and config may ask for beyond the everyday members of struct
 * container, decoded and checked, and handed on to the specification of the container.
 * Part of the definition: nothing here changes after decoding.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "runtime/spec/spec.h"

/* Whose namespace a container is in. */
enum namespace_mode {
	NAMESPACE_DEFAULT, /* not said: its own */
	NAMESPACE_PRIVATE,
	NAMESPACE_HOST,
	NAMESPACE_TASK, /* one that the containers of the task share */
	NAMESPACE_NONE, /* its own, without /dev/shm: of ipc only */
	_NAMESPACE_MODE_MAX
};

struct device_wish {
	char *host_path, *container_path, *permissions; /* owned */
};

struct block_rate {
	char *path; /* owned */
	int64_t value;
};

struct block_rates {
	struct block_rate *items; /* owned */
	size_t n;
};

struct docker_options {
	struct device_wish *devices; /* owned, as everything below */
	size_t n_devices;
	char **device_rules;
	struct json_pair *tmpfs; /* path -> options, complete */
	size_t n_tmpfs;
	enum namespace_mode pid, ipc, uts, cgroupns;
	char **masked_paths, **readonly_paths; /* NULL: the defaults */
	char *cpuset_cpus, *cpuset_mems;
	int64_t cpu_quota_usec, cpu_period_usec, nano_cpus;
	int block_weight;
	struct block_rates block_rates[_SPEC_BLOCK_MAX];
	bool oom_kill_disable, network_disabled;
	struct json_pair *annotations;
	size_t n_annotations;
	char *apparmor_profile; /* NULL: none */
	char *seccomp_profile;  /* in Docker's format, checked; NULL: our own */
	char **gpus;            /* UUIDs, of the task's associations */
	char **selinux_options; /* "type:svirt_t"; NULL: none */
};

struct container;

/* Rows for struct container: see payload-docker.c. */
extern const struct json_field docker_host_fields[], docker_config_fields[];

/* One of dockerSecurityOptions. -EPROTO: malformed. -ENOTSUP: not to be had, with the reason. */
int docker_security_option(struct container *c, const char *text, struct err *err);

/*
 * What SELinux is to be told by options such as "type:svirt_t" (of "label:type:svirt_t"): the
 * labels of processes and of files, owned; both NULL when nothing is asked for or labels are
 * disabled. -ENOMEM.
 */
int docker_selinux_labels(char *const *options, char **ret_process, char **ret_mount);

/* After all members are in: what contradicts itself is named. */
int docker_options_settle(struct container *c, struct err *err);

struct task;

/* Decoders of pidMode and ipcMode of a task: "host", "task", "none" (of ipcMode), "". */
int docker_decode_pid_mode(const json_t *value, void *dst, const struct json_field *f,
			   struct err *err);
int docker_decode_ipc_mode(const json_t *value, void *dst, const struct json_field *f,
			   struct err *err);

/* After all containers are in: what the task says of namespaces and networks holds for each. */
int docker_settle_task(struct task *t, struct err *err);

/*
 * Lays the options of @c over @s, which borrows from @c and from *ret_scratch; the latter is to be
 * freed with docker_scratch_free() when @s was used.
 */
struct docker_scratch;
int docker_options_apply(const struct container *c, struct container_spec *s,
			 struct docker_scratch **ret_scratch, struct err *err);
struct docker_scratch *docker_scratch_free(struct docker_scratch *x);
DEFINE_CLEANUP(struct docker_scratch *, docker_scratch_free)

void docker_options_done(struct docker_options *o);
