/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - what ecs-image tells while it works: JSON lines for a program, a progress line for a
 * terminal, results alone otherwise. Errors go to standard error (or into the JSON).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/image/pull.h"

struct report {
	bool json, quiet, terminal;
	int64_t shown_ms; /* of the last progress */
	bool line_open;   /* a progress line stands on the terminal */
};

void report_resolved(struct report *r, const char *digest);
void report_progress(struct report *r, int64_t bytes, int64_t total, bool force);
/* A try failed and another follows. */
void report_retry(struct report *r, const char *text);
void report_warning(struct report *r, const char *text);
void report_pulled(struct report *r, const struct image *image, bool from_cache,
		   const char *why_cached);
void report_failed(struct report *r, enum image_pull_failure kind, const char *message);
