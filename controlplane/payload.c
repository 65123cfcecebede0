/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/payload.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/gpu.h"

enum { CPU_UNITS = 1024 };

/* A number with an optional unit after it; @factor applies when the unit is there. */
static int parse_amount(const char *text, const char *unit, double factor)
{
	char *end;
	double v;

	if (!text || (!isdigit((unsigned char) text[0]) && text[0] != '.'))
		return -1;
	v = strtod(text, &end);
	end += strspn(end, " ");
	if (strcasecmp(end, unit) == 0)
		v *= factor;
	else if (*end)
		return -1;
	return v >= 0 && v < 1e9 ? (int) v : -1;
}

int payload_cpu_units(const char *text)
{
	return parse_amount(text, "vcpu", CPU_UNITS);
}

int payload_memory_mib(const char *text)
{
	return parse_amount(text, "gb", 1024);
}

static const char *role(const json_t *task, const json_t *definition, const char *key)
{
	const json_t *overrides = json_object_get(task, "overrides");
	const char *arn = json_get_string(overrides, key, json_get_string(definition, key, NULL));

	return arn && *arn ? arn : NULL;
}

const char *payload_role_arn(const json_t *task, const json_t *definition)
{
	return role(task, definition, "taskRoleArn");
}

const char *payload_execution_role_arn(const json_t *task, const json_t *definition)
{
	return role(task, definition, "executionRoleArn");
}

/* Field @index of "arn:partition:service:region:account:…" in @buf, "" when there is none. */
const char *payload_arn_field(const char *arn, int index, char *buf, size_t size)
{
	size_t n;

	buf[0] = '\0';
	if (!arn || strncmp(arn, "arn:", 4) != 0)
		return buf;
	for (; index > 0 && arn; index--) {
		arn = strchr(arn, ':');
		arn = arn ? arn + 1 : NULL;
	}
	n = arn ? strcspn(arn, ":") : 0;
	if (n > 0 && n < size)
		(void) snprintf(buf, size, "%.*s", (int) n, arn);
	return buf;
}

static int add_containers(json_t *out, const struct payload_source *src, const char *network_mode,
			  struct err *err)
{
	const json_t *list = json_object_get(src->definition, "containerDefinitions"), *element;
	json_auto_t *containers = json_array();
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return err_set(err, EPROTO, "containerDefinitions: missing");
	json_array_foreach(list, i, element) {
		json_t *container = NULL;
		int k = payload_container(src, element, network_mode, &container, err);

		if (k < 0)
			return err_wrap(err, "containerDefinitions[%zu]", i);
		if (json_array_append_new(containers, container) < 0)
			return err_set(err, ENOMEM, "build containers");
	}
	return payload_put(out, "containers", json_incref(containers))
		       ? 0
		       : err_set(err, ENOMEM, "build containers");
}

static json_t *build_volume(const json_t *volume)
{
	const json_t *docker = json_object_get(volume, "dockerVolumeConfiguration");
	const json_t *efs = json_object_get(volume, "efsVolumeConfiguration");
	const json_t *host = json_object_get(volume, "host");
	const char *name = json_get_string(volume, "name", "");
	json_auto_t *config = NULL;

	if (json_is_object(efs))
		return json_pack("{s:s, s:s, s:O}", "name", name, "type", "efs",
				 "efsVolumeConfiguration", efs);
	if (!json_is_object(docker))
		return json_pack("{s:s, s:s, s:o}", "name", name, "type", "host", "host",
				 json_is_object(host) ? json_deep_copy(host) : json_object());
	config = json_pack("{s:s, s:b, s:s, s:{}, s:{}}", "scope", "task", "autoprovision", 0,
			   "driver", "local", "driverOpts", "labels");
	if (!config || json_object_update_existing(config, (json_t *) docker) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:O}", "name", name, "type", "docker",
			 "dockerVolumeConfiguration", config);
}

static bool add_volumes(json_t *out, const json_t *definition)
{
	json_t *volumes = json_array(), *element;
	size_t i;

	json_array_foreach(json_object_get(definition, "volumes"), i, element)
		if (json_array_append_new(volumes, build_volume(element)) < 0) {
			json_decref(volumes);
			return false;
		}
	return payload_put(out, "volumes", volumes);
}

