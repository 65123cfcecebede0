/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/payload.h"
#include "agent/store/store.h"
#include "common/fs.h"
#include "common/strv.h"

#define ARN "arn:aws:ecs:eu-west-1:123456789012:task/web/0123456789abcdef0123456789abcdef"

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/test-store-XXXXXX");

	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void) fs_remove_tree(AT_FDCWD, *state, NULL);
	free(*state);
	return 0;
}

static json_t *definition(const char *arn)
{
	return json_pack("{s:s,s:s,s:s,s:[{s:s,s:s,s:[{s:i}]}]}", "arn", arn, "family", "web",
			 "desiredStatus", "RUNNING", "containers", "name", "c", "image", "busybox",
			 "portMappings", "containerPort", 80);
}

static struct store *open_store(const char *dir)
{
	_cleanup_(err_done) struct err err = {};
	struct store *s = NULL;

	if (store_open(dir, &s, &err) < 0)
		fail_msg("%s", err_text(&err));
	return s;
}

static struct task *put(struct store *s, const char *arn, int64_t sequence)
{
	_cleanup_(json_decrefp) json_t *def = definition(arn);
	struct task *t = NULL;

	assert_int_equal(payload_decode_task(def, &t, NULL), 0);
	t->sequence = sequence;
	assert_int_equal(store_put_task(s, t, def, NULL), 0);
	return t;
}

static int keep(void *userdata, struct task *t, struct err *err)
{
	struct task **slot = userdata;

	(void) err;
	while (*slot)
		slot++;
	*slot = t;
	return 0;
}

static void a_task_comes_back_as_it_was(void **state)
{
	struct store *s = open_store(*state);
	struct task *t = put(s, ARN, 1), *loaded[4] = {};
	struct container *c = &t->containers[0];
	char docker_name[256], endpoint_id[37];

	t->known = TASK_RUNNING;
	t->sent = TASK_MANIFEST_PULLED;
	t->pull_started_ms = 11;
	t->pull_stopped_ms = 12;
	t->reason = strdup("because");
	t->execution_credentials_id = strdup("id");
	c->known = CONTAINER_RUNNING;
	c->desired = CONTAINER_RUNNING;
	memset(c->id, 'a', 64);
	c->image_digest = strdup("sha256:d");
	c->image_id = strdup("sha256:i");
	c->digest_resolved_by_agent = true;
	c->address.s_addr = inet_addr("172.30.0.9");
	c->bindings = calloc(1, sizeof(*c->bindings));
	c->bindings[0] = (struct port_binding){ 80, 32768, IPPROTO_TCP, 7 };
	c->n_bindings = 1;
	c->has_exit_code = true;
	c->restart_count = 3;
	c->past = (struct past_usage){ UINT64_MAX, 2, 3, 4, UINT64_MAX };
	c->last_restart_ms = 1746802000123;
	c->restarting = true;
	c->exit_code = 137;
	c->started_ms = 99;
	c->pid = 4711;
	container_set_error(c, "OutOfMemoryError", "m");
	(void) snprintf(docker_name, sizeof(docker_name), "%s", c->docker_name);
	(void) snprintf(endpoint_id, sizeof(endpoint_id), "%s", c->endpoint_id);
	assert_int_equal(strlen(endpoint_id), 36);
	assert_int_equal(store_update_task(s, t, NULL), 0);
	assert_int_equal(store_update_container(s, c, NULL), 0);
	(void) task_free(t);
	(void) store_close(s);

	s = open_store(*state);
	assert_int_equal(store_load_tasks(s, keep, loaded, NULL), 0);
	t = loaded[0];
	assert_non_null(t);
	assert_null(loaded[1]);
	c = &t->containers[0];
	assert_string_equal(t->arn, ARN);
	assert_int_equal(t->sequence, 1);
	assert_int_equal(t->known, TASK_RUNNING);
	assert_int_equal(t->desired, TASK_RUNNING);
	assert_int_equal(t->sent, TASK_MANIFEST_PULLED);
	assert_int_equal(t->pull_stopped_ms, 12);
	assert_string_equal(t->reason, "because");
	assert_string_equal(t->execution_credentials_id, "id");
	assert_ptr_equal(c->task, t);
	assert_int_equal(c->known, CONTAINER_RUNNING);
	assert_int_equal(strlen(c->id), 64);
	assert_string_equal(c->docker_name, docker_name);
	assert_string_equal(c->endpoint_id, endpoint_id);
	assert_string_equal(c->image_digest, "sha256:d");
	assert_string_equal(c->image_id, "sha256:i");
	assert_true(c->digest_resolved_by_agent);
	assert_int_equal(c->address.s_addr, inet_addr("172.30.0.9"));
	assert_int_equal(c->n_bindings, 1);
	assert_int_equal(c->bindings[0].host_port, 32768);
	assert_int_equal(c->bindings[0].range, 7);
	assert_true(c->has_exit_code);
	assert_int_equal(c->restart_count, 3);
	assert_true(c->past.cpu_total_ns == UINT64_MAX && c->past.cpu_user_ns == 2);
	assert_true(c->past.cpu_system_ns == 3 && c->past.storage_read_bytes == 4);
	assert_true(c->past.storage_write_bytes == UINT64_MAX);
	assert_int_equal(c->last_restart_ms, 1746802000123);
	assert_true(c->restarting);
	assert_int_equal(c->exit_code, 137);
	assert_int_equal(c->pid, 4711);
	assert_string_equal(c->error_name, "OutOfMemoryError");
	assert_int_equal(c->ports[0].container_port, 80);
	(void) task_free(t);
	(void) store_close(s);
}

