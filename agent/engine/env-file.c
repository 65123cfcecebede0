/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/env-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int set_line(const char *line, size_t n, char ***env, env_file_set_fn set)
{
	const char *equals = memchr(line, '=', n);
	_cleanup_(freep) char *key = NULL, *value = NULL;
	int k;

	if (!env || line[0] == '#' || !equals || equals == line)
		return 0;
	key = strndup(line, (size_t) (equals - line));
	value = strndup(equals + 1, n - (size_t) (equals + 1 - line));
	if (!key || !value)
		return -ENOMEM;
	k = set(env, key, value);
	explicit_bzero(value, strlen(value));
	return k;
}

int env_file_read(const char *text, char ***env, env_file_set_fn set, struct err *err)
{
	int number = 1;

	for (const char *p = text; *p; number++) {
		size_t whole = strcspn(p, "\n"), n = whole;

		if (whole > ENV_FILE_LINE_MAX)
			return err_set(err, EINVAL, "line %d is longer than %d bytes", number,
				       ENV_FILE_LINE_MAX);
		if (n > 0 && p[n - 1] == '\r')
			n--;
		if (n > 0 && set_line(p, n, env, set) < 0)
			return err_set(err, ENOMEM, "read an environment file");
		p += whole + (p[whole] == '\n');
	}
	return 0;
}
