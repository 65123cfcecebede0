/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - what containers may claim to be, towards each other. The hardware address of a container
 * holds its IP address (link_mac()), and its bridge port is locked to the one; so a frame is honest
 * when the two agree, in the packet's head and in what ARP says. That takes two constant sets,
 * one for each of the last two bytes, and nothing for each container. What is neither IPv4 nor ARP
 * does not pass: the bridge has no IPv6, so nobody's neighbour discovery is to be believed.
 */
#pragma once

#include "common/buf.h"
#include "runtime/net/nft.h"

enum { GUARD_GROUP = 0xec5 }; /* device group of the host's ends */

/* Table `bridge ecs`, made where missing, its rules replaced. */
void guard_text_table(struct buf *b, const struct nft_params *p);

/* Removes the table, which may be missing. */
void guard_text_remove(struct buf *b);
