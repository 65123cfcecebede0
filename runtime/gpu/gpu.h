/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu - the NVIDIA GPUs of this host: who they are, their device nodes, and the hook that makes the
 * driver's libraries appear in a container.
 * @root is "" but for tests: what stands before /dev, /proc and /var/lib.
 */
#pragma once

#include "common/err.h"

enum { GPU_MAX = 64 };

struct gpu_inventory {
	char *driver_version; /* owned; NULL: not known */
	char **ids;           /* owned strv of UUIDs; NULL: none */
};

/*
 * Reads /var/lib/ecs/gpu/nvidia-gpu-info.json. Returns 0, -ENOENT when there is none, or -EPROTO
 * naming what is wrong with it.
 */
int gpu_inventory_read(const char *root, struct gpu_inventory *ret, struct err *err);
void gpu_inventory_done(struct gpu_inventory *g);

/*
 * The device nodes that a container with the GPUs @ids needs: theirs and those of the driver, as far
 * as they are there. *ret is an owned strv. -ENODEV naming a GPU that the driver does not know.
 */
int gpu_device_nodes(const char *root, char *const *ids, char ***ret, struct err *err);

/*
 * The program that the runtime calls before the container's process starts: @runtime when it is an
 * absolute path, else nvidia-container-runtime-hook where programs are. Owned; NULL: not installed.
 */
char *gpu_find_hook(const char *runtime);
