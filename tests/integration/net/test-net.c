/* SPDX-License-Identifier: Apache-2.0 */
/* The bridge network in a real kernel: IPv4, and what is of no family. IPv6 is in test-net6.c. */
#include "tests/integration/net/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/strv.h"
#include "runtime/net/link.h"
#include "runtime/net/netns.h"
#include "tests/integration/host.h"

/* ---- tests ---- */

static void a_bridge_that_is_there_is_taken_over(void **state _unused_)
{
	unsigned int index = if_nametoindex(BRIDGE);
	_cleanup_(net_freep) struct net *again = NULL;

	assert_done(net_new(&params, &again, &_e));
	assert_int_equal(if_nametoindex(BRIDGE), index);
}

static void a_device_of_another_kind_is_refused(void **state _unused_)
{
	_cleanup_(net_freep) struct net *n = NULL;
	_cleanup_(err_done) struct err err = {};
	struct net_params p = params;

	p.bridge = "lan0";
	assert_int_equal(net_new(&p, &n, &err), -EEXIST);
	assert_string_equal(err.msg, "set up bridge network 'lan0': device 'lan0' is there and is "
				     "not a bridge");
}

static void containers_reach_gateway_each_other_and_the_lan(void **state _unused_)
{
	struct container a = start_container(), b = start_container();
	_cleanup_(closep) int on_b = serve(b.ns, SOCK_STREAM, "0.0.0.0", 80);
	_cleanup_(closep) int on_host = serve(host_ns, SOCK_STREAM, "0.0.0.0", 81);
	_cleanup_(closep) int on_lan = serve(lan_ns, SOCK_STREAM, "0.0.0.0", 82);
	char gateway[INET_ADDRSTRLEN], seen[INET_ADDRSTRLEN];

	gateway_text(gateway);
	tcp_reaches(a.ns, b.text, 80, on_b, seen);
	assert_string_equal(seen, a.text);
	tcp_reaches(a.ns, gateway, 81, on_host, seen);
	assert_string_equal(seen, a.text);
	tcp_reaches(a.ns, LAN, 82, on_lan, seen);
	assert_string_equal(seen, HOST_LAN); /* masqueraded */
	tcp_reaches(host_ns, b.text, 80, on_b, seen);
	stop_container(&a);
	stop_container(&b);
}

