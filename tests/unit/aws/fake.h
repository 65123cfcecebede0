/* SPDX-License-Identifier: Apache-2.0 */
/* fake - peers on loopback for tests: an HTTP server with a handler, a raw TCP server in a thread. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct fake_answer {
	int status;
	char body[16384];
	char header[2][128]; /* name, value; one extra header, "" when none */
};

struct fake_query {
	struct MHD_Connection *c; /* for MHD_lookup_connection_value */
	const char *method, *path, *body;
};

const char *fake_header(const struct fake_query *q, const char *name);

typedef void (*fake_fn)(void *userdata, const struct fake_query *q, struct fake_answer *a);

struct fake_http {
	struct MHD_Daemon *daemon;
	char url[64];
	fake_fn fn;
	void *userdata;
	int requests;
};

void fake_http_start(struct fake_http *f, fake_fn fn, void *userdata);
void fake_http_stop(struct fake_http *f);

/* Serves one connection after the other in a thread, until stopped. */
struct fake_tcp {
	pthread_t thread;
	int listen_fd;
	uint16_t port;
	char url[64];
	void (*serve)(int fd, void *userdata);
	void *userdata;
	int connections;
	volatile bool over;
};

void fake_tcp_start(struct fake_tcp *f, void (*serve)(int fd, void *userdata), void *userdata);
void fake_tcp_stop(struct fake_tcp *f);

/* Reads an HTTP head (up to the empty line) into @buf. Returns its length. */
size_t fake_read_head(int fd, char *buf, size_t size);

/* Runs the loop until *@done or @ms have passed. Returns *@done. */
bool loop_until(sd_event *e, const bool *done, int ms);
