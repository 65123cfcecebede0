/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/net/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/spawn.h"
#include "common/strv.h"
#include "runtime/net/netns.h"
#include "tests/integration/host.h"

static char netns_dir[] = "/tmp/test-net-XXXXXX";
static int serial; /* so that every container has an id of its own */

int host_ns = -EBADF, lan_ns = -EBADF;
struct net *net;

/* fd12:3456:789a::/64 beside 10.88.128.0/20. */
struct net_params params = {
	.bridge = BRIDGE,
	.prefix_len = 20,
	.six = { .prefix.s6_addr = { 0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a }, .prefix_len = 64 },
	.netns_dir = netns_dir,
	.dynamic_first = FIRST_PORT,
	.dynamic_last = FIRST_PORT + 999,
};

int run(const char *command)
{
	char *const argv[] = { (char *) "sh", (char *) "-c", (char *) (uintptr_t) command, NULL };

	return spawn_wait(argv, NULL);
}

void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

int socket_in(int ns, int domain, int type, int proto)
{
	int fd;

	enter(ns);
	fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
	enter(host_ns);
	assert_true(fd >= 0);
	return fd;
}

struct sockaddr_in at(const char *addr, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, addr, &sa.sin_addr), 1);
	return sa;
}

union endpoint {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

/* @addr may end in %device, of namespace @ns. */
static union endpoint endpoint(int ns, const char *addr, uint16_t port)
{
	union endpoint e = { .six = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	const char *zone = strchr(addr, '%');
	char bare[INET6_ADDRSTRLEN];

	if (!strchr(addr, ':'))
		return (union endpoint){ .four = at(addr, port) };
	(void) snprintf(bare, sizeof(bare), "%.*s", (int) strcspn(addr, "%"), addr);
	assert_int_equal(inet_pton(AF_INET6, bare, &e.six.sin6_addr), 1);
	enter(ns);
	e.six.sin6_scope_id = zone ? if_nametoindex(zone + 1) : 0;
	enter(host_ns);
	return e;
}

static socklen_t size_of(const union endpoint *e)
{
	return e->any.sa_family == AF_INET6 ? sizeof(e->six) : sizeof(e->four);
}

bool wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, (int) patiently(ms)) == 1;
}

