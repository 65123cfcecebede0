/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env-file - the lines of an environment file, as ECS reads them: a line that begins with '#', holds
 * no '=' or has nothing before it is passed over; the rest is split at the first '='. Nothing is
 * trimmed, unquoted or expanded. A line ends with a newline; a carriage return before it goes, too.
 */
#pragma once

#include "common/err.h"

enum { ENV_FILE_LINE_MAX = 64 * 1024 };

/* Sets KEY in the vector of KEY=value *@env. -ENOMEM. */
typedef int (*env_file_set_fn)(char ***env, const char *key, const char *value);

/* -EINVAL: a line is longer than ENV_FILE_LINE_MAX; *@env may then be partly written. @env NULL: only
 * to see whether it can be read. */
int env_file_read(const char *text, char ***env, env_file_set_fn set, struct err *err);
