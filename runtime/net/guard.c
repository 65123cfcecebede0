/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/guard.h"

#include <arpa/inet.h>

#include "runtime/net/link.h"

static const char head[] =
	"add table bridge ecs\n"
	"add chain bridge ecs guard { type filter hook prerouting priority -300; policy accept; }\n"
	"flush chain bridge ecs guard\n";

/* Byte @i of the last two: in the hardware address and in the other one alike. */
static void put_set(struct buf *b, int i)
{
	buf_puts(b, "{ ");
	for (int v = 0; v < 256; v++)
		buf_printf(b, "%s00:00:00:00:%02x:%02x . 0.0.%d.%d", v ? ", " : "", i ? 0 : v,
			   i ? v : 0, i ? 0 : v, i ? v : 0);
	buf_puts(b, " }");
}

/* Accepts what has @ether and @ip in agreement. */
static void put_rule(struct buf *b, const char *ether, const char *ip)
{
	buf_puts(b, "add rule bridge ecs guard");
	buf_printf(b, " %s & 00:00:00:00:ff:00 . %s & 0.0.255.0 ", ether, ip);
	put_set(b, 0);
	buf_printf(b, " %s & 00:00:00:00:00:ff . %s & 0.0.0.255 ", ether, ip);
	put_set(b, 1);
	buf_puts(b, " accept\n");
}

void guard_text_table(struct buf *b, const struct nft_params *p)
{
	static const char *const ether[] = { "ether saddr", "arp saddr ether" };
	static const char *const ip[] = { "ip saddr", "arp saddr ip" };
	char subnet[INET_ADDRSTRLEN];
	uint8_t m[ETH_ALEN];

	(void) inet_ntop(AF_INET, &p->subnet, subnet, sizeof(subnet));
	link_mac(p->subnet, m);
	buf_puts(b, head);
	buf_printf(b, "add rule bridge ecs guard iifgroup != %d accept\n", GUARD_GROUP);
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
		put_rule(b, ether[i], ip[i]);
	}
	buf_puts(b, "add rule bridge ecs guard drop\n");
}

void guard_text_remove(struct buf *b)
{
	buf_puts(b, "add table bridge ecs\ndelete table bridge ecs\n");
}
