/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/store_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "controlplane/arn.h"

static const char *const migrations[] = {
	"CREATE TABLE clusters(name TEXT PRIMARY KEY, status TEXT NOT NULL, doc TEXT NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE TABLE taskdefs(family TEXT NOT NULL, revision INTEGER NOT NULL,"
	" arn TEXT NOT NULL UNIQUE, status TEXT NOT NULL, doc TEXT NOT NULL,"
	" PRIMARY KEY(family, revision));"
	"CREATE TABLE instances(arn TEXT PRIMARY KEY, cluster TEXT NOT NULL, status TEXT NOT NULL,"
	" seq INTEGER NOT NULL DEFAULT 0, doc TEXT NOT NULL);"
	"CREATE INDEX instances_cluster ON instances(cluster, status, arn);"
	"CREATE TABLE tasks(id INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE,"
	" cluster TEXT NOT NULL, instance TEXT, family TEXT NOT NULL, desired TEXT NOT NULL,"
	" last TEXT NOT NULL, started_by TEXT, grp TEXT, cpu INTEGER NOT NULL,"
	" memory INTEGER NOT NULL, acked TEXT, stopped_ms INTEGER NOT NULL DEFAULT 0,"
	" doc TEXT NOT NULL);"
	"CREATE INDEX tasks_live ON tasks(instance, last, cpu, memory) WHERE last <> 'STOPPED';"
	"CREATE INDEX tasks_cluster ON tasks(cluster, last);"
	"CREATE INDEX tasks_listed ON tasks(cluster, desired, arn);"
	"CREATE INDEX tasks_stopped ON tasks(stopped_ms) WHERE last = 'STOPPED';"
	"CREATE TABLE ports(instance TEXT NOT NULL, protocol TEXT NOT NULL,"
	" port INTEGER NOT NULL, task TEXT NOT NULL,"
	" PRIMARY KEY(instance, protocol, port, task)) WITHOUT ROWID;"
	"CREATE INDEX ports_task ON ports(task);"
	"CREATE TABLE tokens(token TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, answer TEXT NOT NULL)"
	" WITHOUT ROWID;",
	"CREATE TABLE enis(eni TEXT PRIMARY KEY, task TEXT NOT NULL, attachment TEXT NOT NULL,"
	" doc TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX enis_task ON enis(task);"
	"CREATE INDEX enis_attachment ON enis(attachment);",
	"CREATE TABLE services(arn TEXT PRIMARY KEY, cluster TEXT NOT NULL, status TEXT NOT NULL,"
	" strategy TEXT NOT NULL, changed_ms INTEGER NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX services_cluster ON services(cluster, status, arn);"
	"CREATE INDEX tasks_group ON tasks(cluster, grp) WHERE last <> 'STOPPED';"
	"CREATE TABLE IF NOT EXISTS task_protection(task TEXT PRIMARY KEY,"
	" expires_ms INTEGER NOT NULL) WITHOUT ROWID;",
	NULL,
};

int store_open(const char *path, struct store **ret, struct err *err)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	const struct db_params p = { .path = path ? path : ":memory:", .migrations = migrations };
	int k;

	if (!s)
		return err_set(err, ENOMEM, "open the store");
	k = db_open(&p, &s->db, err);
	if (k < 0)
		return err_wrap(err, "open '%s'", p.path);
	*ret = TAKE_PTR(s);
	return 0;
}

struct store *store_close(struct store *s)
{
	if (s)
		s->db = db_close(s->db);
	free(s);
	return NULL;
}

struct db *store_db(struct store *s)
{
	return s->db;
}

static int on_int(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata = db_int(row, 0);
	return 0;
}

/* --- clusters -------------------------------------------------------------------------------- */

int store_cluster_get(struct store *s, const char *name, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM clusters WHERE name = ?",
			 "t", name);

	return store_found(k, doc, ret);
}

int store_cluster_put(struct store *s, const char *name, const json_t *doc, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);

	if (!text)
		return err_set(err, ENOMEM, "put cluster");
	return db_exec(s->db, err, NULL,
		       "INSERT INTO clusters(name, status, doc) VALUES(?, ?, ?)"
		       " ON CONFLICT(name) DO UPDATE SET status = excluded.status,"
		       " doc = excluded.doc",
		       "ttt", name, json_get_string(doc, "status", ""), text);
}

