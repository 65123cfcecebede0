/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent knows when its database does not: damaged, truncated, empty, of another program,
 * gone, or older than what runs. And what it does on a full disk.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/told.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

static int start(void **state _unused_)
{
	told_clear();
	world_start_agent();
	return 0;
}

static bool all_gone(void)
{
	return engine_task_count(world.engine) == 0 && world_is_spotless();
}

static bool turn_until(bool (*so)(void))
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (!so() && clock_mono_ms() < end)
		world_turn(10);
	return so();
}

static int end(void **state _unused_)
{
	bool gone;

	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	gone = turn_until(all_gone);
	if (!gone)
		world_print_leftovers();
	world_end_agent();
	return gone ? 0 : -1;
}

static void gets_clean(void)
{
	if (world_gets_clean())
		return;
	world_print_leftovers();
	fail_msg("something is left");
}

/* ---- tasks ---- */

static const char *arn_of(const char *id)
{
	static char arn[128];

	(void) snprintf(arn, sizeof(arn), ARN("%s"), id);
	return arn;
}

static void run(const char *id, const char *then)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"family\":\"f\",\"version\":\"7\",\"volumes\":[{"
		"\"name\":\"marks\",\"host\":{\"sourcePath\":\"%s\"}}],\"containers\":[{\"name\":"
		"\"main\",\"image\":\"" IMAGE
		"\",\"essential\":true,\"stopTimeout\":1,\"command\":["
		"\"sh\",\"-c\",\"trap 'exit 0' TERM; echo ran >> /marks/%s; "
		"%s\"],\"mountPoints\":[{"
		"\"sourceVolume\":\"marks\",\"containerPath\":\"/marks\"}],\"portMappings\":[{"
		"\"containerPort\":80}]}]}]}",
		arn_of(id), told_marks, id, then);

	assert_int_equal(world_payload(text), 0);
}

static const char *awaited;

static bool awaited_runs(void)
{
	const struct task *t = engine_find_task(world.engine, arn_of(awaited));

	return t && t->known == TASK_RUNNING && t->containers[0].pid > 0 &&
	       told_marks_of(awaited) > 0 && told_of(arn_of(awaited)).running;
}

static bool awaited_stopped(void)
{
	return told_of(arn_of(awaited)).stopped;
}

/* Runs until something else ends it; what it is known by is returned. */
static struct container *run_one(const char *id)
{
	run(id, "sleep 1000 & wait");
	awaited = id;
	assert_true(turn_until(awaited_runs));
	return &((struct task *) (uintptr_t) engine_find_task(world.engine, arn_of(id)))
			->containers[0];
}

static void is_the_same(const char *id, const char *container_id, pid_t pid, uint16_t port)
{
	const struct container *c;

	awaited = id;
	assert_true(turn_until(awaited_runs));
	c = &engine_find_task(world.engine, arn_of(id))->containers[0];
	assert_string_equal(c->id, container_id);
	assert_int_equal(c->pid, pid);
	assert_int_equal(c->n_bindings, 1);
	assert_int_equal(c->bindings[0].host_port, port);
	assert_int_equal(told_marks_of(id), 1);
}

/* ---- databases ---- */

static char *database(const char *suffix)
{
	return path_join("%s/agent.db%s", world.config.data_dir, suffix);
}

static void put(const char *suffix, const char *text, size_t len)
{
	_cleanup_(freep) char *path = database(suffix);

	assert_int_equal(fs_write_file(AT_FDCWD, path, text, len, 0600, NULL), 0);
}

static void make_garbage(void)
{
	put("", "this is no database at all, whatever its name says", 50);
}

/* The file's beginning is whole, its end is not there: the pages of the schema are missed. */
static void truncate_it(void)
{
	_cleanup_(freep) char *path = database("");

	assert_int_equal(truncate(path, 4096 + 700), 0);
}