int serve(int ns, int type, const char *addr, uint16_t port)
{
	union endpoint e = endpoint(ns, addr, port);
	int fd = socket_in(ns, e.any.sa_family, type, 0), on = 1;

	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (e.any.sa_family == AF_INET6)
		(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	assert_int_equal(bind(fd, &e.any, size_of(&e)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

int dial(int ns, const char *addr, uint16_t port, int ms)
{
	union endpoint to = endpoint(ns, addr, port);
	_cleanup_(closep) int fd = socket_in(ns, to.any.sa_family, SOCK_STREAM, 0);
	int e = 0;
	socklen_t len = sizeof(e);

	if (connect(fd, &to.any, size_of(&to)) < 0 && errno != EINPROGRESS)
		return -errno;
	if (!wait_for(fd, POLLOUT, ms))
		return -ETIMEDOUT;
	(void) getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	return e ? -e : TAKE_FD(fd);
}

void exchange(int client, int server, char *seen)
{
	union endpoint peer;
	socklen_t len = sizeof(peer);
	char c = 'x';

	assert_int_equal(send(client, "q", 1, 0), 1);
	assert_true(wait_for(server, POLLIN, WAIT_MS));
	assert_int_equal(recvfrom(server, &c, 1, 0, &peer.any, &len), 1);
	assert_int_equal(c, 'q');
	if (len == 0) /* TCP does not say */
		assert_int_equal(getpeername(server, &peer.any, (len = sizeof(peer), &len)), 0);
	assert_int_equal(sendto(server, "a", 1, 0, &peer.any, size_of(&peer)), 1);
	assert_true(wait_for(client, POLLIN, WAIT_MS));
	assert_int_equal(recv(client, &c, 1, 0), 1);
	assert_int_equal(c, 'a');
	if (peer.any.sa_family == AF_INET6)
		(void) inet_ntop(AF_INET6, &peer.six.sin6_addr, seen, INET6_ADDRSTRLEN);
	else
		(void) inet_ntop(AF_INET, &peer.four.sin_addr, seen, INET_ADDRSTRLEN);
}

void tcp_reaches(int ns, const char *addr, uint16_t port, int listener, char *seen)
{
	_cleanup_(closep) int client = dial(ns, addr, port, WAIT_MS), server = -EBADF;

	if (client < 0)
		fail_msg("%s:%u from %s: %s", addr, port,
			 ns == lan_ns    ? "LAN"
			 : ns == host_ns ? "host"
					 : "a container",
			 strerror(-client));
	assert_true(wait_for(listener, POLLIN, WAIT_MS));
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(server >= 0);
	exchange(client, server, seen);
}

int udp_client(int ns, const char *addr, uint16_t port)
{
	union endpoint to = endpoint(ns, addr, port);
	int fd = socket_in(ns, to.any.sa_family, SOCK_DGRAM, 0);

	assert_int_equal(connect(fd, &to.any, size_of(&to)), 0);
	return fd;
}

void udp_reaches(int ns, const char *addr, uint16_t port, int server, char *seen)
{
	_cleanup_(closep) int client = udp_client(ns, addr, port);

	exchange(client, server, seen);
}

void refuses(int ns, const char *addr, uint16_t port)
{
	assert_int_equal(dial(ns, addr, port, WAIT_MS), -ECONNREFUSED);
}

void swallows(int ns, const char *addr, uint16_t port)
{
	int k = dial(ns, addr, port, NEVER_MS);

	assert_true(k == -ETIMEDOUT || k == -ENETUNREACH || k == -EHOSTUNREACH);
}

struct container start_container(void)
{
	struct container c = { .ns = -EBADF };
	_cleanup_(freep) char *path = NULL;

	/* As long as ids may be. */
	(void) snprintf(c.id, sizeof(c.id), "%032d-%031d", ++serial, 7);
	assert_done(net_ns_create(net, c.id, &path, &_e));
	assert_done(net_address_take(net, &c.addr, &_e));
	assert_done(net_attach(net, c.id, c.addr, &_e));
	c.ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(c.ns >= 0);
	(void) inet_ntop(AF_INET, &c.addr, c.text, sizeof(c.text));
	c.addr6 = net_address6(net, c.addr);
	(void) inet_ntop(AF_INET6, &c.addr6, c.text6, sizeof(c.text6));
	return c;
}

void stop_container(struct container *c)
{
	c->ns = safe_close(c->ns);
	assert_done(net_detach(net, c->id, &_e));
	assert_done(net_ns_remove(net, c->id, &_e));
	net_address_release(net, c->addr);
}

struct port_binding publish(const struct container *c, uint8_t proto, uint16_t host_port,
			    uint16_t container_port)
{
	struct port_binding b = { .proto = proto,
				  .host_port = host_port,
				  .container_port = container_port };

	assert_done(net_ports_hold(net, &b, 1, &_e));
	assert_true(b.host_port != 0);
	assert_done(net_ports_publish(net, c->addr, &b, 1, &_e));
	return b;
}

void release(const struct port_binding *b)
{
	assert_done(net_ports_release(net, b, 1, &_e));
}

void gateway_text(char *text)
{
	struct in_addr g = net_gateway(net);

	(void) inet_ntop(AF_INET, &g, text, INET_ADDRSTRLEN);
}

void gateway6_text(char *text)
{
	struct in6_addr g = net_address6(net, net_gateway(net));

	(void) inet_ntop(AF_INET6, &g, text, INET6_ADDRSTRLEN);
}

void see_frames(int fd, uint8_t last, bool seen[256])
{
	uint8_t frame[2048];
	ssize_t n;

	while (!seen[last] && wait_for(fd, POLLIN, WAIT_MS))
		while ((n = recv(fd, frame, sizeof(frame), 0)) > 0)
			if (n == 64)
				seen[frame[63]] = true;
	assert_true(seen[last]);
}

/* ---- the world around ---- */

static int set_up(void **state _unused_)
{
	_cleanup_(freep) char *lan = NULL, *join = NULL;
	_cleanup_(err_done) struct err err = {};

	host_ns = netns_self(&err);
	if (!mkdtemp(netns_dir) || host_ns < 0)
		return -1;
	if (asprintf(&lan, "%s/.lan", netns_dir) < 0 || netns_create(host_ns, lan, &err) < 0)
		return -1;
	lan_ns = netns_open(lan, &err);
	if (asprintf(&join,
		     "ip link set lo up && ip link add lan0 type veth peer name eth0 &&"
		     "ip link set eth0 netns %s && ip address add " HOST_LAN "/24 dev lan0 &&"
		     "ip address add " HOST_LAN6 "/64 dev lan0 nodad && ip link set lan0 up",
		     lan) < 0 ||
	    run(join) != 0)
		return -1;
	enter(lan_ns);
	if (run("echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6;"
		"ip address add " LAN "/24 dev eth0 && ip address add " LAN6 "/64 dev eth0 nodad &&"
		" ip link set eth0 up") != 0)
		return -1;
	enter(host_ns);
	if (net_new(&params, &net, &err) < 0) {
		print_message("%s\n", err_text(&err));
		return -1;
	}
	return 0;
}

static int tear_down(void **state _unused_)
{
	_cleanup_(freep) char *lan = NULL;
	_cleanup_(strv_freep) char **ids = NULL;

	if (net)
		(void) net_ns_list(net, &ids, NULL);
	for (size_t i = 0; ids && ids[i]; i++)
		(void) net_ns_remove(net, ids[i], NULL);
	net = net_free(net);
	if (asprintf(&lan, "%s/.lan", netns_dir) >= 0)
		(void) netns_remove(lan, NULL);
	return rmdir(netns_dir);
}

static const char *missing(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (run("ip -V && nft -v") != 0)
		return "needs the ip and nft programs";
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "cannot make namespaces here";
	return NULL;
}

int lab_main(const struct CMUnitTest *tests, size_t n, const char *name)
{
	const char *reason = missing();

	params.subnet.s_addr = htonl(0x0a588000); /* 10.88.128.0 */
	if (reason) {
		printf("1..0 # SKIP %s\n", reason);
		return 0;
	}
	return _cmocka_run_group_tests(name, tests, n, set_up, tear_down);
}
