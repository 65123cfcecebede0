/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfile - the log of one container on disk, with rotation.
 * Entries go into a buffer and reach the file at logfile_flush(), or sooner when it is full. A full
 * disk never stops the writer: entries are dropped and counted, and the first one that fits again
 * comes after an entry that says how many are missing. The file at the path always exists and holds
 * whole entries only. No allocation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "runtime/shim/jsonlog.h"

struct logfile {
	const char *path;  /* borrowed; NULL: nothing is kept */
	int64_t max_bytes; /* 0: never rotated */
	int max_files;     /* the present one counts */
	int fd;
	int64_t size;
	uint64_t dropped_entries, dropped_bytes;
	int dropped_code; /* errno of the first drop */
	unsigned int pending_entries;
	size_t pending;
	char out[JSONLOG_ENTRY_MAX];
};

/*
 * Opens for appending, creates with mode 0640, cuts off an
 * entry that a crash left half written. 0 or -errno.
 */
int logfile_open(struct logfile *f);

/* A jsonlog_sink with a struct logfile as its userdata. */
void logfile_put(void *userdata, const char *text, size_t len, bool newline, const char *stream,
		 const struct timespec *ts);

void logfile_flush(struct logfile *f);
