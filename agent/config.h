/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - every setting of the agent: one row per key in config.c parses, bounds, prints and
 * documents it. Sources, first wins: environment, /etc/ecs/ecs.config, /var/lib/ecs/ecs.config (as
 * systemd and ecs-init read them), defaults. Values are fixed once loaded. Strings are owned by the
 * struct; NULL means unset.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "runtime/gpu/gpu.h"
#include "runtime/net/net6.h"

enum family { FAMILY_AUTO, FAMILY_V4, FAMILY_V6 };
enum pull_behavior { PULL_DEFAULT, PULL_ALWAYS, PULL_ONCE, PULL_PREFER_CACHED };

struct port_list {
	uint16_t *ports; /* owned */
	size_t n;
};

struct route_list {
	struct ipv4_route {
		struct in_addr addr; /* of the network */
		uint8_t prefix_len;  /* 1..32 */
	} *routes;                   /* owned */
	size_t n;
};

struct config {
	/* identity and endpoints */
	char *cluster; /* "default" when unset; cluster_is_default tells */
	bool cluster_is_default;
	char *region;
	char *backend_host; /* ECS_BACKEND_HOST as given, scheme added */
	char *access_key_id, *secret_access_key, *session_token; /* secret */
	char *profile, *shared_credentials_file, *alternate_credential_profile;
	char *imds_endpoint; /* AWS_EC2_METADATA_SERVICE_ENDPOINT; NULL: families_imds_endpoint() */
	enum family imds_mode; /* AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE */
	bool imds_disabled;  /* AWS_EC2_METADATA_DISABLED or --blackhole-ec2-metadata */
	char *endpoint_url;  /* AWS_ENDPOINT_URL */
	char *endpoint_url_ecr, *endpoint_url_logs, *endpoint_url_secrets_manager,
		*endpoint_url_ssm, *endpoint_url_s3;
	char *http_proxy, *https_proxy, *no_proxy;
	char *ca_dir, *ca_file; /* SSL_CERT_DIR, SSL_CERT_FILE; NULL: the system's */
	bool external;          /* ECS_EXTERNAL */
	bool tls_insecure;      /* -k */
	struct json_pair *instance_attributes;
	size_t n_instance_attributes;
	struct json_pair *instance_tags;
	size_t n_instance_tags;
	char *detailed_os_family; /* ECS_DETAILED_OS_FAMILY, else <ID>_<VERSION_ID> of os-release */

	/* resources */
	struct port_list reserved_ports, reserved_ports_udp;
	int64_t reserved_memory_mib;
	uint16_t dynamic_port_first, dynamic_port_last;
	bool spot_draining;
	bool task_cpu_mem_limit;
	int64_t cgroup_cpu_period_usec;
	int64_t task_pids_limit; /* 0: none */
	bool privileged_disabled;
	bool selinux_capable, apparmor_capable;
	bool gpu_support;
	char *nvidia_runtime;      /* "nvidia", or the path of its hook */
	struct gpu_inventory gpus; /* no setting: what gpu_support found at the start */
	char *gpu_root;            /* no setting: for tests; NULL: "" */
	char **logging_drivers; /* strv */
	char **volume_plugin_capabilities; /* strv */
	bool shared_volume_match;
	bool exclude_ipv6_port_binding;
	bool firewall_accept; /* ECS_FIREWALL_ACCEPT: let the bridge pass the host's own firewall */
	bool allow_imds; /* ECS_ALLOW_INSTANCE_METADATA: to tasks on the bridge */
	bool task_eni;   /* awsvpc; never on external hosts */
	bool high_density_eni;
	bool awsvpc_block_imds;         /* tasks with an interface of their own do not reach it */
	struct route_list local_routes; /* of such tasks, through the host */

	/* containers */
	int64_t stop_timeout_ms, start_timeout_ms, create_timeout_ms;
	int64_t manifest_pull_timeout_ms, image_pull_timeout_ms, image_pull_inactivity_ms;
	int64_t pull_begin_ms; /* no setting: for tests; 0: five minutes */
	enum pull_behavior pull_behavior;
	bool pull_dependents_upfront;
	bool health_check_disabled;
	char *engine_auth_type;
	char *engine_auth_data; /* secret */

	/* what tasks ask the agent */
	bool task_iam_role, task_iam_role_host;
	bool metadata_az_disabled; /* ECS_DISABLE_TASK_METADATA_AZ */
	int64_t metadata_rps, metadata_burst; /* ECS_TASK_METADATA_RPS_LIMIT; 0: none is refused */
	char *audit_file;                     /* ECS_AUDIT_LOGFILE */
	bool audit_disabled;
	bool metadata_file; /* ECS_ENABLE_CONTAINER_METADATA */

