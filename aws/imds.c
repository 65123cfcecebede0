/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/imds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "aws/http.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"
#include "common/strv.h"

enum {
	TOKEN_TTL_S = 21600,
	TOKEN_MAX = 1024,
	RESPONSE_MAX = 256 * 1024,
	TIMEOUT_MS = 5000,
	ABSENT_FOR_MS = 60000,
};

struct imds {
	struct http_client *http;
	char *endpoint; /* owned; no trailing slash */
	int64_t connect_timeout_ms, retry_ms;
	int max_tries;
	char *token;             /* owned, secret */
	int64_t token_until_ms;  /* monotonic */
	int64_t absent_until_ms; /* monotonic; nobody answered */
	bool expected;           /* this host has one, for certain */
	bool seen;               /* somebody did, once */
	struct imds_request *requests;
	struct identity_fetch *fetches;
};

struct imds_request {
	struct imds *imds;
	struct imds_request *next, **prev;
	char *path; /* owned */
	imds_fn fn;
	void *userdata;
	int tries_left;
	bool token_refused; /* a new one was fetched for this try already */
	struct backoff backoff;
	struct http_request *http;
	sd_event_source *timer;
};

static int try_now(struct imds_request *r, struct err *err);

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

struct imds_request *imds_cancel(struct imds_request *r)
{
	if (!r)
		return NULL;
	if (r->prev) {
		*r->prev = r->next;
		if (r->next)
			r->next->prev = r->prev;
	}
	(void) http_request_cancel(r->http);
	(void) sd_event_source_disable_unref(r->timer);
	free(r->path);
	free(r);
	return NULL;
}

DEFINE_CLEANUP(struct imds_request *, imds_cancel)

int imds_set_endpoint(struct imds *i, const char *endpoint, struct err *err)
{
	_cleanup_(freep) char *e =
		strdup(endpoint && *endpoint ? endpoint : IMDS_DEFAULT_ENDPOINT);

	if (!e)
		return err_set(err, ENOMEM, "allocate imds");
	for (size_t n = strlen(e); n > 0 && e[n - 1] == '/'; n--)
		e[n - 1] = '\0';
	if (i->endpoint && strcmp(i->endpoint, e) == 0)
		return 0;
	wipe(&i->token);
	i->absent_until_ms = 0;
	i->seen = false;
	free(i->endpoint);
	i->endpoint = TAKE_PTR(e);
	return 0;
}

int imds_new(const struct imds_params *p, struct imds **ret, struct err *err)
{
	_cleanup_(imds_freep) struct imds *i = calloc(1, sizeof(*i));

	if (!i)
		return err_set(err, ENOMEM, "allocate imds");
	if (imds_set_endpoint(i, p->endpoint, err) < 0)
		return -ENOMEM;
	i->http = p->http;
	i->expected = p->expected;
	i->connect_timeout_ms = p->connect_timeout_ms ? p->connect_timeout_ms
				: p->expected         ? TIMEOUT_MS
						      : 1000;
	i->max_tries = p->max_tries ? p->max_tries : 5;
	i->retry_ms = p->retry_ms ? p->retry_ms : 1000;
	*ret = TAKE_PTR(i);
	return 0;
}

static void finish(struct imds_request *r, const char *data, size_t len, const struct err *err)
{
	_cleanup_(imds_cancelp) struct imds_request *own = r;

	own->fn(own->userdata, data, len, err);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct imds_request *r = userdata;

	(void) s, (void) usec;
	if (try_now(r, &err) < 0)
		finish(r, NULL, 0, &err);
	return 0;
}

static int arm(struct imds_request *r, int64_t delay_ms, struct err *err)
{
	int k;

	r->timer = sd_event_source_disable_unref(r->timer);
	k = sd_event_add_time_relative(http_client_event(r->imds->http), &r->timer, CLOCK_MONOTONIC,
				       (uint64_t) delay_ms * USEC_PER_MSEC, 1000, on_timer, r);
	return k < 0 ? err_set_errno(err, -k, "imds timer") : 0;
}

/* One try is spent; another follows unless it would be in vain. */
static void failed(struct imds_request *r, const struct err *why, bool final)
{
	_cleanup_(err_done) struct err err = {};

	if (!final && --r->tries_left > 0 && arm(r, backoff_next_ms(&r->backoff), &err) == 0)
		return;
	(void) err_set(&err, why->code, "instance metadata '%s': %s", r->path, err_text(why));
	finish(r, NULL, 0, &err);
}

static bool nobody_there(const struct err *err)
{
	return err->code == ECONNREFUSED || err->code == ETIMEDOUT || err->code == EHOSTUNREACH;
}

