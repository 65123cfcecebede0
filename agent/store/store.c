/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/store/internal.h"
#include "agent/store/sync.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

/* Migration n brings user_version from n to n + 1; rows are added, never changed. */
static const char *const migrations[] = {
	"CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE tasks ("
	" arn TEXT PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE, definition TEXT NOT NULL,"
	" known INTEGER NOT NULL, desired INTEGER NOT NULL, sent INTEGER NOT NULL, reason TEXT,"
	" pull_started_ms INTEGER NOT NULL, pull_stopped_ms INTEGER NOT NULL,"
	" execution_stopped_ms INTEGER NOT NULL, stopped_ms INTEGER NOT NULL,"
	" execution_credentials_id TEXT, role_credentials_id TEXT) WITHOUT ROWID;"
	"CREATE TABLE containers ("
	" task_arn TEXT NOT NULL REFERENCES tasks(arn) ON DELETE CASCADE,"
	" position INTEGER NOT NULL, name TEXT NOT NULL, known INTEGER NOT NULL,"
	" desired INTEGER NOT NULL, sent INTEGER NOT NULL, id TEXT NOT NULL,"
	" docker_name TEXT NOT NULL, image_digest TEXT, image_id TEXT,"
	" digest_resolved INTEGER NOT NULL, address TEXT NOT NULL, bindings TEXT NOT NULL,"
	" exit_code INTEGER, error_name TEXT, error_message TEXT, created_ms INTEGER NOT NULL,"
	" started_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL, pid INTEGER NOT NULL,"
	" PRIMARY KEY (task_arn, position)) WITHOUT ROWID;"
	"CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, task_arn TEXT NOT NULL,"
	" body TEXT NOT NULL);"
	"CREATE INDEX outbox_by_task ON outbox (task_arn, id);",
	/* No reference to tasks: a row outlives its task until the directory is gone. */
	"CREATE TABLE volumes (name TEXT PRIMARY KEY, task_arn TEXT, driver TEXT NOT NULL,"
	" options TEXT NOT NULL, labels TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;",
	"ALTER TABLE containers ADD COLUMN restart_count INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE containers ADD COLUMN last_restart_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE containers ADD COLUMN restarting INTEGER NOT NULL DEFAULT 0;",
	"ALTER TABLE containers ADD COLUMN endpoint_id TEXT NOT NULL DEFAULT '';",
	"ALTER TABLE containers ADD COLUMN past_usage TEXT NOT NULL DEFAULT '';",
	"ALTER TABLE outbox ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE attachments (mac TEXT PRIMARY KEY, arn TEXT NOT NULL, task_arn TEXT,"
	" expires_ms INTEGER NOT NULL, told INTEGER NOT NULL) WITHOUT ROWID;",
	NULL
};

/* Less than the first pages of a new log and its index take. */
enum { LEAST_ROOM_BYTES = 64 * 1024 };

static int check_row(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) userdata;
	if (strcmp(db_text(row, 0), "ok") != 0)
		return err_set(err, EBADMSG, "database: %.200s", db_text(row, 0));
	return 0;
}

static int open_checked(const char *path, struct db **ret, struct err *err)
{
	_cleanup_(db_closep) struct db *db = NULL;
	const struct db_params p = { .path = path, .migrations = migrations, .full_sync = true };
	int k = db_open(&p, &db, err);

	/* In KiB; the kernel caches the file anyway. */
	if (k == 0)
		k = db_exec(db, err, NULL, "PRAGMA cache_size = -256", "");
	if (k == 0)
		k = db_query(db, err, check_row, NULL, "PRAGMA quick_check(1)", "");
	/* Its number says that these are there. */
	if (k == 0)
		k = db_query(db, err, NULL, NULL,
			     "SELECT m.value, t.definition, c.bindings, o.body FROM metadata m,"
			     " tasks t, containers c, outbox o WHERE m.key = '' AND t.arn = '' AND"
			     " c.task_arn = t.arn AND o.task_arn = t.arn",
			     "");
	if (k < 0)
		return k;
	*ret = TAKE_PTR(db);
	return 0;
}