static void overwrite_its_middle(void)
{
	_cleanup_(freep) char *path = database("");
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
	char zeros[4096] = {};

	for (off_t at = 4096; at < 12 * 4096; at += 4096)
		assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
}

static void empty_it(void)
{
	put("", "", 0);
}

static void remove_it(void)
{
	_cleanup_(freep) char *path = database("");

	assert_int_equal(unlink(path), 0);
}

static void make_it_of_another(const char *sql)
{
	_cleanup_(freep) char *path = database("");
	sqlite3 *db = NULL;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Tables of our names with other columns, before the first numbered schema and after it. */
static void make_it_of_a_stranger(void)
{
	make_it_of_another("CREATE TABLE tasks (id TEXT); INSERT INTO tasks VALUES ('x')");
}

static void make_it_half_ours(void)
{
	make_it_of_another("CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT); PRAGMA "
			   "user_version = 1");
}

static size_t set_aside(void)
{
	_cleanup_(freep) char *pattern = database(".damaged-*[0-9]");
	glob_t found = {};
	size_t n;

	(void) glob(pattern, 0, NULL, &found);
	n = found.gl_pathc;
	for (size_t i = 0; i < n; i++)
		(void) unlink(found.gl_pathv[i]);
	globfree(&found);
	return n;
}

static void what_runs_is_known_without_a_database(void **state _unused_)
{
	static const struct {
		const char *id;
		void (*harm)(void);
		size_t aside;
	} cases[] = {
		{ "garbage", make_garbage, 1 },
		{ "short", truncate_it, 1 },
		{ "holes", overwrite_its_middle, 1 },
		{ "empty", empty_it, 0 },
		{ "gone", remove_it, 0 },
		{ "stranger", make_it_of_a_stranger, 1 },
		{ "half", make_it_half_ours, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct container *c = run_one(cases[i].id);
		_cleanup_(freep) char *container_id = strdup(c->id);
		uint16_t port = c->bindings[0].host_port;
		pid_t pid = c->pid;

		world_end_agent();
		cases[i].harm();
		world_start_agent();
		if (set_aside() != cases[i].aside)
			fail_msg("%s: set aside: not %zu", cases[i].id, cases[i].aside);
		is_the_same(cases[i].id, container_id, pid, port);
	}
}

static void what_ended_meanwhile_says_how(void **state _unused_)
{
	(void) run_one("before");
	run("ends", "sleep 0.5; exit 9");
	awaited = "ends";
	assert_true(turn_until(awaited_runs));
	world_end_agent();
	(void) usleep(1000000); /* its life, not a wait for something that can be seen */
	make_garbage();
	world_start_agent();
	assert_int_equal(set_aside(), 1);
	assert_true(turn_until(awaited_stopped));
	assert_int_equal(told_of(arn_of("ends")).exit_code, 9);
	awaited = "before";
	assert_true(turn_until(awaited_runs));
}

static char *record_of(const struct container *c)
{
	return path_join("%s/containers/%s/task.json", world.config.data_dir, c->id);
}

/* A newer release wrote it, say: who it is can be told, but not how to go on with it. */
static void who_cannot_be_understood_is_stopped_and_told_of(void **state _unused_)
{
	struct container *c = run_one("odd");
	_cleanup_(freep) char *path = record_of(c), *text = NULL;
	size_t len = 0, before;
	char *at;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &text, &len, NULL), 0);
	at = strstr(text, "\"essential\":true");
	assert_non_null(at);
	memcpy(at, "\"essential\":\"no\"", 16);
	assert_int_equal(fs_write_file(AT_FDCWD, path, text, len, 0600, NULL), 0);
	before = told_of(arn_of("odd")).reports;
	world_end_agent();
	make_garbage();
	world_start_agent();
	assert_int_equal(set_aside(), 1);
	awaited = "odd";
	assert_true(turn_until(awaited_stopped));
	gets_clean();
	assert_int_equal(told_of(arn_of("odd")).reports, before + 1);
}

