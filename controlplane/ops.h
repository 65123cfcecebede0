/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - the operations of the ECS API, by table. Each file of operations exports its rows; ops.c
 * lists the tables. An operation reads @in (always an object), and sets *out to a new object. It
 * runs inside a store transaction that is rolled back when it fails.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "common/err.h"
#include "common/macro.h"

struct controlplane;

struct api_error {
	const char *type; /* static: "ClientException"; NULL: no error */
	int http_status;  /* 400, or 500 for ServerException */
	char *message;    /* owned */
};

/* Sets the error (replacing what was there), status 400. Always returns -1. */
int api_fail(struct api_error *e, const char *type, const char *fmt, ...) _printf_(3, 4);

/* ServerException, status 500, with the text logged and hidden from the client. Returns -1. */
int api_fail_server(struct api_error *e, struct err *err);

void api_error_done(struct api_error *e);

struct operation {
	const char *name; /* NULL ends a table */
	/* Returns 0 with *out set, or -1 with @e set. */
	int (*run)(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e);
};

extern const struct operation cluster_operations[];  /* cluster.c */
extern const struct operation taskdef_operations[];  /* taskdef.c */
extern const struct operation task_operations[];     /* task.c */
extern const struct operation run_operations[];      /* run.c */
extern const struct operation instance_operations[]; /* instance.c */
extern const struct operation tag_operations[];      /* tag.c */
extern const struct operation service_operations[];  /* service.c */
extern const struct operation protection_operations[]; /* protection.c */

/* Adds the wire half's table (what agents call) to those above; kept by reference. */
void ops_add(const struct operation *table);

/*
 * Runs operation @name on @in in a transaction. Operations of the real service that are not here
 * fail with UnsupportedFeatureException, unknown names with UnknownOperationException.
 */
int ops_run(struct controlplane *cp, const char *name, const json_t *in, json_t **out,
	    struct api_error *e);

/* The same from the text of a request body ("" is {}): SerializationException when not an object.
 */
int ops_run_text(struct controlplane *cp, const char *name, const char *body, size_t len,
		 json_t **out, struct api_error *e);
