/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tcs_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/json.h"

static const char token_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

const char *tcs_frame_header(const struct tcs_frame *f, const char *name)
{
	for (size_t i = 0; i < f->n_headers; i++)
		if (strcasecmp(f->headers[i].name, name) == 0)
			return f->headers[i].value;
	return NULL;
}

/* Cuts "Name: value", in place. */
static int parse_header(struct tcs_frame *f, char *line, struct err *err)
{
	size_t n = strspn(line, token_chars);
	char *value = line + n;

	if (n == 0 || *value != ':')
		return err_set(err, EPROTO, "header %zu: must be 'Name: value'", f->n_headers + 1);
	*value++ = '\0';
	value += strspn(value, " \t");
	if (tcs_frame_header(f, line))
		return err_set(err, EPROTO, "header '%.64s' is there twice", line);
	if (f->n_headers == TCS_MAX_HEADERS)
		return err_set(err, EPROTO, "more than %d headers", TCS_MAX_HEADERS);
	f->headers[f->n_headers++] = (struct sigv4_header){ line, value };
	return 0;
}

static int parse_head(struct tcs_frame *f, struct err *err)
{
	char *line = f->head;

	while (*line) {
		char *end = strstr(line, "\r\n");
		int k;

		if (!end)
			return err_set(err, EPROTO, "header block: a line does not end in CRLF");
		*end = '\0';
		if (strpbrk(line, "\r\n"))
			return err_set(err, EPROTO, "header block: stray CR or LF");
		k = parse_header(f, line, err);
		if (k < 0)
			return k;
		line = end + 2;
	}
	return 0;
}

/* Finds the empty line; @f->head becomes a copy of what is before it. */
static int split(struct tcs_frame *f, const char *text, size_t len, struct err *err)
{
	const char *end;

	f->json = text;
	f->json_len = len;
	if (len > 0 && text[0] == '{')
		return 0;
	end = memmem(text, MIN(len, (size_t) TCS_MAX_HEADER_BYTES), "\r\n\r\n", 4);
	if (!end)
		return err_set(err, EPROTO, "header block: no empty line within %d bytes",
			       TCS_MAX_HEADER_BYTES);
	f->json = end + 4;
	f->json_len = len - (size_t) (f->json - text);
	if (memchr(text, '\0', (size_t) (end - text)))
		return err_set(err, EPROTO, "header block: a NUL byte");
	f->head = strndup(text, (size_t) (end - text) + 2);
	if (!f->head)
		return err_set(err, ENOMEM, "copy the header block");
	return parse_head(f, err);
}

static int parse_envelope(struct tcs_frame *f, struct err *err)
{
	json_auto_t *root = NULL;
	const char *type;
	int k = json_parse(f->json, f->json_len, &root, err);

	if (k < 0)
		return k;
	type = json_get_string(root, "type", NULL);
	if (!type)
		return err_set(err, EPROTO, "type: missing");
	f->message = json_incref(json_object_get(root, "message"));
	if (!json_is_object(f->message))
		return err_set(err, EPROTO, "message: missing");
	f->type = strdup(type);
	return f->type ? 0 : err_set(err, ENOMEM, "copy the type");
}

int tcs_frame_parse(const char *text, size_t len, struct tcs_frame *ret, struct err *err)
{
	struct tcs_frame f = {};
	int k = split(&f, text, len, err);

	if (k == 0)
		k = parse_envelope(&f, err);
	if (k < 0) {
		tcs_frame_done(&f);
		return k;
	}
	*ret = f;
	return 0;
}

void tcs_frame_done(struct tcs_frame *f)
{
	free(f->head);
	free(f->type);
	json_decref(f->message);
	*f = (struct tcs_frame){};
}
