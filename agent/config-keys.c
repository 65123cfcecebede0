/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per key. Names, defaults and what happens outside the bounds are those of the reference
 * agent under its init program; the last group is ours. A row without a type is accepted, so that
 * a file written for the reference agent stays valid, and has no effect here: help says why.
 */
#include <string.h>

#include "agent/config-internal.h"

#define FIELD(f) offsetof(struct config, f)
#define SEC(n) ((n) *1000LL)
#define MINUTE SEC(60)
#define HOUR (60 * MINUTE)

#define TEXT(name, field, fallback, text)                                                          \
	{                                                                                          \
		name, &config_string, FIELD(field), fallback, .help = text                         \
	}
#define PATH(name, field, fallback, text)                                                          \
	{                                                                                          \
		name, &config_path, FIELD(field), fallback, .help = text                           \
	}
#define HOST(name, field, text)                                                                    \
	{                                                                                          \
		name, &config_host, FIELD(field), NULL, .help = text                               \
	}
#define FLAG(name, field, fallback, text)                                                          \
	{                                                                                          \
		name, &config_bool, FIELD(field), fallback, .help = text                           \
	}
#define SECRET(name, field, text)                                                                  \
	{                                                                                          \
		name, &config_string, FIELD(field), NULL, .secret = true, .help = text             \
	}
#define PROXY(name, field, text)                                                                   \
	{                                                                                          \
		name, &config_string, FIELD(field), NULL, .any_case = true, .help = text           \
	}
#define TIME(name, field, fallback, min, max, outside, text)                                       \
	{                                                                                          \
		name, &config_duration, FIELD(field), fallback, min, max, outside, .help = text    \
	}
#define NOT_HERE(name, text)                                                                       \
	{                                                                                          \
		name, .help = text                                                                 \
	}

