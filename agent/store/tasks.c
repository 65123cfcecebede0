/* SPDX-License-Identifier: Apache-2.0 */
/* The definition of a task is kept as it came and decoded again; what changes stands in columns. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"
#include "agent/store/internal.h"
#include "agent/store/store.h"
#include "common/strv.h"

/* [[containerPort, hostPort, protocol number, number of the range], …]; older rows lack the last */
static char *bindings_to_text(const struct container *c)
{
	_cleanup_(json_decrefp) json_t *list = json_array();

	for (size_t i = 0; i < c->n_bindings; i++)
		(void) json_array_append_new(
			list, json_pack("[i,i,i,i]", (int) c->bindings[i].container_port,
					(int) c->bindings[i].host_port, (int) c->bindings[i].proto,
					(int) c->bindings[i].range));
	return json_to_text(list);
}

static int bindings_from_text(struct container *c, const char *text, struct err *err)
{
	_cleanup_(json_decrefp) json_t *list = NULL;
	size_t n;
	int k = json_parse(text, strlen(text), &list, err);

	if (k < 0)
		return err_wrap(err, "bindings of '%s'", c->name);
	n = json_array_size(list);
	free(c->bindings);
	c->bindings = calloc(n ? n : 1, sizeof(*c->bindings));
	if (!c->bindings)
		return err_set(err, ENOMEM, "allocate bindings");
	c->n_bindings = n;
	for (size_t i = 0; i < n; i++) {
		json_t *b = json_array_get(list, i);

		c->bindings[i] = (struct port_binding){
			.container_port = (uint16_t) json_integer_value(json_array_get(b, 0)),
			.host_port = (uint16_t) json_integer_value(json_array_get(b, 1)),
			.proto = (uint8_t) json_integer_value(json_array_get(b, 2)),
			.range = (uint16_t) json_integer_value(json_array_get(b, 3)),
		};
	}
	return 0;
}

static int put_container(struct store *s, const struct container *c, size_t position,
			 struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "INSERT INTO containers (task_arn, position, name, docker_name, known,"
		       " desired, sent, id, digest_resolved, address, bindings, created_ms,"
		       " started_ms, finished_ms, pid, endpoint_id)"
		       " VALUES (?, ?, ?, ?, 0, 0, 0, '', 0, '', '[]', 0, 0, 0, 0, ?)",
		       "tittt", c->task->arn, (int64_t) position, c->name, c->docker_name,
		       c->endpoint_id);
}

int store_put_task(struct store *s, const struct task *t, const json_t *definition, struct err *err)
{
	_cleanup_(freep) char *text = json_to_text(definition);
	int k;

	if (!text)
		return err_set(err, ENOMEM, "write definition");
	k = db_exec(s->db, err, NULL,
		    "INSERT INTO tasks VALUES (?, ?, ?, 0, 0, 0, NULL, 0, 0, 0, 0, NULL, NULL)",
		    "tit", t->arn, t->sequence, text);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++) {
		k = put_container(s, &t->containers[i], i, err);
		if (k == 0)
			k = store_update_container(s, &t->containers[i], err);
	}
	return k < 0 ? k : store_update_task(s, t, err);
}

int store_update_task(struct store *s, const struct task *t, struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "UPDATE tasks SET known = ?, desired = ?, sent = ?, reason = ?,"
		       " pull_started_ms = ?, pull_stopped_ms = ?, execution_stopped_ms = ?,"
		       " stopped_ms = ?, execution_credentials_id = ?, role_credentials_id = ?"
		       " WHERE arn = ?",
		       "iiitiiiittt", (int64_t) t->known, (int64_t) t->desired, (int64_t) t->sent,
		       t->reason, t->pull_started_ms, t->pull_stopped_ms, t->execution_stopped_ms,
		       t->stopped_ms, t->execution_credentials_id, t->role_credentials_id, t->arn);
}

enum { PAST_USAGE_MAX = 5 * 21 };

/* Five numbers: the last of them are larger than the integers of SQLite may be. */
static const char *past_usage_to_text(const struct container *c, char *buf)
{
	const struct past_usage *p = &c->past;

	(void) snprintf(buf, PAST_USAGE_MAX,
			"%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, p->cpu_total_ns,
			p->cpu_user_ns, p->cpu_system_ns, p->storage_read_bytes,
			p->storage_write_bytes);
	return buf;
}

/* Anything else counts from zero: statistics are no reason to refuse a container. */
static void past_usage_from_text(struct container *c, const char *text)
{
	struct past_usage p = {};

	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &p.cpu_total_ns, &p.cpu_user_ns, &p.cpu_system_ns, &p.storage_read_bytes,
		   &p.storage_write_bytes) == 5)
		c->past = p;
}