static void on_data(void *userdata, const struct http_response *resp, const struct err *http_err)
{
	_cleanup_(err_done) struct err err = {};
	struct imds_request *r = userdata;

	r->http = NULL;
	if (resp->status == 200) {
		finish(r, resp->body, resp->body_len, &err);
		return;
	}
	if (resp->status == 401 && !r->token_refused) {
		r->token_refused = true;
		wipe(&r->imds->token);
		if (try_now(r, &err) == 0)
			return;
	} else if (resp->status) {
		(void) err_set(&err, resp->status == 404 ? ENOENT : EREMOTEIO, "HTTP %d",
			       resp->status);
	} else {
		(void) err_set(&err, http_err->code, "%s", err_text(http_err));
	}
	failed(r, &err, resp->status == 404 || resp->status == 400 || resp->status == 403);
}

static int fetch_path(struct imds_request *r, struct err *err)
{
	_cleanup_(buf_done) struct buf url = {}, header = {};
	const char *headers[2] = {};

	(void) buf_printf(&url, "%s/%s", r->imds->endpoint, r->path);
	(void) buf_printf(&header, "X-aws-ec2-metadata-token: %s", r->imds->token);
	headers[0] = buf_str(&header);
	struct http_request_params p = {
		.method = "GET",
		.url = buf_str(&url),
		.headers = headers,
		.connect_timeout_ms = r->imds->connect_timeout_ms,
		.timeout_ms = TIMEOUT_MS,
		.max_response_bytes = RESPONSE_MAX,
		.no_proxy = true,
	};
	return http_request(r->imds->http, &p, on_data, r, &r->http, err);
}

static bool token_valid(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	return len > 0 && len <= TOKEN_MAX;
}

static void on_token(void *userdata, const struct http_response *resp, const struct err *http_err)
{
	_cleanup_(err_done) struct err err = {};
	struct imds_request *r = userdata;
	struct imds *i = r->imds;

	r->http = NULL;
	if (resp->status == 200 && token_valid(resp->body, resp->body_len)) {
		wipe(&i->token);
		i->token = strndup(resp->body, resp->body_len);
		i->token_until_ms = clock_mono_ms() + (TOKEN_TTL_S - 60) * MSEC_PER_SEC;
		i->seen = true;
		if (i->token && fetch_path(r, &err) == 0)
			return;
		(void) err_set(&err, ENOMEM, "token");
	} else if (resp->status) {
		(void) err_set(&err, EREMOTEIO, "token: HTTP %d", resp->status);
	} else if (nobody_there(http_err) && !i->seen && !i->expected) {
		i->absent_until_ms = clock_mono_ms() + ABSENT_FOR_MS;
		(void) err_set(&err, EHOSTUNREACH, "%s", err_text(http_err));
	} else {
		(void) err_set(&err, http_err->code, "token: %s", err_text(http_err));
	}
	failed(r, &err, err.code == EHOSTUNREACH && !i->seen && !i->expected);
}

static int fetch_token(struct imds_request *r, struct err *err)
{
	_cleanup_(buf_done) struct buf url = {}, ttl = {};
	const char *headers[2] = {};

	(void) buf_printf(&url, "%s/latest/api/token", r->imds->endpoint);
	(void) buf_printf(&ttl, "X-aws-ec2-metadata-token-ttl-seconds: %d", TOKEN_TTL_S);
	headers[0] = buf_str(&ttl);
	struct http_request_params p = {
		.method = "PUT",
		.url = buf_str(&url),
		.headers = headers,
		.body = "",
		.connect_timeout_ms = r->imds->connect_timeout_ms,
		.timeout_ms = r->imds->seen || r->imds->expected ? TIMEOUT_MS
								 : r->imds->connect_timeout_ms,
		.max_response_bytes = TOKEN_MAX,
		.no_proxy = true,
	};
	return http_request(r->imds->http, &p, on_token, r, &r->http, err);
}

static int try_now(struct imds_request *r, struct err *err)
{
	struct imds *i = r->imds;
	int64_t now = clock_mono_ms();

	if (now < i->absent_until_ms)
		return err_set(err, EHOSTUNREACH, "instance metadata '%s': nobody answers at %s",
			       r->path, i->endpoint);
	if (i->token && now < i->token_until_ms)
		return fetch_path(r, err);
	return fetch_token(r, err);
}

static int start(struct imds *i, const char *path, int tries, imds_fn fn, void *userdata,
		 struct imds_request **ret, struct err *err)
{
	_cleanup_(imds_cancelp) struct imds_request *r = calloc(1, sizeof(*r));
	int k;