/* clang-format off */
const struct config_key config_keys[] = {
	/* identity and endpoints */
	TEXT("ECS_CLUSTER", cluster, "default", "Cluster to join, by name or ARN; 'default' is made when it is missing."),
	TEXT("AWS_DEFAULT_REGION", region, NULL, "Region; asked from the instance metadata service when unset."),
	HOST("ECS_BACKEND_HOST", backend_host, "Endpoint of the ECS API, as URL or host (https); http:// is for a local control plane."),
	FLAG("ECS_EXTERNAL", external, "false", "This host is no EC2 instance (ECS Anywhere): no instance metadata is asked for."),
	TEXT("ECS_ALTERNATE_CREDENTIAL_PROFILE", alternate_credential_profile, "default", "Profile in the rotating credentials file of an external host."),
	{ "ECS_INSTANCE_ATTRIBUTES", &config_map, FIELD(instance_attributes), NULL, .outside = OUTSIDE_FATAL, .help = "Attributes of the first registration." },
	{ "ECS_CONTAINER_INSTANCE_TAGS", &config_map, FIELD(instance_tags), NULL, .outside = OUTSIDE_FATAL, .help = "Tags of the registration." },
	TEXT("ECS_DETAILED_OS_FAMILY", detailed_os_family, NULL, "Reported name of the system; ID_VERSION of /etc/os-release when unset."),
	TEXT("AWS_ACCESS_KEY_ID", access_key_id, NULL, "Static credentials; they go before every other source."),
	SECRET("AWS_SECRET_ACCESS_KEY", secret_access_key, "Secret half of AWS_ACCESS_KEY_ID."),
	SECRET("AWS_SESSION_TOKEN", session_token, "Session token of temporary static credentials."),
	TEXT("AWS_PROFILE", profile, NULL, "Profile in the shared credentials file."),
	PATH("AWS_SHARED_CREDENTIALS_FILE", shared_credentials_file, NULL, "Shared credentials file."),
	HOST("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds_endpoint, "Instance metadata service, when it is not where AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE says."),
	{ "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", &config_family, FIELD(imds_mode), "auto", .help = "ipv4 asks the instance metadata service at http://169.254.169.254, ipv6 at http://[fd00:ec2::254]; auto: ipv6 on an IPv6-only host." },
	FLAG("AWS_EC2_METADATA_DISABLED", imds_disabled, "false", "Never ask the instance metadata service."),
	HOST("AWS_ENDPOINT_URL", endpoint_url, "Endpoint of every AWS service but ECS."),
	HOST("AWS_ENDPOINT_URL_ECR", endpoint_url_ecr, "Endpoint of ECR."),
	HOST("AWS_ENDPOINT_URL_LOGS", endpoint_url_logs, "Endpoint of CloudWatch Logs."),
	HOST("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint_url_secrets_manager, "Endpoint of Secrets Manager."),
	HOST("AWS_ENDPOINT_URL_SSM", endpoint_url_ssm, "Endpoint of Systems Manager."),
	HOST("AWS_ENDPOINT_URL_S3", endpoint_url_s3, "Endpoint of S3."),
	PROXY("HTTP_PROXY", http_proxy, "Proxy of http requests, and of https ones while HTTPS_PROXY is unset."),
	PROXY("HTTPS_PROXY", https_proxy, "Proxy of https requests."),
	PROXY("NO_PROXY", no_proxy, "Hosts reached without a proxy; 169.254.169.254,169.254.170.2 when unset."),
	PATH("SSL_CERT_DIR", ca_dir, NULL, "Directory of certificate authorities."),
	PATH("SSL_CERT_FILE", ca_file, NULL, "File of certificate authorities."),

	/* resources */
	{ "ECS_RESERVED_PORTS", &config_ports, FIELD(reserved_ports), "[22,2375,2376,51678,51679]", .help = "TCP ports no task gets." },
	{ "ECS_RESERVED_PORTS_UDP", &config_ports, FIELD(reserved_ports_udp), "[]", .help = "UDP ports no task gets." },
	{ "ECS_RESERVED_MEMORY", &config_mib, FIELD(reserved_memory_mib), "0", 0, 1 << 24, .help = "Memory kept from tasks, in MiB." },
	{ "ECS_DYNAMIC_HOST_PORT_RANGE", &config_range, FIELD(dynamic_port_first), NULL, .help = "Host ports given to hostPort 0; when unset, the ports above the kernel's ip_local_port_range (mostly 61000-65535), so that outgoing connections never take one." },
	FLAG("ECS_ENABLE_TASK_IAM_ROLE", task_iam_role, "true", "Take tasks that have a role of their own."),
	FLAG("ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST", task_iam_role_host, "true", "The same in host network mode."),
	FLAG("ECS_DISABLE_TASK_METADATA_AZ", metadata_az_disabled, "false", "Leave the availability zone out of task metadata."),
	{ "ECS_TASK_METADATA_RPS_LIMIT", &config_rates, FIELD(metadata_rps), NULL, 1, 1000000, .help = "Requests per second and at once for each address and path, above which tasks are refused with status 429. Unset: none is refused; who asks more than 1,000 times a second waits for its turn, and nobody else does." },
	PATH("ECS_AUDIT_LOGFILE", audit_file, "/var/log/ecs/audit.log", "Log of requests for credentials: when, from where, whose, with which answer, and never an id. Rotated as ECS_LOGFILE is."),
	FLAG("ECS_AUDIT_LOGFILE_DISABLED", audit_disabled, "false", "Do not write it."),
	FLAG("ECS_ENABLE_CONTAINER_METADATA", metadata_file, "false", "Give each container a file about itself, at the path in ECS_CONTAINER_METADATA_FILE."),
	FLAG("ECS_ENABLE_TASK_CPU_MEM_LIMIT", task_cpu_mem_limit, "true", "Limit tasks as a whole by a control group."),
	PATH("ECS_CGROUP_PATH", cgroup_root, "/sys/fs/cgroup", "Where control groups are mounted."),
	{ "ECS_CGROUP_CPU_PERIOD", &config_period, FIELD(cgroup_cpu_period_usec), "100ms", 8, 100, .help = "Period of CPU limits." },
	{ "ECS_TASK_PIDS_LIMIT", &config_int, FIELD(task_pids_limit), NULL, 1, 4194304, .help = "Most processes of a task; no limit when unset." },
	FLAG("ECS_DISABLE_PRIVILEGED", privileged_disabled, "false", "Do not advertise privileged containers."),
	FLAG("ECS_SELINUX_CAPABLE", selinux_capable, "false", "Advertise SELinux."),
	FLAG("ECS_APPARMOR_CAPABLE", apparmor_capable, "false", "Advertise AppArmor."),
	FLAG("ECS_ENABLE_GPU_SUPPORT", gpu_support, "false", "Hand out the GPUs of /var/lib/ecs/gpu/nvidia-gpu-info.json."),
	TEXT("ECS_NVIDIA_RUNTIME", nvidia_runtime, "nvidia", "Absolute path of the hook that prepares a container for its GPUs; anything else: nvidia-container-runtime-hook."),
	{ "ECS_AVAILABLE_LOGGING_DRIVERS", &config_drivers, FIELD(logging_drivers), "[\"json-file\",\"syslog\",\"awslogs\",\"fluentd\",\"none\"]", .help = "Log drivers offered to tasks, as far as this agent has them." },
	FLAG("ECS_SHARED_VOLUME_MATCH_FULL_CONFIG", shared_volume_match, "false", "Compare labels and options of shared volumes with what a task asks for."),
	{ "ECS_VOLUME_PLUGIN_CAPABILITIES", &config_names, FIELD(volume_plugin_capabilities), NULL, .help = "What can be asked of EFS volumes: [\"efsAuth\"] where unset and amazon-efs-utils is installed." },
	FLAG("ECS_ALLOW_INSTANCE_METADATA", allow_imds, "false", "Let tasks in bridge mode reach 169.254.169.254 and fd00:ec2::254, and with them the role of this host."),
	FLAG("ECS_ENABLE_TASK_ENI", task_eni, "true", "Take tasks of network mode awsvpc, which get a network interface of their own; never on external hosts."),
	FLAG("ECS_ENABLE_HIGH_DENSITY_ENI", high_density_eni, "true", "Also interfaces that are a VLAN of a trunk."),
	FLAG("ECS_AWSVPC_BLOCK_IMDS", awsvpc_block_imds, "true", "Keep tasks of mode awsvpc from 169.254.169.254 and fd00:ec2::254, and with them from the role of this host. The reference agent's default is false."),
	{ "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES", &config_routes, FIELD(local_routes), "[]", .outside = OUTSIDE_FATAL, .help = "IPv4 networks that tasks of mode awsvpc reach through this host and not through their interface: [\"10.0.0.0/16\"]." },
	FLAG("ECS_FIREWALL_ACCEPT", firewall_accept, "true", "Put rules that let the bridge pass into chains of the host that drop what no rule accepts."),
	FLAG("ECS_EXCLUDE_IPV6_PORTBINDING", exclude_ipv6_port_binding, "true", "Leave '::' out of reported port bindings. An IPv6-only host reports '::' and nothing else."),
	{ "ECS_INSTANCE_IP_COMPATIBILITY", &config_family, FIELD(ip_compatibility), "auto", .help = "ipv4 or ipv6: what this host reaches the service by. auto: ipv6 where a default route with a gateway is there for IPv6 and none for IPv4. With ipv6 the endpoints of both families are asked." },

	/* containers */
	TIME("ECS_CONTAINER_STOP_TIMEOUT", stop_timeout_ms, "30s", SEC(1), 0, OUTSIDE_CLAMP, "From the stop signal to SIGKILL, unless the container has its own."),
	TIME("ECS_CONTAINER_START_TIMEOUT", start_timeout_ms, "3m", SEC(45), 0, OUTSIDE_CLAMP, "Longest start of a container."),
	TIME("ECS_CONTAINER_CREATE_TIMEOUT", create_timeout_ms, "4m", MINUTE, 0, OUTSIDE_CLAMP, "Longest creation of a container."),
	TIME("ECS_MANIFEST_PULL_TIMEOUT", manifest_pull_timeout_ms, "1m", SEC(30), 0, OUTSIDE_CLAMP, "Longest wait for an image's manifest."),
	TIME("ECS_IMAGE_PULL_TIMEOUT", image_pull_timeout_ms, "2h", SEC(1), 0, OUTSIDE_DEFAULT, "Longest pull of an image."),
	TIME("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", image_pull_inactivity_ms, "1m", MINUTE, 0, OUTSIDE_CLAMP, "Longest pause of a pull."),
	{ "ECS_IMAGE_PULL_BEHAVIOR", &config_pull_behavior, FIELD(pull_behavior), "default", .help = "When images are pulled although they are here." },
	FLAG("ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT", pull_dependents_upfront, "false", "Pull the images of dependent containers before their dependencies are met."),
	FLAG("ECS_ENABLE_SPOT_INSTANCE_DRAINING", spot_draining, "false", "Take no more tasks once this spot instance is to be taken away."),
	FLAG("ECS_DISABLE_DOCKER_HEALTH_CHECK", health_check_disabled, "false", "Do not run or report health checks."),
	TEXT("ECS_ENGINE_AUTH_TYPE", engine_auth_type, NULL, "Form of ECS_ENGINE_AUTH_DATA: docker or dockercfg."),
	SECRET("ECS_ENGINE_AUTH_DATA", engine_auth_data, "Credentials of registries, JSON."),

	/* clean-up */
	TIME("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", task_cleanup_wait_ms, "3h", SEC(1), 0, OUTSIDE_DEFAULT, "How long a stopped task's containers and logs are kept."),
	TIME("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER", task_cleanup_jitter_ms, "0", 0, 0, OUTSIDE_DEFAULT, "Random addition to it."),
	FLAG("ECS_DISABLE_IMAGE_CLEANUP", image_cleanup_disabled, "false", "Never remove an image. So it is with ECS_IMAGE_PULL_BEHAVIOR=prefer-cached, too."),
	TIME("ECS_IMAGE_CLEANUP_INTERVAL", image_cleanup_interval_ms, "30m", 10 * MINUTE, 0, OUTSIDE_DEFAULT, "Between two removals of images that no task has."),
	TIME("ECS_IMAGE_MINIMUM_CLEANUP_AGE", image_min_age_ms, "1h", 0, 0, OUTSIDE_DEFAULT, "How long an image stays after its pull."),
	{ "ECS_NUM_IMAGES_DELETE_PER_CYCLE", &config_int, FIELD(images_per_cycle), "5", 1, 1000000, .help = "Most images one interval removes, those not used for longest." },
	FLAG("ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP", untracked_image_cleanup, "false", "Remove images, too, that no task ever had or that were loaded from a file, smallest first."),
	TIME("NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE", untracked_image_min_age_ms, "1h", 0, 0, OUTSIDE_DEFAULT, "How long those stay."),
	TEXT("ECS_EXCLUDE_UNTRACKED_IMAGE", image_exclusions, NULL, "Images that are never removed: names, set apart by commas."),

	/* telemetry and local servers */
	FLAG("ECS_DISABLE_METRICS", metrics_disabled, "false", "Do not report CPU and memory."),
	FLAG("ECS_POLL_METRICS", poll_metrics, "false", "Sample at ECS_POLLING_METRICS_WAIT_DURATION, not at the agent's own pace."),
	TIME("ECS_POLLING_METRICS_WAIT_DURATION", poll_metrics_ms, "10s", SEC(5), SEC(20), OUTSIDE_CLAMP, "Between two samples when polling."),
	FLAG("ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS", introspection_offhost, "false", "Serve the introspection port on every address, IPv4 and IPv6, not only to this host and its tasks."),
	TEXT("ECS_AGENT_HEALTHCHECK_HOST", health_check_host, "localhost", "Host asked by ecs-agent -healthcheck."),

	/* state and log */
	PATH("ECS_DATADIR", data_dir, "/var/lib/ecs/data", "State of the agent. /data means the default."),
	PATH("ECS_LOGFILE", log_file, NULL, "Log file beside standard output. /log/ means /var/log/ecs/."),
	{ "ECS_LOGLEVEL", &config_log_level, FIELD(log_level_file), "info", .help = "Least important lines of the log file." },
	{ "ECS_LOGLEVEL_ON_INSTANCE", &config_log_level, FIELD(log_level), NULL, .help = "The same of standard output and journal; ECS_LOGLEVEL when unset." },
	{ "ECS_LOG_ROLLOVER_TYPE", &config_log_rollover, FIELD(log_rollover), "size", .help = "When the log file is rotated." },
	{ "ECS_LOG_OUTPUT_FORMAT", &config_log_format, FIELD(log_format), "logfmt", .help = "Form of log lines." },
	{ "ECS_LOG_MAX_FILE_SIZE_MB", &config_double, FIELD(log_max_file_mb), "5", 0, 1 << 20, .help = "Size at which the log file is rotated, in 1,000,000 bytes." },
	{ "ECS_LOG_MAX_ROLL_COUNT", &config_int, FIELD(log_max_roll_count), "24", 0, 100000, .help = "Rotated log files kept." },
	FLAG("ECS_UPDATES_ENABLED", updates_enabled, "false", "Accepted; updates come from the package, so update requests are refused."),

	/* ours */
	PATH("ECS_RUN_DIR", run_dir, "/run/ecs", "Sockets, locks and what must not survive a boot."),
	PATH("ECS_IMAGE_DIR", image_dir, NULL, "Image store; images in the data directory's parent, /var/lib/ecs/images, when unset."),
	TEXT("ECS_IMAGE_MIRRORS", image_mirrors, NULL, "Mirrors that are asked before a registry: registry=URL, set apart by commas. They get no login; what they do not have or do is had from the registry."),
	TEXT("ECS_IMAGE_PREFETCH", image_prefetch, NULL, "Images pulled after the start, one after the other: names, set apart by commas."),
	{ "ECS_IMAGE_PULLS", &config_int, FIELD(image_pulls), "4", 1, 64, OUTSIDE_CLAMP, .help = "Pulls at a time; others wait for their turn." },
	{ "ECS_IMAGE_DISK_HIGH_PERCENT", &config_int, FIELD(image_high_percent), "85", 1, 100, OUTSIDE_CLAMP, .help = "When more of the bytes or inodes of the image store's disk is used, images that no task has are removed at once, whatever their age and number. 100: never." },
	{ "ECS_IMAGE_DISK_LOW_PERCENT", &config_int, FIELD(image_low_percent), "80", 1, 100, OUTSIDE_CLAMP, .help = "How far that goes." },
	{ "ECS_BRIDGE_NAME", &config_ifname, FIELD(bridge_name), "ecs0", .help = "Bridge of the containers." },
	{ "ECS_BRIDGE_SUBNET", &config_subnet, FIELD(bridge_subnet), "172.30.0.0/16", 16, 28, .help = "Network of the bridge." },
	{ "ECS_BRIDGE_SUBNET_IPV6", &config_subnet6, FIELD(bridge_six), "auto", NET6_PREFIX_MIN, NET6_PREFIX_MAX, .help = "IPv6 network of the bridge, in which a container's IPv4 address is the end of its IPv6 address. auto: a unique local /64 that follows from the machine's id and the bridge's name; none: tasks on the bridge have no IPv6." },
	{ "ECS_AWSVPC_BRIDGE_NAME", &config_ifname, FIELD(awsvpc_bridge_name), "ecs-bridge", .help = "Bridge by which tasks of mode awsvpc reach the task server; its network is 169.254.172.0/22." },
	{ "ECS_CGROUP_PARENT", &config_group, FIELD(cgroup_parent), "/ecs", .help = "Control group of all tasks; with systemd on cgroup v2 it is in the unit <name>-tasks.service." },
	{ "ECS_INTROSPECTION_PORT", &config_port, FIELD(introspection_port), "51678", .help = "Port of introspection and /metrics." },
	PATH("ECS_RUNC", runc, NULL, "OCI runtime; runc on PATH when unset."),
	PATH("ECS_LIBEXEC_DIR", libexec_dir, PKGLIBEXECDIR, "Where ecs-shim and ecs-image are."),

	/* accepted, without effect */
	NOT_HERE("ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM", "EC2 tags are not copied by this version"),
	NOT_HERE("ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2", "the task's limit stays on the task's group"),
	NOT_HERE("ECS_CNI_PLUGINS_PATH", "networks are made without plugins"),
	NOT_HERE("ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE", "this version has no awslogs driver"),
	NOT_HERE("ECS_ENABLE_FIRELENS_ASYNC", "this version has no fluentd driver"),
	NOT_HERE("ECS_ENABLE_INF_SUPPORT", "this version does not hand out accelerators"),
	NOT_HERE("ECS_EBSTA_SUPPORTED", "this version has no EBS task volumes"),
	NOT_HERE("ECS_WARM_POOLS_CHECK", "this version does not wait for warm pools"),
	NOT_HERE("ECS_PAUSE_LABELS", "there are no pause containers"),
	NOT_HERE("ECS_HOST_DATA_DIR", "the agent is in no container: ECS_DATADIR is the host's"),
	NOT_HERE("DOCKER_HOST", "there is no Docker"),
	NOT_HERE("NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE", "there are no other containers"),
	NOT_HERE("ECS_ENABLE_RUNTIME_STATS", "the Go runtime it is about is not here"),
	NOT_HERE("ECS_ENABLE_PROMETHEUS_METRICS", "/metrics is always served on the introspection port"),
	NOT_HERE("ECS_CHECKPOINT", "state is always kept"),
	NOT_HERE("ECS_UPDATE_DOWNLOAD_DIR", "updates come from the package"),
	NOT_HERE("ECS_AGENT_CONFIG_FILE_PATH", "the JSON configuration file is not read"),
	NOT_HERE("ECS_SKIP_LOCALHOST_TRAFFIC_FILTER", "loopback traffic from outside is always dropped"),
	NOT_HERE("ECS_OFFHOST_INTROSPECTION_INTERFACE_NAME", "introspection binds addresses, not interfaces"),
	NOT_HERE("ECS_LOG_DRIVER", "the agent is in no container"),
	NOT_HERE("ECS_LOG_OPTS", "the agent is in no container"),
	NOT_HERE("ECS_INIT_DOCKER_LOG_FILE_SIZE", "the agent is in no container"),
	NOT_HERE("ECS_INIT_DOCKER_LOG_FILE_NUM", "the agent is in no container"),
	NOT_HERE("ECS_AGENT_LABELS", "the agent is in no container"),
	NOT_HERE("ECS_AGENT_APPARMOR_PROFILE", "the agent is in no container"),
	NOT_HERE("ECS_AGENT_PID_NAMESPACE_HOST", "the agent is in no container"),
	NOT_HERE("ECS_AGENT_RUN_PRIVILEGED", "the agent is in no container"),
	NOT_HERE("ECS_GMSA_SUPPORTED", "gMSA needs Docker"),
	NOT_HERE("CREDENTIALS_FETCHER_HOST", "gMSA needs Docker"),
	NOT_HERE("CREDENTIALS_FETCHER_HOST_DIR", "gMSA needs Docker"),
	NOT_HERE("CREDENTIALS_FETCHER_SECRET_NAME_FOR_DOMAINLESS_GMSA", "gMSA needs Docker"),
	NOT_HERE("ECS_DOMAIN_JOINED_LINUX_INSTANCE", "gMSA needs Docker"),
	NOT_HERE("ZZZ_SKIP_DOMAIN_JOIN_CHECK_NOT_SUPPORTED_IN_PRODUCTION", "gMSA needs Docker"),
	NOT_HERE("ZZZ_SKIP_DOMAIN_LESS_CHECK_NOT_SUPPORTED_IN_PRODUCTION", "gMSA needs Docker"),
	NOT_HERE("ECS_FSX_WINDOWS_FILE_SERVER_SUPPORTED", "this is not Windows"),
	NOT_HERE("ECS_ENABLE_CPU_UNBOUNDED_WINDOWS_WORKAROUND", "this is not Windows"),
	NOT_HERE("ECS_ENABLE_MEMORY_UNBOUNDED_WINDOWS_WORKAROUND", "this is not Windows"),
	NOT_HERE("ECS_CONTAINER_METADATA_URI", "given to containers, not read by the agent"),
	NOT_HERE("ECS_CONTAINER_METADATA_URI_V4", "given to containers, not read by the agent"),
	NOT_HERE("ECS_AGENT_URI", "given to containers, not read by the agent"),
	{},
};
/* clang-format on */

const struct config_key *config_find_key(const char *name)
{
	for (const struct config_key *k = config_keys; k->key; k++)
		if (strcmp(k->key, name) == 0)
			return k;
	return NULL;
}
