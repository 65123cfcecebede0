/* SPDX-License-Identifier: Apache-2.0 */
/* dockerConfig: Config and HostConfig of the Docker Engine API as strings of JSON. */
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/payload.h"

#define MIB (1024LL * 1024)
#define NSEC 1000000000LL

enum { HEALTH_INTERVAL_SEC = 30, HEALTH_TIMEOUT_SEC = 5, HEALTH_RETRIES = 3 };

bool payload_put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

bool payload_copy(json_t *object, const char *key, const json_t *from, const char *from_key)
{
	json_t *value = json_object_get(from, from_key);

	return !value || json_is_null(value) || json_object_set(object, key, value) == 0;
}

/* A member that both definition and override may have. */
static int64_t overridden_int(const json_t *definition, const json_t *override, const char *key)
{
	return json_get_int(override, key, json_get_int(definition, key, 0));
}

static bool add_health_check(json_t *config, const json_t *definition)
{
	const json_t *check = json_object_get(definition, "healthCheck");
	json_t *out;
	int64_t start;

	if (!json_is_object(check))
		return true;
	out = json_pack(
		"{s:O, s:I, s:I, s:I}", "Test", json_object_get(check, "command"), "Interval",
		(json_int_t) (json_get_int(check, "interval", HEALTH_INTERVAL_SEC) * NSEC),
		"Timeout", (json_int_t) (json_get_int(check, "timeout", HEALTH_TIMEOUT_SEC) * NSEC),
		"Retries", (json_int_t) json_get_int(check, "retries", HEALTH_RETRIES));
	start = json_get_int(check, "startPeriod", 0);
	if (out && start > 0 && !payload_put(out, "StartPeriod", json_integer(start * NSEC))) {
		json_decref(out);
		return false;
	}
	return payload_put(config, "HealthCheck", out);
}

static json_t *build_config(const json_t *definition)
{
	static const struct {
		const char *to, *from;
	} map[] = {
		{ "User", "user" },
		{ "WorkingDir", "workingDirectory" },
		{ "Hostname", "hostname" },
		{ "Labels", "dockerLabels" },
		{ "Tty", "pseudoTerminal" },
		{ "OpenStdin", "interactive" },
		{ "NetworkDisabled", "disableNetworking" },
	};
	json_t *config = json_object();
	bool ok = config != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		ok = ok && payload_copy(config, map[i].to, definition, map[i].from);
	ok = ok && add_health_check(config, definition);
	if (!ok) {
		json_decref(config);
		return NULL;
	}
	return config;
}

/* An array whose elements @convert makes from those of @from_key; absent when there are none. */
static bool add_list(json_t *host, const char *key, const json_t *from, const char *from_key,
		     json_t *(*convert)(const json_t *element))
{
	const json_t *list = json_object_get(from, from_key), *element;
	json_t *out;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return true;
	out = json_array();
	if (!out)
		return false;
	json_array_foreach(list, i, element)
		if (json_array_append_new(out, convert(element)) < 0) {
			json_decref(out);
			return false;
		}
	return payload_put(host, key, out);
}

static json_t *host_entry(const json_t *e)
{
	return json_sprintf("%s:%s", json_get_string(e, "hostname", ""),
			    json_get_string(e, "ipAddress", ""));
}

static json_t *ulimit(const json_t *e)
{
	return json_pack("{s:s, s:I, s:I}", "Name", json_get_string(e, "name", ""), "Soft",
			 (json_int_t) json_get_int(e, "softLimit", 0), "Hard",
			 (json_int_t) json_get_int(e, "hardLimit", 0));
}

static json_t *device(const json_t *e)
{
	const char *host_path = json_get_string(e, "hostPath", "");
	const json_t *permissions = json_object_get(e, "permissions"), *p;
	char letters[4] = "";
	size_t i;

	/* Docker's letters are the initials of read, write, mknod, in this order. */
	json_array_foreach(permissions, i, p) {
		const char *word = json_string_value(p);

		if (word && strlen(letters) < 3 && strchr("rwm", word[0]) &&
		    !strchr(letters, word[0]))
			letters[strlen(letters)] = word[0];
	}
	return json_pack("{s:s, s:s, s:s}", "PathOnHost", host_path, "PathInContainer",
			 json_get_string(e, "containerPath", host_path), "CgroupPermissions",
			 letters[0] ? letters : "rwm");
}

static bool add_log_config(json_t *host, const json_t *definition)
{
	const json_t *log = json_object_get(definition, "logConfiguration");
	json_t *options = json_object_get(log, "options");

	if (!json_is_object(log))
		return true;
	return payload_put(
		host, "LogConfig",
		json_pack("{s:s, s:o}", "Type", json_get_string(log, "logDriver", ""), "Config",
			  json_is_object(options) ? json_incref(options) : json_object()));
}