int store_cluster_list(struct store *s, const char *after, int limit, json_t **ret_names,
		       struct err *err)
{
	json_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT name FROM clusters WHERE status = 'ACTIVE' AND name > ?"
			 " ORDER BY name LIMIT ?",
			 "ti", after ? after : "", (int64_t) limit);

	return store_listed(k, list, ret_names);
}

static int on_counts(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct cluster_counts *c = userdata;

	(void) err;
	c->instances = db_int(row, 0);
	c->running_tasks = db_int(row, 1);
	c->pending_tasks = db_int(row, 2);
	c->active_services = db_int(row, 3);
	c->draining_services = db_int(row, 4);
	return 0;
}

int store_cluster_counts(struct store *s, const char *name, struct cluster_counts *ret,
			 struct err *err)
{
	return db_query(s->db, err, on_counts, ret,
			"SELECT (SELECT count(*) FROM instances WHERE cluster = ?1"
			" AND status IN ('ACTIVE', 'DRAINING')),"
			"(SELECT count(*) FROM tasks WHERE cluster = ?1"
			" AND last IN ('RUNNING', 'DEACTIVATING', 'STOPPING')),"
			"(SELECT count(*) FROM tasks WHERE cluster = ?1"
			" AND last IN ('PROVISIONING', 'PENDING', 'ACTIVATING')),"
			"(SELECT count(*) FROM services WHERE cluster = ?1 AND status = 'ACTIVE'),"
			"(SELECT count(*) FROM services WHERE cluster = ?1"
			" AND status = 'DRAINING')",
			"t", name);
}

/* --- task definitions ------------------------------------------------------------------------ */

int store_taskdef_next_revision(struct store *s, const char *family, int *ret, struct err *err)
{
	int64_t max = 0;
	int k = db_query(s->db, err, on_int, &max,
			 "SELECT coalesce(max(revision), 0) FROM taskdefs WHERE family = ?", "t",
			 family);

	if (k == 0)
		*ret = (int) max + 1;
	return k;
}

int store_taskdef_put(struct store *s, const json_t *doc, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);

	if (!text)
		return err_set(err, ENOMEM, "put task definition");
	return db_exec(s->db, err, NULL,
		       "INSERT INTO taskdefs(family, revision, arn, status, doc)"
		       " VALUES(?, ?, ?, ?, ?) ON CONFLICT(family, revision)"
		       " DO UPDATE SET status = excluded.status, doc = excluded.doc",
		       "tittt", json_get_string(doc, "family", ""),
		       json_get_int(doc, "revision", 0),
		       json_get_string(doc, "taskDefinitionArn", ""),
		       json_get_string(doc, "status", ""), text);
}

int store_taskdef_get(struct store *s, const char *family, int revision, json_t **ret,
		      struct err *err)
{
	json_t *doc = NULL;
	int k;

	if (revision > 0)
		k = db_query(s->db, err, store_on_doc, &doc,
			     "SELECT doc FROM taskdefs WHERE family = ? AND revision = ?", "ti",
			     family, (int64_t) revision);
	else
		k = db_query(s->db, err, store_on_doc, &doc,
			     "SELECT doc FROM taskdefs WHERE family = ? AND status = 'ACTIVE'"
			     " ORDER BY revision DESC LIMIT 1",
			     "t", family);
	return store_found(k, doc, ret);
}

int store_taskdef_get_arn(struct store *s, const char *arn, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM taskdefs WHERE arn = ?",
			 "t", arn);

	return store_found(k, doc, ret);
}

int store_taskdef_list(struct store *s, const struct taskdef_filter *f, json_t **ret_arns,
		       struct err *err)
{
	json_t *list = json_array();
	int k;

	if (f->descending)
		k = db_query(s->db, err, store_on_text, list,
			     "SELECT arn FROM taskdefs WHERE (?1 IS NULL OR family = ?1)"
			     " AND (?2 IS NULL OR status = ?2)"
			     " AND (?3 IS NULL OR (family, revision) < (?3, ?4))"
			     " ORDER BY family DESC, revision DESC LIMIT ?5",
			     "tttii", f->family, f->status, f->after_family,
			     (int64_t) f->after_revision, (int64_t) f->limit);
	else
		k = db_query(s->db, err, store_on_text, list,
			     "SELECT arn FROM taskdefs WHERE (?1 IS NULL OR family = ?1)"
			     " AND (?2 IS NULL OR status = ?2)"
			     " AND (?3 IS NULL OR (family, revision) > (?3, ?4))"
			     " ORDER BY family, revision LIMIT ?5",
			     "tttii", f->family, f->status, f->after_family,
			     (int64_t) f->after_revision, (int64_t) f->limit);
	return store_listed(k, list, ret_arns);
}

