/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/controlplane.h"
#include "controlplane/ops.h"

#define TARGET_PREFIX "AmazonEC2ContainerServiceV20141113."

struct server {
	struct MHD_Daemon *daemon; /* owned */
	sd_event_source *io;       /* owned: libmicrohttpd's epoll descriptor */
	sd_event_source *timer;    /* owned: its connection timeouts */
	bool running;              /* inside MHD_run(), which must not be entered twice */
	bool again;                /* asked to run meanwhile */
	size_t body_bytes;         /* of the requests under way */
};

/* --- answers ------------------------------------------------------------------------------- */

enum MHD_Result server_answer(struct request *req, unsigned status, const char *content_type,
			      char *text)
{
	struct MHD_Response *r;
	enum MHD_Result k;

	if (!text)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return MHD_NO;
	}
	(void) MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	(void) MHD_add_response_header(r, "x-amzn-RequestId", req->id);
	k = MHD_queue_response(req->connection, status, r);
	MHD_destroy_response(r);
	return k;
}

static enum MHD_Result answer_json(struct request *req, unsigned status, const json_t *body)
{
	return server_answer(req, status, "application/x-amz-json-1.1",
			     json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(13)));
}

enum MHD_Result server_answer_error(struct request *req, unsigned status, const char *type,
				    const char *message)
{
	_cleanup_(json_decrefp) json_t *body =
		json_pack("{s:s, s:s}", "__type", type, "message", message ? message : "");

	log_debug("Request %s is refused with %u %s: %s", req->id, status, type,
		  message ? message : "");
	return answer_json(req, status, body);
}

static enum MHD_Result answer_api_error(struct request *req, const struct api_error *e)
{
	return server_answer_error(req, (unsigned) e->http_status, e->type, e->message);
}

/* --- requests ------------------------------------------------------------------------------ */

static enum MHD_Result run_operation(struct request *req, const char *name)
{
	_cleanup_(api_error_done) struct api_error e = {};
	_cleanup_(json_decrefp) json_t *out = NULL;
	int64_t start_ns = clock_mono_ns();
	int k = ops_run_text(req->cp, name, buf_str(&req->body), req->body.len, &out, &e);

	log_debug("%s took %lld us", name, (long long) (clock_mono_ns() - start_ns) / 1000);
	return k < 0 ? answer_api_error(req, &e) : answer_json(req, MHD_HTTP_OK, out);
}

static enum MHD_Result on_post(struct request *req)
{
	_cleanup_(api_error_done) struct api_error e = {};
	const struct wire *wire = req->cp->wire;
	const char *target =
		MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, "X-Amz-Target");

	if (req->refused == MHD_HTTP_SERVICE_UNAVAILABLE)
		return server_answer_error(req, req->refused, "ServerException",
					   "Too much is being sent at once");
	if (req->refused)
		return server_answer_error(req, MHD_HTTP_CONTENT_TOO_LARGE,
					   "RequestEntityTooLargeException",
					   "The request body is larger than 4 MiB");
	if (!target || strncmp(target, TARGET_PREFIX, strlen(TARGET_PREFIX)) != 0)
		return server_answer_error(req, MHD_HTTP_BAD_REQUEST, "UnknownOperationException",
					   "X-Amz-Target must be " TARGET_PREFIX "<operation>");
	target += strlen(TARGET_PREFIX);
	if (wire && wire->admit && wire->admit(req->cp, req, target, &e) < 0)
		return answer_api_error(req, &e);
	return run_operation(req, target);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static enum MHD_Result on_get(struct request *req, const char *path)
{
	const struct wire *wire = req->cp->wire;

	if (strcmp(path, "/health") == 0)
		return server_answer(req, MHD_HTTP_OK, "text/plain", strdup("ok\n"));
	if (ends_with(path, "/ws") && wire && wire->upgrade)
		return wire->upgrade(req->cp, req, req->connection);
	return server_answer_error(req, MHD_HTTP_NOT_FOUND, "UnknownOperationException",
				   "There is nothing at this path");
}

static enum MHD_Result dispatch(struct request *req, const char *path)
{
	const struct wire *wire = req->cp->wire;

	if (strncmp(path, "/local/", strlen("/local/")) == 0 && wire && wire->local)
		return (enum MHD_Result) wire->local(req->cp, req);
	if (strcmp(req->method, MHD_HTTP_METHOD_POST) == 0 && strcmp(path, "/") == 0)
		return on_post(req);
	if (strcmp(req->method, MHD_HTTP_METHOD_GET) == 0)
		return on_get(req, path);
	return server_answer_error(req, MHD_HTTP_METHOD_NOT_ALLOWED, "UnknownOperationException",
				   "Operations are sent by POST to /");
}

static void drop_body(struct request *req)
{
	if (req->cp->server)
		req->cp->server->body_bytes -= req->body.len;
	buf_done(&req->body);
}

static void keep_body(struct request *req, const char *data, size_t len)
{
	struct server *s = req->cp->server;

	if (s->body_bytes + len > SERVER_BODIES_MAX)
		req->refused = MHD_HTTP_SERVICE_UNAVAILABLE;
	else if (!buf_append(&req->body, data, len))
		req->refused = MHD_HTTP_CONTENT_TOO_LARGE;
	else
		s->body_bytes += len;
	if (req->refused)
		drop_body(req);
}

