/* SPDX-License-Identifier: Apache-2.0 */
/* What CreateService and UpdateService say, checked. */
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/run.h"
#include "controlplane/service.h"
#include "controlplane/shape.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

static const struct shape constraint[] = {
	{ "type", SHAPE_STRING, NULL },
	{ "expression", SHAPE_STRING, NULL },
	{},
};

static const struct shape strategy[] = {
	{ "type", SHAPE_STRING, NULL },
	{ "field", SHAPE_STRING, NULL },
	{},
};

static const struct shape awsvpc[] = {
	{ "subnets", SHAPE_STRINGS, NULL },
	{ "securityGroups", SHAPE_STRINGS, NULL },
	{ "assignPublicIp", SHAPE_STRING, NULL },
	{},
};

static const struct shape network[] = { { "awsvpcConfiguration", SHAPE_OBJECT, awsvpc }, {} };

static const struct shape breaker[] = {
	{ "enable", SHAPE_BOOLEAN, NULL },
	{ "rollback", SHAPE_BOOLEAN, NULL },
	{},
};

static const struct shape alarms[] = { { "enable", SHAPE_BOOLEAN, NULL }, {} };

static const struct shape deployment[] = {
	{ "maximumPercent", SHAPE_INTEGER, NULL },
	{ "minimumHealthyPercent", SHAPE_INTEGER, NULL },
	{ "deploymentCircuitBreaker", SHAPE_OBJECT, breaker },
	{ "alarms", SHAPE_OBJECT, alarms },
	{ "strategy", SHAPE_STRING, NULL },
	{},
};

static const struct shape controller[] = { { "type", SHAPE_STRING, NULL }, {} };
static const struct shape connect[] = { { "enabled", SHAPE_BOOLEAN, NULL }, {} };

/* Of both requests, all but what is refused whatever it holds. */
static const struct shape request[] = {
	{ "serviceName", SHAPE_STRING, NULL },
	{ "taskDefinition", SHAPE_STRING, NULL },
	{ "desiredCount", SHAPE_INTEGER, NULL },
	{ "schedulingStrategy", SHAPE_STRING, NULL },
	{ "forceNewDeployment", SHAPE_BOOLEAN, NULL },
	{ "placementConstraints", SHAPE_LIST, constraint },
	{ "placementStrategy", SHAPE_LIST, strategy },
	{ "networkConfiguration", SHAPE_OBJECT, network },
	{ "deploymentConfiguration", SHAPE_OBJECT, deployment },
	{ "deploymentController", SHAPE_OBJECT, controller },
	{ "serviceConnectConfiguration", SHAPE_OBJECT, connect },
	{ "availabilityZoneRebalancing", SHAPE_STRING, NULL },
	{ "enableECSManagedTags", SHAPE_BOOLEAN, NULL },
	{ "enableExecuteCommand", SHAPE_BOOLEAN, NULL },
	{ "propagateTags", SHAPE_STRING, NULL },
	{},
};

/* --- what this control plane cannot give ------------------------------------------------------ */

static int refuse(const char *what, struct api_error *e)
{
	return api_fail(e, "UnsupportedFeatureException",
			"%s is not offered by this control plane.", what);
}

static bool is_given(const json_t *v)
{
	return v && !json_is_null(v) && !(json_is_array(v) && json_array_size(v) == 0);
}

static int refuse_deployment(const json_t *config, struct api_error *e)
{
	const char *how = json_get_string(config, "strategy", "ROLLING");

	if (json_is_true(
		    json_object_get(json_object_get(config, "deploymentCircuitBreaker"), "enable")))
		return refuse("deploymentConfiguration.deploymentCircuitBreaker", e);
	if (json_is_true(json_object_get(json_object_get(config, "alarms"), "enable")))
		return refuse("deploymentConfiguration.alarms", e);
	return strcmp(how, "ROLLING") != 0 ? refuse("deploymentConfiguration.strategy", e) : 0;
}

/* @raw is the request as it came, @in what the shape made of it. */
static int refuse_unsupported(const json_t *raw, const json_t *in, struct api_error *e)
{
	static const char *const types[] = { "EC2", "FARGATE", "EXTERNAL", NULL };
	static const char *const never[] = {
		"loadBalancers",
		"serviceRegistries",
		"capacityProviderStrategy",
		"platformVersion",
		"role",
		"volumeConfigurations",
		"vpcLatticeConfigurations",
	};
	const char *type = NULL;

	if (param_choice(raw, "launchType", types, "EC2", &type, e) < 0)
		return -1;
	if (strcmp(type, "EC2") != 0)
		return api_fail(e, "UnsupportedFeatureException",
				"launchType %s is not offered by this control plane.", type);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (is_given(json_object_get(raw, never[i])))
			return refuse(never[i], e);
	if (is_given(json_object_get(raw, "healthCheckGracePeriodSeconds")))
		return api_fail(e, "InvalidParameterException",
				"Health check grace period is only valid for services configured "
				"to use load balancers");
	if (json_is_true(
		    json_object_get(json_object_get(in, "serviceConnectConfiguration"), "enabled")))
		return refuse("serviceConnectConfiguration", e);
	if (strcmp(json_get_string(json_object_get(in, "deploymentController"), "type", "ECS"),
		   "ECS") != 0)
		return refuse("deploymentController", e);
	if (strcmp(json_get_string(in, "availabilityZoneRebalancing", "DISABLED"), "DISABLED") != 0)
		return refuse("availabilityZoneRebalancing", e);
	return refuse_deployment(json_object_get(in, "deploymentConfiguration"), e);
}

