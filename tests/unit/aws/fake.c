/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/aws/fake.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

const char *fake_header(const struct fake_query *q, const char *name)
{
	const char *v = MHD_lookup_connection_value(q->c, MHD_HEADER_KIND, name);

	return v ? v : "";
}

static enum MHD_Result reply(struct MHD_Connection *c, const struct fake_answer *a)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		strlen(a->body), (void *) (uintptr_t) a->body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result k;

	if (*a->header[0])
		(void) MHD_add_response_header(r, a->header[0], a->header[1]);
	k = MHD_queue_response(c, (unsigned) a->status, r);
	MHD_destroy_response(r);
	return k;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	struct fake_http *f = cls;
	struct buf *body = *state;
	struct fake_answer a = { .status = 200 };
	enum MHD_Result k;

	(void) version;
	if (!body) {
		*state = calloc(1, sizeof(struct buf));
		return MHD_YES;
	}
	if (*size > 0) {
		(void) buf_append(body, data, *size);
		*size = 0;
		return MHD_YES;
	}
	f->requests++;
	const struct fake_query q = { c, method, url, buf_str(body) };

	f->fn(f->userdata, &q, &a);
	k = reply(c, &a);
	return k;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode why)
{
	struct buf *body = *state;

	(void) cls, (void) c, (void) why;
	if (body)
		buf_done(body);
	free(body);
}

void fake_http_start(struct fake_http *f, fake_fn fn, void *userdata)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	*f = (struct fake_http){ .fn = fn, .userdata = userdata };
	f->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, f,
				     MHD_OPTION_SOCK_ADDR, &addr, MHD_OPTION_NOTIFY_COMPLETED,
				     on_completed, f, MHD_OPTION_END);
	assert(f->daemon);
	(void) snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u",
			(unsigned) MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

void fake_http_stop(struct fake_http *f)
{
	MHD_stop_daemon(f->daemon);
}

static void *serve_all(void *arg)
{
	struct fake_tcp *f = arg;

	while (!f->over) {
		int fd = accept(f->listen_fd, NULL, NULL);

		if (fd < 0)
			break;
		f->connections++;
		if (!f->over)
			f->serve(fd, f->userdata);
		(void) close(fd);
	}
	return NULL;
}

void fake_tcp_start(struct fake_tcp *f, void (*serve)(int fd, void *userdata), void *userdata)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	*f = (struct fake_tcp){ .serve = serve, .userdata = userdata };
	f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(f->listen_fd >= 0);
	assert(bind(f->listen_fd, (struct sockaddr *) &addr, len) == 0);
	assert(listen(f->listen_fd, 16) == 0);
	assert(getsockname(f->listen_fd, (struct sockaddr *) &addr, &len) == 0);
	f->port = ntohs(addr.sin_port);
	(void) snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u", f->port);
	assert(pthread_create(&f->thread, NULL, serve_all, f) == 0);
}

void fake_tcp_stop(struct fake_tcp *f)
{
	f->over = true;
	(void) shutdown(f->listen_fd, SHUT_RDWR);
	(void) pthread_join(f->thread, NULL);
	(void) close(f->listen_fd);
}

size_t fake_read_head(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && read(fd, buf + n, 1) == 1) {
		n++;
		if (n >= 4 && memcmp(buf + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	buf[n] = '\0';
	return n;
}

bool loop_until(sd_event *e, const bool *done, int ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (!*done && clock_mono_ms() < end)
		(void) sd_event_run(e, 20000);
	return *done;
}
