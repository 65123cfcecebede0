/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/shape.h"

#include <limits.h>
#include <string.h>

#include "common/cleanup.h"
#include "controlplane/param.h"

enum { PATH_MAX_BYTES = 256 };

struct path {
	char text[PATH_MAX_BYTES];
	size_t len;
};

static struct path path_add(const struct path *base, const char *key, long index)
{
	struct path p = *base;
	int n;

	if (index >= 0)
		n = snprintf(p.text + p.len, sizeof(p.text) - p.len, "[%ld]", index);
	else
		n = snprintf(p.text + p.len, sizeof(p.text) - p.len, "%s%s", p.len ? "." : "", key);
	p.len += (size_t) MAX(n, 0);
	p.len = MIN(p.len, sizeof(p.text) - 1);
	return p;
}

static int wrong(const struct path *at, const char *wanted, struct api_error *e)
{
	return api_fail(e, "SerializationException", "%s must be %s", at->text, wanted);
}

static int copy_members(const struct shape *shape, const json_t *in, const struct path *at,
			json_t **ret, struct api_error *e);

static int check_scalars(const json_t *list, json_type type, const struct path *at,
			 struct api_error *e)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list))
		return wrong(at, "a list", e);
	if (json_array_size(list) > SHAPE_LIST_MAX)
		return wrong(at, "a list of at most 1000 elements", e);
	json_array_foreach(list, i, v)
		if (json_typeof(v) != type) {
			struct path p = path_add(at, NULL, (long) i);

			return wrong(&p, type == JSON_STRING ? "a string" : "an integer", e);
		}
	return 0;
}

static int check_map(const json_t *map, const struct path *at, struct api_error *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(map))
		return wrong(at, "an object of strings", e);
	json_object_foreach((json_t *) map, key, v)
		if (!json_is_string(v))
			return wrong(at, "an object of strings", e);
	return 0;
}

static int copy_list(const struct shape *s, const json_t *in, const struct path *at, json_t **ret,
		     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	const json_t *v;
	size_t i;

	if (!json_is_array(in))
		return wrong(at, "a list", e);
	if (json_array_size(in) > SHAPE_LIST_MAX)
		return wrong(at, "a list of at most 1000 elements", e);
	json_array_foreach(in, i, v) {
		struct path p = path_add(at, NULL, (long) i);
		json_t *item = NULL;

		if (copy_members(s->members, v, &p, &item, e) < 0)
			return -1;
		if (json_array_append_new(list, item) < 0)
			return answer_with(NULL, ret, e);
	}
	return answer_with(TAKE_PTR(list), ret, e);
}

static bool fits_int(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= INT_MIN &&
	       json_integer_value(v) <= INT_MAX;
}

static int check_scalar(const struct shape *s, const json_t *v, const struct path *at,
			struct api_error *e)
{
	switch (s->kind) {
	case SHAPE_STRING:
		return json_is_string(v) ? 0 : wrong(at, "a string", e);
	case SHAPE_INTEGER:
		return fits_int(v) ? 0 : wrong(at, "an integer", e);
	case SHAPE_NUMBER:
		return json_is_number(v) ? 0 : wrong(at, "a number", e);
	case SHAPE_BOOLEAN:
		return json_is_boolean(v) ? 0 : wrong(at, "true or false", e);
	case SHAPE_STRINGS:
		return check_scalars(v, JSON_STRING, at, e);
	case SHAPE_INTEGERS:
		return check_scalars(v, JSON_INTEGER, at, e);
	default:
		return check_map(v, at, e);
	}
}

static int copy_member(const struct shape *s, const json_t *v, const struct path *at, json_t **ret,
		       struct api_error *e)
{
	if (s->kind == SHAPE_OBJECT)
		return copy_members(s->members, v, at, ret, e);
	if (s->kind == SHAPE_LIST)
		return copy_list(s, v, at, ret, e);
	if (check_scalar(s, v, at, e) < 0)
		return -1;
	return answer_with(json_deep_copy(v), ret, e);
}

