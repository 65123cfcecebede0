/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/instance.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/gpu.h"
#include "controlplane/instance_expr.h"
#include "controlplane/param.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

/* --- describing ------------------------------------------------------------------------------ */

static void take_from(json_t *resources, const char *name, int64_t amount)
{
	json_t *r = named_element(resources, name);

	if (r)
		(void) json_object_set_new(
			r, "integerValue",
			json_integer(json_get_int(r, "integerValue", 0) - amount));
}

/* Adds the ports in use to the reserved ones, each once. */
static int take_ports(struct controlplane *cp, const char *arn, json_t *resources, const char *name,
		      const char *protocol, struct err *err)
{
	_cleanup_(json_decrefp) json_t *used = NULL, *known = json_object();
	json_t *set = json_object_get(named_element(resources, name), "stringSetValue"), *port;
	size_t i;
	int k;

	if (!set)
		return 0;
	k = store_instance_ports(cp->store, arn, protocol, &used, err);
	if (k < 0)
		return k;
	json_array_foreach(set, i, port)
		(void) json_object_set_new(known, json_string_value(port), json_true());
	json_array_foreach(used, i, port)
		if (!json_object_get(known, json_string_value(port)))
			(void) json_array_append(set, port);
	return 0;
}

int instance_describe(struct controlplane *cp, json_t *doc, struct err *err)
{
	_cleanup_(json_decrefp) json_t *left =
		json_deep_copy(json_object_get(doc, "registeredResources"));
	const char *arn = json_get_string(doc, "containerInstanceArn", "");
	struct instance_use use = {};
	int k = store_instance_use(cp->store, arn, &use, err);

	if (k == 0)
		k = take_ports(cp, arn, left, "PORTS", "tcp", err);
	if (k == 0)
		k = take_ports(cp, arn, left, "PORTS_UDP", "udp", err);
	if (k == 0)
		k = gpu_take_used(cp, arn, left, err);
	if (k < 0)
		return k;
	take_from(left, "CPU", use.cpu);
	take_from(left, "MEMORY", use.memory);
	(void) json_object_set(doc, "remainingResources", left);
	(void) json_object_set_new(doc, "runningTasksCount", json_integer(use.running_tasks));
	(void) json_object_set_new(doc, "pendingTasksCount", json_integer(use.pending_tasks));
	return 0;
}

int instance_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
		  struct err *err)
{
	char arn[ARN_MAX];
	struct arn a;

	if (!arn_parse(ref, &a))
		return strlen(ref) < ARN_NAME_MAX
			       ? store_instance_get(cp->store, arn_instance(cp, cluster, ref, arn),
						    ret, err)
			       : STORE_E_NOT_FOUND;
	if (strcmp(a.type, "container-instance") != 0 ||
	    (a.cluster[0] && strcmp(a.cluster, cluster) != 0))
		return STORE_E_NOT_FOUND;
	if (!a.cluster[0]) /* the short format of old */
		ref = arn_instance(cp, cluster, a.id, arn);
	return store_instance_get(cp->store, ref, ret, err);
}

static void bump_version(json_t *doc)
{
	(void) json_object_set_new(doc, "version",
				   json_integer(json_get_int(doc, "version", 0) + 1));
}

int instance_set_connected(struct controlplane *cp, const char *instance_arn, bool connected,
			   const char *agent_version, const char *agent_hash,
			   const char *docker_version, struct err *err)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	json_t *info;
	int k = store_instance_get(cp->store, instance_arn, &doc, err);

	if (k != 0)
		return k;
	if (connected && strcmp(json_get_string(doc, "status", ""), "INACTIVE") == 0)
		return STORE_E_NOT_FOUND;
	info = json_object_get(doc, "versionInfo");
	if (agent_version)
		(void) json_object_set_new(info, "agentVersion", json_string(agent_version));
	if (agent_hash)
		(void) json_object_set_new(info, "agentHash", json_string(agent_hash));
	if (docker_version)
		(void) json_object_set_new(info, "dockerVersion", json_string(docker_version));
	(void) json_object_set_new(doc, "agentConnected", json_boolean(connected));
	bump_version(doc);
	cp_wake_services(cp);
	return store_instance_put(cp->store, doc, err);
}

/* --- operations ------------------------------------------------------------------------------ */

struct listing {
	struct controlplane *cp;
	const char *filter; /* NULL: none */
	json_t *arns;
	size_t wanted;
	struct api_error *e;
};

static int on_listed(json_t *doc, void *userdata, struct err *err)
{
	struct listing *l = userdata;
	bool match = true;
	int k = 0;

	if (l->filter) {
		k = instance_describe(l->cp, doc, err);
		if (k == 0)
			k = instance_expr_match(l->cp, doc, l->filter, &match, err);
	}
	if (k == 0 && match)
		(void) json_array_append(l->arns, json_object_get(doc, "containerInstanceArn"));
	return k < 0 ? k : json_array_size(l->arns) < l->wanted ? 0 : DB_E_DONE;
}

static int list_instances(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	static const char *const statuses[] = {
		"ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED", NULL
	};
	_cleanup_(page_done) struct page page = {};
	_cleanup_(json_decrefp) json_t *arns = json_array();
	_cleanup_(err_done) struct err err = {};
	struct listing l = { .cp = cp, .arns = arns, .e = e };
	const char *status = NULL;
	char cluster[ARN_NAME_MAX];
	int k;

	if (cluster_of_request(cp, in, cluster, e) < 0 || page_of_request(in, &page, e) < 0 ||
	    param_string(in, "filter", &l.filter, e) < 0 ||
	    param_choice(in, "status", statuses, NULL, &status, e) < 0)
		return -1;
	l.wanted = (size_t) page.limit + 1;
	k = store_instance_each(cp->store, cluster, status, page.after, -1, on_listed, &l, &err);
	if (k == -EINVAL)
		return api_fail(e, "InvalidParameterException", "Invalid filter: %s",
				err_text(&err));
	if (k < 0)
		return api_fail_server(e, &err);
	return page_answer(&page, "containerInstanceArns", TAKE_PTR(arns), out, e);
}

