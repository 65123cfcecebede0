/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge network in a real kernel: IPv6. */
#include "tests/integration/net/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/net/defroute.h"
#include "runtime/net/host6.h"
#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "tests/integration/host.h"

#define ANY6 "::"

static void containers_reach_gateway_each_other_and_the_lan(void **state _unused_)
{
	struct container a = start_container(), b = start_container();
	_cleanup_(closep) int on_b = serve(b.ns, SOCK_STREAM, ANY6, 80);
	_cleanup_(closep) int on_host = serve(host_ns, SOCK_STREAM, ANY6, 81);
	_cleanup_(closep) int on_lan = serve(lan_ns, SOCK_STREAM, ANY6, 82);
	char gateway[INET6_ADDRSTRLEN], seen[INET6_ADDRSTRLEN];

	assert_memory_equal(a.text6, "fd12:3456:789a::a58:80", 22);
	gateway6_text(gateway);
	tcp_reaches(a.ns, b.text6, 80, on_b, seen);
	assert_string_equal(seen, a.text6);
	tcp_reaches(a.ns, gateway, 81, on_host, seen);
	assert_string_equal(seen, a.text6);
	tcp_reaches(a.ns, LAN6, 82, on_lan, seen);
	assert_string_equal(seen, HOST_LAN6); /* masqueraded */
	tcp_reaches(host_ns, b.text6, 80, on_b, seen);
	stop_container(&a);
	stop_container(&b);
}

static void loopback_reaches(uint16_t port, int listener)
{
	char gateway[INET6_ADDRSTRLEN], seen[INET6_ADDRSTRLEN];

	if (!host6_reaches_loopback()) {
		refuses(host_ns, LOOP6,
			port); /* at once: who tries "localhost" goes on to 127.0.0.1 */
		return;
	}
	gateway6_text(gateway);
	tcp_reaches(host_ns, LOOP6, port, listener, seen);
	assert_string_equal(seen, gateway);
}

static void a_tcp_port_is_reached_from_everywhere(void **state _unused_)
{
	struct container web = start_container(), other = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, ANY6, 80);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	char gateway[INET6_ADDRSTRLEN], seen[INET6_ADDRSTRLEN];

	gateway6_text(gateway);
	loopback_reaches(p.host_port, listener);
	tcp_reaches(host_ns, HOST_LAN6, p.host_port, listener, seen);
	tcp_reaches(host_ns, gateway, p.host_port, listener, seen);
	tcp_reaches(lan_ns, HOST_LAN6, p.host_port, listener, seen);
	assert_string_equal(seen, LAN6); /* callers from outside keep their address */
	tcp_reaches(other.ns, HOST_LAN6, p.host_port, listener, seen);
	tcp_reaches(other.ns, gateway, p.host_port, listener, seen);
	tcp_reaches(web.ns, HOST_LAN6, p.host_port, listener, seen); /* itself */
	assert_string_equal(seen, gateway);
	release(&p);
	refuses(host_ns, LOOP6, p.host_port);
	refuses(lan_ns, HOST_LAN6, p.host_port);
	stop_container(&web);
	stop_container(&other);
}

/* With br_netfilter (Docker loads it) packets are translated inside the bridge, another way round. */
static void ports_are_reached_whatever_br_netfilter_does(void **state)
{
	static const char knob[] = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";

	if (access(knob, W_OK) < 0)
		skip();
	for (int on = 0; on < 2; on++) {
		assert_int_equal(run(on ? "echo 1 > /proc/sys/net/bridge/bridge-nf-call-ip6tables"
					: "echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables"),
				 0);
		assert_done(net_check(net, true, &_e));
		assert_int_equal(host6_reaches_loopback(), !on);
		a_tcp_port_is_reached_from_everywhere(state);
	}
}

