/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts - the pieces of config.json that spec.c puts
 * together. Each returns 0 with a new reference.
 */
#pragma once

#include <stdbool.h>

#include "runtime/spec/spec.h"

int spec_mounts(const struct container_spec *s, json_t **ret, struct err *err);

/* "rshared" or "rslave" when a mount wants that of the root; NULL: the runtime's default. */
const char *spec_root_propagation(const struct container_spec *s);

/* Nodes to make, and rules of the device cgroup. */
int spec_devices(const struct container_spec *s, json_t **ret_nodes, json_t **ret_rules,
		 struct err *err);

/* Adds rules of the form "c 10:* rw". */
int spec_device_rules(char *const *rules, json_t *to, struct err *err);

/* cpu and blockIO members of resources, when something of them is asked for. */
int spec_cpu(const struct container_spec *s, json_t *resources, struct err *err);
int spec_block_io(const struct container_spec *s, json_t *resources, struct err *err);

int spec_resources(const struct container_spec *s, json_t *rules, json_t **ret, struct err *err);
int spec_sysctls(const struct container_spec *s, json_t **ret, struct err *err);
int spec_process(const struct container_spec *s, uint64_t caps, json_t **ret, struct err *err);

/* Whether @path is absolute and free of "." and ".." components. */
bool spec_path_is_clean(const char *path);

/* Whether @path is @dir or below it; both clean. */
bool spec_path_is_below(const char *path, const char *dir);
