/* SPDX-License-Identifier: Apache-2.0 */
/* One element of containers[] of a payload's task. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/param.h"
#include "controlplane/payload.h"

enum { RESTART_PERIOD_SEC = 60 };

static const char *region_of(const struct payload_source *src, const char *arn, char *buf,
			     size_t size)
{
	(void) payload_arn_field(arn, 3, buf, size);
	return *buf ? buf : src->region;
}

static bool add_environment(json_t *out, const json_t *definition, const json_t *override)
{
	const json_t *lists[] = { json_object_get(definition, "environment"),
				  json_object_get(override, "environment") };
	json_t *env = json_pack("{s:s}", "AWS_EXECUTION_ENV", "AWS_ECS_EC2");
	const json_t *pair;
	bool ok = env != NULL;
	size_t j;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		json_array_foreach(lists[i], j, pair)
			ok = ok && payload_put(env, json_get_string(pair, "name", ""),
					       json_string(json_get_string(pair, "value", "")));
	if (!ok) {
		json_decref(env);
		return false;
	}
	return payload_put(out, "environment", env);
}

static bool add_port_mappings(json_t *out, const json_t *definition)
{
	const json_t *list = json_object_get(definition, "portMappings"), *element;
	json_t *ports = json_array();
	bool ok = ports != NULL;
	size_t i;

	json_array_foreach(list, i, element) {
		const char *range = json_get_string(element, "containerPortRange", NULL);
		json_t *port =
			json_pack("{s:s}", "protocol", json_get_string(element, "protocol", "tcp"));

		ok = ok && port &&
		     (range ? payload_put(port, "containerPortRange", json_string(range))
			    : payload_put(
				      port, "containerPort",
				      json_integer(json_get_int(element, "containerPort", 0))) &&
				      payload_put(
					      port, "hostPort",
					      json_integer(json_get_int(element, "hostPort", 0))));
		ok = json_array_append_new(ports, port) == 0 && ok;
	}
	if (!ok) {
		json_decref(ports);
		return false;
	}
	return payload_put(out, "portMappings", ports);
}

/* Copies a list of objects, each with all its @keys; booleans default to false. */
static bool add_objects(json_t *out, const char *key, const json_t *definition,
			const char *const *keys)
{
	const json_t *list = json_object_get(definition, key), *element;
	json_t *copy = json_array();
	bool ok = copy != NULL;
	size_t i;

	json_array_foreach(list, i, element) {
		json_t *object = json_object();

		for (const char *const *k = keys; *k && ok; k++)
			ok = object && payload_copy(object, *k, element, *k) &&
			     (strcmp(*k, "readOnly") != 0 || json_object_get(object, *k) ||
			      payload_put(object, *k, json_false()));
		ok = json_array_append_new(copy, object) == 0 && ok;
	}
	if (!ok) {
		json_decref(copy);
		return false;
	}
	return payload_put(out, key, copy);
}

static bool append_secrets(json_t *out, const struct payload_source *src, const json_t *list,
			   const char *target)
{
	const json_t *element;
	size_t i;

	json_array_foreach(list, i, element) {
		const char *from = json_get_string(element, "valueFrom", "");
		char region[64], service[64];
		bool asm_ = strcmp(payload_arn_field(from, 2, service, sizeof(service)),
				   "secretsmanager") == 0;

		if (json_array_append_new(
			    out, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name",
					   json_get_string(element, "name", ""), "valueFrom", from,
					   "region", region_of(src, from, region, sizeof(region)),
					   "provider", asm_ ? "asm" : "ssm", "type",
					   "ENVIRONMENT_VARIABLE", "target", target)) < 0)
			return false;
	}
	return true;
}

static bool add_secrets(json_t *out, const struct payload_source *src, const json_t *definition)
{
	const json_t *log = json_object_get(definition, "logConfiguration");
	json_t *secrets = json_array();

	if (!append_secrets(secrets, src, json_object_get(definition, "secrets"), "CONTAINER") ||
	    !append_secrets(secrets, src, json_object_get(log, "secretOptions"), "LOG_DRIVER")) {
		json_decref(secrets);
		return false;
	}
	if (json_array_size(secrets) == 0) {
		json_decref(secrets);
		return true;
	}
	return payload_put(out, "secrets", secrets);
}

/* "123456789012.dkr.ecr.eu-west-1.amazonaws.com/…": who to ask for a token, and where. */
static bool parse_ecr_image(const char *image, char account[13], char *region, size_t size)
{
	static const char *const infix[] = { ".dkr.ecr.", ".dkr.ecr-fips." };
	const char *rest, *end;

	if (strspn(image, "0123456789") != 12)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(infix); i++) {
		if (strncmp(image + 12, infix[i], strlen(infix[i])) != 0)
			continue;
		rest = image + 12 + strlen(infix[i]);
		end = strstr(rest, ".amazonaws.com");
		if (!end || (size_t) (end - rest) >= size ||
		    memchr(rest, '/', (size_t) (end - rest)))
			return false;
		(void) snprintf(account, 13, "%s", image);
		(void) snprintf(region, size, "%.*s", (int) (end - rest), rest);
		return true;
	}
	return false;
}

