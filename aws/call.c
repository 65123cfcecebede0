/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"
#include "common/strv.h"

enum {
	RETRY_TOKENS = 500,
	RETRY_COST = 5,
	RETRY_COST_TIMEOUT = 10,
	RETRY_DELAY_MAX_MS = 20000,
};

#define CONTENT_TYPE "application/x-amz-json-1.1"

struct aws_client {
	struct http_client *http;
	struct aws_credentials *credentials;
	char *service, *target_prefix, *region, *endpoint, *user_agent; /* owned */
	int64_t connect_timeout_ms, timeout_ms, retry_base_ms;
	int max_attempts;
	int tokens; /* of the retry bucket */
	struct aws_call *calls;
};

struct aws_call {
	struct aws_client *client;
	struct aws_call *next, **prev;
	char *operation, *body; /* owned */
	struct aws_call_options options;
	aws_call_fn fn;
	void *userdata;
	int attempt; /* of those finished */
	int paid;    /* tokens the latest retry cost */
	bool refreshed;
	struct aws_credentials_request *keys_request;
	struct http_request *http;
	sd_event_source *timer;
	struct err trouble; /* why the keys did not come, told from the loop */
};

static int attempt(struct aws_call *call, struct err *err);

struct aws_call *aws_call_cancel(struct aws_call *call)
{
	if (!call)
		return NULL;
	if (call->prev) {
		*call->prev = call->next;
		if (call->next)
			call->next->prev = call->prev;
	}
	(void) aws_credentials_cancel(call->keys_request);
	(void) http_request_cancel(call->http);
	(void) sd_event_source_disable_unref(call->timer);
	err_done(&call->trouble);
	free(call->operation);
	free(call->body);
	free(call);
	return NULL;
}

DEFINE_CLEANUP(struct aws_call *, aws_call_cancel)

int aws_client_new(const struct aws_client_params *p, struct aws_client **ret, struct err *err)
{
	_cleanup_(aws_client_freep) struct aws_client *c = calloc(1, sizeof(*c));

	if (!c || strdup_to(&c->service, p->service) < 0 ||
	    strdup_to(&c->target_prefix, p->target_prefix) < 0 ||
	    strdup_to(&c->region, p->region) < 0 || strdup_to(&c->endpoint, p->endpoint) < 0 ||
	    strdup_to(&c->user_agent, p->user_agent) < 0)
		return err_set(err, ENOMEM, "allocate %s client", p->service);
	c->http = p->http;
	c->credentials = p->credentials;
	c->connect_timeout_ms = p->connect_timeout_ms;
	c->timeout_ms = p->timeout_ms;
	c->retry_base_ms = p->retry_base_ms ? p->retry_base_ms : MSEC_PER_SEC;
	c->max_attempts = p->max_attempts ? p->max_attempts : 3;
	c->tokens = RETRY_TOKENS;
	*ret = TAKE_PTR(c);
	return 0;
}

struct aws_client *aws_client_free(struct aws_client *c)
{
	if (!c)
		return NULL;
	while (c->calls)
		(void) aws_call_cancel(c->calls);
	free(c->service);
	free(c->target_prefix);
	free(c->region);
	free(c->endpoint);
	free(c->user_agent);
	free(c);
	return NULL;
}

sd_event *aws_client_event(struct aws_client *c)
{
	return http_client_event(c->http);
}

static void finish(struct aws_call *call, const struct aws_result *r, const struct err *err)
{
	_cleanup_(aws_call_cancelp) struct aws_call *own = call;

	own->fn(own->userdata, r, err);
}

static void fail(struct aws_call *call, const struct err *err)
{
	struct aws_result r = { .error = "", .message = err_text(err), .retriable = true };

	finish(call, &r, err);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct aws_call *call = userdata;

	(void) s, (void) usec;
	call->timer = sd_event_source_disable_unref(call->timer);
	if (call->trouble.code) {
		(void) err_move(&err, &call->trouble);
		fail(call, &err);
	} else if (attempt(call, &err) < 0) {
		fail(call, &err);
	}
	return 0;
}

static int arm(struct aws_call *call, int64_t delay_ms, struct err *err)
{
	int k;

	call->timer = sd_event_source_disable_unref(call->timer);
	k = sd_event_add_time_relative(aws_client_event(call->client), &call->timer,
				       CLOCK_MONOTONIC, (uint64_t) delay_ms * USEC_PER_MSEC, 1000,
				       on_timer, call);
	if (k < 0)
		return err_set_errno(err, -k, "%s: timer", call->operation);
	(void) sd_event_source_set_description(call->timer, "aws-call");
	return 0;
}

