/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/eni.h"
#include "controlplane/gpu.h"
#include "controlplane/param.h"
#include "controlplane/run.h"
#include "controlplane/shape.h"
#include "controlplane/store.h"
#include "controlplane/taskdef.h"

enum { STRATEGIES_MAX = 5, CONSTRAINTS_MAX = 10, OVERRIDES_BYTES_MAX = 8192 };

void run_done(struct run *r)
{
	json_decref(r->td);
	json_decref(r->overrides);
	json_decref(r->tags);
	json_decref(r->constraints);
	json_decref(r->ports);
}

/* --- what the request says ----------------------------------------------------------------- */

static int read_taskdef(struct controlplane *cp, const json_t *in, struct run *r,
			struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	int k;

	if (param_required(in, "taskDefinition", &ref, e) < 0)
		return -1;
	k = taskdef_find(cp, ref, &r->td, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0)
		return api_fail(e, "ClientException", "TaskDefinition not found.");
	/* A service goes on with a revision that was deregistered under it. */
	if (!r->service && strcmp(json_get_string(r->td, "status", ""), "ACTIVE") != 0)
		return api_fail(e, "ClientException", "TaskDefinition is inactive");
	return 0;
}

/* What this control plane cannot give is refused by name, never dropped. */
static int refuse_unsupported(const json_t *in, struct api_error *e)
{
	static const char *const types[] = { "EC2", "FARGATE", "EXTERNAL", NULL };
	const char *type = NULL;

	if (param_choice(in, "launchType", types, "EC2", &type, e) < 0)
		return -1;
	if (strcmp(type, "EC2") != 0)
		return api_fail(e, "UnsupportedFeatureException",
				"launchType %s is not offered by this control plane.", type);
	if (json_array_size(json_object_get(in, "capacityProviderStrategy")) > 0)
		return api_fail(e, "UnsupportedFeatureException",
				"capacityProviderStrategy is not offered by this control plane.");
	return 0;
}

static int check_override_sizes(const json_t *override, struct api_error *e)
{
	int64_t v = 0;
	const char *cpu = json_get_string(override, "cpu", NULL);
	const char *memory = json_get_string(override, "memory", NULL);

	if (cpu && taskdef_parse_cpu(cpu, &v) < 0)
		return api_fail(e, "ClientException", "Invalid 'cpu' setting for task.");
	if (memory && taskdef_parse_memory(memory, &v) < 0)
		return api_fail(e, "ClientException", "Invalid 'memory' setting for task.");
	return 0;
}

static int check_container_override(const struct run *r, const json_t *o, struct api_error *e)
{
	const char *name = json_get_string(o, "name", "");

	if (!taskdef_container(r->td, name))
		return api_fail(e, "InvalidParameterException",
				"Override for container named %.255s is not a container in the "
				"TaskDefinition.",
				name);
	if (json_get_int(o, "cpu", 0) < 0 || json_get_int(o, "memory", 4) < 4 ||
	    json_get_int(o, "memoryReservation", 4) < 4)
		return api_fail(e, "InvalidParameterException",
				"Invalid override for container '%s': cpu must not be negative, "
				"memory and memoryReservation at least 4.",
				name);
	return 0;
}

static int check_override_length(const json_t *overrides, struct api_error *e)
{
	_cleanup_(freep) char *text = json_dumps(overrides, JSON_COMPACT);

	if (!text)
		return answer_with(NULL, NULL, e);
	return strlen(text) > OVERRIDES_BYTES_MAX
		       ? api_fail(e, "InvalidParameterException",
				  "Overrides are longer than %d characters.", OVERRIDES_BYTES_MAX)
		       : 0;
}

static int read_overrides(const json_t *in, struct run *r, struct api_error *e)
{
	static const char *const lists[] = { "containerOverrides",
					     "inferenceAcceleratorOverrides" };
	const json_t *given = NULL, *o;
	size_t i;

	if (param_object(in, "overrides", &given, e) < 0)
		return -1;
	if (!given)
		r->overrides = json_object();
	else if (shape_copy(shape_override, given, &r->overrides, e) < 0)
		return -1;
	if (check_override_length(r->overrides, e) < 0)
		return -1;
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		if (!json_object_get(r->overrides, lists[i]))
			(void) json_object_set_new(r->overrides, lists[i], json_array());
	json_array_foreach(json_object_get(r->overrides, "containerOverrides"), i, o)
		if (check_container_override(r, o, e) < 0)
			return -1;
	return check_override_sizes(r->overrides, e);
}

static int check_constraint(const json_t *c, struct api_error *e)
{
	const char *type = NULL, *expression = NULL;

	if (param_required(c, "type", &type, e) < 0 ||
	    param_string(c, "expression", &expression, e) < 0)
		return -1;
	if (strcmp(type, "memberOf") == 0)
		return expression && *expression
			       ? 0
			       : api_fail(e, "InvalidParameterException",
					  "A memberOf constraint needs an expression.");
	if (strcmp(type, "distinctInstance") != 0)
		return api_fail(e, "InvalidParameterException",
				"Invalid placement constraint type '%.64s'.", type);
	return 0;
}

static int check_strategy(const json_t *s, struct api_error *e)
{
	static const char *const types[] = { "random", "spread", "binpack", NULL };
	const char *type = NULL, *field = NULL;

	if (param_choice(s, "type", types, NULL, &type, e) < 0 ||
	    param_string(s, "field", &field, e) < 0)
		return -1;
	if (!type)
		return api_fail(e, "InvalidParameterException",
				"A placement strategy needs a type.");
	if (strcmp(type, "binpack") == 0 &&
	    (!field || (strcasecmp(field, "cpu") != 0 && strcasecmp(field, "memory") != 0)))
		return api_fail(e, "InvalidParameterException",
				"The field of strategy binpack must be cpu or memory.");
	return 0;
}