/* The kernel forwards nothing that comes from a link-local address: nobody is left waiting. */
static void link_local_addresses_are_not_published(void **state _unused_)
{
	struct container web = start_container();
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);

	assert_int_equal(run("ip address add fe80::1/64 dev lan0 nodad"), 0);
	enter(lan_ns);
	assert_int_equal(run("ip address add fe80::7/64 dev eth0 nodad"), 0);
	enter(host_ns);
	refuses(lan_ns, "fe80::1%eth0", p.host_port);
	refuses(host_ns, "fe80::1%lan0", p.host_port);
	assert_int_equal(run("ip address del fe80::1/64 dev lan0"), 0);
	release(&p);
	stop_container(&web);
}

static void a_udp_port_is_reached_from_everywhere(void **state _unused_)
{
	struct container dns = start_container(), other = start_container();
	_cleanup_(closep) int server = serve(dns.ns, SOCK_DGRAM, ANY6, 53);
	struct port_binding p = publish(&dns, IPPROTO_UDP, 0, 53);
	char seen[INET6_ADDRSTRLEN];

	if (host6_reaches_loopback())
		udp_reaches(host_ns, LOOP6, p.host_port, server, seen);
	udp_reaches(host_ns, HOST_LAN6, p.host_port, server, seen);
	udp_reaches(lan_ns, HOST_LAN6, p.host_port, server, seen);
	assert_string_equal(seen, LAN6);
	udp_reaches(other.ns, HOST_LAN6, p.host_port, server, seen);
	release(&p);
	stop_container(&dns);
	stop_container(&other);
}

/* One socket keeps sending: the kernel's memory of the flow must not outlive the port. */
static void a_udp_flow_follows_the_port_to_its_next_owner(void **state _unused_)
{
	struct container one = start_container(), two = start_container();
	_cleanup_(closep) int at_one = serve(one.ns, SOCK_DGRAM, ANY6, 53);
	_cleanup_(closep) int at_two = serve(two.ns, SOCK_DGRAM, ANY6, 53);
	_cleanup_(closep) int client = udp_client(lan_ns, HOST_LAN6, 5353);
	struct port_binding p;
	char seen[INET6_ADDRSTRLEN];

	(void) send(client, "q", 1, 0); /* a flow to nobody, before the port is there */
	(void) wait_for(client, POLLIN, 50);
	(void) recv(client, seen, 1, 0);
	p = publish(&one, IPPROTO_UDP, 5353, 53);
	exchange(client, at_one, seen);
	release(&p);
	p = publish(&two, IPPROTO_UDP, 5353, 53);
	exchange(client, at_two, seen);
	assert_false(wait_for(at_one, POLLIN, 0));
	release(&p);
	stop_container(&one);
	stop_container(&two);
}

static void a_range_of_ports_is_reached_port_by_port(void **state _unused_)
{
	struct container web = start_container();
	struct port_binding b[5];
	char seen[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < ARRAY_SIZE(b); i++)
		b[i] = (struct port_binding){ .container_port = (uint16_t) (7000 + i),
					      .proto = IPPROTO_TCP,
					      .range = 1 };
	assert_done(net_ports_hold(net, b, ARRAY_SIZE(b), &_e));
	assert_done(net_ports_publish(net, web.addr, b, ARRAY_SIZE(b), &_e));
	for (size_t i = 0; i < ARRAY_SIZE(b); i++) {
		_cleanup_(closep) int server =
			serve(web.ns, SOCK_STREAM, ANY6, b[i].container_port);

		tcp_reaches(lan_ns, HOST_LAN6, b[i].host_port, server, seen);
	}
	assert_done(net_ports_release(net, b, ARRAY_SIZE(b), &_e));
	stop_container(&web);
}

