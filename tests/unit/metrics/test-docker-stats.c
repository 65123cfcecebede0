/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's statistics from recorded control groups of both versions. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "metrics/docker-stats.h"

static json_t *read_recorded(const char *version, bool rates)
{
	const char *top = getenv("abs_top_srcdir") ? getenv("abs_top_srcdir") : ".";
	char dir[4096], proc[4096];
	struct docker_stats_params p = { .name = "ecs-x-1-c-0",
					 .id = "c1",
					 .memory_dir = dir,
					 .cpu_dir = dir,
					 .cpuacct_dir = dir,
					 .blkio_dir = dir,
					 .pids_dir = dir,
					 .cgroup_v2 = strcmp(version, "v2") == 0,
					 .pid = 4242,
					 .rates = rates,
					 .proc_root = proc };

	(void) snprintf(dir, sizeof(dir), "%s/tests/unit/metrics/data/%s", top, version);
	(void) snprintf(proc, sizeof(proc), "%s/tests/unit/metrics/data/proc", top);
	return docker_stats_read(&p);
}

static json_int_t number(const json_t *o, const char *a, const char *b)
{
	return json_integer_value(json_object_get(json_object_get(o, a), b));
}

static json_int_t io(const json_t *o, const char *list, int major, const char *op)
{
	const json_t *one, *all = json_object_get(json_object_get(o, "blkio_stats"), list);
	size_t i;

	json_array_foreach((json_t *) all, i, one)
		if (json_get_int(one, "major", -1) == major &&
		    strcmp(json_get_string(one, "op", ""), op) == 0)
			return json_get_int(one, "value", -1);
	return -1;
}

static void check(const json_t *o)
{
	assert_non_null(o);
	assert_string_equal(json_get_string(o, "name", ""), "/ecs-x-1-c-0");
	assert_string_equal(json_get_string(o, "preread", ""), "0001-01-01T00:00:00Z");
	assert_true(number(o, "memory_stats", "usage") > 0);
	assert_true(json_object_size(json_object_get(json_object_get(o, "memory_stats"), "stats")) >
		    3);
	assert_true(number(o, "pids_stats", "current") > 0);
	assert_true(number(json_object_get(o, "cpu_stats"), "cpu_usage", "total_usage") > 0);
	assert_int_equal(io(o, "io_service_bytes_recursive", 8, "read"), 1048576);
	assert_int_equal(io(o, "io_service_bytes_recursive", 8, "write"), 4096);
	assert_non_null(json_object_get(json_object_get(o, "networks"), "eth0"));
	assert_null(json_object_get(json_object_get(o, "networks"), "lo"));
	assert_null(json_object_get(o, "network_rate_stats")); /* there is no sample */
}

static void version_2_of_control_groups(void **state _unused_)
{
	json_auto_t *o = read_recorded("v2", true);

	check(o);
	assert_int_equal(io(o, "io_serviced_recursive", 8, "read"), 20);
	assert_true(json_is_null(
		json_object_get(json_object_get(o, "blkio_stats"), "sectors_recursive")));
	assert_null(json_object_get(json_object_get(o, "memory_stats"), "failcnt"));
}

static void version_1_of_control_groups(void **state _unused_)
{
	json_auto_t *o = read_recorded("v1", false);

	check(o);
	assert_int_equal(json_array_size(json_object_get(json_object_get(o, "blkio_stats"),
							 "sectors_recursive")),
			 0);
}

static void a_group_that_is_gone_has_none(void **state _unused_)
{
	assert_null(read_recorded("no-such-version", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_2_of_control_groups),
		cmocka_unit_test(version_1_of_control_groups),
		cmocka_unit_test(a_group_that_is_gone_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
