/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/gpu/gpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

enum { INFO_MAX = 64 * 1024, MINOR_MAX = 1048575 };

/* ---- inventory ---- */

static int check_ids(char *const *ids, struct err *err)
{
	size_t n = 0;

	for (; ids && ids[n]; n++)
		if (!*ids[n] || strlen(ids[n]) > 128 || strpbrk(ids[n], ", /\n"))
			return err_set(err, EPROTO, "GPUIDs[%zu]: '%.64s' is no id of a GPU", n,
				       ids[n]);
	return n <= GPU_MAX ? 0 : err_set(err, EPROTO, "GPUIDs: %zu are more than %d", n, GPU_MAX);
}

int gpu_inventory_read(const char *root, struct gpu_inventory *ret, struct err *err)
{
	static const struct json_field fields[] = {
		{ "DriverVersion", json_decode_string,
		  offsetof(struct gpu_inventory, driver_version), false },
		{ "GPUIDs", json_decode_strv, offsetof(struct gpu_inventory, ids), false },
		{}
	};
	_cleanup_(freep) char *path = path_join("%s/var/lib/ecs/gpu/nvidia-gpu-info.json", root);
	_cleanup_(json_decrefp) json_t *obj = NULL;
	_cleanup_(freep) char *text = NULL;
	struct gpu_inventory g = {};
	size_t len = 0;
	int k = path ? fs_read_file(AT_FDCWD, path, INFO_MAX, &text, &len, err)
		     : err_set(err, ENOMEM, "make path");

	if (k == 0)
		k = json_parse(text, len, &obj, err);
	if (k == 0)
		k = json_decode(obj, fields, &g, err);
	if (k == 0)
		k = check_ids(g.ids, err);
	if (k < 0) {
		gpu_inventory_done(&g);
		return k == -ENOENT ? k : err_wrap(err, "%s", path ? path : "");
	}
	*ret = g;
	return 0;
}

void gpu_inventory_done(struct gpu_inventory *g)
{
	free(g->driver_version);
	(void) strv_free(g->ids);
	*g = (struct gpu_inventory){};
}

/* ---- device nodes ---- */

/* "Device Minor: 	 3" of the file that has "GPU UUID: 	 GPU-…". -1: another GPU's. */
static int minor_of(const char *information, const char *id)
{
	const char *uuid = strstr(information, "GPU UUID:");
	const char *number = strstr(information, "Device Minor:");
	size_t n = strlen(id);

	if (!uuid || !number)
		return -1;
	uuid += strlen("GPU UUID:");
	uuid += strspn(uuid, " \t");
	if (strncmp(uuid, id, n) != 0 || (uuid[n] && !strchr(" \t\n", uuid[n])))
		return -1;
	number += strlen("Device Minor:");
	number += strspn(number, " \t");
	return isdigit((unsigned char) *number) ? (int) MIN(strtol(number, NULL, 10), MINOR_MAX)
						: -1;
}

static int find_minor(const char *root, const char *id)
{
	_cleanup_(freep) char *dir = path_join("%s/proc/driver/nvidia/gpus", root);
	_cleanup_(closedirp) DIR *d = dir ? opendir(dir) : NULL;
	const struct dirent *e;
	int found = -1;

	while (d && found < 0 && (e = readdir(d))) {
		_cleanup_(freep) char *path = path_join("%s/%s/information", dir, e->d_name);
		_cleanup_(freep) char *text = NULL;

		if (e->d_name[0] != '.' && path &&
		    fs_read_file(AT_FDCWD, path, INFO_MAX, &text, NULL, NULL) == 0)
			found = minor_of(text, id);
	}
	return found;
}

static int append_node(char ***nodes, const char *root, const char *name, int number)
{
	_cleanup_(freep) char *path = number < 0 ? path_join("%s/dev/%s", root, name)
						 : path_join("%s/dev/%s%d", root, name, number);

	if (!path)
		return -ENOMEM;
	return access(path, F_OK) == 0 ? strv_append(nodes, path) : 0;
}

int gpu_device_nodes(const char *root, char *const *ids, char ***ret, struct err *err)
{
	static const char *const common[] = { "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools",
					      "nvidia-modeset" };
	_cleanup_(strv_freep) char **nodes = NULL;
	int k = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common) && k == 0; i++)
		k = append_node(&nodes, root, common[i], -1);
	for (; k == 0 && ids && *ids; ids++) {
		int number = find_minor(root, *ids);

		if (number < 0)
			return err_set(err, ENODEV, "GPU '%s': the driver does not know it", *ids);
		k = append_node(&nodes, root, "nvidia", number);
	}
	if (k < 0)
		return err_set(err, ENOMEM, "list devices of GPUs");
	*ret = TAKE_PTR(nodes);
	return 0;
}

char *gpu_find_hook(const char *runtime)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/local/bin", "/usr/sbin",
					    "/usr/local/nvidia/toolkit" };

	if (runtime && *runtime == '/')
		return access(runtime, X_OK) == 0 ? strdup(runtime) : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char *path = path_join("%s/nvidia-container-runtime-hook", dirs[i]);

		if (path && access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}
