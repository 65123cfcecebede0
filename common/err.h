/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - what went wrong, told from the outside in.
 * The function that fails calls err_set(); each caller on the way up may add the one fact only it
 * knows with err_wrap(): "pull 'nginx': connect registry: timed out". A struct err starts as {}
 * and belongs to whoever declared it; err_done() empties it. All functions take a NULL err.
 */
#pragma once

#include <stdbool.h>

#include "common/macro.h"

struct err {
	int code;  /* positive errno, 0 when nothing went wrong */
	char *msg; /* owned; outermost step first */
};

/* Sets code and message, replacing what was there. Returns -code. */
int err_set(struct err *err, int code, const char *fmt, ...) _printf_(3, 4);

/* The same with ": <strerror(code)>" appended. */
int err_set_errno(struct err *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Prepends "<formatted>: ". Returns -err->code. */
int err_wrap(struct err *err, const char *fmt, ...) _printf_(2, 3);

/* The message, never NULL; for log lines. */
const char *err_text(const struct err *err);

/* Hands the content of @from over to @to, which is emptied first. Returns -to->code. */
int err_move(struct err *to, struct err *from);

void err_done(struct err *err);
