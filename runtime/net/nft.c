/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <string.h>

#include "runtime/net/redirect.h"

/*
 * The chains, in the order in which a packet meets them:
 * - raw, before connection tracking: martian loopback (route_localnet on the bridge would let a
 *   container, and on a careless host the LAN, reach services of 127.0.0.1: CVE-2020-8558), forged
 *   sources, and the instance metadata service. Answers to our own redirected connections still
 *   bear their translated address there, so none is hit.
 * - prerouting and output: host ports. Only local addresses match, so traffic passing through is
 *   never caught.
 * - forward: ours is accepted, and nobody reaches a container but through a published port. An
 *   accept here does not overrule a drop in someone else's chain: a host with its own forward
 *   policy must let the bridge pass.
 * - postrouting: containers leave under the host's address; 127.0.0.1 and containers that call a
 *   published port of their own bridge arrive under the bridge's.
 */
static const char head[] =
	"add table inet ecs\n"
	"add map inet ecs ports"
	" { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"add chain inet ecs raw { type filter hook prerouting priority -300; policy accept; }\n"
	"add chain inet ecs prerouting { type nat hook prerouting priority -100; policy accept; }\n"
	"add chain inet ecs output { type nat hook output priority -100; policy accept; }\n"
	"add chain inet ecs forward { type filter hook forward priority 0; policy accept; }\n"
	"add chain inet ecs postrouting { type nat hook postrouting priority 100; policy accept; "
	"}\n"
	"flush chain inet ecs raw\n"
	"flush chain inet ecs prerouting\n"
	"flush chain inet ecs output\n"
	"flush chain inet ecs forward\n"
	"flush chain inet ecs postrouting\n"
	"add rule inet ecs raw iifname != lo ip daddr 127.0.0.0/8 drop\n"
	"add rule inet ecs raw iifname != lo ip saddr 127.0.0.0/8 drop\n"
	"add rule inet ecs prerouting meta nfproto ipv4 fib daddr type local"
	" dnat ip to meta l4proto . th dport map @ports\n"
	"add rule inet ecs output meta nfproto ipv4 fib daddr type local"
	" dnat ip to meta l4proto . th dport map @ports\n"
	"add rule inet ecs forward ct state established,related accept\n";

void nft_text_table(struct buf *b, const struct nft_params *p)
{
	char subnet[INET_ADDRSTRLEN];
	const char *br = p->bridge;

	(void) inet_ntop(AF_INET, &p->subnet, subnet, sizeof(subnet));
	buf_puts(b, head);
	buf_printf(b, "add rule inet ecs raw iifname \"%s\" ip saddr != %s/%d drop\n", br, subnet,
		   p->prefix_len);
	if (!p->allow_imds) {
		buf_printf(b,
			   "add rule inet ecs raw iifname \"%s\" ip daddr 169.254.169.254 drop\n",
			   br);
		buf_printf(b, "add rule inet ecs raw iifname \"%s\" ip6 daddr fd00:ec2::254 drop\n",
			   br);
	}
	buf_printf(b, "add rule inet ecs forward iifname \"%s\" accept\n", br);
	buf_printf(b, "add rule inet ecs forward oifname \"%s\" ct status dnat accept\n", br);
	buf_printf(b, "add rule inet ecs forward oifname \"%s\" drop\n", br);
	buf_printf(b,
		   "add rule inet ecs postrouting oifname \"%s\" ip saddr 127.0.0.0/8 masquerade\n",
		   br);
	buf_printf(b,
		   "add rule inet ecs postrouting oifname \"%s\" ip saddr %s/%d ct status dnat"
		   " masquerade\n",
		   br, subnet, p->prefix_len);
	buf_printf(b, "add rule inet ecs postrouting oifname != \"%s\" ip saddr %s/%d masquerade\n",
		   br, subnet, p->prefix_len);
	redirect_text(b, br, (struct in_addr){ htonl(ntohl(p->subnet.s_addr) + 1) },
		      p->service_port);
}

void nft_text_add(struct buf *b, const struct nft_element *e, size_t n)
{
	char addr[INET_ADDRSTRLEN];

	if (n == 0)
		return;
	buf_puts(b, "add element inet ecs ports { ");
	for (size_t i = 0; i < n; i++) {
		(void) inet_ntop(AF_INET, &e[i].addr, addr, sizeof(addr));
		/* Protocols by number: names are looked up in /etc/protocols, which may be missing. */
		buf_printf(b, "%s%u . %u : %s . %u", i == 0 ? "" : ", ", e[i].proto, e[i].host_port,
			   addr, e[i].container_port);
	}
	buf_puts(b, " }\n");
}

void nft_text_flush(struct buf *b)
{
	buf_puts(b, "flush map inet ecs ports\n");
}

void nft_text_remove(struct buf *b)
{
	buf_puts(b, "add table inet ecs\ndelete table inet ecs\n");
}

/* Made at the start and kept: libnftables waits with select() on the socket of its context, which
 * aborts the program when the number of that socket is 1024 or more.
 */
struct nft {
	struct nft_ctx *ctx; /* owned */
};

int nft_new(struct nft **ret, struct err *err)
{
	_cleanup_(nft_freep) struct nft *n = calloc(1, sizeof(*n));

	if (n)
		n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!n || !n->ctx || nft_ctx_buffer_error(n->ctx) || nft_ctx_buffer_output(n->ctx))
		return err_set_errno(err, ENOMEM, "set up nftables");
	*ret = TAKE_PTR(n);
	return 0;
}

struct nft *nft_free(struct nft *n)
{
	if (!n)
		return NULL;
	if (n->ctx)
		nft_ctx_free(n->ctx);
	free(n);
	return NULL;
}

int nft_run(struct nft *n, const struct buf *text, struct err *err)
{
	const char *said, *complaint;
	int k;

	if (text->failed)
		return err_set_errno(err, ENOMEM, "write nftables commands");
	if (text->len == 0)
		return 0;
	k = nft_run_cmd_from_buffer(n->ctx, text->data);
	(void) nft_ctx_get_output_buffer(n->ctx); /* empties it */
	if (k == 0)
		return 0;
	said = nft_ctx_get_error_buffer(n->ctx); /* place, "Error: " and reason; then an echo */
	complaint = strstr(said, "Error: ");
	complaint = complaint ? complaint + strlen("Error: ") : said;
	return err_set(err, EIO, "nftables: %.*s", (int) strcspn(complaint, "\n"), complaint);
}