static int read_placement(const json_t *in, struct run *r, struct api_error *e)
{
	const json_t *constraints = NULL, *v;
	size_t i;

	if (param_list(in, "placementConstraints", JSON_OBJECT, CONSTRAINTS_MAX, &constraints, e) <
		    0 ||
	    param_list(in, "placementStrategy", JSON_OBJECT, STRATEGIES_MAX, &r->strategy, e) < 0)
		return -1;
	json_array_foreach(constraints, i, v)
		if (check_constraint(v, e) < 0)
			return -1;
	json_array_foreach(r->strategy, i, v)
		if (check_strategy(v, e) < 0)
			return -1;
	r->constraints = json_copy(json_object_get(r->td, "placementConstraints"));
	if (constraints && json_array_extend(r->constraints, (json_t *) constraints) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

static int read_names(const json_t *in, struct run *r, struct api_error *e)
{
	const char *group = NULL;
	bool managed = false;

	if (param_string(in, "startedBy", &r->started_by, e) < 0 ||
	    param_string(in, "group", &group, e) < 0 ||
	    param_bool(in, "enableECSManagedTags", &managed, e) < 0 ||
	    param_bool(in, "enableExecuteCommand", &r->exec, e) < 0 ||
	    param_tags(in, &r->tags, e) < 0)
		return -1;
	if (r->started_by && strlen(r->started_by) > 128)
		return api_fail(e, "InvalidParameterException",
				"startedBy is longer than 128 characters.");
	if (group && strlen(group) > 255)
		return api_fail(e, "InvalidParameterException",
				"group is longer than 255 characters.");
	if (group && strncmp(group, "service:", 8) == 0)
		return api_fail(e, "InvalidParameterException",
				"A group must not begin with 'service:'.");
	if (r->service)
		(void) snprintf(r->group, sizeof(r->group), "service:%s", r->service);
	else if (group && *group)
		(void) snprintf(r->group, sizeof(r->group), "%s", group);
	else
		(void) snprintf(r->group, sizeof(r->group), "family:%s",
				json_get_string(r->td, "family", ""));
	if (managed &&
	    json_array_append_new(r->tags, json_pack("{s:s, s:s}", "key", "aws:ecs:clusterName",
						     "value", r->cluster)) < 0)
		return answer_with(NULL, NULL, e);
	if (managed && r->service &&
	    json_array_append_new(r->tags, json_pack("{s:s, s:s}", "key", "aws:ecs:serviceName",
						     "value", r->service)) < 0)
		return answer_with(NULL, NULL, e);
	if (strcmp(json_get_string(in, "propagateTags", ""), "TASK_DEFINITION") == 0 &&
	    json_array_extend(r->tags, json_object_get(r->td, "tags")) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

/* --- what a task takes --------------------------------------------------------------------- */

const json_t *run_override(const struct run *r, const char *name)
{
	return named_element(json_object_get(r->overrides, "containerOverrides"), name);
}

/* Of a container: what the override says, else the definition; 0 when neither does. */
int64_t run_effective(const struct run *r, const json_t *c, const char *key)
{
	const json_t *o = run_override(r, json_get_string(c, "name", ""));

	return json_get_int(o, key, json_get_int(c, key, 0));
}

static const char *task_level(const struct run *r, const char *key)
{
	return json_get_string(r->overrides, key, json_get_string(r->td, key, NULL));
}

static void compute_sizes(struct run *r)
{
	const json_t *c;
	size_t i;

	r->demand.cpu = r->demand.memory = r->demand.gpus = 0;
	json_array_foreach(json_object_get(r->td, "containerDefinitions"), i, c) {
		int64_t soft = run_effective(r, c, "memoryReservation");

		r->demand.gpus += gpu_wanted(c, run_override(r, json_get_string(c, "name", "")));
		r->demand.cpu += run_effective(r, c, "cpu");
		r->demand.memory += soft ? soft : run_effective(r, c, "memory");
	}
	if (task_level(r, "cpu"))
		(void) taskdef_parse_cpu(task_level(r, "cpu"), &r->demand.cpu);
	if (task_level(r, "memory"))
		(void) taskdef_parse_memory(task_level(r, "memory"), &r->demand.memory);
}

static void compute_ports(struct run *r)
{
	const json_t *c, *p;
	size_t i, j;

	r->ports = json_object();
	if (r->subnets)
		return; /* its ports are its interface's */
	json_array_foreach(json_object_get(r->td, "containerDefinitions"), i, c)
		json_array_foreach(json_object_get(c, "portMappings"), j, p) {
			int64_t port = json_get_int(p, "hostPort", 0);
			char key[32];

			(void) snprintf(key, sizeof(key), "%s/%" PRId64,
					json_get_string(p, "protocol", "tcp"), port);
			if (port > 0)
				(void) json_object_set_new(r->ports, key, json_true());
		}
}

int run_read(struct controlplane *cp, const json_t *in, struct run *r, struct api_error *e)
{
	if (cluster_of_request(cp, in, r->cluster, e) < 0 || read_taskdef(cp, in, r, e) < 0 ||
	    refuse_unsupported(in, e) < 0 ||
	    eni_check_request(cp, in, r->td, &r->subnets, e) < 0 || read_overrides(in, r, e) < 0 ||
	    read_placement(in, r, e) < 0 || read_names(in, r, e) < 0)
		return -1;
	compute_sizes(r);
	compute_ports(r);
	r->demand.ports = r->ports;
	r->demand.attributes = json_object_get(r->td, "requiresAttributes");
	r->demand.constraints = r->constraints;
	r->demand.strategy = r->strategy;
	r->demand.group = r->group;
	r->demand.subnets = r->subnets;
	return 0;
}
