/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonlog - container output as lines of Docker's json-file format:
 *   {"log":"text\n","stream":"stdout","time":"2025-05-01T10:00:00.123456789Z"}
 * Format as Docker writes it: a line over 16 KiB becomes several entries of which only the last
 * ends in \n and which share one time; bytes that are no UTF-8 become \ufffd; < > & are escaped.
 * Unlike there, a long line is never cut inside a character. No allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum {
	JSONLOG_LINE_MAX = 16 * 1024,
	JSONLOG_ENTRY_MAX = 6 * JSONLOG_LINE_MAX + 160, /* every byte as \u00xx, and the frame */
	JSONLOG_TIME_MAX = sizeof("2025-05-01T10:00:00.123456789Z"),
};

/* RFC 3339 with nanoseconds, trailing zeros cut as Go does. Returns its length. */
size_t jsonlog_format_time(const struct timespec *ts, char buf[JSONLOG_TIME_MAX]);

/*
 * Writes one entry with its newline to @out (JSONLOG_ENTRY_MAX);
 * @len <= JSONLOG_LINE_MAX. Returns its length.
 */
size_t jsonlog_format(char *out, const char *text, size_t len, bool newline, const char *stream,
		      const struct timespec *ts);

/* Collects the bytes of one stream and cuts them into lines. */
struct jsonlog_stream {
	const char *name; /* "stdout" or "stderr" */
	char data[JSONLOG_LINE_MAX];
	size_t len;
	bool in_line;         /* a part of the present line is already out … */
	struct timespec time; /* … with this time */
};

typedef void (*jsonlog_sink)(void *userdata, const char *text, size_t len, bool newline,
			     const char *stream, const struct timespec *ts);

/* Where the next read() goes, and how much it may bring (> 0). */
char *jsonlog_space(struct jsonlog_stream *s, size_t *ret_len);

/*
 * Takes @n new bytes that stand at jsonlog_space() and
 * passes on each line; @eof: also what is left.
 */
void jsonlog_feed(struct jsonlog_stream *s, size_t n, bool eof, const struct timespec *now,
		  jsonlog_sink sink, void *userdata);