int store_update_container(struct store *s, const struct container *c, struct err *err)
{
	char address[INET_ADDRSTRLEN] = "", past[PAST_USAGE_MAX];
	_cleanup_(freep) char *bindings = bindings_to_text(c);

	if (!bindings)
		return err_set(err, ENOMEM, "write bindings");
	if (c->address.s_addr)
		(void) inet_ntop(AF_INET, &c->address, address, sizeof(address));
	return db_exec(
		s->db, err, NULL,
		"UPDATE containers SET known = ?, desired = ?, sent = ?, id = ?,"
		" image_digest = ?, image_id = ?, digest_resolved = ?, address = ?,"
		" bindings = ?, exit_code = CASE WHEN ? THEN ? END, error_name = ?,"
		" error_message = ?, created_ms = ?, started_ms = ?, finished_ms = ?, pid = ?,"
		" restart_count = ?, last_restart_ms = ?, restarting = ?, past_usage = ?"
		" WHERE task_arn = ? AND position = ?",
		"iiittt"
		"itt"
		"ii"
		"tt"
		"iiii"
		"iiit"
		"ti",
		(int64_t) c->known, (int64_t) c->desired, (int64_t) c->sent, c->id, c->image_digest,
		c->image_id, (int64_t) c->digest_resolved_by_agent, address, bindings,
		(int64_t) c->has_exit_code, (int64_t) c->exit_code, c->error_name, c->error_message,
		c->created_ms, c->started_ms, c->finished_ms, (int64_t) c->pid,
		(int64_t) c->restart_count, c->last_restart_ms, (int64_t) c->restarting,
		past_usage_to_text(c, past), c->task->arn, (int64_t) (c - c->task->containers));
}

int store_delete_task(struct store *s, const struct task *t, struct err *err)
{
	return db_exec(s->db, err, NULL, "DELETE FROM tasks WHERE arn = ?", "t", t->arn);
}

/* ---- loading ---- */

struct loading {
	struct store *s;
	struct task **tasks; /* owned until handed over */
	size_t n;
};

static struct task *undecodable(const json_t *definition, const char *arn, const struct err *why)
{
	struct task *t = NULL;

	if (!definition || payload_decode_bare_task(definition, &t, NULL) < 0) {
		t = calloc(1, sizeof(*t));
		if (!t || !(t->arn = strdup(arn)))
			return task_free(t);
		(void) task_id_from_arn(arn, t->id, NULL);
	}
	if (asprintf(&t->reason, "UnrecogniedTaskError: Error loading task - %s", err_text(why)) <
	    0)
		t->reason = NULL;
	return t;
}

static struct task *decode_row(sqlite3_stmt *row, bool *ret_bad)
{
	_cleanup_(json_decrefp) json_t *definition = NULL;
	_cleanup_(err_done) struct err why = {};
	const char *text = db_text(row, 1);
	struct task *t = NULL;

	if (json_parse(text, strlen(text), &definition, &why) < 0 ||
	    (json_object_get(definition, "containers")
		     ? payload_decode_task
		     : payload_decode_bare_task)(definition, &t, &why) < 0) {
		*ret_bad = true;
		return undecodable(definition, db_text(row, 0), &why);
	}
	return t;
}

static enum task_status task_status_of(int64_t v)
{
	return v > TASK_NONE && v < _TASK_STATUS_MAX ? (enum task_status) v : TASK_NONE;
}

static enum container_status container_status_of(int64_t v)
{
	return v > CONTAINER_NONE && v < _CONTAINER_STATUS_MAX ? (enum container_status) v
							       : CONTAINER_NONE;
}

static int load_task(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct loading *l = userdata;
	bool bad = false;
	struct task *t = decode_row(row, &bad), **grown;

	if (!t)
		return err_set(err, ENOMEM, "load task");
	t->sequence = db_int(row, 2);
	t->known = task_status_of(db_int(row, 3));
	t->desired = bad ? TASK_STOPPED : task_status_of(db_int(row, 4));
	t->sent = task_status_of(db_int(row, 5));
	t->pull_started_ms = db_int(row, 7);
	t->pull_stopped_ms = db_int(row, 8);
	t->execution_stopped_ms = db_int(row, 9);
	t->stopped_ms = db_int(row, 10);
	grown = reallocarray(l->tasks, l->n + 1, sizeof(*grown));
	if (grown) {
		l->tasks = grown;
		grown[l->n++] = t;
	}
	if (!grown || (db_text_or_null(row, 6) && strdup_to(&t->reason, db_text(row, 6)) < 0) ||
	    strdup_to(&t->execution_credentials_id, db_text_or_null(row, 11)) < 0 ||
	    strdup_to(&t->role_credentials_id, db_text_or_null(row, 12)) < 0) {
		if (!grown)
			(void) task_free(t);
		return err_set(err, ENOMEM, "load task");
	}
	return 0;
}

