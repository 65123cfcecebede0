/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule is a small function over the copied JSON; they stand in one table in the order in which
 * they are tried.
 */
#include "controlplane/gpu.h"
#include "controlplane/taskdef_rules.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/macro.h"

enum { PORTS_MAX = 100, MEMORY_MIN_MIB = 4 };

static int check_name(const json_t *td, json_t *c, struct api_error *e)
{
	const char *name = json_get_string(c, "name", "");

	if (!*name)
		return api_fail(e, "ClientException",
				"Container.name should not be null or empty.");
	if (strlen(name) >= ARN_NAME_MAX || strspn(name, NAME_CHARACTERS) != strlen(name))
		return api_fail(e, "ClientException",
				"Container.name contains invalid characters or is longer than 255: "
				"'%.64s'.",
				name);
	if (taskdef_container(td, name) != c)
		return api_fail(e, "ClientException", "Container names must be unique: '%s'.",
				name);
	return 0;
}

static int check_image(const json_t *td, json_t *c, struct api_error *e)
{
	const char *image = json_get_string(c, "image", "");

	(void) td;
	if (!*image)
		return api_fail(e, "ClientException",
				"Container.image should not be null or empty.");
	if (strpbrk(image, " \t\r\n") || strlen(image) > 1024)
		return api_fail(e, "ClientException",
				"Container.image contains invalid characters or is too long.");
	return 0;
}

static int check_cpu(const json_t *td, json_t *c, struct api_error *e)
{
	int64_t cpu = json_get_int(c, "cpu", 0), of_task = 0;
	const char *text = json_get_string(td, "cpu", NULL);

	if (cpu < 0 || cpu > TASKDEF_CPU_UNITS_MAX)
		return fail_container(e, c, "'cpu' must be between 0 and %d.",
				      TASKDEF_CPU_UNITS_MAX);
	if (text && taskdef_parse_cpu(text, &of_task) == 0 && cpu > of_task)
		return fail_container(e, c, "'cpu' is more than the cpu of the task.");
	return json_object_set_new(c, "cpu", json_integer(cpu));
}

static int check_memory(const json_t *td, json_t *c, struct api_error *e)
{
	int64_t memory = json_get_int(c, "memory", 0), of_task = 0;
	int64_t soft = json_get_int(c, "memoryReservation", 0);
	const char *text = json_get_string(td, "memory", NULL);

	if (json_object_get(c, "memory") && memory < MEMORY_MIN_MIB)
		return fail_container(e, c, "'memory' must be at least %d MiB.", MEMORY_MIN_MIB);
	if (json_object_get(c, "memoryReservation") && soft < MEMORY_MIN_MIB)
		return fail_container(e, c, "'memoryReservation' must be at least %d MiB.",
				      MEMORY_MIN_MIB);
	if (!memory && !soft && !text)
		return fail_container(e, c,
				      "At least one of 'memory' or 'memoryReservation' must be "
				      "specified.");
	if (memory && soft > memory)
		return fail_container(e, c,
				      "The 'memoryReservation' must not be more than the "
				      "'memory'.");
	if (text && taskdef_parse_memory(text, &of_task) == 0 && MAX(memory, soft) > of_task)
		return fail_container(e, c, "'memory' is more than the memory of the task.");
	return 0;
}

