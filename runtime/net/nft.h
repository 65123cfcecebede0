/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nft - the table `inet ecs`: what it says, and handing it to the kernel.
 * The text is made from numbers and a checked device name only, so nothing that a task brings can
 * reach the parser. One call of nft_run() is one transaction.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/net/net6.h"

struct nft_params {
	const char *bridge;    /* passed link_name_check() */
	struct in_addr subnet; /* network byte order */
	uint8_t prefix_len;
	struct net6 six;
	bool loopback6;  /* published ports are reached at ::1, too */
	bool allow_imds; /* containers may reach 169.254.169.254 and fd00:ec2::254 */
	uint16_t near_port; /* TCP, of the bridge, closed to who is elsewhere; 0: none */
	uint16_t service_port; /* where 169.254.170.2:80 leads; 0: nowhere. See redirect.h */
};

/*
 * Table, maps and chains: made where missing, the chains' rules replaced. The elements of the maps
 * stay, so it may be sent again while connections run.
 */
void nft_text_table(struct buf *b, const struct nft_params *p);

struct nft_element {
	struct in_addr addr; /* where it leads */
	uint16_t host_port, container_port;
	uint8_t proto;         /* IPPROTO_TCP or IPPROTO_UDP */
	struct in6_addr addr6; /* the same for IPv6; "::": nowhere */
};

/* Removes the table, which may be missing. */
void nft_text_remove(struct buf *b);

struct nft;

int nft_new(struct nft **ret, struct err *err);
struct nft *nft_free(struct nft *n);
DEFINE_CLEANUP(struct nft *, nft_free)

/* Runs the text as one transaction; "" does nothing. -ENOMEM when @text failed, otherwise -EIO. */
int nft_run(struct nft *n, const struct buf *text, struct err *err);

/* The same in network namespace @ns; @self_ns is that of the calling thread. */
int nft_run_in(struct nft *n, int self_ns, int ns, const struct buf *text, struct err *err);
