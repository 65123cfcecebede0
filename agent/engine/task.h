/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task - what the engine knows of a task and its containers.
 * The first half of each struct is the definition: decoded from the payload, never changed. The
 * second half is state: what is wanted and what was observed; it is what the store keeps.
 * Everything outside engine/ reads only.
 */
#pragma once

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/docker-options.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "runtime/net/net.h"

/* What ids of tasks and names of containers are made of. */
#define TASK_NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* How the ARN of a task starts that somebody of this host started: no service knows it. */
#define TASK_LOCAL_ARN "arn:local:ecs:localhost:000000000000:"

enum task_status {
	TASK_NONE,
	TASK_MANIFEST_PULLED,
	TASK_CREATED,
	TASK_RUNNING,
	TASK_STOPPED,
	_TASK_STATUS_MAX
};

enum container_status {
	CONTAINER_NONE,
	CONTAINER_MANIFEST_PULLED,
	CONTAINER_PULLED,
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_STOPPED,
	_CONTAINER_STATUS_MAX,
};

enum network_mode {
	NETWORK_BRIDGE,
	NETWORK_HOST,
	NETWORK_NONE,
	NETWORK_AWSVPC,
	_NETWORK_MODE_MAX
};

struct ulimit {
	char *name;         /* owned */
	int64_t soft, hard; /* -1: unlimited */
};

/* What a volume of ours is made of. */
struct volume_config {
	char *driver; /* owned; NULL or "": local */
	struct json_pair *options;
	size_t n_options;
	struct json_pair *labels;
	size_t n_labels;
};

struct efs_config {
	char *file_system_id, *root_directory, *access_point; /* owned */
	int tls_port;                                         /* 0: any */
	bool tls, iam;
};

/* One of the task's volumes. */
struct task_volume {
	char *name;      /* owned */
	char *source;    /* owned: a path of the host; NULL: a volume of ours */
	char *host_name; /* owned: what that one is called on this host */
	bool shared;     /* it outlives the task, and others may use it */
	bool autoprovision;
	struct efs_config *efs; /* owned; NULL: config says what it is */
	struct volume_config config;
};

enum mount_kind {
	MOUNT_TASK_VOLUME,  /* of task->volumes */
	MOUNT_HOST_PATH,    /* of hostConfig */
	MOUNT_NAMED_VOLUME, /* of hostConfig: shared, made when absent */
	MOUNT_ANONYMOUS,    /* a volume of this container alone */
	MOUNT_TMPFS,
};

struct mount_point {
	enum mount_kind kind;
	char *volume;                /* owned: its name, when it has one */
	size_t index;                /* of the task's volume */
	char *source;                /* owned: path of the host */
	char *container_path;        /* owned: absolute, clean */
	char *options;               /* owned: propagation, or options of a tmpfs; NULL: none */
	struct volume_config config; /* of a named or anonymous volume */
	bool read_only, no_copy, must_exist;
};

enum depend_condition {
	DEPEND_CREATE, /* of volumesFrom; a task definition cannot ask for it */
	DEPEND_START,
	DEPEND_COMPLETE,
	DEPEND_SUCCESS,
	DEPEND_HEALTHY,
	_DEPEND_MAX
};

/* An edge of the task's graph: this container waits for another one. */
struct depend {
	char *name; /* owned: the container waited for */
	enum depend_condition condition;
	size_t index; /* its place in task->containers, once depends_resolve() has run */
};

struct restart_policy {
	bool enabled;
	int *ignored_exit_codes; /* owned */
	size_t n_ignored_exit_codes;
	int64_t attempt_period_s; /* it has to have run so long */
};

struct volumes_from {
	char *source_container; /* owned */
	bool read_only;
	size_t index; /* the source's place in task->containers, as in struct depend */
};