static void attach_may_be_repeated(void **state _unused_)
{
	struct container a = start_container();
	_cleanup_(closep) int on_a = serve(a.ns, SOCK_STREAM, "0.0.0.0", 80);
	_cleanup_(closep) int client = dial(host_ns, a.text, 80, WAIT_MS), server = -EBADF;
	_cleanup_(freep) char *path = NULL;
	char seen[INET_ADDRSTRLEN];

	assert_true(client >= 0 && wait_for(on_a, POLLIN, WAIT_MS));
	server = accept4(on_a, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_done(net_ns_create(net, a.id, &path, &_e));
	assert_done(net_attach(net, a.id, a.addr, &_e));
	exchange(client, server, seen); /* the connection did not notice */
	assert_done(net_detach(net, a.id, &_e));
	swallows(host_ns, a.text, 80);
	assert_done(net_detach(net, a.id, &_e));
	assert_done(net_attach(net, a.id, a.addr, &_e));
	tcp_reaches(host_ns, a.text, 80, on_a, seen);
	stop_container(&a);
	assert_done(net_detach(net, a.id, &_e));
	assert_done(net_ns_remove(net, a.id, &_e));
}

static void a_tcp_port_is_reached_from_everywhere(void **state _unused_)
{
	struct container web = start_container(), other = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	struct port_binding q = publish(&web, IPPROTO_TCP, 8080, 80);
	char gateway[INET_ADDRSTRLEN], seen[INET_ADDRSTRLEN];

	gateway_text(gateway);
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	assert_string_equal(seen, gateway);
	tcp_reaches(host_ns, HOST_LAN, p.host_port, listener, seen);
	tcp_reaches(host_ns, gateway, p.host_port, listener, seen);
	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	assert_string_equal(seen, LAN); /* callers from outside keep their address */
	tcp_reaches(lan_ns, HOST_LAN, 8080, listener, seen);
	tcp_reaches(other.ns, HOST_LAN, p.host_port, listener, seen);
	tcp_reaches(other.ns, gateway, p.host_port, listener, seen);
	tcp_reaches(web.ns, HOST_LAN, p.host_port, listener, seen); /* itself */
	release(&p);
	release(&q);
	refuses(host_ns, LOOP, p.host_port);
	refuses(lan_ns, HOST_LAN, 8080);
	stop_container(&web);
	stop_container(&other);
}

/* With br_netfilter (Docker loads it) packets are translated inside the bridge, another way round. */
static void ports_are_reached_whatever_br_netfilter_does(void **state)
{
	static const char knob[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";

	if (access(knob, W_OK) < 0)
		skip();
	assert_int_equal(run("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables"), 0);
	a_tcp_port_is_reached_from_everywhere(state);
	assert_int_equal(run("echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables"), 0);
	a_tcp_port_is_reached_from_everywhere(state);
}

static void a_udp_port_is_reached_from_everywhere(void **state _unused_)
{
	struct container dns = start_container(), other = start_container();
	_cleanup_(closep) int server = serve(dns.ns, SOCK_DGRAM, "0.0.0.0", 53);
	struct port_binding p = publish(&dns, IPPROTO_UDP, 0, 53);
	char seen[INET_ADDRSTRLEN];

	udp_reaches(host_ns, LOOP, p.host_port, server, seen);
	udp_reaches(host_ns, HOST_LAN, p.host_port, server, seen);
	udp_reaches(lan_ns, HOST_LAN, p.host_port, server, seen);
	assert_string_equal(seen, LAN);
	udp_reaches(other.ns, HOST_LAN, p.host_port, server, seen);
	release(&p);
	stop_container(&dns);
	stop_container(&other);
}

/* One socket keeps sending: the kernel's memory of the flow must not outlive the port. */
static void a_udp_flow_follows_the_port_to_its_next_owner(void **state _unused_)
{
	struct container one = start_container(), two = start_container();
	_cleanup_(closep) int at_one = serve(one.ns, SOCK_DGRAM, "0.0.0.0", 53);
	_cleanup_(closep) int at_two = serve(two.ns, SOCK_DGRAM, "0.0.0.0", 53);
	_cleanup_(closep) int client = udp_client(lan_ns, HOST_LAN, 5353);
	struct port_binding p;
	char seen[INET_ADDRSTRLEN];

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

static void hold_says_in_use(uint8_t proto, uint16_t port)
{
	struct port_binding b[] = {
		{ .proto = IPPROTO_TCP, .container_port = 1 },
		{ .proto = proto, .container_port = 80, .host_port = port },
	};
	_cleanup_(err_done) struct err err = {};
	char text[64];

	assert_int_equal(net_ports_hold(net, b, 2, &err), NET_E_PORT_IN_USE);
	(void) snprintf(text, sizeof(text), "host port %u/%s is in use", port,
			proto == IPPROTO_UDP ? "udp" : "tcp");
	assert_string_equal(err.msg, text);
	assert_int_equal(b[0].host_port, 0);
}

static void ports_of_listeners_are_in_use(void **state _unused_)
{
	_cleanup_(closep) _unused_ int any = serve(host_ns, SOCK_STREAM, "0.0.0.0", 7001);
	_cleanup_(closep) _unused_ int one = serve(host_ns, SOCK_STREAM, LOOP, 7002);
	_cleanup_(closep) _unused_ int udp = serve(host_ns, SOCK_DGRAM, HOST_LAN, 7003);
	_cleanup_(closep) int six = socket_in(host_ns, AF_INET6, SOCK_STREAM, 0);
	_cleanup_(closep) _unused_ int dynamic =
		serve(host_ns, SOCK_STREAM, "0.0.0.0", FIRST_PORT + 500);
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(7004) };
	struct port_binding b = { .proto = IPPROTO_TCP, .container_port = 80 };

	assert_int_equal(bind(six, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(six, 1), 0);
	hold_says_in_use(IPPROTO_TCP, 7001);
	hold_says_in_use(IPPROTO_TCP, 7002);
	hold_says_in_use(IPPROTO_UDP, 7003);
	hold_says_in_use(IPPROTO_TCP, 7004);
	for (int i = 0; i < 600; i++) { /* each rests for a minute afterwards */
		b.host_port = 0;
		assert_done(net_ports_hold(net, &b, 1, &_e));
		assert_int_not_equal(b.host_port, FIRST_PORT + 500);
		release(&b);
	}
}

static void a_held_port_is_nobody_elses(void **state _unused_)
{
	_cleanup_(closep) int fd = socket_in(host_ns, AF_INET, SOCK_STREAM, 0);
	struct port_binding b = { .proto = IPPROTO_TCP, .container_port = 80, .host_port = 7010 };
	struct sockaddr_in sa = at(LOOP, 7010);
	int on = 1;

	assert_done(net_ports_hold(net, &b, 1, &_e));
	refuses(host_ns, LOOP, 7010);
	refuses(lan_ns, HOST_LAN, 7010);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), -1);
	assert_int_equal(errno, EADDRINUSE);
	hold_says_in_use(IPPROTO_TCP, 7010);
	release(&b);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
}

static void a_port_with_connections_in_time_wait_can_be_held(void **state _unused_)
{
	int listener = serve(host_ns, SOCK_STREAM, "0.0.0.0", 7020);
	int client = dial(host_ns, LOOP, 7020, WAIT_MS), server;
	_cleanup_(closep) int fd = socket_in(host_ns, AF_INET, SOCK_STREAM, 0);
	struct port_binding b = { .proto = IPPROTO_TCP, .container_port = 80, .host_port = 7020 };
	struct sockaddr_in sa = at("0.0.0.0", 7020);
	int on = 1;

	assert_true(wait_for(listener, POLLIN, WAIT_MS));
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	(void) safe_close(server); /* the server closes first, so its end waits */
	(void) safe_close(listener);
	(void) safe_close(client);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), -1);
	assert_done(net_ports_hold(net, &b, 1, &_e));
	refuses(host_ns, LOOP, 7020);
	/* As closed to others as any port that is held. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) == 0)
		assert_int_equal(listen(fd, 1), -1);
	release(&b);
}

static void a_flushed_ruleset_is_put_back(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80), q;
	char seen[INET_ADDRSTRLEN];

	assert_int_equal(run("nft flush ruleset"), 0);
	refuses(host_ns, LOOP, p.host_port);
	assert_done(net_reassert(net, &_e));
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	/* Nobody needs to notice first: the next change brings everything back. */
	assert_int_equal(run("nft flush ruleset"), 0);
	q = publish(&web, IPPROTO_TCP, 0, 80);
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	assert_int_equal(run("nft flush ruleset"), 0);
	release(&q);
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	/* A table of the same name in a form that does not fit. */
	assert_int_equal(run("nft delete table inet ecs; nft add table inet ecs;"
			     "nft 'add map inet ecs ports { type inet_service : ipv4_addr; }'"),
			 0);
	assert_done(net_reassert(net, &_e));
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	release(&p);
	stop_container(&web);
}