static void who_cannot_be_named_is_removed(void **state _unused_)
{
	_cleanup_(freep) char *path = record_of(run_one("nobody"));

	assert_int_equal(fs_write_file(AT_FDCWD, path, "{", 1, 0600, NULL), 0);
	world_end_agent();
	make_garbage();
	world_start_agent();
	assert_int_equal(set_aside(), 1);
	assert_int_equal(engine_task_count(world.engine), 0);
	gets_clean();
}

/* As when the shim of a container that was killed still writes there. */
static void what_cannot_be_removed_yet_is_removed_later(void **state _unused_)
{
	_cleanup_(freep) char *dir = path_join("%s/containers/%064d", world.config.run_dir, 0);
	_cleanup_(freep) char *busy = path_join("%s/busy", dir);
	_cleanup_(freep) char *state_dir = path_join("%s/runc/%064d", world.config.run_dir, 0);
	_cleanup_(freep) char *busy_state = path_join("%s/busy", state_dir);

	world_end_agent();
	assert_int_equal(fs_mkdir_p(busy, 0700, NULL), 0);
	assert_int_equal(fs_mkdir_p(busy_state, 0700, NULL), 0);
	assert_int_equal(mount("test", busy, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount("test", busy_state, "tmpfs", 0, NULL), 0);
	world_start_agent();
	world_turn(50);
	assert_int_equal(umount(busy), 0); /* it is there to be unmounted */
	assert_int_equal(umount(busy_state), 0);
	gets_clean();
}

static void tasks_of_another_cluster_are_not_ours(void **state _unused_)
{
	char *cluster = world.config.cluster;

	(void) run_one("theirs");
	world_end_agent();
	make_garbage();
	world.config.cluster = (char *) "another";
	world_start_agent();
	assert_int_equal(set_aside(), 1);
	assert_int_equal(engine_task_count(world.engine), 0);
	gets_clean();
	world_end_agent();
	world.config.cluster = cluster;
	world_start_agent();
}

/* ---- the last commits are lost ---- */

static pid_t live_in_a_child(const char *id)
{
	pid_t pid;

	world_end_agent();
	pid = fork();
	if (pid == 0) {
		world.loop = NULL; /* a loop does not survive a fork */
		if (sd_event_new(&world.loop) < 0)
			_exit(1);
		world_start_agent();
		run(id, "sleep 1000 & wait");
		awaited = id;
		_exit(turn_until(awaited_runs) ? 0 : 1); /* and its log is left as it is */
	}
	return pid;
}

/* As a power cut leaves the log: without its last frames; but here the containers live on. */
static off_t cut_log(int frames)
{
	enum { HEADER = 32, FRAME = 4096 + 24 };
	_cleanup_(freep) char *path = database("-wal");
	struct stat st;
	off_t size;

	assert_int_equal(stat(path, &st), 0);
	size = MAX(st.st_size - (off_t) frames * FRAME, HEADER);
	assert_int_equal(truncate(path, size), 0);
	return size - HEADER;
}

static void lost_commits_start_nothing_twice(void **state _unused_)
{
	off_t left = 1;

	for (int frames = 1; left > 0; frames *= 2) {
		_cleanup_(freep) char *id = path_join("cut%d", frames);
		int status = 1;

		assert_int_equal(waitpid(live_in_a_child(id), &status, 0) < 0, 0);
		assert_int_equal(status, 0);
		left = cut_log(frames);
		world_start_agent();
		run(id, "sleep 1000 & wait"); /* not acknowledged for good, so it comes again */
		awaited = id;
		assert_true(turn_until(awaited_runs));
		assert_int_equal(told_marks_of(id), 1);
		assert_true(told_of(arn_of(id)).in_order);
	}
}

/* ---- the full disk ---- */

static char *small; /* where the data directory is */

static void fill(off_t leave)
{
	_cleanup_(freep) char *path = path_join("%s/ballast", small);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static const char block[4096] = "ballast";

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) == sizeof(block))
		;
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(ftruncate(fd, MAX(lseek(fd, 0, SEEK_END) - leave, 0)), 0);
}

