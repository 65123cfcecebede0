/* SPDX-License-Identifier: Apache-2.0 */
/* Readers and formulas against recorded control groups of both versions. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/macro.h"
#include "metrics/telemetry.h"

static char dir[] = "/tmp/test-sampler.XXXXXX";

static const char *data(const char *sub)
{
	static char path[4096];

	(void) snprintf(path, sizeof(path), "%s/tests/unit/metrics/data/%s",
			getenv("abs_top_srcdir") ? getenv("abs_top_srcdir") : ".", sub);
	return path;
}

/* In place: the sampler keeps its descriptors, as with a kernel file. */
static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void) snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct sampler *sampler(size_t window, int cpus)
{
	static char proc[4096];
	struct sampler_params p = { .host_cpus = cpus, .window = window, .proc_root = proc };
	struct sampler *s;

	(void) snprintf(proc, sizeof(proc), "%s", data("proc"));
	s = sampler_new(&p);
	assert_non_null(s);
	return s;
}

static void check_recorded(const char *sub, bool v2, uint64_t memory_used)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 2);
	char tree[4096];
	struct sampled_params p = { .id = "c1",
				    .memory_dir = tree,
				    .cpuacct_dir = tree,
				    .blkio_dir = tree,
				    .pids_dir = tree,
				    .cgroup_v2 = v2,
				    .pid = 4242 };
	const struct sample *last;

	(void) snprintf(tree, sizeof(tree), "%s", data(sub));
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	sampler_tick(s, NSEC_PER_SEC);
	last = sampled_last(sampler_find(s, "c1"));
	assert_non_null(last);
	assert_int_equal(last->cpu_total_ns, 4000000000);
	assert_int_equal(last->cpu_user_ns, 3100000000);
	assert_int_equal(last->cpu_system_ns, 900000000);
	assert_int_equal(last->memory_used_bytes, memory_used);
	assert_int_equal(last->memory_mib, memory_used / 1048576);
	assert_true(last->has_storage);
	assert_int_equal(last->storage_read_bytes, 1049576);
	assert_int_equal(last->storage_write_bytes, 4120);
	assert_int_equal(last->pids, 7);
	assert_true(last->has_network);
	assert_int_equal(last->rx_bytes, 5000); /* neither of lo nor of ecs-eth0 */
	assert_int_equal(last->rx_packets, 50);
	assert_int_equal(last->rx_errors, 1);
	assert_int_equal(last->rx_dropped, 2);
	assert_int_equal(last->tx_bytes, 7000);
	assert_int_equal(last->tx_packets, 70);
	assert_int_equal(last->tx_errors, 3);
	assert_int_equal(last->tx_dropped, 4);
	assert_true(isnan(last->cpu_percent));
}

static void version_1_subtracts_the_cache(void **state _unused_)
{
	check_recorded("v1", false, 104857600 - 52428801);
}

static void version_2_subtracts_the_inactive_file_pages(void **state _unused_)
{
	check_recorded("v2", true, 104857600 - 41943040);
}

static const struct sampled *live(struct sampler *s)
{
	struct sampled_params p = { .id = "live", .memory_dir = dir, .cgroup_v2 = true };

	put("cpu.stat", "usage_usec 0\n");
	put("memory.current", "1048576\n");
	put("memory.stat", "inactive_file 2097152\n");
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	return sampler_find(s, "live");
}

static void cache_beyond_the_usage_is_left_alone(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 2);
	const struct sampled *c = live(s);

	sampler_tick(s, 1);
	assert_int_equal(sampled_last(c)->memory_used_bytes, 1048576);
	assert_false(sampled_last(c)->has_network);
	assert_false(sampled_last(c)->has_storage);
}

static void a_hundred_percent_is_every_core_busy(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 4);
	const struct sampled *c = live(s);

	sampler_tick(s, 0);
	put("cpu.stat", "usage_usec 4000000\n");
	sampler_tick(s, NSEC_PER_SEC);
	assert_float_equal(sampled_last(c)->cpu_percent, 100.0, 0.001);
	put("cpu.stat", "usage_usec 5000000\n");
	sampler_tick(s, 3 * NSEC_PER_SEC);
	assert_float_equal(sampled_last(c)->cpu_percent, 12.5, 0.001);
	/* the clock stood still: the same again; the counter fell: nothing was used */
	sampler_tick(s, 3 * NSEC_PER_SEC);
	assert_float_equal(sampled_last(c)->cpu_percent, 12.5, 0.001);
	put("cpu.stat", "usage_usec 1\n");
	sampler_tick(s, 4 * NSEC_PER_SEC);
	assert_float_equal(sampled_last(c)->cpu_percent, 0.0, 0.001);
}

static void the_window_drops_the_oldest(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(3, 2);
	const struct sampled *c = live(s);

	for (int i = 1; i <= 5; i++)
		sampler_tick(s, i);
	assert_int_equal(sampled_count(c), 3);
	assert_int_equal(sampled_at(c, 0)->mono_ns, 3);
	assert_int_equal(sampled_last(c)->mono_ns, 5);
	assert_int_equal(sampler_window(1000), 80);
	assert_int_equal(sampler_window(5000), 16);
	assert_int_equal(sampler_window(20000), 4);
	assert_int_equal(sampler_window(10), 80);
}