static void ports_of_listeners_of_either_family_are_in_use(void **state _unused_)
{
	static const struct {
		int type;
		const char *addr;
	} taken[] = { { SOCK_STREAM, ANY6 },      { SOCK_STREAM, LOOP6 }, { SOCK_STREAM, LOOP },
		      { SOCK_STREAM, HOST_LAN6 }, { SOCK_DGRAM, ANY6 },   { SOCK_DGRAM, HOST_LAN6 },
		      { SOCK_DGRAM, HOST_LAN } };

	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		_cleanup_(closep) _unused_ int fd =
			serve(host_ns, taken[i].type, taken[i].addr, 7004);
		struct port_binding b = {
			.proto = taken[i].type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP,
			.container_port = 80,
			.host_port = 7004,
		};

		if (net_ports_hold(net, &b, 1, NULL) != NET_E_PORT_IN_USE)
			fail_msg("listener %zu on %s was overlooked", i, taken[i].addr);
	}
}

static void what_others_change_is_noticed_and_put_right(void **state _unused_)
{
	static const char *const damage[] = {
		"nft flush ruleset",
		"nft flush map inet ecs ports6",
		"nft 'add element inet ecs ports6 { 6 . 21999 : 2001:db8::9 . 80 }'",
		"nft delete table bridge ecs",
	};
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, ANY6, 80);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80), q;
	_cleanup_(err_done) struct err err = {};
	char seen[INET6_ADDRSTRLEN];

	assert_true(net_check(net, false, &err) >= 0); /* the first one notes how all looks */
	assert_int_equal(net_check(net, false, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		assert_int_equal(run(damage[i]), 0);
		if (net_check(net, false, &err) != NET_E_RESTORED)
			fail_msg("'%s' went unnoticed: %s", damage[i], err_text(&err));
		tcp_reaches(lan_ns, HOST_LAN6, p.host_port, listener, seen);
		assert_int_equal(net_check(net, false, &err), 0);
	}
	/* Nobody needs to notice first: the next change brings everything back. */
	assert_int_equal(run("nft flush ruleset"), 0);
	q = publish(&web, IPPROTO_TCP, 0, 80);
	tcp_reaches(lan_ns, HOST_LAN6, p.host_port, listener, seen);
	assert_int_equal(run("nft delete map inet ecs ports6"), 1); /* it is in use */
	assert_int_equal(run("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"), 0);
	assert_int_equal(net_check(net, true, &err), 0);
	tcp_reaches(lan_ns, HOST_LAN6, q.host_port, listener, seen);
	release(&p);
	release(&q);
	stop_container(&web);
}

static void a_restart_keeps_connections(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, ANY6, 80);
	struct net_published p = { web.addr, publish(&web, IPPROTO_TCP, 0, 80) };
	_cleanup_(closep) int client = dial(lan_ns, HOST_LAN6, p.binding.host_port, WAIT_MS);
	_cleanup_(closep) int server = -EBADF;
	char seen[INET6_ADDRSTRLEN];

	assert_true(client >= 0 && wait_for(listener, POLLIN, WAIT_MS));
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	net = net_free(net);
	tcp_reaches(lan_ns, HOST_LAN6, p.binding.host_port, listener, seen); /* without an agent */
	assert_done(net_new(&params, &net, &_e));
	assert_done(net_address_restore(net, web.addr, &_e));
	assert_done(net_attach(net, web.id, web.addr, &_e));
	assert_done(net_ports_restore(net, &p, 1, &_e));
	exchange(client, server, seen);
	tcp_reaches(lan_ns, HOST_LAN6, p.binding.host_port, listener, seen);
	release(&p.binding);
	stop_container(&web);
}

static void start_again(const struct net_params *p)
{
	net = net_free(net);
	assert_done(net_new(p, &net, &_e));
}

