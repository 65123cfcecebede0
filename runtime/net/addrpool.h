/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addrpool - which addresses of a subnet are taken: one bit each. The network address, the first
 * one (the gateway) and the broadcast address are never given out. The search goes on after the
 * address taken last, so that a released one rests: peers may still hold connections to its last
 * owner.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum { ADDRPOOL_PREFIX_MIN = 16, ADDRPOOL_PREFIX_MAX = 28 };

struct addrpool {
	uint32_t network; /* host byte order */
	uint32_t size;    /* addresses, all told */
	uint32_t next;    /* where the next search starts */
	uint64_t *bits;   /* owned; 1: taken */
};

/* @subnet in network byte order. -EINVAL: the prefix is out of bounds or @subnet has host bits. */
int addrpool_init(struct addrpool *p, struct in_addr subnet, uint8_t prefix_len, struct err *err);
void addrpool_done(struct addrpool *p);

/* -ENOSPC: all are taken. */
int addrpool_take(struct addrpool *p, struct in_addr *ret, struct err *err);

/* -EADDRNOTAVAIL: not one that we give out. -EADDRINUSE: taken already. */
int addrpool_restore(struct addrpool *p, struct in_addr addr, struct err *err);

/* False: not one of ours, or not taken; nothing was done. */
bool addrpool_release(struct addrpool *p, struct in_addr addr);
