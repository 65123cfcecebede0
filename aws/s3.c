/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/strv.h"

enum {
	ATTEMPTS_MAX = 3,
	BACKOFF_MS = 1000,
	CONNECT_MS = 5000,
	TIMEOUT_MS = 30000,
	ERROR_PART_MAX = 300,
	BUCKET_LABEL_MAX = 63,
};

/* Of no bytes: none of these requests has a body. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_request {
	struct http_client *http;
	struct aws_credentials *credentials;
	char *method, *url, *region; /* owned */
	size_t max_bytes;
	int64_t timeout_ms;
	s3_fn fn;
	void *userdata;
	unsigned attempt; /* of those finished */
	struct aws_credentials_request *keys_request;
	struct http_request *request;
	sd_event_source *timer;
	struct err trouble;
};

/* ---- where to ---- */

/* A name that can stand in front of the endpoint's, also under a certificate for *.s3.… */
static bool is_label(const char *bucket)
{
	size_t n = strlen(bucket);

	return n >= 3 && n <= BUCKET_LABEL_MAX && bucket[0] != '-' && bucket[n - 1] != '-' &&
	       strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

char *s3_url(const struct s3_params *p)
{
	bool own = p->endpoint && *p->endpoint, label = !own && is_label(p->bucket);
	_cleanup_(freep) char *base = aws_endpoint(p->dual_stack ? "s3.dualstack" : "s3", p->region,
						   false, own ? p->endpoint : NULL);
	struct buf b = {};

	if (!base)
		return NULL;
	if (label) {
		(void) buf_printf(&b, "https://%s.%s/", p->bucket, base + strlen("https://"));
	} else {
		(void) buf_printf(&b, "%s/", base);
		sigv4_uri_encode(p->bucket, strlen(p->bucket), 0, &b);
		(void) buf_puts(&b, p->key ? "/" : "");
	}
	if (p->key)
		sigv4_uri_encode(p->key, strlen(p->key), 1, &b);
	return buf_take(&b);
}

/* ---- what it says ---- */

/* Appends what stands between <@tag> and </@tag>. */
static void put_element(struct buf *b, const char *body, size_t len, const char *tag)
{
	char open[32], close[32];
	const char *from, *to;

	(void) snprintf(open, sizeof(open), "<%s>", tag);
	(void) snprintf(close, sizeof(close), "</%s>", tag);
	from = memmem(body, len, open, strlen(open));
	if (!from)
		return;
	from += strlen(open);
	to = memmem(from, len - (size_t) (from - body), close, strlen(close));
	if (!to || to - from > ERROR_PART_MAX)
		return;
	if (b->len > 0)
		(void) buf_puts(b, ": ");
	for (; from < to; from++)
		if ((unsigned char) *from >= ' ')
			(void) buf_append(b, from, 1);
}

char *s3_error_text(const char *body, size_t len)
{
	struct buf b = {};

	put_element(&b, body, len, "Code");
	put_element(&b, body, len, "Message");
	return buf_take(&b);
}

/* ---- one request ---- */

struct s3_request *s3_request_cancel(struct s3_request *r)
{
	if (!r)
		return NULL;
	(void) sd_event_source_disable_unref(r->timer);
	(void) aws_credentials_cancel(r->keys_request);
	(void) http_request_cancel(r->request);
	err_done(&r->trouble);
	free(r->method);
	free(r->url);
	free(r->region);
	free(r);
	return NULL;
}

static void finish(struct s3_request *r, const struct s3_answer *a, const struct err *err)
{
	_cleanup_(s3_request_cancelp) struct s3_request *own = r;

	own->fn(own->userdata, a, err);
}

static int arm(struct s3_request *r, int64_t delay_ms, struct err *err);

static void on_answer(void *userdata, const struct http_response *h, const struct err *trouble)
{
	struct s3_request *r = userdata;
	struct s3_answer a = { h->body ? h->body : "", h->body_len, "" };
	_cleanup_(freep) char *text = NULL;
	_cleanup_(err_done) struct err err = {};
	bool ok = h->status >= 200 && h->status < 300;

	r->request = NULL;
	r->attempt++;
	if (!ok && aws_error_retriable(h->status, "") && trouble->code != EFBIG &&
	    r->attempt < ATTEMPTS_MAX &&
	    arm(r, random_below((BACKOFF_MS << r->attempt) + 1), &err) == 0)
		return;
	if (h->status)
		a.region = http_response_header(h, "x-amz-bucket-region", 0);
	text = ok ? NULL : s3_error_text(a.body, a.len);
	if (h->status == 0)
		(void) err_set(&err, trouble->code, "%s", err_text(trouble));
	else if (!ok)
		(void) err_set(&err, h->status == 404 ? ENOENT : EREMOTEIO, "%s%s(HTTP %d)",
			       text ? text : "", text && *text ? " " : "", h->status);
	finish(r, &a, &err);
}

static int sign(struct s3_request *r, const struct aws_keys *keys, char ***lines, struct err *err)
{
	const char *host = strstr(r->url, "://") + 3, *path = host + strcspn(host, "/");
	_cleanup_(freep) char *name = strndup(host, (size_t) (path - host));
	_cleanup_(buf_done) struct buf auth = {};
	int64_t now = http_now_ms(r->http);
	char date[SIGV4_DATE_MAX];
	struct sigv4_header headers[] = {
		{ "host", name },
		{ "x-amz-content-sha256", EMPTY_SHA256 },
		{ "x-amz-date", sigv4_date(now, date) },
		{ "x-amz-security-token", keys ? keys->session_token : NULL },
		{ "authorization", NULL },
	};
	struct sigv4_request q = { .method = r->method,
				   .path = path,
				   .headers = headers,
				   .n_headers = keys && keys->session_token ? 4 : 3,
				   .payload = "",
				   .payload_hash = EMPTY_SHA256,
				   .region = r->region,
				   .service = "s3",
				   .now_ms = now };
	int k = name ? 0 : -ENOMEM;

	if (k == 0 && keys)
		k = sigv4_authorization(&q, keys, &auth, err);
	if (k == 0 && keys)
		headers[q.n_headers++] = (struct sigv4_header){ "authorization", buf_str(&auth) };
	for (size_t i = 0; k == 0 && i < q.n_headers; i++) {
		_cleanup_(freep) char *line = NULL;

		if (asprintf(&line, "%s: %s", headers[i].name, headers[i].value) < 0)
			line = NULL;
		k = line ? strv_append(lines, line) : -ENOMEM;
	}
	return k == -ENOMEM ? err_set(err, ENOMEM, "ask S3") : k;
}

static int send_request(struct s3_request *r, const struct aws_keys *keys, struct err *err)
{
	_cleanup_(strv_freep) char **lines = NULL;
	int k = sign(r, keys, &lines, err);
	struct http_request_params p = {
		.method = r->method,
		.url = r->url,
		.headers = (const char *const *) lines,
		.connect_timeout_ms = CONNECT_MS,
		.timeout_ms = r->timeout_ms,
		.max_response_bytes = r->max_bytes,
	};

	return k < 0 ? k : http_request(r->http, &p, on_answer, r, &r->request, err);
}

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *err)
{
	struct s3_request *r = userdata;

	r->keys_request = NULL;
	if (err->code)
		(void) err_set(&r->trouble, err->code, "credentials: %s", err_text(err));
	else if (send_request(r, keys, &r->trouble) == 0)
		return;
	if (arm(r, 0, NULL) < 0)
		finish(r, &(struct s3_answer){ "", 0, "" }, &r->trouble);
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct s3_request *r = userdata;
	int k;

	(void) s, (void) usec;
	r->timer = sd_event_source_disable_unref(r->timer);
	if (r->trouble.code)
		k = err_move(&err, &r->trouble);
	else if (r->credentials)
		k = aws_credentials_get(r->credentials, on_keys, r, &r->keys_request, &err);
	else
		k = send_request(r, NULL, &err);
	if (k < 0)
		finish(r, &(struct s3_answer){ "", 0, "" }, &err);
	return 0;
}

