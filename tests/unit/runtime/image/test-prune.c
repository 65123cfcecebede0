/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/prune.h"

#define HEX63 "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID(c) "sha256:" c HEX63

enum { HOUR_MS = 3600 * 1000 };

struct fixture {
	char dir[64];
	struct image_store *store;
	char **gone; /* ids, in order */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/ecs-test-prune-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(image_store_open(f->dir, &f->store, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void) image_store_close(f->store);
	(void) fs_remove_tree(AT_FDCWD, f->dir, NULL);
	(void) strv_free(f->gone);
	free(f);
	return 0;
}

/* An image of one layer of its own: the letter of its id names it "web-<letter>:1". */
static void put(struct fixture *f, const char *id, const char *origin, int64_t pulled_ago_ms)
{
	_cleanup_(freep) char *tmp = NULL, *root = NULL, *name = NULL;
	_cleanup_(json_decrefp) json_t *record = NULL;
	const struct store_layer layer = { .size = 1000 };
	_cleanup_(closep) int fd = -EBADF;
	char dir[STORE_LAYER_NAME_MAX], digest[] = ID("_");
	struct store_ref ref = { .id = (char *) id,
				 .origin = (char *) origin,
				 .at_ms = clock_real_ms() - pulled_ago_ms };

	digest[7] = (char) ('0' + id[7] - 'a');
	assert_int_equal(store_make_tmp(f->store, &tmp, &fd, NULL), 0);
	assert_int_equal(mkdirat(fd, "root", 0755), 0);
	root = path_join("%s/root", tmp);
	assert_int_equal(store_commit_layer(f->store, root, digest, &layer, NULL), 0);
	store_layer_name(digest, dir);
	record = json_pack("{s:[s], s:i, s:{}}", "layers", dir, "size", 1000 + id[7], "config");
	assert_int_equal(store_put_record(f->store, id, record, NULL), 0);
	name = path_join("docker.io/library/web-%c:1", id[7]);
	ref.reference = name;
	if (origin)
		assert_int_equal(store_put_ref(f->store, &ref, NULL), 0);
}

static void set_used(struct fixture *f, const char *id, int64_t ago_ms)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT },
				  { .tv_sec = (clock_real_ms() - ago_ms) / 1000 } };
	char path[128];

	assert_int_equal(image_store_use(f->store, id, NULL), 0);
	(void) snprintf(path, sizeof(path), "used/%s", id + 7);
	assert_int_equal(utimensat(f->store->fd, path, ts, 0), 0);
}

static void on_image(const struct prune_image *image, void *userdata)
{
	struct fixture *f = userdata;

	assert_int_equal(strv_append(&f->gone, image->id), 0);
}

/* "abc": the letters of what went, in order. Valid until the next call. */
static const char *run(struct fixture *f, const struct prune_params *p)
{
	static char letters[32];
	struct prune_result r;
	size_t n = 0;

	f->gone = strv_free(f->gone);
	assert_int_equal(prune(f->store, p, on_image, f, &r, NULL), 0);
	assert_int_equal(r.images, strv_length(f->gone));
	if (!p->dry_run)
		assert_int_equal(r.freed_bytes, 1000 * (int64_t) r.images);
	for (size_t i = 0; i < r.images; i++) {
		_cleanup_(image_freep) struct image *image = NULL;

		letters[n++] = f->gone[i][7];
		assert_int_equal(image_store_lookup(f->store, f->gone[i], &image, NULL),
				 p->dry_run ? 0 : IMAGE_E_NOT_FOUND);
	}
	letters[n] = '\0';
	return letters;
}

#define TRACKED .what = PRUNE_TRACKED, .high_percent = 100, .low_percent = 100

static void the_least_recently_used_go_first_and_few(void **state)
{
	struct fixture *f = *state;

	put(f, ID("a"), "pull", 9 * HOUR_MS);
	put(f, ID("b"), "pull", 8 * HOUR_MS);
	put(f, ID("c"), "pull", 7 * HOUR_MS);
	set_used(f, ID("a"), 2 * HOUR_MS);
	set_used(f, ID("b"), 4 * HOUR_MS);
	set_used(f, ID("c"), 3 * HOUR_MS);
	assert_string_equal(run(f, &(struct prune_params){ TRACKED, .max_images = 2 }), "bc");
	assert_string_equal(run(f, &(struct prune_params){ TRACKED, .max_images = 2 }), "a");
}

static void the_young_stay(void **state)
{
	struct fixture *f = *state;

	put(f, ID("a"), "pull", 2 * HOUR_MS);
	put(f, ID("b"), "pull", HOUR_MS / 2);
	set_used(f, ID("a"), 2 * HOUR_MS);
	set_used(f, ID("b"), 2 * HOUR_MS);
	assert_string_equal(run(f, &(struct prune_params){ TRACKED, .min_age_ms = HOUR_MS }), "a");
}

