/* SPDX-License-Identifier: Apache-2.0 */
/* unit - cmocka with what it needs before it, and a fresh directory for each test that wants one. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"

static inline int make_dir(void **state)
{
	char *dir = strdup("/tmp/ecs-unit-XXXXXX");

	*state = dir && mkdtemp(dir) ? dir : NULL;
	return *state ? 0 : -1;
}

static inline int remove_dir(void **state)
{
	int k = fs_remove_tree(AT_FDCWD, *state, NULL);

	free(*state);
	return k;
}

static inline char *in_dir(const char *dir, const char *name)
{
	return path_join("%s/%s", dir, name);
}

static inline void put_file(const char *dir, const char *name, const char *text)
{
	_cleanup_(freep) char *path = in_dir(dir, name);

	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
}

static inline char *get_file(const char *dir, const char *name)
{
	_cleanup_(freep) char *path = in_dir(dir, name);
	char *text = NULL;

	return fs_read_file(AT_FDCWD, path, 1 << 24, &text, NULL, NULL) < 0 ? NULL : text;
}