/* An agent without IPv6, then one with: what runs gets its address without being restarted. */
static void a_container_of_an_agent_without_ipv6_gets_it_later(void **state _unused_)
{
	struct net_params old = params;
	struct container web;
	_cleanup_(closep) int listener = -EBADF;
	struct net_published p;
	char seen[INET6_ADDRSTRLEN];

	old.six = (struct net6){};
	start_again(&old);
	assert_null(net_ipv6_missing(net));
	assert_int_equal(run("nft list map inet ecs ports6"), 1);
	web = start_container();
	assert_string_equal(web.text6, "::");
	p = (struct net_published){ web.addr, publish(&web, IPPROTO_TCP, 0, 80) };
	listener = serve(web.ns, SOCK_STREAM, ANY6, 80);
	refuses(lan_ns, HOST_LAN6, p.binding.host_port);

	start_again(&params);
	assert_done(net_address_restore(net, web.addr, &_e));
	assert_done(net_attach(net, web.id, web.addr, &_e));
	assert_done(net_ports_restore(net, &p, 1, &_e));
	tcp_reaches(lan_ns, HOST_LAN6, p.binding.host_port, listener, seen);
	assert_string_equal(seen, LAN6);
	release(&p.binding);
	stop_container(&web);
}

static void a_host_with_ipv6_switched_off_does_without(void **state _unused_)
{
	struct port_binding p;
	struct container web;
	_cleanup_(closep) int listener = -EBADF;
	char seen[INET_ADDRSTRLEN];

	assert_int_equal(run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"), 0);
	start_again(&params);
	assert_string_equal(net_ipv6_missing(net),
			    "net.ipv6.conf.all.disable_ipv6 switches IPv6 off");
	web = start_container();
	assert_string_equal(web.text6, "::");
	listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	p = publish(&web, IPPROTO_TCP, 0, 80);
	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	release(&p);
	stop_container(&web);
	assert_int_equal(run("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6;"
			     "ip address add " HOST_LAN6 "/64 dev lan0 nodad"),
			 0);
	start_again(&params);
	assert_null(net_ipv6_missing(net));
}

/* A router that forwards is deaf to other routers, unless it is told to listen. */
static void the_host_goes_on_listening_to_its_routers(void **state _unused_)
{
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/all/forwarding) = 1"), 0);
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/lan0/accept_ra) = 2"), 0);
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/" BRIDGE "/accept_ra) = 0"), 0);
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/default/accept_ra) = 1"), 0);
}

static struct defroute routes(void)
{
	struct defroute r = {};

	assert_done(defroute_read(&r, &_e));
	return r;
}

/* Whatever the devices are called: there is no eth0 here. */
static void default_routes_tell_the_families(void **state _unused_)
{
	assert_false(routes().ipv4 || routes().ipv6);
	assert_int_equal(run("ip route add default dev lan0"), 0); /* by no gateway */
	assert_false(routes().ipv4);
	assert_int_equal(run("ip -6 route add default via " LAN6 " dev lan0"), 0);
	assert_true(routes().ipv6 && !routes().ipv4);
	assert_int_equal(run("ip route replace default via " LAN " dev lan0"), 0);
	assert_true(routes().ipv6 && routes().ipv4);
	assert_int_equal(run("ip route del default; ip -6 route del default"), 0);
	assert_false(routes().ipv4 || routes().ipv6);
	assert_int_equal(run("ip -6 route add default via " LAN6 " dev lan0 table 77"), 0);
	assert_false(routes().ipv6);
}

/* IPv4 leads nowhere, and the service address is there all the same. */
static void a_host_without_ipv4_serves_ipv6(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, ANY6, 80);
	_cleanup_(closep) int on_lan = serve(lan_ns, SOCK_STREAM, ANY6, 82);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	struct net_params served = params;
	_cleanup_(closep) int service = -EBADF;
	char seen[INET6_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];

	assert_int_equal(run("ip -4 address flush dev lan0"), 0);
	served.service_port = 51679;
	start_again(&served);
	assert_done(net_ports_restore(net, &(struct net_published){ web.addr, p }, 1, &_e));
	gateway_text(gateway);
	service = serve(host_ns, SOCK_STREAM, "0.0.0.0", 51679);
	tcp_reaches(lan_ns, HOST_LAN6, p.host_port, listener, seen);
	tcp_reaches(web.ns, LAN6, 82, on_lan, seen);
	tcp_reaches(web.ns, "169.254.170.2", 80, service, seen);
	assert_string_equal(seen, web.text);
	tcp_reaches(host_ns, "169.254.170.2", 80, service, seen);
	assert_int_equal(run("ip address add " HOST_LAN "/24 dev lan0"), 0);
	start_again(&params);
	assert_done(net_ports_restore(net, NULL, 0, &_e));
	assert_done(net_address_restore(net, web.addr, &_e));
	stop_container(&web);
}