/* --- members that both have ------------------------------------------------------------------ */

static bool is_daemon(const json_t *doc)
{
	return strcmp(json_get_string(doc, "schedulingStrategy", ""), "DAEMON") == 0;
}

static int read_count(const json_t *in, json_t *doc, struct api_error *e)
{
	int n = 0;

	if (!json_object_get(in, "desiredCount"))
		return 0;
	if (is_daemon(doc))
		return api_fail(e, "InvalidParameterException",
				"The daemon scheduling strategy does not support a desired count "
				"for services. Remove the desired count value and try again");
	if (param_int(in, "desiredCount", 0, SERVICE_DESIRED_MAX, 0, &n, e) < 0)
		return -1;
	(void) json_object_set_new(doc, "desiredCount", json_integer(n));
	return 0;
}

static int check_percents(const json_t *doc, int min, int max, struct api_error *e)
{
	if (is_daemon(doc) && (max != 100 || min > 100))
		return api_fail(e, "InvalidParameterException",
				"The daemon scheduling strategy needs a maximumPercent of 100 and "
				"a minimumHealthyPercent of at most 100.");
	if (is_daemon(doc) ? min == 100 : min == 100 && max == 100)
		return api_fail(e, "InvalidParameterException",
				"Both maximumPercent and minimumHealthyPercent cannot be 100 as "
				"this will block deployments.");
	if (min > max)
		return api_fail(e, "InvalidParameterException",
				"minimumHealthyPercent must not be larger than maximumPercent.");
	return 0;
}

static int read_percents(const json_t *in, json_t *doc, struct api_error *e)
{
	const json_t *config = json_object_get(in, "deploymentConfiguration");
	const json_t *old = json_object_get(doc, "deploymentConfiguration");
	int max = (int) json_get_int(old, "maximumPercent", is_daemon(doc) ? 100 : 200);
	int min = (int) json_get_int(old, "minimumHealthyPercent", is_daemon(doc) ? 0 : 100);

	if (param_int(config, "maximumPercent", 1, 10000, max, &max, e) < 0 ||
	    param_int(config, "minimumHealthyPercent", 0, 10000, min, &min, e) < 0 ||
	    check_percents(doc, min, max, e) < 0)
		return -1;
	(void) json_object_set_new(doc, "deploymentConfiguration",
				   json_pack("{s:{s:b, s:b}, s:i, s:i}", "deploymentCircuitBreaker",
					     "enable", 0, "rollback", 0, "maximumPercent", max,
					     "minimumHealthyPercent", min));
	return 0;
}

static int read_placement(const json_t *in, json_t *doc, struct api_error *e)
{
	static const char *const same[] = { "placementConstraints", "placementStrategy",
					    "networkConfiguration", "enableECSManagedTags",
					    "enableExecuteCommand" };
	static const char *const sources[] = { "TASK_DEFINITION", "SERVICE", "NONE", NULL };
	const char *propagate = NULL;

	if (is_daemon(doc) && is_given(json_object_get(in, "placementStrategy")))
		return api_fail(e, "InvalidParameterException",
				"Placement strategies are not supported with DAEMON scheduling "
				"strategy.");
	if (param_choice(in, "propagateTags", sources, NULL, &propagate, e) < 0)
		return -1;
	if (propagate)
		(void) json_object_set_new(doc, "propagateTags", json_string(propagate));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (json_object_get(in, same[i]))
			(void) json_object_set(doc, same[i], json_object_get(in, same[i]));
	return 0;
}

/*
 * Could a task be started of @doc? Asks what RunTask asks, and leaves in @doc the full ARN of the
 * definition. @fresh: its definition is newly chosen, so it must be ACTIVE.
 */
static int check_tasks(struct controlplane *cp, json_t *doc, const char *definition, bool fresh,
		       struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *in = service_run_request(doc);
	_cleanup_(run_done) struct run r = { .service = json_get_string(doc, "serviceName", "") };

	if (!in || json_object_set_new(in, "taskDefinition", json_string(definition)) < 0)
		return answer_with(NULL, NULL, e);
	(void) json_object_del(in, "startedBy"); /* of the deployment that is to come */
	if (run_read(cp, in, &r, e) < 0)
		return -1;
	if (fresh && strcmp(json_get_string(r.td, "status", ""), "ACTIVE") != 0)
		return api_fail(e, "ClientException", "TaskDefinition is inactive");
	(void) json_object_set(doc, "taskDefinition", json_object_get(r.td, "taskDefinitionArn"));
	return 0;
}