static void a_restart_keeps_connections_and_restores_exactly_what_is_given(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	struct port_binding kept = publish(&web, IPPROTO_TCP, 0, 80);
	struct port_binding gone = publish(&web, IPPROTO_TCP, 7030, 80);
	struct port_binding added = { .proto = IPPROTO_TCP,
				      .host_port = 7031,
				      .container_port = 80 };
	struct net_published all[] = { { web.addr, kept }, { web.addr, added } };
	_cleanup_(closep) int client = dial(lan_ns, HOST_LAN, kept.host_port, WAIT_MS);
	_cleanup_(closep) int server = -EBADF;
	char seen[INET_ADDRSTRLEN];

	assert_true(client >= 0 && wait_for(listener, POLLIN, WAIT_MS));
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	net = net_free(net);
	tcp_reaches(lan_ns, HOST_LAN, kept.host_port, listener, seen); /* without an agent */
	assert_done(net_new(&params, &net, &_e));
	tcp_reaches(lan_ns, HOST_LAN, kept.host_port, listener, seen); /* before the restore */
	assert_done(net_address_restore(net, web.addr, &_e));
	assert_done(net_ports_restore(net, all, 2, &_e));
	exchange(client, server, seen);
	tcp_reaches(host_ns, LOOP, kept.host_port, listener, seen);
	tcp_reaches(host_ns, LOOP, 7031, listener, seen);
	refuses(host_ns, LOOP, gone.host_port);
	hold_says_in_use(IPPROTO_TCP, kept.host_port);
	release(&kept);
	release(&added);
	stop_container(&web);
}

