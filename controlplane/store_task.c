/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks, the ports they hold, and idempotency tokens. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/store_rows.h"

int store_task_get(struct store *s, const char *arn, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM tasks WHERE arn = ?", "t",
			 arn);

	return store_found(k, doc, ret);
}

/* The family of "…:task-definition/FAMILY:REVISION" into @buf of ARN_NAME_MAX bytes. */
static const char *family_of(const json_t *task, char *buf)
{
	const char *name = arn_last(json_get_string(task, "taskDefinitionArn", ""));
	size_t len = strcspn(name, ":");

	len = MIN(len, (size_t) ARN_NAME_MAX - 1);
	memcpy(buf, name, len);
	buf[len] = '\0';
	return buf;
}

int store_task_add(struct store *s, const json_t *doc, int64_t cpu, int64_t memory, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);
	const char *arn = json_get_string(doc, "taskArn", "");
	char family[ARN_NAME_MAX];
	struct arn a;

	if (!arn_parse(arn, &a))
		return err_set(err, EINVAL, "'%s' is not the ARN of a task", arn);
	if (!text)
		return err_set(err, ENOMEM, "add task");
	return db_exec(
		s->db, err, NULL,
		"INSERT INTO tasks(arn, cluster, instance, family, desired, last,"
		" started_by, grp, cpu, memory, doc) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"ttttttttiit", arn, a.cluster, json_get_string(doc, "containerInstanceArn", NULL),
		family_of(doc, family), json_get_string(doc, "desiredStatus", ""),
		json_get_string(doc, "lastStatus", ""), json_get_string(doc, "startedBy", NULL),
		json_get_string(doc, "group", NULL), cpu, memory, text);
}

int store_task_put(struct store *s, const json_t *doc, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);
	const char *arn = json_get_string(doc, "taskArn", "");
	const char *last = json_get_string(doc, "lastStatus", "");
	int64_t stopped_ms =
		(int64_t) (json_number_value(json_object_get(doc, "stoppedAt")) * 1000);
	int64_t changes = 0;
	int k;

	if (!text)
		return err_set(err, ENOMEM, "put task");
	k = db_exec(s->db, err, &changes,
		    "UPDATE tasks SET desired = ?2, last = ?3, stopped_ms = ?4, doc = ?5"
		    " WHERE arn = ?1",
		    "tttit", arn, json_get_string(doc, "desiredStatus", ""), last, stopped_ms,
		    text);
	if (k == 0 && changes == 0)
		return err_set(err, ENOENT, "task '%s' is not in the store", arn);
	if (k == 0 && strcmp(last, "STOPPED") == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM ports WHERE task = ?", "t", arn);
	if (k == 0 && strcmp(last, "STOPPED") == 0)
		k = store_eni_release(s, arn, err);
	return k;
}

int store_task_hold_port(struct store *s, const char *task_arn, const char *instance_arn,
			 const char *protocol, int port, struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "INSERT OR IGNORE INTO ports(instance, protocol, port, task)"
		       " VALUES(?, ?, ?, ?)",
		       "ttit", instance_arn, protocol, (int64_t) port, task_arn);
}

int store_tasks_of_instance(struct store *s, const char *instance_arn, bool unacked_only,
			    store_doc_fn fn, void *userdata, struct err *err)
{
	struct store_each each = { fn, userdata };

	return db_query(s->db, err, store_on_each, &each,
			"SELECT doc FROM tasks WHERE instance = ?1 AND last <> 'STOPPED'"
			" AND (?2 = 0 OR acked IS NULL OR acked <> desired) ORDER BY id",
			"ti", instance_arn, (int64_t) unacked_only);
}

int store_task_set_acked(struct store *s, const char *task_arn, const char *desired_status,
			 struct err *err)
{
	return db_exec(s->db, err, NULL, "UPDATE tasks SET acked = ?2 WHERE arn = ?1", "tt",
		       task_arn, desired_status);
}

int store_task_list(struct store *s, const struct task_filter *f, json_t **ret_arns,
		    struct err *err)
{
	json_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT arn FROM tasks WHERE cluster = ?1"
			 " AND (?2 IS NULL OR desired = ?2) AND (?3 IS NULL OR family = ?3)"
			 " AND (?4 IS NULL OR instance = ?4) AND (?5 IS NULL OR started_by = ?5)"
			 " AND (?6 IS NULL OR grp = ?6) AND arn > ?7 ORDER BY arn LIMIT ?8",
			 "ttttttti", f->cluster, f->desired_status, f->family, f->instance_arn,
			 f->started_by, f->group, f->after ? f->after : "", (int64_t) f->limit);

	return store_listed(k, list, ret_arns);
}

int store_tasks_purge(struct store *s, int64_t before_ms, struct err *err)
{
	int k = db_exec(s->db, err, NULL,
			"DELETE FROM tasks WHERE last = 'STOPPED' AND stopped_ms < ?", "i",
			before_ms);

	return k < 0 ? k
		     : db_exec(s->db, err, NULL, "DELETE FROM tokens WHERE at_ms < ?", "i",
			       before_ms);
}

/* --- idempotency tokens ------------------------------------------------------------------ */

int store_token_get(struct store *s, const char *token, json_t **ret_answer, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc,
			 "SELECT answer FROM tokens WHERE token = ?", "t", token);

	return store_found(k, doc, ret_answer);
}

int store_token_put(struct store *s, const char *token, const json_t *answer, int64_t now_ms,
		    struct err *err)
{
	_cleanup_(freep) char *text = store_text(answer);

	if (!text)
		return err_set(err, ENOMEM, "put token");
	return db_exec(s->db, err, NULL,
		       "INSERT OR REPLACE INTO tokens(token, at_ms, answer) VALUES(?, ?, ?)", "tit",
		       token, now_ms, text);
}