/* The row's container; one without definition is made when the definition could not be read. */
static struct container *container_at(struct task *t, size_t position, const char *name)
{
	struct container *grown;

	if (position < t->n_containers)
		return strcmp(t->containers[position].name, name) == 0 ? &t->containers[position]
								       : NULL;
	if (position != t->n_containers)
		return NULL;
	grown = reallocarray(t->containers, position + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	t->containers = grown;
	t->n_containers++;
	grown[position] = (struct container){ .task = t, .name = strdup(name), .essential = true };
	return grown[position].name ? &grown[position] : NULL;
}

/* One damaged row ends its own task, and not the agent with all others. */
static int out_of_place(struct task *t, const char *name, struct err *err)
{
	_cleanup_(freep) char *reason = NULL;

	if (asprintf(&reason,
		     "UnrecogniedTaskError: Error loading task - container '%.64s' is out of place",
		     name) < 0)
		return err_set(err, ENOMEM, "load container");
	t->desired = TASK_STOPPED;
	if (!t->reason)
		t->reason = TAKE_PTR(reason);
	return 0;
}

static int load_container(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct task *t = userdata;
	struct container *c = container_at(t, (size_t) db_int(row, 0), db_text(row, 1));

	if (!c)
		return out_of_place(t, db_text(row, 1), err);
	c->known = container_status_of(db_int(row, 2));
	c->desired = container_status_of(db_int(row, 3));
	c->sent = container_status_of(db_int(row, 4));
	(void) snprintf(c->id, sizeof(c->id), "%s", db_text(row, 5));
	(void) snprintf(c->docker_name, sizeof(c->docker_name), "%s", db_text(row, 6));
	c->digest_resolved_by_agent = db_int(row, 9) != 0;
	if (inet_pton(AF_INET, db_text(row, 10), &c->address) != 1)
		c->address.s_addr = 0;
	c->has_exit_code = sqlite3_column_type(row, 12) != SQLITE_NULL;
	c->exit_code = (int) db_int(row, 12);
	c->created_ms = db_int(row, 15);
	c->started_ms = db_int(row, 16);
	c->finished_ms = db_int(row, 17);
	c->pid = (pid_t) db_int(row, 18);
	c->restart_count = (int) CLAMP(db_int(row, 19), 0, INT_MAX);
	c->last_restart_ms = db_int(row, 20);
	c->restarting = db_int(row, 21) != 0;
	past_usage_from_text(c, db_text(row, 23));
	if (*db_text(row, 22)) /* a row of an older version has none */
		(void) snprintf(c->endpoint_id, sizeof(c->endpoint_id), "%s", db_text(row, 22));
	if (strdup_to(&c->image_digest, db_text_or_null(row, 7)) < 0 ||
	    strdup_to(&c->image_id, db_text_or_null(row, 8)) < 0 ||
	    strdup_to(&c->error_name, db_text_or_null(row, 13)) < 0 ||
	    strdup_to(&c->error_message, db_text_or_null(row, 14)) < 0)
		return err_set(err, ENOMEM, "load container");
	return bindings_from_text(c, db_text(row, 11), err);
}

static int load_containers(struct store *s, struct task *t, struct err *err)
{
	int k = db_query(s->db, err, load_container, t,
			 "SELECT position, name, known, desired, sent, id, docker_name,"
			 " image_digest, image_id, digest_resolved, address, bindings, exit_code,"
			 " error_name, error_message, created_ms, started_ms, finished_ms, pid,"
			 " restart_count, last_restart_ms, restarting, endpoint_id, past_usage"
			 " FROM containers WHERE task_arn = ? ORDER BY position",
			 "t", t->arn);

	/* The array may have moved while it grew. */
	for (size_t i = 0; i < t->n_containers; i++)
		t->containers[i].task = t;
	return k;
}

int store_load_tasks(struct store *s,
		     int (*on_task)(void *userdata, struct task *t, struct err *err),
		     void *userdata, struct err *err)
{
	struct loading l = { .s = s };
	int k = db_query(s->db, err, load_task, &l,
			 "SELECT arn, definition, sequence, known, desired, sent, reason,"
			 " pull_started_ms, pull_stopped_ms, execution_stopped_ms, stopped_ms,"
			 " execution_credentials_id, role_credentials_id"
			 " FROM tasks ORDER BY sequence",
			 "");

	for (size_t i = 0; i < l.n; i++) {
		if (k == 0)
			k = load_containers(s, l.tasks[i], err);
		if (k == 0)
			k = on_task(userdata, TAKE_PTR(l.tasks[i]), err);
		(void) task_free(l.tasks[i]);
	}
	free(l.tasks);
	return k;
}
