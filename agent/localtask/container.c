/* SPDX-License-Identifier: Apache-2.0 */
/* containerDefinitions[]: the rules of each member, and what does not keep its shape. */
#include <errno.h>
#include <string.h>

#include "agent/localtask/rules.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"

enum { HEALTH_INTERVAL_S = 30, HEALTH_TIMEOUT_S = 5, HEALTH_RETRIES = 3, RESTART_PERIOD_S = 60 };

static const int64_t MIB = 1 << 20, NSEC_PER_S = 1000000000;

#define ROLE_REFUSED "its value is fetched with a role, which only a control plane can give"
#define SERVICE_CONNECT "of portMappings, concerns Service Connect, which this host has no part in"

/* ---- the image ---- */

/* "123456789012.dkr.ecr.eu-west-1.amazonaws.com/…": the instance's own role logs in. */
static json_t *ecr_login(const char *image)
{
	static const char infix[] = ".dkr.ecr.", suffix[] = ".amazonaws.com";
	const char *region = image + 12 + strlen(infix), *end;

	if (strspn(image, "0123456789") != 12 || strncmp(image + 12, infix, strlen(infix)) != 0)
		return NULL;
	end = strstr(region, suffix);
	if (!end || end > region + strcspn(region, "/"))
		return NULL;
	return json_pack("{s:s, s:{s:s%, s:s%, s:b}}", "type", "ecr", "ecrAuthData", "registryId",
			 image, (size_t) 12, "region", region, (size_t) (end - region),
			 "useExecutionRole", 0);
}

static int make_image(const json_t *v, const struct making *m, struct err *err)
{
	json_t *login = ecr_login(json_string_value(v));

	if (login && rules_put(m->container, "registryAuthentication", login, err) < 0)
		return -ENOMEM;
	return rules_put(m->container, "image", json_incref((json_t *) v), err);
}

/* ---- maps that are lists in the API ---- */

