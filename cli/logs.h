/* SPDX-License-Identifier: Apache-2.0 */
/* logs - lines of json-file logs. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* Writes what the container wrote to where it wrote it. -EBADMSG: not a line of such a log; -EIO:
 * nobody reads us any more. */
int log_print_line(const char *line, size_t len, bool timestamps, FILE *out, FILE *errs);
