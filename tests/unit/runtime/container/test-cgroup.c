/* SPDX-License-Identifier: Apache-2.0 */
/* Path logic on a tree of plain directories; what the kernel does with it is tested in tests/integration/shim. */
#include <errno.h>
#include <sys/stat.h>

#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/delegate.h"
#include "runtime/cgroup/tree.h"
#include "tests/unit/runtime/container/unit.h"

static void make(const char *root, const char *dir)
{
	_cleanup_(freep) char *path = path_join("%s/%s", root, dir);

	assert_int_equal(fs_mkdir_p(path, 0755, NULL), 0);
}

static void v1_has_a_directory_per_controller(void **state)
{
	_cleanup_(freep) char *memory = NULL, *acct = NULL, *path = NULL,
			      *want = in_dir(*state, "memory/ecs/t"),
			      *want_acct = in_dir(*state, "cpu,cpuacct/ecs");
	_cleanup_(strv_freep) char **tasks = NULL;
	_cleanup_(err_done) struct err err = {};
	struct cgroup_limits none = {};

	make(*state, "memory");
	make(*state, "pids");
	make(*state, "cpu,cpuacct");
	assert_int_equal(cgroup_setup(*state, "/ecs", &err), 0);
	assert_int_equal(cgroup_mode(), CGROUP_V1);
	assert_int_equal(cgroup_task_create("t", &none, &path, &err), 0);
	assert_string_equal(path, "/ecs/t");
	memory = cgroup_controller_dir("memory", "/ecs/t");
	assert_string_equal(memory, want);
	acct = cgroup_controller_dir("cpuacct", "/ecs");
	assert_string_equal(acct, want_acct);
	make(*state, "pids/ecs/left-over");
	make(*state, "memory/ecs/t/container/nested");
	assert_int_equal(cgroup_list_tasks(&tasks, &err), 0);
	assert_int_equal(strv_length(tasks), 2);
	assert_true(strv_contains(tasks, "t") && strv_contains(tasks, "left-over"));
	assert_int_equal(cgroup_task_remove("t", &err), 0);
	assert_int_equal(access(want, F_OK), -1);
	assert_int_equal(cgroup_task_remove("t", &err), 0);
}

static void a_parent_that_was_removed_is_made_again(void **state)
{
	_cleanup_(freep) char *first = NULL, *second = NULL, *parent = in_dir(*state, "pids/ecs"),
			      *group = in_dir(*state, "pids/ecs/u");
	struct cgroup_limits none = {};

	make(*state, "memory");
	make(*state, "pids");
	make(*state, "cpu");
	assert_int_equal(cgroup_setup(*state, "/ecs", NULL), 0);
	assert_int_equal(cgroup_task_create("t", &none, &first, NULL), 0);
	assert_int_equal(cgroup_task_remove("t", NULL), 0);
	for (int i = 0; i < 3; i++) {
		_cleanup_(freep) char *dir = cgroup_controller_dir(
			(const char *[]){ "memory", "pids", "cpu" }[i], "/ecs");

		assert_int_equal(rmdir(dir), 0);
	}
	assert_int_equal(access(parent, F_OK), -1);
	assert_int_equal(cgroup_task_create("u", &none, &second, NULL), 0);
	assert_int_equal(access(group, F_OK), 0);
}

/* The kernel took what was written and does something else: a file that keeps nothing stands for it. */
static void forgets(const char *root, const char *name)
{
	_cleanup_(freep) char *file = in_dir(root, name);

	assert_int_equal(symlink("/dev/null", file), 0);
}

