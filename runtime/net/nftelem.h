/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftelem - puts elements into the maps of `inet ecs` and takes them out, by netlink directly.
 * libnftables reads every chain and set of the host first, whoever's they are: beside the rules of
 * a Kubernetes proxy one element took 30 ms. One call is one transaction.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "runtime/net/nft.h"

enum { NFTELEM_MAX = 2000 };

/*
 * @nfnl: a socket of rtnl_open_netfilter(). Adds (@add) or removes @n elements, at most NFTELEM_MAX (-E2BIG). Adding what is there already
 * does nothing; -EEXIST when it leads elsewhere. -ENOENT: no such map, or not there to be removed.
 * Each element stands in the map of IPv4 unless its address there is 0.0.0.0, and in that of IPv6 unless
 * it is "::". Which of these it is, is told by the first one for all.
 */
int nftelem_change(int nfnl, bool add, const struct nft_element *e, size_t n, struct err *err);

/*
 * All elements of the map of IPv4, or of IPv6 (@six); the other address is empty. *ret owned; none where
 * there is no such map.
 */
int nftelem_list(int nfnl, bool six, struct nft_element **ret, size_t *ret_n, struct err *err);
