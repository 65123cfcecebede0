/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is settled before it matters what is asked for: the rate, the headers that tell of it, the
 * form of the path. As tollbooth and gorilla/mux do it for the reference agent.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metadata/pages.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/macro.h"

enum { FORWARDED_MAX = 256 };

void request_take(struct http_call *c, struct metadata_request *q)
{
	struct sockaddr_in peer = {};

	(void) http_call_peer(c, &peer);
	*q = (struct metadata_request){ .method = http_call_method(c),
					.path = http_call_path(c),
					.id = http_call_query(c, "id"),
					.peer = peer.sin_addr,
					.peer_port = ntohs(peer.sin_port),
					.user_agent = http_call_header(c, "User-Agent"),
					.forwarded_for = http_call_header(c, "X-Forwarded-For"),
					.call = c };
	q->body = http_call_body(c, &q->body_len);
}

/* ---- rates ---- */

static bool is_host(const struct metadata *m, struct in_addr addr)
{
	return caller_find(m->view, addr, m->addrs, m->n_addrs).host;
}

static void refuse(struct metadata *m, const struct metadata_request *q, struct http_reply *r)
{
	const struct audit_entry e = {
		.real_ms = clock_real_ms(),
		.status = 429,
		.peer = { .sin_addr = q->peer, .sin_port = htons(q->peer_port) },
		.path = audit_path(q->path),
		.user_agent = q->user_agent,
	};

	answer_text(r, 429, "You have reached maximum request limit.");
	add_rate_headers(m, q, r);
	audit_write(m->audit, &e);
}

bool metadata_admits(struct metadata *m, const struct metadata_request *q, int64_t now_us,
		     int64_t *ret_wait_us, struct http_reply *r)
{
	uint64_t key = pace_key(&m->pace, q->peer, is_host(m, q->peer) ? q->path : NULL);

	*ret_wait_us = 0;
	if (m->limited &&
	    pace_ask(&m->limit, pace_key(&m->limit, q->peer, q->path), now_us, false) > 0) {
		refuse(m, q, r);
		return false;
	}
	*ret_wait_us = pace_ask(&m->pace, key, now_us, true);
	return *ret_wait_us == 0;
}

void add_rate_headers(const struct metadata *m, const struct metadata_request *q,
		      struct http_reply *r)
{
	_cleanup_(freep) char *more = r->headers;
	char addr[INET_ADDRSTRLEN] = "";

	(void) inet_ntop(AF_INET, &q->peer, addr, sizeof(addr));
	/* An empty value would be left out below us; blanks around one are no part of it. */
	if (asprintf(&r->headers,
		     "X-Rate-Limit-Limit: %" PRId64 ".00\nX-Rate-Limit-Duration: 1\n"
		     "X-Rate-Limit-Request-Forwarded-For: %.*s\n"
		     "X-Rate-Limit-Request-Remote-Addr: %s:%u\n%s",
		     m->per_s, FORWARDED_MAX,
		     q->forwarded_for && *q->forwarded_for ? q->forwarded_for : " ", addr,
		     q->peer_port, more ? more : "") < 0)
		r->headers = NULL;
}

/* ---- the path ---- */

/* As path.Clean() of Go, but that a '/' at the end stays. @to has room for all of @path. */
static void clean(const char *path, char *to)
{
	size_t n = 0;

	to[n++] = '/';
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && strncmp(p, "..", 2) == 0) {
			while (n > 1 && to[--n - 1] != '/')
				;
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			memcpy(to + n, p, len);
			n += len;
			to[n++] = '/';
		}
		p += len;
		p += *p == '/';
	}
	if (n > 1 && !(*path && path[strlen(path) - 1] == '/'))
		n--;
	to[n] = '\0';
}

/* No byte of it ends the line of the header. */
static void put_encoded(struct buf *b, const char *text, const char *keep)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char) *text;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr(keep, c))
			(void) buf_append(b, text, 1);
		else
			(void) buf_printf(b, "%%%02X", c);
	}
}

bool path_is_clean(const struct metadata_request *q, struct http_reply *r)
{
	_cleanup_(freep) char *to = malloc(strlen(q->path) + 3);
	_cleanup_(buf_done) struct buf line = {};

	if (!to)
		return true;
	clean(q->path, to);
	if (strcmp(to, q->path) == 0)
		return true;
	(void) buf_puts(&line, "Location: ");
	put_encoded(&line, to, "/-_.~$&+,:;=@");
	if (q->id) {
		(void) buf_puts(&line, "?id=");
		put_encoded(&line, q->id, "-_.~");
	}
	(void) buf_puts(&line, "\n");
	answer_text(r, 301, "");
	r->headers = buf_take(&line);
	return false;
}
