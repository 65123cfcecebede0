/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame - the envelope of ACS and TCS: {"type":…,"message":{…}}, or the error form of one member,
 * {"SomeException":"text"}.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { FRAME_TYPE_MAX = 128, FRAME_EXCERPT_MAX = 200 };

struct frame {
	char type[FRAME_TYPE_MAX]; /* of an error form: the exception's name */
	bool is_error;             /* one of the exceptions the protocols name */
	json_t *message;           /* owned; an object, {"message": text} of an error form */
};

void frame_done(struct frame *f);

/* Returns 0 or -EPROTO naming the trouble. */
int frame_decode(const char *data, size_t len, struct frame *ret, struct err *err);

/* {"type":@type,"message":@message} as owned text; takes the reference to @message. */
char *frame_encode(const char *type, json_t *message);

/*
 * The beginning of @data, control bytes as '.', for a log
 * line. @buf holds FRAME_EXCERPT_MAX + 1.
 */
const char *frame_excerpt(const char *data, size_t len, char *buf);