int store_family_list(struct store *s, const char *prefix, const char *status, const char *after,
		      int limit, json_t **ret_names, struct err *err)
{
	json_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT family FROM taskdefs WHERE substr(family, 1, length(?1)) = ?1"
			 " AND family > ?2 GROUP BY family"
			 " HAVING ?3 = 'ALL' OR (?3 = 'ACTIVE') = (sum(status = 'ACTIVE') > 0)"
			 " ORDER BY family LIMIT ?4",
			 "ttti", prefix ? prefix : "", after ? after : "", status, (int64_t) limit);

	return store_listed(k, list, ret_names);
}

/* --- container instances ----------------------------------------------------------------- */

int store_instance_get(struct store *s, const char *arn, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM instances WHERE arn = ?",
			 "t", arn);

	return store_found(k, doc, ret);
}

int store_instance_put(struct store *s, const json_t *doc, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);
	const char *arn = json_get_string(doc, "containerInstanceArn", "");
	struct arn a;

	if (!arn_parse(arn, &a))
		return err_set(err, EINVAL, "'%s' is not the ARN of a container instance", arn);
	if (!text)
		return err_set(err, ENOMEM, "put container instance");
	return db_exec(s->db, err, NULL,
		       "INSERT INTO instances(arn, cluster, status, doc) VALUES(?, ?, ?, ?)"
		       " ON CONFLICT(arn) DO UPDATE SET status = excluded.status,"
		       " doc = excluded.doc",
		       "tttt", arn, a.cluster, json_get_string(doc, "status", ""), text);
}

int store_instance_each(struct store *s, const char *cluster, const char *status, const char *after,
			int limit, store_doc_fn fn, void *userdata, struct err *err)
{
	struct store_each each = { fn, userdata };

	return db_query(s->db, err, store_on_each, &each,
			"SELECT doc FROM instances WHERE cluster = ?1 AND arn > ?2"
			" AND (status = ?3 OR (?3 IS NULL AND status IN ('ACTIVE', 'DRAINING')))"
			" ORDER BY arn LIMIT ?4",
			"ttti", cluster, after ? after : "", status, (int64_t) limit);
}

int store_instances_disconnect_all(struct store *s, struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "UPDATE instances SET doc = json_set(doc, '$.agentConnected',"
		       " json('false')) WHERE json_extract(doc, '$.agentConnected')",
		       "");
}

int store_instance_next_seq(struct store *s, const char *arn, int64_t *ret, struct err *err)
{
	int64_t seq = 0;
	int k = db_exec(s->db, err, NULL, "UPDATE instances SET seq = seq + 1 WHERE arn = ?", "t",
			arn);

	if (k == 0)
		k = db_query(s->db, err, on_int, &seq, "SELECT seq FROM instances WHERE arn = ?",
			     "t", arn);
	if (k < 0)
		return k;
	if (seq == 0)
		return STORE_E_NOT_FOUND;
	*ret = seq;
	return 0;
}

static int on_use(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct instance_use *u = userdata;

	(void) err;
	u->cpu = db_int(row, 0);
	u->memory = db_int(row, 1);
	u->running_tasks = db_int(row, 2);
	u->pending_tasks = db_int(row, 3);
	return 0;
}

int store_instance_use(struct store *s, const char *arn, struct instance_use *ret, struct err *err)
{
	return db_query(s->db, err, on_use, ret,
			"SELECT sum(cpu), sum(memory),"
			" sum(last IN ('RUNNING', 'DEACTIVATING', 'STOPPING')),"
			" sum(last IN ('PROVISIONING', 'PENDING', 'ACTIVATING'))"
			" FROM tasks WHERE instance = ? AND last <> 'STOPPED'",
			"t", arn);
}

int store_instance_group_tasks(struct store *s, const char *arn, const char *group, int64_t *ret,
			       struct err *err)
{
	return db_query(s->db, err, on_int, ret,
			"SELECT count(*) FROM tasks WHERE instance = ? AND last <> 'STOPPED'"
			" AND grp = ?",
			"tt", arn, group);
}

int store_instance_ports(struct store *s, const char *arn, const char *protocol, json_t **ret_ports,
			 struct err *err)
{
	json_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT DISTINCT port FROM ports WHERE instance = ? AND protocol = ?"
			 " ORDER BY port",
			 "tt", arn, protocol);

	return store_listed(k, list, ret_ports);
}
