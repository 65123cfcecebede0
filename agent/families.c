/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/families.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "aws/imds.h"
#include "common/log.h"
#include "runtime/net/defroute.h"

/* What the machine's id is hashed with, since the id itself is not for others to see. */
#define BRIDGE_ID SD_ID128_MAKE(5b, 0e, 9d, 57, 4f, 1c, 4a, 76, 9d, 38, 0f, 61, c2, a7, 73, e4)

void families_find(struct config *c)
{
	_cleanup_(err_done) struct err err = {};
	struct defroute routes = {};
	bool was = c->ipv6_only;

	if (c->ip_compatibility != FAMILY_AUTO) {
		c->ipv6_only = c->ip_compatibility == FAMILY_V6;
	} else if (defroute_read(&routes, &err) < 0) {
		log_warn("Failed to look for IPv6, going on with IPv4: %s", err_text(&err));
		c->ipv6_only = false;
	} else {
		c->ipv6_only = routes.ipv6 && !routes.ipv4;
	}
	if (c->ipv6_only && !was)
		log_info("This host is IPv6-only: endpoints of both families are asked, and ports "
			 "reported on '::' alone");
}

const char *families_imds_endpoint(const struct config *c)
{
	if (c->imds_endpoint)
		return c->imds_endpoint;
	if (c->imds_mode == FAMILY_AUTO)
		return c->ipv6_only ? IMDS_IPV6_ENDPOINT : IMDS_DEFAULT_ENDPOINT;
	return c->imds_mode == FAMILY_V6 ? IMDS_IPV6_ENDPOINT : IMDS_DEFAULT_ENDPOINT;
}

struct net6 families_bridge_network(const struct config *c)
{
	char seed[SD_ID128_STRING_MAX + 64] = "";
	sd_id128_t id;

	if (!c->bridge_six_auto)
		return c->bridge_six;
	/* Without an id all such machines have the same: it is seen on this host alone. */
	if (sd_id128_get_machine_app_specific(BRIDGE_ID, &id) >= 0)
		(void) sd_id128_to_string(id, seed);
	(void) snprintf(seed + strlen(seed), sizeof(seed) - strlen(seed), "%.32s", c->bridge_name);
	return net6_unique_local(seed);
}
