/* SPDX-License-Identifier: Apache-2.0 */
/* What RegisterTaskDefinition demands of the whole; taskdef_rules.c has what it demands of each
 * container. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/param.h"
#include "controlplane/taskdef_rules.h"

enum { CONTAINERS_MAX = 10, DEPENDENCIES_MAX = 10 };

const json_t *taskdef_container(const json_t *td, const char *name)
{
	return named_element(json_object_get(td, "containerDefinitions"), name);
}

/* --- sizes ----------------------------------------------------------------------------------- */

/* A number, then @unit in any case, before which a blank may stand; a bare number is a count. */
static int parse_size(const char *text, const char *unit, double unit_size, int64_t max,
		      int64_t *ret)
{
	char *end = NULL;
	double v;

	if (!*text || strspn(text, "0123456789.") == 0)
		return -EINVAL;
	v = strtod(text, &end);
	while (*end == ' ')
		end++;
	if (*end && strcasecmp(end, unit) != 0)
		return -EINVAL;
	if (*end)
		v *= unit_size;
	else if (strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	if (!(v >= 1) || v > (double) max)
		return -EINVAL;
	*ret = (int64_t) v;
	return 0;
}

int taskdef_parse_cpu(const char *text, int64_t *ret_units)
{
	return parse_size(text, "vcpu", 1024, TASKDEF_CPU_UNITS_MAX, ret_units);
}

int taskdef_parse_memory(const char *text, int64_t *ret_mib)
{
	return parse_size(text, "gb", 1024, 1 << 24, ret_mib);
}

static int check_size(json_t *td, const char *key, int (*parse)(const char *, int64_t *),
		      struct api_error *e)
{
	const char *text = json_get_string(td, key, NULL);
	char number[24];
	int64_t v = 0;

	if (!text)
		return 0;
	if (parse(text, &v) < 0)
		return api_fail(e, "ClientException", "Invalid '%s' setting for task.", key);
	(void) snprintf(number, sizeof(number), "%" PRId64, v);
	return json_object_set_new(td, key, json_string(number));
}

/* --- rules for the whole ------------------------------------------------------------------- */

static int check_family(const json_t *td, struct api_error *e)
{
	const char *family = json_get_string(td, "family", "");

	if (!*family)
		return api_fail(e, "ClientException", "Family should not be null or empty.");
	if (strlen(family) >= ARN_NAME_MAX)
		return api_fail(e, "ClientException",
				"Family should not be longer than 255 characters.");
	if (strspn(family, NAME_CHARACTERS) != strlen(family))
		return api_fail(e, "ClientException", "Family contains invalid characters.");
	return 0;
}

static int check_modes(const json_t *td, struct api_error *e)
{
	static const char *const network[] = { "bridge", "host", "awsvpc", "none", NULL };
	static const char *const pid[] = { "host", "task", NULL };
	static const char *const ipc[] = { "host", "task", "none", NULL };
	static const struct {
		const char *key;
		const char *const *choices;
	} modes[] = { { "networkMode", network }, { "pidMode", pid }, { "ipcMode", ipc } };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *v = json_get_string(td, modes[i].key, NULL);

		if (v && !one_of(v, modes[i].choices))
			return api_fail(e, "ClientException", "Invalid value for %s: '%.64s'.",
					modes[i].key, v);
	}
	return 0;
}

static int check_compatibility(const json_t *td, struct api_error *e)
{
	static const char *const known[] = { "EC2", "FARGATE", "EXTERNAL", NULL };
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(td, "requiresCompatibilities"), i, v) {
		if (!one_of(json_string_value(v), known))
			return api_fail(e, "ClientException",
					"Invalid value for requiresCompatibilities: '%.64s'.",
					json_string_value(v));
		if (strcmp(json_string_value(v), "FARGATE") != 0)
			continue;
		if (strcmp(mode_of(td), "awsvpc") != 0)
			return api_fail(e, "ClientException",
					"Fargate only supports network mode 'awsvpc'.");
		if (!json_object_get(td, "cpu") || !json_object_get(td, "memory"))
			return api_fail(e, "ClientException",
					"Fargate requires that 'cpu' and 'memory' be defined at "
					"the task level.");
	}
	return 0;
}