/* As TCS and the metadata endpoint tell it; HEALTH_NONE: the container has no health check. */
enum health_status { HEALTH_NONE, HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

/* As Docker has it; what is 0 or NULL is the image's, else the default. */
struct health_check {
	bool given;  /* the definition says something */
	char **test; /* owned: {"CMD", …}, {"CMD-SHELL", "…"}, {"NONE"} */
	int64_t interval_ns, timeout_ns, start_period_ns;
	int retries;
};

struct container_health {
	enum health_status status;
	int64_t since_ms; /* wall clock, of the last change of status; 0: unknown */
	int exit_code;    /* of the last probe */
	char *output;     /* owned: of the last probe, cut; NULL: none yet */
};

/* Where the login for a container's registry comes from; NONE: the host's settings. */
enum registry_auth_type { REGISTRY_AUTH_NONE, REGISTRY_AUTH_ECR, REGISTRY_AUTH_ASM };

struct registry_auth {
	enum registry_auth_type type;
	char *registry_id, *region, *endpoint_override; /* owned; NULL: none */
	bool use_execution_role;                        /* of ECR; Secrets Manager always does */
	char *secret;                                   /* owned: its name, of ASM */
};

enum secret_provider { SECRET_SSM, SECRET_ASM };

/* A variable whose value AWS keeps; see inputs.h. */
struct secret {
	char *name, *value_from, *region; /* owned; region NULL or "": the ARN's, else ours */
	enum secret_provider provider;
};

struct task;

/* What counters of a control group said last. */
struct past_usage {
	uint64_t cpu_total_ns, cpu_user_ns, cpu_system_ns;
	uint64_t storage_read_bytes, storage_write_bytes;
};

struct container {
	/* definition */
	struct task *task;             /* borrowed: the task frees its containers */
	char *name, *image;            /* owned, as everything below */
	char **command, **entry_point; /* NULL: the image's */
	struct json_pair *environment;
	size_t n_environment;
	char *user, *working_directory, *hostname, *domainname;
	bool essential, privileged, readonly_rootfs, no_new_privileges, terminal, open_stdin;
	bool init; /* ecs-init stands between the runtime and the command */
	bool unconfined_seccomp;
	bool internal; /* nobody outside the engine sees it: engine/holder.h */
	enum network_mode network_mode;
	int64_t cpu_shares;         /* as asked for; 0: none */
	int64_t memory_mib;         /* hard limit, for people and admission; 0: none */
	int64_t memory_limit_bytes; /* hard limit, exact; 0: none */
	int64_t memory_reservation_bytes;
	int64_t memory_swap_bytes; /* memory + swap; 0: default, -1: unlimited */
	int64_t shm_size_bytes;
	int64_t pids_limit; /* 0: none */
	int swappiness;     /* -1: unset */
	int oom_score_adj;
	struct port_binding *ports; /* as asked for; hostPort 0 = dynamic */
	size_t n_ports;
	char **cap_add, **cap_drop;
	struct ulimit *ulimits;
	size_t n_ulimits;
	struct mount_point *mounts;
	size_t n_mounts;
	struct json_pair
		*labels; /* each list stands before its length, as json_decode_pairs() writes */
	size_t n_labels;
	struct json_pair *sysctls;
	size_t n_sysctls;
	char **dns, **dns_search, **dns_options, **extra_hosts, **group_add;
	char **links; /* "name[:alias]" as sent; NULL: none */
	struct volumes_from *volumes_from;
	size_t n_volumes_from;
	/* dependsOn; depends_resolve() adds the edges that links and volumesFrom imply */
	struct depend *depends;
	size_t n_depends;
	int64_t start_timeout_s; /* how long others wait for it; 0: without end */
	struct restart_policy restart;
	char *stop_signal;      /* NULL: the image's, else SIGTERM */
	int64_t stop_timeout_s; /* 0: the agent's default */
	char *log_driver;       /* "json-file" or "none" */
	struct json_pair *log_options;
	size_t n_log_options;
	int64_t log_max_bytes; /* max-size of json-file; 0: never rotated */
	int log_max_files;     /* max-file, at least 1 */
	char *container_arn;
	struct health_check health_check;
	char *health_check_type; /* "docker": the service hears of the container's health */
	struct docker_options docker; /* the rarer wishes */
	struct registry_auth registry_auth;
	struct secret *secrets;
	size_t n_secrets;
	char **environment_files; /* ARNs of objects of S3; NULL: none */

