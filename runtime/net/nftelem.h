/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftelem - puts elements into the map of `inet ecs` and takes them out, by netlink directly.
 * libnftables reads every chain and set of the host first, whoever's they are: beside the rules of
 * a Kubernetes proxy one element took 30 ms. One call is one transaction.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "runtime/net/nft.h"

enum { NFTELEM_MAX = 6000 };

/*
 * @nfnl: a socket of rtnl_open_netfilter(). Adds (@add) or removes @n elements, at most NFTELEM_MAX (-E2BIG). Adding what is there already
 * does nothing; -EEXIST when it leads elsewhere. -ENOENT: no such map, or not there to be removed.
 */
int nftelem_change(int nfnl, bool add, const struct nft_element *e, size_t n, struct err *err);

/* All elements of the map, *ret owned; none where there is no such map. */
int nftelem_list(int nfnl, struct nft_element **ret, size_t *ret_n, struct err *err);
