/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/metadata.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http/listener.h"
#include "agent/metadata/later.h"
#include "agent/metadata/pages.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"

/* ---- answers ---- */

void answer_json(struct http_reply *r, unsigned status, json_t *o)
{
	answer_json_text(r, status, json_to_text(o));
	json_decref(o);
}

void answer_json_text(struct http_reply *r, unsigned status, char *text)
{
	r->status = status;
	r->content_type = "application/json";
	r->body = text;
}

void answer_text(struct http_reply *r, unsigned status, const char *text)
{
	r->status = status;
	r->content_type = "text/plain; charset=utf-8";
	r->body = strdup(text);
}

void answer_error(struct http_reply *r, unsigned status, const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	json_t *o;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	o = json_string(text ? text : "");
	/* What was asked for stands in it, and need not be UTF-8, which JSON has to be. */
	for (char *c = text; !o && c && *c; c++)
		if ((unsigned char) *c >= 0x80)
			*c = '?';
	answer_json(r, status, o ? o : json_string(text ? text : ""));
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

	if (!path_is_clean(q, r))
		return;
	if (strcmp(q->path, "/v1/credentials") == 0)
		answer_credentials(m, &c, true, q->id, q, r);
	else if ((rest = after(q->path, "/v2/credentials/")) && !strchr(rest, '/'))
		answer_credentials(m, &c, false, rest, q, r);
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

static void on_turn(void *userdata, struct http_call *c, struct http_reply *r)
{
	struct metadata_request q;

	request_take(c, &q);
	metadata_answer(userdata, &q, r);
	if (!r->later)
		add_rate_headers(userdata, &q, r);
}

static void on_call(void *userdata, struct http_call *c, struct http_reply *r)
{
	struct metadata *m = userdata;
	struct metadata_request q;
	int64_t wait_us;

	request_take(c, &q);
	if (metadata_admits(m, &q, clock_mono_ns() / 1000, &wait_us, r) ||
	    (wait_us > 0 && line_join(m->line, c, wait_us, r) < 0))
		on_turn(m, c, r);
}

/*
 * A task has as many connections as an address. The tasks of the host's namespace share one, which
 * then is theirs to spoil; so it has room for many.
 */
static int start(struct metadata *m, const struct metadata_params *p, struct err *err)
{
	struct http_server_params s = { .loop = p->loop,
					.what = "task server's port",
					.timeout_s = 10,
					.patience_ms = 40000, /* tags may take 30 s */
					.max_connections = 1024,
					.handler = on_call,
					.userdata = m };
	int k = p->loop ? line_new(p->loop, on_turn, m, &m->line, err) : 0;

	for (size_t i = 0; k == 0 && p->loop && i < m->n_addrs; i++) {
		bool loopback = ntohl(m->addrs[i].s_addr) >> 24 == IN_LOOPBACKNET;

		s.max_connections_per_address = loopback ? 512 : 64;
		k = listener_new(&s, m->addrs[i], p->port, &m->listeners[i], err);
	}
	return k;
}

static void set_rates(struct metadata *m, const struct config *c)
{
	m->limited = c->metadata_rps > 0;
	m->per_s = m->limited ? c->metadata_rps : PACE_PER_S;
	pace_init(&m->pace, PACE_PER_S, PACE_BURST);
	pace_init(&m->limit, m->per_s, m->limited ? c->metadata_burst : PACE_BURST);
}

static int open_audit(struct metadata *m, const struct config *c, struct err *err)
{
	const struct rotate_params r = { .path = c->audit_file,
					 .rollover = c->log_rollover,
					 .max_bytes = (int64_t) (c->log_max_file_mb * 1e6),
					 .max_files = (int) c->log_max_roll_count };

	if (c->audit_disabled || !c->audit_file)
		return 0;
	m->audit = audit_new(&r);
	return m->audit ? 0 : err_set(err, ENOMEM, "allocate the audit log");
}

int metadata_new(const struct metadata_params *p, struct metadata **ret, struct err *err)
{
	_cleanup_(metadata_freep) struct metadata *m = calloc(1, sizeof(*m));
	const struct config *c = p->view->config;
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
		m->ecs_endpoint = aws_endpoint("ecs", c->region ? c->region : "", c->ipv6_only,
					       c->backend_host);
	if (p->http && !m->ecs_endpoint)
		return err_set(err, ENOMEM, "allocate endpoint");
	set_rates(m, c);
	k = open_audit(m, c, err);
	if (k == 0)
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
	m->line = line_free(m->line);
	for (size_t i = 0; i < m->n_addrs; i++)
		listener_free(m->listeners[i]);
	m->stats = stats_answers_free(m->stats);
	m->audit = audit_free(m->audit);
	free(m->ecs_endpoint);
	free(m);
	return NULL;
}
