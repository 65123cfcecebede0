/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/rootfs/rootfs.h"
#include "tests/unit/runtime/container/unit.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# www-data:x:1:1::/:\n"
			     "www-data:x:33:33:www:/var/www:/usr/sbin/nologin\n"
			     "twice:x:50:50::/first:\n"
			     "twice:x:51:51::/second:\n"
			     "1000:x:77:77::/numeric-name:\n"
			     "huge:x:4294967296:0::/:\n"
			     "negative:x:-1:0::/:\n"
			     "nouid:x::0::/:\n"
			     "word:x:zero:0::/:\n"
			     "short\n"
			     "nohome:x:60:60\n"
			     "last:x:70:70::/last:"; /* no newline at the end */
static const char group[] = "root:x:0:\n"
			    "www-data:x:33:\n"
			    "staff:x:50:www-data,last\n"
			    "audio:x:29:pulse,www-data\n"
			    "evil:x:99999999999:www-data\n"
			    "tail:x:71:xlast,lastx\n";

static void users_resolve_as_in_docker(void **state)
{
	static const struct {
		const char *user;
		uid_t uid;
		gid_t gid;
		const char *home, *additional;
	} cases[] = {
		{ "", 0, 0, "/root", "0" },
		{ "root", 0, 0, "/root", "0" },
		{ "0", 0, 0, "/root", "0" },
		{ "www-data", 33, 33, "/var/www", "33 50 29" },
		{ "33", 33, 33, "/var/www", "33 50 29" },
		{ "www-data:staff", 33, 50, "/var/www", "50" },
		{ "www-data:1234", 33, 1234, "/var/www", "1234" },
		{ "1234", 1234, 0, "/", "0" },
		{ "1234:29", 1234, 29, "/", "29" },
		{ ":staff", 0, 50, "/root", "50" },
		{ "www-data:", 33, 33, "/var/www", "33 50 29" },
		{ "twice", 50, 50, "/first", "50" },
		{ "1000", 1000, 0, "/", "0" }, /* digits are an id, whatever the names say */
		{ "nohome", 0, 0, NULL, NULL },
		{ "last", 70, 70, "/last", "70 50" },
		{ "2147483647", 2147483647, 0, "/", "0" },
	};

	put_file(*state, "etc/passwd", passwd);
	put_file(*state, "etc/group", group);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(user_ids_done) struct user_ids u = {};
		_cleanup_(err_done) struct err err = {};
		char text[64] = "";
		int k = rootfs_resolve_user(*state, cases[i].user, NULL, &u, &err);

		if (strcmp(cases[i].user, "nohome") == 0) {
			assert_int_equal(k, 0);
			assert_string_equal(u.home, "/");
			continue;
		}
		if (k < 0)
			fail_msg("%s: %s", cases[i].user, err_text(&err));
		assert_int_equal(u.uid, cases[i].uid);
		assert_int_equal(u.gid, cases[i].gid);
		assert_string_equal(u.home, cases[i].home);
		for (size_t n = 0, len = 0; n < u.n_additional; n++)
			len += (size_t) snprintf(text + len, sizeof(text) - len, "%s%u",
						 n ? " " : "", u.additional[n]);
		assert_string_equal(text, cases[i].additional);
	}
}

static void who_is_not_there_is_told_in_dockers_words(void **state)
{
	static const struct {
		const char *user;
		int code;
		const char *complaint;
	} cases[] = {
		{ "ghost", ENOENT,
		  "unable to find user ghost: no matching entries in passwd file" },
		{ "huge", ENOENT, "unable to find user huge: no matching entries in passwd file" },
		{ "negative", ENOENT,
		  "unable to find user negative: no matching entries in passwd file" },
		{ "nouid", ENOENT,
		  "unable to find user nouid: no matching entries in passwd file" },
		{ "word", ENOENT, "unable to find user word: no matching entries in passwd file" },
		{ "short", ENOENT,
		  "unable to find user short: no matching entries in passwd file" },
		{ "-1", ENOENT, "unable to find user -1: no matching entries in passwd file" },
		{ "2147483648", EINVAL,
		  "unable to find user 2147483648: uids and gids must be in range 0-2147483647" },
		{ "99999999999999999999999", EINVAL,
		  "unable to find user 99999999999999999999999: uids and gids must be in range "
		  "0-2147483647" },
		{ "root:nobody", ENOENT,
		  "unable to find group nobody: no matching entries in group file" },
		{ "root:4294967296", EINVAL,
		  "unable to find group 4294967296: uids and gids must be in range 0-2147483647" },
	};

	put_file(*state, "etc/passwd", passwd);
	put_file(*state, "etc/group", group);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct user_ids u = { .uid = 42 };

		assert_int_equal(rootfs_resolve_user(*state, cases[i].user, NULL, &u, &err),
				 -cases[i].code);
		assert_string_equal(err.msg, cases[i].complaint);
		assert_int_equal(u.uid, 42);
	}
}