static void instance_metadata_is_closed_unless_opened(void **state _unused_)
{
	struct container a = start_container();
	struct net_params open_params = params;
	_cleanup_(closep) int imds = -EBADF;
	char seen[INET6_ADDRSTRLEN];

	assert_int_equal(run("ip address add fd00:ec2::254/128 dev lan0 nodad"), 0);
	imds = serve(host_ns, SOCK_STREAM, "fd00:ec2::254", 80);
	tcp_reaches(host_ns, "fd00:ec2::254", 80, imds, seen);
	swallows(a.ns, "fd00:ec2::254", 80);
	open_params.allow_imds = true;
	start_again(&open_params);
	tcp_reaches(a.ns, "fd00:ec2::254", 80, imds, seen);
	start_again(&params);
	swallows(a.ns, "fd00:ec2::254", 80);
	assert_int_equal(run("ip address del fd00:ec2::254/128 dev lan0"), 0);
	stop_container(&a);
}

static void unpublished_ports_are_closed_to_the_lan(void **state _unused_)
{
	struct container a = start_container();
	_cleanup_(closep) int listener = serve(a.ns, SOCK_STREAM, ANY6, 80);
	char route[128];

	(void) snprintf(route, sizeof(route), "ip route add %s via " HOST_LAN6, a.text6);
	enter(lan_ns);
	assert_int_equal(run(route), 0);
	enter(host_ns);
	swallows(lan_ns, a.text6, 80);
	assert_false(wait_for(listener, POLLIN, 0));
	stop_container(&a);
}

/* ---- what a hostile container writes on the wire ---- */

enum { PLAIN = 0, RA = 134, NS = 135, NA = 136, REDIRECT = 137, ECHO_REQUEST = 128 };

struct forged6 {
	uint8_t icmp;         /* type; PLAIN: protocol 253, for experiments */
	const uint8_t *mac;   /* source */
	const uint8_t *to;    /* hardware address; NULL: the gateway's */
	struct in6_addr from; /* source */
	uint8_t mark;         /* the last byte: the receiver knows it by that */
};

static uint8_t gateway_mac[ETH_ALEN];

static void send_frame6(int fd, int index, struct in6_addr dest, const struct forged6 *f)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = index,
				  .sll_halen = ETH_ALEN };
	uint8_t p[64] = { 0 }, *ip = p + ETH_HLEN;

	memcpy(p, f->to ? f->to : gateway_mac, ETH_ALEN);
	memcpy(p + ETH_ALEN, f->mac, ETH_ALEN);
	memcpy(p + 12, (const uint8_t[]){ 0x86, 0xdd }, 2);
	memcpy(ip, (const uint8_t[]){ 0x60, 0, 0, 0, 0, 10, f->icmp ? 58 : 253, 255 }, 8);
	memcpy(ip + 8, &f->from, sizeof(f->from));
	memcpy(ip + 24, &dest, sizeof(dest));
	ip[40] = f->icmp;
	p[63] = f->mark;
	assert_int_equal(sendto(fd, p, sizeof(p), 0, (struct sockaddr *) &to, sizeof(to)),
			 sizeof(p));
}

