/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/porttab.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

static int which(uint8_t proto)
{
	return proto == IPPROTO_UDP;
}

const char *porttab_proto_name(uint8_t proto)
{
	return proto == IPPROTO_UDP ? "udp" : "tcp";
}

int porttab_init(struct porttab *t, uint16_t first, uint16_t last, struct err *err)
{
	if (first == 0 || first > last)
		return err_set(err, EINVAL, "dynamic host port range %u-%u is empty or starts at 0",
			       first, last);
	*t = (struct porttab){ .first = first, .last = last, .next = { first, first } };
	return 0;
}

void porttab_done(struct porttab *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->v[i].fd = safe_close(t->v[i].fd);
	free(t->v);
	t->v = NULL;
	t->n = t->cap = 0;
}

void porttab_reserve(struct porttab *t, uint8_t proto, uint16_t port)
{
	t->reserved[which(proto)][port / 8] |= (uint8_t) (1 << (port % 8));
}

static bool is_reserved(const struct porttab *t, uint8_t proto, uint16_t port)
{
	return t->reserved[which(proto)][port / 8] >> (port % 8) & 1;
}

static uint32_t sort_key(uint8_t proto, uint16_t port)
{
	return (uint32_t) which(proto) << 16 | port;
}

/* Where the port stands, or would stand. */
static size_t position(const struct porttab *t, uint8_t proto, uint16_t port)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sort_key(t->v[mid].proto, t->v[mid].port) < sort_key(proto, port))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct porttab *t, size_t i, uint8_t proto, uint16_t port)
{
	return i < t->n && t->v[i].port == port && t->v[i].proto == proto;
}

struct held_port *porttab_find(struct porttab *t, uint8_t proto, uint16_t port)
{
	size_t i = position(t, proto, port);

	return is_at(t, i, proto, port) ? &t->v[i] : NULL;
}

/* Owns @fd in any case. */
static int insert(struct porttab *t, uint8_t proto, uint16_t port, int fd, struct err *err)
{
	size_t i = position(t, proto, port);

	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		struct held_port *v = reallocarray(t->v, cap, sizeof(*v));

		if (!v) {
			(void) safe_close(fd);
			return err_set_errno(err, ENOMEM, "hold host port %u", port);
		}
		t->v = v;
		t->cap = cap;
	}
	memmove(t->v + i + 1, t->v + i, (t->n - i) * sizeof(*t->v));
	t->v[i] = (struct held_port){ .port = port, .proto = proto, .fd = fd };
	t->n++;
	return 0;
}

/* A datagram that is not translated would wait in our socket for ever. */
static int drop_input(int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = { .len = 1, .filter = &drop };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

/* A socket of both families, or of IPv4 where the kernel has no IPv6. */
static int open_socket(uint8_t proto, int *ret_family)
{
	int type = (proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
	int off = 0, fd;

	*ret_family = AF_INET6;
	fd = socket(AF_INET6, type, 0);
	if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0)
		return fd;
	(void) safe_close(fd);
	*ret_family = AF_INET;
	fd = socket(AF_INET, type, 0);
	return fd < 0 ? -errno : fd;
}

static int bind_any(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct sockaddr *sa = family == AF_INET6 ? (const struct sockaddr *) &six
						       : (const struct sockaddr *) &four;

	return bind(fd, sa, family == AF_INET6 ? sizeof(six) : sizeof(four)) < 0 ? -errno : 0;
}

/* Descriptor of a socket bound to @port, or a negative errno. */
static int bind_port(uint8_t proto, uint16_t port)
{
	_cleanup_(closep) int fd = -EBADF;
	int family, k;

	fd = open_socket(proto, &family);
	if (fd < 0)
		return fd;
	k = proto == IPPROTO_UDP ? drop_input(fd) : 0;
	if (k == 0)
		k = bind_any(fd, family, port);
	return k < 0 ? k : TAKE_FD(fd);
}

/*
 * A TCP port whose last listener has gone counts as taken for another minute while connections wait
 * in TIME_WAIT; SO_REUSEADDR passes those. It would also pass another holder like us, which
 * listen() does not: so listen for a moment, and stop. The port stays bound.
 */
static int bind_resting_port(uint16_t port)
{
	_cleanup_(closep) int fd = -EBADF;
	int family, on = 1, off = 0;

	fd = open_socket(IPPROTO_TCP, &family);
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind_any(fd, family, port) < 0 || listen(fd, 0) < 0 || shutdown(fd, SHUT_RDWR) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int bind_fixed(uint8_t proto, uint16_t port)
{
	int fd = bind_port(proto, port);

	return fd == -EADDRINUSE && proto == IPPROTO_TCP ? bind_resting_port(port) : fd;
}

static int say_in_use(uint8_t proto, uint16_t port, struct err *err)
{
	(void) err_set(err, EADDRINUSE, "host port %u/%s is in use", port,
		       porttab_proto_name(proto));
	return PORTTAB_E_IN_USE;
}

int porttab_hold(struct porttab *t, uint8_t proto, uint16_t port, struct err *err)
{
	int fd;

	if (porttab_find(t, proto, port))
		return say_in_use(proto, port, err);
	fd = bind_fixed(proto, port);
	if (fd == -EADDRINUSE)
		return say_in_use(proto, port, err);
	if (fd < 0)
		return err_set_errno(err, -fd, "bind host port %u/%s", port,
				     porttab_proto_name(proto));
	return insert(t, proto, port, fd, err);
}

int porttab_hold_any(struct porttab *t, uint8_t proto, uint16_t *ret, struct err *err)
{
	uint32_t span = (uint32_t) t->last - t->first + 1;
	uint16_t *next = &t->next[which(proto)];

	for (uint32_t i = 0; i < span; i++) {
		uint16_t port = *next;
		int fd, k;

		*next = port == t->last ? t->first : (uint16_t) (port + 1);
		if (is_reserved(t, proto, port) || porttab_find(t, proto, port))
			continue;
		fd = bind_port(proto, port);
		if (fd == -EADDRINUSE)
			continue;
		if (fd < 0)
			return err_set_errno(err, -fd, "bind host port %u/%s", port,
					     porttab_proto_name(proto));
		k = insert(t, proto, port, fd, err);
		if (k == 0)
			*ret = port;
		return k;
	}
	(void) err_set(err, EADDRINUSE, "no %s port of %u-%u is free", porttab_proto_name(proto),
		       t->first, t->last);
	return PORTTAB_E_IN_USE;
}

int porttab_adopt(struct porttab *t, uint8_t proto, uint16_t port, struct err *err)
{
	struct held_port *h = porttab_find(t, proto, port);
	int fd;

	if (h && h->fd >= 0)
		return 0;
	fd = bind_fixed(proto, port);
	if (fd < 0 && fd != -EADDRINUSE)
		return err_set_errno(err, -fd, "bind host port %u/%s", port,
				     porttab_proto_name(proto));
	if (port >= t->next[which(proto)] && port < t->last)
		t->next[which(proto)] = (uint16_t) (port + 1);
	if (h) {
		h->fd = fd;
		return 0;
	}
	return insert(t, proto, port, fd, err);
}

void porttab_drop(struct porttab *t, uint8_t proto, uint16_t port)
{
	size_t i = position(t, proto, port);

	if (!is_at(t, i, proto, port))
		return;
	t->v[i].fd = safe_close(t->v[i].fd);
	t->n--;
	memmove(t->v + i, t->v + i + 1, (t->n - i) * sizeof(*t->v));
}
