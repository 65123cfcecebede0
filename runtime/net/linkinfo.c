/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/linkinfo.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

#include "runtime/net/guard.h"
#include "runtime/net/rtnl.h"

#ifndef IFLA_PERM_ADDRESS
#define IFLA_PERM_ADDRESS 54 /* of Linux 5.6; headers may be older */
#endif

enum { ATTR_MAX = 64 };

static void take_mac(struct nlattr *a, uint8_t mac[ETH_ALEN])
{
	if (a && nla_len(a) == ETH_ALEN)
		memcpy(mac, nla_data(a), ETH_ALEN);
}

static void take_kind(struct nlattr *info, struct linkinfo *l)
{
	struct nlattr *kind = nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND);
	struct nlattr *data = nla_find(nla_data(info), nla_len(info), IFLA_INFO_DATA), *id = NULL;

	if (!kind)
		return;
	(void) nla_strlcpy(l->kind, kind, sizeof(l->kind));
	if (data && strcmp(l->kind, "vlan") == 0)
		id = nla_find(nla_data(data), nla_len(data), IFLA_VLAN_ID);
	if (id && nla_len(id) >= 2)
		l->vlan_id = nla_get_u16(id);
}

bool linkinfo_parse(const struct nlmsghdr *h, struct linkinfo *ret)
{
	const struct ifinfomsg *head = NLMSG_DATA(h);
	struct nlattr *in[ATTR_MAX + 1];

	*ret = (struct linkinfo){};
	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(*head)) ||
	    head->ifi_family != AF_UNSPEC ||
	    nlmsg_parse((struct nlmsghdr *) (uintptr_t) h, sizeof(*head), in, ATTR_MAX, NULL) < 0 ||
	    !in[IFLA_IFNAME])
		return false;
	ret->index = head->ifi_index;
	ret->loopback = head->ifi_flags & IFF_LOOPBACK;
	ret->up = head->ifi_flags & IFF_UP;
	ret->enslaved = in[IFLA_MASTER] != NULL;
	(void) nla_strlcpy(ret->name, in[IFLA_IFNAME], sizeof(ret->name));
	take_mac(in[IFLA_ADDRESS], ret->mac);
	take_mac(in[IFLA_PERM_ADDRESS], ret->perm_mac);
	/* With IFLA_LINK_NETNSID the number is one of another namespace. */
	if (in[IFLA_LINK] && !in[IFLA_LINK_NETNSID])
		ret->parent = (int) nla_get_u32(in[IFLA_LINK]);
	if (in[IFLA_GROUP])
		ret->group = nla_get_u32(in[IFLA_GROUP]);
	if (in[IFLA_LINKINFO])
		take_kind(in[IFLA_LINKINFO], ret);
	return head->ifi_type == ARPHRD_ETHER || ret->loopback;
}

bool linkinfo_is_interface(const struct linkinfo *l)
{
	return !l->loopback && !l->enslaved && (!*l->kind || strcmp(l->kind, "veth") == 0) &&
	       l->group != GUARD_GROUP && l->group != GUARD_GROUP_LOCAL;
}

struct walk {
	linkinfo_fn fn;
	void *userdata;
};

static int on_message(struct nlmsghdr *h, void *userdata)
{
	const struct walk *w = userdata;
	struct linkinfo l;

	return linkinfo_parse(h, &l) ? w->fn(&l, w->userdata) : 0;
}

int linkinfo_each(int rtnl, linkinfo_fn fn, void *userdata, struct err *err)
{
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(RTM_GETLINK, 0);
	struct walk w = { fn, userdata };
	int k;

	if (!m || nlmsg_append(m, &head, sizeof(head), NLMSG_ALIGNTO) < 0)
		return err_set_errno(err, ENOMEM, "build rtnetlink request");
	k = rtnl_dump(rtnl, m, on_message, &w, err);
	return k < 0 ? err_wrap(err, "list devices") : 0;
}

struct search {
	const uint8_t *mac;
	struct linkinfo *found;
};

static int compare(const struct linkinfo *l, void *userdata)
{
	struct search *s = userdata;

	if (linkinfo_is_interface(l) && memcmp(l->mac, s->mac, ETH_ALEN) == 0)
		*s->found = *l;
	return 0;
}

int linkinfo_find(int rtnl, const uint8_t mac[ETH_ALEN], struct linkinfo *ret, struct err *err)
{
	struct linkinfo found = {};
	struct search s = { mac, &found };
	char text[LINKINFO_MAC_TEXT];
	int k = linkinfo_each(rtnl, compare, &s, err);

	if (k < 0)
		return k;
	if (found.index == 0)
		return err_set(err, ENODEV, "no network interface has the MAC address %s",
			       linkinfo_mac_text(mac, text));
	*ret = found;
	return 0;
}

const char *linkinfo_mac_text(const uint8_t m[ETH_ALEN], char *text)
{
	(void) snprintf(text, LINKINFO_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
			m[3], m[4], m[5]);
	return text;
}
