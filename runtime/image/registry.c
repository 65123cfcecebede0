/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/explain.h"
#include "runtime/image/login.h"

enum {
	REDIRECTS_MAX = 5,
	LOGINS_MAX = 2, /* the second when a token ran out on the way */
	RETRY_AFTER_MAX_MS = 120000,
	PROMPT_MS = 50,
	INACTIVITY_DEFAULT_MS = 60000,
};

struct registry {
	const struct reference *ref;
	struct http *http;
	char *username, *password;
	char *base;          /* "https://host": of the mirror, as long as that will do */
	char *origin;        /* the registry's own, while base is a mirror's; NULL otherwise */
	char *authorization; /* value of the header once logged in */
	bool guessing;       /* loopback: no answer yet told whether it speaks TLS */
	void (*on_retry)(const char *text, void *userdata);
	void *userdata;
};

int registry_open(const struct registry_params *p, struct registry **ret, struct err *err)
{
	_cleanup_(registry_closep) struct registry *r = calloc(1, sizeof(*r));
	bool loopback = reference_is_loopback(p->reference->domain);
	struct http_params hp = { .no_proxy = loopback,
				  .interrupted = p->interrupted,
				  .certs_dir = p->certs_dir };
	int k;

	if (!r)
		return err_set(err, ENOMEM, "set up registry");
	hp.inactivity_timeout_ms =
		p->inactivity_timeout_ms > 0 ? p->inactivity_timeout_ms : INACTIVITY_DEFAULT_MS;
	k = http_open(&hp, &r->http, err);
	if (k < 0)
		return k;
	r->ref = p->reference;
	r->on_retry = p->on_retry;
	r->userdata = p->userdata;
	r->guessing = loopback && !p->plain_http && !p->mirror;
	r->base = path_join("%s://%s", loopback || p->plain_http ? "http" : "https",
			    reference_api_host(p->reference));
	if (!r->base || strdup_to(&r->username, p->username) < 0 ||
	    strdup_to(&r->password, p->username && !p->password ? "" : p->password) < 0)
		return err_set(err, ENOMEM, "set up registry");
	if (p->mirror) {
		r->origin = r->base;
		r->base = strdup(p->mirror);
		if (!r->base)
			return err_set(err, ENOMEM, "set up registry");
	}
	*ret = TAKE_PTR(r);
	return 0;
}

struct registry *registry_close(struct registry *r)
{
	if (!r)
		return NULL;
	(void) http_close(r->http);
	login_wipe(r->username);
	login_wipe(r->password);
	login_wipe(r->authorization);
	free(r->base);
	free(r->origin);
	free(r);
	return NULL;
}

struct http *registry_http(struct registry *r)
{
	return r->http;
}

int registry_call_init(struct registry *r, struct registry_call *c, const char *kind,
		       const char *name, struct err *err)
{
	*c = (struct registry_call){
		.backoff = { .min_ms = 1100, .max_ms = 5000, .jitter = 0.2, .factor = 2 },
	};
	c->path = path_join("%s/%s", kind, name);
	c->req.http = r->http;
	return c->path ? 0 : err_set(err, ENOMEM, "set up request");
}

void registry_call_done(struct registry_call *c)
{
	http_request_done(&c->req);
	free(c->path);
	c->path = NULL;
}

int registry_call_go_to(struct registry_call *c, const char *url, bool at_mirror, struct err *err)
{
	c->redirects = 1;
	c->at_mirror = at_mirror;
	return strdup_to(&c->req.url, url) < 0 ? err_set(err, ENOMEM, "set up request") : 0;
}

/* Points the request at the registry itself, with what we log in with there. */
static int aim(struct registry *r, struct registry_call *c, struct err *err)
{
	free(c->req.url);
	c->redirects = 0;
	c->at_mirror = r->origin != NULL;
	c->req.url = path_join("%s/v2/%s/%s", r->base, r->ref->repository, c->path);
	if (!c->req.url || strdup_to(&c->req.authorization, r->authorization) < 0)
		return err_set(err, ENOMEM, "set up request");
	return 0;
}

int registry_start(struct registry *r, struct registry_call *c, struct err *err)
{
	int k = c->req.url ? 0 : aim(r, c, err);

	return k < 0 ? k : http_start(r->http, &c->req, err);
}

static bool is_transient(const struct http_request *req)
{
	if (!req->failed)
		return req->status == 429 || req->status == 408 || req->status >= 500;
	if (req->proxy_status == 407) /* it will not know us the next time either */
		return false;
	switch (req->code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_SSL_CONNECT_ERROR:
		return true;
	default:
		return false;
	}
}

static void tell_retry(const struct registry *r, const struct registry_call *c, int64_t delay_ms)
{
	_cleanup_(freep) char *why = explain_try(r->ref, c), *text = NULL;

	if (r->on_retry && why &&
	    asprintf(&text, "%s; attempt %d of %d, next try in %.1f s", why, c->tries,
		     REGISTRY_TRIES_MAX, (double) delay_ms / 1000) >= 0)
		r->on_retry(text, r->userdata);
}