static void tasks_come_back_in_order_of_arrival(void **state)
{
	struct store *s = open_store(*state);
	struct task *loaded[4] = {};

	(void) task_free(put(s, "a/second", 8));
	(void) task_free(put(s, "a/first", 7));
	assert_int_equal(store_load_tasks(s, keep, loaded, NULL), 0);
	assert_string_equal(loaded[0]->id, "first");
	assert_string_equal(loaded[1]->id, "second");
	assert_int_equal(store_delete_task(s, loaded[0], NULL), 0);
	(void) task_free(loaded[0]);
	(void) task_free(loaded[1]);
	memset(loaded, 0, sizeof(loaded));
	assert_int_equal(store_load_tasks(s, keep, loaded, NULL), 0);
	assert_string_equal(loaded[0]->id, "second");
	assert_null(loaded[1]);
	(void) task_free(loaded[0]);
	(void) store_close(s);
}

static void what_was_not_committed_is_not_there(void **state)
{
	struct store *s = open_store(*state);
	char *value = NULL;

	assert_int_equal(store_put_meta(s, "k", "old", NULL), 0);
	assert_int_equal(store_begin(s, NULL), 0);
	assert_int_equal(store_put_meta(s, "k", "new", NULL), 0);
	assert_int_equal(store_outbox_put(s, ARN, "{}", NULL, NULL), 0);
	(void) store_close(s); /* as a kill would */
	s = open_store(*state);
	assert_int_equal(store_get_meta(s, "k", &value, NULL), 0);
	assert_string_equal(value, "old");
	free(value);
	value = NULL;
	assert_int_equal(store_get_meta(s, "absent", &value, NULL), 0);
	assert_null(value);
	(void) store_close(s);
}

static void count_task(void *userdata, const char *task_arn)
{
	assert_string_equal(task_arn, ARN);
	++*(int *) userdata;
}

static void the_outbox_keeps_order(void **state _unused_)
{
	struct store *s = open_store(":memory:");
	int64_t first = 0, second = 0, id = 0;
	char *body = NULL;
	int tasks = 0;

	assert_int_equal(store_outbox_head(s, ARN, &id, &body, NULL), 0);
	assert_int_equal(store_outbox_put(s, ARN, "1", &first, NULL), 0);
	assert_int_equal(store_outbox_put(s, ARN, "2", &second, NULL), 0);
	assert_true(second > first);
	assert_int_equal(store_outbox_each_task(s, count_task, &tasks, NULL), 0);
	assert_int_equal(tasks, 1);
	assert_int_equal(store_outbox_head(s, ARN, &id, &body, NULL), 1);
	assert_int_equal(id, first);
	assert_string_equal(body, "1");
	free(body);
	assert_int_equal(store_outbox_delete(s, first, NULL), 0);
	assert_int_equal(store_outbox_head(s, ARN, &id, &body, NULL), 1);
	assert_string_equal(body, "2");
	free(body);
	assert_int_equal(store_clear(s, NULL), 0);
	assert_int_equal(store_outbox_head(s, ARN, &id, &body, NULL), 0);
	(void) store_close(s);
}

