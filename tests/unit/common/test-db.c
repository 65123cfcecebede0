/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/db.h"
#include "common/fs.h"

static const char *const one[] = { "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) STRICT", NULL };
static const char *const two[] = { "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) STRICT",
				   "ALTER TABLE t ADD COLUMN w REAL", NULL };

struct fixture {
	char dir[32], path[64];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/test-db.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void) snprintf(f->path, sizeof(f->path), "%s/x.db", f->dir);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int k = fs_remove_tree(AT_FDCWD, f->dir, NULL);

	free(f);
	return k;
}

static struct db *open_db(struct fixture *f, const char *const *migrations)
{
	_cleanup_(err_done) struct err err = {};
	struct db *db = NULL;

	if (db_open(&(struct db_params){ .path = f->path, .migrations = migrations }, &db, &err) <
	    0)
		fail_msg("%s", err_text(&err));
	return db;
}

static int take_int(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata += db_int(row, 0);
	return 0;
}

static int64_t sum(struct db *db)
{
	int64_t total = 0;

	assert_int_equal(db_query(db, NULL, take_int, &total, "SELECT v FROM t", NULL), 0);
	return total;
}

static void rows_survive_closing_and_schemas_move_forward(void **state)
{
	struct db *db = open_db(*state, one);

	assert_int_equal(
		db_exec(db, NULL, NULL, "INSERT INTO t VALUES (?, ?)", "ti", "a", (int64_t) 5), 0);
	db = db_close(db);
	db = open_db(*state, two);
	assert_int_equal(sum(db), 5);
	assert_int_equal(db_exec(db, NULL, NULL, "UPDATE t SET w = ?", "d", 0.5), 0);
	(void) db_close(db);
}

static void a_newer_schema_is_left_alone(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct fixture *f = *state;
	struct db *db = db_close(open_db(f, two));

	assert_int_equal(
		db_open(&(struct db_params){ .path = f->path, .migrations = one }, &db, &err),
		-ENOTSUP);
	assert_null(db);
}

static void a_file_that_is_no_database_is_told_apart(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct fixture *f = *state;
	struct db *db = NULL;
	char junk[4096];

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(fs_write_file(AT_FDCWD, f->path, junk, sizeof(junk), 0600, &err), 0);
	assert_int_equal(
		db_open(&(struct db_params){ .path = f->path, .migrations = one }, &db, &err),
		-EBADMSG);
}

static void a_rollback_undoes_nested_work(void **state)
{
	struct db *db = open_db(*state, one);

	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(
		db_exec(db, NULL, NULL, "INSERT INTO t VALUES (?, ?)", "ti", "a", (int64_t) 5), 0);
	assert_int_equal(db_commit(db, NULL), 0);
	db_rollback(db);
	assert_int_equal(sum(db), 0);
	assert_int_equal(db_commit(db, NULL), -EINVAL);
	(void) db_close(db);
}

static void constraints_have_their_own_code(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct db *db = open_db(*state, one);
	int64_t changes = -1;

	assert_int_equal(
		db_exec(db, &err, NULL, "INSERT INTO t VALUES (?, ?)", "ti", "a", (int64_t) 1), 0);
	assert_int_equal(
		db_exec(db, &err, NULL, "INSERT INTO t VALUES (?, ?)", "ti", "a", (int64_t) 2),
		-EEXIST);
	assert_int_equal(
		db_exec(db, &err, &changes, "UPDATE t SET v = 9 WHERE k = ?", "t", "nobody"), 0);
	assert_int_equal(changes, 0);
	(void) db_close(db);
}

static int query_again(sqlite3_stmt *row, void *userdata, struct err *err)
{
	int64_t *calls = userdata;

	(void) row;
	if (++*calls > 3)
		return err_set(err, ELOOP, "too deep");
	return *calls < 3 ? 0 : DB_E_DONE;
}

static void a_row_callback_may_stop_early(void **state)
{
	struct db *db = open_db(*state, one);
	int64_t calls = 0;

	for (int64_t i = 0; i < 5; i++) {
		char key[8];

		(void) snprintf(key, sizeof(key), "%d", (int) i);
		assert_int_equal(
			db_exec(db, NULL, NULL, "INSERT INTO t VALUES (?, ?)", "ti", key, i), 0);
	}
	assert_int_equal(db_query(db, NULL, query_again, &calls, "SELECT v FROM t", NULL), 0);
	assert_int_equal(calls, 3);
	(void) db_close(db);
}

/* Task definitions carry secrets, and the data directory may be an old one that everybody enters. */
static void nobody_else_reads_it(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(022);

	for (int round = 0; round < 2; round++) {
		_cleanup_(db_closep) struct db *db = NULL;
		char log[80];
		struct stat st;

		db = open_db(f, one);
		(void) snprintf(log, sizeof(log), "%s-wal", f->path);
		assert_int_equal(stat(f->path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(stat(log, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		db = db_close(db);
		assert_int_equal(chmod(f->path, 0644), 0); /* as an earlier version left it */
	}
	(void) umask(mask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_survive_closing_and_schemas_move_forward,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_schema_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_told_apart, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_rollback_undoes_nested_work, setup, teardown),
		cmocka_unit_test_setup_teardown(constraints_have_their_own_code, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_else_reads_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_callback_may_stop_early, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
