/* SPDX-License-Identifier: Apache-2.0 */
/* tap - the results of a test program, told one by one. The program's last act is to return tap_end(). */
#pragma once

#include <stdbool.h>
#include <stdio.h>

static int n_tests, n_failed;

static inline bool ok(bool good, const char *name)
{
	n_tests++;
	n_failed += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", n_tests, name);
	(void) fflush(stdout);
	return good;
}

static inline void skipped(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++n_tests, name, why);
}

/* The plan; the exit status. */
static inline int tap_end(void)
{
	printf("1..%d\n", n_tests);
	return n_failed > 0;
}
