/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - columns for people. Cells come from containers and images as well, so control bytes are
 * written as \xNN. The last cell of a line is not padded.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "common/macro.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	size_t n_columns;
	char **cells; /* owned; row by row, the headings first */
	size_t n_cells;
	bool failed; /* out of memory */
};

/* @headings ends with NULL. */
void table_init(struct table *t, const char *const *headings);
/* The next cell; NULL is "". */
void table_put(struct table *t, const char *text);
void table_putf(struct table *t, const char *fmt, ...) _printf_(2, 3);
void table_print(const struct table *t, FILE *f);
void table_done(struct table *t);

/* "1.5GiB", "12.3kB" … into @buf of 32; binary units, as docker stats writes memory. */
char *format_bytes(char *buf, unsigned long long n);
/* "3 minutes", "1 hour", "2 days" into @buf of 32. */
char *format_age(char *buf, long long ms);
