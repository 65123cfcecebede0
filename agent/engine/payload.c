/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/engine/gpus.h"
#include "common/digest.h"
#include "common/strv.h"

enum { CONTAINERS_MAX = 100, NAME_MAX_BYTES = 255 };

static int decode_docker_config(const json_t *value, void *dst, const struct json_field *f,
				struct err *err)
{
	(void) f;
	return payload_decode_docker_config(value, dst, err);
}

/* Strict, as in the reference: one known member, and anything else is an error. */
static int decode_overrides(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	static const struct json_field fields[] = {
		{ "command", json_decode_strv, offsetof(struct container, command), false }, {}
	};
	_cleanup_(json_decrefp) json_t *parsed = NULL;
	const char *key;
	json_t *v;

	(void) f;
	if (json_is_string(value)) {
		if (json_string_length(value) == 0 || strcmp(json_string_value(value), "null") == 0)
			return 0;
		if (json_parse(json_string_value(value), json_string_length(value), &parsed, err) <
		    0)
			return -err->code;
		value = parsed;
	}
	json_object_foreach((json_t *) value, key, v)
		if (strcasecmp(key, "command") != 0)
			return err_set(err, EPROTO, "unknown member '%.64s'", key);
	return json_decode(value, fields, dst, err);
}

/* The order matters: overrides replace the command, and dockerConfig is laid over everything. */
static const struct json_field container_fields[] = {
	{ "name", json_decode_string, offsetof(struct container, name), true },
	{ "image", json_decode_string, offsetof(struct container, image), false },
	{ "command", json_decode_strv, offsetof(struct container, command), false },
	{ "entryPoint", json_decode_strv, offsetof(struct container, entry_point), false },
	{ "workingDirectory", json_decode_string, offsetof(struct container, working_directory),
	  false },
	{ "environment", json_decode_pairs, offsetof(struct container, environment), false },
	{ "essential", json_decode_bool, offsetof(struct container, essential), false },
	{ "cpu", json_decode_i64, offsetof(struct container, cpu_shares), false, NULL, 0, 1 << 20 },
	{ "memory", json_decode_i64, offsetof(struct container, memory_mib), false, NULL, 0,
	  1 << 26 },
	{ "portMappings", payload_decode_port_mappings, 0, false },
	{ "mountPoints", json_decode_array, offsetof(struct container, mounts), false,
	  &payload_mount_points },
	{ "links", json_decode_strv, offsetof(struct container, links), false },
	{ "volumesFrom", json_decode_array, offsetof(struct container, volumes_from), false,
	  &payload_volumes_from },
	{ "dependsOn", json_decode_array, offsetof(struct container, depends), false,
	  &payload_depends_on },
	{ "restartPolicy", json_decode_object, offsetof(struct container, restart), false,
	  payload_restart_policy },
	{ "startTimeout", json_decode_i64, offsetof(struct container, start_timeout_s), false, NULL,
	  0, 86400 },
	{ "stopTimeout", json_decode_i64, offsetof(struct container, stop_timeout_s), false, NULL,
	  0, 86400 },
	{ "healthCheckType", json_decode_string, offsetof(struct container, health_check_type),
	  false },
	{ "containerArn", json_decode_string, offsetof(struct container, container_arn), false },
	{ "overrides", decode_overrides, 0, false },
	{ "registryAuthentication", payload_decode_registry,
	  offsetof(struct container, registry_auth), false },
	{ "environmentFiles", payload_decode_environment_files,
	  offsetof(struct container, environment_files), false },
	{ "secrets", json_decode_array, offsetof(struct container, secrets), false,
	  &payload_secrets },
	{ "dockerConfig", decode_docker_config, 0, false },
	{}
};

static int check_container(struct container *c, struct err *err)
{
	size_t n = strlen(c->name);

	if (n == 0 || n > NAME_MAX_BYTES)
		return err_set(err, EPROTO, "name: is %zu bytes long, wanted are 1..%d", n,
			       NAME_MAX_BYTES);
	/* It goes into URLs, log lines and what people type: ECS allows no more either. */
	if (strspn(c->name, TASK_NAME_CHARS) != n)
		return err_set(err, EPROTO,
			       "name: '%.64s' has more than letters, digits, '-' and '_'", c->name);
	if (!c->image || !*c->image)
		return err_set(err, EPROTO, "image: missing");
	if (c->working_directory && *c->working_directory && *c->working_directory != '/')
		return err_set(err, EPROTO, "workingDirectory: '%.100s' is not absolute",
			       c->working_directory);
	for (size_t i = 0; i < c->n_environment; i++)
		if (!*c->environment[i].key || strchr(c->environment[i].key, '='))
			return err_set(err, EPROTO, "environment: '%.64s' is no name of a variable",
				       c->environment[i].key);
	if (c->stop_signal && *c->stop_signal && payload_parse_signal(c->stop_signal) < 0)
		return err_set(err, EPROTO, "StopSignal: '%.32s' is not a signal", c->stop_signal);
	return 0;
}