static int arm(struct s3_request *r, int64_t delay_ms, struct err *err)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	if (sd_event_add_time_relative(http_client_event(r->http), &r->timer, CLOCK_MONOTONIC,
				       (uint64_t) delay_ms * USEC_PER_MSEC, 0, on_time, r) < 0)
		return err_set(err, ENOMEM, "ask S3: timer");
	(void) sd_event_source_set_description(r->timer, "s3-request");
	return 0;
}

int s3_request_new(const struct s3_params *p, s3_fn fn, void *userdata, struct s3_request **ret,
		   struct err *err)
{
	_cleanup_(s3_request_cancelp) struct s3_request *r = calloc(1, sizeof(*r));
	int k;

	if (!r || !(r->url = s3_url(p)) || strdup_to(&r->method, p->method) < 0 ||
	    strdup_to(&r->region, p->region) < 0)
		return err_set(err, ENOMEM, "ask S3");
	r->http = p->http;
	r->credentials = p->credentials;
	r->max_bytes = p->max_bytes;
	r->timeout_ms = p->timeout_ms ? p->timeout_ms : TIMEOUT_MS;
	r->fn = fn;
	r->userdata = userdata;
	k = arm(r, 0, err); /* from the loop: no callback before the caller has *ret */
	if (k < 0)
		return k;
	*ret = TAKE_PTR(r);
	return 0;
}
