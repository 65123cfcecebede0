/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - field tables that decode a JSON object into a C struct.
 * One row per key: how to decode it, where it goes, whether it must be there. Unknown keys are
 * skipped (control planes add some), null counts as absent, keys match exactly first and without
 * regard to case second (the reference agent decodes that way). An error names the whole path:
 * "containers[1]: portMappings[0]: hostPort: 70000 is outside 0..65535".
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct json_field;

typedef int (*json_decode_fn)(const json_t *value, void *dst, const struct json_field *f,
			      struct err *err);

/* How the elements of an array are decoded; see json_decode_array. */
struct json_array {
	size_t size;                     /* of one element */
	const struct json_field *fields; /* elements are objects decoded with this table … */
	json_decode_fn decode;           /* … or, when fields is NULL, values decoded by this */
	void (*done)(void *element);     /* frees what an element owns; may be NULL */
	size_t max;                      /* most elements accepted; 0: JSON_ARRAY_MAX */
};

struct json_field {
	const char *key;
	json_decode_fn decode;
	size_t offset;
	bool required;
	const void *arg; /* nested table, struct json_array or name table: what the decoder wants */
	int64_t min, max; /* bounds of json_decode_int and _i64 when not both 0 */
};

enum {
	JSON_STRING_MAX = 256 * 1024, /* longest string accepted by json_decode_string */
	JSON_ARRAY_MAX = 10000,
};

/*
 * Decodes @obj by @fields (ended by an all-zero row) into @dst, keeping the defaults already there.
 * Returns 0 or a negative errno with @err set; then @dst may be partly written, but every owned
 * member is valid for the caller's _done(). EPROTO: the input is at fault. ENOMEM: we are.
 */
int json_decode(const json_t *obj, const struct json_field *fields, void *dst, struct err *err);

/* char *, owned. A string with an embedded NUL or over JSON_STRING_MAX is refused. */
int json_decode_string(const json_t *value, void *dst, const struct json_field *f, struct err *err);
int json_decode_bool(const json_t *value, void *dst, const struct json_field *f,
		     struct err *err); /* bool */
int json_decode_int(const json_t *value, void *dst, const struct json_field *f,
		    struct err *err); /* int */
int json_decode_i64(const json_t *value, void *dst, const struct json_field *f,
		    struct err *err); /* int64_t */
int json_decode_u16(const json_t *value, void *dst, const struct json_field *f,
		    struct err *err); /* uint16_t */
int json_decode_double(const json_t *value, void *dst, const struct json_field *f,
		       struct err *err); /* double */

/* char **, owned, NULL-terminated: an array of strings. [] gives an empty, non-NULL vector. */
int json_decode_strv(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* json_t *, a new reference to the value as it is. */
int json_decode_raw(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* A nested struct at the offset, decoded with the table in arg. */
int json_decode_object(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/*
 * An array: arg is a struct json_array; at the offset stands `T *items` and directly after it
 * `size_t n_items`. Earlier items are freed first. The caller owns both.
 */
int json_decode_array(const json_t *value, void *dst, const struct json_field *f, struct err *err);

struct json_pair {
	char *key;   /* owned */
	char *value; /* owned */
};

/* An object of strings: `struct json_pair *pairs; size_t n_pairs`, in the order of the text. */
int json_decode_pairs(const json_t *value, void *dst, const struct json_field *f, struct err *err);
void json_pairs_free(struct json_pair *pairs, size_t n);

/*
 * Parses @len bytes into an object or array; duplicate keys are refused. "JSON: <what> at byte N".
 * Returns 0 with a new reference, or -EPROTO.
 */
int json_parse(const char *data, size_t len, json_t **ret, struct err *err);

/*
 * For readers of fixed shapes: the member as string/int, or
 * @fallback when absent or of another type.
 */
const char *json_get_string(const json_t *obj, const char *key, const char *fallback);
int64_t json_get_int(const json_t *obj, const char *key, int64_t fallback);

/* Compact text, owned by the caller; NULL when out of memory. */
char *json_to_text(const json_t *value);
