/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolvconf - what a resolv.conf(5) says. Lines it does not know are skipped, words with control
 * or non-ASCII bytes or over RESOLVCONF_WORD_MAX too, and what goes beyond RESOLVCONF_ENTRIES_MAX of
 * a kind.
 */
#pragma once

#include <stddef.h>

#include "common/err.h"

enum { RESOLVCONF_BYTES_MAX = 64 * 1024, RESOLVCONF_WORD_MAX = 253, RESOLVCONF_ENTRIES_MAX = 64 };

struct resolvconf {
	char **nameservers; /* owned; addresses only */
	char **search;      /* owned; the last of "search" and "domain" counts */
	char **options;     /* owned */
};

/* Which resolvers are taken; those on loopback and link-local ones are reached by the host alone. */
enum resolvconf_reach { RESOLVCONF_ALL, RESOLVCONF_IPV4, RESOLVCONF_BOTH };

/* @text need not be terminated. -ENOMEM. */
int resolvconf_parse(const char *text, size_t len, enum resolvconf_reach reach,
		     struct resolvconf *ret, struct err *err);

/* The same from a file; an absent one says nothing. -EFBIG over RESOLVCONF_BYTES_MAX. */
int resolvconf_read(const char *path, enum resolvconf_reach reach, struct resolvconf *ret,
		    struct err *err);

void resolvconf_done(struct resolvconf *r);
