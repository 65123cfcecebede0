/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one line per event, as logfmt or JSON, to stderr or stdout, a rotated file, or the journal.
 * Control bytes are escaped in every form. Messages are sentences with the object quoted; what the
 * line is about rides along as fields. One thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/rotate.h"

enum log_level {
	LOG_CRIT_,
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	_LOG_LEVEL_MAX,
	LOG_NONE = -1
};

enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_params {
	enum log_level
		stream_level; /* of standard output, or of the journal when it is our stderr */
	enum log_level file_level;
	enum log_format format;
	const char *file; /* NULL: none. Its directory is created. */
	enum log_rollover rollover;
	int64_t max_file_bytes;
	int max_files; /* kept beside the current one */
	int stream_fd; /* usually 1 or 2 */
};

/* A field of a line: key=value. */
struct log_field {
	const char *key;     /* NULL: of the journal alone */
	const char *value;   /* NULL: the field is left out */
	const char *journal; /* its name there; NULL: the key, upper-cased */
};

/* (Re)opens the outputs. Before this, INFO and up go to stderr as logfmt. */
int log_open(const struct log_params *p, struct err *err);
void log_close(void);

bool log_enabled(enum log_level level);

/* @fields ends with an all-zero entry and may be NULL. */
void log_emit(enum log_level level, const struct log_field *fields, const char *fmt, ...)
	_printf_(3, 4);

#define log_error(...) log_emit(LOG_ERROR, NULL, __VA_ARGS__)
#define log_warn(...) log_emit(LOG_WARN, NULL, __VA_ARGS__)
#define log_info(...) log_emit(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_emit(LOG_DEBUG, NULL, __VA_ARGS__);                                    \
	} while (0)

/* "crit", "error", "warn", "info", "debug", "none". Returns 0 or -EINVAL naming the choices. */
int log_level_parse(const char *text, enum log_level *ret, struct err *err);
const char *log_level_name(enum log_level level);
