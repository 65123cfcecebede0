/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - what containers may claim to be, towards each other. The hardware address of a container
 * holds its IP address (link_mac()), and its bridge port is locked to the one; so a frame is honest
 * when the two agree, in the packet's head and in what ARP says. That takes two constant sets,
 * one for each of the last two bytes, and nothing for each container. Of IPv6 nothing passes but what
 * goes to the host's own hardware address: neighbours are reached through it (link6.h), and neither
 * discovery nor multicast has to pass. What is none of these does not pass either.
 */
#pragma once

#include <net/ethernet.h>
#include <stdint.h>

#include "common/buf.h"
#include "runtime/net/nft.h"

/* Device groups of the host's ends: of the containers' bridge, and of the local link of tasks (locallink.h). */
enum { GUARD_GROUP = 0xec5, GUARD_GROUP_LOCAL = 0xec6 };

/* Table `bridge ecs`, made where missing, its rules replaced. @gateway: the bridge's address. */
void guard_text_table(struct buf *b, const struct nft_params *p, const uint8_t gateway[ETH_ALEN]);

/* Removes the table, which may be missing. */
void guard_text_remove(struct buf *b);