/* "8000-8010" */
static bool parse_range(const char *text, long *first, long *last)
{
	char *end = NULL;

	if (strspn(text, "0123456789-") != strlen(text))
		return false;
	*first = strtol(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	text = end + 1;
	*last = strtol(text, &end, 10);
	return end != text && !*end && *first >= 1 && *last <= 65535 && *first <= *last;
}

static int check_port_range(const json_t *td, json_t *c, json_t *p, struct api_error *e)
{
	long first = 0, last = 0;

	if (json_object_get(p, "containerPort") || json_object_get(p, "hostPort"))
		return fail_container(e, c,
				      "'containerPortRange' excludes 'containerPort' and "
				      "'hostPort'.");
	if (!parse_range(json_get_string(p, "containerPortRange", ""), &first, &last))
		return fail_container(e, c,
				      "The 'containerPortRange' must be like 8000-8010 within 1 "
				      "and 65535.");
	if (last - first >= 100 && strcmp(mode_of(td), "bridge") == 0)
		return fail_container(e, c, "A 'containerPortRange' spans at most 100 ports.");
	return 0;
}

static int check_single_port(const json_t *td, json_t *c, json_t *p, struct api_error *e)
{
	int64_t port = json_get_int(p, "containerPort", 0);
	int64_t host = json_get_int(p, "hostPort", 0);
	bool bridge = strcmp(mode_of(td), "bridge") == 0;

	if (port < 1 || port > 65535)
		return fail_container(e, c, "The 'containerPort' must be between 1 and 65535.");
	if (host < 0 || host > 65535)
		return fail_container(e, c, "The 'hostPort' must be between 0 and 65535.");
	if (!bridge && json_object_get(p, "hostPort") && host != port)
		return api_fail(e, "ClientException",
				"When networkMode=%s, the host ports and container ports in port "
				"mappings must match.",
				mode_of(td));
	return json_object_set_new(p, "hostPort", json_integer(bridge ? host : port));
}

static int check_ports(const json_t *td, json_t *c, struct api_error *e)
{
	static const char *const protocols[] = { "tcp", "udp", NULL };
	json_t *list = json_object_get(c, "portMappings"), *p;
	size_t i;

	if (json_array_size(list) > PORTS_MAX)
		return fail_container(e, c, "A container has at most %d port mappings.", PORTS_MAX);
	if (json_array_size(list) > 0 && strcmp(mode_of(td), "none") == 0)
		return api_fail(e, "ClientException",
				"When networkMode=none, port mappings are not allowed.");
	json_array_foreach(list, i, p) {
		const char *protocol = json_get_string(p, "protocol", "tcp");

		if (!one_of(protocol, protocols))
			return fail_container(e, c, "The 'protocol' must be tcp or udp.");
		if ((json_object_get(p, "containerPortRange") ? check_port_range
							      : check_single_port)(td, c, p, e) < 0)
			return -1;
		(void) json_object_set_new(p, "protocol", json_string(protocol));
	}
	return 0;
}

static int check_environment(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *v;
	size_t i;

	(void) td;
	json_array_foreach(json_object_get(c, "environment"), i, v) {
		const char *name = json_get_string(v, "name", "");

		if (!*name || strchr(name, '='))
			return fail_container(e, c,
					      "The names in 'environment' must not be empty or "
					      "hold '='.");
		if (!json_object_get(v, "value"))
			(void) json_object_set_new((json_t *) v, "value", json_string(""));
	}
	return 0;
}

static int check_secrets(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *list = json_object_get(c, "secrets"), *v;
	size_t i;

	if (json_array_size(list) > 0 && !json_object_get(td, "executionRoleArn"))
		return api_fail(e, "ClientException",
				"When you are specifying container secrets, you must also specify "
				"a value for 'executionRoleArn'.");
	json_array_foreach(list, i, v)
		if (!*json_get_string(v, "name", "") || !*json_get_string(v, "valueFrom", ""))
			return fail_container(e, c,
					      "Each of 'secrets' needs 'name' and 'valueFrom'.");
	return 0;
}

static bool has_volume(const json_t *td, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(td, "volumes"), i, v)
		if (strcmp(json_get_string(v, "name", ""), name) == 0)
			return true;
	return false;
}

static int check_mounts(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c, "mountPoints"), i, v) {
		const char *volume = json_get_string(v, "sourceVolume", "");

		if (!has_volume(td, volume))
			return api_fail(e, "ClientException", "Unknown volume '%.255s'.", volume);
		if (json_get_string(v, "containerPath", "")[0] != '/')
			return fail_container(e, c,
					      "The 'containerPath' of a mount point must be "
					      "absolute.");
	}
	json_array_foreach(json_object_get(c, "volumesFrom"), i, v) {
		const char *source = json_get_string(v, "sourceContainer", "");

		if (!taskdef_container(td, source) || taskdef_container(td, source) == c)
			return api_fail(e, "ClientException",
					"Unknown container '%.255s' in 'volumesFrom'.", source);
	}
	return 0;
}

static int check_links(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *list = json_object_get(c, "links"), *v;
	size_t i;

	if (json_array_size(list) > 0 && strcmp(mode_of(td), "bridge") != 0)
		return api_fail(e, "ClientException",
				"Links are not supported when "
				"networkMode=%s.",
				mode_of(td));
	json_array_foreach(list, i, v) {
		const char *link = json_string_value(v);
		size_t len = strcspn(link, ":");
		char name[ARN_NAME_MAX];

		if (len == 0 || len >= sizeof(name) || (link[len] && !link[len + 1]))
			return fail_container(e, c, "A link is 'name' or 'name:alias'.");
		memcpy(name, link, len);
		name[len] = '\0';
		if (!taskdef_container(td, name) || taskdef_container(td, name) == c)
			return api_fail(e, "ClientException", "Unknown container '%s' in 'links'.",
					name);
	}
	return 0;
}

