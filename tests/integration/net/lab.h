/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab - the host, the LAN and the containers that the tests of the bridge network share. The test moves
 * into network and mount namespaces of its own, which play the host; a further one, joined by a veth
 * pair (lan0), plays a machine on the LAN. Addresses are text, of either family.
 */
#pragma once

#include "tests/unit/test.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "runtime/net/net.h"

#define BRIDGE "ecsnettest0"
#define HOST_LAN "192.0.2.1" /* documentation addresses: nobody has them */
#define LAN "192.0.2.7"
#define LOOP "127.0.0.1"
#define HOST_LAN6 "2001:db8::1"
#define LAN6 "2001:db8::7"
#define LOOP6 "::1"

enum { WAIT_MS = 5000, NEVER_MS = 300, FIRST_PORT = 21000 };

struct container {
	char id[65];
	int ns;
	struct in_addr addr;
	struct in6_addr addr6;
	char text[INET_ADDRSTRLEN], text6[INET6_ADDRSTRLEN];
};

extern int host_ns, lan_ns;
extern struct net *net; /* of the test that runs */
extern struct net_params params;

#define assert_done(call)                                                                          \
	do {                                                                                       \
		_cleanup_(err_done) struct err _e = {};                                            \
		int _k = (call);                                                                   \
		if (_k != 0)                                                                       \
			fail_msg(#call ": %d %s", _k, err_text(&_e));                              \
	} while (0)

/* Runs the test program's @tests in the laboratory, or says why it cannot. */
int lab_main(const struct CMUnitTest *tests, size_t n, const char *name);

int run(const char *command);
void enter(int ns);
int socket_in(int ns, int domain, int type, int proto);
struct sockaddr_in at(const char *addr, uint16_t port);
bool wait_for(int fd, short events, int ms);
int serve(int ns, int type, const char *addr, uint16_t port);

/* Connected descriptor, or a negative errno; -ETIMEDOUT: no answer. */
int dial(int ns, const char *addr, uint16_t port, int ms);

/* A byte goes there and back; @seen (INET6_ADDRSTRLEN, of IPv4 INET_ADDRSTRLEN) is whom the server saw. */
void exchange(int client, int server, char *seen);
void tcp_reaches(int ns, const char *addr, uint16_t port, int listener, char *seen);
int udp_client(int ns, const char *addr, uint16_t port);
void udp_reaches(int ns, const char *addr, uint16_t port, int server, char *seen);
void refuses(int ns, const char *addr, uint16_t port);
void swallows(int ns, const char *addr, uint16_t port);

struct container start_container(void);
void stop_container(struct container *c);
struct port_binding publish(const struct container *c, uint8_t proto, uint16_t host_port,
			    uint16_t container_port);
void release(const struct port_binding *b);
void gateway_text(char *text);
void gateway6_text(char *text);

/* The marks (last bytes) of the frames of 64 bytes that came, up to @last. */
void see_frames(int fd, uint8_t last, bool seen[256]);
