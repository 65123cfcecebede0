/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/porttab.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

enum { PORTS = 65536 };

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
	int k = 0;

	*t = (struct porttab){};
	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(t->free); i++)
		k = portpool_init(&t->free[i], first, last, err);
	t->index = k == 0 ? calloc(2 * PORTS, sizeof(*t->index)) : NULL;
	if (k == 0 && !t->index)
		k = err_set_errno(err, ENOMEM, "allocate the table of host ports");
	if (k < 0)
		porttab_done(t);
	return k;
}

void porttab_done(struct porttab *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->v[i].fd = safe_close(t->v[i].fd);
	for (size_t i = 0; i < ARRAY_SIZE(t->free); i++)
		portpool_done(&t->free[i]);
	free(t->v);
	free(t->index);
	*t = (struct porttab){};
}

void porttab_reserve(struct porttab *t, uint8_t proto, uint16_t port)
{
	t->reserved[which(proto)][port / 8] |= (uint8_t) (1 << (port % 8));
	portpool_take(&t->free[which(proto)], port);
}

static bool is_reserved(const struct porttab *t, uint8_t proto, uint16_t port)
{
	return t->reserved[which(proto)][port / 8] >> (port % 8) & 1;
}

/* Where in v the port stands, plus 1; 0: it is not held. */
static uint32_t *position(const struct porttab *t, uint8_t proto, uint16_t port)
{
	return &t->index[which(proto) * PORTS + port];
}

struct held_port *porttab_find(struct porttab *t, uint8_t proto, uint16_t port)
{
	uint32_t i = t->index ? *position(t, proto, port) : 0;

	return i > 0 ? &t->v[i - 1] : NULL;
}

/* Owns @fd in any case. */
static int insert(struct porttab *t, uint8_t proto, uint16_t port, int fd, struct err *err)
{
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
	t->v[t->n++] = (struct held_port){ .port = port, .proto = proto, .fd = fd };
	*position(t, proto, port) = (uint32_t) t->n;
	portpool_take(&t->free[which(proto)], port);
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

static int say_bind(uint8_t proto, uint16_t port, int fd, struct err *err)
{
	return err_set_errno(err, -fd, "bind host port %u/%s", port, porttab_proto_name(proto));
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
		return say_bind(proto, port, fd, err);
	return insert(t, proto, port, fd, err);
}

/* @resting: there is something that will do in a while. */
static int say_none(const struct portpool *pool, uint8_t proto, bool resting, struct err *err)
{
	(void) err_set(err, resting ? EAGAIN : EADDRINUSE, "no %s port of %u-%u is free%s",
		       porttab_proto_name(proto), pool->first, pool->last,
		       resting ? " and has rested" : "");
	return resting ? PORTTAB_E_RESTING : PORTTAB_E_IN_USE;
}

static int say_no_block(const struct portpool *pool, uint8_t proto, uint16_t n, bool resting,
			struct err *err)
{
	(void) err_set(err, resting ? EAGAIN : EADDRINUSE,
		       "no %u contiguous %s ports of %u-%u are free%s", n,
		       porttab_proto_name(proto), pool->first, pool->last,
		       resting ? " and have rested" : "");
	return resting ? PORTTAB_E_RESTING : PORTTAB_E_IN_USE;
}

/* Whether there are @n free neighbours of which some rest. */
static bool run_rests(const struct portpool *pool, uint16_t n, int64_t now_ms)
{
	uint16_t first = portpool_find_run(pool, pool->first, n, INT64_MAX);

	for (; first != 0; first = portpool_find_run(pool, (uint16_t) (first + 1), n, INT64_MAX))
		if (portpool_find_run(pool, first, n, now_ms) != first)
			return true;
	return false;
}

int porttab_hold_any(struct porttab *t, uint8_t proto, int64_t now_ms, uint16_t *ret,
		     struct err *err)
{
	struct portpool *pool = &t->free[which(proto)];

	for (uint32_t i = pool->n_free; i > 0; i--) {
		uint16_t port = portpool_peek(pool, now_ms);
		int k, fd;

		if (port == 0)
			return say_none(pool, proto, true, err);
		fd = bind_port(proto, port);
		if (fd == -EADDRINUSE) { /* somebody else's: asked again when all others were */
			portpool_give(pool, port);
			continue;
		}
		if (fd < 0)
			return say_bind(proto, port, fd, err);
		k = insert(t, proto, port, fd, err);
		if (k == 0)
			*ret = port;
		return k;
	}
	return say_none(pool, proto, false, err);
}

/* Holds @first and those after it; *@ret_taken is the one that is somebody else's. */
static int hold_run(struct porttab *t, uint8_t proto, uint16_t first, uint16_t n,
		    uint16_t *ret_taken, struct err *err)
{
	int k = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t port = (uint16_t) (first + i);
		int fd = bind_port(proto, port);

		if (fd >= 0)
			k = insert(t, proto, port, fd, err);
		else
			k = fd == -EADDRINUSE ? PORTTAB_E_IN_USE : say_bind(proto, port, fd, err);
		if (k == 0)
			continue;
		*ret_taken = port;
		while (i-- > 0)
			porttab_drop(t, proto, (uint16_t) (first + i));
		return k;
	}
	return 0;
}

