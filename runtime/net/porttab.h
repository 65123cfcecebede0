/* SPDX-License-Identifier: Apache-2.0 */
/*
 * porttab - host ports that we hold: the sockets that keep others off, and where each one leads.
 * A port is held by a bound socket on the wildcard address of IPv4 and IPv6 together, so listeners
 * on any address of either family are noticed, and nobody can bind it afterwards. The socket never
 * listens: while a port is not published, TCP connections to it are refused, datagrams are dropped.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/net/portpool.h"

struct held_port {
	uint16_t port;
	uint8_t proto;  /* IPPROTO_TCP or IPPROTO_UDP */
	bool published; /* the rest is valid */
	int fd;         /* owned; negative: somebody else has it bound (after a restart) */
	uint16_t container_port;
	struct in_addr addr;
};

struct porttab {
	struct held_port *v; /* owned, in no order */
	size_t n, cap;
	uint32_t *index;               /* owned: where each protocol's ports stand in v, plus 1 */
	struct portpool free[2];       /* tcp, udp: of the dynamic range, reserved ones left out */
	uint8_t reserved[2][8 * 1024]; /* one bit for each port */
};

/* -EINVAL: @first is 0 or over @last. */
int porttab_init(struct porttab *t, uint16_t first, uint16_t last, struct err *err);
void porttab_done(struct porttab *t);

/* Dynamic choice never gives out @port. */
void porttab_reserve(struct porttab *t, uint8_t proto, uint16_t port);

/* NULL: not held. Stays the table's until the next change. */
struct held_port *porttab_find(struct porttab *t, uint8_t proto, uint16_t port);

enum {
	PORTTAB_E_IN_USE = 1,
	PORTTAB_E_RESTING = 2 /* what is free was released a moment ago: ask again in a while */
};

/* Holds @port. 0, PORTTAB_E_IN_USE with @err naming it, or a negative errno. */
int porttab_hold(struct porttab *t, uint8_t proto, uint16_t port, struct err *err);

/*
 * Holds the port of the dynamic range that was released longest ago, and is free: each rests for as
 * long as the range allows, and for PORTPOOL_REST_MS in any case. O(1). @now_ms: of the monotonic
 * clock, as everywhere here. PORTTAB_E_IN_USE: none is free; PORTTAB_E_RESTING: all that are rest.
 */
int porttab_hold_any(struct porttab *t, uint8_t proto, int64_t now_ms, uint16_t *ret,
		     struct err *err);

/*
 * Holds @n neighbours of the dynamic range, after those of the last such call where there is room.
 * All or none. PORTTAB_E_IN_USE: no @n neighbours are free; PORTTAB_E_RESTING: some of them rest.
 */
int porttab_hold_block(struct porttab *t, uint8_t proto, uint16_t n, int64_t now_ms,
		       uint16_t *ret_first, struct err *err);

/* Enters @port, whoever has it bound; held_port.fd tells whether we could bind it. */
int porttab_adopt(struct porttab *t, uint8_t proto, uint16_t port, struct err *err);

/* Lets go of @port, which nobody was promised; one that is not held is fine. */
void porttab_drop(struct porttab *t, uint8_t proto, uint16_t port);
/* The same when somebody had it: it rests before dynamic choice gives it out again. */
void porttab_release(struct porttab *t, uint8_t proto, uint16_t port, int64_t now_ms);
/* @port was released by an earlier run of the program, a moment ago. One that is held is fine. */
void porttab_rest(struct porttab *t, uint8_t proto, uint16_t port, int64_t now_ms);

const char *porttab_proto_name(uint8_t proto);
