/* SPDX-License-Identifier: Apache-2.0 */
/* host6 - what the host's own IPv6 has to do for a bridge: knobs under /proc/sys/net. */
#pragma once

#include <stdbool.h>

#include "common/err.h"

/* -EAFNOSUPPORT: there is no IPv6, or it is switched off for all devices; @err says which. */
int host6_check(struct err *err);

/* IPv6 of device @bridge; never by advertisements. Off: a kernel without IPv6 is fine. */
int host6_set_bridge(const char *bridge, bool on, struct err *err);

/*
 * Switches forwarding on, if it is not. The kernel would stop listening to routers then, and forget the
 * default route it had from them: devices that listen are told to go on (accept_ra=2) first.
 */
int host6_forward(const char *bridge, struct err *err);

/*
 * Whether connections to ::1 can be led to a container. With br_netfilter at work (Docker loads it) the
 * answers are translated inside the bridge, and then dropped for naming ::1 on a device that is not lo.
 */
bool host6_reaches_loopback(void);