int porttab_hold_block(struct porttab *t, uint8_t proto, uint16_t n, int64_t now_ms,
		       uint16_t *ret_first, struct err *err)
{
	struct portpool *pool = &t->free[which(proto)];
	uint32_t from = pool->after_a_block;

	for (int round = 0; round < 2; round++, from = pool->first) {
		while (from <= pool->last) {
			uint16_t first = portpool_find_run(pool, (uint16_t) from, n, now_ms), taken;
			int k;

			if (first == 0)
				break;
			k = hold_run(t, proto, first, n, &taken, err);
			if (k < 0)
				return k;
			if (k == 0) {
				*ret_first = first;
				pool->after_a_block = (uint16_t) (first + n - 1);
				return 0;
			}
			from = (uint32_t) taken + 1;
		}
	}
	return say_no_block(pool, proto, n, run_rests(pool, n, now_ms), err);
}

int porttab_adopt(struct porttab *t, uint8_t proto, uint16_t port, struct err *err)
{
	struct held_port *h = porttab_find(t, proto, port);
	int fd;

	if (h && h->fd >= 0)
		return 0;
	fd = bind_fixed(proto, port);
	if (fd < 0 && fd != -EADDRINUSE)
		return say_bind(proto, port, fd, err);
	portpool_resume_after(&t->free[which(proto)], port);
	if (h) {
		h->fd = fd;
		return 0;
	}
	return insert(t, proto, port, fd, err);
}

/* False: it was not held. */
static bool take_out(struct porttab *t, uint8_t proto, uint16_t port)
{
	struct held_port *h = porttab_find(t, proto, port);
	const struct held_port *last;

	if (!h)
		return false;
	last = &t->v[t->n - 1];
	h->fd = safe_close(h->fd);
	*position(t, last->proto, last->port) = (uint32_t) (h - t->v) + 1;
	*position(t, proto, port) = 0;
	*h = *last;
	t->n--;
	return true;
}

void porttab_drop(struct porttab *t, uint8_t proto, uint16_t port)
{
	if (take_out(t, proto, port) && !is_reserved(t, proto, port))
		portpool_give(&t->free[which(proto)], port);
}

void porttab_release(struct porttab *t, uint8_t proto, uint16_t port, int64_t now_ms)
{
	if (take_out(t, proto, port) && !is_reserved(t, proto, port))
		portpool_rest(&t->free[which(proto)], port, now_ms);
}

void porttab_rest(struct porttab *t, uint8_t proto, uint16_t port, int64_t now_ms)
{
	if (portpool_is_free(&t->free[which(proto)], port))
		portpool_rest(&t->free[which(proto)], port, now_ms);
}