static void a_limit_that_does_not_hold_is_an_error(void **state)
{
	const struct cgroup_limits l = { .cpu_quota_usec = 50000,
					 .cpu_period_usec = 100000,
					 .memory_bytes = 64 << 20,
					 .pids = 50 };
	static const struct {
		const char *file, *complaint;
	} cases[] = {
		{ "memory/ecs/t/memory.limit_in_bytes",
		  "memory.limit_in_bytes of cgroup '/ecs/t' is , not 67108864" },
		{ "pids/ecs/t/pids.max", "pids.max of cgroup '/ecs/t' is , not 50" },
		{ "cpu/ecs/t/cpu.cfs_quota_us",
		  "cpu.cfs_quota_us of cgroup '/ecs/t' is , not 50000" },
	};
	static const char *const files[] = { "memory/ecs/t/memory.limit_in_bytes",
					     "pids/ecs/t/pids.max", "cpu/ecs/t/cpu.cfs_quota_us",
					     "cpu/ecs/t/cpu.cfs_period_us" };
	_cleanup_(freep) char *path = NULL;

	for (int i = 0; i < 3; i++) {
		_cleanup_(freep) char *dir =
			path_join("%s/ecs/t", (const char *[]){ "memory", "pids", "cpu" }[i]);

		make(*state, dir);
	}
	assert_int_equal(cgroup_setup(*state, "/ecs", NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		_cleanup_(freep) char *file = in_dir(*state, cases[i].file);

		for (size_t n = 0; n < ARRAY_SIZE(files); n++)
			put_file(*state, files[n], "");
		assert_int_equal(unlink(file), 0);
		forgets(*state, cases[i].file);
		assert_int_equal(cgroup_task_create("t", &l, &path, &err), -EIO);
		assert_string_equal(err_text(&err), cases[i].complaint);
		assert_null(path);
		assert_int_equal(unlink(file), 0);
	}
	for (size_t n = 0; n < ARRAY_SIZE(files); n++)
		put_file(*state, files[n], "");
	assert_int_equal(cgroup_task_create("t", &l, &path, NULL), 0);
	assert_int_equal(cgroup_read_back("/ecs/t", &l, NULL), 0);
	put_file(*state, "memory/ecs/t/memory.limit_in_bytes", "67112960\n"); /* a page more */
	assert_int_equal(cgroup_read_back("/ecs/t", &l, NULL), -EIO);
}

static void missing_controllers_are_named(void **state)
{
	_cleanup_(err_done) struct err err = {};

	make(*state, "memory");
	make(*state, "cpu");
	assert_int_equal(cgroup_setup(*state, "/ecs", &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "'pids' is not mounted"));
	assert_int_equal(cgroup_setup(*state, "ecs", &err), -EINVAL);
	assert_int_equal(cgroup_setup(*state, "/ecs/../x", &err), -EINVAL);
}

static void limits_out_of_bounds_are_named(void **state)
{
	static const struct {
		struct cgroup_limits l;
		const char *complaint;
	} cases[] = {
		{ { .cpu_quota_usec = 500, .cpu_period_usec = 100000 },
		  "cpu quota: 500 is below 1000 us" },
		{ { .cpu_quota_usec = 5000, .cpu_period_usec = 10 },
		  "cpu period: 10 is outside 1000..1000000 us" },
		{ { .cpu_shares = 1 }, "cpu shares: 1 is outside 2..262144" },
		{ { .memory_bytes = -1 }, "memory, pids: negative" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		char *path = NULL;

		assert_int_equal(cgroup_task_create("t", &cases[i].l, &path, &err), -EINVAL);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void a_task_id_is_one_component(void **state _unused_)
{
	static const char *const bad[] = { "", "a/b", "..", "." };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cgroup_task_remove(bad[i], NULL), -EINVAL);
}

static void counters_are_found_by_key(void **state)
{
	put_file(*state, "memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 9\n");
	assert_int_equal(cgroup_tree_counter(*state, "memory.events", "oom_kill"), 2);
	assert_int_equal(cgroup_tree_counter(*state, "memory.events", "oom_group_kill"), 9);
	assert_int_equal(cgroup_tree_counter(*state, "memory.events", "kill"), 0);
	assert_int_equal(cgroup_tree_counter(*state, "absent", "oom_kill"), 0);
}

static void the_unit_is_named_after_the_group(void **state _unused_)
{
	static const struct {
		const char *parent, *unit; /* NULL: in a unit already */
		size_t given;
	} cases[] = {
		{ "/ecs", "ecs-tasks.service", 0 },         { "/ecs/blue", "ecs-tasks.service", 0 },
		{ "/sliced", "sliced-tasks.service", 0 },   { "/web.slice/own.service", NULL, 22 },
		{ "/web.slice/own.service/ecs", NULL, 22 }, { "/own.scope/a.b/c", NULL, 10 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *unit = NULL;
		size_t given = 99;

		assert_int_equal(delegate_unit(cases[i].parent, &unit, &given, NULL), 0);
		assert_int_equal(given, cases[i].given);
		if (cases[i].unit)
			assert_string_equal(unit, cases[i].unit);
		else
			assert_null(unit);
	}
}

static void a_group_that_can_name_no_unit_is_refused(void **state _unused_)
{
	static const char *const bad[] = { "/-x", "/a b", "/a@b" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(err_done) struct err err = {};
		char *unit = NULL;
		size_t given;

		assert_int_equal(delegate_unit(bad[i], &unit, &given, &err), -EINVAL);
		assert_null(unit);
		assert_non_null(strstr(err.msg, "cannot be part of the name of a systemd unit"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(v1_has_a_directory_per_controller, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_parent_that_was_removed_is_made_again, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_limit_that_does_not_hold_is_an_error, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(missing_controllers_are_named, make_dir,
						remove_dir),
		cmocka_unit_test(limits_out_of_bounds_are_named),
		cmocka_unit_test(a_task_id_is_one_component),
		cmocka_unit_test(the_unit_is_named_after_the_group),
		cmocka_unit_test(a_group_that_can_name_no_unit_is_refused),
		cmocka_unit_test_setup_teardown(counters_are_found_by_key, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
