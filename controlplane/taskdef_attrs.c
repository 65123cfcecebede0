/* SPDX-License-Identifier: Apache-2.0 */
/* Which capabilities of an agent a task definition needs, by the names agents register. */
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/taskdef.h"

#define A "com.amazonaws.ecs.capability."
#define B "ecs.capability."

static void need(json_t *names, const char *name)
{
	(void) json_object_set_new(names, name, json_true());
}

static void need_suffixed(json_t *names, const char *prefix, const char *suffix)
{
	char name[300];

	(void) snprintf(name, sizeof(name), "%s%.200s", prefix, suffix);
	need(names, name);
}

/* What the mere presence of a member (not null, not empty, not false) asks for. */
struct member_need {
	const char *key;
	const char *attributes[3];
};

static const struct member_need task_needs[] = {
	{ "taskRoleArn", { A "task-iam-role", A "docker-remote-api.1.17" } },
	{ "cpu", { B "task-cpu-mem-limit" } },
	{ "memory", { B "task-cpu-mem-limit" } },
	{ "pidMode", { B "pid-ipc-namespace-sharing" } },
	{ "ipcMode", { B "pid-ipc-namespace-sharing" } },
	{ "enableFaultInjection", { B "fault-injection" } },
};

static const struct member_need container_needs[] = {
	{ "privileged", { A "privileged-container" } },
	{ "memoryReservation", { A "docker-remote-api.1.21" } },
	{ "ulimits", { A "docker-remote-api.1.18" } },
	{ "healthCheck", { A "docker-remote-api.1.24", B "container-health-check" } },
	{ "dependsOn", { B "container-ordering" } },
	{ "startTimeout", { B "container-ordering" } },
	{ "environmentFiles", { B "env-files.s3" } },
	{ "repositoryCredentials", { B "private-registry-authentication.secretsmanager" } },
	{ "restartPolicy", { B "container-restart-policy" } },
};

static bool is_set(const json_t *v)
{
	if (json_is_array(v) || json_is_object(v))
		return json_array_size(v) + json_object_size(v) > 0;
	return v && !json_is_null(v) && !json_is_false(v);
}

static void need_members(json_t *names, const json_t *obj, const struct member_need *table,
			 size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; is_set(json_object_get(obj, table[i].key)) && j < 3; j++)
			if (table[i].attributes[j])
				need(names, table[i].attributes[j]);
}

static void need_logging(json_t *names, const json_t *td, const json_t *c)
{
	static const struct {
		const char *driver, *api;
	} since[] = {
		{ "json-file", "1.18" }, { "syslog", "1.18" }, { "journald", "1.19" },
		{ "none", "1.19" },      { "gelf", "1.20" },   { "fluentd", "1.20" },
		{ "awslogs", "1.19" },   { "splunk", "1.21" },
	};
	const json_t *log = json_object_get(c, "logConfiguration");
	const char *driver = json_get_string(log, "logDriver", NULL);

	if (!driver)
		return;
	need_suffixed(names, A "logging-driver.", driver);
	for (size_t i = 0; i < ARRAY_SIZE(since); i++)
		if (strcmp(since[i].driver, driver) == 0)
			need_suffixed(names, A "docker-remote-api.", since[i].api);
	if (strcmp(driver, "awslogs") == 0 && json_object_get(td, "executionRoleArn"))
		need(names, B "execution-role-awslogs");
}

static void need_secrets(json_t *names, const json_t *list, const char *use)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *from = json_get_string(v, "valueFrom", "");
		bool asm_ = strstr(from, ":secretsmanager:") != NULL;

		need_suffixed(names, asm_ ? B "secrets.asm." : B "secrets.ssm.", use);
	}
}

/* ACCOUNT.dkr.ecr.REGION.amazonaws.com/… */
static bool is_ecr(const char *image)
{
	const char *slash = strchr(image, '/'), *ecr = strstr(image, ".dkr.ecr");

	return slash && ecr && ecr < slash;
}

static void need_linux(json_t *names, const json_t *c)
{
	const json_t *l = json_object_get(c, "linuxParameters");

	if (is_set(json_object_get(l, "initProcessEnabled")))
		need(names, A "docker-remote-api.1.25");
	if (is_set(json_object_get(l, "sharedMemorySize")) || is_set(json_object_get(l, "tmpfs")))
		need(names, A "docker-remote-api.1.22");
}

static void need_container(json_t *names, const json_t *td, const json_t *c)
{
	const json_t *p, *firelens = json_object_get(c, "firelensConfiguration");
	size_t i;

	need_members(names, c, container_needs, ARRAY_SIZE(container_needs));
	need_logging(names, td, c);
	need_linux(names, c);
	need_secrets(names, json_object_get(c, "secrets"), "environment-variables");
	need_secrets(names,
		     json_object_get(json_object_get(c, "logConfiguration"), "secretOptions"),
		     "bootstrap.log-driver");
	if (is_ecr(json_get_string(c, "image", ""))) {
		need(names, A "ecr-auth");
		need(names, A "docker-remote-api.1.19");
		if (json_object_get(td, "executionRoleArn"))
			need(names, B "execution-role-ecr-pull");
	}
	if (firelens)
		need_suffixed(names, B "firelens.", json_get_string(firelens, "type", "fluentd"));
	json_array_foreach(json_object_get(c, "portMappings"), i, p)
		if (json_object_get(p, "containerPortRange"))
			need(names, B "network.container-port-range");
}

static void need_volumes(json_t *names, const json_t *td)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(td, "volumes"), i, v) {
		const json_t *docker = json_object_get(v, "dockerVolumeConfiguration");
		const json_t *efs = json_object_get(v, "efsVolumeConfiguration");

		if (docker)
			need_suffixed(names, B "docker-plugin.",
				      json_get_string(docker, "driver", "local"));
		if (efs)
			need(names, B "efs");
		if (json_object_get(efs, "authorizationConfig") ||
		    strcmp(json_get_string(efs, "transitEncryption", ""), "ENABLED") == 0)
			need(names, B "efsAuth");
	}
}

json_t *taskdef_required_attributes(const json_t *td)
{
	_cleanup_(json_decrefp) json_t *names = json_object();
	const char *mode = json_get_string(td, "networkMode", "bridge"), *name;
	json_t *list = json_array(), *v;
	const json_t *c;
	size_t i;

	need_members(names, td, task_needs, ARRAY_SIZE(task_needs));
	if (strcmp(mode, "awsvpc") == 0)
		need(names, B "task-eni");
	if (strcmp(mode, "host") == 0 && json_object_get(td, "taskRoleArn"))
		need(names, A "task-iam-role-network-host");
	json_array_foreach(json_object_get(td, "containerDefinitions"), i, c)
		need_container(names, td, c);
	need_volumes(names, td);
	json_object_foreach(names, name, v)
		(void) json_array_append_new(list, json_pack("{s:s}", "name", name));
	return list;
}

json_t *taskdef_compatibilities(const json_t *td)
{
	if (strcmp(json_get_string(td, "networkMode", "bridge"), "awsvpc") != 0)
		return json_pack("[s, s]", "EXTERNAL", "EC2");
	if (json_object_get(td, "cpu") && json_object_get(td, "memory"))
		return json_pack("[s, s]", "EC2", "FARGATE");
	return json_pack("[s]", "EC2");
}
