/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cluster.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < ARN_NAME_MAX && strspn(name, NAME_CHARACTERS) == n;
}

/* The name in a reference (a name or an ARN) into @name of ARN_NAME_MAX. */
static int name_of(const char *ref, char *name, struct api_error *e)
{
	struct arn a;

	if (arn_parse(ref, &a) && strcmp(a.type, "cluster") == 0)
		ref = a.id;
	if (!name_ok(ref))
		return api_fail(e, "InvalidParameterException",
				"Invalid identifier: a cluster is named by its ARN or by up to 255 "
				"letters, numbers, hyphens, and underscores.");
	memcpy(name, ref, strlen(ref) + 1);
	return 0;
}

static int get_active(struct controlplane *cp, const char *name, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = store_cluster_get(cp->store, name, &doc, &err);

	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0 || strcmp(json_get_string(doc, "status", ""), "ACTIVE") != 0)
		return api_fail(e, "ClusterNotFoundException", "Cluster not found.");
	*ret = TAKE_PTR(doc);
	return 0;
}

int cluster_of_request(struct controlplane *cp, const json_t *in, char *name, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	const char *ref = NULL;

	if (param_string(in, "cluster", &ref, e) < 0 ||
	    name_of(ref && *ref ? ref : "default", name, e) < 0)
		return -1;
	return get_active(cp, name, &doc, e);
}

/* Adds the counted members. */
static int describe(struct controlplane *cp, json_t *doc, struct cluster_counts *ret,
		    struct err *err)
{
	struct cluster_counts c = {};
	int k = store_cluster_counts(cp->store, json_get_string(doc, "clusterName", ""), &c, err);

	if (k < 0)
		return k;
	(void) json_object_set_new(doc, "registeredContainerInstancesCount",
				   json_integer(c.instances));
	(void) json_object_set_new(doc, "runningTasksCount", json_integer(c.running_tasks));
	(void) json_object_set_new(doc, "pendingTasksCount", json_integer(c.pending_tasks));
	(void) json_object_set_new(doc, "activeServicesCount", json_integer(c.active_services));
	*ret = c;
	return 0;
}

static int answer_cluster(struct controlplane *cp, json_t *doc, json_t **out, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	struct cluster_counts c;

	if (describe(cp, doc, &c, &err) < 0)
		return api_fail_server(e, &err);
	return answer_with(json_pack("{s:O}", "cluster", doc), out, e);
}

static json_t *new_cluster(struct controlplane *cp, const char *name, const json_t *settings,
			   json_t *tags)
{
	char arn[ARN_MAX];
	json_t *doc =
		json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:[], s:O, s:[], s:[]}",
			  "clusterArn", arn_cluster(cp, name, arn), "clusterName", name, "status",
			  "ACTIVE", "registeredContainerInstancesCount", 0, "runningTasksCount", 0,
			  "pendingTasksCount", 0, "activeServicesCount", 0, "statistics", "tags",
			  tags, "capacityProviders", "defaultCapacityProviderStrategy");

	if (doc && settings)
		(void) json_object_set(doc, "settings", (json_t *) settings);
	else if (doc)
		(void) json_object_set_new(doc, "settings",
					   json_pack("[{s:s, s:s}]", "name", "containerInsights",
						     "value", "disabled"));
	return doc;
}

static int create_cluster(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *tags = NULL;
	_cleanup_(err_done) struct err err = {};
	const json_t *settings = NULL, *providers = NULL;
	const char *ref = NULL;
	char name[ARN_NAME_MAX];
	int k;

	if (param_string(in, "clusterName", &ref, e) < 0 || param_tags(in, &tags, e) < 0 ||
	    param_list(in, "settings", JSON_OBJECT, 10, &settings, e) < 0 ||
	    param_list(in, "capacityProviders", JSON_STRING, 20, &providers, e) < 0 ||
	    name_of(ref && *ref ? ref : "default", name, e) < 0)
		return -1;
	if (json_array_size(providers) > 0)
		return api_fail(e, "UnsupportedFeatureException",
				"capacityProviders are not offered by this control plane.");
	k = store_cluster_get(cp->store, name, &doc, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k == 0 && strcmp(json_get_string(doc, "status", ""), "ACTIVE") == 0)
		return answer_cluster(cp, doc, out, e);
	json_decref(doc);
	doc = new_cluster(cp, name, settings, tags);
	if (!doc)
		return answer_with(NULL, out, e);
	if (store_cluster_put(cp->store, name, doc, &err) < 0)
		return api_fail_server(e, &err);
	return answer_cluster(cp, doc, out, e);
}