static bool add_registry(json_t *out, const struct payload_source *src, const json_t *definition,
			 bool execution_role)
{
	const char *secret = json_get_string(json_object_get(definition, "repositoryCredentials"),
					     "credentialsParameter", NULL);
	const char *image = json_get_string(definition, "image", "");
	char account[13], region[64];

	if (secret)
		return payload_put(out, "registryAuthentication",
				   json_pack("{s:s, s:{s:s, s:s}}", "type", "asm", "asmAuthData",
					     "credentialsParameter", secret, "region",
					     region_of(src, secret, region, sizeof(region))));
	if (!parse_ecr_image(image, account, region, sizeof(region)))
		return true;
	return payload_put(out, "registryAuthentication",
			   json_pack("{s:s, s:{s:s, s:s, s:b}}", "type", "ecr", "ecrAuthData",
				     "registryId", account, "region", region, "useExecutionRole",
				     execution_role));
}

/* The string that replaces the command, in the one form the agent's strict parser takes. */
static bool add_overrides(json_t *out, const json_t *override)
{
	json_t *command = json_object_get(override, "command");
	json_auto_t *object = json_is_array(command) && json_array_size(command) > 0
				      ? json_pack("{s:O}", "command", command)
				      : json_object();
	_cleanup_(freep) char *text = object ? json_to_text(object) : NULL;

	return text && payload_put(out, "overrides", json_string(text));
}

static bool add_restart_policy(json_t *out, const json_t *definition)
{
	const json_t *policy = json_object_get(definition, "restartPolicy");
	json_t *copy;

	if (!json_is_object(policy))
		return true;
	copy = json_pack(
		"{s:b, s:[], s:I}", "enabled", json_is_true(json_object_get(policy, "enabled")),
		"ignoredExitCodes", "restartAttemptPeriod",
		(json_int_t) json_get_int(policy, "restartAttemptPeriod", RESTART_PERIOD_SEC));
	if (!copy || !payload_copy(copy, "ignoredExitCodes", policy, "ignoredExitCodes")) {
		json_decref(copy);
		return false;
	}
	return payload_put(out, "restartPolicy", copy);
}

static bool add_health_type(json_t *out, const json_t *definition)
{
	return !json_is_object(json_object_get(definition, "healthCheck")) ||
	       payload_put(out, "healthCheckType", json_string("docker"));
}

static bool add_logs_auth(json_t *out, const json_t *definition, bool execution_role)
{
	const json_t *log = json_object_get(definition, "logConfiguration");

	return !execution_role || strcmp(json_get_string(log, "logDriver", ""), "awslogs") != 0 ||
	       payload_put(out, "logsAuthStrategy", json_string("ExecutionRole"));
}

/* The members that keep their name and shape. */
static bool add_plain(json_t *out, const json_t *definition, const json_t *override)
{
	static const char *const same[] = {
		"name",           "image",       "command",
		"entryPoint",     "links",       "environmentFiles",
		"startTimeout",   "stopTimeout", "firelensConfiguration",
		"credentialSpecs"
	};
	static const char *const mount_keys[] = { "sourceVolume", "containerPath", "readOnly",
						  NULL };
	static const char *const from_keys[] = { "sourceContainer", "readOnly", NULL };
	static const char *const depends_keys[] = { "containerName", "condition", NULL };
	const json_t *essential = json_object_get(definition, "essential");
	int64_t cpu = json_get_int(override, "cpu", json_get_int(definition, "cpu", 0));
	int64_t memory = json_get_int(override, "memory", json_get_int(definition, "memory", 0));
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		ok = ok && payload_copy(out, same[i], definition, same[i]);
	return ok && payload_put(out, "essential", json_boolean(!json_is_false(essential))) &&
	       payload_put(out, "cpu", json_integer(cpu)) &&
	       payload_put(out, "memory", json_integer(memory)) &&
	       add_objects(out, "mountPoints", definition, mount_keys) &&
	       add_objects(out, "volumesFrom", definition, from_keys) &&
	       add_objects(out, "dependsOn", definition, depends_keys);
}

static bool add_exec_agent(json_t *out, const struct payload_source *src)
{
	return !json_is_true(json_object_get(src->task, "enableExecuteCommand")) ||
	       payload_put(out, "managedAgents",
			   json_pack("[{s:s, s:{s:s}}]", "name", "ExecuteCommandAgent",
				     "properties", "sessionLimit", "2"));
}

int payload_container(const struct payload_source *src, const json_t *definition,
		      const char *network_mode, json_t **ret, struct err *err)
{
	const char *name = json_get_string(definition, "name", "");
	const json_t *override = named_element(
		json_object_get(json_object_get(src->task, "overrides"), "containerOverrides"),
		name);
	const json_t *instance = named_element(json_object_get(src->task, "containers"), name);
	bool execution_role = payload_execution_role_arn(src->task, src->definition) != NULL;
	json_auto_t *out = json_object();
	json_t *docker = NULL;
	int k;

	k = payload_docker_config(definition, override, network_mode, &docker, err);
	if (k < 0)
		return k;
	if (!payload_put(out, "dockerConfig", docker) || !add_plain(out, definition, override) ||
	    !add_environment(out, definition, override) || !add_port_mappings(out, definition) ||
	    !add_secrets(out, src, definition) ||
	    !add_registry(out, src, definition, execution_role) || !add_overrides(out, override) ||
	    !add_restart_policy(out, definition) || !add_health_type(out, definition) ||
	    !add_logs_auth(out, definition, execution_role) || !add_exec_agent(out, src) ||
	    !payload_copy(out, "containerArn", instance, "containerArn"))
		return err_set(err, ENOMEM, "build a container");
	*ret = json_incref(out);
	return 0;
}
