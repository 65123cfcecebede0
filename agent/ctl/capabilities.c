/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/capabilities.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"
#include "common/fs.h"
#include "common/macro.h"
#include "common/strv.h"

#define A "com.amazonaws.ecs.capability."
#define B "ecs.capability."

enum { MEMINFO_MAX = 64 * 1024, CPU_UNITS = 1024 };

typedef bool (*condition_fn)(const struct config *c);

static bool always(const struct config *c)
{
	(void) c;
	return true;
}

static bool privileged(const struct config *c)
{
	return !c->privileged_disabled;
}

static bool task_limits(const struct config *c)
{
	return c->task_cpu_mem_limit;
}

static bool task_eni(const struct config *c)
{
	return c->task_eni;
}

static bool blocks_imds(const struct config *c)
{
	return c->task_eni && c->awsvpc_block_imds;
}

static bool trunking(const struct config *c)
{
	return c->task_eni && c->high_density_eni;
}

static bool health_checks(const struct config *c)
{
	return !c->health_check_disabled;
}

static bool task_roles(const struct config *c)
{
	return c->task_iam_role;
}

static bool task_roles_in_host_mode(const struct config *c)
{
	return c->task_iam_role_host;
}

static bool json_file(const struct config *c)
{
	return strv_contains(c->logging_drivers, "json-file");
}

static bool selinux(const struct config *c)
{
	return c->selinux_capable;
}

static bool apparmor(const struct config *c)
{
	return c->apparmor_capable;
}

static bool no_logs(const struct config *c)
{
	return strv_contains(c->logging_drivers, "none");
}

/*
 * In the order in which the reference agent lists them. A name stands here only when this agent
 * does what it promises; a new feature adds its row with its implementation.
 */
static const struct {
	const char *name;
	condition_fn holds;
	const char *value;
} capabilities[] = {
	{ B "private-registry-authentication.secretsmanager", always },
	{ B "secrets.ssm.environment-variables", always },
	{ B "ecr-endpoint", always },
	{ B "secrets.asm.environment-variables", always },
	{ B "full-sync", always },
	{ B "env-files.s3", always },
	{ B "network.container-port-range", always },
	{ A "privileged-container", privileged },
	/*
	 * the remote API levels stand for ordinary container
	 * options; placement fails without them
	 */
	{ A "docker-remote-api.1.17", always },
	{ A "docker-remote-api.1.18", always },
	{ A "docker-remote-api.1.19", always },
	{ A "docker-remote-api.1.20", always },
	{ A "docker-remote-api.1.21", always },
	{ A "docker-remote-api.1.22", always },
	{ A "docker-remote-api.1.23", always },
	{ A "docker-remote-api.1.24", always },
	{ A "docker-remote-api.1.25", always },
	{ A "docker-remote-api.1.28", always },
	{ A "docker-remote-api.1.29", always },
	{ A "docker-remote-api.1.30", always },
	{ A "docker-remote-api.1.32", always },
	{ A "logging-driver.json-file", json_file },
	{ A "logging-driver.none", no_logs },
	{ A "selinux", selinux },
	{ A "apparmor", apparmor },
	{ A "task-iam-role", task_roles },
	{ A "task-iam-role-network-host", task_roles_in_host_mode },
	{ B "task-cpu-mem-limit", task_limits },
	{ B "increased-task-cpu-limit", task_limits },
	/* No plugin moves the interfaces, the agent does: what is asked for is its version. */
	{ B "task-eni", task_eni },
	{ B "task-eni.ipv6", task_eni },
	{ B "cni-plugin-version", task_eni, GIT_HASH "-" PACKAGE_VERSION },
	{ B "task-eni-block-instance-metadata", blocks_imds },
	{ B "task-eni-trunking", trunking },
	{ B "branch-cni-plugin-version", trunking, GIT_HASH "-" PACKAGE_VERSION },
	{ A "ecr-auth", always },
	{ B "execution-role-ecr-pull", always },
	{ B "container-health-check", health_checks },
	{ B "container-ordering", always },
	{ B "container-restart-policy", always },
	{ B "docker-plugin.local", always },
	{ B "pid-ipc-namespace-sharing", always },
	{ B "efs", always },
};

bool capability_log_driver(const char *name)
{
	return strcmp(name, "json-file") == 0 || strcmp(name, "none") == 0;
}

int64_t meminfo_total_mib(const char *text)
{
	const char *p = strstr(text, "MemTotal:");
	long long kib = p ? strtoll(p + strlen("MemTotal:"), NULL, 10) : 0;

	return kib > 0 ? kib / 1024 : 0;
}

int host_facts_read(struct host_facts *ret, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	int k = fs_read_file(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, NULL, err);

	if (k < 0)
		return k;
	*ret = (struct host_facts){ .cpus = n > 0 ? (int) n : 1,
				    .memory_mib = meminfo_total_mib(text) };
	return ret->memory_mib > 0 ? 0 : err_set(err, EPROTO, "/proc/meminfo has no MemTotal");
}

static int add(json_t *list, const char *name, const char *value)
{
	json_t *a = value ? json_pack("{s:s, s:s}", "name", name, "value", value)
			  : json_pack("{s:s}", "name", name);

	return json_array_append_new(list, a);
}

