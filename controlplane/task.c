/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that look at tasks and stop them; RunTask and StartTask are in run.c. */
#include "controlplane/task.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/instance.h"
#include "controlplane/param.h"
#include "controlplane/service.h"
#include "controlplane/store.h"

int task_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
	      struct err *err)
{
	char arn[ARN_MAX];
	struct arn a;

	if (!arn_parse(ref, &a))
		return strlen(ref) < ARN_NAME_MAX
			       ? store_task_get(cp->store, arn_task(cp, cluster, ref, arn), ret,
						err)
			       : STORE_E_NOT_FOUND;
	if (strcmp(a.type, "task") != 0 || (a.cluster[0] && strcmp(a.cluster, cluster) != 0))
		return STORE_E_NOT_FOUND;
	if (!a.cluster[0]) /* the short format of old */
		ref = arn_task(cp, cluster, a.id, arn);
	return store_task_get(cp->store, ref, ret, err);
}

/* --- StopTask -------------------------------------------------------------------------------- */

int task_begin_stop(struct controlplane *cp, json_t *doc, const char *code, const char *reason,
		    struct err *err)
{
	int64_t version = json_get_int(doc, "version", 0) + 1;
	int k;

	(void) json_object_set_new(doc, "desiredStatus", json_string("STOPPED"));
	(void) json_object_set_new(doc, "stopCode", json_string(code));
	(void) json_object_set_new(doc, "stoppedReason", json_string(reason));
	(void) json_object_set_new(doc, "stoppingAt", json_now());
	(void) json_object_set_new(doc, "version", json_integer(version));
	k = store_task_put(cp->store, doc, err);
	if (k == 0)
		k = cp_note_task(cp, json_get_string(doc, "taskArn", ""), err);
	if (k == 0)
		cp_wake_services(cp);
	return k;
}

static int stop_task(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL, *reason = NULL;
	char cluster[ARN_NAME_MAX];
	int k;

	if (cluster_of_request(cp, in, cluster, e) < 0 || param_required(in, "task", &ref, e) < 0 ||
	    param_string(in, "reason", &reason, e) < 0)
		return -1;
	if (reason && strlen(reason) > 1024)
		return api_fail(e, "InvalidParameterException",
				"reason is longer than 1024 characters.");
	k = task_find(cp, cluster, ref, &task, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0)
		return api_fail(e, "InvalidParameterException",
				"The referenced task was not found.");
	if (strcmp(json_get_string(task, "desiredStatus", ""), "STOPPED") != 0 &&
	    task_begin_stop(cp, task, "UserInitiated",
			    reason && *reason ? reason : "Task stopped by user", &err) < 0)
		return api_fail_server(e, &err);
	return answer_with(json_pack("{s:O}", "task", task), out, e);
}

/* --- DescribeTasks --------------------------------------------------------------------------- */

