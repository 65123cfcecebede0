/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GetTaskProtection, UpdateTaskProtection. A protection is kept and shown for any task that has not
 * ended; it holds back the scale-in and the deployments of a service.
 */
#include "controlplane/protection.h"

#include <string.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/db.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

enum { TASKS_MAX = 10, MINUTES_MAX = 2880, MINUTES_DEFAULT = 120 };

static int on_row(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata = db_int(row, 0);
	return DB_E_DONE;
}

int protection_until(struct store *store, const char *task_arn, int64_t *ret_ms, struct err *err)
{
	int64_t expires_ms = 0;
	int k = db_query(store_db(store), err, on_row, &expires_ms,
			 "SELECT expires_ms FROM task_protection WHERE task = ? AND expires_ms > ?",
			 "ti", task_arn, clock_real_ms());

	*ret_ms = expires_ms;
	return k < 0 ? k : 0;
}

static int add_protected(struct controlplane *cp, const char *arn, json_t *list, struct err *err)
{
	int64_t expires_ms = 0;
	int k = protection_until(cp->store, arn, &expires_ms, err);
	json_t *one = json_pack("{s:s, s:b}", "taskArn", arn, "protectionEnabled", expires_ms > 0);

	if (k >= 0 && expires_ms > 0)
		(void) json_object_set_new(one, "expirationDate",
					   json_real((double) expires_ms / MSEC_PER_SEC));
	if (json_array_append_new(list, one) < 0 && k >= 0)
		return err_set(err, ENOMEM, "list protections");
	return k < 0 ? k : 0;
}

struct request {
	const json_t *tasks;
	char cluster[ARN_NAME_MAX];
	bool update, enable;
	int64_t minutes;
};

static int change(struct controlplane *cp, const struct request *r, const char *arn,
		  struct err *err)
{
	if (!r->update)
		return 0;
	if (!r->enable)
		return db_exec(store_db(cp->store), err, NULL,
			       "DELETE FROM task_protection WHERE task = ?", "t", arn);
	return db_exec(store_db(cp->store), err, NULL,
		       "INSERT OR REPLACE INTO task_protection(task, expires_ms) VALUES(?, ?)",
		       "ti", arn, clock_real_ms() + r->minutes * 60 * MSEC_PER_SEC);
}

static int answer_one(struct controlplane *cp, const struct request *r, const char *ref,
		      json_t *tasks, json_t *failures, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = task_find(cp, r->cluster, ref, &task, &err);
	const char *arn = json_get_string(task, "taskArn", ref);

	if (k > 0)
		return failure_add(failures, ref, "MISSING", NULL, e);
	if (k == 0 && strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0)
		return failure_add(failures, arn, "TASK_NOT_VALID", "The task has stopped.", e);
	if (k == 0)
		k = change(cp, r, arn, &err);
	if (k >= 0)
		k = add_protected(cp, arn, tasks, &err);
	return k < 0 ? api_fail_server(e, &err) : 0;
}

static int answer(struct controlplane *cp, const json_t *in, struct request *r, json_t **out,
		  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tasks = json_array(), *failures = json_array();
	const json_t *ref;
	size_t i;

	if (cluster_of_request(cp, in, r->cluster, e) < 0 ||
	    param_list(in, "tasks", JSON_STRING, TASKS_MAX, &r->tasks, e) < 0)
		return -1;
	if (json_array_size(r->tasks) == 0)
		return api_fail(e, "InvalidParameterException", "Tasks cannot be empty.");
	json_array_foreach(r->tasks, i, ref)
		if (answer_one(cp, r, json_string_value(ref), tasks, failures, e) < 0)
			return -1;
	return answer_with(json_pack("{s:O, s:O}", "protectedTasks", tasks, "failures", failures),
			   out, e);
}

static int get_protection(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	struct request r = {};

	return answer(cp, in, &r, out, e);
}

static int update_protection(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	const json_t *enable = json_object_get(in, "protectionEnabled");
	const json_t *minutes = json_object_get(in, "expiresInMinutes");
	struct request r = { .update = true,
			     .enable = json_is_true(enable),
			     .minutes = minutes && !json_is_null(minutes)
						? json_integer_value(minutes)
						: MINUTES_DEFAULT };

	if (!json_is_boolean(enable))
		return api_fail(e, "InvalidParameterException",
				"protectionEnabled: a boolean is wanted.");
	if (r.minutes < 1 || r.minutes > MINUTES_MAX)
		return api_fail(e, "InvalidParameterException",
				"expiresInMinutes: %lld is outside 1..%d.", (long long) r.minutes,
				MINUTES_MAX);
	return answer(cp, in, &r, out, e);
}

const struct operation protection_operations[] = {
	{ "GetTaskProtection", get_protection },
	{ "UpdateTaskProtection", update_protection },
	{},
};