	/* cleanup */
	int64_t task_cleanup_wait_ms, task_cleanup_jitter_ms;
	bool image_cleanup_disabled, untracked_image_cleanup;
	int64_t image_cleanup_interval_ms, image_min_age_ms, untracked_image_min_age_ms;
	int64_t images_per_cycle;
	char *image_exclusions; /* names, set apart by commas */
	int64_t image_high_percent, image_low_percent;
	int64_t image_pulls;
	char *image_mirrors, *image_prefetch;

	/* telemetry */
	bool metrics_disabled;
	bool poll_metrics;
	int64_t poll_metrics_ms;
	uint16_t introspection_port; /* 51678 */
	bool introspection_offhost;  /* ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS: every address */
	char *health_check_host;     /* of `ecs-agent -healthcheck` */

	/* state and log */
	char *data_dir;  /* ECS_DATADIR, default /var/lib/ecs/data */
	char *run_dir;   /* ECS_RUN_DIR, default /run/ecs */
	char *image_dir; /* ECS_IMAGE_DIR, default <data_dir>/images */
	char *log_file;
	enum log_level log_level, log_level_file;
	enum log_rollover log_rollover;
	enum log_format log_format;
	double log_max_file_mb;
	int64_t log_max_roll_count;
	bool updates_enabled; /* accepted; updates come from the package, so they are refused */

	/* where it lives: lets two agents share one machine in two network namespaces */
	char *bridge_name;            /* ECS_BRIDGE_NAME, default ecs0 */
	struct in_addr bridge_subnet; /* ECS_BRIDGE_SUBNET, default 172.30.0.0/16 */
	uint8_t bridge_prefix_len;
	struct net6 bridge_six; /* ECS_BRIDGE_SUBNET_IPV6; none with "none", and with "auto" … */
	bool bridge_six_auto;   /* … which is its default */
	struct net6 six;        /* no setting: that of the bridge, as it is in force */
	enum family ip_compatibility;
	bool ipv6_only;      /* no setting: by ip_compatibility, or by the host's default routes */
	char *awsvpc_bridge_name; /* ECS_AWSVPC_BRIDGE_NAME, default ecs-bridge */
	char *cgroup_parent; /* ECS_CGROUP_PARENT, default /ecs */
	char *cgroup_root;   /* ECS_CGROUP_PATH, default /sys/fs/cgroup */
	char *runc;          /* ECS_RUNC, default runc on PATH */
	char *libexec_dir;   /* ECS_LIBEXEC_DIR: where ecs-shim and ecs-image are; for uninstalled
				runs */

	char **files;               /* owned; what was read, also where there was nothing to read */
	uint64_t files_fingerprint; /* of how they were then; 0 unless the caller sets it */
	struct config_origin *origins; /* owned; of what was set, in no order */
	size_t n_origins;
	struct config_note *notes; /* owned; what there is to say about the settings, in order */
	size_t n_notes;
};

/* The log is set up from the configuration, so what loading has to say waits for it. */
struct config_note {
	enum log_level level;
	char *text; /* owned */
};

struct config_origin {
	const char *key; /* borrowed: of the table of keys */
	char *where;     /* owned: "environment", "FILE:LINE" */
};

struct config_sources {
	const char *const *files; /* NULL-terminated, the strongest last; absent ones are skipped */
	char *const *environ;
	const char *port_range_file; /* NULL: /proc/sys/net/ipv4/ip_local_port_range */
	const char *os_release_file; /* NULL: /etc/os-release */
};

/*
 * Loads. A refused value is noted with its file and line, key, text and bounds, and treated as
 * unset, or fails the start where the reference agent does. Returns 0 or a negative errno with @err
 * set; then the notes were logged, else the caller does with config_log_notes().
 */
int config_load(const struct config_sources *sources, struct config **ret, struct err *err);
struct config *config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)

void config_log_notes(const struct config *c);

/* Where the setting in force comes from; NULL: it is a default. */
const char *config_origin(const struct config *c, const char *key);

/*
 * Prints the effective settings as KEY=VALUE, secrets as "(set)", each with a comment before it that tells its
 * origin; as a JSON object when @json, with a member "origins".
 */
void config_print(const struct config *c, FILE *f, bool json);

/* One key per line with its default and bounds, for the man page check. */
void config_print_keys(FILE *f);
