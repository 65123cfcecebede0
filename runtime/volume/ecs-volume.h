/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-volume - what the files of the program share. Each returns an exit code; errors are said. */
#pragma once

#include <stdbool.h>

#include "common/err.h"

/* attach.c: something of mount(8) or of the kernel on DIR/_data. */
int volume_attach(const char *dir, char *const *mount_args, struct err *err);
int volume_detach(const char *dir, bool lazily, struct err *err);

/* populate.c: the content of PATH in ROOT becomes that of the empty DIR/_data. */
int volume_populate(const char *root, const char *path, const char *dir, bool durably,
		    struct err *err);

/* ecs-volume.c: runs a program that ends with us. 0, or -EIO: it failed, and said why itself. */
int run_program(char *const *argv, struct err *err);