/* [{name, value}] in the API, a map on the wire. */
static bool add_proxy(json_t *out, const json_t *definition)
{
	const json_t *proxy = json_object_get(definition, "proxyConfiguration"), *pair;
	json_t *properties;
	bool ok;
	size_t i;

	if (!json_is_object(proxy))
		return true;
	properties = json_object();
	ok = properties != NULL;
	json_array_foreach(json_object_get(proxy, "properties"), i, pair)
		ok = ok && payload_put(properties, json_get_string(pair, "name", ""),
				       json_string(json_get_string(pair, "value", "")));
	if (!ok) {
		json_decref(properties);
		return false;
	}
	return payload_put(out, "proxyConfiguration",
			   json_pack("{s:s, s:s, s:o}", "type",
				     json_get_string(proxy, "type", "APPMESH"), "containerName",
				     json_get_string(proxy, "containerName", ""), "properties",
				     properties));
}

/* cpu and memory of the task: the override's text, else the definition's, else none. */
static int add_task_size(json_t *out, const struct payload_source *src, struct err *err)
{
	const json_t *overrides = json_object_get(src->task, "overrides");
	const char *cpu =
		json_get_string(overrides, "cpu", json_get_string(src->definition, "cpu", NULL));
	const char *memory = json_get_string(overrides, "memory",
					     json_get_string(src->definition, "memory", NULL));
	int units = cpu ? payload_cpu_units(cpu) : 0, mib = memory ? payload_memory_mib(memory) : 0;

	if (units < 0)
		return err_set(err, EPROTO, "cpu: '%.64s' is not an amount of CPU", cpu);
	if (mib < 0)
		return err_set(err, EPROTO, "memory: '%.64s' is not an amount of memory", memory);
	if ((units > 0 && !payload_put(out, "cpu", json_real((double) units / CPU_UNITS))) ||
	    (mib > 0 && !payload_put(out, "memory", json_integer(mib))))
		return err_set(err, ENOMEM, "build a task");
	return 0;
}

static bool add_service_name(json_t *out, const json_t *task)
{
	const char *group = json_get_string(task, "group", "");

	return strncmp(group, "service:", 8) != 0 ||
	       payload_put(out, "serviceName", json_string(group + 8));
}

static bool add_associations(json_t *out, const json_t *task)
{
	json_auto_t *list = gpu_associations(task);

	return list &&
	       (json_array_size(list) == 0 || json_object_set(out, "associations", list) == 0);
}

static bool add_identity(json_t *out, const struct payload_source *src, const char *network_mode)
{
	const char *def_arn = json_get_string(src->definition, "taskDefinitionArn", NULL);
	char account[64];

	(void) payload_arn_field(def_arn, 4, account, sizeof(account));
	return payload_copy(out, "arn", src->task, "taskArn") &&
	       payload_copy(out, "taskClusterArn", src->task, "clusterArn") &&
	       payload_copy(out, "desiredStatus", src->task, "desiredStatus") &&
	       payload_copy(out, "group", src->task, "group") &&
	       payload_copy(out, "family", src->definition, "family") &&
	       payload_put(out, "version",
			   json_sprintf("%lld", (long long) json_get_int(src->definition,
									 "revision", 0))) &&
	       payload_put(out, "taskDefinitionAccountId",
			   json_string(*account ? account : src->account)) &&
	       payload_put(out, "launchType",
			   json_string(json_get_string(src->task, "launchType", "EC2"))) &&
	       payload_put(out, "networkMode", json_string(network_mode)) &&
	       payload_put(out, "overrides", json_string("{}")) &&
	       payload_copy(out, "pidMode", src->definition, "pidMode") &&
	       payload_copy(out, "ipcMode", src->definition, "ipcMode") &&
	       add_associations(out, src->task) &&
	       payload_copy(out, "enableFaultInjection", src->definition, "enableFaultInjection") &&
	       add_service_name(out, src->task);
}

static bool add_credentials(json_t *out, const struct payload_source *src)
{
	return (!src->role_credentials ||
		json_object_set(out, "roleCredentials", (json_t *) src->role_credentials) == 0) &&
	       (!src->execution_credentials ||
		json_object_set(out, "executionRoleCredentials",
				(json_t *) src->execution_credentials) == 0);
}

int payload_task(const struct payload_source *src, json_t **ret, struct err *err)
{
	const char *network_mode = json_get_string(src->definition, "networkMode", "bridge");
	json_auto_t *out = json_object();
	int k;

	if (!json_get_string(src->task, "taskArn", NULL))
		return err_set(err, EPROTO, "taskArn: missing");
	if (!add_identity(out, src, network_mode) || !add_volumes(out, src->definition) ||
	    !add_proxy(out, src->definition) || !add_credentials(out, src) ||
	    (src->interface && !payload_put(out, "elasticNetworkInterfaces",
					    json_pack("[O]", src->interface))))
		return err_set(err, ENOMEM, "build a task");
	k = add_task_size(out, src, err);
	if (k < 0)
		return k;
	k = add_containers(out, src, network_mode, err);
	if (k < 0)
		return k;
	*ret = json_incref(out);
	return 0;
}