/* Is the agent that runs it within reach? */
static int add_connectivity(struct controlplane *cp, json_t *task, struct err *err)
{
	_cleanup_(json_decrefp) json_t *instance = NULL;
	const char *arn = json_get_string(task, "containerInstanceArn", "");
	int k = store_instance_get(cp->store, arn, &instance, err);
	bool connected = json_is_true(json_object_get(instance, "agentConnected"));

	if (k < 0)
		return k;
	if (strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") != 0)
		(void) json_object_set_new(task, "connectivity",
					   json_string(connected ? "CONNECTED" : "DISCONNECTED"));
	return 0;
}

static int describe_one(struct controlplane *cp, const json_t *in, const char *cluster,
			const char *ref, json_t *tasks, json_t *failures, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	_cleanup_(err_done) struct err err = {};
	bool is_arn = strncmp(ref, "arn:", 4) == 0 || strlen(ref) >= ARN_NAME_MAX;
	char arn[ARN_MAX];
	int k = task_find(cp, cluster, ref, &task, &err);

	if (k > 0)
		return failure_add(failures, is_arn ? ref : arn_task(cp, cluster, ref, arn),
				   "MISSING", NULL, e);
	if (k == 0)
		k = add_connectivity(cp, task, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	tags_hide(in, task);
	(void) json_array_append(tasks, task);
	return 0;
}

static int describe_tasks(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tasks = json_array(), *failures = json_array();
	const json_t *refs = NULL, *ref;
	char cluster[ARN_NAME_MAX];
	size_t i;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_list(in, "tasks", JSON_STRING, 1000, &refs, e) < 0)
		return -1;
	if (json_array_size(refs) == 0)
		return api_fail(e, "InvalidParameterException", "Tasks cannot be empty.");
	if (json_array_size(refs) > 100)
		return api_fail(e, "InvalidParameterException",
				"Number of tasks should be less than or equal to 100.");
	json_array_foreach(refs, i, ref)
		if (describe_one(cp, in, cluster, json_string_value(ref), tasks, failures, e) < 0)
			return -1;
	return answer_with(json_pack("{s:O, s:O}", "tasks", tasks, "failures", failures), out, e);
}

/* --- ListTasks ------------------------------------------------------------------------------- */

static int filter_instance(struct controlplane *cp, const json_t *in, const char *cluster,
			   json_t **ret, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	int k;

	if (param_string(in, "containerInstance", &ref, e) < 0)
		return -1;
	if (!ref || !*ref)
		return 0;
	k = instance_find(cp, cluster, ref, ret, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	return k > 0 ? api_fail(e, "InvalidParameterException",
				"The referenced container instance was not found.")
		     : 0;
}

/* The group of a service's tasks into @buf. */
static int filter_service(struct controlplane *cp, const json_t *in, const char *cluster,
			  char *buf, size_t size, const char **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *service = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	int k;

	if (param_string(in, "serviceName", &ref, e) < 0)
		return -1;
	if (!ref || !*ref)
		return 0;
	k = service_find(cp, cluster, ref, &service, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0)
		return api_fail(e, "ServiceNotFoundException", "Service not found.");
	(void) snprintf(buf, size, "service:%s", json_get_string(service, "serviceName", ""));
	*ret = buf;
	return 0;
}

static int filter_of_request(const json_t *in, struct task_filter *f, bool *ret_nothing,
			     struct api_error *e)
{
	static const char *const statuses[] = { "RUNNING", "PENDING", "STOPPED", NULL };
	static const char *const types[] = { "EC2", "FARGATE", "EXTERNAL", NULL };
	const char *type = NULL;

	if (param_string(in, "family", &f->family, e) < 0 ||
	    param_string(in, "startedBy", &f->started_by, e) < 0 ||
	    param_choice(in, "launchType", types, "EC2", &type, e) < 0 ||
	    param_choice(in, "desiredStatus", statuses, "RUNNING", &f->desired_status, e) < 0)
		return -1;
	/* No task ever has desired status PENDING, and all are of launch type EC2. */
	*ret_nothing = strcmp(f->desired_status, "PENDING") == 0 || strcmp(type, "EC2") != 0;
	return 0;
}

static int list_tasks(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(page_done) struct page page = {};
	_cleanup_(json_decrefp) json_t *instance = NULL;
	_cleanup_(err_done) struct err err = {};
	struct task_filter f = {};
	char cluster[ARN_NAME_MAX], group[ARN_NAME_MAX + 8];
	json_t *arns = NULL;
	bool nothing = false;

	if (cluster_of_request(cp, in, cluster, e) < 0 || page_of_request(in, &page, e) < 0 ||
	    filter_of_request(in, &f, &nothing, e) < 0 ||
	    filter_service(cp, in, cluster, group, sizeof(group), &f.group, e) < 0 ||
	    filter_instance(cp, in, cluster, &instance, e) < 0)
		return -1;
	f.cluster = cluster;
	f.instance_arn = json_get_string(instance, "containerInstanceArn", NULL);
	f.after = page.after;
	f.limit = nothing ? 0 : page.limit + 1;
	if (store_task_list(cp->store, &f, &arns, &err) < 0)
		return api_fail_server(e, &err);
	return page_answer(&page, "taskArns", arns, out, e);
}

const struct operation task_operations[] = {
	{ "DescribeTasks", describe_tasks },
	{ "ListTasks", list_tasks },
	{ "StopTask", stop_task },
	{},
};