static int decode_container(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	struct container *c = dst;
	int k;

	(void) f;
	c->swappiness = -1;
	c->log_max_files = 1;
	k = payload_check_unsupported(PAYLOAD_CONTAINER, value, err);
	if (k == 0)
		k = json_decode(value, container_fields, c, err);
	if (k == 0)
		k = payload_settle_container(c, err);
	return k < 0 ? k : check_container(c, err);
}

static void element_done(void *element)
{
	container_done(element);
}

static const struct json_array container_array = {
	.size = sizeof(struct container),
	.decode = decode_container,
	.done = element_done,
	.max = CONTAINERS_MAX,
};

static int decode_network_mode(const json_t *value, void *dst, const struct json_field *f,
			       struct err *err)
{
	const char *s = json_string_value(value);

	(void) f;
	for (enum network_mode m = 0; s && *s && m < _NETWORK_MODE_MAX; m++) {
		if (strcmp(s, network_mode_name(m)) == 0) {
			*(enum network_mode *) dst = m;
			return 0;
		}
	}
	if (!s)
		return err_set(err, EPROTO, "is no string");
	return *s ? err_set(err, ENOTSUP, "'%.32s' is not supported by this build", s) : 0;
}

/* Credentials themselves go to their own store; the task keeps the id. */
static int decode_credentials_id(const json_t *value, void *dst, const struct json_field *f,
				 struct err *err)
{
	static const struct json_field fields[] = { { "credentialsId", json_decode_string, 0 },
						    {} };

	(void) f;
	return json_decode(value, fields, dst, err);
}

static int decode_status(const json_t *value, void *dst, const struct json_field *f,
			 struct err *err)
{
	(void) f, (void) err;
	*(enum task_status *) dst = task_status_parse(json_string_value(value));
	return 0;
}

/* What every task has, whether it can be run or not. */
static const struct json_field identity_fields[] = {
	{ "arn", json_decode_string, offsetof(struct task, arn), true },
	{ "desiredStatus", decode_status, offsetof(struct task, desired), false },
	{ "family", json_decode_string, offsetof(struct task, family), false },
	{ "version", json_decode_string, offsetof(struct task, version), false },
	{ "taskClusterArn", json_decode_string, offsetof(struct task, cluster_arn), false },
	{}
};

static const struct json_field task_fields[] = {
	{ "launchType", json_decode_string, offsetof(struct task, launch_type), false },
	{ "serviceName", json_decode_string, offsetof(struct task, service_name), false },
	{ "group", json_decode_string, offsetof(struct task, group), false },
	{ "cpu", json_decode_double, offsetof(struct task, cpu), false },
	{ "memory", json_decode_i64, offsetof(struct task, memory_mib), false, NULL, 0, 1 << 26 },
	{ "networkMode", decode_network_mode, offsetof(struct task, network_mode), false },
	{ "elasticNetworkInterfaces", payload_decode_task_eni, 0, false },
	{ "pidMode", docker_decode_pid_mode, offsetof(struct task, pid_mode), false },
	{ "ipcMode", docker_decode_ipc_mode, offsetof(struct task, ipc_mode), false },
	{ "executionRoleCredentials", decode_credentials_id,
	  offsetof(struct task, execution_credentials_id), false },
	{ "roleCredentials", decode_credentials_id, offsetof(struct task, role_credentials_id),
	  false },
	{ "removeWhenStopped", json_decode_bool, offsetof(struct task, remove_when_stopped),
	  false },
	{ "containers", json_decode_array, offsetof(struct task, containers), true,
	  &container_array },
	{}
};

/* ---- the whole ---- */

/* Docker's name of the container, as the reference agent makes it: people grep for it. */
static void make_docker_name(const struct task *t, struct container *c)
{
	char clean[128], hex[21];
	size_t n = 0;

	for (const char *p = c->name; *p && n < sizeof(clean) - 1; p++)
		if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		    (*p >= '0' && *p <= '9') || *p == '-')
			clean[n++] = *p;
	clean[n] = '\0';
	(void) snprintf(c->docker_name, sizeof(c->docker_name), "ecs-%.60s-%.20s-%s-%s",
			t->family ? t->family : "", t->version ? t->version : "", clean,
			random_hex(hex, 20));
}

