/* SPDX-License-Identifier: Apache-2.0 */
#include "common/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

enum { STATEMENT_SLOTS = 128 };

struct db {
	sqlite3 *handle;
	int depth; /* of db_begin() */
	struct {
		const char *sql; /* a literal: its address is the key */
		sqlite3_stmt *stmt;
	} cache[STATEMENT_SLOTS];
};

static int code_of(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_CONSTRAINT:
		return EEXIST;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_ERROR: /* our statements are right, so the tables are not those they are for */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_READONLY:
		return EROFS;
	default:
		return EIO;
	}
}

static int fail(struct db *db, int sqlite_code, const char *what, struct err *err)
{
	return err_set(err, code_of(sqlite_code), "database: %.60s: %s", what,
		       db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(sqlite_code));
}

static int run_plain(struct db *db, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(db, rc, sql, err);
}

static int read_version(struct db *db, int *ret, struct err *err)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(s, 0);
	(void) sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : fail(db, rc, "read version", err);
}

static int migrate(struct db *db, const char *const *migrations, struct err *err)
{
	int version = 0, last = 0, k = read_version(db, &version, err);

	while (migrations && migrations[last])
		last++;
	if (k == 0 && version > last)
		return err_set(
			err, ENOTSUP,
			"database: version %d was written by a newer release, this one knows %d",
			version, last);
	for (; k == 0 && version < last; version++) {
		char bump[64];

		(void) snprintf(bump, sizeof(bump), "PRAGMA user_version = %d", version + 1);
		k = db_begin(db, err);
		if (k == 0)
			k = run_plain(db, migrations[version], err);
		if (k == 0)
			k = run_plain(db, bump, err);
		if (k == 0)
			k = db_commit(db, err);
		if (k < 0) {
			db_rollback(db);
			return err_wrap(err, "migrate to version %d", version + 1);
		}
	}
	return k;
}

/*
 * For nobody else's eyes, whatever the umask and the directory; SQLite gives its log the same mode.
 * A file that is there is not opened here: closing it would drop the locks of another connection.
 */
static int make_private(const char *path, struct err *err)
{
	int fd;

	if (strcmp(path, ":memory:") == 0)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		return close(fd) < 0 ? err_set_errno(err, errno, "create '%s'", path) : 0;
	if (errno != EEXIST || chmod(path, 0600) < 0)
		return err_set_errno(err, errno, "create '%s'", path);
	return 0;
}

int db_set_full_sync(struct db *db, bool on, struct err *err)
{
	return run_plain(db, on ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
}

int db_open_log(struct db *db, struct err *err)
{
	const char *path = sqlite3_db_filename(db->handle, "main");
	_cleanup_(freep) char *log = path && *path ? path_join("%s-wal", path) : NULL;
	_cleanup_(freep) char *dir = log ? strndup(log, (size_t) (strrchr(log, '/') - log)) : NULL;
	_cleanup_(closep) int fd = -EBADF, dir_fd = -EBADF;

	if (!dir)
		return err_set(err, ENOENT, "database: it has no log");
	fd = open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", log);
	dir_fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || fsync(dir_fd) < 0)
		return err_set_errno(err, errno, "sync '%s'", dir);
	return TAKE_FD(fd);
}

