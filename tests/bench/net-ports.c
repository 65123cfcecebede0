/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-ports - one container with many published ports, for tests/bench/net.sh, which made the namespaces.
 * Arguments: the namespace of another machine, an address of this one that it reaches, how many ports. Prints how
 * long a new TCP connection from there takes, to the container and to this host itself, in turn; then the
 * container's namespace and one of its host ports, which lead to port 5201; and keeps them until its input ends.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/net.h"

enum { PORT = 5201, CONNECTIONS = 1000, TURNS = 5, PORTS_MAX = 9000 };

static struct net *net;
static char dir[] = "/tmp/net-ports-XXXXXX";

static void fail(const char *what)
{
	printf("%s: %m\n", what);
	if (net)
		(void) net_teardown(net, NULL);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		fail(path);
	return fd;
}

static int serve(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
		fail("listen");
	return fd;
}

/* Milliseconds for one connection, from connect() to its reset. The caller is where the client is. */
static double connections(struct in_addr to, uint16_t port, int listener)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = to };
	struct linger at_once = { .l_onoff = 1 };
	double t = now_ms();

	for (int i = 0; i < CONNECTIONS; i++) {
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;

		if (client < 0 || connect(client, (struct sockaddr *) &sa, sizeof(sa)) < 0)
			fail("connect");
		server = accept(listener, NULL, NULL);
		(void) setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		(void) close(client);
		(void) close(server);
	}
	return (now_ms() - t) / CONNECTIONS;
}

static uint16_t publish(struct in_addr addr, int ports)
{
	struct port_binding b = {};

	for (int i = 0; i < ports; i++) {
		b = (struct port_binding){ .container_port = PORT, .proto = IPPROTO_TCP };
		if (net_ports_hold(net, &b, 1, NULL) != 0 ||
		    net_ports_publish(net, addr, &b, 1, NULL) < 0)
			fail("publish");
	}
	return b.host_port;
}

static void measure(const char *inside, const char *outside, struct in_addr here, uint16_t port)
{
	int host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int on_host = serve(PORT), ns = enter(inside), in_container = serve(PORT);

	(void) close(ns);
	(void) close(enter(outside));
	for (int i = 0; i < TURNS; i++) {
		double host = connections(here, PORT, on_host);
		double published = connections(here, port, in_container);

		printf("new connection: host network %.4f ms, published %.4f ms, ratio %.2f\n",
		       host, published, published / host);
	}
	(void) close(on_host);
	(void) close(in_container);
	(void) setns(host_ns, CLONE_NEWNET);
	(void) close(host_ns);
}

int main(int argc, char **argv)
{
	struct net_params p = {
		.bridge = "ecsbench0",
		.subnet.s_addr = htonl(0x0a63f000), /* 10.99.240.0 */
		.prefix_len = 20,
		.netns_dir = dir,
		.dynamic_first = 20000,
		.dynamic_last = 29999,
	};
	int ports = argc > 3 ? (int) strtol(argv[3], NULL, 10) : 0;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *path = NULL;
	struct in_addr addr, here;
	uint16_t port;

	if (ports < 1 || ports > PORTS_MAX || inet_pton(AF_INET, argv[2], &here) != 1) {
		printf("usage: net-ports NAMESPACE ADDRESS PORTS, at most %d ports\n", PORTS_MAX);
		return 2;
	}
	if (!mkdtemp(dir) || net_new(&p, &net, &err) < 0 ||
	    net_ns_create(net, "bench", &path, &err) < 0 ||
	    net_address_take(net, &addr, &err) < 0 || net_attach(net, "bench", addr, &err) < 0) {
		printf("%s\n", err_text(&err));
		return 1;
	}
	port = publish(addr, ports);
	measure(path, argv[1], here, port);
	printf("ready %s %u\n", path, port);
	(void) fflush(stdout);
	(void) getchar();
	(void) net_ns_remove(net, "bench", NULL);
	(void) net_teardown(net, NULL);
	net = net_free(net);
	(void) rmdir(dir);
	return 0;
}
