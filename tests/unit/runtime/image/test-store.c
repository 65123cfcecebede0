/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/image/store.h"

#define HEX63 "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define IMAGE_A "sha256:a" HEX63
#define IMAGE_B "sha256:b" HEX63
#define LAYER_1 "sha256:1" HEX63
#define LAYER_2 "sha256:2" HEX63
#define LAYER_3 "sha256:3" HEX63

struct fixture {
	char dir[64];
	struct image_store *store;
	int n;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/ecs-test-store-XXXXXX");
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
	free(f);
	return 0;
}

static void put_layer(struct fixture *f, const char *digest)
{
	_cleanup_(freep) char *tmp = NULL, *root = NULL;
	_cleanup_(closep) int fd = -EBADF;
	const struct store_layer layer = { .size = 5 };

	assert_int_equal(store_make_tmp(f->store, &tmp, &fd, NULL), 0);
	assert_int_equal(mkdirat(fd, "root", 0755), 0);
	root = path_join("%s/root", tmp);
	assert_int_equal(store_commit_layer(f->store, root, digest, &layer, NULL), 0);
}

static void put_image(struct fixture *f, const char *id, const char *reference, const char *low,
		      const char *high)
{
	char a[STORE_LAYER_NAME_MAX], b[STORE_LAYER_NAME_MAX];
	_cleanup_(json_decrefp) json_t *record = NULL;
	struct store_ref ref = { .reference = (char *) reference,
				 .digest = (char *) LAYER_3,
				 .id = (char *) id,
				 .origin = (char *) "pull",
				 .at_ms = 1000 };

	store_layer_name(low, a);
	store_layer_name(high, b);
	record = json_pack("{s:[s, s], s:i, s:{}}", "layers", a, b, "size", 10, "config");
	assert_int_equal(store_put_record(f->store, id, record, NULL), 0);
	if (reference)
		assert_int_equal(store_put_ref(f->store, &ref, NULL), 0);
}

static bool has_layer(struct fixture *f, const char *digest)
{
	struct store_layer layer;

	return store_get_layer(f->store, digest, &layer, NULL) == 0;
}

static int lookup(struct fixture *f, const char *what)
{
	_cleanup_(image_freep) struct image *image = NULL;

	return image_store_lookup(f->store, what, &image, NULL);
}

static void an_image_is_found_by_every_name(void **state)
{
	struct fixture *f = *state;
	_cleanup_(image_freep) struct image *image = NULL;

	put_layer(f, LAYER_1);
	put_layer(f, LAYER_2);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_2);
	put_image(f, IMAGE_A, "docker.io/library/web@" LAYER_3, LAYER_1, LAYER_2);
	assert_int_equal(image_store_lookup(f->store, "web:1", &image, NULL), 0);
	assert_string_equal(image->reference, "docker.io/library/web:1");
	assert_string_equal(image->id, IMAGE_A);
	assert_string_equal(image->digest, LAYER_3);
	assert_int_equal(image->size_bytes, 10);
	assert_true(strncmp(image->layers[0], f->dir, strlen(f->dir)) == 0);
	assert_null(image->layers[2]);
	assert_int_equal(lookup(f, "web@" LAYER_3), 0);
	assert_int_equal(lookup(f, IMAGE_A), 0);
	assert_int_equal(lookup(f, &IMAGE_A[7]), 0);
	assert_int_equal(lookup(f, "a123456789ab"), 0);
	assert_int_equal(lookup(f, "web:2"), IMAGE_E_NOT_FOUND);
	assert_int_equal(lookup(f, "a123456789ac"), IMAGE_E_NOT_FOUND);
	assert_int_equal(lookup(f, IMAGE_B), IMAGE_E_NOT_FOUND);
	assert_int_equal(lookup(f, "Bad/Name"), -EINVAL);
}

static void an_image_without_a_layer_is_no_image(void **state)
{
	struct fixture *f = *state;

	put_layer(f, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_2);
	assert_int_equal(lookup(f, "web:1"), IMAGE_E_NOT_FOUND);
}

static void a_damaged_record_is_said_to_be(void **state)
{
	struct fixture *f = *state;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(freep) char *path = path_join("%s/images/sha256/%s.json", f->dir, &IMAGE_A[7]);

	put_layer(f, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_1);
	assert_int_equal(fs_write_file(AT_FDCWD, path, "{\"lay", 5, 0600, NULL), 0);
	assert_int_equal(image_store_lookup(f->store, "web:1", &image, &err), -EBADMSG);
	assert_non_null(strstr(err_text(&err), "images/sha256/"));
}