static int try_later(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		     struct err *err)
{
	int64_t delay = c->prompt ? PROMPT_MS + random_below(PROMPT_MS) : 0;

	if (++c->tries >= REGISTRY_TRIES_MAX)
		return explain_end(r->ref, c, err);
	if (!c->prompt)
		delay = backoff_next_ms(&c->backoff);
	delay = MAX(delay,
		    MIN((int64_t) c->req.retry_after_s * 1000, (int64_t) RETRY_AFTER_MAX_MS));
	c->prompt = false;
	tell_retry(r, c, delay);
	*ret_delay_ms = delay;
	/* A redirect's signed address may have run out: from the start. */
	return aim(r, c, err) < 0 ? -ENOMEM : REGISTRY_LATER;
}

void registry_tell_restart(const struct registry *r, const char *why)
{
	_cleanup_(freep) char *text = path_join(
		"registry %s: %s; it is fetched once more from the start", r->ref->domain, why);

	if (r->on_retry && text)
		r->on_retry(text, r->userdata);
}

int registry_cut_short(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		       struct err *err)
{
	c->req.failed = true;
	c->req.code = CURLE_PARTIAL_FILE;
	(void) snprintf(c->req.why_not, sizeof(c->req.why_not), "the answer is cut short");
	return try_later(r, c, ret_delay_ms, err);
}

void registry_call_moved(struct registry_call *c)
{
	c->tries = c->logins = 0;
	c->prompt = true;
	backoff_reset(&c->backoff);
}

static bool same_origin(const char *a, const char *b)
{
	_cleanup_(freep) char *x = origin_of(a), *y = origin_of(b);

	return x && y && strcasecmp(x, y) == 0;
}

static int follow(struct registry_call *c, struct err *err)
{
	const char *to = c->req.redirect;
	bool secure = strncmp(c->req.url, "https://", 8) == 0;

	if (!to || ++c->redirects > REDIRECTS_MAX)
		return err_set(err, EPROTO, "%s: %s", c->path,
			       to ? "too many redirects" : "a redirect without an address");
	if (strncasecmp(to, "https://", 8) != 0 && (secure || strncasecmp(to, "http://", 7) != 0))
		return err_set(err, EPROTO, "%s: refusing a redirect from https to '%.60s'",
			       c->path, to);
	if (!same_origin(c->req.url, to)) {
		login_wipe(c->req.authorization);
		c->req.authorization = NULL;
	}
	return strdup_to(&c->req.url, to) < 0 ? err_set(err, ENOMEM, "follow redirect")
					      : REGISTRY_AGAIN;
}

static int take_token(struct registry *r, const struct http_request *req, struct err *err)
{
	char *token = NULL;
	int k = login_bearer(buf_str(&req->body), req->body.len, &token, err);

	if (k < 0)
		return k;
	login_wipe(r->authorization);
	r->authorization = token;
	return 0;
}

static int ask_token_service(struct registry *r, struct http_request *req, struct err *err)
{
	struct backoff delay = { .min_ms = 1100, .max_ms = 5000, .jitter = 0.2, .factor = 2 };

	for (int tries = 1;; tries++) {
		int64_t wait_ms;
		int k = http_run(r->http, req, err);

		if (k < 0)
			return k;
		if (!req->failed && req->status == 200)
			return take_token(r, req, err);
		if (!is_transient(req) || tries == REGISTRY_TRIES_MAX)
			return explain_token_service(req, tries, err);
		wait_ms = MAX(backoff_next_ms(&delay),
			      MIN(req->retry_after_s * 1000LL, (long long) RETRY_AFTER_MAX_MS));
		k = http_pass_time(r->http, wait_ms, err);
		if (k < 0)
			return k;
	}
}

static int log_in(struct registry *r, struct registry_call *c, struct err *err)
{
	_cleanup_(challenge_done) struct challenge ch = {};
	struct http_request req = { .body_max = LOGIN_TOKEN_BYTES_MAX };
	int k = c->req.challenge ? challenge_parse(c->req.challenge, &ch, err) : 0;

	if (k < 0)
		return k;
	/* The login is the registry's, no mirror's. */
	if (ch.scheme == CHALLENGE_BASIC && r->username && !r->origin) {
		login_wipe(r->authorization);
		r->authorization = NULL;
		return login_basic(r->username, r->password, &r->authorization, err);
	}
	if (ch.scheme != CHALLENGE_BEARER)
		return explain_end(r->ref, c, err);
	k = login_token_url(&ch, r->ref, strncmp(r->base, "https://", 8) == 0, &req.url, err);
	if (k == 0 && r->username && !r->origin)
		k = login_basic(r->username, r->password, &req.authorization, err);
	if (k == 0)
		k = ask_token_service(r, &req, err);
	http_request_done(&req);
	return k;
}

/* A loopback port that speaks TLS answers plain HTTP with a 400, or not at all. */
static bool wants_tls(const struct registry *r, const struct http_request *req)
{
	if (!r->guessing || strncmp(req->url, "http://", 7) != 0)
		return false;
	if (req->failed)
		return req->code == CURLE_GOT_NOTHING || req->code == CURLE_RECV_ERROR ||
		       req->code == CURLE_UNSUPPORTED_PROTOCOL ||
		       req->code == CURLE_WEIRD_SERVER_REPLY;
	return req->status == 400 && (req->head || strcasestr(buf_str(&req->body), "HTTPS"));
}