static void a_port_taken_during_the_restart_stays_published(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	struct net_published p = { web.addr, publish(&web, IPPROTO_TCP, 7040, 80) };
	_cleanup_(closep) int intruder = -EBADF;
	char seen[INET_ADDRSTRLEN];

	net = net_free(net);
	intruder = serve(host_ns, SOCK_STREAM, "0.0.0.0", 7040);
	assert_done(net_new(&params, &net, &_e));
	assert_done(net_address_restore(net, web.addr, &_e));
	assert_done(net_ports_restore(net, &p, 1, &_e));
	tcp_reaches(host_ns, LOOP, 7040, listener, seen);
	release(&p.binding);
	stop_container(&web);
}

static void instance_metadata_is_closed_unless_opened(void **state _unused_)
{
	struct container a = start_container();
	_cleanup_(closep) int imds = -EBADF;
	struct net_params open_params = params;
	char seen[INET_ADDRSTRLEN];

	assert_int_equal(run("ip address add 169.254.169.254/32 dev lan0"), 0);
	imds = serve(host_ns, SOCK_STREAM, "169.254.169.254", 80);
	tcp_reaches(host_ns, "169.254.169.254", 80, imds, seen);
	swallows(a.ns, "169.254.169.254", 80);
	net = net_free(net);
	open_params.allow_imds = true;
	assert_done(net_new(&open_params, &net, &_e));
	tcp_reaches(a.ns, "169.254.169.254", 80, imds, seen);
	net = net_free(net);
	assert_done(net_new(&params, &net, &_e));
	swallows(a.ns, "169.254.169.254", 80);
	assert_int_equal(run("ip address del 169.254.169.254/32 dev lan0"), 0);
	stop_container(&a);
}

static void unpublished_ports_are_closed_to_the_lan(void **state _unused_)
{
	struct container a = start_container();
	_cleanup_(closep) int listener = serve(a.ns, SOCK_STREAM, "0.0.0.0", 80);
	char route[128];

	(void) snprintf(route, sizeof(route), "ip route add %s via " HOST_LAN, a.text);
	enter(lan_ns);
	assert_int_equal(run(route), 0);
	enter(host_ns);
	swallows(lan_ns, a.text, 80);
	assert_false(wait_for(listener, POLLIN, 0));
	stop_container(&a);
}

/* A SYN to 127.0.0.1:@port, as a neighbour may put it on the wire. */
/* Of an IPv4 head of 20 bytes. */
static void put_checksum(uint8_t *p)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t) p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	p[10] = (uint8_t) (sum >> 8);
	p[11] = (uint8_t) sum;
}

static void send_martian(int ns, const char *device, const uint8_t to[ETH_ALEN], const char *from,
			 uint16_t port)
{
	_cleanup_(closep) int fd = socket_in(ns, AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_IP),
				  .sll_halen = ETH_ALEN };
	uint8_t p[36] = { 0x45, 0, 0, 36, 0, 1, 0, 0, 64, IPPROTO_UDP };
	struct sockaddr_in src = at(from, 4000), dst = at(LOOP, port);
	uint16_t udp_len = htons(16);

	enter(ns);
	ll.sll_ifindex = (int) if_nametoindex(device);
	enter(host_ns);
	memcpy(ll.sll_addr, to, ETH_ALEN);
	memcpy(p + 12, &src.sin_addr, 4);
	memcpy(p + 16, &dst.sin_addr, 4);
	memcpy(p + 20, &src.sin_port, 2);
	memcpy(p + 22, &dst.sin_port, 2);
	memcpy(p + 24, &udp_len, 2); /* no UDP checksum */
	put_checksum(p);
	assert_int_equal(sendto(fd, p, sizeof(p), 0, (struct sockaddr *) &ll, sizeof(ll)),
			 sizeof(p));
}