static void what_cannot_be_read_is_counted(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(3, 2);
	struct sampled_params p = { .id = "x", .memory_dir = "/nonexistent", .cgroup_v2 = true };
	_cleanup_(err_done) struct err err = {};
	const struct sampled *c = live(s);

	assert_int_equal(sampler_add(s, &p, &err), -ENOENT);
	assert_string_equal(err.msg,
			    "open CPU statistics in /nonexistent: No such file or directory");
	put("cpu.stat", "");
	sampler_tick(s, 1);
	put("cpu.stat", "nonsense\n");
	sampler_tick(s, 2);
	assert_int_equal(sampler_failures(s), 2);
	assert_int_equal(sampled_count(c), 0);
	assert_null(sampled_last(c));
	sampler_remove(s, "live");
	sampler_remove(s, "live");
	assert_int_equal(sampler_count(s), 0);
}

static double member(const json_t *set, const char *a, const char *b)
{
	const json_t *v = json_object_get(json_object_get(set, a), b);

	assert_non_null(v);
	return json_number_value(v);
}

static void sets_need_two_samples_and_skip_what_was_sent(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 1);
	const struct sampled *c = live(s);
	json_t *set;

	sampler_tick(s, 0);
	assert_null(telemetry_container(c, "web"));
	put("cpu.stat", "usage_usec 100000\n");
	put("memory.current", "3145728\n");
	sampler_tick(s, NSEC_PER_SEC);
	put("cpu.stat", "usage_usec 400000\n");
	sampler_tick(s, 2 * NSEC_PER_SEC);

	set = telemetry_container(c, "web");
	assert_non_null(set);
	assert_string_equal(json_string_value(json_object_get(set, "containerName")), "web");
	assert_float_equal(member(set, "cpuStatsSet", "min"), 10, 0.001);
	assert_float_equal(member(set, "cpuStatsSet", "max"), 30, 0.001);
	assert_float_equal(member(set, "cpuStatsSet", "sum"), 40, 0.001);
	assert_float_equal(member(set, "cpuStatsSet", "sampleCount"), 2,
			   0); /* the first is no number */
	assert_float_equal(member(set, "memoryStatsSet", "min"), 1, 0);
	assert_float_equal(member(set, "memoryStatsSet", "max"), 1, 0);
	assert_float_equal(member(set, "memoryStatsSet", "sampleCount"), 3, 0);
	assert_null(json_object_get(set, "networkStatsSet"));
	assert_null(json_object_get(set, "storageStatsSet"));
	json_decref(set);

	sampler_mark_sent(s);
	assert_null(telemetry_container(c, "web"));
	sampler_tick(s, 3 * NSEC_PER_SEC);
	set = telemetry_container(c, "web"); /* one new sample will do, two are in the window */
	assert_non_null(set);
	assert_float_equal(member(set, "cpuStatsSet", "sampleCount"), 1, 0);
	json_decref(set);
}

static int restart_count(const struct sampled *c)
{
	_cleanup_(json_decrefp) json_t *entry = telemetry_container(c, "web");
	const json_t *set = json_object_get(entry, "restartStatsSet");

	assert_non_null(entry);
	return set ? (int) json_integer_value(json_object_get(set, "restartCount")) : -1;
}

static void runs_add_up(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 1);
	struct sampled_params p = { .id = "again",
				    .memory_dir = dir,
				    .blkio_dir = dir,
				    .cgroup_v2 = true,
				    .counts_restarts = true };

	put("memory.current", "1048576\n");
	put("cpu.stat", "usage_usec 200000\nuser_usec 150000\nsystem_usec 50000\n");
	put("io.stat", "8:0 rbytes=1000 wbytes=10\n");
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	sampler_tick(s, 0);
	put("cpu.stat", "usage_usec 300000\nuser_usec 200000\nsystem_usec 100000\n");
	sampler_tick(s, NSEC_PER_SEC);
	assert_int_equal(restart_count(sampler_find(s, "again")), 0);
	sampler_mark_sent(s);

	sampler_hold(s, "again");
	sampler_tick(s, 2 * NSEC_PER_SEC); /* nobody runs: no sample, and no failure */
	assert_int_equal(sampled_count(sampler_find(s, "again")), 2);
	assert_int_equal(sampler_failures(s), 0);
	assert_int_equal(sampler_count(s), 1);

	put("cpu.stat", "usage_usec 50000\nuser_usec 40000\nsystem_usec 10000\n");
	put("io.stat", "8:0 rbytes=7 wbytes=1\n");
	p.restarts = 1;
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	assert_int_equal(sampler_add(s, &p, NULL), 0); /* of the same run: nothing is added twice */
	assert_int_equal(sampler_count(s), 1);
	sampler_tick(s, 3 * NSEC_PER_SEC);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->cpu_total_ns, 350000000);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->cpu_user_ns, 240000000);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->cpu_system_ns, 110000000);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->storage_read_bytes, 1007);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->storage_write_bytes, 11);
	assert_float_equal(sampled_last(sampler_find(s, "again"))->cpu_percent, 2.5, 0.001);
	assert_int_equal(sampled_past(sampler_find(s, "again"))->cpu_total_ns, 300000000);
	assert_int_equal(restart_count(sampler_find(s, "again")), 1);
	sampler_mark_sent(s);

	p.restarts = 3; /* and one in between that no sample saw */
	put("cpu.stat", "usage_usec 1\n");
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	sampler_tick(s, 4 * NSEC_PER_SEC);
	assert_int_equal(sampled_last(sampler_find(s, "again"))->cpu_total_ns, 350001000);
	assert_int_equal(restart_count(sampler_find(s, "again")), 2);
	sampler_mark_sent(s);
	sampler_tick(s, 5 * NSEC_PER_SEC);
	assert_int_equal(restart_count(sampler_find(s, "again")), 0);
}