/* Kept for whoever wants to know what happened; the journal files go along, they belong to it. */
static int set_aside(const char *path, struct err *err)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	long long now = clock_real_ms() / MSEC_PER_SEC;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_(freep) char *from = path_join("%s%s", path, suffixes[i]);
		_cleanup_(freep) char *to = path_join("%s.damaged-%lld%s", path, now, suffixes[i]);

		if (!from || !to)
			return err_set(err, ENOMEM, "set '%s' aside", path);
		if (rename(from, to) < 0 && errno != ENOENT)
			return err_set_errno(err, errno, "rename '%s'", from);
	}
	log_error(
		"State database '%s' is damaged; it is kept as '%s.damaged-%lld' and a new one is "
		"begun: tasks whose containers were started are known again from their records",
		path, path, now);
	return 0;
}

/* SQLite knows of an error of the disk only that it is one. */
static bool is_full(const char *dir)
{
	struct statvfs s;

	return statvfs(dir, &s) == 0 && (uint64_t) s.f_bavail * s.f_bsize < LEAST_ROOM_BYTES;
}

int store_open(const char *dir, struct store **ret, struct err *err)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	bool in_memory = strcmp(dir, ":memory:") == 0;
	_cleanup_(freep) char *path = in_memory ? strdup(dir) : path_join("%s/agent.db", dir);
	struct err first = {};
	int k = 0;

	if (!s || !path)
		return err_set(err, ENOMEM, "open store");
	if (!in_memory)
		k = fs_mkdir_p(dir, 0700, err);
	if (k < 0)
		return k;
	k = open_checked(path, &s->db, &first);
	if (k == -EBADMSG && !in_memory) {
		log_error("Failed to open '%s': %s", path, err_text(&first));
		k = set_aside(path, err);
		if (k == 0)
			k = open_checked(path, &s->db, err);
	} else if (k == -EIO && !in_memory && is_full(dir)) {
		k = err_set(err, ENOSPC, "no space left in %s: %s", dir, err_text(&first));
	} else if (k < 0) {
		k = err_move(err, &first);
	}
	err_done(&first);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(s);
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	s->sync = sync_free(s->sync);
	(void) db_close(s->db);
	free(s);
	return NULL;
}

int store_overlap(struct store *s, sd_event *loop, void (*fn)(int error, void *userdata),
		  void *userdata, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(closep) int fd = db_open_log(s->db, &why);
	int k;

	if (fd < 0)
		return fd == -ENOENT ? 0 : err_move(err, &why);
	k = sync_new(loop, fd, fn, userdata, &s->sync, err);
	if (k < 0)
		return k;
	(void) TAKE_FD(fd);
	s->mark = 0; /* what was before is durable */
	k = db_set_full_sync(s->db, false, err);
	if (k < 0)
		s->sync = sync_free(s->sync);
	return k;
}

void store_overlap_end(struct store *s)
{
	_cleanup_(err_done) struct err err = {};

	if (!s->sync)
		return;
	if (store_wait_durable(s, &err) < 0 || db_set_full_sync(s->db, true, &err) < 0)
		log_error("%s", err_text(&err));
	s->sync = sync_free(s->sync);
}

uint64_t store_mark(const struct store *s)
{
	return s->mark;
}

uint64_t store_durable(struct store *s)
{
	return s->sync ? sync_done(s->sync) : s->mark;
}

int store_wait_durable(struct store *s, struct err *err)
{
	int k = s->sync ? sync_wait(s->sync, s->mark) : 0;

	return k < 0 ? err_set_errno(err, -k, "write the state to the disk") : 0;
}

/* For single statements, which are transactions of their own. */
static int make_durable(struct store *s, struct err *err)
{
	if (s->sync)
		s->mark = sync_request(s->sync);
	return store_wait_durable(s, err);
}

int store_begin(struct store *s, struct err *err)
{
	return db_begin(s->db, err);
}

int store_commit(struct store *s, struct err *err)
{
	int k = db_commit(s->db, err);

	if (k == 0)
		s->mark = s->sync ? sync_request(s->sync) : s->mark + 1;
	return k;
}

void store_rollback(struct store *s)
{
	db_rollback(s->db);
}

/* ---- metadata ---- */

static int take_text(sqlite3_stmt *row, void *userdata, struct err *err)
{
	char **out = userdata;

	*out = strdup(db_text(row, 0));
	return *out ? 0 : err_set(err, ENOMEM, "copy text");
}