static int add_custom(const struct config *c, json_t *list)
{
	int bad = 0;

	for (size_t i = 0; i < c->n_instance_attributes; i++)
		bad |= add(list, c->instance_attributes[i].key, c->instance_attributes[i].value);
	return bad;
}

static int add_gpu_driver(const struct config *c, json_t *list)
{
	char name[160];

	if (!c->gpu_support || !c->gpus.driver_version)
		return 0;
	(void) snprintf(name, sizeof(name), B "nvidia-driver-version.%.100s",
			c->gpus.driver_version);
	return add(list, name, NULL) | add(list, B "gpu-driver-version", c->gpus.driver_version);
}

static int add_volume_plugins(const struct config *c, json_t *list)
{
	int bad = 0;

	for (char *const *s = c->volume_plugin_capabilities; s && *s; s++) {
		_cleanup_(freep) char *name = path_join(B "%s", *s);

		bad |= name ? add(list, name, NULL) : -1;
	}
	return bad;
}

static const char *go_architecture(void)
{
#if defined(__x86_64__)
	return "x86_64";
#elif defined(__i386__)
	return "i386";
#elif defined(__aarch64__)
	return "arm64";
#else
	return "unknown";
#endif
}

int capabilities_build(const struct config *config, const struct host_facts *facts, bool first,
		       json_t **ret, struct err *err)
{
	json_auto_t *list = json_array();
	int bad = first ? add_custom(config, list) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].holds(config))
			bad |= add(list, capabilities[i].name, capabilities[i].value);
	bad |= add_gpu_driver(config, list);
	bad |= add_volume_plugins(config, list);
	if (config->external)
		bad |= add(list, B "external", NULL);
	if (config->task_eni && facts->vpc_id && facts->subnet_id) {
		bad |= add(list, "ecs.vpc-id", facts->vpc_id);
		bad |= add(list, "ecs.subnet-id", facts->subnet_id);
	}
	bad |= add(list, "ecs.os-type", "linux");
	bad |= add(list, "ecs.os-family", "LINUX");
	bad |= add(list, "ecs.os-type-detailed",
		   config->detailed_os_family ? config->detailed_os_family : "LINUX");
	if (config->external)
		bad |= add(list, "ecs.cpu-architecture", go_architecture());
	if (facts->outpost_arn)
		bad |= add(list, "ecs.outpost-arn", facts->outpost_arn);
	if (!list || bad)
		return err_set(err, ENOMEM, "build attributes");
	*ret = json_incref(list);
	return 0;
}

static json_t *integer_resource(const char *name, int64_t value)
{
	json_t *r = json_pack("{s:s, s:s}", "name", name, "type", "INTEGER");

	if (value != 0)
		(void) json_object_set_new(r, "integerValue", json_integer(value));
	return r;
}

static json_t *ports_resource(const char *name, const struct port_list *l)
{
	json_t *set = json_array();
	char text[8];

	for (size_t i = 0; i < l->n; i++) {
		(void) snprintf(text, sizeof(text), "%u", (unsigned) l->ports[i]);
		(void) json_array_append_new(set, json_string(text));
	}
	return json_pack("{s:s, s:s, s:o}", "name", name, "type", "STRINGSET", "stringSetValue",
			 set);
}

int resources_build(const struct config *config, const struct host_facts *facts, json_t **ret,
		    struct err *err)
{
	int64_t memory = facts->memory_mib - config->reserved_memory_mib;
	json_t *list;

	if (memory < 0)
		return err_set(err, ERANGE,
			       "ECS_RESERVED_MEMORY: %lld is more than the %lld MiB of this host",
			       (long long) config->reserved_memory_mib,
			       (long long) facts->memory_mib);
	list = json_pack("[o, o, o, o]", integer_resource("CPU", (int64_t) facts->cpus * CPU_UNITS),
			 integer_resource("MEMORY", memory),
			 ports_resource("PORTS", &config->reserved_ports),
			 ports_resource("PORTS_UDP", &config->reserved_ports_udp));
	if (!list)
		return err_set(err, ENOMEM, "build resources");
	*ret = list;
	return 0;
}

static const char *value_of(const json_t *list, const char *name)
{
	const json_t *a;
	size_t i;

	json_array_foreach((json_t *) list, i, a) {
		const char *n = json_string_value(json_object_get(a, "name"));
		const char *v = json_string_value(json_object_get(a, "value"));

		if (n && strcmp(n, name) == 0)
			return v ? v : "";
	}
	return NULL;
}

int attributes_check_echo(const json_t *sent, const json_t *echoed, struct err *err)
{
	const json_t *a;
	size_t i;

	json_array_foreach((json_t *) sent, i, a) {
		const char *name = json_string_value(json_object_get(a, "name"));
		const char *want = json_string_value(json_object_get(a, "value"));
		const char *got = value_of(echoed, name);

		if (!got || strcmp(got, want ? want : "") != 0)
			return err_set(err, EPROTO,
				       "Attribute validation failed: '%s' came back as '%s'", name,
				       got ? got : "(absent)");
	}
	return 0;
}