static int list_clusters(struct controlplane *cp, const json_t *in, json_t **out,
			 struct api_error *e)
{
	_cleanup_(page_done) struct page page = {};
	_cleanup_(err_done) struct err err = {};
	json_t *names = NULL, *arns;
	const json_t *name;
	char arn[ARN_MAX];
	size_t i;

	if (page_of_request(in, &page, e) < 0)
		return -1;
	if (store_cluster_list(cp->store, page.after ? arn_last(page.after) : NULL, page.limit + 1,
			       &names, &err) < 0)
		return api_fail_server(e, &err);
	arns = json_array();
	json_array_foreach(names, i, name)
		(void) json_array_append_new(
			arns, json_string(arn_cluster(cp, json_string_value(name), arn)));
	json_decref(names);
	return page_answer(&page, "clusterArns", arns, out, e);
}

/* What DescribeClusters leaves out unless it is included. */
static void hide_members(const json_t *in, json_t *doc)
{
	tags_hide(in, doc);
	if (!param_includes(in, "include", "SETTINGS"))
		(void) json_object_set_new(doc, "settings", json_array());
}

/* All there is here is of launch type EC2. */
static void add_statistics(json_t *doc, const struct cluster_counts *c)
{
	const struct {
		const char *name;
		int64_t value;
	} all[] = {
		{ "runningEC2TasksCount", c->running_tasks },
		{ "runningFargateTasksCount", 0 },
		{ "pendingEC2TasksCount", c->pending_tasks },
		{ "pendingFargateTasksCount", 0 },
		{ "activeEC2ServiceCount", c->active_services },
		{ "activeFargateServiceCount", 0 },
		{ "drainingEC2ServiceCount", c->draining_services },
		{ "drainingFargateServiceCount", 0 },
	};
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		(void) json_array_append_new(
			list, json_pack("{s:s, s:o}", "name", all[i].name, "value",
					json_sprintf("%lld", (long long) all[i].value)));
	(void) json_object_set_new(doc, "statistics", list);
}

static int describe_one(struct controlplane *cp, const json_t *in, const char *ref,
			json_t *clusters, json_t *failures, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	char name[ARN_NAME_MAX], arn[ARN_MAX];
	struct cluster_counts c = {};
	int k;

	if (name_of(ref, name, e) < 0)
		return -1;
	k = store_cluster_get(cp->store, name, &doc, &err);
	if (k > 0)
		return failure_add(failures, arn_cluster(cp, name, arn), "MISSING", NULL, e);
	if (k == 0)
		k = describe(cp, doc, &c, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (param_includes(in, "include", "STATISTICS"))
		add_statistics(doc, &c);
	hide_members(in, doc);
	(void) json_array_append(clusters, doc);
	return 0;
}

static int describe_clusters(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *clusters = json_array(), *failures = json_array();
	const json_t *refs = NULL, *ref;
	size_t i;

	if (param_list(in, "clusters", JSON_STRING, 100, &refs, e) < 0)
		return -1;
	if (json_array_size(refs) == 0 &&
	    describe_one(cp, in, "default", clusters, failures, e) < 0)
		return -1;
	json_array_foreach(refs, i, ref)
		if (describe_one(cp, in, json_string_value(ref), clusters, failures, e) < 0)
			return -1;
	return answer_with(json_pack("{s:O, s:O}", "clusters", clusters, "failures", failures), out,
			   e);
}

static int delete_cluster(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	struct cluster_counts c = {};
	const char *ref = NULL;
	char name[ARN_NAME_MAX];

	if (param_required(in, "cluster", &ref, e) < 0 || name_of(ref, name, e) < 0 ||
	    get_active(cp, name, &doc, e) < 0)
		return -1;
	if (store_cluster_counts(cp->store, name, &c, &err) < 0)
		return api_fail_server(e, &err);
	if (c.instances > 0)
		return api_fail(e, "ClusterContainsContainerInstancesException",
				"The Cluster cannot be deleted while Container Instances are "
				"active or draining.");
	if (c.active_services + c.draining_services > 0)
		return api_fail(e, "ClusterContainsServicesException",
				"The Cluster cannot be deleted while Services are active.");
	if (c.running_tasks + c.pending_tasks > 0)
		return api_fail(e, "ClusterContainsTasksException",
				"The Cluster cannot be deleted while Tasks are active.");
	(void) json_object_set_new(doc, "status", json_string("INACTIVE"));
	if (store_cluster_put(cp->store, name, doc, &err) < 0)
		return api_fail_server(e, &err);
	return answer_cluster(cp, doc, out, e);
}

const struct operation cluster_operations[] = {
	{ "CreateCluster", create_cluster },
	{ "DeleteCluster", delete_cluster },
	{ "DescribeClusters", describe_clusters },
	{ "ListClusters", list_clusters },
	{},
};
