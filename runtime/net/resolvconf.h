/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolvconf - what a resolv.conf(5) says. Lines it does not know are skipped, words with control
 * or non-ASCII bytes or over RESOLVCONF_WORD_MAX too, and what goes beyond RESOLVCONF_ENTRIES_MAX of
 * a kind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { RESOLVCONF_BYTES_MAX = 64 * 1024, RESOLVCONF_WORD_MAX = 253, RESOLVCONF_ENTRIES_MAX = 64 };

struct resolvconf {
	char **nameservers; /* owned; addresses only */
	char **search;      /* owned; the last of "search" and "domain" counts */
	char **options;     /* owned */
};

/*
 * @text need not be terminated. With @reachable_only, resolvers on loopback and those with IPv6
 * addresses are left out. -ENOMEM.
 */
int resolvconf_parse(const char *text, size_t len, bool reachable_only, struct resolvconf *ret,
		     struct err *err);

/* The same from a file; an absent one says nothing. -EFBIG over RESOLVCONF_BYTES_MAX. */
int resolvconf_read(const char *path, bool reachable_only, struct resolvconf *ret, struct err *err);

void resolvconf_done(struct resolvconf *r);
