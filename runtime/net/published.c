/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/published.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/net/conntrack.h"
#include "runtime/net/nftelem.h"
#include "runtime/net/rtnl.h"

int published_list(struct net_published **ret, size_t *ret_n, struct err *err)
{
	_cleanup_(closep) int nfnl = rtnl_open_netfilter(err);
	_cleanup_(freep) struct nft_element *e = NULL;
	struct net_published *p;
	int k = nfnl < 0 ? nfnl : nftelem_list(nfnl, false, &e, ret_n, err);

	if (k < 0)
		return k;
	p = calloc(*ret_n + 1, sizeof(*p));
	if (!p)
		return err_set_errno(err, ENOMEM, "list the published ports");
	for (size_t i = 0; i < *ret_n; i++)
		p[i] = (struct net_published){
			e[i].addr, { e[i].container_port, e[i].host_port, e[i].proto }
		};
	*ret = p;
	return 0;
}

int published_remove(const struct net_published *p, struct err *err)
{
	struct nft_element e = { p->addr, p->binding.host_port, p->binding.container_port,
				 p->binding.proto };
	/* Where it leads to counts for nothing when it is taken out, but that it does. */
	struct nft_element six = { .host_port = e.host_port,
				   .proto = e.proto,
				   .addr6 = in6addr_loopback };
	_cleanup_(closep) int nfnl = rtnl_open_netfilter(err);
	int k = nfnl < 0 ? nfnl : nftelem_change(nfnl, false, &e, 1, err);

	if (k < 0)
		return err_wrap(err, "take port %u out of the table", e.host_port);
	(void) nftelem_change(nfnl, false, &six, 1, NULL); /* there may be none */
	if (e.proto == IPPROTO_UDP)
		conntrack_forget_udp(nfnl, e.host_port);
	return 0;
}
