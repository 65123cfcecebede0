/* SPDX-License-Identifier: Apache-2.0 */
/* The child is a shell script here: what counts is how its lines and its end are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "runtime/image/pull.h"
#include "runtime/image/store.h"

#define ID "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
	sd_event *loop;
	char dir[64], program[96];
	struct image_pull *pull;
	bool free_in_callback, cancel_on_resolved;
	int events, resolved, progress;
	struct image_pull_event last;
	char message[256], digest[128];
	struct image *image;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->loop) >= 0);
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/ecs-test-pull-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void) snprintf(f->program, sizeof(f->program), "%s/program", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void) image_pull_free(f->pull);
	(void) image_free(f->image);
	while (sd_event_run(f->loop, 20000) > 0) /* the abandoned child is reaped */
		;
	(void) sd_event_unref(f->loop);
	(void) fs_remove_tree(AT_FDCWD, f->dir, NULL);
	free(f);
	return 0;
}

static void on_event(struct image_pull *pull, struct image_pull_event *ev, void *userdata)
{
	struct fixture *f = userdata;

	f->events++;
	f->resolved += ev->type == IMAGE_PULL_RESOLVED;
	f->progress += ev->type == IMAGE_PULL_PROGRESS;
	if (ev->digest)
		(void) snprintf(f->digest, sizeof(f->digest), "%s", ev->digest);
	if (ev->message)
		(void) snprintf(f->message, sizeof(f->message), "%s", ev->message);
	f->image = ev->image ? TAKE_PTR(ev->image) : f->image;
	f->last = *ev;
	if (f->cancel_on_resolved && ev->type == IMAGE_PULL_RESOLVED)
		image_pull_cancel(pull);
	if (f->free_in_callback)
		f->pull = image_pull_free(pull);
}

static void run(struct fixture *f, const char *script)
{
	_cleanup_(err_done) struct err err = {};
	const struct image_pull_params params = { .program = f->program,
						  .store_dir = f->dir,
						  .reference = "web:1",
						  .username = "joe",
						  .password = "s3cret" };
	_cleanup_(freep) char *text = path_join("#!/bin/sh\n%s\n", script);

	assert_int_equal(fs_write_file(AT_FDCWD, f->program, text, strlen(text), 0755, &err), 0);
	assert_int_equal(image_pull_start(f->loop, &params, on_event, f, &f->pull, &err), 0);
	for (int i = 0;
	     i < 500 && f->last.type < IMAGE_PULL_DONE && !(f->free_in_callback && f->events); i++)
		assert_true(sd_event_run(f->loop, 100000) >= 0);
}

static void put_image(struct fixture *f)
{
	_cleanup_(image_store_closep) struct image_store *s = NULL;
	_cleanup_(json_decrefp) json_t *record =
		json_pack("{s:s, s:[], s:i, s:{s:[s]}}", "id", ID, "layers", "size", 7, "config",
			  "Cmd", "/bin/web");
	struct store_ref ref = { .reference = (char *) "docker.io/library/web:1",
				 .digest = (char *) ID,
				 .id = (char *) ID,
				 .origin = (char *) "pull" };

	assert_int_equal(image_store_open(f->dir, &s, NULL), 0);
	assert_int_equal(store_put_record(s, ID, record, NULL), 0);
	assert_int_equal(store_put_ref(s, &ref, NULL), 0);
}

static void events_arrive_in_order_and_the_image_is_looked_up(void **state)
{
	struct fixture *f = *state;

	put_image(f);
	run(f, "echo '{\"event\":\"resolved\",\"digest\":\"" ID "\"}'\n"
	       "echo '{\"event\":\"progress\",\"bytes\":1,\"total\":2}'\n"
	       "echo '{\"event\":\"done\",\"reference\":\"docker.io/library/web:1\","
	       "\"from_cache\":true}'");
	assert_int_equal(f->events, 3);
	assert_int_equal(f->last.type, IMAGE_PULL_DONE);
	assert_true(f->last.from_cache);
	assert_string_equal(f->digest, ID);
	assert_non_null(f->image);
	assert_string_equal(f->image->config.cmd[0], "/bin/web");
}

static void credentials_come_by_descriptor_and_not_by_argument(void **state)
{
	struct fixture *f = *state;

	run(f, "case \"$*\" in *s3cret*) m=leaked;; *'--credentials-fd 4 -- pull web:1') "
	       "m=$(grep -c '\"password\":\"s3cret\"' <&4);; *) m=\"$*\";; esac\n"
	       "echo \"{\\\"event\\\":\\\"failed\\\",\\\"kind\\\":\\\"auth\\\",\\\"message\\\":"
	       "\\\"$m\\\"}\"");
	assert_int_equal(f->last.failure, IMAGE_PULL_E_AUTH);
	assert_string_equal(f->message, "1");
}

static void a_silent_end_is_a_failure(void **state)
{
	struct fixture *f = *state;

	run(f, "kill -9 $$");
	assert_int_equal(f->last.type, IMAGE_PULL_FAILED);
	assert_int_equal(f->last.failure, IMAGE_PULL_E_INTERNAL);
	assert_string_equal(f->message, "ecs-image ended without a result (status 137)");
}

static void an_endless_line_is_a_failure(void **state)
{
	struct fixture *f = *state;

	run(f, "head -c 100000 /dev/zero | tr '\\0' x; sleep 5");
	assert_int_equal(f->last.failure, IMAGE_PULL_E_INTERNAL);
	assert_string_equal(f->message, "ecs-image wrote a line longer than 64 KiB");
}

static void garbage_is_a_failure(void **state)
{
	struct fixture *f = *state;

	run(f, "echo '{\"event\":'; sleep 5");
	assert_int_equal(f->last.failure, IMAGE_PULL_E_INTERNAL);
	assert_string_equal(f->message, "ecs-image wrote a damaged line");
}

static void cancelling_ends_in_cancelled(void **state)
{
	struct fixture *f = *state;

	f->cancel_on_resolved = true;
	run(f, "echo '{\"event\":\"resolved\",\"digest\":\"" ID "\"}'; exec sleep 60");
	assert_int_equal(f->last.type, IMAGE_PULL_FAILED);
	assert_int_equal(f->last.failure, IMAGE_PULL_E_CANCELLED);
}

static void the_callback_may_free_the_pull(void **state)
{
	struct fixture *f = *state;

	f->free_in_callback = true;
	run(f, "for i in 1 2 3; do echo '{\"event\":\"progress\",\"bytes\":1,\"total\":2}'; done; "
	       "exec sleep 60");
	assert_int_equal(f->events, 1);
	assert_null(f->pull);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(events_arrive_in_order_and_the_image_is_looked_up),
		T(credentials_come_by_descriptor_and_not_by_argument),
		T(a_silent_end_is_a_failure),
		T(an_endless_line_is_a_failure),
		T(garbage_is_a_failure),
		T(cancelling_ends_in_cancelled),
		T(the_callback_may_free_the_pull),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