static void what_somebody_has_stays(void **state)
{
	struct fixture *f = *state;
	char *keep[] = { (char *) "web-b:1", (char *) ID("c"), (char *) "web-nothing:1", NULL };
	const struct prune_params p = { TRACKED, .keep = keep };
	_cleanup_(closep) int lock = -EBADF;

	for (char c = 'a'; c <= 'e'; c++) {
		char id[] = ID("a");

		id[7] = c;
		put(f, id, "pull", HOUR_MS);
		set_used(f, id, HOUR_MS);
	}
	assert_int_equal(image_store_pin(f->store, "container", ID("a"), NULL), 0);
	set_used(f, ID("d"), 1000); /* its container has not pinned it yet */
	assert_int_equal(store_lock(f->store, &lock, STORE_LOCK_USE, ID("e"), false, true, NULL),
			 0);
	assert_string_equal(run(f, &p), ""); /* e is being pulled */
	lock = safe_close(lock);
	assert_string_equal(run(f, &p), "e");
	assert_int_equal(image_store_unpin(f->store, "container", NULL), 0);
	assert_string_equal(run(f, &p), ""); /* used until just now */
	set_used(f, ID("a"), HOUR_MS);
	assert_string_equal(run(f, &p), "a");
}

static void what_no_task_had_is_left_alone_unless_asked(void **state)
{
	struct fixture *f = *state;
	const struct prune_params p = { TRACKED, .untracked = true,
					.untracked_min_age_ms = HOUR_MS };

	put(f, ID("a"), "pull", 2 * HOUR_MS); /* by hand */
	put(f, ID("b"), "load", 2 * HOUR_MS); /* no registry may have it */
	put(f, ID("c"), "pull", 1000);
	set_used(f, ID("b"), 2 * HOUR_MS);
	assert_string_equal(run(f, &(struct prune_params){ TRACKED }), "");
	assert_string_equal(run(f, &p), "ba");
	assert_string_equal(run(f, &(struct prune_params){ .what = PRUNE_ALL }), "c");
}

static void nameless_images_and_stray_layers_go(void **state)
{
	struct fixture *f = *state;
	const struct store_layer layer = { .size = 77 };
	_cleanup_(freep) char *tmp = NULL, *root = NULL;
	_cleanup_(closep) int fd = -EBADF;
	struct prune_result r;
	struct store_layer found;

	put(f, ID("a"), NULL, 0);
	put(f, ID("b"), "pull", 0);
	assert_int_equal(store_make_tmp(f->store, &tmp, &fd, NULL), 0);
	assert_int_equal(mkdirat(fd, "root", 0755), 0);
	root = path_join("%s/root", tmp);
	assert_int_equal(store_commit_layer(f->store, root, ID("f"), &layer, NULL), 0);
	assert_int_equal(prune(f->store, &(struct prune_params){}, on_image, f, &r, NULL), 0);
	assert_int_equal(r.images, 1);
	assert_int_equal(r.freed_bytes, 1077);
	assert_string_equal(f->gone[0], ID("a"));
	assert_int_equal(store_get_layer(f->store, ID("f"), &found, NULL), IMAGE_E_NOT_FOUND);
}

static void a_dry_run_only_tells(void **state)
{
	struct fixture *f = *state;

	put(f, ID("a"), "pull", HOUR_MS);
	assert_string_equal(run(f, &(struct prune_params){ .what = PRUNE_ALL, .dry_run = true }),
			    "a");
	assert_string_equal(run(f, &(struct prune_params){ .what = PRUNE_ALL }), "a");
}

/* What comes between the decision and the deed. */
static void a_use_that_comes_between_is_noticed(void **state)
{
	struct fixture *f = *state;
	_cleanup_(image_freep) struct image *image = NULL;
	struct timespec then;

	put(f, ID("a"), "pull", HOUR_MS);
	assert_int_equal(store_last_used(f->store, ID("a"), &then, NULL), IMAGE_E_NOT_FOUND);
	set_used(f, ID("a"), HOUR_MS);
	assert_int_equal(store_remove_unused(f->store, ID("a"), NULL, NULL), -EBUSY);
	assert_int_equal(store_last_used(f->store, ID("a"), &then, NULL), 0);
	assert_int_equal(image_store_use(f->store, ID("a"), NULL), 0);
	assert_int_equal(store_remove_unused(f->store, ID("a"), &then, NULL), -EBUSY);
	assert_int_equal(image_store_lookup(f->store, "web-a:1", &image, NULL), 0);
	assert_int_equal(store_last_used(f->store, ID("a"), &then, NULL), 0);
	assert_int_equal(store_remove_unused(f->store, ID("a"), &then, NULL), 0);
	assert_int_equal(image_store_use(f->store, ID("a"), NULL), IMAGE_E_NOT_FOUND);
	assert_int_equal(store_remove_unused(f->store, ID("a"), &then, NULL), IMAGE_E_NOT_FOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_least_recently_used_go_first_and_few),
		T(the_young_stay),
		T(what_somebody_has_stays),
		T(what_no_task_had_is_left_alone_unless_asked),
		T(nameless_images_and_stray_layers_go),
		T(a_dry_run_only_tells),
		T(a_use_that_comes_between_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