static int check_docker_volume(json_t *v, const char *name, struct api_error *e)
{
	json_t *docker = json_object_get(v, "dockerVolumeConfiguration");
	const char *scope = json_get_string(docker, "scope", "task");

	if (!docker)
		return 0;
	if (strcmp(scope, "task") != 0 && strcmp(scope, "shared") != 0)
		return api_fail(e, "InvalidParameterException",
				"Volume '%s': scope must be one of task, shared.", name);
	if (strcmp(scope, "task") == 0 && json_is_true(json_object_get(docker, "autoprovision")))
		return api_fail(e, "ClientException",
				"Volume '%s': autoprovision can only be specified for a volume of "
				"scope shared.",
				name);
	if (!json_object_get(docker, "scope"))
		(void) json_object_set_new(docker, "scope", json_string("task"));
	return 0;
}

static bool is_switch(const json_t *o, const char *key)
{
	const char *value = json_get_string(o, key, "DISABLED");

	return strcmp(value, "ENABLED") == 0 || strcmp(value, "DISABLED") == 0;
}

static int check_efs_volume(json_t *v, const char *name, struct api_error *e)
{
	json_t *efs = json_object_get(v, "efsVolumeConfiguration");
	const json_t *auth = json_object_get(efs, "authorizationConfig");
	const char *root = json_get_string(efs, "rootDirectory", "/");
	int64_t port = json_get_int(efs, "transitEncryptionPort", 1);
	bool tls = strcmp(json_get_string(efs, "transitEncryption", ""), "ENABLED") == 0;

	if (!efs)
		return 0;
	if (strncmp(json_get_string(efs, "fileSystemId", ""), "fs-", 3) != 0)
		return api_fail(e, "ClientException", "Volume '%s': invalid fileSystemId.", name);
	if (!is_switch(efs, "transitEncryption") || !is_switch(auth, "iam"))
		return api_fail(e, "InvalidParameterException",
				"Volume '%s': transitEncryption and iam must be one of ENABLED, "
				"DISABLED.",
				name);
	if (port < 1 || port > 65535)
		return api_fail(e, "ClientException", "Volume '%s': invalid transitEncryptionPort.",
				name);
	if (auth && !tls)
		return api_fail(e, "ClientException",
				"Volume '%s': transitEncryption must be ENABLED when "
				"authorizationConfig is specified.",
				name);
	if (*json_get_string(auth, "accessPointId", "") && strcmp(root, "/") != 0)
		return api_fail(e, "ClientException",
				"Volume '%s': rootDirectory must be omitted or '/' when an access "
				"point is specified.",
				name);
	if (!json_object_get(efs, "rootDirectory"))
		(void) json_object_set_new(efs, "rootDirectory", json_string("/"));
	return 0;
}

/* A volume is one thing; without a word on what, an empty directory of the host. */
static int check_volume_kind(json_t *v, const char *name, struct api_error *e)
{
	static const char *const kinds[] = { "host", "dockerVolumeConfiguration",
					     "efsVolumeConfiguration" };
	size_t n = json_is_true(json_object_get(v, "configuredAtLaunch"));

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		n += json_object_get(v, kinds[i]) != NULL;
	if (n > 1)
		return api_fail(e, "ClientException",
				"Volume '%s': only one of host, dockerVolumeConfiguration and "
				"efsVolumeConfiguration can be specified.",
				name);
	if (n == 0)
		(void) json_object_set_new(v, "host", json_object());
	return check_docker_volume(v, name, e) < 0 ? -1 : check_efs_volume(v, name, e);
}

static int check_volumes(const json_t *td, struct api_error *e)
{
	const json_t *list = json_object_get(td, "volumes"), *other;
	json_t *v;
	size_t i, j;

	json_array_foreach((json_t *) list, i, v) {
		const char *name = json_get_string(v, "name", "");

		if (!*name || strlen(name) >= ARN_NAME_MAX ||
		    strspn(name, NAME_CHARACTERS ".") != strlen(name))
			return api_fail(e, "ClientException",
					"Volume.name is empty, too long or contains invalid "
					"characters.");
		for (j = 0; j < i; j++) {
			other = json_array_get(list, j);
			if (strcmp(json_get_string(other, "name", ""), name) == 0)
				return api_fail(e, "ClientException",
						"Volume names must be unique: '%s'.", name);
		}
		if (check_volume_kind(v, name, e) < 0)
			return -1;
	}
	return 0;
}