static int copy_members(const struct shape *shape, const json_t *in, const struct path *at,
			json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *out = json_object();

	if (!json_is_object(in))
		return wrong(at, "an object", e);
	for (const struct shape *s = shape; s->key; s++) {
		const json_t *v = json_object_get(in, s->key);
		struct path p = path_add(at, s->key, -1);
		json_t *copy = NULL;

		if (!v || json_is_null(v))
			continue;
		if (copy_member(s, v, &p, &copy, e) < 0)
			return -1;
		if (json_object_set_new(out, s->key, copy) < 0)
			return answer_with(NULL, ret, e);
	}
	return answer_with(TAKE_PTR(out), ret, e);
}

int shape_copy(const struct shape *shape, const json_t *in, json_t **ret, struct api_error *e)
{
	return copy_members(shape, in, &(struct path){}, ret, e);
}

/* --- the shapes of the service model ------------------------------------------------------- */

#define S(key)                                                                                     \
	{                                                                                          \
		key, SHAPE_STRING, NULL                                                            \
	}
#define I(key)                                                                                     \
	{                                                                                          \
		key, SHAPE_INTEGER, NULL                                                           \
	}
#define B(key)                                                                                     \
	{                                                                                          \
		key, SHAPE_BOOLEAN, NULL                                                           \
	}
#define SS(key)                                                                                    \
	{                                                                                          \
		key, SHAPE_STRINGS, NULL                                                           \
	}
#define M(key)                                                                                     \
	{                                                                                          \
		key, SHAPE_MAP, NULL                                                               \
	}
#define O(key, sub)                                                                                \
	{                                                                                          \
		key, SHAPE_OBJECT, sub                                                             \
	}
#define L(key, sub)                                                                                \
	{                                                                                          \
		key, SHAPE_LIST, sub                                                               \
	}

static const struct shape key_value[] = { S("name"), S("value"), {} };
static const struct shape name_from[] = { S("name"), S("valueFrom"), {} };
static const struct shape file[] = { S("value"), S("type"), {} };
static const struct shape requirement[] = { S("value"), S("type"), {} };

static const struct shape port[] = {
	I("containerPort"),
	I("hostPort"),
	S("protocol"),
	S("name"),
	S("appProtocol"),
	S("containerPortRange"),
	{},
};

static const struct shape mount_point[] = {
	S("sourceVolume"), S("containerPath"), B("readOnly"), {}
};
static const struct shape volume_from[] = { S("sourceContainer"), B("readOnly"), {} };
static const struct shape credentials[] = { S("credentialsParameter"), {} };
static const struct shape dependency[] = { S("containerName"), S("condition"), {} };
static const struct shape extra_host[] = { S("hostname"), S("ipAddress"), {} };
static const struct shape ulimit[] = { S("name"), I("softLimit"), I("hardLimit"), {} };
static const struct shape sysctl[] = { S("namespace"), S("value"), {} };
static const struct shape firelens[] = { S("type"), M("options"), {} };

static const struct shape capabilities[] = { SS("add"), SS("drop"), {} };
static const struct shape device[] = { S("hostPath"), S("containerPath"), SS("permissions"), {} };
static const struct shape tmpfs[] = { S("containerPath"), I("size"), SS("mountOptions"), {} };

static const struct shape linux_parameters[] = {
	O("capabilities", capabilities),
	L("devices", device),
	B("initProcessEnabled"),
	I("sharedMemorySize"),
	L("tmpfs", tmpfs),
	I("maxSwap"),
	I("swappiness"),
	{},
};

static const struct shape log_configuration[] = {
	S("logDriver"), M("options"), L("secretOptions", name_from), {}
};

static const struct shape health_check[] = {
	SS("command"), I("interval"), I("timeout"), I("retries"), I("startPeriod"), {},
};

