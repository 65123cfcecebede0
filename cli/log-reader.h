/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log-reader - prints a container's json-file log, and goes on through its rotations. Files are a JSON object per
 * line; FILE.1 is the one before FILE.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

struct log_wish {
	bool timestamps;
	int64_t since_ms, until_ms; /* wall clock: lines from then on, and up to then; 0: all */
	const char *prefix;         /* of each line; NULL: none */
};

/* Writes what the container wrote to where it wrote it. -EBADMSG: not a line of such a log; -EIO:
 * nobody reads us any more. */
int log_print_line(const char *line, size_t len, const struct log_wish *w, FILE *out, FILE *errs);

struct log_reader {
	const char *path; /* borrowed; the file need not be there yet */
	struct log_wish wish;
	int fd;          /* owned; -EBADF: none yet */
	struct buf rest; /* an unfinished line */
};

/* What is there, oldest first; @tail < 0: all, else so many lines. A negative errno: nobody reads us. */
int log_reader_past(struct log_reader *r, long tail);

/* What came since. Returns 1 when there was something, 0 when not, or a negative errno. */
int log_reader_more(struct log_reader *r);

void log_reader_done(struct log_reader *r);
