/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redirect - how 169.254.170.2:80 reaches the port of the agent's task server.
 * Containers on the bridge come in through prerouting, with their own address as the source, and
 * are led to the bridge's address. Processes of the host's own namespace go out through output and
 * are led to 127.0.0.1; a route makes that work where no default route would send them there.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/*
 * Chains and rules, replaced as in nft_text_table(). They come before those of host ports, so that
 * no published port 80 takes what is meant for us. @bridge passed link_name_check(); a @port of 0
 * leaves the chains empty. @gateway is the bridge's address: nobody reaches the port there but
 * through the bridge.
 */
void redirect_text(struct buf *b, const char *bridge, struct in_addr gateway, uint16_t port);

/* A route to 169.254.170.2 by the loopback; idempotent. @rtnl is in the host's namespace. */
int redirect_route(int rtnl, struct err *err);
