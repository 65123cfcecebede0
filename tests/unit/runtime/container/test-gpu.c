/* SPDX-License-Identifier: Apache-2.0 */
/* The inventory that the instance's start wrote, and device nodes from what the driver says of itself. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/strv.h"
#include "runtime/gpu/gpu.h"
#include "tests/unit/runtime/container/unit.h"

#define INFO "var/lib/ecs/gpu/nvidia-gpu-info.json"

static void make(const char *root, const char *dir)
{
	_cleanup_(freep) char *path = in_dir(root, dir);

	assert_int_equal(fs_mkdir_p(path, 0755, NULL), 0);
}

static void the_inventory_is_what_the_file_says(void **state)
{
	struct gpu_inventory g = {};

	make(*state, "var/lib/ecs/gpu");
	put_file(*state, INFO,
		 "{\"DriverVersion\":\"550.54\",\"GPUIDs\":[\"GPU-1a\",\"GPU-2b\"],\"New\":1}");
	assert_int_equal(gpu_inventory_read(*state, &g, NULL), 0);
	assert_string_equal(g.driver_version, "550.54");
	assert_int_equal(strv_length(g.ids), 2);
	assert_string_equal(g.ids[0], "GPU-1a");
	assert_string_equal(g.ids[1], "GPU-2b");
	gpu_inventory_done(&g);
	assert_null(g.ids);
	put_file(*state, INFO, "{}");
	assert_int_equal(gpu_inventory_read(*state, &g, NULL), 0);
	assert_null(g.driver_version);
	assert_null(g.ids);
	gpu_inventory_done(&g);
}

static void no_inventory_is_not_a_bad_one(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct gpu_inventory g = {};

	assert_int_equal(gpu_inventory_read(*state, &g, &err), -ENOENT);
}

static void bad_inventories_are_named(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{\"GPUIDs\":[\"GPU-1\",\"\"]}", "GPUIDs[1]: '' is no id of a GPU" },
		{ "{\"GPUIDs\":[\"a,b\"]}", "GPUIDs[0]: 'a,b' is no id of a GPU" },
		{ "{\"GPUIDs\":[\"../x\"]}", "GPUIDs[0]: '../x' is no id of a GPU" },
		{ "{\"GPUIDs\":\"GPU-1\"}", "GPUIDs" },
		{ "{\"DriverVersion\":7}", "DriverVersion" },
		{ "{\"GPUIDs\":[", INFO },
		{ "", INFO },
	};

	make(*state, "var/lib/ecs/gpu");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct gpu_inventory g = {};

		put_file(*state, INFO, cases[i].text);
		assert_true(gpu_inventory_read(*state, &g, &err) < 0);
		if (!strstr(err_text(&err), cases[i].complaint) || !strstr(err_text(&err), INFO))
			fail_msg("'%s': %s", cases[i].text, err_text(&err));
		assert_null(g.ids);
	}
}

static void more_than_a_host_can_have_are_refused(void **state)
{
	_cleanup_(err_done) struct err err = {};
	struct gpu_inventory g = {};
	char text[4096];
	size_t n = 0;

	n += (size_t) snprintf(text, sizeof(text), "{\"GPUIDs\":[\"GPU-0\"");
	for (int i = 1; i <= GPU_MAX; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n, ",\"GPU-%d\"", i);
	(void) snprintf(text + n, sizeof(text) - n, "]}");
	make(*state, "var/lib/ecs/gpu");
	put_file(*state, INFO, text);
	assert_int_equal(gpu_inventory_read(*state, &g, &err), -EPROTO);
	assert_non_null(strstr(err_text(&err), "65 are more than 64"));
}

/* As the driver shows it: tabs, spaces, and one file for each GPU. */
static void make_driver(const char *root)
{
	static const char *const ids[] = { "GPU-1a", "GPU-1ab" };

	make(root, "dev");
	for (int i = 0; i < 2; i++) {
		_cleanup_(freep) char *dir = path_join("proc/driver/nvidia/gpus/0000:0%d:00.0", i),
				      *file = path_join("%s/information", dir), *text = NULL;

		make(root, dir);
		assert_true(asprintf(&text, "Model: \t T\nGPU UUID: \t %s\nDevice Minor: \t %d\n",
				     ids[i], 3 + i) > 0);
		put_file(root, file, text);
	}
	put_file(root, "dev/nvidiactl", "");
	put_file(root, "dev/nvidia3", "");
	put_file(root, "dev/nvidia4", "");
}

static bool ends_with(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

static void nodes_are_of_the_gpus_asked_for(void **state)
{
	char *one[] = { (char *) "GPU-1ab", NULL }, *both[] = { (char *) "GPU-1ab",
								 (char *) "GPU-1a", NULL };
	_cleanup_(strv_freep) char **a = NULL, **b = NULL;

	make_driver(*state);
	assert_int_equal(gpu_device_nodes(*state, one, &a, NULL), 0);
	assert_int_equal(strv_length(a), 2);
	assert_true(ends_with(a[0], "/dev/nvidiactl") && ends_with(a[1], "/dev/nvidia4"));
	assert_int_equal(gpu_device_nodes(*state, both, &b, NULL), 0);
	assert_int_equal(strv_length(b), 3);
	assert_true(ends_with(b[1], "/dev/nvidia4") && ends_with(b[2], "/dev/nvidia3"));
}

static void an_unknown_gpu_is_named(void **state)
{
	char *ids[] = { (char *) "GPU-1a", (char *) "GPU-1", NULL };
	_cleanup_(err_done) struct err err = {};
	char **nodes = NULL;

	make_driver(*state);
	assert_int_equal(gpu_device_nodes(*state, ids, &nodes, &err), -ENODEV);
	assert_string_equal(err_text(&err), "GPU 'GPU-1': the driver does not know it");
}

static void a_hook_by_its_path_has_to_be_a_program(void **state)
{
	_cleanup_(freep) char *path = in_dir(*state, "hook"), *found = NULL;

	assert_null(gpu_find_hook(path));
	put_file(*state, "hook", "#!/bin/sh\n");
	assert_null(gpu_find_hook(path));
	assert_int_equal(chmod(path, 0755), 0);
	found = gpu_find_hook(path);
	assert_string_equal(found, path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_inventory_is_what_the_file_says),
		TEST(no_inventory_is_not_a_bad_one),
		TEST(bad_inventories_are_named),
		TEST(more_than_a_host_can_have_are_refused),
		TEST(nodes_are_of_the_gpus_asked_for),
		TEST(an_unknown_gpu_is_named),
		TEST(a_hook_by_its_path_has_to_be_a_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
