/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net-setup - how long a container's network takes: namespace, attach, publish, and their undoing.
 * Runs in network and mount namespaces of its own; prints numbers, never fails. Arguments: rounds
 * (50), ports of the bulk part (500), 4: IPv4 only.
 */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "runtime/net/net.h"

enum { STEPS = 6, ROUNDS_MAX = 1000 };

static const char *const step_names[STEPS] = { "namespace create", "attach", "hold + publish",
					       "release",          "detach", "namespace remove" };

static double now_ms(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static int one_round(struct net *n, int i, double took[STEPS], struct err *err)
{
	struct port_binding b = { .container_port = 80, .proto = IPPROTO_TCP };
	_cleanup_(freep) char *path = NULL;
	struct in_addr addr;
	char id[32];
	double t = now_ms();
	int k;

	(void) snprintf(id, sizeof(id), "round-%d", i);
	k = net_ns_create(n, id, &path, err);
	took[0] = now_ms() - t, t = now_ms();
	if (k == 0)
		k = net_address_take(n, &addr, err);
	if (k == 0)
		k = net_attach(n, id, addr, err);
	took[1] = now_ms() - t, t = now_ms();
	if (k == 0)
		k = net_ports_hold(n, &b, 1, err);
	if (k == 0)
		k = net_ports_publish(n, addr, &b, 1, err);
	took[2] = now_ms() - t, t = now_ms();
	if (k == 0)
		k = net_ports_release(n, &b, 1, err);
	took[3] = now_ms() - t, t = now_ms();
	if (k == 0)
		k = net_detach(n, id, err);
	took[4] = now_ms() - t, t = now_ms();
	if (k == 0)
		k = net_ns_remove(n, id, err);
	took[5] = now_ms() - t;
	return k == 0 ? 0 : -1;
}

static void rounds(struct net *n, int count)
{
	static double took[STEPS][ROUNDS_MAX], setup[ROUNDS_MAX], undo[ROUNDS_MAX];

	for (int i = 0; i < count; i++) {
		_cleanup_(err_done) struct err err = {};
		double one[STEPS];

		if (one_round(n, i, one, &err) < 0) {
			printf("round %d: %s\n", i, err_text(&err));
			return;
		}
		setup[i] = one[0] + one[1] + one[2];
		undo[i] = one[3] + one[4] + one[5];
		for (int s = 0; s < STEPS; s++)
			took[s][i] = one[s];
	}
	printf("%-28s %8s %8s   ms, %d rounds\n", "", "p50", "p99", count);
	for (int s = 0; s < STEPS; s++) {
		qsort(took[s], (size_t) count, sizeof(double), by_value);
		printf("%-28s %8.3f %8.3f\n", step_names[s], took[s][count / 2],
		       took[s][count * 99 / 100]);
	}
	qsort(setup, (size_t) count, sizeof(double), by_value);
	printf("%-28s %8.3f %8.3f   budget 4\n", "create + attach + publish", setup[count / 2],
	       setup[count * 99 / 100]);
	qsort(undo, (size_t) count, sizeof(double), by_value);
	printf("%-28s %8.3f %8.3f\n", "release + detach + remove", undo[count / 2],
	       undo[count * 99 / 100]);
}

static void bulk(struct net *n, int count)
{
	_cleanup_(freep) struct port_binding *b = calloc((size_t) count, sizeof(*b));
	_cleanup_(err_done) struct err err = {};
	struct in_addr addr = { htonl(ntohl(net_gateway(n).s_addr) + 1) };
	double t = now_ms(), publish, reassert, release;

	for (int i = 0; b && i < count; i++) {
		b[i] = (struct port_binding){ .container_port = 80, .proto = IPPROTO_TCP };
		if (net_ports_hold(n, &b[i], 1, &err) != 0 ||
		    net_ports_publish(n, addr, &b[i], 1, &err) < 0) {
			printf("%s\n", err_text(&err));
			return;
		}
	}
	publish = now_ms() - t, t = now_ms();
	if (net_reassert(n, &err) < 0)
		printf("%s\n", err_text(&err));
	reassert = now_ms() - t, t = now_ms();
	for (int i = 0; b && i < count; i++)
		if (net_ports_release(n, &b[i], 1, &err) < 0)
			printf("%s\n", err_text(&err));
	release = now_ms() - t;
	printf("%d ports one by one: publish %.3f ms each, release %.3f ms each; "
	       "reassert all at once %.3f ms\n",
	       count, publish / count, release / count, reassert);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/net-setup-XXXXXX";
	struct net_params p = {
		.bridge = "ecsbench0",
		.subnet.s_addr = htonl(0x0a63f000), /* 10.99.240.0 */
		.prefix_len = 20,
		.six = net6_unique_local("net-setup"),
		.netns_dir = dir,
		.dynamic_first = 20000,
		.dynamic_last = 29999,
	};
	int count = argc > 1 ? (int) strtol(argv[1], NULL, 10) : 50;
	int ports = argc > 2 ? (int) strtol(argv[2], NULL, 10) : 500;
	_cleanup_(net_freep) struct net *n = NULL;
	_cleanup_(err_done) struct err err = {};
	double t;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(dir)) {
		printf("needs root: %m\n");
		return 0;
	}
	if (argc > 3 && !strcmp(argv[3], "4"))
		p.six = (struct net6){};
	t = now_ms();
	if (net_new(&p, &n, &err) < 0) {
		printf("%s\n", err_text(&err));
		return 0;
	}
	printf("bridge, table, sysctls: %.3f ms\n", now_ms() - t);
	rounds(n, CLAMP(count, 1, (int) ROUNDS_MAX));
	bulk(n, CLAMP(ports, 1, 10000));
	(void) rmdir(dir);
	return 0;
}