static void removal_keeps_what_others_need(void **state)
{
	struct fixture *f = *state;

	put_layer(f, LAYER_1);
	put_layer(f, LAYER_2);
	put_layer(f, LAYER_3);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_2);
	put_image(f, IMAGE_B, "docker.io/library/db:1", LAYER_1, LAYER_3);
	assert_int_equal(store_remove(f->store, "web:1", NULL, NULL, NULL), 0);
	assert_int_equal(lookup(f, "web:1"), IMAGE_E_NOT_FOUND);
	assert_int_equal(lookup(f, "db:1"), 0);
	assert_true(has_layer(f, LAYER_1));
	assert_false(has_layer(f, LAYER_2));
	assert_int_equal(store_remove(f->store, IMAGE_B, NULL, NULL, NULL), 0);
	assert_false(has_layer(f, LAYER_1));
	assert_false(has_layer(f, LAYER_3));
	assert_int_equal(store_remove(f->store, "db:1", NULL, NULL, NULL), IMAGE_E_NOT_FOUND);
}

static void removal_sweeps_layers_that_nothing_names(void **state)
{
	struct fixture *f = *state;
	_cleanup_(closep) int running = -EBADF;

	put_layer(f, LAYER_1);
	put_layer(f, LAYER_2); /* of a pull that died */
	put_layer(f, LAYER_3); /* of one that still runs */
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_1);
	assert_int_equal(
		store_lock(f->store, &running, STORE_LOCK_USE, LAYER_3, false, false, NULL), 0);
	assert_int_equal(store_remove(f->store, "web:1", NULL, NULL, NULL), 0);
	assert_false(has_layer(f, LAYER_2));
	assert_true(has_layer(f, LAYER_3));
}

static void a_second_tag_keeps_the_image(void **state)
{
	struct fixture *f = *state;

	put_layer(f, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:2", LAYER_1, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web@" LAYER_3, LAYER_1, LAYER_1);
	assert_int_equal(store_remove(f->store, "web:1", NULL, NULL, NULL), 0);
	assert_int_equal(lookup(f, "web:2"), 0);
	assert_int_equal(lookup(f, "web@" LAYER_3), 0);
	assert_int_equal(store_remove(f->store, "web:2", NULL, NULL, NULL), 0);
	assert_int_equal(lookup(f, "web@" LAYER_3), IMAGE_E_NOT_FOUND); /* went with the last tag */
	assert_int_equal(lookup(f, IMAGE_A), IMAGE_E_NOT_FOUND);
}

static void a_pinned_image_stays(void **state)
{
	struct fixture *f = *state;
	_cleanup_(err_done) struct err err = {};

	put_layer(f, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_1);
	assert_int_equal(image_store_pin(f->store, "task-1", IMAGE_A, NULL), 0);
	assert_int_equal(store_remove(f->store, "web:1", NULL, NULL, &err), -EBUSY);
	assert_string_equal(err_text(&err), "image sha256:a123456789ab is in use by 'task-1'");
	assert_int_equal(lookup(f, "web:1"), 0);
	assert_int_equal(image_store_unpin(f->store, "task-1", NULL), 0);
	assert_int_equal(image_store_unpin(f->store, "task-1", NULL), 0);
	assert_int_equal(store_remove(f->store, "web:1", NULL, NULL, NULL), 0);
	assert_int_equal(image_store_pin(f->store, "task-1", IMAGE_A, NULL), IMAGE_E_NOT_FOUND);
}

static void pin_names_are_checked(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "", ".x", "a/b", "a b", ".." };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(image_store_pin(f->store, bad[i], IMAGE_A, NULL), -EINVAL);
}

static void what_a_dead_run_left_is_collected(void **state)
{
	struct fixture *f = *state;
	_cleanup_(freep) char *dead = NULL, *alive = NULL;
	_cleanup_(closep) int fd = -EBADF;
	int other = -EBADF;

	assert_int_equal(store_make_tmp(f->store, &dead, &other, NULL), 0);
	(void) close(other);
	assert_int_equal(store_make_tmp(f->store, &alive, &fd, NULL), 0);
	store_collect(f->store);
	assert_int_equal(faccessat(f->store->fd, dead, F_OK, 0), -1);
	assert_int_equal(faccessat(f->store->fd, alive, F_OK, 0), 0);
}

