/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust - certificates of one registry, laid out as Docker has it: DIR/<host[:port]>/ with authorities
 * in *.crt, which are trusted beside the system's, and a client's NAME.cert with its NAME.key.
 */
#pragma once

#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"

#define TRUST_DIR_DEFAULT "/etc/docker/certs.d"

struct trust {
	char *authorities; /* owned: PEM; NULL: only the system's */
	size_t authorities_len;
	char *client_cert, *client_key; /* owned paths; both or neither */
};

void trust_done(struct trust *t);

/* @host: "name[:port]" as in the address. A missing directory is an empty answer. */
int trust_load(const char *dir, const char *host, struct trust *ret, struct err *err);