static int check_constraints(const json_t *td, struct api_error *e)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(td, "placementConstraints"), i, v)
		if (strcmp(json_get_string(v, "type", ""), "memberOf") != 0)
			return api_fail(e, "ClientException",
					"A task definition's placement constraint must be of type "
					"memberOf.");
	return 0;
}

/* Two containers of a task cannot hold the same port of the host. */
static int check_host_ports(const json_t *td, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *seen = json_object();
	const json_t *c, *p;
	size_t i, j;

	json_array_foreach(json_object_get(td, "containerDefinitions"), i, c)
		json_array_foreach(json_object_get(c, "portMappings"), j, p) {
			int64_t port = json_get_int(p, "hostPort", 0);
			char key[32];

			(void) snprintf(key, sizeof(key), "%s/%" PRId64,
					json_get_string(p, "protocol", "tcp"), port);
			if (port > 0 && json_object_get(seen, key))
				return api_fail(e, "ClientException",
						"The host port %" PRId64
						" is mapped more than once.",
						port);
			(void) json_object_set_new(seen, key, json_true());
		}
	return 0;
}

static bool starts_after_all(const json_t *c, const json_t *started)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(c, "dependsOn"), i, d)
		if (!json_object_get(started, json_get_string(d, "containerName", "")))
			return false;
	return true;
}

/* Starts what can start until nothing more can; what is left over waits for itself. */
static int check_cycles(const json_t *td, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *started = json_object();
	const json_t *list = json_object_get(td, "containerDefinitions"), *c;
	size_t i, before;

	do {
		before = json_object_size(started);
		json_array_foreach(list, i, c)
			if (starts_after_all(c, started))
				(void) json_object_set_new(started, json_get_string(c, "name", ""),
							   json_true());
	} while (json_object_size(started) > before);
	json_array_foreach(list, i, c)
		if (!json_object_get(started, json_get_string(c, "name", "")))
			return fail_container(e, c, "Its 'dependsOn' leads back to itself.");
	return 0;
}

static int check_whole(const json_t *td, struct api_error *e)
{
	const json_t *list = json_object_get(td, "containerDefinitions"), *c;
	bool essential = false;
	size_t i;

	json_array_foreach(list, i, c) {
		essential = essential || json_is_true(json_object_get(c, "essential"));
		if (json_array_size(json_object_get(c, "dependsOn")) > DEPENDENCIES_MAX)
			return fail_container(e, c, "It has more than %d dependencies.",
					      DEPENDENCIES_MAX);
	}
	if (!essential)
		return api_fail(e, "ClientException",
				"A task definition must have at least one essential container.");
	return check_cycles(td, e) < 0 ? -1 : check_host_ports(td, e);
}

static int check_containers(json_t *td, struct api_error *e)
{
	json_t *list = json_object_get(td, "containerDefinitions"), *c;
	size_t i;

	if (json_array_size(list) == 0)
		return api_fail(e, "ClientException", "Container list cannot be empty.");
	if (json_array_size(list) > CONTAINERS_MAX)
		return api_fail(e, "ClientException",
				"A task definition has at most %d containers.", CONTAINERS_MAX);
	json_array_foreach(list, i, c)
		if (taskdef_check_container(td, c, e) < 0)
			return -1;
	return 0;
}

int taskdef_check(json_t *td, struct api_error *e)
{
	static const char *const lists[] = { "volumes", "placementConstraints" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!json_object_get(td, lists[i]))
			(void) json_object_set_new(td, lists[i], json_array());
	if (check_family(td, e) < 0 || check_modes(td, e) < 0 ||
	    check_size(td, "cpu", taskdef_parse_cpu, e) < 0 ||
	    check_size(td, "memory", taskdef_parse_memory, e) < 0 ||
	    check_compatibility(td, e) < 0 || check_volumes(td, e) < 0 ||
	    check_constraints(td, e) < 0 || check_containers(td, e) < 0 || check_whole(td, e) < 0)
		return -1;
	return 0;
}
