/* SPDX-License-Identifier: Apache-2.0 */
/* families - IPv4 and IPv6: what the host has, and what the bridge is to have. */
#pragma once

#include "agent/config.h"

/*
 * Sets config.ipv6_only by ECS_INSTANCE_IP_COMPATIBILITY or, where it is unset, by the default routes: IPv6
 * and no IPv4. Routes that cannot be read count as those of IPv4.
 */
void families_find(struct config *c);

/* Where the instance metadata service is, once families_find() has looked. Borrowed, or static. */
const char *families_imds_endpoint(const struct config *c);

/* The IPv6 network of the bridge as set, or one that follows from this machine and the bridge's name. */
struct net6 families_bridge_network(const struct config *c);
