/* SPDX-License-Identifier: Apache-2.0 */
/*
 * published - the host ports that stand in the table of this network namespace, whoever put them there.
 * It needs no struct net, since it is asked while no agent runs, too.
 */
#pragma once

#include "runtime/net/net.h"

/* *ret is owned; none where there is no table. */
int published_list(struct net_published **ret, size_t *ret_n, struct err *err);

/* Takes @p out of the table, and what the kernel remembers of its flows. -ENOENT: it was not there. */
int published_remove(const struct net_published *p, struct err *err);
