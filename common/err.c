/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_printf_(1, 0) static char *format(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		return NULL; /* err_text() then falls back to the code */
	return s;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		char *msg;

		va_start(ap, fmt);
		msg = format(fmt, ap); /* before the old one goes: it may be an argument */
		va_end(ap);
		free(err->msg);
		err->msg = msg;
		err->code = code;
	}
	return -code;
}

_printf_(3, 0) static int prepend(struct err *err, const char *tail, const char *fmt, va_list ap)
{
	char *head = format(fmt, ap), *both = NULL;

	if (head && asprintf(&both, "%s: %s", head, tail) < 0)
		both = NULL;
	free(head);
	if (both) {
		free(err->msg);
		err->msg = both;
	}
	return -err->code;
}

int err_set_errno(struct err *err, int code, const char *fmt, ...)
{
	if (err) {
		char text[128];
		va_list ap;

		err->code = code;
		va_start(ap, fmt);
		(void) prepend(err, strerror_r(code, text, sizeof(text)), fmt, ap);
		va_end(ap);
	}
	return -code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	va_list ap;
	int k;

	if (!err)
		return -EIO;
	va_start(ap, fmt);
	k = prepend(err, err_text(err), fmt, ap);
	va_end(ap);
	return k;
}

const char *err_text(const struct err *err)
{
	if (!err || (!err->msg && err->code == 0))
		return "no error";
	return err->msg ? err->msg : strerrordesc_np(err->code);
}

int err_move(struct err *to, struct err *from)
{
	int code = from->code;

	if (to) {
		err_done(to);
		*to = *from;
		*from = (struct err){};
	}
	return -code;
}

void err_done(struct err *err)
{
	free(err->msg);
	*err = (struct err){};
}