int db_open(const struct db_params *p, struct db **ret, struct err *err)
{
	_cleanup_(db_closep) struct db *db = calloc(1, sizeof(*db));
	int rc, k;

	if (!db)
		return err_set(err, ENOMEM, "open database");
	k = make_private(p->path, err);
	if (k < 0)
		return k;
	rc = sqlite3_open_v2(p->path, &db->handle,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, p->path, err);
	(void) sqlite3_busy_timeout(db->handle, 2000);
	k = run_plain(db, "PRAGMA journal_mode = WAL", err);
	if (k == 0)
		k = db_set_full_sync(db, p->full_sync, err);
	if (k == 0)
		k = run_plain(db, "PRAGMA foreign_keys = ON", err);
	if (k == 0)
		k = migrate(db, p->migrations, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(db);
	return 0;
}

struct db *db_close(struct db *db)
{
	if (!db)
		return NULL;
	for (size_t i = 0; i < STATEMENT_SLOTS; i++)
		(void) sqlite3_finalize(db->cache[i].stmt);
	(void) sqlite3_close(db->handle);
	free(db);
	return NULL;
}

int db_begin(struct db *db, struct err *err)
{
	int k = db->depth > 0 ? 0 : run_plain(db, "BEGIN IMMEDIATE", err);

	if (k == 0)
		db->depth++;
	return k;
}

int db_commit(struct db *db, struct err *err)
{
	int k;

	if (db->depth == 0)
		return err_set(err, EINVAL, "database: the transaction was rolled back inside");
	if (db->depth > 1) {
		db->depth--;
		return 0;
	}
	k = run_plain(db, "COMMIT", err);
	if (k < 0)
		db_rollback(db);
	else
		db->depth = 0;
	return k;
}

void db_rollback(struct db *db)
{
	db->depth = 0;
	if (!sqlite3_get_autocommit(db->handle))
		(void) run_plain(db, "ROLLBACK", NULL);
}

/* An open-addressed table of fixed size; a program has fewer statements than slots. */
static int prepare(struct db *db, const char *sql, sqlite3_stmt **ret, struct err *err)
{
	size_t h = ((uintptr_t) sql >> 3) * 2654435761u % STATEMENT_SLOTS;
	int rc;

	for (size_t i = 0; i < STATEMENT_SLOTS; i++, h = (h + 1) % STATEMENT_SLOTS) {
		if (db->cache[h].sql == sql && !sqlite3_stmt_busy(db->cache[h].stmt)) {
			*ret = db->cache[h].stmt;
			return 0;
		}
		if (db->cache[h].sql)
			continue;
		rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
					&db->cache[h].stmt, NULL);
		if (rc != SQLITE_OK)
			return fail(db, rc, sql, err);
		db->cache[h].sql = sql;
		*ret = db->cache[h].stmt;
		return 0;
	}
	return err_set(err, ENOBUFS, "database: more than %d statements", STATEMENT_SLOTS);
}

static int bind_all(sqlite3_stmt *s, const char *fmt, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; *fmt && rc == SQLITE_OK; fmt++, i++) {
		if (*fmt == 't') {
			rc = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1,
					       SQLITE_TRANSIENT);
		} else if (*fmt == 'i') {
			rc = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
		} else if (*fmt == 'd') {
			rc = sqlite3_bind_double(s, i, va_arg(ap, double));
		} else if (*fmt == 'b') {
			const void *data = va_arg(ap, const void *);

			rc = sqlite3_bind_blob64(s, i, data, va_arg(ap, size_t), SQLITE_TRANSIENT);
		} else {
			rc = sqlite3_bind_null(s, i);
		}
	}
	return rc;
}

static int run(struct db *db, db_row_fn on_row, void *userdata, const char *sql, const char *fmt,
	       va_list ap, struct err *err)
{
	sqlite3_stmt *s = NULL;
	int rc, k = prepare(db, sql, &s, err);

	if (k < 0)
		return k;
	rc = bind_all(s, fmt ? fmt : "", ap);
	if (rc == SQLITE_OK)
		rc = SQLITE_ROW;
	while (k == 0 && rc == SQLITE_ROW) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW && on_row)
			k = on_row(s, userdata, err);
	}
	if (k == 0 && rc != SQLITE_DONE)
		k = fail(db, rc, sql, err);
	(void) sqlite3_reset(s);
	(void) sqlite3_clear_bindings(s);
	return k < 0 ? k : 0;
}

int db_exec(struct db *db, struct err *err, int64_t *ret_changes, const char *sql, const char *fmt,
	    ...)
{
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = run(db, NULL, NULL, sql, fmt, ap, err);
	va_end(ap);
	if (k == 0 && ret_changes)
		*ret_changes = sqlite3_changes64(db->handle);
	return k;
}

int db_query(struct db *db, struct err *err, db_row_fn on_row, void *userdata, const char *sql,
	     const char *fmt, ...)
{
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = run(db, on_row, userdata, sql, fmt, ap, err);
	va_end(ap);
	return k;
}

const char *db_text_or_null(sqlite3_stmt *row, int column)
{
	return (const char *) sqlite3_column_text(row, column);
}

const char *db_text(sqlite3_stmt *row, int column)
{
	const char *s = db_text_or_null(row, column);

	return s ? s : "";
}

int64_t db_int(sqlite3_stmt *row, int column)
{
	return sqlite3_column_int64(row, column);
}