void aws_client_retry_now(struct aws_client *c)
{
	for (struct aws_call *call = c->calls; call; call = call->next)
		if (call->attempt > 0 && call->timer && !call->http && !call->keys_request)
			(void) sd_event_source_set_time_relative(call->timer, 0);
}

static int64_t retry_delay_ms(const struct aws_call *call)
{
	unsigned n = (unsigned) call->attempt - 1;
	int64_t bound;

	if (call->options.retry_delay_ms)
		return call->options.retry_delay_ms(n);
	bound = n < 16 ? call->client->retry_base_ms << n : RETRY_DELAY_MAX_MS;
	return random_below(MIN(bound, (int64_t) RETRY_DELAY_MAX_MS) + 1);
}

/* Takes what one more attempt costs out of the bucket; a success puts it back. */
static bool pay(struct aws_call *call, bool timed_out)
{
	int cost = timed_out ? RETRY_COST_TIMEOUT : RETRY_COST;

	if (call->options.no_bucket)
		return true;
	if (call->client->tokens < cost)
		return false;
	call->client->tokens -= cost;
	call->paid = cost;
	return true;
}

static void refund(struct aws_call *call)
{
	struct aws_client *c = call->client;

	c->tokens = MIN(c->tokens + (call->paid ? call->paid : 1), (int) RETRY_TOKENS);
}

static bool may_retry(struct aws_call *call, bool retriable, bool timed_out)
{
	int max = call->options.max_attempts ? call->options.max_attempts
					     : call->client->max_attempts;

	return retriable && call->attempt < max && pay(call, timed_out);
}

/* A wrong clock or stale keys are mended once per call, then the attempt is worth repeating. */
static bool mend(struct aws_call *call, const struct http_response *r, const char *name)
{
	static const char *const skewed[] = { "RequestTimeTooSkewed", "RequestExpired",
					      "InvalidSignatureException",
					      "SignatureDoesNotMatch" };
	static const char *const stale[] = { "ExpiredTokenException", "ExpiredToken",
					     "UnrecognizedClientException",
					     "MissingAuthenticationTokenException",
					     "MissingAuthenticationToken" };

	if (call->refreshed)
		return false;
	call->refreshed = true;
	for (size_t i = 0; i < ARRAY_SIZE(skewed); i++) {
		if (strcmp(name, skewed[i]) == 0 && http_learn_time(call->client->http, r->date_ms))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++) {
		if (strcmp(name, stale[i]) != 0 || !call->client->credentials)
			continue;
		aws_credentials_invalidate(call->client->credentials);
		return true;
	}
	call->refreshed = false;
	return false;
}

static void on_success(struct aws_call *call, const struct http_response *resp)
{
	_cleanup_(err_done) struct err err = {};
	json_auto_t *body = NULL;
	struct aws_result r = { .status = resp->status, .error = "", .message = "" };

	refund(call);
	if (resp->body_len == 0)
		body = json_object();
	else
		(void) json_parse(resp->body, resp->body_len, &body, &err);
	r.body = body;
	if (!body) {
		(void) err_wrap(&err, "%s: answer %d", call->operation, resp->status);
		r.retriable = true;
	}
	finish(call, &r, &err);
}

static void on_failure(struct aws_call *call, const struct http_response *resp,
		       const struct err *http_err)
{
	_cleanup_(aws_error_done) struct aws_error e = {};
	_cleanup_(err_done) struct err err = {};
	struct aws_result r = { .status = resp->status };

	if (resp->status)
		aws_error_decode(resp->error_type, resp->body, resp->body_len, &e);
	r.error = e.name;
	r.request_id = resp->request_id;
	r.message = resp->status ? (e.message ? e.message : "") : err_text(http_err);
	r.retriable = aws_error_retriable(resp->status, e.name) && http_err->code != EFBIG;
	call->attempt++;
	if (may_retry(call, r.retriable, http_err->code == ETIMEDOUT) || mend(call, resp, e.name)) {
		if (arm(call, retry_delay_ms(call), &err) == 0)
			return;
	} else if (resp->status == 0) {
		(void) err_set(&err, http_err->code ? http_err->code : EIO, "%s: %s",
			       call->operation, err_text(http_err));
	} else {
		(void) err_set(&err, EREMOTEIO, "%s: %s%s%s (HTTP %d)", call->operation, r.error,
			       *r.error && *r.message ? ": " : "", r.message, resp->status);
	}
	finish(call, &r, &err);
}

static void on_answer(void *userdata, const struct http_response *r, const struct err *err)
{
	struct aws_call *call = userdata;

	call->http = NULL;
	if (r->status >= 200 && r->status < 300)
		on_success(call, r);
	else
		on_failure(call, r, err);
}

