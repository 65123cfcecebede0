/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/server.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"

enum { TIMER_ACCURACY_USEC = 100000, BODY_DISCARD_MAX = 1024 * 1024 };

struct http_server {
	struct MHD_Daemon *daemon; /* owned */
	sd_event_source *io;       /* owned: libmicrohttpd's epoll descriptor */
	sd_event_source *timer;    /* owned: its connection timeouts */
	struct http_call *streams; /* borrowed: connections that wait for more */
	char *what;                /* owned */
	bool check_peer, stopping;
	int64_t patience_ms;
	struct peer *peers; /* owned list */
	http_handler_fn handler;
	void *userdata;
};

/* A connection. One that sends a byte now and then is never idle, and has a limit all the same. */
struct peer {
	struct http_server *server;
	struct peer *next;
	int fd;           /* libmicrohttpd's */
	int64_t since_ms; /* of its present request */
	bool streams;
};

struct http_call {
	struct http_server *server;
	struct MHD_Connection *connection;
	const char *method, *path;
	struct buf body;
	size_t discarded; /* of a body that is too large */
	bool finished; /* an answer that was left for later is there */
	struct http_reply reply;
	struct http_call *next_stream; /* while suspended */
	bool suspended;
};

const char *http_call_method(const struct http_call *c)
{
	return strcmp(c->method, "HEAD") == 0 ? "GET" : c->method;
}

const char *http_call_path(const struct http_call *c)
{
	return c->path;
}

const char *http_call_query(const struct http_call *c, const char *name)
{
	return MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_call_body(const struct http_call *c, size_t *ret_len)
{
	*ret_len = c->body.len;
	return buf_str(&c->body);
}

const char *http_call_header(const struct http_call *c, const char *name)
{
	return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

bool http_call_peer(const struct http_call *c, struct sockaddr_in *ret)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	if (!info || !info->client_addr || info->client_addr->sa_family != AF_INET)
		return false;
	memcpy(ret, info->client_addr, sizeof(*ret));
	return true;
}

/* ---- streams ---- */

static ssize_t on_stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct http_call *c = cls;
	size_t n;

	(void) pos;
	if (c->server->stopping)
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = c->reply.stream(c->reply.stream_userdata, &c->reply.stream_cursor, buf, max);
	if (n > 0)
		return (ssize_t) n;
	if (!c->suspended) {
		c->suspended = true;
		c->next_stream = c->server->streams;
		c->server->streams = c;
		MHD_suspend_connection(c->connection);
	}
	return 0;
}

/* In a loop of ours, libmicrohttpd has no way to say that a connection goes on. */
static void run_soon(struct http_server *s)
{
	if (!s->timer) /* it is being freed */
		return;
	(void) sd_event_source_set_time_accuracy(s->timer, 1);
	(void) sd_event_source_set_time_relative(s->timer, 0);
	(void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

void http_server_wake(struct http_server *s)
{
	struct http_call *c = s->streams;

	s->streams = NULL;
	for (; c; c = c->next_stream) {
		c->suspended = false;
		MHD_resume_connection(c->connection);
	}
	run_soon(s);
}

static void forget_stream(struct http_call *c)
{
	for (struct http_call **at = &c->server->streams; *at; at = &(*at)->next_stream) {
		if (*at == c) {
			*at = c->next_stream;
			return;
		}
	}
}

/* ---- requests ---- */

static void add_headers(struct MHD_Response *r, char *lines)
{
	char *rest = lines;

	for (char *line; (line = strsep(&rest, "\n"));) {
		char *value = strstr(line, ": ");

		if (!value)
			continue;
		*value = '\0';
		(void) MHD_add_response_header(r, line, value + 2);
	}
}

static enum MHD_Result send_reply(struct http_call *c)
{
	struct MHD_Response *r;
	enum MHD_Result k;

	if (c->reply.stream)
		r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_stream_read, c,
						      NULL);
	else if (c->reply.body)
		r = MHD_create_response_from_buffer(strlen(c->reply.body), c->reply.body,
						    MHD_RESPMEM_MUST_COPY);
	else
		r = MHD_create_response_from_buffer(0, (void *) "", MHD_RESPMEM_PERSISTENT);
	if (!r)
		return MHD_NO;
	(void) MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, c->reply.content_type);
	add_headers(r, c->reply.headers);
	k = MHD_queue_response(c->connection, c->reply.status, r);
	MHD_destroy_response(r);
	return k;
}

static void refuse(struct http_call *c, unsigned status, const char *text)
{
	c->reply.status = status;
	c->reply.content_type = "text/plain; charset=utf-8";
	free(c->reply.body);
	c->reply.body = strdup(text);
}

