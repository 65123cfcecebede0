/* SPDX-License-Identifier: Apache-2.0 */
/*
 * challenge - parses WWW-Authenticate (RFC 9110, 11.6.1) for what registries use: Basic and Bearer.
 */
#pragma once

#include "common/cleanup.h"
#include "common/err.h"

enum challenge_scheme {
	CHALLENGE_NONE, /* no scheme that we know */
	CHALLENGE_BASIC,
	CHALLENGE_BEARER,
};

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* owned; NULL when absent */
};

enum { CHALLENGE_TEXT_MAX = 8192 };

void challenge_done(struct challenge *c);

/*
 * Finds the best challenge in the value of one header: Bearer before Basic. Returns 0 (scheme
 * CHALLENGE_NONE when there is none of use) or -EPROTO.
 */
int challenge_parse(const char *text, struct challenge *ret, struct err *err);
