/* SPDX-License-Identifier: Apache-2.0 */
/* rules - a table that says what becomes of each member of an object; see localtask.h. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* What is being made. Which of them are set depends on the table. */
struct making {
	json_t *task, *container, *config, *host; /* borrowed */
	json_t *notes;                            /* borrowed: array of texts */
	const json_t *from;                       /* borrowed: the whole object that is read */
};

enum rule_type {
	RULE_ANY,
	RULE_STRING,
	RULE_INT,
	RULE_BOOL,
	RULE_STRINGS,
	RULE_STRING_MAP,
	RULE_OBJECT,
	RULE_OBJECTS
};

enum rule_place { RULE_DROP, RULE_TASK, RULE_CONTAINER, RULE_CONFIG, RULE_HOST };

/*
 * A member is of @type. An object, or each of a list of them, follows @inner. Then @make builds from it what it
 * has to, or, without one, it is copied to @place as @to (NULL: as it is called). Or else it is refused, or noted.
 */
struct rule {
	const char *key;
	enum rule_type type;
	enum rule_place place;
	const char *to;
	int (*make)(const json_t *v, const struct making *m, struct err *err);
	const struct rule *inner;
	const char *refused; /* why */
	const char *note;    /* why it does nothing here */
	bool required;
	int64_t min, max; /* of a number, unless both are 0 */
};

/* Reads @obj by @rules, which an all-zero row ends. Errors name the path of the member. */
int rules_apply(const struct rule *rules, const json_t *obj, const struct making *m,
		struct err *err);

/* @to[@key] = @v, a reference that is taken over also on failure. */
int rules_put(json_t *to, const char *key, json_t *v, struct err *err);

extern const struct rule localtask_container_rules[];