/* [{@name: key, @value: text}] into an object. */
static int pairs(const json_t *list, const char *name, const char *value, json_t *to,
		 struct err *err)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		const char *key = json_get_string(one, name, "");

		if (!*key)
			return err_set(err, EPROTO, "[%zu]: %s: is empty", i, name);
		if (rules_put(to, key, json_string(json_get_string(one, value, "")), err) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int make_environment(const json_t *v, const struct making *m, struct err *err)
{
	json_t *env = json_object_get(m->container, "environment");

	return pairs(v, "name", "value", env, err);
}

static int make_sysctls(const json_t *v, const struct making *m, struct err *err)
{
	json_t *to = json_object();
	int k = rules_put(m->host, "Sysctls", to, err);

	return k < 0 ? k : pairs(v, "namespace", "value", to, err);
}

/* ---- lists of objects that are made over one by one ---- */

typedef json_t *(*convert_fn)(const json_t *one);

static int make_list(const json_t *v, json_t *to, const char *key, convert_fn convert,
		     struct err *err)
{
	json_t *list = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach(v, i, one)
		if (json_array_append_new(list, convert(one)) < 0) {
			json_decref(list);
			return err_set(err, ENOMEM, "allocate list");
		}
	return rules_put(to, key, list, err);
}

/* Without names: those are of Service Connect. */
static json_t *port(const json_t *one)
{
	static const char *const keys[] = { "containerPort", "hostPort", "containerPortRange",
					    "protocol" };
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *v = json_object_get(one, keys[i]);

		if (v && !json_is_null(v) && json_object_set(o, keys[i], v) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static int make_ports(const json_t *v, const struct making *m, struct err *err)
{
	return make_list(v, m->container, "portMappings", port, err);
}

static json_t *extra_host(const json_t *one)
{
	return json_sprintf("%s:%s", json_get_string(one, "hostname", ""),
			    json_get_string(one, "ipAddress", ""));
}

static int make_extra_hosts(const json_t *v, const struct making *m, struct err *err)
{
	return make_list(v, m->host, "ExtraHosts", extra_host, err);
}

static json_t *ulimit(const json_t *one)
{
	return json_pack("{s:s, s:I, s:I}", "Name", json_get_string(one, "name", ""), "Soft",
			 (json_int_t) json_get_int(one, "softLimit", 0), "Hard",
			 (json_int_t) json_get_int(one, "hardLimit", 0));
}

static int make_ulimits(const json_t *v, const struct making *m, struct err *err)
{
	return make_list(v, m->host, "Ulimits", ulimit, err);
}

static json_t *device(const json_t *one)
{
	static const struct {
		const char *word;
		char letter;
	} known[] = { { "read", 'r' }, { "write", 'w' }, { "mknod", 'm' } };
	const char *path = json_get_string(one, "hostPath", "");
	char letters[ARRAY_SIZE(known) + 1] = "";
	const json_t *p;
	size_t i, n = 0;

	for (size_t j = 0; j < ARRAY_SIZE(known); j++)
		json_array_foreach(json_object_get(one, "permissions"), i, p)
			if (strcmp(json_string_value(p), known[j].word) == 0 &&
			    !strchr(letters, known[j].letter))
				letters[n++] = known[j].letter;
	return json_pack("{s:s, s:s, s:s}", "PathOnHost", path, "PathInContainer",
			 json_get_string(one, "containerPath", path), "CgroupPermissions",
			 n ? letters : "rwm");
}

static int make_devices(const json_t *v, const struct making *m, struct err *err)
{
	const json_t *one, *p;
	size_t i, j;

	json_array_foreach(v, i, one)
		json_array_foreach(json_object_get(one, "permissions"), j, p) {
			const char *word = json_string_value(p);

			if (strcmp(word, "read") && strcmp(word, "write") && strcmp(word, "mknod"))
				return err_set(err, EPROTO,
					       "[%zu]: permissions[%zu]: '%.32s' is none of read, "
					       "write and mknod",
					       i, j, word);
		}
	return make_list(v, m->host, "Devices", device, err);
}

/* ---- objects ---- */

static int make_health_check(const json_t *v, const struct making *m, struct err *err)
{
	json_t *out = json_pack(
		"{s:O?, s:I, s:I, s:I, s:I}", "Test", json_object_get(v, "command"), "Interval",
		(json_int_t) (json_get_int(v, "interval", HEALTH_INTERVAL_S) * NSEC_PER_S),
		"Timeout", (json_int_t) (json_get_int(v, "timeout", HEALTH_TIMEOUT_S) * NSEC_PER_S),
		"StartPeriod", (json_int_t) (json_get_int(v, "startPeriod", 0) * NSEC_PER_S),
		"Retries", (json_int_t) json_get_int(v, "retries", HEALTH_RETRIES));

	return rules_put(m->config, "HealthCheck", out, err);
}

static int make_log(const json_t *v, const struct making *m, struct err *err)
{
	json_t *options = json_object_get(v, "options");
	json_t *out = json_pack("{s:s, s:o}", "Type", json_get_string(v, "logDriver", ""), "Config",
				json_is_object(options) ? json_incref(options) : json_object());

	return rules_put(m->host, "LogConfig", out, err);
}

static int make_restart(const json_t *v, const struct making *m, struct err *err)
{
	json_t *copy = json_copy((json_t *) v);

	if (copy && !json_object_get(copy, "restartAttemptPeriod") &&
	    rules_put(copy, "restartAttemptPeriod", json_integer(RESTART_PERIOD_S), err) < 0) {
		json_decref(copy);
		return -ENOMEM;
	}
	return rules_put(m->container, "restartPolicy", copy, err);
}

/* MiB into bytes; 1 PiB is more than any host has. */
static int mib(const json_t *v, int64_t min, int64_t *ret_bytes, struct err *err)
{
	static const int64_t max = 1 << 30;
	json_int_t n = json_integer_value(v);

	if (n < min || n > max)
		return err_set(err, EPROTO, "%lld is outside %lld..%lld MiB", (long long) n,
			       (long long) min, (long long) max);
	*ret_bytes = n * MIB;
	return 0;
}

static int put_mib(const json_t *v, json_t *to, const char *key, struct err *err)
{
	int64_t bytes = 0;
	int k = mib(v, 0, &bytes, err);

	return k < 0 || bytes == 0 ? k : rules_put(to, key, json_integer(bytes), err);
}

static int make_memory(const json_t *v, const struct making *m, struct err *err)
{
	int k = put_mib(v, m->host, "Memory", err);

	return k < 0 ? k : rules_put(m->container, "memory", json_incref((json_t *) v), err);
}

static int make_reservation(const json_t *v, const struct making *m, struct err *err)
{
	return put_mib(v, m->host, "MemoryReservation", err);
}

static int make_shm(const json_t *v, const struct making *m, struct err *err)
{
	return put_mib(v, m->host, "ShmSize", err);
}

/* The limit of both together; the service takes no maxSwap without a limit of memory. */
static int make_swap(const json_t *v, const struct making *m, struct err *err)
{
	int64_t memory = json_get_int(m->from, "memory", 0), swap = 0;
	int k = 0;

	if (json_integer_value(v) == -1)
		return rules_put(m->host, "MemorySwap", json_integer(-1), err);
	if (memory <= 0 || memory > 1 << 30)
		return err_set(err, EPROTO, "needs a limit of memory beside it");
	k = mib(v, 0, &swap, err);
	return k < 0 ? k : rules_put(m->host, "MemorySwap", json_integer(memory * MIB + swap), err);
}

static int make_capabilities(const json_t *v, const struct making *m, struct err *err)
{
	static const char *const keys[][2] = { { "add", "CapAdd" }, { "drop", "CapDrop" } };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *list = json_object_get(v, keys[i][0]);

		if (list && rules_put(m->host, keys[i][1], json_incref(list), err) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* {"/run": "size=64m,rw"} */
static int make_tmpfs(const json_t *v, const struct making *m, struct err *err)
{
	const json_t *one, *option;
	json_t *to = json_object();
	size_t i, j;
	int k = rules_put(m->host, "Tmpfs", to, err);

	json_array_foreach(v, i, one) {
		_cleanup_(buf_done) struct buf text = {};

		(void) buf_printf(&text, "size=%lldm", (long long) json_get_int(one, "size", 0));
		json_array_foreach(json_object_get(one, "mountOptions"), j, option)
			(void) buf_printf(&text, ",%s", json_string_value(option));
		if (k == 0)
			k = rules_put(to, json_get_string(one, "containerPath", ""),
				      text.failed ? NULL : json_string(buf_str(&text)), err);
	}
	return k;
}

/* ---- the tables ---- */

static const struct rule pair_rules[] = { { .key = "name", .type = RULE_STRING, .required = true },
					  { .key = "value", .type = RULE_STRING },
					  {} };

static const struct rule sysctl_rules[] = {
	{ .key = "namespace", .type = RULE_STRING, .required = true },
	{ .key = "value", .type = RULE_STRING },
	{}
};

static const struct rule port_rules[] = {
	{ .key = "containerPort", .type = RULE_INT },
	{ .key = "hostPort", .type = RULE_INT },
	{ .key = "containerPortRange", .type = RULE_STRING },
	{ .key = "protocol", .type = RULE_STRING },
	{ .key = "name", .type = RULE_STRING, .note = SERVICE_CONNECT },
	{ .key = "appProtocol", .type = RULE_STRING, .note = SERVICE_CONNECT },
	{}
};

static const struct rule mount_rules[] = {
	{ .key = "sourceVolume", .type = RULE_STRING, .required = true },
	{ .key = "containerPath", .type = RULE_STRING, .required = true },
	{ .key = "readOnly", .type = RULE_BOOL },
	{}
};

static const struct rule from_rules[] = {
	{ .key = "sourceContainer", .type = RULE_STRING, .required = true },
	{ .key = "readOnly", .type = RULE_BOOL },
	{}
};

static const struct rule depends_rules[] = {
	{ .key = "containerName", .type = RULE_STRING, .required = true },
	{ .key = "condition", .type = RULE_STRING, .required = true },
	{}
};

static const struct rule host_rules[] = {
	{ .key = "hostname", .type = RULE_STRING, .required = true },
	{ .key = "ipAddress", .type = RULE_STRING, .required = true },
	{}
};

static const struct rule ulimit_rules[] = {
	{ .key = "name", .type = RULE_STRING, .required = true },
	{ .key = "softLimit", .type = RULE_INT, .required = true },
	{ .key = "hardLimit", .type = RULE_INT, .required = true },
	{}
};

static const struct rule log_rules[] = {
	{ .key = "logDriver", .type = RULE_STRING, .required = true },
	{ .key = "options", .type = RULE_STRING_MAP },
	{ .key = "secretOptions", .type = RULE_OBJECTS, .refused = ROLE_REFUSED },
	{}
};

static const struct rule health_rules[] = {
	{ .key = "command", .type = RULE_STRINGS, .required = true },
	{ .key = "interval", .type = RULE_INT, .min = 1, .max = 86400 },
	{ .key = "timeout", .type = RULE_INT, .min = 1, .max = 86400 },
	{ .key = "retries", .type = RULE_INT, .min = 1, .max = 1000 },
	{ .key = "startPeriod", .type = RULE_INT, .min = 0, .max = 86400 },
	{}
};

static const struct rule restart_rules[] = {
	{ .key = "enabled", .type = RULE_BOOL, .required = true },
	{ .key = "ignoredExitCodes" },
	{ .key = "restartAttemptPeriod", .type = RULE_INT },
	{}
};

static const struct rule capability_rules[] = { { .key = "add", .type = RULE_STRINGS },
						{ .key = "drop", .type = RULE_STRINGS },
						{} };

static const struct rule device_rules[] = {
	{ .key = "hostPath", .type = RULE_STRING, .required = true },
	{ .key = "containerPath", .type = RULE_STRING },
	{ .key = "permissions", .type = RULE_STRINGS },
	{}
};

static const struct rule tmpfs_rules[] = {
	{ .key = "containerPath", .type = RULE_STRING, .required = true },
	{ .key = "size", .type = RULE_INT, .required = true, .min = 1, .max = 1 << 30 },
	{ .key = "mountOptions", .type = RULE_STRINGS },
	{}
};

static const struct rule linux_rules[] = {
	{ .key = "capabilities",
	  .type = RULE_OBJECT,
	  .inner = capability_rules,
	  .make = make_capabilities },
	{ .key = "devices", .type = RULE_OBJECTS, .inner = device_rules, .make = make_devices },
	{ .key = "initProcessEnabled", .type = RULE_BOOL, .place = RULE_HOST, .to = "Init" },
	{ .key = "sharedMemorySize", .type = RULE_INT, .make = make_shm },
	{ .key = "tmpfs", .type = RULE_OBJECTS, .inner = tmpfs_rules, .make = make_tmpfs },
	{ .key = "maxSwap", .type = RULE_INT, .make = make_swap },
	{ .key = "swappiness", .type = RULE_INT, .place = RULE_HOST, .to = "MemorySwappiness" },
	{}
};

const struct rule localtask_container_rules[] = {
	{ .key = "name", .type = RULE_STRING, .place = RULE_CONTAINER, .required = true },
	{ .key = "image", .type = RULE_STRING, .make = make_image, .required = true },
	{ .key = "command", .type = RULE_STRINGS, .place = RULE_CONTAINER },
	{ .key = "entryPoint", .type = RULE_STRINGS, .place = RULE_CONTAINER },
	{ .key = "essential", .type = RULE_BOOL, .place = RULE_CONTAINER },
	{ .key = "cpu", .type = RULE_INT, .place = RULE_CONTAINER },
	{ .key = "memory", .type = RULE_INT, .make = make_memory },
	{ .key = "memoryReservation", .type = RULE_INT, .make = make_reservation },
	{ .key = "links", .type = RULE_STRINGS, .place = RULE_CONTAINER },
	{ .key = "startTimeout", .type = RULE_INT, .place = RULE_CONTAINER },
	{ .key = "stopTimeout", .type = RULE_INT, .place = RULE_CONTAINER },
	{ .key = "environment",
	  .type = RULE_OBJECTS,
	  .inner = pair_rules,
	  .make = make_environment },
	{ .key = "portMappings", .type = RULE_OBJECTS, .inner = port_rules, .make = make_ports },
	{ .key = "mountPoints",
	  .type = RULE_OBJECTS,
	  .inner = mount_rules,
	  .place = RULE_CONTAINER },
	{ .key = "volumesFrom",
	  .type = RULE_OBJECTS,
	  .inner = from_rules,
	  .place = RULE_CONTAINER },
	{ .key = "dependsOn",
	  .type = RULE_OBJECTS,
	  .inner = depends_rules,
	  .place = RULE_CONTAINER },
	{ .key = "restartPolicy",
	  .type = RULE_OBJECT,
	  .inner = restart_rules,
	  .make = make_restart },
	{ .key = "user", .type = RULE_STRING, .place = RULE_CONFIG, .to = "User" },
	{ .key = "workingDirectory",
	  .type = RULE_STRING,
	  .place = RULE_CONFIG,
	  .to = "WorkingDir" },
	{ .key = "hostname", .type = RULE_STRING, .place = RULE_CONFIG, .to = "Hostname" },
	{ .key = "dockerLabels", .type = RULE_STRING_MAP, .place = RULE_CONFIG, .to = "Labels" },
	{ .key = "pseudoTerminal", .type = RULE_BOOL, .place = RULE_CONFIG, .to = "Tty" },
	{ .key = "interactive", .type = RULE_BOOL, .place = RULE_CONFIG, .to = "OpenStdin" },
	{ .key = "disableNetworking",
	  .type = RULE_BOOL,
	  .place = RULE_CONFIG,
	  .to = "NetworkDisabled" },
	{ .key = "healthCheck",
	  .type = RULE_OBJECT,
	  .inner = health_rules,
	  .make = make_health_check },
	{ .key = "privileged", .type = RULE_BOOL, .place = RULE_HOST, .to = "Privileged" },
	{ .key = "readonlyRootFilesystem",
	  .type = RULE_BOOL,
	  .place = RULE_HOST,
	  .to = "ReadonlyRootfs" },
	{ .key = "dnsServers", .type = RULE_STRINGS, .place = RULE_HOST, .to = "Dns" },
	{ .key = "dnsSearchDomains", .type = RULE_STRINGS, .place = RULE_HOST, .to = "DnsSearch" },
	{ .key = "dockerSecurityOptions",
	  .type = RULE_STRINGS,
	  .place = RULE_HOST,
	  .to = "SecurityOpt" },
	{ .key = "extraHosts",
	  .type = RULE_OBJECTS,
	  .inner = host_rules,
	  .make = make_extra_hosts },
	{ .key = "ulimits", .type = RULE_OBJECTS, .inner = ulimit_rules, .make = make_ulimits },
	{ .key = "logConfiguration", .type = RULE_OBJECT, .inner = log_rules, .make = make_log },
	{ .key = "systemControls",
	  .type = RULE_OBJECTS,
	  .inner = sysctl_rules,
	  .make = make_sysctls },
	{ .key = "linuxParameters", .type = RULE_OBJECT, .inner = linux_rules, .place = RULE_DROP },
	{ .key = "secrets", .refused = ROLE_REFUSED },
	{ .key = "environmentFiles", .refused = ROLE_REFUSED },
	{ .key = "repositoryCredentials",
	  .refused = "a role would have to fetch it; ECS_ENGINE_AUTH_DATA can name a login" },
	{ .key = "resourceRequirements",
	  .refused = "a control plane chooses which GPUs a container gets" },
	{ .key = "firelensConfiguration", .refused = "not supported by this build" },
	{ .key = "credentialSpecs", .refused = "not supported by this build" },
	{ .key = "versionConsistency", .note = "of services" },
	{}
};