	if (!r || strdup_to(&r->path, path) < 0)
		return err_set(err, ENOMEM, "allocate imds request");
	r->imds = i;
	r->fn = fn;
	r->userdata = userdata;
	r->tries_left = tries;
	r->backoff = (struct backoff){ i->retry_ms, 5 * i->retry_ms, 0.2, 1.3, 0 };
	k = arm(r, 0, err);
	if (k < 0)
		return k;
	r->next = i->requests;
	r->prev = &i->requests;
	if (r->next)
		r->next->prev = &r->next;
	i->requests = r;
	if (ret)
		*ret = r;
	TAKE_PTR(r);
	return 0;
}

int imds_get(struct imds *i, const char *path, imds_fn fn, void *userdata,
	     struct imds_request **ret, struct err *err)
{
	return start(i, path, i->max_tries, fn, userdata, ret, err);
}

int imds_get_once(struct imds *i, const char *path, imds_fn fn, void *userdata,
		  struct imds_request **ret, struct err *err)
{
	return start(i, path, 1, fn, userdata, ret, err);
}

/* ---- identity document and signature ---- */

struct identity_fetch {
	struct imds *imds;
	struct identity_fetch *next, **prev;
	imds_identity_fn fn;
	void *userdata;
	struct imds_identity id;
};

static struct identity_fetch *fetch_free(struct identity_fetch *f)
{
	if (!f)
		return NULL;
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	imds_identity_done(&f->id);
	free(f);
	return NULL;
}

struct imds *imds_free(struct imds *i)
{
	if (!i)
		return NULL;
	while (i->requests)
		(void) imds_cancel(i->requests);
	while (i->fetches)
		(void) fetch_free(i->fetches);
	wipe(&i->token);
	free(i->endpoint);
	free(i);
	return NULL;
}

void imds_identity_done(struct imds_identity *i)
{
	free(i->region);
	free(i->instance_id);
	free(i->instance_type);
	free(i->zone);
	free(i->document);
	free(i->signature);
	*i = (struct imds_identity){};
}

int imds_identity_decode(const char *data, size_t len, struct imds_identity *ret, struct err *err)
{
	json_auto_t *root = NULL;
	int k = json_parse(data, len, &root, err);

	if (k < 0)
		return err_wrap(err, "instance identity document");
	if (!json_is_object(root))
		return err_set(err, EPROTO, "instance identity document: not an object");
	*ret = (struct imds_identity){
		.region = strdup(json_get_string(root, "region", "")),
		.instance_id = strdup(json_get_string(root, "instanceId", "")),
		.instance_type = strdup(json_get_string(root, "instanceType", "")),
		.zone = strdup(json_get_string(root, "availabilityZone", "")),
		.document = strndup(data, len),
		.signature = strdup(""),
	};
	if (ret->region && ret->instance_id && ret->instance_type && ret->zone && ret->document &&
	    ret->signature)
		return 0;
	imds_identity_done(ret);
	return err_set(err, ENOMEM, "instance identity document");
}

static void on_signature(void *userdata, const char *data, size_t len, const struct err *err)
{
	struct identity_fetch *f = userdata;
	struct err none = {};

	(void) err;
	if (data) {
		char *s = strndup(data, len);

		if (s) {
			free(f->id.signature);
			f->id.signature = s;
		}
	}
	f->fn(f->userdata, &f->id, &none);
	(void) fetch_free(f);
}

static void on_document(void *userdata, const char *data, size_t len, const struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	struct identity_fetch *f = userdata;
	int k = data ? imds_identity_decode(data, len, &f->id, &why)
		     : err_set(&why, err->code, "%s", err_text(err));

	if (k == 0)
		k = imds_get(f->imds, "latest/dynamic/instance-identity/signature", on_signature, f,
			     NULL, &why);
	if (k == 0)
		return;
	f->fn(f->userdata, NULL, &why);
	(void) fetch_free(f);
}

int imds_get_identity(struct imds *i, imds_identity_fn fn, void *userdata, struct err *err)
{
	struct identity_fetch *f = calloc(1, sizeof(*f));
	int k;

	if (!f)
		return err_set(err, ENOMEM, "allocate identity fetch");
	*f = (struct identity_fetch){
		.imds = i, .next = i->fetches, .prev = &i->fetches, .fn = fn, .userdata = userdata
	};
	if (f->next)
		f->next->prev = &f->next;
	i->fetches = f;
	k = imds_get(i, "latest/dynamic/instance-identity/document", on_document, f, NULL, err);
	if (k < 0)
		(void) fetch_free(f);
	return k;
}