static void a_damaged_database_is_set_aside(void **state)
{
	_cleanup_(freep) char *path = path_join("%s/agent.db", (char *) *state);
	_cleanup_(freep) char *pattern = path_join("%s/agent.db.damaged-*[0-9]", (char *) *state);
	struct store *s;
	char *value = NULL;
	glob_t found = {};
	FILE *f = fopen(path, "we");

	for (int i = 0; i < 1000; i++)
		(void) fputs("this is no database\n", f);
	(void) fclose(f);
	s = open_store(*state);
	assert_int_equal(store_get_meta(s, "k", &value, NULL), 0);
	assert_null(value);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	globfree(&found);
	(void) store_close(s);
}

static void make_database(const char *dir, const char *dump)
{
	const char *top = getenv("abs_top_srcdir");
	_cleanup_(freep) char *path = path_join("%s/agent.db", dir), *sql = NULL;
	_cleanup_(freep) char *file =
		path_join("%s/tests/unit/agent/engine/data/%s", top ? top : ".", dump);
	size_t len = 0;
	sqlite3 *db = NULL;

	assert_int_equal(fs_read_file(AT_FDCWD, file, 1 << 20, &sql, &len, NULL), 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int take_old(void *userdata, struct task *t, struct err *err)
{
	(void) err;
	assert_null(*(struct task **) userdata);
	*(struct task **) userdata = t;
	return 0;
}

/* Whatever was added since: what the first schema held is read, changed and written. */
static void the_first_schema_is_migrated(void **state)
{
	_cleanup_(freep) char *cluster = NULL, *body = NULL;
	struct task *t = NULL;
	struct store *s;
	int64_t id = 0;

	make_database(*state, "schema-1.sql");
	for (int again = 0; again < 2; again++) {
		s = open_store(*state);
		assert_int_equal(store_load_tasks(s, take_old, &t, NULL), 0);
		assert_non_null(t);
		assert_int_equal(t->sequence, 7);
		assert_int_equal(t->known, TASK_RUNNING);
		assert_int_equal(t->sent, TASK_RUNNING);
		assert_string_equal(t->role_credentials_id, "role-id");
		assert_int_equal(t->n_containers, 2);
		assert_int_equal(t->containers[0].known, CONTAINER_RUNNING);
		assert_int_equal(t->containers[0].pid, again ? 4343 : 4242);
		assert_int_equal(t->containers[0].bindings[0].host_port, 32769);
		assert_false(t->containers[0].has_exit_code);
		assert_int_equal(t->containers[1].known, CONTAINER_STOPPED);
		assert_int_equal(t->containers[1].exit_code, 3);
		assert_string_equal(t->containers[1].error_name, "SomeError");
		t->containers[0].pid = 4343;
		assert_int_equal(store_update_task(s, t, NULL), 0);
		assert_int_equal(store_update_container(s, &t->containers[0], NULL), 0);
		t = task_free(t);
		if (again)
			break;
		(void) store_close(s);
	}
	assert_int_equal(store_get_meta(s, "cluster-name", &cluster, NULL), 0);
	assert_string_equal(cluster, "lab");
	assert_int_equal(store_outbox_head(s, "arn:aws:ecs:eu-west-1:123456789012:task/lab/old1",
					   &id, &body, NULL),
			 1);
	assert_int_equal(id, 41);
	(void) store_close(s);
}

/* The others come up all the same. */
static void a_row_out_of_place_stops_its_own_task(void **state)
{
	_cleanup_(freep) char *path = path_join("%s/agent.db", (char *) *state);
	struct task *loaded[4] = {};
	struct store *s = open_store(*state);
	sqlite3 *db = NULL;

	(void) task_free(put(s, ARN, 1));
	(void) task_free(put(s, ARN "2", 2));
	(void) store_close(s);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
				      "UPDATE containers SET name = 'x' WHERE task_arn = '" ARN "'",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	s = open_store(*state);
	assert_int_equal(store_load_tasks(s, keep, loaded, NULL), 0);
	assert_int_equal(loaded[0]->desired, TASK_STOPPED);
	assert_non_null(strstr(loaded[0]->reason, "container 'x' is out of place"));
	assert_non_null(loaded[1]);
	assert_null(loaded[1]->reason);
	(void) task_free(loaded[0]);
	(void) task_free(loaded[1]);
	(void) store_close(s);
}

static void a_definition_of_another_release_stops_its_task(void **state)
{
	struct store *s = open_store(*state);
	_cleanup_(json_decrefp) json_t *def = definition(ARN), *later = definition(ARN);
	struct task *t = NULL, *loaded[4] = {};

	assert_int_equal(payload_decode_task(def, &t, NULL), 0);
	t->sequence = 1;
	(void) json_object_set_new(later, "proxyConfiguration", json_true());
	assert_int_equal(store_put_task(s, t, later, NULL), 0);
	t->containers[0].known = CONTAINER_RUNNING;
	memset(t->containers[0].id, 'b', 64);
	assert_int_equal(store_update_container(s, &t->containers[0], NULL), 0);
	(void) task_free(t);
	assert_int_equal(store_load_tasks(s, keep, loaded, NULL), 0);
	assert_int_equal(loaded[0]->desired, TASK_STOPPED);
	assert_string_equal(loaded[0]->reason,
			    "UnrecogniedTaskError: Error loading task - proxyConfiguration: not "
			    "supported by this build");
	assert_int_equal(loaded[0]->n_containers, 1);
	assert_int_equal(strlen(loaded[0]->containers[0].id), 64);
	(void) task_free(loaded[0]);
	(void) store_close(s);
}

static void note_durable(int error, void *userdata)
{
	assert_int_equal(error, 0);
	++*(int *) userdata;
}

static void a_commit_overlaps_with_the_disk_and_is_told(void **state)
{
	_cleanup_(store_closep) struct store *s = open_store(*state);
	sd_event *loop = NULL;
	int told = 0;

	assert_int_equal(sd_event_new(&loop), 0);
	assert_int_equal(store_overlap(s, loop, note_durable, &told, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_begin(s, NULL), 0);
		assert_int_equal(store_outbox_put(s, ARN, "{}", NULL, NULL), 0);
		assert_int_equal(store_commit(s, NULL), 0);
	}
	assert_int_equal(store_mark(s), 3);
	assert_int_equal(store_wait_durable(s, NULL), 0);
	assert_int_equal(store_durable(s), 3);
	while (told == 0)
		assert_true(sd_event_run(loop, 5000000) > 0);
	store_overlap_end(s);
	assert_int_equal(store_mark(s), store_durable(s));
	(void) sd_event_unref(loop);
}

static void a_store_in_memory_does_not_overlap(void **state _unused_)
{
	_cleanup_(store_closep) struct store *s = open_store(":memory:");

	assert_int_equal(store_overlap(s, NULL, note_durable, NULL, NULL), 0);
	assert_int_equal(store_begin(s, NULL), 0);
	assert_int_equal(store_commit(s, NULL), 0);
	assert_int_equal(store_durable(s), store_mark(s));
	store_overlap_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_task_comes_back_as_it_was, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(tasks_come_back_in_order_of_arrival, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(what_was_not_committed_is_not_there, make_dir,
						remove_dir),
		cmocka_unit_test(the_outbox_keeps_order),
		cmocka_unit_test_setup_teardown(a_damaged_database_is_set_aside, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_row_out_of_place_stops_its_own_task, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(the_first_schema_is_migrated, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_definition_of_another_release_stops_its_task,
						make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_commit_overlaps_with_the_disk_and_is_told,
						make_dir, remove_dir),
		cmocka_unit_test(a_store_in_memory_does_not_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
