/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/localtask/localtask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "agent/engine/task.h"
#include "agent/localtask/rules.h"
#include "common/cleanup.h"
#include "common/digest.h"
#include "common/json.h"

enum { CPU_UNITS = 1024, MIB_PER_GB = 1024, FAMILY_MAX = 255 };

/* ---- amounts ---- */

/* "512", or with @unit behind it a number of @factor each. Negative: it is no such amount. */
static double amount(const char *text, const char *unit, double factor)
{
	char *end = NULL;
	double v;

	if (strspn(text, "0123456789.") == 0)
		return -1;
	v = strtod(text, &end);
	end += strspn(end, " ");
	if (strcasecmp(end, unit) == 0)
		v *= factor;
	else if (*end)
		return -1;
	return v < 1e9 ? v : -1;
}

/* vCPU on the wire, units of 1/1024 or "1 vCPU" in the API. */
static int make_cpu(const json_t *v, const struct making *m, struct err *err)
{
	double units = amount(json_string_value(v), "vcpu", CPU_UNITS);

	if (units <= 0)
		return err_set(err, EPROTO, "'%.32s' is no amount of CPU: \"1024\", \"1 vCPU\"",
			       json_string_value(v));
	return rules_put(m->task, "cpu", json_real(units / CPU_UNITS), err);
}

static int make_memory(const json_t *v, const struct making *m, struct err *err)
{
	double mib = amount(json_string_value(v), "gb", MIB_PER_GB);

	if (mib < 1)
		return err_set(err, EPROTO, "'%.32s' is no amount of memory: \"512\", \"1 GB\"",
			       json_string_value(v));
	return rules_put(m->task, "memory", json_integer((json_int_t) mib), err);
}

/* ---- members of the task that do not keep their shape ---- */

static int make_network_mode(const json_t *v, const struct making *m, struct err *err)
{
	if (strcmp(json_string_value(v), "awsvpc") == 0)
		return err_set(
			err, ENOTSUP,
			"awsvpc: a control plane gives the network interface; bridge, host and "
			"none are possible");
	return rules_put(m->task, "networkMode", json_incref((json_t *) v), err);
}

static int make_platform(const json_t *v, const struct making *m, struct err *err)
{
	const char *arch = json_get_string(v, "cpuArchitecture", NULL);
	const char *family = json_get_string(v, "operatingSystemFamily", "LINUX");
	struct utsname u = {};
	const char *ours;

	(void) m, (void) uname(&u);
	ours = strcmp(u.machine, "aarch64") == 0 ? "ARM64" : "X86_64";
	if (strcmp(family, "LINUX") != 0)
		return err_set(err, ENOTSUP, "operatingSystemFamily: '%.32s': this host is LINUX",
			       family);
	if (arch && strcmp(arch, ours) != 0)
		return err_set(err, ENOTSUP, "cpuArchitecture: '%.32s': this host is %s", arch,
			       ours);
	return 0;
}

/* What a volume is, is on the wire said in words: "host", "docker", "efs". */
static json_t *volume(const json_t *one)
{
	json_t *docker = json_object_get(one, "dockerVolumeConfiguration"), *config;
	json_t *efs = json_object_get(one, "efsVolumeConfiguration");
	json_t *host = json_object_get(one, "host");
	const char *name = json_get_string(one, "name", "");

	if (efs && !json_is_null(efs))
		return json_pack("{s:s, s:s, s:O}", "name", name, "type", "efs",
				 "efsVolumeConfiguration", efs);
	if (!docker || json_is_null(docker))
		return json_pack("{s:s, s:s, s:o}", "name", name, "type", "host", "host",
				 json_is_object(host) ? json_incref(host) : json_object());
	config = json_pack("{s:s, s:b, s:s, s:{}, s:{}}", "scope", "task", "autoprovision", 0,
			   "driver", "local", "driverOpts", "labels");
	(void) json_object_update(config, docker);
	return json_pack("{s:s, s:s, s:o}", "name", name, "type", "docker",
			 "dockerVolumeConfiguration", config);
}

static int make_volumes(const json_t *v, const struct making *m, struct err *err)
{
	json_t *list = json_array();
	const json_t *one;
	size_t i;
	int k = rules_put(m->task, "volumes", list, err);

	json_array_foreach(v, i, one)
		if (k == 0 && json_array_append_new(list, volume(one)) < 0)
			k = err_set(err, ENOMEM, "allocate volumes");
	return k;
}

/* ---- containers ---- */

/* Its override by name; NULL: none. */
static const json_t *override_of(const json_t *overrides, const json_t *name)
{
	const json_t *list = json_object_get(overrides, "containerOverrides"), *one;
	size_t i;

	json_array_foreach(list, i, one)
		if (json_equal(json_object_get(one, "name"), name))
			return one;
	return NULL;
}

