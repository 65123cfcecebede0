/* SPDX-License-Identifier: Apache-2.0 */
/* defroute - which families this host has a way out for. */
#pragma once

#include <stdbool.h>

#include "common/err.h"

struct defroute {
	bool ipv4, ipv6; /* a default route by a gateway in the main table, on whatever device */
};

/* Of the network namespace of the calling thread. */
int defroute_read(struct defroute *ret, struct err *err);
