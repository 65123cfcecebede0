/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - one question to the agent over its socket. Plain HTTP/1.0: an answer ends with the
 * connection.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "common/err.h"

enum {
	CLIENT_ANSWER_MAX = 64 * 1024 * 1024,
	CLIENT_E_REFUSED = 1, /* the agent said no: err has its sentence */
};

/* -ENOENT, -ECONNREFUSED: nobody listens at @path. */
int client_connect(const char *path, struct err *err);

/*
 * Asks and decodes the answer. Returns 0 with a new reference, CLIENT_E_REFUSED, or a negative
 * errno with @err set.
 */
int client_call(const char *socket, const char *method, const char *path, json_t **ret,
		struct err *err);

/* The same with a document to send; @body is borrowed, NULL: none. */
int client_send(const char *socket, const char *method, const char *path, const json_t *body,
		json_t **ret, struct err *err);

/* The same for an answer that is no JSON document: copies the body to @out as it comes. */
int client_stream(const char *socket, const char *path, FILE *out, struct err *err);

/* Splits an answer: its status and where the body starts. -EPROTO: no HTTP answer. */
int client_parse(const char *text, size_t len, int *ret_status, size_t *ret_body, struct err *err);

/* Appends @text as one path component. */
struct buf;
void client_put_component(struct buf *b, const char *text);