static int apply(struct controlplane *cp, const json_t *in, json_t *doc, bool fresh,
		 struct api_error *e)
{
	if (read_count(in, doc, e) < 0 || read_percents(in, doc, e) < 0 ||
	    read_placement(in, doc, e) < 0)
		return -1;
	return check_tasks(
		cp, doc,
		json_get_string(in, "taskDefinition", json_get_string(doc, "taskDefinition", "")),
		fresh, e);
}

/* --- CreateService ----------------------------------------------------------------------------- */

static int read_name(const json_t *in, const char **ret, struct api_error *e)
{
	const char *name = NULL;
	size_t n;

	if (param_required(in, "serviceName", &name, e) < 0)
		return -1;
	n = strlen(name);
	if (n >= ARN_NAME_MAX || strspn(name, NAME_CHARACTERS) != n)
		return api_fail(e, "InvalidParameterException",
				"Invalid service name: up to 255 letters, numbers, hyphens, and "
				"underscores are allowed.");
	*ret = name;
	return 0;
}

static json_t *new_doc(struct controlplane *cp, const char *cluster, const char *name,
		       const char *how, json_t *tags)
{
	char arn[ARN_MAX], cluster_arn[ARN_MAX];

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:[], s:[], s:s, s:[], s:[], s:o, s:[], s:[], "
			 "s:s, s:{s:s}, s:O, s:o, s:b, s:b, s:s, s:{}}",
			 "serviceArn", arn_service(cp, cluster, name, arn), "serviceName", name,
			 "clusterArn", arn_cluster(cp, cluster, cluster_arn), "status", "ACTIVE",
			 "desiredCount", 0, "loadBalancers", "serviceRegistries", "launchType",
			 "EC2", "deployments", "events", "createdAt", json_now(),
			 "placementConstraints", "placementStrategy", "schedulingStrategy", how,
			 "deploymentController", "type", "ECS", "tags", tags, "createdBy",
			 json_sprintf("arn:aws:iam::%s:root", cp->settings.account),
			 "enableECSManagedTags", 0, "enableExecuteCommand", 0, "propagateTags",
			 "NONE", "scheduler");
}

int service_from_request(struct controlplane *cp, const json_t *raw, const char *cluster,
			 json_t **ret, struct api_error *e)
{
	static const char *const strategies[] = { "REPLICA", "DAEMON", NULL };
	_cleanup_(json_decrefp) json_t *in = NULL, *doc = NULL, *tags = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *name = NULL, *how = NULL, *td = NULL;

	if (shape_copy(request, raw, &in, e) < 0 || refuse_unsupported(raw, in, e) < 0 ||
	    read_name(in, &name, e) < 0 || param_required(in, "taskDefinition", &td, e) < 0 ||
	    param_choice(in, "schedulingStrategy", strategies, "REPLICA", &how, e) < 0 ||
	    param_tags(raw, &tags, e) < 0)
		return -1;
	if (strcmp(how, "REPLICA") == 0 && !json_object_get(in, "desiredCount"))
		return api_fail(e, "InvalidParameterException",
				"desiredCount is required with the REPLICA scheduling strategy.");
	doc = new_doc(cp, cluster, name, how, tags);
	if (!doc)
		return answer_with(NULL, ret, e);
	if (apply(cp, in, doc, true, e) < 0)
		return -1;
	if (service_deploy(doc, &err) < 0)
		return api_fail_server(e, &err);
	*ret = TAKE_PTR(doc);
	return 0;
}

/* --- UpdateService ----------------------------------------------------------------------------- */

/* What tasks are made of: another one is a new deployment. */
static bool needs_deployment(const json_t *in, const json_t *doc, const json_t *before)
{
	static const char *const keys[] = { "taskDefinition", "networkConfiguration" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *was = json_object_get(before, keys[i]), *is = json_object_get(doc, keys[i]);

		if (is && (!was || !json_equal(was, is)))
			return true;
	}
	return json_is_true(json_object_get(in, "forceNewDeployment"));
}

int service_apply_update(struct controlplane *cp, const json_t *raw, json_t *doc,
			 struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *in = NULL, *before = json_copy(doc);
	_cleanup_(err_done) struct err err = {};
	json_t *primary = service_primary(doc);

	if (shape_copy(request, raw, &in, e) < 0 || refuse_unsupported(raw, in, e) < 0 ||
	    apply(cp, in, doc, json_object_get(in, "taskDefinition") != NULL, e) < 0)
		return -1;
	if (needs_deployment(in, doc, before))
		return service_deploy(doc, &err) < 0 ? api_fail_server(e, &err) : 0;
	if (json_equal(json_object_get(before, "desiredCount"),
		       json_object_get(doc, "desiredCount")))
		return 0;
	(void) json_object_set(primary, "desiredCount", json_object_get(doc, "desiredCount"));
	(void) json_object_set_new(primary, "updatedAt", json_now());
	(void) json_object_del(json_object_get(doc, "scheduler"), "steady");
	return 0;
}
