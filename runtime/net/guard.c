/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/guard.h"

#include <arpa/inet.h>

#include "runtime/net/link.h"

static const char head[] =
	"add table bridge ecs\n"
	"add chain bridge ecs guard { type filter hook prerouting priority -300; policy accept; }\n"
	"flush chain bridge ecs guard\n";

/*
 * A tag, which the network card's driver hides from rules on protocols, would lead a frame past what asks for
 * untagged ones; and nobody but a server of ours gives out addresses.
 */
static const char strangers[] = "add rule bridge ecs guard @ll,96,16 { 0x8100, 0x88a8 } drop\n"
				"add rule bridge ecs guard ether type ip udp sport 67 udp dport 68 drop\n";

/* Byte @i of the last two: in the hardware address and in the other one alike. */
static void put_set(struct buf *b, int i, bool six)
{
	buf_puts(b, "{ ");
	for (int v = 0; v < 256; v++) {
		int high = i ? 0 : v, low = i ? v : 0;

		buf_printf(b, "%s00:00:00:00:%02x:%02x . ", v ? ", " : "", high, low);
		if (six)
			buf_printf(b, "::%x", high << 8 | low);
		else
			buf_printf(b, "0.0.%d.%d", high, low);
	}
	buf_puts(b, " }");
}

/* Accepts what has @ether and @ip in agreement. */
static void put_rule(struct buf *b, const char *ether, const char *ip, bool six)
{
	buf_puts(b, "add rule bridge ecs guard");
	buf_printf(b, " %s & 00:00:00:00:ff:00 . %s & %s ", ether, ip,
		   six ? "::ff00" : "0.0.255.0");
	put_set(b, 0, six);
	buf_printf(b, " %s & 00:00:00:00:00:ff . %s & %s ", ether, ip, six ? "::ff" : "0.0.0.255");
	put_set(b, 1, six);
	buf_puts(b, " accept\n");
}

/*
 * All of IPv6 goes to the gateway. Multicast does not, and neighbour discovery, of which that also
 * forges advertisements of routers and redirects, does not even from one who addresses it so.
 */
static void put_six(struct buf *b, const struct nft_params *p, const uint8_t gateway[ETH_ALEN])
{
	struct in6_addr first = net6_address(&p->six, p->subnet);
	char text[INET6_ADDRSTRLEN];

	if (p->six.prefix_len == 0)
		return;
	first.s6_addr[14] = first.s6_addr[15] = 0;
	(void) inet_ntop(AF_INET6, &first, text, sizeof(text));
	buf_printf(b,
		   "add rule bridge ecs guard ether type ip6"
		   " ether daddr != %02x:%02x:%02x:%02x:%02x:%02x drop\n",
		   gateway[0], gateway[1], gateway[2], gateway[3], gateway[4], gateway[5]);
	buf_puts(b, "add rule bridge ecs guard icmpv6 type 133-137 drop\n");
	buf_printf(b, "add rule bridge ecs guard ip6 saddr != %s/112 drop\n", text);
	put_rule(b, "ether saddr", "ip6 saddr", true);
}

void guard_text_table(struct buf *b, const struct nft_params *p, const uint8_t gateway[ETH_ALEN])
{
	static const char *const ether[] = { "ether saddr", "arp saddr ether" };
	static const char *const ip[] = { "ip saddr", "arp saddr ip" };
	char subnet[INET_ADDRSTRLEN];
	uint8_t m[ETH_ALEN];

	(void) inet_ntop(AF_INET, &p->subnet, subnet, sizeof(subnet));
	link_mac(p->subnet, m);
	buf_puts(b, head);
	buf_printf(b, "add rule bridge ecs guard iifgroup != %d accept\n", GUARD_GROUP);
	buf_puts(b, strangers);
	for (int i = 0; i < 2; i++) {
		buf_printf(b,
			   "add rule bridge ecs guard %s & ff:ff:ff:ff:00:00 !="
			   " %02x:%02x:%02x:%02x:00:00 drop\n",
			   ether[i], m[0], m[1], m[2], m[3]);
		/* Who asks whether an address is taken names none as its own. */
		if (i == 1)
			buf_puts(b, "add rule bridge ecs guard arp saddr ip 0.0.0.0 accept\n");
		buf_printf(b, "add rule bridge ecs guard %s != %s/%d drop\n", ip[i], subnet,
			   p->prefix_len);
		put_rule(b, ether[i], ip[i], false);
	}
	put_six(b, p, gateway);
	buf_puts(b, "add rule bridge ecs guard drop\n");
}

void guard_text_remove(struct buf *b)
{
	buf_puts(b, "add table bridge ecs\ndelete table bridge ecs\n");
}
