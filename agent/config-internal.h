/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config-internal - what the files of the configuration share: the row of a key, the type of a
 * value, the lines of a file.
 */
#pragma once

#include "agent/config.h"
#include "common/buf.h"

struct config_key;

/* Where a row's value stands. */
#define FIELD_OF(type, c, k) ((type *) ((char *) (c) + (k)->offset))
#define CONST_FIELD_OF(type, c, k) ((__typeof__(type) const *) ((const char *) (c) + (k)->offset))

enum { CONFIG_E_ADJUSTED = 1 }; /* stored, but not as written: err says how */

struct config_type {
	const char *name;
	/*
	 * Stores @text in @c. Returns 0, CONFIG_E_ADJUSTED, or a negative errno and leaves @c
	 * alone;
	 * @err then names text and bounds. -ENOTSUP fails the start whatever the row says.
	 */
	int (*parse)(struct config *c, const struct config_key *k, const char *text,
		     struct err *err);
	/* Appends the text form; false when unset. */
	bool (*format)(const struct config *c, const struct config_key *k, struct buf *b);
	void (*done)(struct config *c, const struct config_key *k); /* NULL: owns nothing */
};

extern const struct config_type config_string, config_host, config_path, config_bool,
	config_duration, config_period, config_int, config_mib, config_port, config_double,
	config_ports, config_rates, config_drivers, config_names, config_map, config_range,
	config_pull_behavior, config_log_level, config_log_rollover, config_log_format,
	config_subnet, config_subnet6, config_family, config_ifname, config_group,
	config_routes;

enum config_outside {
	OUTSIDE_DEFAULT, /* say so and go on as if it were unset */
	OUTSIDE_CLAMP,   /* say so and take the nearest bound */
	OUTSIDE_FATAL,   /* refuse to start */
};

struct config_key {
	const char *key;
	const struct config_type *type; /* NULL: accepted without effect */
	size_t offset;                  /* in struct config */
	const char *fallback;           /* NULL: unset */
	int64_t min, max;               /* in the unit of the field; both 0: none */
	enum config_outside outside;
	bool secret;
	bool any_case; /* the lower-case spelling counts too */
	const char *help;
};

/* A decimal number, nothing around it. */
int config_parse_whole(const char *text, int64_t *ret);

extern const struct config_key config_keys[]; /* ends with an all-zero row */
const struct config_key *config_find_key(const char *name);

struct config_line {
	char *key, *value; /* owned */
	int number;        /* 1.. */
};

struct config_file {
	const char *path; /* borrowed */
	struct config_line *lines;
	size_t n_lines;
};

/* What a line of a file deserves to be told; @text ends the sentence "FILE:LINE: ". */
typedef void (*config_line_note_fn)(void *userdata, const char *path, int line, const char *text);

enum { CONFIG_FILE_MAX = 1024 * 1024 };

/* Splits @text. Lines that are no assignments are skipped; those that look like one are noted. */
int config_file_parse(const char *path, const char *text, struct config_file *ret,
		      config_line_note_fn note, void *userdata, struct err *err);
void config_file_done(struct config_file *f);
/* The last line that sets @key to something; NULL: none. */
const struct config_line *config_file_get(const struct config_file *f, const char *key);