static void martian_loopback_is_dropped(void **state _unused_)
{
	struct container a = start_container();
	_cleanup_(closep) int local = serve(host_ns, SOCK_DGRAM, LOOP, 7050);
	uint8_t mac[ETH_ALEN];
	char c;

	/* route_localnet alone would let it in: shown first, so that the test proves something. */
	link_mac(net_gateway(net), mac);
	assert_int_equal(run("nft flush chain inet ecs raw"), 0);
	send_martian(a.ns, "eth0", mac, a.text, 7050);
	assert_true(wait_for(local, POLLIN, WAIT_MS));
	assert_int_equal(recv(local, &c, 1, 0), 1);
	assert_done(net_reassert(net, &_e));
	send_martian(a.ns, "eth0", mac, a.text, 7050);
	assert_false(wait_for(local, POLLIN, NEVER_MS));
	stop_container(&a);
}

static void links_appear(const char *prefix, int *ret)
{
	struct if_nameindex *all = if_nameindex();

	*ret = 0;
	for (struct if_nameindex *i = all; i && i->if_index; i++)
		*ret += !strncmp(i->if_name, prefix, strlen(prefix));
	if_freenameindex(all);
}

/* Its frames are its own to write, the answers go to the port that the address belongs to. */
static void a_forged_source_gets_no_answers(void **state _unused_)
{
	struct container victim = start_container(), forger = start_container();
	_cleanup_(closep) int server = serve(host_ns, SOCK_STREAM, "0.0.0.0", 7060);
	_cleanup_(closep) int fd = -EBADF;
	char add[96], gateway[INET_ADDRSTRLEN];
	struct sockaddr_in src = at(victim.text, 0), dst;

	gateway_text(gateway);
	dst = at(gateway, 7060);
	(void) snprintf(add, sizeof(add), "ip address add %s/32 dev eth0", victim.text);
	enter(forger.ns);
	assert_int_equal(run(add), 0);
	enter(host_ns);
	fd = socket_in(forger.ns, AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &src, sizeof(src)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *) &dst, sizeof(dst)), -1);
	assert_false(wait_for(fd, POLLOUT, NEVER_MS));
	assert_false(wait_for(server, POLLIN, 0));
	stop_container(&victim);
	stop_container(&forger);
}

static double now_ms(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static void five_hundred_ports_come_and_go(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	static struct port_binding b[500];
	char seen[INET_ADDRSTRLEN];
	double t = now_ms(), published;

	for (size_t i = 0; i < ARRAY_SIZE(b); i++)
		b[i] = publish(&web, IPPROTO_TCP, 0, 80);
	published = now_ms();
	for (size_t i = 0; i < ARRAY_SIZE(b); i += 100)
		tcp_reaches(host_ns, LOOP, b[i].host_port, listener, seen);
	for (size_t i = 1; i < ARRAY_SIZE(b); i++)
		release(&b[i]);
	print_message("# 500 ports: publish %.3f ms each, release %.3f ms each\n",
		      (published - t) / 500, (now_ms() - published) / 500);
	tcp_reaches(host_ns, LOOP, b[0].host_port, listener, seen);
	refuses(host_ns, LOOP, b[499].host_port);
	release(&b[0]);
	stop_container(&web);
}

static void a_range_of_ports_is_reached_port_by_port(void **state _unused_)
{
	struct container web = start_container();
	struct port_binding b[10];
	char seen[INET_ADDRSTRLEN];

	for (size_t i = 0; i < ARRAY_SIZE(b); i++)
		b[i] = (struct port_binding){
			.container_port = (uint16_t) (7000 + i % 5),
			.proto = i < 5 ? IPPROTO_TCP : IPPROTO_UDP,
			.range = i < 5 ? 1 : 2,
		};
	assert_done(net_ports_hold(net, b, ARRAY_SIZE(b), &_e));
	assert_done(net_ports_publish(net, web.addr, b, ARRAY_SIZE(b), &_e));
	for (size_t i = 0; i < ARRAY_SIZE(b); i++) {
		bool udp = b[i].proto == IPPROTO_UDP;
		_cleanup_(closep) int server = serve(web.ns, udp ? SOCK_DGRAM : SOCK_STREAM,
						     "0.0.0.0", b[i].container_port);

		assert_int_equal(b[i].host_port, b[i / 5 * 5].host_port + i % 5);
		(udp ? udp_reaches : tcp_reaches)(lan_ns, HOST_LAN, b[i].host_port, server, seen);
		assert_string_equal(seen, LAN);
	}
	assert_done(net_ports_release(net, b, ARRAY_SIZE(b), &_e));
	stop_container(&web);
}

/* A frame of the container's own making. */
struct forged {
	uint16_t type;          /* ethertype */
	const uint8_t *mac;     /* source */
	const uint8_t *arp_mac; /* NULL: of no ARP */
	struct in_addr addr;    /* source, or what ARP claims */
	uint8_t mark;           /* the last byte: the receiver knows it by that */
};

static size_t write_frame(uint8_t *p, const uint8_t to[ETH_ALEN], struct in_addr dest,
			  const struct forged *f)
{
	struct ether_header *e = (struct ether_header *) p;
	uint8_t *body = p + sizeof(*e);

	memset(p, 0, 64);
	memcpy(e->ether_dhost, to, ETH_ALEN);
	memcpy(e->ether_shost, f->mac, ETH_ALEN);
	e->ether_type = htons(f->type);
	if (f->type == ETHERTYPE_ARP) { /* a reply: "@addr is at @arp_mac" */
		memcpy(body, (const uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, 2 }, 8);
		memcpy(body + 8, f->arp_mac, ETH_ALEN);
		memcpy(body + 14, &f->addr, 4);
		memcpy(body + 18, to, ETH_ALEN);
		memcpy(body + 24, &dest, 4);
	} else if (f->type == ETHERTYPE_IP) { /* protocol 253: for experiments */
		memcpy(body, (const uint8_t[]){ 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 253 }, 10);
		memcpy(body + 12, &f->addr, 4);
		memcpy(body + 16, &dest, 4);
		put_checksum(body);
	} else if (f->type == ETHERTYPE_IPV6) {
		memcpy(body, (const uint8_t[]){ 0x60, 0, 0, 0, 0, 10, 58, 255 }, 8);
	}
	p[63] = f->mark;
	return 64;
}

static void send_frame(int fd, int index, struct in_addr dest, const struct forged *f)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = index,
				  .sll_halen = ETH_ALEN };
	_Alignas(8) uint8_t frame[64];
	uint8_t mac[ETH_ALEN];
	size_t n;

	link_mac(dest, mac);
	n = write_frame(frame, mac, dest, f);
	assert_int_equal(sendto(fd, frame, n, 0, (struct sockaddr *) &to, sizeof(to)), n);
}