/* And one that does not, and merely was out of sorts, cannot shake hands. */
static bool wants_no_tls(const struct registry *r, const struct http_request *req)
{
	return r->guessing && strncmp(req->url, "https://", 8) == 0 && req->failed &&
	       req->code == CURLE_SSL_CONNECT_ERROR;
}

static int turn_to(struct registry *r, struct registry_call *c, const char *scheme, struct err *err)
{
	char *base = path_join("%s://%s", scheme, reference_api_host(r->ref));

	if (!base)
		return err_set(err, ENOMEM, "set up request");
	free(r->base);
	r->base = base;
	return aim(r, c, err) < 0 ? -ENOMEM : REGISTRY_AGAIN;
}

static int judge_login(struct registry *r, struct registry_call *c, struct err *err)
{
	bool stale = c->req.authorization && r->authorization &&
		     strcmp(c->req.authorization, r->authorization) != 0;
	int k = 0;

	if (!stale) { /* else another transfer logged in meanwhile */
		if (++c->logins > LOGINS_MAX)
			return explain_end(r->ref, c, err);
		/* The answer to a HEAD has no reason in it, and Basic does not change. */
		if (c->logins > 1 &&
		    strncmp(r->authorization ? r->authorization : "", "Basic", 5) == 0)
			return explain_end(r->ref, c, err);
		k = log_in(r, c, err);
	}
	if (k == 0)
		k = aim(r, c, err);
	return k < 0 ? k : REGISTRY_AGAIN;
}

/* Signed addresses of storage services hold for minutes; a broken layer may outlive its own. */
static bool is_worn_out(const struct registry *r, const struct http_request *req)
{
	return (req->status == 400 || req->status == 401 || req->status == 403 ||
		req->status == 410) &&
	       !same_origin(req->url, r->base);
}

static int judge(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		 struct err *err)
{
	const struct http_request *req = &c->req;

	if (req->callback_error < 0)
		return err_set(err, -req->callback_error, "%s: %s", c->path,
			       req->callback_error == -EFBIG ? "the answer is too large"
							     : strerror(-req->callback_error));
	if (wants_tls(r, req))
		return turn_to(r, c, "https", err);
	if (wants_no_tls(r, req)) {
		int k = try_later(r, c, ret_delay_ms, err);

		return k == REGISTRY_LATER && turn_to(r, c, "http", err) < 0 ? -ENOMEM : k;
	}
	r->guessing = r->guessing && req->failed;
	if (is_transient(req))
		return try_later(r, c, ret_delay_ms, err);
	if (req->failed)
		return explain_end(r->ref, c, err);
	if (req->status == 200 || req->status == 206)
		return REGISTRY_OK;
	if (req->status >= 300 && req->status < 400)
		return follow(c, err);
	if (c->redirects > 0 && is_worn_out(r, req))
		return try_later(r, c, ret_delay_ms, err);
	if (req->status == 401 && same_origin(req->url, r->base))
		return judge_login(r, c, err);
	return explain_end(r->ref, c, err);
}

/* A mirror is a convenience: whatever is wrong with it, the registry itself is asked. */
static int leave_mirror(struct registry *r, struct registry_call *c, struct err *err)
{
	_cleanup_(freep) char *why = explain_try(r->ref, c), *text = NULL;

	if (r->origin) {
		free(r->base);
		r->base = TAKE_PTR(r->origin);
		login_wipe(r->authorization);
		r->authorization = NULL;
		r->guessing = strncmp(r->base, "http://", 7) == 0 &&
			      reference_is_loopback(r->ref->domain);
		if (r->on_retry && why &&
		    asprintf(&text, "%s; asking the registry instead of its mirror", why) >= 0)
			r->on_retry(text, r->userdata);
	}
	c->tries = c->logins = 0;
	return aim(r, c, err) < 0 ? -ENOMEM : REGISTRY_AGAIN;
}

int registry_judge(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		   struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	int k;

	if (!c->at_mirror)
		return judge(r, c, ret_delay_ms, err);
	if (c->req.callback_error == 0 && is_transient(&c->req))
		return leave_mirror(r, c, err);
	k = judge(r, c, ret_delay_ms, &why);
	if (k < 0 && c->req.callback_error == 0 && k != -ECANCELED && k != -ENOMEM)
		return leave_mirror(r, c, err);
	return k < 0 ? err_move(err, &why) : k;
}

int registry_run(struct registry *r, struct registry_call *c, struct err *err)
{
	for (;;) {
		int64_t delay = 0;
		int k = c->req.url ? 0 : aim(r, c, err);

		if (k == 0)
			k = http_run(r->http, &c->req, err);
		if (k == 0)
			k = registry_judge(r, c, &delay, err);
		if (k == REGISTRY_LATER && (k = http_pass_time(r->http, delay, err)) == 0)
			continue;
		if (k <= REGISTRY_OK)
			return k;
	}
}