static bool peer_is_allowed(const struct http_call *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer = { .uid = (uid_t) -1 };
	socklen_t len = sizeof(peer);

	if (!c->server->check_peer)
		return true;
	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static struct peer *peer_of(const struct http_call *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static enum MHD_Result answer(struct http_call *c)
{
	c->reply = (struct http_reply){ .status = MHD_HTTP_OK, .content_type = "application/json" };
	if (!peer_is_allowed(c))
		refuse(c, MHD_HTTP_FORBIDDEN, "this socket is for root only\n");
	else if (c->body.failed)
		refuse(c, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large\n");
	else
		c->server->handler(c->server->userdata, c, &c->reply);
	if (c->reply.later) {
		c->suspended = true;
		MHD_suspend_connection(c->connection);
		return MHD_YES;
	}
	if (peer_of(c))
		peer_of(c)->streams = c->reply.stream != NULL;
	if (!c->reply.body && !c->reply.stream)
		c->reply.status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	return send_reply(c);
}

void http_call_finish(struct http_call *c, struct http_reply *r)
{
	c->reply = *r;
	*r = (struct http_reply){};
	c->reply.later = false;
	c->finished = true;
	if (!c->suspended) /* the handler has not returned yet */
		return;
	c->suspended = false;
	MHD_resume_connection(c->connection);
	run_soon(c->server);
}

/* The answer to one that says so beforehand: the connection ends with it, nothing is read. */
static bool says_too_large(const struct http_call *c)
{
	const char *text = http_call_header(c, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && (strlen(text) > 10 || strtoull(text, NULL, 10) > HTTP_CALL_BODY_MAX);
}

static enum MHD_Result refuse_too_large(struct http_call *c)
{
	c->reply = (struct http_reply){ .status = MHD_HTTP_CONTENT_TOO_LARGE };
	refuse(c, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large\n");
	return send_reply(c);
}

/* Called first with the headers, then for each piece of the body, then once more at its end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **state)
{
	struct http_call *c = *state;

	(void) version;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return MHD_NO;
		c->server = cls;
		c->connection = connection;
		c->body.max_bytes = HTTP_CALL_BODY_MAX;
		*state = c;
		return says_too_large(c) ? refuse_too_large(c) : MHD_YES;
	}
	if (*len > 0) {
		if (!buf_append(&c->body, data, *len))
			c->discarded += *len;
		if (c->discarded > BODY_DISCARD_MAX) /* it has no end: neither has our patience */
			return MHD_NO;
		*len = 0;
		return MHD_YES;
	}
	c->method = method;
	c->path = path;
	/* It comes back when the connection goes on. */
	return c->finished ? send_reply(c) : answer(c);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct http_call *c = *state;

	(void) cls, (void) connection, (void) why;
	if (!c)
		return;
	if (peer_of(c))
		peer_of(c)->since_ms = clock_mono_ms();
	forget_stream(c);
	buf_done(&c->body);
	if (c->reply.secret && c->reply.body)
		explicit_bzero(c->reply.body, strlen(c->reply.body));
	free(c->reply.body);
	free(c->reply.headers);
	free(c);
	*state = NULL;
}

/* ---- connections ---- */

static void peer_begins(struct http_server *s, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer *p = info ? calloc(1, sizeof(*p)) : NULL;

	if (p) {
		*p = (struct peer){ s, s->peers, info->connect_fd, clock_mono_ms(), false };
		s->peers = p;
	}
	*context = p;
}

static void peer_ends(struct peer *p)
{
	for (struct peer **at = p ? &p->server->peers : NULL; at && *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	free(p);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		peer_begins(cls, connection, context);
	else
		peer_ends(*context);
}

/* libmicrohttpd then sees the end of the connection by itself. */
static void lose_patience(struct http_server *s)
{
	int64_t now = s->patience_ms > 0 ? clock_mono_ms() : 0;

	for (struct peer *p = s->patience_ms > 0 ? s->peers : NULL; p; p = p->next)
		if (!p->streams && now - p->since_ms > s->patience_ms)
			(void) shutdown(p->fd, SHUT_RDWR);
}

/* ---- the loop ---- */

static void run(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	lose_patience(s);
	(void) sd_event_source_set_time_accuracy(s->timer, TIMER_ACCURACY_USEC);
	(void) MHD_run(s->daemon);
	if (MHD_get_timeout(s->daemon, &ms) != MHD_YES) {
		(void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
		return;
	}
	(void) sd_event_source_set_time_relative(s->timer, (uint64_t) ms * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void) source, (void) fd, (void) revents;
	run(userdata);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void) source, (void) usec;
	run(userdata);
	return 0;
}

static int watch(struct http_server *s, sd_event *loop, struct err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int r;

	if (!info || info->epoll_fd < 0)
		return err_set(err, ENOTSUP, "libmicrohttpd has no epoll descriptor");
	r = sd_event_add_io(loop, &s->io, info->epoll_fd, EPOLLIN, on_io, s);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &s->timer, CLOCK_MONOTONIC, 0,
					       TIMER_ACCURACY_USEC, on_timer, s);
	if (r < 0)
		return err_set_errno(err, -r, "watch the %s", s->what);
	(void) sd_event_source_set_description(s->io, s->what);
	(void) sd_event_source_set_description(s->timer, s->what);
	return 0;
}

int http_server_new(const struct http_server_params *p, struct http_server **ret, struct err *err)
{
	_cleanup_(http_server_freep) struct http_server *s = calloc(1, sizeof(*s));
	_cleanup_(closep) int fd = p->listen_fd;
	int r;

	if (s)
		s->what = strdup(p->what);
	if (!s || !s->what)
		return err_set(err, ENOMEM, "allocate HTTP server");
	s->check_peer = p->check_peer;
	s->patience_ms = p->patience_ms;
	s->handler = p->handler;
	s->userdata = p->userdata;
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, p->max_connections,
		MHD_OPTION_CONNECTION_TIMEOUT, p->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) 16 * 1024, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
		p->max_connections_per_address, MHD_OPTION_END);
	if (!s->daemon)
		return err_set(err, EIO, "start the %s", p->what);
	(void) TAKE_FD(fd); /* the daemon closes it */
	r = watch(s, p->loop, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct http_server *http_server_free(struct http_server *s)
{
	if (!s)
		return NULL;
	s->io = sd_event_source_disable_unref(s->io);
	s->timer = sd_event_source_disable_unref(s->timer);
	if (s->daemon) {
		s->stopping = true;
		http_server_wake(s);
		MHD_stop_daemon(s->daemon);
	}
	free(s->what);
	free(s);
	return NULL;
}