static int each_named(struct controlplane *cp, const json_t *in,
		      int (*act)(struct controlplane *, const json_t *, json_t *,
				 struct api_error *),
		      json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *found = json_array(), *failures = json_array();
	_cleanup_(err_done) struct err err = {};
	const json_t *refs = NULL, *ref;
	char cluster[ARN_NAME_MAX], arn[ARN_MAX];
	size_t i;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_list(in, "containerInstances", JSON_STRING, 100, &refs, e) < 0)
		return -1;
	if (json_array_size(refs) == 0)
		return api_fail(e, "InvalidParameterException",
				"Container instances cannot be empty.");
	json_array_foreach(refs, i, ref) {
		_cleanup_(json_decrefp) json_t *doc = NULL;
		const char *text = json_string_value(ref);
		int k = strlen(text) < ARN_MAX - 128 ? instance_find(cp, cluster, text, &doc, &err)
						     : STORE_E_NOT_FOUND;

		if (k > 0 &&
		    failure_add(failures,
				strncmp(text, "arn:", 4) == 0 || strlen(text) >= ARN_NAME_MAX
					? text
					: arn_instance(cp, cluster, text, arn),
				"MISSING", NULL, e) < 0)
			return -1;
		if (k > 0)
			continue;
		if (k < 0)
			return api_fail_server(e, &err);
		if (act && act(cp, in, doc, e) < 0)
			return -1;
		if (instance_describe(cp, doc, &err) < 0)
			return api_fail_server(e, &err);
		tags_hide(in, doc);
		(void) json_array_append(found, doc);
	}
	return answer_with(
		json_pack("{s:O, s:O}", "containerInstances", found, "failures", failures), out, e);
}

static int describe_instances(struct controlplane *cp, const json_t *in, json_t **out,
			      struct api_error *e)
{
	return each_named(cp, in, NULL, out, e);
}

static int set_state(struct controlplane *cp, const json_t *in, json_t *doc, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *status = json_get_string(in, "status", "");
	const char *now = json_get_string(doc, "status", "");

	if (strcmp(now, "INACTIVE") == 0)
		return api_fail(e, "InvalidParameterException",
				"An INACTIVE container instance cannot change its state.");
	if (strcmp(now, status) == 0)
		return 0;
	(void) json_object_set_new(doc, "status", json_string(status));
	bump_version(doc);
	cp_wake_services(cp);
	return store_instance_put(cp->store, doc, &err) < 0 ? api_fail_server(e, &err) : 0;
}

static int update_state(struct controlplane *cp, const json_t *in, json_t **out,
			struct api_error *e)
{
	static const char *const statuses[] = { "ACTIVE", "DRAINING", NULL };
	const char *status = NULL;

	if (param_choice(in, "status", statuses, NULL, &status, e) < 0)
		return -1;
	if (!status)
		return api_fail(e, "InvalidParameterException", "status can not be blank.");
	return each_named(cp, in, set_state, out, e);
}

static int collect(json_t *doc, void *userdata, struct err *err)
{
	return json_array_append(userdata, doc) < 0 ? err_set(err, ENOMEM, "list tasks") : 0;
}

/* With force the tasks are given up: nobody will ever report on them again. */
static int give_up_tasks(struct controlplane *cp, const char *arn, bool force, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tasks = json_array();
	_cleanup_(err_done) struct err err = {};
	json_t *task;
	size_t i;

	if (store_tasks_of_instance(cp->store, arn, false, collect, tasks, &err) < 0)
		return api_fail_server(e, &err);
	if (!force && json_array_size(tasks) > 0)
		return api_fail(e, "InvalidParameterException",
				"Found running tasks on the instance.");
	json_array_foreach(tasks, i, task)
		if (task_give_up(cp, task, "Container instance deregistration forced by user",
				 &err) < 0)
			return api_fail_server(e, &err);
	cp_wake_services(cp);
	return 0;
}

static int deregister(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL, *arn;
	char cluster[ARN_NAME_MAX];
	bool force = false;
	int k;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_required(in, "containerInstance", &ref, e) < 0 ||
	    param_bool(in, "force", &force, e) < 0)
		return -1;
	k = instance_find(cp, cluster, ref, &doc, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0)
		return api_fail(e, "InvalidParameterException",
				"Referenced container instance %.256s not found.", arn_last(ref));
	arn = json_get_string(doc, "containerInstanceArn", "");
	if (strcmp(json_get_string(doc, "status", ""), "INACTIVE") != 0) {
		if (give_up_tasks(cp, arn, force, e) < 0)
			return -1;
		(void) json_object_set_new(doc, "status", json_string("INACTIVE"));
		(void) json_object_set_new(doc, "agentConnected", json_false());
		bump_version(doc);
		if (store_instance_put(cp->store, doc, &err) < 0 ||
		    cp_note_instance_gone(cp, arn, &err) < 0)
			return api_fail_server(e, &err);
	}
	if (instance_describe(cp, doc, &err) < 0)
		return api_fail_server(e, &err);
	return answer_with(json_pack("{s:O}", "containerInstance", doc), out, e);
}

const struct operation instance_operations[] = {
	{ "DeregisterContainerInstance", deregister },
	{ "DescribeContainerInstances", describe_instances },
	{ "ListContainerInstances", list_instances },
	{ "UpdateContainerInstancesState", update_state },
	{},
};
