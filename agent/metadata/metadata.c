/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/metadata.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http/listener.h"
#include "agent/metadata/later.h"
#include "agent/metadata/pages.h"
#include "common/json.h"
#include "common/macro.h"

/* ---- answers ---- */

void answer_json(struct http_reply *r, unsigned status, json_t *o)
{
	r->status = status;
	r->content_type = "application/json";
	r->body = json_to_text(o);
	json_decref(o);
}

void answer_text(struct http_reply *r, unsigned status, const char *text)
{
	r->status = status;
	r->content_type = "text/plain; charset=utf-8";
	r->body = strdup(text);
}

void answer_error(struct http_reply *r, unsigned status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_json(r, status, json_vsprintf(fmt, ap));
	va_end(ap);
}

/* What follows @prefix in @path; NULL: it does not begin so. */
static const char *after(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 ? path + n : NULL;
}

static void answer_api(struct metadata *m, const struct caller *caller, const char *path,
		       const struct metadata_request *q, struct http_reply *r)
{
	const char *slash = strchr(path, '/');
	_cleanup_(freep) char *id = slash ? strndup(path, (size_t) (slash - path)) : NULL;

	if (id && strcmp(slash, "/task-protection/v1/state") == 0)
		answer_protection(m, container_by_endpoint(m, caller, id), q, r);
	else
		answer_text(r, 404, "404 page not found\n");
}

void metadata_answer(struct metadata *m, const struct metadata_request *q, struct http_reply *r)
{
	struct caller c = caller_find(m->view, q->peer, m->addrs, m->n_addrs);
	const char *rest;

	if (strcmp(q->path, "/v1/credentials") == 0)
		answer_credentials(m, &c, true, q->id, r);
	else if ((rest = after(q->path, "/v2/credentials/")) && !strchr(rest, '/'))
		answer_credentials(m, &c, false, rest, r);
	else if ((rest = after(q->path, "/v4/")))
		answer_endpoint(m, &c, true, rest, q->call, r);
	else if ((rest = after(q->path, "/v3/")))
		answer_endpoint(m, &c, false, rest, q->call, r);
	else if ((rest = after(q->path, "/v2/")))
		answer_by_address(m, &c, rest, q, r);
	else if ((rest = after(q->path, "/api/")))
		answer_api(m, &c, rest, q, r);
	else
		answer_text(r, 404, "404 page not found\n");
}

/* ---- the server ---- */

static void on_call(void *userdata, struct http_call *c, struct http_reply *r)
{
	struct metadata_request q = { .method = http_call_method(c),
				      .path = http_call_path(c),
				      .id = http_call_query(c, "id"),
				      .call = c };
	struct sockaddr_in peer = {};

	if (http_call_peer(c, &peer))
		q.peer = peer.sin_addr;
	q.body = http_call_body(c, &q.body_len);
	metadata_answer(userdata, &q, r);
}

static int start(struct metadata *m, const struct metadata_params *p, struct err *err)
{
	struct http_server_params s = { .loop = p->loop,
					.what = "task server's port",
					.timeout_s = 10,
					.patience_ms = 40000, /* tags may take 30 s */
					.max_connections = 1024,
					.max_connections_per_address = 64,
					.handler = on_call,
					.userdata = m };

	for (size_t i = 0; p->loop && i < m->n_addrs; i++)
		if (listener_new(&s, m->addrs[i], p->port, &m->listeners[i], err) < 0)
			return -err->code;
	return 0;
}

int metadata_new(const struct metadata_params *p, struct metadata **ret, struct err *err)
{
	_cleanup_(metadata_freep) struct metadata *m = calloc(1, sizeof(*m));
	int k;

	if (!m)
		return err_set(err, ENOMEM, "allocate the task server");
	m->loop = p->loop;
	m->http = p->http;
	m->ecs = p->ecs;
	m->view = p->view;
	m->roles = p->roles;
	m->n_addrs = MIN(p->n_addrs, (size_t) METADATA_ADDRS_MAX);
	for (size_t i = 0; i < m->n_addrs; i++)
		m->addrs[i] = p->addrs[i];
	if (p->http)
		m->ecs_endpoint = aws_endpoint("ecs", p->view->config->region, false,
					       p->view->config->backend_host);
	if (p->http && !m->ecs_endpoint)
		return err_set(err, ENOMEM, "allocate endpoint");
	k = start(m, p, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(m);
	return 0;
}

struct metadata *metadata_free(struct metadata *m)
{
	if (!m)
		return NULL;
	later_end_all(m);
	for (size_t i = 0; i < m->n_addrs; i++)
		listener_free(m->listeners[i]);
	free(m->ecs_endpoint);
	free(m);
	return NULL;
}