static const struct shape restart_policy[] = {
	B("enabled"),
	{ "ignoredExitCodes", SHAPE_INTEGERS, NULL },
	I("restartAttemptPeriod"),
	{},
};

static const struct shape container[] = {
	S("name"),
	S("image"),
	O("repositoryCredentials", credentials),
	I("cpu"),
	I("memory"),
	I("memoryReservation"),
	SS("links"),
	L("portMappings", port),
	B("essential"),
	O("restartPolicy", restart_policy),
	SS("entryPoint"),
	SS("command"),
	L("environment", key_value),
	L("environmentFiles", file),
	L("mountPoints", mount_point),
	L("volumesFrom", volume_from),
	O("linuxParameters", linux_parameters),
	L("secrets", name_from),
	L("dependsOn", dependency),
	I("startTimeout"),
	I("stopTimeout"),
	S("versionConsistency"),
	S("hostname"),
	S("user"),
	S("workingDirectory"),
	B("disableNetworking"),
	B("privileged"),
	B("readonlyRootFilesystem"),
	SS("dnsServers"),
	SS("dnsSearchDomains"),
	L("extraHosts", extra_host),
	SS("dockerSecurityOptions"),
	B("interactive"),
	B("pseudoTerminal"),
	M("dockerLabels"),
	L("ulimits", ulimit),
	O("logConfiguration", log_configuration),
	O("healthCheck", health_check),
	L("systemControls", sysctl),
	L("resourceRequirements", requirement),
	O("firelensConfiguration", firelens),
	SS("credentialSpecs"),
	{},
};

static const struct shape host_volume[] = { S("sourcePath"), {} };
static const struct shape docker_volume[] = {
	S("scope"), B("autoprovision"), S("driver"), M("driverOpts"), M("labels"), {},
};
static const struct shape efs_authorization[] = { S("accessPointId"), S("iam"), {} };
static const struct shape efs_volume[] = {
	S("fileSystemId"),
	S("rootDirectory"),
	S("transitEncryption"),
	I("transitEncryptionPort"),
	O("authorizationConfig", efs_authorization),
	{},
};

static const struct shape volume[] = {
	S("name"),
	O("host", host_volume),
	O("dockerVolumeConfiguration", docker_volume),
	O("efsVolumeConfiguration", efs_volume),
	B("configuredAtLaunch"),
	{},
};

static const struct shape constraint[] = { S("type"), S("expression"), {} };
static const struct shape proxy[] = {
	S("type"), S("containerName"), L("properties", key_value), {}
};
static const struct shape accelerator[] = { S("deviceName"), S("deviceType"), {} };
static const struct shape storage[] = { I("sizeInGiB"), {} };
static const struct shape platform[] = { S("cpuArchitecture"), S("operatingSystemFamily"), {} };

const struct shape shape_taskdef[] = {
	L("containerDefinitions", container),
	S("family"),
	S("taskRoleArn"),
	S("executionRoleArn"),
	S("networkMode"),
	L("volumes", volume),
	L("placementConstraints", constraint),
	SS("requiresCompatibilities"),
	S("cpu"),
	S("memory"),
	S("pidMode"),
	S("ipcMode"),
	O("proxyConfiguration", proxy),
	L("inferenceAccelerators", accelerator),
	O("ephemeralStorage", storage),
	O("runtimePlatform", platform),
	B("enableFaultInjection"),
	{},
};

static const struct shape container_override[] = {
	S("name"),
	SS("command"),
	L("environment", key_value),
	L("environmentFiles", file),
	I("cpu"),
	I("memory"),
	I("memoryReservation"),
	L("resourceRequirements", requirement),
	{},
};

static const struct shape accelerator_override[] = { S("deviceName"), S("deviceType"), {} };

const struct shape shape_override[] = {
	L("containerOverrides", container_override),
	L("inferenceAcceleratorOverrides", accelerator_override),
	S("cpu"),
	S("memory"),
	S("taskRoleArn"),
	S("executionRoleArn"),
	O("ephemeralStorage", storage),
	{},
};