static void an_agent_that_came_later_goes_on(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 1);
	struct sampled_params p = { .id = "later",
				    .memory_dir = dir,
				    .cgroup_v2 = true,
				    .counts_restarts = true,
				    .restarts = 4,
				    .past = { .cpu_total_ns = 1000, .cpu_user_ns = 600 } };

	put("memory.current", "1048576\n");
	put("cpu.stat", "usage_usec 2\nuser_usec 1\n");
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	sampler_tick(s, 0);
	sampler_tick(s, NSEC_PER_SEC);
	assert_int_equal(sampled_last(sampler_find(s, "later"))->cpu_total_ns, 3000);
	assert_int_equal(sampled_last(sampler_find(s, "later"))->cpu_user_ns, 1600);
	assert_int_equal(restart_count(sampler_find(s, "later")), 0);
}

static void without_a_policy_nothing_is_carried_on(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 1);

	(void) live(s);
	put("cpu.stat", "usage_usec 100\n");
	sampler_tick(s, 0);
	sampler_tick(s, NSEC_PER_SEC);
	assert_int_equal(restart_count(sampler_find(s, "live")), -1);
	(void) live(s);
	assert_int_equal(sampled_count(sampler_find(s, "live")), 0);
	sampler_tick(s, 2 * NSEC_PER_SEC);
	assert_int_equal(sampled_last(sampler_find(s, "live"))->cpu_total_ns, 0);
}

static void counters_beyond_63_bits_go_into_the_overflow_members(void **state _unused_)
{
	_cleanup_(sampler_freep) struct sampler *s = sampler(80, 1);
	struct sampled_params p = {
		.id = "io", .memory_dir = dir, .blkio_dir = dir, .cgroup_v2 = true
	};
	json_t *set, *read, *network;

	(void) live(s);
	put("io.stat", "8:0 rbytes=9223372036854775810 wbytes=5\n");
	p.pid = 4242;
	assert_int_equal(sampler_add(s, &p, NULL), 0);
	sampler_tick(s, 0);
	sampler_tick(s, NSEC_PER_SEC);
	set = telemetry_container(sampler_find(s, "io"), "web");
	assert_non_null(set);
	read = json_object_get(json_object_get(set, "storageStatsSet"), "readSizeBytes");
	assert_true(json_integer_value(json_object_get(read, "max")) == INT64_MAX);
	assert_int_equal(json_integer_value(json_object_get(read, "overflowMax")), 3);
	assert_int_equal(json_integer_value(json_object_get(read, "sampleCount")), 2);
	read = json_object_get(json_object_get(set, "storageStatsSet"), "writeSizeBytes");
	assert_int_equal(json_integer_value(json_object_get(read, "sum")), 10);
	assert_int_equal(json_integer_value(json_object_get(read, "overflowSum")), 0);
	network = json_object_get(set, "networkStatsSet");
	assert_int_equal(json_object_size(network), 10);
	assert_float_equal(member(network, "rxBytesPerSecond", "sampleCount"), 1, 0);
	assert_float_equal(member(network, "rxBytes", "max"), 5000, 0);
	json_decref(set);
}

static int set_up(void **state _unused_)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(AT_FDCWD, dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_subtracts_the_cache),
		cmocka_unit_test(version_2_subtracts_the_inactive_file_pages),
		cmocka_unit_test(cache_beyond_the_usage_is_left_alone),
		cmocka_unit_test(a_hundred_percent_is_every_core_busy),
		cmocka_unit_test(the_window_drops_the_oldest),
		cmocka_unit_test(what_cannot_be_read_is_counted),
		cmocka_unit_test(sets_need_two_samples_and_skip_what_was_sent),
		cmocka_unit_test(runs_add_up),
		cmocka_unit_test(an_agent_that_came_later_goes_on),
		cmocka_unit_test(without_a_policy_nothing_is_carried_on),
		cmocka_unit_test(counters_beyond_63_bits_go_into_the_overflow_members),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
