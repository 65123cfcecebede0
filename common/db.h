/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db - SQLite in WAL mode: transactions, numbered migrations, statements kept prepared.
 * Argument formats, one letter per `?`: t text (const char *, may be NULL), i int64_t, d double,
 * n NULL (no argument), b blob (const void *, size_t). SQL text must be a literal: prepared
 * statements are kept by its address. One thread only.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct db;

enum { DB_E_DONE = 1 }; /* a row callback may return it to stop early */

struct db_params {
	const char *path; /* ":memory:" for tests */
	const char *const
		*migrations; /* NULL-terminated; number n brings user_version from n to n+1 */
	bool full_sync;      /* fsync on every commit: survives a power cut, not only a crash */
};

/*
 * Opens, checks and migrates. Returns 0 or a negative errno: -EBADMSG when the file is no database
 * or damaged, -ENOTSUP when a newer version wrote it; the file is left alone then.
 */
int db_open(const struct db_params *p, struct db **ret, struct err *err);
struct db *db_close(struct db *db);
DEFINE_CLEANUP(struct db *, db_close)

/* As db_params.full_sync, from the next commit on. */
int db_set_full_sync(struct db *db, bool on, struct err *err);

/*
 * A descriptor of the write-ahead log, for an fdatasync() elsewhere when full_sync is off; its name
 * is on the disk. -ENOENT: there is none (":memory:"). The caller closes it.
 */
int db_open_log(struct db *db, struct err *err);

/* Nested begins count; only the outermost commits. A rollback at any depth undoes all of it. */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/* Runs one statement. *ret_changes (may be NULL): rows changed. -EEXIST: a constraint refused it.
 * -ENOSPC: disk full. */
int db_exec(struct db *db, struct err *err, int64_t *ret_changes, const char *sql, const char *fmt,
	    ...);

/* A row callback returns 0, DB_E_DONE or a negative errno with @err set, which ends the query. */
typedef int (*db_row_fn)(sqlite3_stmt *row, void *userdata, struct err *err);

int db_query(struct db *db, struct err *err, db_row_fn on_row, void *userdata, const char *sql,
	     const char *fmt, ...);

/* Column helpers: "" for NULL text; borrowed until the next row. */
const char *db_text(sqlite3_stmt *row, int column);
const char *db_text_or_null(sqlite3_stmt *row, int column);
int64_t db_int(sqlite3_stmt *row, int column);
