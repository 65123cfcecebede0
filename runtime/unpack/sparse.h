/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sparse - which parts of a sparse file an archive holds. Three ways of writing that down are known:
 * old GNU (blocks behind the header), pax 0.0 and 0.1 (records), pax 1.0 (text before the content).
 * https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { SPARSE_EXTENTS_MAX = 1 << 18 };

struct tar_extent {
	int64_t offset, len;
};

struct sparse {
	bool present;         /* the entry is a sparse file */
	int64_t major, minor; /* of the pax format */
	bool has_size;
	int64_t size;    /* of the file with its holes */
	bool has_offset; /* pax 0.0: an offset waits for its length */
	int64_t offset;
	struct tar_extent *extents; /* owned; ascending, apart from each other */
	size_t n_extents, allocated;
};

void sparse_done(struct sparse *s);

/* Returns 0, -EPROTO when it stands before the end of the one before or there are too many. */
int sparse_add(struct sparse *s, int64_t offset, int64_t len, struct err *err);

/* A pax record "GNU.sparse.@key"; "name" is the caller's. */
int sparse_take_record(struct sparse *s, const char *key, const char *value, struct err *err);

/* Text of the pax 1.0 map, in pieces. Starts as {}. */
struct sparse_text {
	int64_t number, wanted; /* numbers to come; of the first, the count, is not known */
	int64_t offset;
	bool digits, counted, done;
	bool odd; /* an offset waits for its length */
};

int sparse_take_text(struct sparse *s, struct sparse_text *t, const char *text, size_t len,
		     struct err *err);

/* When the map is whole: whether it fits the file's size and the @packed bytes of the archive. */
int sparse_check(const struct sparse *s, int64_t packed, struct err *err);

/* ---- of the tar reader ---- */

/* Octal text, or base 256 when it did not fit. Returns 0 or -EINVAL, -ERANGE. */
int tar_parse_number(const char *field, size_t len, int64_t *ret);
int tar_parse_decimal(const char *text, int64_t *ret);