static int finish_container(struct task *t, size_t i, struct err *err)
{
	struct container *c = &t->containers[i];

	c->task = t;
	c->desired = CONTAINER_RUNNING;
	for (size_t j = 0; j < i; j++)
		if (strcmp(t->containers[j].name, c->name) == 0)
			return err_set(err, EPROTO,
				       "containers[%zu]: name: '%.64s' is taken by containers[%zu]",
				       i, c->name, j);
	if (t->memory_mib > 0 && c->memory_mib > t->memory_mib)
		return err_set(err, EPROTO,
			       "containers[%zu]: memory: %lld MiB is more than the task's %lld MiB",
			       i, (long long) c->memory_mib, (long long) t->memory_mib);
	make_docker_name(t, c);
	(void) random_uuid(c->endpoint_id);
	return 0;
}

/*
 * One network per task: a NetworkMode in hostConfig is heard, contradictions are not. A task with an
 * interface of its own is in mode awsvpc, whatever else is said, and nobody else is.
 */
static int settle_network_mode(struct task *t, struct err *err)
{
	if (t->eni)
		t->network_mode = NETWORK_AWSVPC;
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		if (t->eni || c->network_mode == NETWORK_BRIDGE) /* also: not said */
			c->network_mode = t->network_mode;
		if (i == 0)
			t->network_mode = c->network_mode;
		if (c->network_mode != t->containers[0].network_mode)
			return err_set(
				err, ENOTSUP,
				"containers[%zu]: NetworkMode: differs from that of the others", i);
	}
	if (t->network_mode == NETWORK_AWSVPC && !t->eni)
		return err_set(err, EPROTO,
			       "elasticNetworkInterfaces: missing, which network mode awsvpc needs");
	return 0;
}

static int decode_identity(const json_t *obj, struct task *t, struct err *err)
{
	int k = json_decode(obj, identity_fields, t, err);

	return k < 0 ? k : task_id_from_arn(t->arn, t->id, err);
}

int payload_decode_bare_task(const json_t *obj, struct task **ret, struct err *err)
{
	_cleanup_(task_freep) struct task *t = calloc(1, sizeof(*t));
	int k = t ? decode_identity(obj, t, err) : err_set(err, ENOMEM, "allocate task");

	if (k < 0)
		return k;
	*ret = TAKE_PTR(t);
	return 0;
}

int payload_decode_task(const json_t *obj, struct task **ret, struct err *err)
{
	_cleanup_(task_freep) struct task *t = calloc(1, sizeof(*t));
	int k = t ? decode_identity(obj, t, err) : err_set(err, ENOMEM, "allocate task");

	if (k == 0)
		k = payload_check_unsupported(PAYLOAD_TASK, obj, err);
	if (k == 0)
		k = json_decode(obj, task_fields, t, err);
	if (k == 0 && t->n_containers == 0)
		k = err_set(err, EPROTO, "containers: is empty");
	if (k == 0 && !(t->cpu >= 0 && t->cpu <= 4096))
		k = err_set(err, EPROTO, "cpu: %g is outside 0..4096 vCPU", t->cpu);
	if (k == 0)
		k = payload_decode_volumes(obj, t, err);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++)
		k = finish_container(t, i, err);
	if (k == 0)
		k = settle_network_mode(t, err);
	if (k == 0)
		k = gpus_decode(obj, t, err);
	if (k == 0)
		k = docker_settle_task(t, err);
	if (k < 0)
		return k;
	/* The one other wish that counts; the rest of the ladder is ours to climb. */
	t->desired = t->desired == TASK_STOPPED ? TASK_STOPPED : TASK_RUNNING;
	*ret = TAKE_PTR(t);
	return 0;
}

json_t *payload_without_secrets(const json_t *obj)
{
	static const char *const members[] = { "roleCredentials", "executionRoleCredentials" };
	json_t *copy = json_copy((json_t *) obj);
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(copy, next, key, v)
	{
		for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
			json_t *id;

			if (strcasecmp(key, members[i]) != 0)
				continue;
			id = json_incref(json_object_get(v, "credentialsId"));
			(void) json_object_del(copy, key);
			if (id)
				(void) json_object_set_new(copy, members[i],
							   json_pack("{s:o}", "credentialsId", id));
			break;
		}
	}
	return copy;
}
