/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <string.h>

#include "runtime/net/netns.h"
#include "runtime/net/redirect.h"

/*
 * The chains, in the order in which a packet meets them:
 * - raw, before connection tracking: martian loopback (route_localnet on the bridge would let a
 *   container, and on a careless host the LAN, reach services of 127.0.0.1: CVE-2020-8558), forged
 *   sources, the instance metadata service, and what the agent serves at the bridge's address, asked
 *   by somebody who has a route there. Answers to our own redirected connections still
 *   bear their translated address there, so none is hit.
 * - prerouting and output: host ports. Only local addresses match, so traffic passing through is
 *   never caught.
 * - forward: ours is accepted, and nobody outside reaches a container but through a published port.
 *   An accept here does not overrule a drop in someone else's chain: see firewall.h. Containers of
 *   the bridge reach each other, as they do with Docker's default bridge; with br_netfilter this
 *   chain sees that, too.
 * - postrouting: containers leave under the host's address; 127.0.0.1, ::1 and containers that call
 *   a published port of their own bridge arrive under the bridge's.
 * Of IPv6 the link-local addresses are left out: the kernel forwards no packet whose source is one. So
 * is ::1 where it does not work (net_set_up_six()). What is left out is refused, and nobody waits.
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

static void put_six(struct buf *b, const struct nft_params *p)
{
	const char *skip = p->loopback6 ? "fe80::/10" : "{ ::1, fe80::/10 }", *br = p->bridge;
	char net[INET6_ADDRSTRLEN];

	buf_puts(b, "add map inet ecs ports6"
		    " { type inet_proto . inet_service : ipv6_addr . inet_service; }\n");
	if (p->six.prefix_len == 0) {
		buf_puts(b, "delete map inet ecs ports6\n");
		buf_printf(b, "add rule inet ecs raw iifname \"%s\" meta nfproto ipv6 drop\n", br);
		return;
	}
	(void) inet_ntop(AF_INET6, &p->six.prefix, net, sizeof(net));
	buf_printf(b, "add rule inet ecs raw iifname \"%s\" ip6 saddr != %s/%d drop\n", br, net,
		   p->six.prefix_len);
	/* Nothing is to be discovered (link6.h), and nobody to be believed. */
	buf_printf(b, "add rule inet ecs raw iifname \"%s\" icmpv6 type 133-137 drop\n", br);
	for (int i = 0; i < 2; i++)
		buf_printf(b,
			   "add rule inet ecs %s ip6 daddr != %s fib daddr type local"
			   " dnat ip6 to meta l4proto . th dport map @ports6\n",
			   i ? "output" : "prerouting", skip);
	buf_printf(b, "add rule inet ecs postrouting oifname \"%s\" ip6 saddr ::1 masquerade\n",
		   br);
	buf_printf(b,
		   "add rule inet ecs postrouting oifname \"%s\" ip6 saddr %s/%d ct status dnat"
		   " masquerade\n",
		   br, net, p->six.prefix_len);
	buf_printf(b,
		   "add rule inet ecs postrouting oifname != \"%s\" ip6 saddr %s/%d masquerade\n",
		   br, net, p->six.prefix_len);
}

void nft_text_table(struct buf *b, const struct nft_params *p)
{
	struct in_addr gateway = { htonl(ntohl(p->subnet.s_addr) + 1) };
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
	put_six(b, p);
	if (p->near_port)
		buf_printf(b,
			   "add rule inet ecs raw iifname != \"%s\" iifname != lo ip daddr %s"
			   " tcp dport %u drop\n",
			   br, inet_ntop(AF_INET, &gateway, subnet, sizeof(subnet)), p->near_port);
	redirect_text(b, br, gateway, p->service_port);
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
	int spare; /* owned: the place of a low number for the socket of another namespace's context */
};

static int make_context(struct nft *n)
{
	n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	return !n->ctx || nft_ctx_buffer_error(n->ctx) || nft_ctx_buffer_output(n->ctx) ? -ENOMEM : 0;
}

int nft_new(struct nft **ret, struct err *err)
{
	_cleanup_(nft_freep) struct nft *n = calloc(1, sizeof(*n));

	if (n)
		n->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!n || make_context(n) < 0)
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
	(void) safe_close(n->spare);
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

struct elsewhere {
	struct nft *n;
	const struct buf *text;
};

static int run_here(const void *userdata, struct err *err)
{
	const struct elsewhere *w = userdata;
	struct nft there = { .spare = -EBADF };
	int k;

	w->n->spare = safe_close(w->n->spare);
	k = make_context(&there) < 0 ? err_set_errno(err, ENOMEM, "set up nftables")
				     : nft_run(&there, w->text, err);
	if (there.ctx)
		nft_ctx_free(there.ctx);
	w->n->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return k;
}

int nft_run_in(struct nft *n, int self_ns, int ns, const struct buf *text, struct err *err)
{
	return netns_call(self_ns, ns, run_here, &(struct elsewhere){ n, text }, err);
}