static void make_room(void)
{
	_cleanup_(freep) char *path = path_join("%s/ballast", small);

	assert_int_equal(unlink(path), 0);
}

/* Either it is told of with the reason, once that can be written, or it was never taken. */
static void is_refused(const char *id)
{
	_cleanup_(freep) char *text = path_join(
		"{\"tasks\":[{\"arn\":\"%s\",\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE
		"\",\"essential\":true}]}]}",
		arn_of(id));
	const struct task *t;
	int k = world_payload(text);

	t = engine_find_task(world.engine, arn_of(id));
	if (k < 0)
		assert_null(t);
	else
		assert_non_null(strstr(t->reason, "no space left for containers in"));
}

static char *small_disk(void)
{
	char *data = world.config.data_dir;

	world_end_agent();
	small = path_join("%s/small", world.top);
	assert_int_equal(mkdir(small, 0700), 0);
	assert_int_equal(mount("tmpfs", small, "tmpfs", 0, "size=96m"), 0);
	world.config.data_dir = small;
	world_start_agent();
	return data;
}

static void usual_disk(char *data)
{
	assert_int_equal(end(NULL), 0);
	world.config.data_dir = data;
	assert_int_equal(umount(small), 0);
	assert_int_equal(rmdir(small), 0);
	free(small);
	world_start_agent();
}

/* However much is left when a container ends: no exit of the agent, and it is told in the end. */
static void exits_on_a_full_disk_are_told_later(void **state _unused_)
{
	char *data = small_disk();

	for (int pages = 0; pages <= 32; pages = pages ? pages * 2 : 1) {
		_cleanup_(freep) char *id = path_join("full%d", pages),
				      *late = path_join("late%d", pages);
		struct container *c = run_one(id);
		clock_t begin;

		fill((off_t) pages * 4096);
		assert_int_equal(kill(c->pid, SIGKILL), 0);
		begin = clock();
		world_turn(200);
		is_refused(late);
		world_turn(300);
		assert_true(clock() - begin < CLOCKS_PER_SEC / 4); /* it waits; it does not spin */
		make_room();
		awaited = id;
		assert_true(turn_until(awaited_stopped));
		assert_int_equal(told_of(arn_of(id)).exit_code, 137);
	}
	usual_disk(data);
}

/* The agent says so and comes back later; what runs goes on, and is taken up then. */
static void a_start_on_a_full_disk_is_put_off(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *id = NULL;
	struct store *store = NULL;
	char *data = small_disk();
	struct container *c = run_one("patient");
	uint16_t port = c->bindings[0].host_port;
	pid_t pid = c->pid;

	id = strdup(c->id);
	world_end_agent();
	fill(0);
	assert_int_equal(store_open(small, &store, &err), -ENOSPC);
	assert_non_null(strstr(err_text(&err), "space left"));
	assert_int_equal(kill(pid, 0), 0);
	make_room();
	world_start_agent();
	is_the_same("patient", id, pid, port);
	usual_disk(data);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_runs_is_known_without_a_database),
		T(what_ended_meanwhile_says_how),
		T(who_cannot_be_understood_is_stopped_and_told_of),
		T(who_cannot_be_named_is_removed),
		T(what_cannot_be_removed_yet_is_removed_later),
		T(tasks_of_another_cluster_are_not_ours),
		T(lost_commits_start_nothing_twice),
		T(exits_on_a_full_disk_are_told_later),
		T(a_start_on_a_full_disk_is_put_off),
	};
	int failed;

	world_begin();
	told_begin();
	world.config.task_cleanup_wait_ms = 500;
	world.config.task_cleanup_jitter_ms = 1;
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY")); /* a pattern, for work on one of them */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	told_end();
	world_end();
	return failed;
}
