/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - what ecs-image tells while it works: JSON lines for a program, lines that are written over
 * for a terminal, results alone otherwise. Errors go to standard error (or into the JSON).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/image/progress.h"
#include "runtime/image/pull.h"

struct report {
	bool json, quiet, terminal;
	int64_t shown_ms; /* of the last progress */
	int64_t began_ms; /* of the first progress */
	int64_t fetched;  /* bytes, at the last one */
	struct progress_rate rate;
	size_t lines_open; /* of progress that stand on the terminal */
};

/* Finds out whether a terminal reads. */
void report_init(struct report *r);

void report_resolved(struct report *r, const char *digest);
/* Whether it is time for report_progress(). */
bool report_wants_progress(const struct report *r, bool force);
void report_progress(struct report *r, const struct progress *p);
/* A try failed and another follows. */
void report_retry(struct report *r, const char *text);
void report_warning(struct report *r, const char *text);
void report_pulled(struct report *r, const struct image *image, bool from_cache,
		   const char *why_cached);
void report_failed(struct report *r, enum image_pull_failure kind, const char *message);