static struct in6_addr six(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static void none_passed(const bool seen[256])
{
	for (int mark = 1; mark < 100; mark++)
		if (seen[mark])
			fail_msg("forged frame %d passed", mark);
}

/* Towards the host, which takes the last one for what it is. */
static void a_container_cannot_pass_for_another(void **state _unused_)
{
	struct container bad = start_container(), good = start_container();
	_cleanup_(closep) int out = socket_in(bad.ns, AF_PACKET, SOCK_RAW, 0);
	_cleanup_(closep) int in = socket_in(host_ns, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	struct sockaddr_ll here = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int) if_nametoindex(BRIDGE) };
	struct in6_addr gateway = net_address6(net, net_gateway(net));
	uint8_t own[ETH_ALEN], others[ETH_ALEN];
	_cleanup_(closep) int inside = netns_rtnl_open(host_ns, bad.ns, NULL);
	bool seen[256] = {};

	link_mac(bad.addr, own);
	link_mac(good.addr, others);
	link_mac(net_gateway(net), gateway_mac);
	const struct forged6 frames[] = {
		{ PLAIN, own, NULL, bad.addr6, 100 }, /* the honest ones come first and last */
		{ ECHO_REQUEST, own, NULL, bad.addr6, 101 },
		{ PLAIN, own, NULL, good.addr6, 1 },
		{ PLAIN, others, NULL, good.addr6, 2 },
		{ PLAIN, own, NULL, gateway, 3 },
		{ PLAIN, own, NULL, six("2001:db8::7"), 4 },
		{ PLAIN, own, NULL, six("fe80::1"), 5 },
		{ PLAIN, own, NULL, six("::1"), 6 },
		{ PLAIN, own, NULL, six("::"), 7 },
		/* The low bits alone, in another network. */
		{ PLAIN, own, NULL, six("fd12:3456:789b::a58:8002"), 8 },
		{ RA, own, NULL, bad.addr6, 9 },
		{ NS, own, NULL, bad.addr6, 10 },
		{ NA, own, NULL, bad.addr6, 11 },
		{ REDIRECT, own, NULL, bad.addr6, 12 },
		{ PLAIN, own, NULL, bad.addr6, 102 },
	};

	assert_true(net_is_guarded(net) && inside >= 0);
	assert_int_equal(bind(in, (struct sockaddr *) &here, sizeof(here)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		send_frame6(out, link_index(inside, "eth0"), gateway, &frames[i]);
	see_frames(in, 102, seen);
	assert_true(seen[100] && seen[101]);
	none_passed(seen);
	stop_container(&bad);
	stop_container(&good);
}

/* Towards a neighbour there is no way but by the gateway. */
static void neighbours_get_nothing_directly(void **state _unused_)
{
	static const uint8_t all_nodes[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
	struct container bad = start_container(), victim = start_container();
	_cleanup_(closep) int out = socket_in(bad.ns, AF_PACKET, SOCK_RAW, 0);
	_cleanup_(closep) int in = socket_in(victim.ns, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	_cleanup_(closep) int inside = netns_rtnl_open(host_ns, bad.ns, NULL);
	struct in6_addr multicast = six("ff02::1");
	uint8_t own[ETH_ALEN], to[ETH_ALEN];
	bool seen[256] = {};

	link_mac(bad.addr, own);
	link_mac(victim.addr, to);
	link_mac(net_gateway(net), gateway_mac);
	const struct forged6 frames[] = {
		{ PLAIN, own, to, bad.addr6, 1 },
		{ NS, own, to, bad.addr6, 2 },
		{ NA, own, to, bad.addr6, 3 },
		{ NA, own, to, net_address6(net, net_gateway(net)), 4 },
		{ RA, own, to, bad.addr6, 5 },
		{ RA, own, to, six("fe80::1"), 6 },
		{ REDIRECT, own, to, net_address6(net, net_gateway(net)), 7 },
		{ NS, own, NULL, bad.addr6, 8 },
	}, floods[] = {
		{ PLAIN, own, all_nodes, bad.addr6, 11 },
		{ NS, own, all_nodes, bad.addr6, 12 },
		{ NA, own, all_nodes, bad.addr6, 13 },
		{ RA, own, all_nodes, six("fe80::1"), 14 },
	}, honest = { PLAIN, own, NULL, bad.addr6, 100 };

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		send_frame6(out, link_index(inside, "eth0"), victim.addr6, &frames[i]);
	for (size_t i = 0; i < ARRAY_SIZE(floods); i++)
		send_frame6(out, link_index(inside, "eth0"), multicast, &floods[i]);
	send_frame6(out, link_index(inside, "eth0"), victim.addr6, &honest);
	see_frames(in, 100, seen); /* by the gateway */
	none_passed(seen);
	stop_container(&bad);
	stop_container(&victim);
}

/* What the container knows of its neighbours was told by us, and is not to be changed. */
static void a_container_believes_nobody(void **state _unused_)
{
	struct container a = start_container();
	char gateway[INET6_ADDRSTRLEN], entry[160];

	gateway6_text(gateway);
	enter(a.ns);
	(void) snprintf(entry, sizeof(entry), "ip neigh show %s | grep -q PERMANENT", gateway);
	assert_int_equal(run(entry), 0);
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/eth0/accept_ra) = 0"), 0);
	assert_int_equal(run("test $(cat /proc/sys/net/ipv6/conf/eth0/accept_redirects) = 0"), 0);
	assert_int_equal(run("ip -6 address show dev eth0 | grep -q 'tentative\\|fe80'"), 1);
	enter(host_ns);
	assert_int_equal(run("ip -6 address show dev " BRIDGE " | grep -q 'tentative\\|fe80'"), 1);
	stop_container(&a);
}

static void nothing_is_left_after_a_container(void **state _unused_)
{
	struct container c = start_container();
	struct port_binding b = publish(&c, IPPROTO_TCP, 0, 80);

	assert_int_equal(run("nft list map inet ecs ports6 | grep -q elements"), 0);
	release(&b);
	stop_container(&c);
	assert_int_equal(run("test -z \"$(ip -6 neigh show dev " BRIDGE " nud permanent)\""), 0);
	assert_int_equal(run("nft list map inet ecs ports6 | grep -q elements"), 1);
}

static void teardown_leaves_nothing(void **state _unused_)
{
	assert_done(net_teardown(net, &_e));
	assert_int_equal(run("ip -6 route show table local | grep -q " BRIDGE), 1);
	assert_int_equal(run("nft list table inet ecs"), 1);
	start_again(&params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers_reach_gateway_each_other_and_the_lan),
		cmocka_unit_test(a_tcp_port_is_reached_from_everywhere),
		cmocka_unit_test(ports_are_reached_whatever_br_netfilter_does),
		cmocka_unit_test(link_local_addresses_are_not_published),
		cmocka_unit_test(a_udp_port_is_reached_from_everywhere),
		cmocka_unit_test(a_udp_flow_follows_the_port_to_its_next_owner),
		cmocka_unit_test(a_range_of_ports_is_reached_port_by_port),
		cmocka_unit_test(ports_of_listeners_of_either_family_are_in_use),
		cmocka_unit_test(what_others_change_is_noticed_and_put_right),
		cmocka_unit_test(a_restart_keeps_connections),
		cmocka_unit_test(the_host_goes_on_listening_to_its_routers),
		cmocka_unit_test(default_routes_tell_the_families),
		cmocka_unit_test(a_host_without_ipv4_serves_ipv6),
		cmocka_unit_test(instance_metadata_is_closed_unless_opened),
		cmocka_unit_test(unpublished_ports_are_closed_to_the_lan),
		cmocka_unit_test(a_container_cannot_pass_for_another),
		cmocka_unit_test(neighbours_get_nothing_directly),
		cmocka_unit_test(a_container_believes_nobody),
		cmocka_unit_test(a_container_of_an_agent_without_ipv6_gets_it_later),
		cmocka_unit_test(a_host_with_ipv6_switched_off_does_without),
		cmocka_unit_test(nothing_is_left_after_a_container),
		cmocka_unit_test(teardown_leaves_nothing),
	};

	return lab_main(tests, ARRAY_SIZE(tests), "net6");
}