static void more_groups_are_added_once(void **state)
{
	char *groups[] = { (char *) "audio", (char *) "29", (char *) "500", (char *) "0", NULL },
	     *unknown[] = { (char *) "nope", NULL };
	_cleanup_(user_ids_done) struct user_ids u = {};
	_cleanup_(err_done) struct err err = {};

	put_file(*state, "etc/group", group);
	assert_int_equal(rootfs_resolve_user(*state, "", groups, &u, &err), 0);
	assert_int_equal(u.n_additional, 3); /* 0, 29, 500 */
	assert_int_equal(u.additional[1], 29);
	assert_int_equal(u.additional[2], 500);
	assert_int_equal(rootfs_resolve_user(*state, "", unknown, &u, &err), -ENOENT);
	assert_string_equal(err.msg,
			    "Unable to find group nope: no matching entries in group file");
}

static void an_image_without_files_has_numbers_only(void **state)
{
	_cleanup_(user_ids_done) struct user_ids u = {};

	assert_int_equal(rootfs_resolve_user(*state, "12:34", NULL, &u, NULL), 0);
	assert_int_equal(u.uid, 12);
	assert_int_equal(u.gid, 34);
}

static void links_stay_inside_and_oddities_do_not_hang(void **state)
{
	_cleanup_(freep) char *link = in_dir(*state, "etc/passwd"),
			      *fifo = in_dir(*state, "etc/group");
	_cleanup_(user_ids_done) struct user_ids u = {};
	_cleanup_(err_done) struct err err = {};

	put_file(*state, "inside", "app:x:5:5::/:\n");
	assert_int_equal(symlink("../../../../inside", link), 0);
	assert_int_equal(rootfs_resolve_user(*state, "app", NULL, &u, &err), 0);
	assert_int_equal(u.uid, 5);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(rootfs_resolve_user(*state, "app", NULL, &u, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "is no regular file"));
}

static void directories_are_made_inside_only(void **state)
{
	_cleanup_(freep) char *out = in_dir(*state, "link"), *made = in_dir(*state, "srv/a/b"),
			      *through = in_dir(*state, "tmp/x/y"),
			      *dangling = in_dir(*state, "gone");
	_cleanup_(err_done) struct err err = {};
	struct stat st;

	assert_int_equal(rootfs_make_dir(*state, "/srv//a/b/", getuid(), getgid(), &err), 0);
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(rootfs_make_dir(*state, "/srv/a/b", getuid(), getgid(), &err), 0);
	assert_int_equal(symlink("/tmp", out), 0); /* of the container, not of the host */
	assert_int_equal(rootfs_make_dir(*state, "/tmp", getuid(), getgid(), &err), 0);
	assert_int_equal(rootfs_make_dir(*state, "/link/x/y", getuid(), getgid(), &err), 0);
	assert_int_equal(stat(through, &st), 0);
	assert_int_equal(symlink("/nowhere", dangling), 0);
	assert_true(rootfs_make_dir(*state, "/gone/x", getuid(), getgid(), &err) < 0);
	assert_true(rootfs_make_dir(*state, "/a/../../x", getuid(), getgid(), &err) < 0);
	assert_true(rootfs_make_dir(*state, "relative", getuid(), getgid(), &err) < 0);
}

/* The image brings the directory that its link leads to, so the link does not dangle; in the
 * container procfs lies over it. */
static void no_working_directory_is_a_descriptor(void **state)
{
	static const struct {
		const char *real, *link, *path;
	} cases[] = {
		{ "proc/self/fd/8", "w1", "/w1" }, { "proc/self/fd/8", "w2", "/w2/below" },
		{ "dev/fd/8", "w3", "/w3" },       { "proc", "w4", "/w4" },
		{ "proc/1", NULL, "/proc/1/cwd" },
	};
	_cleanup_(freep) char *fine = in_dir(*state, "processes");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *real = in_dir(*state, cases[i].real),
				      *to = path_join("/%s", cases[i].real);
		_cleanup_(err_done) struct err err = {};

		assert_int_equal(fs_mkdir_p(real, 0755, NULL), 0);
		if (cases[i].link) {
			_cleanup_(freep) char *link = in_dir(*state, cases[i].link);

			assert_int_equal(symlink(to, link), 0);
		}
		assert_int_equal(rootfs_make_dir(*state, cases[i].path, getuid(), getgid(), &err),
				 -EINVAL);
		assert_non_null(strstr(err.msg, "leads below /proc or /dev/fd"));
	}
	assert_int_equal(rootfs_make_dir(*state, "/processes", getuid(), getgid(), NULL), 0);
	assert_int_equal(access(fine, F_OK), 0);
}

static int make_root(void **state)
{
	_cleanup_(freep) char *etc = NULL;

	if (make_dir(state) < 0)
		return -1;
	etc = in_dir(*state, "etc");
	return mkdir(etc, 0755);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(users_resolve_as_in_docker, make_root, remove_dir),
		cmocka_unit_test_setup_teardown(who_is_not_there_is_told_in_dockers_words,
						make_root, remove_dir),
		cmocka_unit_test_setup_teardown(more_groups_are_added_once, make_root, remove_dir),
		cmocka_unit_test_setup_teardown(an_image_without_files_has_numbers_only, make_root,
						remove_dir),
		cmocka_unit_test_setup_teardown(links_stay_inside_and_oddities_do_not_hang,
						make_root, remove_dir),
		cmocka_unit_test_setup_teardown(directories_are_made_inside_only, make_root,
						remove_dir),
		cmocka_unit_test_setup_teardown(no_working_directory_is_a_descriptor, make_root,
						remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