/* As Docker's own members are sent: objects as text. */
static int put_docker_config(const struct making *m, struct err *err)
{
	_cleanup_(freep) char *config = json_to_text(m->config), *host = json_to_text(m->host);
	json_t *o = config && host ? json_pack("{s:s, s:s}", "config", config, "hostConfig", host)
				   : NULL;

	return rules_put(m->container, "dockerConfig", o, err);
}

static int put_override(json_t *whole, const json_t *over, struct err *err)
{
	json_t *env = json_object_get(whole, "environment");
	const char *key;
	json_t *v;

	json_object_foreach((json_t *) over, key, v) {
		int k = 0;

		if (strcmp(key, "environment") != 0)
			k = rules_put(whole, key, json_incref(v), err);
		else if (!env)
			k = rules_put(whole, key, json_copy(v), err);
		else if (json_is_array(env) &&
			 json_array_extend(env, v) < 0) /* the later one of a name counts */
			k = err_set(err, ENOMEM, "allocate environment");
		if (k < 0)
			return k;
	}
	return 0;
}

static int make_container(const json_t *one, const json_t *over, const struct making *task,
			  json_t **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *c =
		json_pack("{s:b, s:{s:s}}", "essential", 1, "environment", "AWS_EXECUTION_ENV",
			  "AWS_ECS_EC2");
	_cleanup_(json_decrefp) json_t *config = json_object(), *host = json_object();
	_cleanup_(json_decrefp) json_t *whole = json_deep_copy(one);
	struct making m = { .task = task->task,
			    .container = c,
			    .config = config,
			    .host = host,
			    .notes = task->notes,
			    .from = whole };
	int k = c && config && host && whole ? 0 : err_set(err, ENOMEM, "allocate container");

	if (k == 0)
		k = put_override(whole, over, err);
	if (k == 0)
		k = rules_apply(localtask_container_rules, whole, &m, err);
	if (k == 0)
		k = put_docker_config(&m, err);
	if (k == 0)
		*ret = TAKE_PTR(c);
	return k;
}

static int make_containers(const json_t *v, const struct making *m, struct err *err)
{
	const json_t *overrides = json_object_get(m->from, "overrides"), *one;
	json_t *list = json_array();
	size_t i;
	int k = rules_put(m->task, "containers", list, err);

	if (k == 0 && json_array_size(v) == 0)
		return err_set(err, EPROTO, "is empty");
	json_array_foreach(v, i, one) {
		json_t *c = NULL;

		if (k == 0)
			k = make_container(one,
					   override_of(overrides, json_object_get(one, "name")), m,
					   &c, err);
		if (k < 0)
			return err_wrap(err, "[%zu]", i);
		if (json_array_append_new(list, c) < 0)
			return err_set(err, ENOMEM, "allocate containers");
	}
	return 0;
}

/* ---- the task ---- */

#define ROLES "only a control plane can give a role; the containers would be without credentials"
#define OUTPUT "of an answer of the API"

static const struct rule platform_rules[] = { { .key = "cpuArchitecture", .type = RULE_STRING },
					      { .key = "operatingSystemFamily",
						.type = RULE_STRING },
					      {} };

static const struct rule volume_rules[] = {
	{ .key = "name", .type = RULE_STRING, .required = true },
	{ .key = "host", .type = RULE_OBJECT },
	{ .key = "dockerVolumeConfiguration", .type = RULE_OBJECT },
	{ .key = "efsVolumeConfiguration", .type = RULE_OBJECT },
	{ .key = "fsxWindowsFileServerVolumeConfiguration", .refused = "of Windows" },
	{ .key = "configuredAtLaunch", .refused = "a control plane configures such volumes" },
	{}
};

static const struct rule task_rules[] = {
	{ .key = "family", .type = RULE_STRING, .place = RULE_TASK },
	{ .key = "containerDefinitions",
	  .type = RULE_OBJECTS,
	  .make = make_containers,
	  .required = true },
	{ .key = "volumes", .type = RULE_OBJECTS, .inner = volume_rules, .make = make_volumes },
	{ .key = "networkMode", .type = RULE_STRING, .make = make_network_mode },
	{ .key = "pidMode", .type = RULE_STRING, .place = RULE_TASK },
	{ .key = "ipcMode", .type = RULE_STRING, .place = RULE_TASK },
	{ .key = "cpu", .type = RULE_STRING, .make = make_cpu },
	{ .key = "memory", .type = RULE_STRING, .make = make_memory },
	{ .key = "runtimePlatform",
	  .type = RULE_OBJECT,
	  .inner = platform_rules,
	  .make = make_platform },
	{ .key = "taskRoleArn", .refused = ROLES },
	{ .key = "executionRoleArn", .refused = ROLES },
	{ .key = "proxyConfiguration", .refused = "not supported by this build" },
	{ .key = "enableFaultInjection", .refused = "not supported by this build" },
	{ .key = "inferenceAccelerators", .refused = "Elastic Inference has ended" },
	{ .key = "ephemeralStorage", .refused = "of Fargate" },
	{ .key = "requiresCompatibilities", .note = "this host is not asked about" },
	{ .key = "placementConstraints", .note = "the task runs here" },
	{ .key = "tags", .note = "kept by a control plane only" },
	/* what describe-task-definition adds */
	{ .key = "taskDefinitionArn", .note = OUTPUT },
	{ .key = "revision", .note = OUTPUT },
	{ .key = "status", .note = OUTPUT },
	{ .key = "requiresAttributes", .note = OUTPUT },
	{ .key = "compatibilities", .note = OUTPUT },
	{ .key = "registeredAt", .note = OUTPUT },
	{ .key = "registeredBy", .note = OUTPUT },
	{}
};

