/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema - checks a JSON object against a table, member by member, without decoding it. Unknown
 * members are skipped and null counts as absent. An error names the path and the bound:
 * "containers[1].exitCode: must be an integer".
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum schema_kind {
	SCHEMA_STRING,
	SCHEMA_ENUM,
	SCHEMA_BOOL,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_OBJECT,
	SCHEMA_LIST, /* of objects when fields is set, else of strings */
	SCHEMA_ANY,
};

struct schema {
	const char *key; /* NULL ends a table */
	enum schema_kind kind;
	bool required;
	const struct schema *fields; /* of SCHEMA_OBJECT, and of the elements of SCHEMA_LIST */
	const char *const *choices;  /* of SCHEMA_ENUM, NULL-terminated */
	/* SCHEMA_STRING: bytes; SCHEMA_INTEGER, SCHEMA_NUMBER: value; SCHEMA_LIST: elements. No bound
	 * when both are 0. */
	int64_t min, max;
};

/* Returns 0, or -EPROTO with @err naming the member at fault. */
int schema_check(const json_t *object, const struct schema *fields, struct err *err);
