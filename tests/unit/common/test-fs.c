/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

static int fresh_directory(void **state)
{
	char *dir = strdup("/tmp/test-fs.XXXXXX");

	*state = dir && mkdtemp(dir) ? dir : NULL;
	return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
	int k = fs_remove_tree(AT_FDCWD, *state, NULL);

	free(*state);
	return k;
}

static void written_files_are_whole_and_leave_no_temporary(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *path = path_join("%s/f", (char *) *state), *data = NULL;
	_cleanup_(closedirp) DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	size_t len = 0;

	assert_int_equal(fs_write_file(AT_FDCWD, path, "one", 3, 0600, &err), 0);
	assert_int_equal(fs_write_file(AT_FDCWD, path, "two!", 4, 0640, &err), 0);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 100, &data, &len, &err), 0);
	assert_int_equal(len, 4);
	assert_string_equal(data, "two!");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	d = opendir(*state);
	assert_non_null(d);
	while ((e = readdir(d)))
		assert_null(strstr(e->d_name, "tmp"));
}

static void reading_is_capped(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *path = path_join("%s/f", (char *) *state), *data = NULL;

	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, "12345", 5, 0600, &err), 0);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 5, &data, NULL, &err), 0);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 4, &data, NULL, &err), -EFBIG);
	assert_int_equal(fs_read_file(AT_FDCWD, "/nonexistent", 4, &data, NULL, &err), -ENOENT);
}

static void trees_are_removed_without_following_links(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *keep = path_join("%s/keep", (char *) *state),
			      *tree = path_join("%s/tree", (char *) *state);
	_cleanup_(freep) char *deep = path_join("%s/a/b/c", tree),
			      *link_path = path_join("%s/a/link", tree);

	assert_int_equal(fs_mkdir_p(keep, 0755, &err), 0);
	assert_int_equal(fs_mkdir_p(deep, 0755, &err), 0);
	assert_int_equal(fs_mkdir_p(deep, 0755, &err), 0);
	assert_int_equal(symlink(keep, link_path), 0);
	assert_int_equal(fs_remove_tree(AT_FDCWD, tree, &err), 0);
	assert_int_equal(access(tree, F_OK), -1);
	assert_int_equal(access(keep, F_OK), 0);
	assert_int_equal(fs_remove_tree(AT_FDCWD, tree, &err), 0); /* gone is fine */
}

static void a_symlink_cannot_lead_out_of_the_root(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *root = path_join("%s/root", (char *) *state),
			      *etc = path_join("%s/etc", root);
	_cleanup_(freep) char *evil = path_join("%s/evil", root),
			      *file = path_join("%s/passwd", etc);
	_cleanup_(closep) int root_fd = -EBADF, fd = -EBADF;
	char buf[8] = {};

	assert_int_equal(fs_mkdir_p(etc, 0755, &err), 0);
	assert_int_equal(fs_write_file(AT_FDCWD, file, "inside", 6, 0644, &err), 0);
	assert_int_equal(symlink("../../../../../../etc", evil), 0);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = fs_open_in_root(root_fd, "evil/passwd", O_RDONLY, 0, &err);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), 6);
	assert_string_equal(buf, "inside");
	assert_int_equal(fs_open_in_root(root_fd, "/nope", O_RDONLY, 0, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(written_files_are_whole_and_leave_no_temporary,
						fresh_directory, remove_directory),
		cmocka_unit_test_setup_teardown(reading_is_capped, fresh_directory,
						remove_directory),
		cmocka_unit_test_setup_teardown(trees_are_removed_without_following_links,
						fresh_directory, remove_directory),
		cmocka_unit_test_setup_teardown(a_symlink_cannot_lead_out_of_the_root,
						fresh_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