int store_get_meta(struct store *s, const char *key, char **ret_or_null, struct err *err)
{
	char *value = NULL;
	int k = db_query(s->db, err, take_text, &value, "SELECT value FROM metadata WHERE key = ?",
			 "t", key);

	if (k == 0)
		*ret_or_null = value;
	return k;
}

int store_get_definition(struct store *s, const char *arn, char **ret_or_null, struct err *err)
{
	char *text = NULL;
	int k = db_query(s->db, err, take_text, &text, "SELECT definition FROM tasks WHERE arn = ?",
			 "t", arn);

	if (k == 0)
		*ret_or_null = text;
	return k;
}

int store_put_meta(struct store *s, const char *key, const char *value, struct err *err)
{
	int k = db_exec(s->db, err, NULL, "INSERT OR REPLACE INTO metadata VALUES (?, ?)", "tt",
			key, value);

	return k < 0 ? k : make_durable(s, err);
}

int store_clear(struct store *s, struct err *err)
{
	int k = db_begin(s->db, err);

	if (k == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM containers", "");
	if (k == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM tasks", "");
	if (k == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM outbox", "");
	if (k == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM attachments", "");
	if (k == 0)
		k = db_exec(s->db, err, NULL, "DELETE FROM metadata", "");
	if (k == 0)
		k = db_commit(s->db, err);
	if (k == 0)
		return make_durable(s, err);
	db_rollback(s->db);
	return k;
}

/* ---- outbox ---- */

static int take_id(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata = db_int(row, 0);
	return 0;
}

int store_outbox_put_until(struct store *s, const char *lane, const char *body, int64_t expires_ms,
			   struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "INSERT INTO outbox (task_arn, body, expires_ms) VALUES (?, ?, ?)", "tti",
		       lane, body, expires_ms);
}

int store_outbox_put(struct store *s, const char *task_arn, const char *body, int64_t *ret_id,
		     struct err *err)
{
	int k = store_outbox_put_until(s, task_arn, body, 0, err);

	if (k == 0 && ret_id)
		k = db_query(s->db, err, take_id, ret_id, "SELECT last_insert_rowid()", "");
	return k;
}

struct head {
	int64_t id, expires_ms;
	char *body;
};

static int take_head(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct head *h = userdata;

	h->id = db_int(row, 0);
	h->expires_ms = db_int(row, 2);
	h->body = strdup(db_text(row, 1));
	return h->body ? DB_E_DONE : err_set(err, ENOMEM, "copy entry");
}

static int find_head(struct store *s, const char *lane, struct head *h, struct err *err)
{
	*h = (struct head){};
	return db_query(s->db, err, take_head, h,
			"SELECT id, body, expires_ms FROM outbox WHERE task_arn = ? ORDER BY id"
			" LIMIT 1",
			"t", lane);
}

int store_outbox_head(struct store *s, const char *task_arn, int64_t *ret_id, char **ret_body,
		      struct err *err)
{
	struct head h;
	int k = find_head(s, task_arn, &h, err);

	while (k >= 0 && h.body && h.expires_ms && h.expires_ms <= clock_real_ms()) {
		log_info("Dropping a report that nobody waits for any more: %.300s", h.body);
		free(h.body);
		k = store_outbox_delete(s, h.id, err);
		k = k < 0 ? k : find_head(s, task_arn, &h, err);
	}
	if (k < 0 || !h.body)
		return k < 0 ? k : 0;
	*ret_id = h.id;
	*ret_body = h.body;
	return 1;
}

int store_outbox_delete(struct store *s, int64_t id, struct err *err)
{
	return db_exec(s->db, err, NULL, "DELETE FROM outbox WHERE id = ?", "i", id);
}

struct each {
	void (*fn)(void *userdata, const char *task_arn);
	void *userdata;
};

static int call_each(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct each *e = userdata;

	(void) err;
	e->fn(e->userdata, db_text(row, 0));
	return 0;
}

int store_outbox_each_task(struct store *s, void (*each)(void *userdata, const char *task_arn),
			   void *userdata, struct err *err)
{
	struct each e = { each, userdata };

	return db_query(s->db, err, call_each, &e, "SELECT DISTINCT task_arn FROM outbox", "");
}
