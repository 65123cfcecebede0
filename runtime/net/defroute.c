/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/defroute.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "runtime/net/linkmsg.h"

static int take_route(struct nlmsghdr *h, void *userdata)
{
	const struct rtmsg *head = nlmsg_data(h);
	struct nlattr *a[RTA_MAX + 1];
	struct defroute *found = userdata;

	if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(*head), a, RTA_MAX, NULL) < 0 ||
	    head->rtm_dst_len != 0 || head->rtm_table != RT_TABLE_MAIN ||
	    head->rtm_type != RTN_UNICAST ||
	    !(a[RTA_GATEWAY] || a[RTA_VIA] || a[RTA_MULTIPATH] || a[RTA_NH_ID]))
		return 0;
	found->ipv4 |= head->rtm_family == AF_INET;
	found->ipv6 |= head->rtm_family == AF_INET6;
	return 0;
}

int defroute_read(struct defroute *ret, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	_cleanup_(closep) int fd = rtnl_open(err);
	struct defroute found = {};
	int k = fd < 0 ? fd : 0;

	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(families); i++) {
		struct rtmsg head = { .rtm_family = families[i] };
		_cleanup_(nlmsg_freep) struct nl_msg *m =
			link_message(RTM_GETROUTE, 0, &head, sizeof(head));

		if (!m)
			return err_set_errno(err, ENOMEM, "build rtnetlink request");
		k = rtnl_dump(fd, m, take_route, &found, err);
	}
	if (k < 0)
		return err_wrap(err, "read the routes");
	*ret = found;
	return 0;
}