	/* state */
	enum container_status known, desired;
	enum container_status sent; /* last status put into the outbox */
	char id[65]; /* 64 hex digits once anything of it may exist on the host, else "" */
	char docker_name[256]; /* ecs-<family>-<rev>-<name>-<20 hex> */
	char endpoint_id[37];  /* a UUID: its name at the task server, known to itself alone */
	char *image_digest, *image_id;
	bool digest_resolved_by_agent;
	struct in_addr address;        /* 0: none */
	struct port_binding *bindings; /* in force; as ports, with the host ports chosen */
	size_t n_bindings;
	bool has_exit_code;
	int exit_code;
	char *error_name, *error_message; /* first error: "CannotPullContainerError", … */
	int64_t created_ms, started_ms, finished_ms; /* wall clock, 0: unknown */
	pid_t pid;                                   /* of the container's init while it runs */
	int restart_count; /* by its restart policy; also names the run, see container_run_dir() */
	int64_t last_restart_ms; /* 0: never */
	struct past_usage past;  /* of its runs before the present one */
	bool restarting; /* the last restart is written down, but the run has not begun yet */
	const struct depend *waits_for; /* borrowed from depends; what keeps it from starting */
	int64_t waits_since_ms;
	const char *waits_note; /* static: what keeps it from starting, beside the above; NULL */
	struct container_health
		health;            /* who changes it touches the task: others may wait for it */
	struct container_run *run; /* owned by the engine: shim, pull, timers; NULL outside it */
};

struct eni_ipv4 {
	struct in_addr addr;
	bool primary;
};

struct eni_ipv6 {
	struct in6_addr addr;
	bool primary;
};

/*
 * The network interface of a task in mode awsvpc, as the payload has it and checked by
 * payload-eni.c. Of each family that has addresses exactly one is primary.
 */
struct task_eni {
	char *ec2_id, *attachment_arn, *name; /* owned; "eni-…"; the others may be NULL */
	char *private_dns_name;               /* owned: the task's hostname; NULL: none */
	uint8_t mac[6];                       /* by which the device is found */
	struct eni_ipv4 *ipv4;                /* owned */
	size_t n_ipv4;
	struct eni_ipv6 *ipv6; /* owned */
	size_t n_ipv6;         /* of one family there is at least one */
	struct in_addr gateway4;
	uint8_t prefix4; /* of all IPv4 addresses; 0: there are none */
	bool has_gateway6;
	struct in6_addr gateway6;
	uint8_t prefix6;         /* of all IPv6 addresses */
	char **dns, **dns_search; /* owned; addresses, names; NULL: none */
	bool vlan;               /* no device of its own: VLAN vlan_id of the trunk with trunk_mac */
	uint16_t vlan_id;        /* 1..4094 */
	uint8_t trunk_mac[6];
	int index;
};

struct task {
	/* definition */
	char *arn, *family, *version, *cluster_arn, *launch_type, *service_name, *group; /* owned */
	char id[256];       /* last component of the ARN */
	double cpu;         /* vCPU, 0: no task limit */
	int64_t memory_mib; /* 0: none */
	enum network_mode network_mode;
	enum namespace_mode pid_mode, ipc_mode; /* DEFAULT: as each container says */
	struct container *containers; /* owned; none when the task was refused */
	size_t n_containers;
	struct task_volume *volumes;
	size_t n_volumes;
	char *execution_credentials_id, *role_credentials_id;
	struct task_eni *eni; /* owned; NULL: the network mode is not awsvpc */
	bool remove_when_stopped; /* of a local one: cleaned up at once */

	/* state */
	enum task_status known, desired;
	enum task_status sent; /* last status put into the outbox */
	char *reason;          /* why it stopped, when the task itself is at fault */
	int64_t sequence;      /* order of arrival */
	int64_t pull_started_ms, pull_stopped_ms, execution_stopped_ms, stopped_ms;
	char *waiting_for; /* what a task that waits for host resources lacks; NULL: nothing */
	int64_t waiting_since_ms;
	struct task_run *run; /* owned by the engine */
};

const char *task_status_name(enum task_status s); /* "MANIFEST_PULLED", … */
const char *container_status_name(enum container_status s);
const char *task_status_for_service(enum task_status s); /* "PENDING", "RUNNING", "STOPPED" */
const char *container_status_for_service(enum container_status s);
const char *network_mode_name(enum network_mode m);
const char *depend_condition_name(enum depend_condition c); /* "START", … */
const char *health_status_name(enum health_status s);       /* "UNKNOWN", …; NONE: NULL */

/* "RUNNING", "STOPPED", … and the old names "UNKNOWN", "DEAD"; anything else, NULL too, is NONE. */
enum task_status task_status_parse(const char *name);

bool task_is_local(const struct task *t);

/* Last component of a task ARN, at most 255 bytes of [A-Za-z0-9_-]; else -EPROTO. */
int task_id_from_arn(const char *arn, char id[256], struct err *err);

/* Whether the service wants to hear of its health; else probes concern this host alone. */
bool container_health_is_tracked(const struct container *c);
void health_check_done(struct health_check *h);
void registry_auth_done(struct registry_auth *a);
void secret_done(void *secret);

/* Records the first error of a container; later ones are dropped. */
void container_set_error(struct container *c, const char *name, const char *message);

/* Frees what the engine does not own (run stays NULL outside it). NULL is fine. Always returns
 * NULL. */
struct task *task_free(struct task *t);
DEFINE_CLEANUP(struct task *, task_free)
void container_done(struct container *c);
void task_volume_done(struct task_volume *v);
void task_eni_done(void *eni);
void mount_point_done(struct mount_point *m);

/* Of a container on the bridge that has an address, within @six; else "::". */
struct in6_addr container_address6(const struct container *c, const struct net6 *six);