static int check_dependency(const json_t *td, json_t *c, const json_t *d, struct api_error *e)
{
	static const char *const conditions[] = { "START", "COMPLETE", "SUCCESS", "HEALTHY", NULL };
	const char *name = json_get_string(d, "containerName", "");
	const char *condition = json_get_string(d, "condition", "");
	const json_t *on = taskdef_container(td, name);

	if (!on || on == c)
		return api_fail(e, "ClientException", "Unknown container '%.255s' in 'dependsOn'.",
				name);
	if (!one_of(condition, conditions))
		return fail_container(e, c, "Unknown condition '%.64s' in 'dependsOn'.", condition);
	if (strcmp(condition, "HEALTHY") == 0 && !json_object_get(on, "healthCheck"))
		return fail_container(e, c,
				      "It depends on '%s' being HEALTHY, which has no "
				      "'healthCheck'.",
				      name);
	if ((strcmp(condition, "COMPLETE") == 0 || strcmp(condition, "SUCCESS") == 0) &&
	    !json_is_false(json_object_get(on, "essential")))
		return fail_container(e, c,
				      "It depends on the end of '%s', which is an essential "
				      "container.",
				      name);
	return 0;
}

static int check_dependencies(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c, "dependsOn"), i, v)
		if (check_dependency(td, c, v, e) < 0)
			return -1;
	return 0;
}

static int check_bounded(const json_t *c, const json_t *obj, const char *key, int64_t min,
			 int64_t max, struct api_error *e)
{
	const json_t *v = json_object_get(obj, key);

	if (v && (json_integer_value(v) < min || json_integer_value(v) > max))
		return fail_container(e, c, "'%s' must be between %" PRId64 " and %" PRId64 ".",
				      key, min, max);
	return 0;
}

static int check_health(const json_t *td, json_t *c, struct api_error *e)
{
	json_t *h = json_object_get(c, "healthCheck");
	static const struct {
		const char *key;
		int fallback; /* what ECS shows for an absent member; -1: nothing */
		int min, max;
	} fields[] = {
		{ "interval", 30, 5, 300 },
		{ "timeout", 5, 2, 120 },
		{ "retries", 3, 1, 10 },
		{ "startPeriod", -1, 0, 300 },
	};

	(void) td;
	if (!h)
		return 0;
	if (json_array_size(json_object_get(h, "command")) == 0)
		return fail_container(e, c, "The 'command' of 'healthCheck' must not be empty.");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (check_bounded(c, h, fields[i].key, fields[i].min, fields[i].max, e) < 0)
			return -1;
		if (!json_object_get(h, fields[i].key) && fields[i].fallback >= 0)
			(void) json_object_set_new(h, fields[i].key,
						   json_integer(fields[i].fallback));
	}
	return 0;
}

static int check_logging(const json_t *td, json_t *c, struct api_error *e)
{
	static const char *const drivers[] = { "json-file", "syslog",  "journald", "gelf",
					       "fluentd",   "awslogs", "splunk",   "awsfirelens",
					       "none",      NULL };
	const json_t *log = json_object_get(c, "logConfiguration");
	const char *driver = json_get_string(log, "logDriver", "");

	(void) td;
	if (log && !one_of(driver, drivers))
		return fail_container(e, c, "Log driver '%.64s' is not supported.", driver);
	if (log && strcmp(driver, "awslogs") == 0 &&
	    (!json_object_get(json_object_get(log, "options"), "awslogs-group") ||
	     !json_object_get(json_object_get(log, "options"), "awslogs-region")))
		return api_fail(e, "ClientException",
				"Log driver awslogs requires options: awslogs-region, "
				"awslogs-group.");
	return 0;
}

static int check_ulimits(const json_t *td, json_t *c, struct api_error *e)
{
	static const char *const names[] = { "core",   "cpu",        "data",     "fsize",
					     "locks",  "memlock",    "msgqueue", "nice",
					     "nofile", "nproc",      "rss",      "rtprio",
					     "rttime", "sigpending", "stack",    NULL };
	const json_t *v;
	size_t i;

	(void) td;
	json_array_foreach(json_object_get(c, "ulimits"), i, v) {
		const char *name = json_get_string(v, "name", "");
		int64_t soft = json_get_int(v, "softLimit", -1);
		int64_t hard = json_get_int(v, "hardLimit", -1);

		if (!one_of(name, names))
			return fail_container(e, c, "Unknown ulimit '%.64s'.", name);
		if (hard >= 0 && (soft > hard || soft < -1))
			return fail_container(e, c,
					      "The soft limit of '%s' must not be more than its "
					      "hard limit.",
					      name);
	}
	return 0;
}