/* Called first with the headers, then for each piece of the body, then once more at its end. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **req_cls)
{
	struct request *req = *req_cls;

	(void) cls, (void) version;
	if (!req)
		return MHD_NO;
	if (!req->begun) {
		req->begun = true;
		req->connection = connection;
		req->method = method;
		return MHD_YES;
	}
	if (*len > 0) {
		/* What is over the bound is read and dropped, so that the answer is heard. */
		if (!req->refused)
			keep_body(req, data, *len);
		*len = 0;
		return MHD_YES;
	}
	return dispatch(req, path);
}

/* libmicrohttpd's hook at the request line: the only place that sees the raw target. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct request *req = calloc(1, sizeof(*req));

	(void) connection;
	if (!req)
		return NULL;
	req->cp = cls;
	req->uri = strdup(uri);
	req->body.max_bytes = SERVER_BODY_MAX;
	(void) random_uuid(req->id);
	if (!req->uri) {
		free(req);
		return NULL;
	}
	return req;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **req_cls,
			 enum MHD_RequestTerminationCode how)
{
	struct request *req = *req_cls;

	(void) cls, (void) connection, (void) how;
	*req_cls = NULL;
	if (!req)
		return;
	if (req->held)
		req->drop(req->held);
	drop_body(req);
	free(req->uri);
	free(req);
}

/* --- the loop -------------------------------------------------------------------------------- */

/* A few rounds while there is work, so that a burst does not go around the loop for each step. */
void server_kick(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;

	if (s->running) {
		s->again = true;
		return;
	}
	s->running = true;
	for (int i = 0; i < 8 && MHD_run(s->daemon) == MHD_YES; i++) {
		if (!s->again && (MHD_get_timeout(s->daemon, &ms) != MHD_YES || ms > 0))
			break;
		s->again = false;
	}
	s->running = false;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void) source, (void) fd, (void) revents;
	server_kick(userdata);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void) source, (void) usec;
	server_kick(userdata);
	return 0;
}

/* Before each poll: when does libmicrohttpd want to run next? */
static int on_prepare(sd_event_source *source, void *userdata)
{
	struct server *s = userdata;
	MHD_UNSIGNED_LONG_LONG ms = 0;

	(void) source;
	if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
		return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	(void) sd_event_source_set_time_relative(s->timer, ms * USEC_PER_MSEC);
	return sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int attach(struct server *s, sd_event *loop, struct err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int k;

	if (!info)
		return err_set(err, ENOTSUP, "libmicrohttpd was built without epoll");
	k = sd_event_add_io(loop, &s->io, info->epoll_fd, EPOLLIN, on_io, s);
	if (k >= 0)
		/* Accuracy 1: the default would let libmicrohttpd wait a quarter of a second. */
		k = sd_event_add_time_relative(loop, &s->timer, CLOCK_MONOTONIC, 0, 1, on_timer, s);
	if (k >= 0)
		k = sd_event_source_set_prepare(s->io, on_prepare);
	if (k < 0)
		return err_set_errno(err, -k, "attach the HTTP server to the loop");
	(void) sd_event_source_set_description(s->io, "http");
	(void) sd_event_source_set_description(s->timer, "http-timeouts");
	return 0;
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int parse_address(const struct cp_settings *set, union address *ret, struct err *err)
{
	union address a = {};

	if (inet_pton(AF_INET, set->listen_host, &a.v4.sin_addr) == 1) {
		a.v4.sin_family = AF_INET;
		a.v4.sin_port = htons(set->listen_port);
	} else if (inet_pton(AF_INET6, set->listen_host, &a.v6.sin6_addr) == 1) {
		a.v6.sin6_family = AF_INET6;
		a.v6.sin6_port = htons(set->listen_port);
	} else {
		return err_set(err, EINVAL, "'%s' is not a numeric address", set->listen_host);
	}
	*ret = a;
	return 0;
}

static void _printf_(2, 0) on_log(void *cls, const char *fmt, va_list ap)
{
	_cleanup_(freep) char *text = NULL;

	(void) cls;
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	if (text)
		log_debug("libmicrohttpd: %s", text);
}

int server_start(struct controlplane *cp, struct err *err)
{
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
	unsigned flags =
		MHD_USE_EPOLL | MHD_ALLOW_UPGRADE | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	union address a = {};
	int k;

	if (!s)
		return err_set(err, ENOMEM, "start the HTTP server");
	k = parse_address(&cp->settings, &a, err);
	if (k < 0)
		return k;
	if (a.any.sa_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	s->daemon = MHD_start_daemon(
		flags, cp->settings.listen_port, NULL, NULL, on_request, cp,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_SOCK_ADDR, &a.any,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, cp, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		NULL, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) SERVER_IDLE_S,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned) SERVER_CONNECTIONS_MAX, MHD_OPTION_END);
	if (!s->daemon)
		return err_set_errno(err, errno ? errno : EIO, "listen on %s port %u",
				     cp->settings.listen_host, cp->settings.listen_port);
	k = attach(s, cp->loop, err);
	if (k < 0)
		return k;
	cp->server = TAKE_PTR(s);
	return 0;
}

uint16_t server_port(const struct server *s)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

void server_stop_listening(struct server *s)
{
	int fd = MHD_quiesce_daemon(s->daemon);

	if (fd >= 0)
		(void) safe_close(fd);
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	s->io = sd_event_source_disable_unref(s->io);
	s->timer = sd_event_source_disable_unref(s->timer);
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	free(s);
	return NULL;
}
