/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/serve.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void drop(struct serve *s, int slot)
{
	(void) close(s->conns[slot]);
	s->conns[slot] = -1;
}

void serve_init(struct serve *s, int listen_fd, int first_conn)
{
	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		s->conns[i] = -1;
	s->listen_fd = listen_fd;
	s->conns[0] = first_conn;
}

int serve_pollable(const struct serve *s)
{
	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (s->conns[i] < 0)
			return s->listen_fd;
	return -1;
}

int serve_accept(struct serve *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), slot = -1;
	struct ucred peer = {};
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return -1;
	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (s->conns[i] < 0)
			slot = i;
	if (slot < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
	    (peer.uid != 0 && peer.uid != geteuid())) {
		(void) close(fd);
		return -1;
	}
	s->conns[slot] = fd;
	return slot;
}

static void send_packet(struct serve *s, int slot, const void *data, size_t size)
{
	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++) {
		if (s->conns[i] < 0 || (slot >= 0 && slot != i))
			continue;
		if (send(s->conns[i], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			drop(s, i);
	}
}

void serve_send(struct serve *s, int slot, const struct shim_wire_event *e)
{
	send_packet(s, slot, e, shim_wire_event_size(e));
}

void serve_send_health(struct serve *s, int slot, const struct shim_wire_health *h)
{
	send_packet(s, slot, h, shim_wire_health_size(h));
}

int serve_receive(struct serve *s, int slot, struct shim_wire_command *ret)
{
	char data[64];
	ssize_t n = recv(s->conns[slot], data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0)
		return shim_wire_decode_command(data, (size_t) n, ret) == 0;
	drop(s, slot);
	return 0;
}
