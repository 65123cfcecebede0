/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/service.h"
#include "controlplane/store.h"

int service_find(struct controlplane *cp, const char *cluster, const char *ref, json_t **ret,
		 struct err *err)
{
	char arn[ARN_MAX];
	struct arn a;

	if (!arn_parse(ref, &a))
		return strlen(ref) < ARN_NAME_MAX
			       ? store_service_get(cp->store, arn_service(cp, cluster, ref, arn),
						   ret, err)
			       : STORE_E_NOT_FOUND;
	if (strcmp(a.type, "service") != 0 || (a.cluster[0] && strcmp(a.cluster, cluster) != 0))
		return STORE_E_NOT_FOUND;
	if (!a.cluster[0]) /* the short format of old */
		ref = arn_service(cp, cluster, a.id, arn);
	return store_service_get(cp->store, ref, ret, err);
}

int service_put(struct controlplane *cp, const json_t *doc, struct err *err)
{
	return store_service_put(cp->store, doc, clock_real_ms(), err);
}

static int collect(json_t *doc, void *userdata, struct err *err)
{
	return json_array_append(userdata, doc) < 0 ? err_set(err, ENOMEM, "list tasks") : 0;
}

int service_tasks(struct controlplane *cp, const json_t *doc, json_t **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	char group[ARN_NAME_MAX + 8];
	struct arn a = {};
	int k;

	if (!arn_parse(json_get_string(doc, "serviceArn", ""), &a))
		return err_set(err, EBADMSG, "database: a service without an ARN");
	(void) snprintf(group, sizeof(group), "service:%s", a.id);
	k = store_tasks_of_group(cp->store, a.cluster, group, collect, list, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(list);
	return 0;
}

json_t *service_primary(const json_t *doc)
{
	return json_array_get(json_object_get(doc, "deployments"), 0);
}

/* --- showing --------------------------------------------------------------------------------- */

static void count(const json_t *tasks, const char *started_by, int64_t *ret_running,
		  int64_t *ret_pending)
{
	const json_t *t;
	size_t i;

	*ret_running = *ret_pending = 0;
	json_array_foreach(tasks, i, t) {
		bool running = strcmp(json_get_string(t, "lastStatus", ""), "RUNNING") == 0;

		if (strcmp(json_get_string(t, "desiredStatus", ""), "RUNNING") != 0 ||
		    (started_by && strcmp(json_get_string(t, "startedBy", ""), started_by) != 0))
			continue;
		*(running ? ret_running : ret_pending) += 1;
	}
}

static void set_counts(json_t *obj, const json_t *tasks, const char *started_by)
{
	int64_t running, pending;

	count(tasks, started_by, &running, &pending);
	(void) json_object_set_new(obj, "runningCount", json_integer(running));
	(void) json_object_set_new(obj, "pendingCount", json_integer(pending));
}

int service_show(struct controlplane *cp, json_t *doc, struct err *err)
{
	_cleanup_(json_decrefp) json_t *tasks = NULL;
	json_t *d;
	size_t i;
	int k = service_tasks(cp, doc, &tasks, err);

	if (k < 0)
		return k;
	set_counts(doc, tasks, NULL);
	json_array_foreach(json_object_get(doc, "deployments"), i, d)
		set_counts(d, tasks, json_get_string(d, "id", ""));
	(void) json_object_del(doc, "scheduler");
	return 0;
}

/* --- changing -------------------------------------------------------------------------------- */

void service_event(json_t *doc, const char *fmt, ...)
{
	json_t *events = json_object_get(doc, "events");
	const char *name = json_get_string(doc, "serviceName", "");
	char text[2048], uuid[UUID_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (json_array_size(events) >= SERVICE_EVENTS_MAX)
		(void) json_array_remove(events, json_array_size(events) - 1);
	(void) json_array_insert_new(events, 0,
				     json_pack("{s:s, s:o, s:o}", "id", random_uuid(uuid),
					       "createdAt", json_now(), "message",
					       json_sprintf("(service %s) %s", name, text)));
	log_info("Service '%s' %s", name, text);
}

static void retire(json_t *deployments)
{
	json_t *d;
	size_t i;

	json_array_foreach(deployments, i, d) {
		(void) json_object_set_new(d, "status", json_string("ACTIVE"));
		(void) json_object_set_new(d, "desiredCount", json_integer(0));
		(void) json_object_set_new(d, "updatedAt", json_now());
	}
}

int service_deploy(json_t *doc, struct err *err)
{
	json_t *list = json_object_get(doc, "deployments"), *d;
	char id[48];

	(void) snprintf(id, sizeof(id), "ecs-svc/%010" PRId64 "%09" PRId64,
			1000000000 + random_below(8000000000), random_below(1000000000));
	retire(list);
	d = json_pack("{s:s, s:s, s:O, s:O, s:i, s:o, s:o, s:s, s:s, s:o, s:O*}", "id", id,
		      "status", "PRIMARY", "taskDefinition", json_object_get(doc, "taskDefinition"),
		      "desiredCount", json_object_get(doc, "desiredCount"), "failedTasks", 0,
		      "createdAt", json_now(), "updatedAt", json_now(), "launchType", "EC2",
		      "rolloutState", "IN_PROGRESS", "rolloutStateReason",
		      json_sprintf("ECS deployment %s in progress.", id), "networkConfiguration",
		      json_object_get(doc, "networkConfiguration"));
	if (!d || json_array_insert_new(list, 0, d) < 0 ||
	    json_object_set_new(doc, "scheduler", json_object()) < 0)
		return err_set(err, ENOMEM, "make a deployment");
	return 0;
}

static json_t *default_strategy(void)
{
	return json_pack("[{s:s, s:s}, {s:s, s:s}]", "type", "spread", "field",
			 "attribute:ecs.availability-zone", "type", "spread", "field",
			 "instanceId");
}

json_t *service_run_request(const json_t *doc)
{
	static const char *const same[] = { "networkConfiguration", "placementConstraints",
					    "placementStrategy",    "enableECSManagedTags",
					    "enableExecuteCommand", "propagateTags" };
	const json_t *d = service_primary(doc);
	json_t *in = json_pack("{s:O, s:O*, s:O*}", "cluster", json_object_get(doc, "clusterArn"),
			       "taskDefinition", json_object_get(d, "taskDefinition"), "startedBy",
			       json_object_get(d, "id"));

	for (size_t i = 0; in && i < ARRAY_SIZE(same); i++)
		if (json_object_get(doc, same[i]))
			(void) json_object_set(in, same[i], json_object_get(doc, same[i]));
	if (in && json_array_size(json_object_get(in, "placementStrategy")) == 0)
		(void) json_object_set_new(in, "placementStrategy", default_strategy());
	if (in && strcmp(json_get_string(doc, "propagateTags", ""), "SERVICE") == 0)
		(void) json_object_set(in, "tags", json_object_get(doc, "tags"));
	return in;
}