static void a_container_cannot_pass_for_another(void **state _unused_)
{
	struct container bad = start_container(), good = start_container(),
			 victim = start_container();
	_cleanup_(closep) int out = socket_in(bad.ns, AF_PACKET, SOCK_RAW, 0);
	_cleanup_(closep) int in = socket_in(victim.ns, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	uint8_t own[ETH_ALEN], others[ETH_ALEN], strange[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };
	struct in_addr foreign = { htonl(0xc0000209) };
	_cleanup_(closep) int inside = -EBADF;
	bool seen[256] = {};

	link_mac(bad.addr, own);
	link_mac(good.addr, others);
	const struct forged frames[] = {
		{ ETHERTYPE_IP, own, NULL, bad.addr,
		  100 }, /* the honest ones come first and last */
		{ ETHERTYPE_ARP, own, own, bad.addr, 101 },
		{ ETHERTYPE_IP, own, NULL, good.addr, 1 }, /* another's source address */
		{ ETHERTYPE_IP, own, NULL, foreign, 2 },
		{ ETHERTYPE_IP, others, NULL, good.addr, 3 }, /* its hardware address as well */
		{ ETHERTYPE_IP, strange, NULL, bad.addr, 4 },
		{ ETHERTYPE_ARP, own, own, good.addr, 5 }, /* "its address is at mine" */
		{ ETHERTYPE_ARP, own, strange, good.addr, 6 },
		{ ETHERTYPE_ARP, others, others, good.addr, 7 },
		{ ETHERTYPE_ARP, own, own, net_gateway(net), 8 },
		{ ETHERTYPE_IPV6, own, NULL, bad.addr,
		  9 }, /* neighbour discovery is of no use here */
		{ ETHERTYPE_VLAN, own, NULL, bad.addr, 10 },
		{ ETHERTYPE_IP, own, NULL, bad.addr, 102 },
	};

	assert_true(net_is_guarded(net));
	inside = netns_rtnl_open(host_ns, bad.ns, NULL);
	assert_true(inside >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		send_frame(out, link_index(inside, "eth0"), victim.addr, &frames[i]);
	see_frames(in, 102, seen);
	assert_true(seen[100] && seen[101]);
	for (int mark = 1; mark <= 10; mark++)
		if (seen[mark])
			fail_msg("forged frame %d passed", mark);
	stop_container(&bad);
	stop_container(&good);
	stop_container(&victim);
}

/* As Docker leaves a host; what DOCKER-USER accepts passes. */
static void a_host_that_drops_what_is_forwarded_has_to_accept_the_bridge(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	_cleanup_(closep) int away = serve(lan_ns, SOCK_STREAM, LAN, 7081);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	_cleanup_(freep) char *none = NULL, *chain = NULL;
	char seen[INET_ADDRSTRLEN];

	assert_done(net_forward_policy(net, &none, &_e));
	assert_null(none);
	assert_int_equal(run("nft 'add table ip filter; add chain ip filter DOCKER-USER;"
			     " add chain ip filter FORWARD { type filter hook forward priority 0;"
			     " policy drop; }; add rule ip filter FORWARD jump DOCKER-USER'"),
			 0);
	assert_done(net_forward_policy(net, &chain, &_e));
	assert_string_equal(chain, "chain FORWARD of table ip filter");
	swallows(lan_ns, HOST_LAN, p.host_port);
	swallows(web.ns, LAN, 7081);
	tcp_reaches(host_ns, LOOP, p.host_port, listener, seen);
	assert_int_equal(run("nft 'add rule ip filter DOCKER-USER iifname " BRIDGE " accept;"
			     " add rule ip filter DOCKER-USER oifname " BRIDGE " accept'"),
			 0);
	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	assert_string_equal(seen, LAN); /* who calls is seen as who it is */
	tcp_reaches(web.ns, LAN, 7081, away, seen);
	assert_int_equal(run("nft delete table ip filter"), 0);
	release(&p);
	stop_container(&web);
}

/* There is no default route here, and no device of the host is called eth0. */
static void devices_may_have_any_name_and_change_it(void **state _unused_)
{
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	_cleanup_(closep) int away = serve(lan_ns, SOCK_STREAM, LAN, 7082);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	char seen[INET_ADDRSTRLEN];
	int fd = -EBADF;

	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	assert_int_equal(run("ip link set lan0 down && ip link set lan0 name wan7 &&"
			     " ip link set wan7 up"),
			 0);
	for (int i = 0; i < 60 && fd < 0; i++) /* until the line is up again */
		fd = dial(host_ns, LAN, 7082, WAIT_MS);
	assert_true(fd >= 0);
	(void) close(fd);
	fd = accept4(away, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	(void) close(fd);
	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	assert_string_equal(seen, LAN);
	tcp_reaches(web.ns, LAN, 7082, away, seen);
	assert_string_equal(seen, HOST_LAN);
	assert_int_equal(run("ip link set wan7 down && ip link set wan7 name lan0 &&"
			     " ip link set lan0 up"),
			 0);
	release(&p);
	stop_container(&web);
}

static bool monitor_tells(void)
{
	struct pollfd p = { .fd = net_monitor_fd(net), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void what_others_change_is_noticed_and_put_right(void **state _unused_)
{
	static const char *const damage[] = {
		"nft delete table inet ecs",
		"nft flush chain inet ecs raw",
		"nft delete table bridge ecs",
		"nft flush chain bridge ecs guard",
		"nft insert rule inet ecs forward drop",
		"nft flush map inet ecs ports",
		"nft 'add element inet ecs ports { 6 . 21999 : 192.0.2.9 . 80 }'",
		"nft 'add table inet ecs { flags dormant; }'",
	};
	struct container web = start_container();
	_cleanup_(closep) int listener = serve(web.ns, SOCK_STREAM, "0.0.0.0", 80);
	struct port_binding p = publish(&web, IPPROTO_TCP, 0, 80);
	_cleanup_(err_done) struct err err = {};
	char seen[INET_ADDRSTRLEN];

	assert_true(monitor_tells()); /* our own doing is told of, too … */
	assert_int_equal(net_check(net, false, &err), 0);
	assert_false(monitor_tells());
	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		assert_int_equal(run(damage[i]), 0);
		assert_true(monitor_tells());
		if (net_check(net, false, &err) != NET_E_RESTORED)
			fail_msg("'%s' went unnoticed: %s", damage[i], err_text(&err));
		tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
		assert_int_equal(net_check(net, false, &err), 0);
	}
	/* Tables of others are theirs. */
	assert_int_equal(run("nft add table ip other && nft delete table ip other"), 0);
	assert_true(monitor_tells());
	assert_int_equal(net_check(net, false, &err), 0);
	assert_int_equal(run("echo 0 > /proc/sys/net/ipv4/ip_forward"), 0);
	assert_int_equal(net_check(net, true, &err), 0);
	tcp_reaches(lan_ns, HOST_LAN, p.host_port, listener, seen);
	release(&p);
	stop_container(&web);
}

static void nothing_is_left_after_a_container(void **state _unused_)
{
	struct timespec nap = { .tv_nsec = 20000000 };
	_cleanup_(strv_freep) char **ids = NULL;
	int links = -1;

	for (int i = 0; i < 10; i++) {
		struct container c = start_container();
		struct port_binding b = publish(&c, IPPROTO_TCP, 0, 80);

		assert_done(net_ns_list(net, &ids, &_e));
		assert_true(strv_contains(ids, c.id));
		ids = strv_free(ids);
		release(&b);
		stop_container(&c);
	}
	assert_done(net_ns_list(net, &ids, &_e));
	assert_int_equal(strv_length(ids), 0);
	for (int i = 0; i < patiently(250) && links != 0; i++) {
		(void) nanosleep(&nap, NULL);
		links_appear("ev", &links);
	}
	assert_int_equal(links, 0);
	assert_int_equal(run("test -z \"$(ip neigh show dev " BRIDGE " nud permanent)\""), 0);
	assert_int_equal(run("nft list map inet ecs ports | grep -q elements"), 1);
}

static void teardown_leaves_nothing(void **state _unused_)
{
	assert_done(net_teardown(net, &_e));
	assert_int_equal(if_nametoindex(BRIDGE), 0);
	assert_int_equal(run("nft list table inet ecs"), 1);
	assert_done(net_teardown(net, &_e));
	net = net_free(net);
	assert_done(net_new(&params, &net, &_e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bridge_that_is_there_is_taken_over),
		cmocka_unit_test(a_device_of_another_kind_is_refused),
		cmocka_unit_test(containers_reach_gateway_each_other_and_the_lan),
		cmocka_unit_test(attach_may_be_repeated),
		cmocka_unit_test(a_tcp_port_is_reached_from_everywhere),
		cmocka_unit_test(ports_are_reached_whatever_br_netfilter_does),
		cmocka_unit_test(a_udp_port_is_reached_from_everywhere),
		cmocka_unit_test(a_udp_flow_follows_the_port_to_its_next_owner),
		cmocka_unit_test(ports_of_listeners_are_in_use),
		cmocka_unit_test(a_held_port_is_nobody_elses),
		cmocka_unit_test(a_port_with_connections_in_time_wait_can_be_held),
		cmocka_unit_test(a_flushed_ruleset_is_put_back),
		cmocka_unit_test(a_restart_keeps_connections_and_restores_exactly_what_is_given),
		cmocka_unit_test(a_port_taken_during_the_restart_stays_published),
		cmocka_unit_test(instance_metadata_is_closed_unless_opened),
		cmocka_unit_test(unpublished_ports_are_closed_to_the_lan),
		cmocka_unit_test(martian_loopback_is_dropped),
		cmocka_unit_test(a_forged_source_gets_no_answers),
		cmocka_unit_test(five_hundred_ports_come_and_go),
		cmocka_unit_test(a_range_of_ports_is_reached_port_by_port),
		cmocka_unit_test(a_container_cannot_pass_for_another),
		cmocka_unit_test(a_host_that_drops_what_is_forwarded_has_to_accept_the_bridge),
		cmocka_unit_test(what_others_change_is_noticed_and_put_right),
		cmocka_unit_test(devices_may_have_any_name_and_change_it),
		cmocka_unit_test(nothing_is_left_after_a_container),
		cmocka_unit_test(teardown_leaves_nothing),
	};

	return lab_main(tests, ARRAY_SIZE(tests), "net");
}