static int append_line(char ***lines, const char *name, const char *value)
{
	_cleanup_(buf_done) struct buf b = {};

	(void) buf_printf(&b, "%s: %s", name, value);
	return b.failed ? -ENOMEM : strv_append(lines, buf_str(&b));
}

/* The signed headers of the SDKs: host, content-type, x-amz-date, x-amz-target, the token. */
static int sign(struct aws_call *call, const struct aws_keys *keys, char ***lines, struct err *err)
{
	struct aws_client *c = call->client;
	_cleanup_(buf_done) struct buf target = {}, auth = {}, host = {};
	int64_t now = http_now_ms(c->http);
	char date[SIGV4_DATE_MAX];
	const char *h = strstr(c->endpoint, "://");

	h = h ? h + 3 : c->endpoint;
	(void) buf_append(&host, h, strcspn(h, "/"));
	(void) buf_printf(&target, "%s.%s", c->target_prefix, call->operation);
	struct sigv4_header headers[] = {
		{ "content-type", CONTENT_TYPE },
		{ "host", buf_str(&host) },
		{ "x-amz-date", sigv4_date(now, date) },
		{ "x-amz-target", buf_str(&target) },
		{ "x-amz-security-token", keys ? keys->session_token : NULL },
	};
	struct sigv4_request r = {
		.method = "POST",
		.path = h[strcspn(h, "/")] ? h + strcspn(h, "/") : "/",
		.headers = headers,
		.n_headers = keys && keys->session_token ? 5 : 4,
		.payload = call->body,
		.payload_len = strlen(call->body),
		.region = c->region,
		.service = c->service,
		.now_ms = now,
		.encode_path_twice = true,
	};
	if (keys) {
		int k = sigv4_authorization(&r, keys, &auth, err);

		if (k < 0)
			return k;
	}
	for (size_t i = 0; i < r.n_headers; i++)
		if (append_line(lines, headers[i].name, headers[i].value) < 0)
			return err_set(err, ENOMEM, "%s: headers", call->operation);
	if ((keys && append_line(lines, "authorization", buf_str(&auth)) < 0) ||
	    (c->user_agent && append_line(lines, "user-agent", c->user_agent) < 0) || host.failed ||
	    target.failed)
		return err_set(err, ENOMEM, "%s: headers", call->operation);
	return 0;
}

static int send_request(struct aws_call *call, const struct aws_keys *keys, struct err *err)
{
	struct aws_client *c = call->client;
	_cleanup_(strv_freep) char **lines = NULL;
	_cleanup_(buf_done) struct buf url = {};
	int k = sign(call, keys, &lines, err);

	if (k < 0)
		return k;
	(void) buf_printf(&url, "%s%s", c->endpoint,
			  strchr(strstr(c->endpoint, "://") + 3, '/') ? "" : "/");
	struct http_request_params p = {
		.method = "POST",
		.url = buf_str(&url),
		.headers = (const char *const *) lines,
		.body = call->body,
		.body_len = strlen(call->body),
		.connect_timeout_ms = c->connect_timeout_ms,
		.timeout_ms = call->options.timeout_ms ? call->options.timeout_ms : c->timeout_ms,
	};
	return http_request(c->http, &p, on_answer, call, &call->http, err);
}

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *err)
{
	struct aws_call *call = userdata;

	call->keys_request = NULL;
	if (err->code)
		(void) err_set(&call->trouble, err->code, "%s: credentials: %s", call->operation,
			       err_text(err));
	else if (send_request(call, keys, &call->trouble) == 0)
		return;
	if (arm(call, 0, NULL) < 0)
		fail(call, &call->trouble);
}

static int attempt(struct aws_call *call, struct err *err)
{
	if (!call->client->credentials)
		return send_request(call, NULL, err);
	return aws_credentials_get(call->client->credentials, on_keys, call, &call->keys_request,
				   err);
}

int aws_call(struct aws_client *c, const char *operation, const char *body,
	     const struct aws_call_options *options, aws_call_fn fn, void *userdata,
	     struct aws_call **ret, struct err *err)
{
	_cleanup_(aws_call_cancelp) struct aws_call *call = calloc(1, sizeof(*call));
	int k;

	if (!call || strdup_to(&call->operation, operation) < 0 || strdup_to(&call->body, body) < 0)
		return err_set(err, ENOMEM, "%s: allocate", operation);
	call->client = c;
	call->fn = fn;
	call->userdata = userdata;
	if (options)
		call->options = *options;
	k = arm(call, 0, err); /* from the loop: no callback before the caller has *ret */
	if (k < 0)
		return k;
	call->next = c->calls;
	call->prev = &c->calls;
	if (call->next)
		call->next->prev = &call->next;
	c->calls = call;
	if (ret)
		*ret = call;
	TAKE_PTR(call);
	return 0;
}
