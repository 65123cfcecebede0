/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape - the members a structure of the API has, by table: copies what is known and has the right
 * type, drops what is unknown (as the service does), and names the path of what is wrong:
 * "containerDefinitions[0].portMappings[1].hostPort must be an integer".
 */
#pragma once

#include <jansson.h>

#include "controlplane/ops.h"

enum shape_kind {
	SHAPE_STRING,
	SHAPE_INTEGER, /* of 32 bits */
	SHAPE_NUMBER,
	SHAPE_BOOLEAN,
	SHAPE_STRINGS, /* list of strings */
	SHAPE_INTEGERS,
	SHAPE_MAP,    /* object of strings */
	SHAPE_OBJECT, /* of members */
	SHAPE_LIST,   /* of objects of members */
};

struct shape {
	const char *key; /* NULL ends a table */
	enum shape_kind kind;
	const struct shape *members; /* of SHAPE_OBJECT and SHAPE_LIST */
};

enum { SHAPE_LIST_MAX = 1000 };

/* *ret: a new object of the members of @in that @shape knows; null members are left out. Returns 0,
 * or -1 with a SerializationException. */
int shape_copy(const struct shape *shape, const json_t *in, json_t **ret, struct api_error *e);

extern const struct shape shape_taskdef[];  /* RegisterTaskDefinitionRequest, without tags */
extern const struct shape shape_override[]; /* TaskOverride */