static bool add_memory(json_t *host, const json_t *definition, const json_t *override)
{
	const json_t *lp = json_object_get(definition, "linuxParameters");
	int64_t memory = overridden_int(definition, override, "memory");
	int64_t reservation = overridden_int(definition, override, "memoryReservation");
	int64_t shm = json_get_int(lp, "sharedMemorySize", 0);
	const json_t *swap = json_object_get(lp, "maxSwap");
	bool ok = true;

	if (memory > 0)
		ok = ok && payload_put(host, "Memory", json_integer(memory * MIB));
	if (reservation > 0)
		ok = ok && payload_put(host, "MemoryReservation", json_integer(reservation * MIB));
	if (shm > 0)
		ok = ok && payload_put(host, "ShmSize", json_integer(shm * MIB));
	if (memory > 0 && json_is_integer(swap)) {
		int64_t mib = json_integer_value(swap);

		ok = ok && payload_put(host, "MemorySwap",
				       json_integer(mib < 0 ? -1 : (memory + mib) * MIB));
		/* Without maxSwap the service ignores swappiness. */
		ok = ok && payload_copy(host, "MemorySwappiness", lp, "swappiness");
	}
	return ok;
}

/* {"/run": "size=64m,rw,noexec"} */
static bool add_tmpfs(json_t *host, const json_t *lp)
{
	const json_t *list = json_object_get(lp, "tmpfs"), *element, *option;
	json_t *out;
	size_t i, j;
	bool ok = true;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return true;
	out = json_object();
	json_array_foreach(list, i, element) {
		_cleanup_(buf_done) struct buf text = {};

		(void) buf_printf(&text, "size=%lldm",
				  (long long) json_get_int(element, "size", 0));
		json_array_foreach(json_object_get(element, "mountOptions"), j, option)
			(void) buf_printf(&text, ",%s", json_string_value(option));
		ok = ok && !text.failed &&
		     payload_put(out, json_get_string(element, "containerPath", ""),
				 json_string(buf_str(&text)));
	}
	if (!ok) {
		json_decref(out);
		return false;
	}
	return payload_put(host, "Tmpfs", out);
}

static bool add_sysctls(json_t *host, const json_t *definition)
{
	const json_t *list = json_object_get(definition, "systemControls"), *element;
	json_t *out;
	size_t i;
	bool ok = true;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return true;
	out = json_object();
	json_array_foreach(list, i, element)
		ok = ok && payload_put(out, json_get_string(element, "namespace", ""),
				       json_string(json_get_string(element, "value", "")));
	if (!ok) {
		json_decref(out);
		return false;
	}
	return payload_put(host, "Sysctls", out);
}

static bool add_capabilities(json_t *host, const json_t *lp)
{
	const json_t *caps = json_object_get(lp, "capabilities");

	return payload_put(host, "CapAdd", json_array()) &&
	       payload_put(host, "CapDrop", json_array()) &&
	       payload_copy(host, "CapAdd", caps, "add") &&
	       payload_copy(host, "CapDrop", caps, "drop");
}

static json_t *build_host_config(const json_t *definition, const json_t *override,
				 const char *network_mode)
{
	static const struct {
		const char *to, *from;
	} map[] = {
		{ "Privileged", "privileged" },
		{ "ReadonlyRootfs", "readonlyRootFilesystem" },
		{ "Dns", "dnsServers" },
		{ "DnsSearch", "dnsSearchDomains" },
		{ "SecurityOpt", "dockerSecurityOptions" },
	};
	const json_t *lp = json_object_get(definition, "linuxParameters");
	json_t *host = json_pack("{s:s}", "NetworkMode", network_mode);
	bool ok = host && add_capabilities(host, lp);

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		ok = ok && payload_copy(host, map[i].to, definition, map[i].from);
	ok = ok && payload_copy(host, "Init", lp, "initProcessEnabled") &&
	     add_list(host, "ExtraHosts", definition, "extraHosts", host_entry) &&
	     add_list(host, "Ulimits", definition, "ulimits", ulimit) &&
	     add_list(host, "Devices", lp, "devices", device) && add_log_config(host, definition) &&
	     add_memory(host, definition, override) && add_tmpfs(host, lp) &&
	     add_sysctls(host, definition);
	if (!ok) {
		json_decref(host);
		return NULL;
	}
	return host;
}

/* The oldest API level that knows what is asked for: agents choose their client by it. */
static const char *api_version(const json_t *definition)
{
	const json_t *lp = json_object_get(definition, "linuxParameters");

	if (json_is_true(json_object_get(lp, "initProcessEnabled")))
		return "1.25";
	if (json_is_object(json_object_get(definition, "healthCheck")) ||
	    json_object_get(definition, "systemControls"))
		return "1.24";
	if (json_is_object(json_object_get(definition, "logConfiguration")))
		return "1.19";
	return "1.17";
}

int payload_docker_config(const json_t *definition, const json_t *override,
			  const char *network_mode, json_t **ret, struct err *err)
{
	json_auto_t *config = build_config(definition);
	json_auto_t *host = build_host_config(definition, override, network_mode);
	_cleanup_(freep) char *config_text = config ? json_to_text(config) : NULL;
	_cleanup_(freep) char *host_text = host ? json_to_text(host) : NULL;
	json_t *out = NULL;

	if (config_text && host_text)
		out = json_pack("{s:s, s:s, s:s}", "version", api_version(definition), "config",
				config_text, "hostConfig", host_text);
	if (!out)
		return err_set(err, ENOMEM, "build dockerConfig");
	*ret = out;
	return 0;
}
