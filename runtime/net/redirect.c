/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>

#include "common/macro.h"
#include "runtime/net/link.h"
#include "runtime/net/rtnl.h"

#define SERVICE_ADDR "169.254.170.2"

static const char chains[] =
	"add chain inet ecs service_filter { type filter hook prerouting priority -299; policy"
	" accept; }\n"
	"add chain inet ecs service_in { type nat hook prerouting priority -101; policy accept; }\n"
	"add chain inet ecs service_out { type nat hook output priority -101; policy accept; }\n"
	"flush chain inet ecs service_filter\n"
	"flush chain inet ecs service_in\n"
	"flush chain inet ecs service_out\n";

void redirect_text(struct buf *b, const char *bridge, struct in_addr gateway, uint16_t port)
{
	char addr[INET_ADDRSTRLEN];

	(void) buf_puts(b, chains);
	if (port == 0)
		return;
	(void) inet_ntop(AF_INET, &gateway, addr, sizeof(addr));
	(void) buf_printf(b,
			  "add rule inet ecs service_filter iifname != \"%s\" iifname != lo"
			  " ip daddr %s tcp dport %u drop\n",
			  bridge, addr, port);
	(void) buf_printf(b,
			  "add rule inet ecs service_in iifname \"%s\" ip daddr " SERVICE_ADDR
			  " tcp dport 80 redirect to :%u\n",
			  bridge, port);
	(void) buf_printf(b,
			  "add rule inet ecs service_out ip daddr " SERVICE_ADDR
			  " tcp dport 80 redirect to :%u\n",
			  port);
}

/* Of 127.0.0.1, as the redirection's answer needs it; of another source it would be a martian. */
static struct nl_msg *loopback_route(int index)
{
	struct rtmsg head = {
		.rtm_family = AF_INET,
		.rtm_dst_len = 32,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_UNICAST,
	};
	struct in_addr service = { inet_addr(SERVICE_ADDR) }, source = { htonl(INADDR_LOOPBACK) };
	_cleanup_(nlmsg_freep) struct nl_msg *m =
		nlmsg_alloc_simple(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);

	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0 ||
	    nla_put(m, RTA_DST, sizeof(service), &service) < 0 ||
	    nla_put(m, RTA_PREFSRC, sizeof(source), &source) < 0 ||
	    nla_put_u32(m, RTA_OIF, (uint32_t) index) < 0)
		return NULL;
	return TAKE_PTR(m);
}

int redirect_route(int rtnl, struct err *err)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = loopback_route(link_index(rtnl, "lo"));
	int k = rtnl_call(rtnl, &m, 1, err);

	return k < 0 ? err_wrap(err, "add a route to " SERVICE_ADDR) : 0;
}