static const struct rule override_rules[] = {
	{ .key = "name", .type = RULE_STRING, .required = true },
	{ .key = "command", .type = RULE_STRINGS },
	{ .key = "environment", .type = RULE_OBJECTS },
	{ .key = "cpu", .type = RULE_INT },
	{ .key = "memory", .type = RULE_INT },
	{ .key = "memoryReservation", .type = RULE_INT },
	{}
};

static const struct rule overrides_rules[] = {
	{ .key = "containerOverrides", .type = RULE_OBJECTS, .inner = override_rules }, {}
};

static const struct rule request_rules[] = {
	{ .key = "taskDefinition", .type = RULE_OBJECT, .required = true },
	{ .key = "name", .type = RULE_STRING },
	{ .key = "family", .type = RULE_STRING },
	{ .key = "remove", .type = RULE_BOOL, .place = RULE_TASK, .to = "removeWhenStopped" },
	{ .key = "overrides", .type = RULE_OBJECT, .inner = overrides_rules },
	{}
};

/* Each has to be one of a container, or somebody mistyped. */
static int check_overrides(const json_t *request, struct err *err)
{
	const json_t *list =
		json_object_get(json_object_get(request, "overrides"), "containerOverrides");
	const json_t *containers =
		json_object_get(json_object_get(request, "taskDefinition"), "containerDefinitions");
	const json_t *one, *c;
	size_t i, j;

	json_array_foreach(list, i, one) {
		bool found = false;

		json_array_foreach(containers, j, c)
			found |= json_equal(json_object_get(c, "name"),
					    json_object_get(one, "name"));
		if (!found)
			return err_set(err, EPROTO,
				       "overrides: containerOverrides[%zu]: the definition has no "
				       "container "
				       "'%.64s'",
				       i, json_get_string(one, "name", ""));
	}
	return 0;
}

static int check_name(const char *what, const char *text, struct err *err)
{
	size_t n = strlen(text);

	if (n == 0 || n > FAMILY_MAX || strspn(text, TASK_NAME_CHARS) != n)
		return err_set(err, EPROTO,
			       "%s: '%.64s': 1 to %d letters, digits, '-' and '_' are wanted", what,
			       text, FAMILY_MAX);
	return 0;
}

/* By its ARN the whole agent knows that no control plane knows it. */
static int put_identity(const json_t *request, json_t *task, struct err *err)
{
	const char *family = json_get_string(task, "family", NULL), *name;
	char id[33];

	if (!family)
		family = json_get_string(request, "family", "local");
	name = json_get_string(request, "name", random_hex(id, 32));
	if (check_name("family", family, err) < 0 || check_name("name", name, err) < 0)
		return -EPROTO;
	if (rules_put(task, "arn", json_sprintf(TASK_LOCAL_ARN "task/local/%s", name), err) < 0 ||
	    rules_put(task, "taskClusterArn", json_string(TASK_LOCAL_ARN "cluster/local"), err) <
		    0 ||
	    rules_put(task, "family", json_string(family), err) < 0 ||
	    rules_put(task, "version", json_string("local"), err) < 0 ||
	    rules_put(task, "desiredStatus", json_string("RUNNING"), err) < 0 ||
	    rules_put(task, "launchType", json_string("EC2"), err) < 0)
		return -ENOMEM;
	return json_object_get(task, "volumes") ? 0 : rules_put(task, "volumes", json_array(), err);
}

int localtask_build(const json_t *request, json_t **ret_task, json_t **ret_notes, struct err *err)
{
	_cleanup_(json_decrefp) json_t *task = json_object(), *notes = json_array();
	struct making m = { .task = task, .notes = notes, .from = request };
	int k = task && notes ? 0 : err_set(err, ENOMEM, "allocate task");

	if (k == 0 && !json_is_object(request))
		k = err_set(err, EPROTO, "is no object");
	if (k == 0)
		k = rules_apply(request_rules, request, &m, err);
	if (k == 0)
		k = rules_apply(task_rules, json_object_get(request, "taskDefinition"), &m, err);
	if (k == 0)
		k = check_overrides(request, err);
	if (k == 0)
		k = put_identity(request, task, err);
	if (k < 0)
		return k;
	*ret_task = TAKE_PTR(task);
	*ret_notes = TAKE_PTR(notes);
	return 0;
}
