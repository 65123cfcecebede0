/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcs_frame - a frame of the telemetry socket, as agents send it: an HTTP header block (names in
 * canonical capitalisation, sorted, "Name: value" and CRLF each), an empty line, and the JSON
 * envelope that the block signs. An agent without credentials sends the block without
 * Authorization, or the bare envelope.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"
#include "controlplane/sigv4.h"

enum { TCS_MAX_HEADERS = 16, TCS_MAX_HEADER_BYTES = 16384 };

struct tcs_frame {
	char *head; /* owned: the header block, cut into the strings below */
	struct sigv4_header headers[TCS_MAX_HEADERS];
	size_t n_headers;
	const char *json; /* borrowed from the text: exactly the signed bytes */
	size_t json_len;
	char *type;      /* owned */
	json_t *message; /* owned */
};

/* Returns 0, or -EPROTO saying what is wrong. The text must outlive the frame. */
int tcs_frame_parse(const char *text, size_t len, struct tcs_frame *ret, struct err *err);
void tcs_frame_done(struct tcs_frame *f);

/* The header's value; NULL when absent. Names are compared without regard to case. */
const char *tcs_frame_header(const struct tcs_frame *f, const char *name);