static int check_device(const json_t *c, const json_t *d, struct api_error *e)
{
	static const char *const known[] = { "read", "write", "mknod", NULL };
	const json_t *p;
	size_t i;

	if (*json_get_string(d, "hostPath", "") != '/')
		return fail_container(e, c, "The 'hostPath' of a device must be an absolute path.");
	json_array_foreach(json_object_get(d, "permissions"), i, p)
		if (!one_of(json_string_value(p), known))
			return fail_container(e, c, "Unknown permission '%.64s' of a device.",
					      json_string_value(p));
	return 0;
}

static int check_tmpfs(const json_t *c, const json_t *t, struct api_error *e)
{
	if (*json_get_string(t, "containerPath", "") != '/')
		return fail_container(e, c,
				      "The 'containerPath' of a tmpfs must be an absolute path.");
	if (!json_object_get(t, "size"))
		return fail_container(e, c, "The 'size' of a tmpfs must not be empty.");
	return check_bounded(c, t, "size", 1, INT32_MAX, e);
}

static int check_linux(const json_t *td, json_t *c, struct api_error *e)
{
	const json_t *l = json_object_get(c, "linuxParameters"), *v;
	size_t i;

	(void) td;
	if (check_bounded(c, l, "swappiness", 0, 100, e) < 0 ||
	    check_bounded(c, l, "sharedMemorySize", 1, INT32_MAX, e) < 0 ||
	    check_bounded(c, l, "maxSwap", 0, INT32_MAX, e) < 0)
		return -1;
	json_array_foreach(json_object_get(l, "devices"), i, v)
		if (check_device(c, v, e) < 0)
			return -1;
	json_array_foreach(json_object_get(l, "tmpfs"), i, v)
		if (check_tmpfs(c, v, e) < 0)
			return -1;
	return 0;
}

static int check_times(const json_t *td, json_t *c, struct api_error *e)
{
	(void) td;
	if (check_bounded(c, c, "stopTimeout", 0, 86400, e) < 0)
		return -1;
	return check_bounded(c, c, "startTimeout", 0, 86400, e);
}

static int check_restart_policy(const json_t *td, json_t *c, struct api_error *e)
{
	enum { IGNORED_CODES_MAX = 50, PERIOD_MIN_SEC = 60, PERIOD_MAX_SEC = 1800 };
	const json_t *policy = json_object_get(c, "restartPolicy");

	(void) td;
	if (!policy)
		return 0;
	if (!json_object_get(policy, "enabled"))
		return fail_container(e, c, "Its 'restartPolicy' does not say 'enabled'.");
	if (json_array_size(json_object_get(policy, "ignoredExitCodes")) > IGNORED_CODES_MAX)
		return fail_container(e, c, "'ignoredExitCodes' must be at most %d.",
				      IGNORED_CODES_MAX);
	return check_bounded(c, policy, "restartAttemptPeriod", PERIOD_MIN_SEC, PERIOD_MAX_SEC, e);
}

static int check_defaults(const json_t *td, json_t *c, struct api_error *e)
{
	static const char *const lists[] = { "portMappings", "environment", "mountPoints",
					     "volumesFrom", "systemControls" };

	(void) td, (void) e;
	if (!json_object_get(c, "essential"))
		(void) json_object_set_new(c, "essential", json_true());
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!json_object_get(c, lists[i]))
			(void) json_object_set_new(c, lists[i], json_array());
	return 0;
}

static int (*const container_rules[])(const json_t *td, json_t *c, struct api_error *e) = {
	check_name,        check_image,          check_cpu,      check_memory, check_ports,
	check_environment, check_secrets,        check_mounts,   check_links,  check_dependencies,
	check_health,      check_logging,        check_ulimits,  check_times,  gpu_check,
	check_linux,       check_restart_policy, check_defaults,
};

int taskdef_check_container(const json_t *td, json_t *c, struct api_error *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(container_rules); i++)
		if (container_rules[i](td, c, e) < 0)
			return -1;
	return 0;
}
