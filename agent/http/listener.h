/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener - an HTTP server on one IPv4 address and port of this host, or on every address (INADDR_ANY),
 * those of IPv6 among them. A port that somebody else holds is tried again for ever, so a listener always
 * comes into being. Loop thread only.
 */
#pragma once

#include <netinet/in.h>

#include "agent/http/server.h"

struct listener;

/*
 * Begins with the next round of the loop: whoever starts does not wait for it. Of @p everything but
 * the socket is used; p->what stays the caller's and outlives the listener.
 */
int listener_new(const struct http_server_params *p, struct in_addr addr, uint16_t port,
		 struct listener **ret, struct err *err);
struct listener *listener_free(struct listener *l);
DEFINE_CLEANUP(struct listener *, listener_free)
