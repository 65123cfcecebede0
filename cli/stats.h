/* SPDX-License-Identifier: Apache-2.0 */
/* stats - numbers of containers: rows once and again, or a screen of them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct invocation;

enum stats_order { STATS_AS_IT_COMES, STATS_BY_CPU, STATS_BY_MEMORY, STATS_BY_NAME };

struct stats_words {
	bool stream;
	enum stats_order order;
	long interval_ms;
	char **tasks; /* ids, beginnings of ids, ARNs; ends with NULL, empty: all */
};

/* GET /v1/stats; when @patient a few times, until all have two samples. Returns as client_call(). */
int stats_fetch(const struct invocation *i, bool patient, json_t **ret, struct err *err);
void stats_sort(json_t *answer, enum stats_order order);
void stats_narrow(json_t *answer, char *const *tasks);

/*
 * The screen, until q or INT. Takes the terminal of standard output, and gives it back as it was. Goes on while the
 * agent is away. Returns an exit code.
 */
int top_run(const struct invocation *i, struct stats_words *w);