static void temporary_files_are_collected_once_they_are_old(void **state)
{
	static const char *const names[] = { "refs/x.json.tmp-12", "images/sha256/x.json.tmp-12",
					     "layers/x.json.tmp-12", "refs/kept.json" };
	const struct timespec long_ago[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct fixture *f = *state;

	for (int old = 0; old <= 1; old++) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			assert_int_equal(
				fs_write_file_volatile(f->store->fd, names[i], "x", 1, 0600, NULL),
				0);
			if (old)
				(void) utimensat(f->store->fd, names[i], long_ago, 0);
		}
		store_collect(f->store);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			assert_int_equal(faccessat(f->store->fd, names[i], F_OK, 0),
					 old && i < 3 ? -1 : 0);
	}
}

static void locks_are_per_digest(void **state)
{
	struct fixture *f = *state;
	_cleanup_(closep) int mine = -EBADF, theirs = -EBADF;

	assert_int_equal(store_lock(f->store, &mine, STORE_LOCK_FETCH, LAYER_1, true, false, NULL),
			 0);
	assert_int_equal(
		store_lock(f->store, &theirs, STORE_LOCK_FETCH, LAYER_1, true, false, NULL), 1);
	assert_int_equal(
		store_lock(f->store, &theirs, STORE_LOCK_FETCH, LAYER_2, true, false, NULL), 0);
	assert_int_equal(store_unlock(mine, LAYER_1), 0);
	assert_int_equal(
		store_lock(f->store, &theirs, STORE_LOCK_FETCH, LAYER_1, true, false, NULL), 0);
}

static void a_layer_of_another_boot_is_fetched_anew(void **state)
{
	struct fixture *f = *state;
	char name[STORE_LAYER_NAME_MAX];
	_cleanup_(freep) char *path = NULL;
	static const char old[] = "{\"digest\":\"" LAYER_1 "\",\"size\":5,\"implied\":false,"
				  "\"boot\":\"some other boot\"}";

	put_layer(f, LAYER_1);
	store_layer_name(LAYER_1, name);
	path = path_join("%s/layers/%s.json", f->dir, name);
	assert_int_equal(fs_write_file(AT_FDCWD, path, old, strlen(old), 0600, NULL), 0);
	assert_false(has_layer(f, LAYER_1));
	put_layer(f, LAYER_1);
	assert_true(has_layer(f, LAYER_1));
	assert_int_equal(store_settle_layer(f->store, LAYER_1, NULL), 0);
	assert_true(has_layer(f, LAYER_1));
}

static void layer_names_are_short_and_distinct(void **state _unused_)
{
	char a[STORE_LAYER_NAME_MAX], b[STORE_LAYER_NAME_MAX];

	store_layer_name(LAYER_1, a);
	store_layer_name(LAYER_2, b);
	assert_int_equal(strlen(a), 26);
	assert_string_not_equal(a, b);
}

static int count(const struct image *image, void *userdata, struct err *err)
{
	(void) image, (void) err;
	(*(int *) userdata)++;
	return 0;
}

static void every_reference_is_listed(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	put_layer(f, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:1", LAYER_1, LAYER_1);
	put_image(f, IMAGE_A, "docker.io/library/web:2", LAYER_1, LAYER_1);
	put_image(f, IMAGE_B, NULL, LAYER_1, LAYER_1);
	assert_int_equal(image_store_list(f->store, count, &n, NULL), 0);
	assert_int_equal(n, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_image_is_found_by_every_name),
		T(an_image_without_a_layer_is_no_image),
		T(a_damaged_record_is_said_to_be),
		T(removal_keeps_what_others_need),
		T(removal_sweeps_layers_that_nothing_names),
		T(a_second_tag_keeps_the_image),
		T(a_pinned_image_stays),
		T(pin_names_are_checked),
		T(what_a_dead_run_left_is_collected),
		T(temporary_files_are_collected_once_they_are_old),
		T(locks_are_per_digest),
		T(a_layer_of_another_boot_is_fetched_anew),
		T(layer_names_are_short_and_distinct),
		T(every_reference_is_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
