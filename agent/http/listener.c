/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"

struct listener {
	struct http_server_params params;
	struct in_addr addr;
	uint16_t port;
	struct http_server *server; /* owned; NULL while the port is not ours */
	sd_event_source *retry;     /* owned */
	struct backoff backoff;
	bool told;
};

/* -EAFNOSUPPORT: this kernel has no IPv6. */
static int open_every(uint16_t port, struct err *err)
{
	_cleanup_(closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const int one = 1, zero = 0;

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 64) < 0)
		return err_set_errno(err, errno, "listen on [::]:%u", port);
	return TAKE_FD(fd);
}

static int open_port(struct in_addr addr, uint16_t port, struct err *err)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = addr };
	char text[INET_ADDRSTRLEN] = "";
	const int one = 1;

	(void) inet_ntop(AF_INET, &addr, text, sizeof(text));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 64) < 0)
		return err_set_errno(err, errno, "listen on %s:%u", text, port);
	return TAKE_FD(fd);
}

static int try_listen(struct listener *l, struct err *err)
{
	l->params.listen_fd = -EAFNOSUPPORT;
	if (l->addr.s_addr == htonl(INADDR_ANY))
		l->params.listen_fd = open_every(l->port, err);
	if (l->params.listen_fd == -EAFNOSUPPORT) {
		err_done(err);
		l->params.listen_fd = open_port(l->addr, l->port, err);
	}
	if (l->params.listen_fd < 0)
		return l->params.listen_fd;
	return http_server_new(&l->params, &l->server, err);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct listener *l = userdata;
	int64_t delay_ms;

	(void) usec;
	if (try_listen(l, &err) >= 0) {
		if (l->told)
			log_info("The %s %u is ours now", l->params.what, l->port);
		return 0;
	}
	delay_ms = backoff_next_ms(&l->backoff);
	if (!l->told)
		log_warn("Failed to open the %s, going on without and trying again: %s",
			 l->params.what, err_text(&err));
	l->told = true;
	(void) sd_event_source_set_time_relative(source, (uint64_t) (delay_ms * USEC_PER_MSEC));
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int listener_new(const struct http_server_params *p, struct in_addr addr, uint16_t port,
		 struct listener **ret, struct err *err)
{
	_cleanup_(listener_freep) struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(err, ENOMEM, "allocate the %s", p->what);
	*l = (struct listener){
		.params = *p,
		.addr = addr,
		.port = port,
		.backoff = { .min_ms = 1000, .max_ms = 30000, .jitter = 0.2, .factor = 2 },
	};
	r = sd_event_add_time_relative(p->loop, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l);
	if (r < 0)
		return err_set_errno(err, -r, "prepare the %s", p->what);
	(void) sd_event_source_set_description(l->retry, p->what);
	*ret = TAKE_PTR(l);
	return 0;
}

struct listener *listener_free(struct listener *l)
{
	if (!l)
		return NULL;
	sd_event_source_disable_unref(l->retry);
	http_server_free(l->server);
	free(l);
	return NULL;
}
