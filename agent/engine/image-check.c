/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/image-check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/http.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/login.h"
#include "runtime/image/manifest.h"
#include "runtime/image/reference.h"
#include "runtime/image/trust.h"

enum { CONNECT_TIMEOUT_MS = 15000, ANSWER_MAX = 64 * 1024, CHALLENGES_MAX = 8 };

struct image_check {
	struct http_client *http; /* borrowed */
	struct http_request *request;
	struct reference ref;
	char *username, *password; /* owned, secret */
	char *authorization;       /* owned, secret: of the second HEAD */
	bool loopback;             /* plain HTTP, no proxy */
	const char *certs_dir;     /* borrowed */
	int64_t end_mono_ms;
	image_check_fn fn;
	void *userdata;
};

struct image_check *image_check_free(struct image_check *c)
{
	if (!c)
		return NULL;
	(void) http_request_cancel(c->request);
	reference_done(&c->ref);
	login_wipe(c->username);
	login_wipe(c->password);
	login_wipe(c->authorization);
	free(c);
	return NULL;
}

/* ---- requests ---- */

/* Certificates of the host that is asked, as ecs-image has them. */
static int load_trust(const struct image_check *c, const char *url, struct trust *ret,
		      struct err *err)
{
	_cleanup_(freep) char *host = NULL;

	*ret = (struct trust){};
	if (strncmp(url, "https://", 8) != 0)
		return 0;
	host = strndup(url + 8, strcspn(url + 8, "/?#"));
	if (!host)
		return err_set(err, ENOMEM, "check an image");
	return trust_load(c->certs_dir, host, ret, err);
}

static void on_manifest(void *userdata, const struct http_response *r, const struct err *err);
static void on_token(void *userdata, const struct http_response *r, const struct err *err);

static int ask(struct image_check *c, const char *method, const char *url, const char *accept,
	       const char *authorization, http_fn fn, struct err *err)
{
	_cleanup_(freep) char *accept_line = accept ? path_join("Accept: %s", accept) : NULL;
	char *login = authorization ? path_join("Authorization: %s", authorization) : NULL;
	_cleanup_(trust_done) struct trust trust = {};
	const char *headers[3] = {};
	int64_t left = c->end_mono_ms - clock_mono_ms();
	struct http_request_params p = { .method = method,
					 .url = url,
					 .headers = headers,
					 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
					 .timeout_ms = MAX(left, (int64_t) 1),
					 .max_response_bytes = accept ? (size_t) ANSWER_MAX
								      : LOGIN_TOKEN_BYTES_MAX,
					 .no_proxy = c->loopback,
					 .no_link_local = true };
	size_t n = 0;
	int k;

	if ((accept && !accept_line) || (authorization && !login)) {
		login_wipe(login);
		return err_set(err, ENOMEM, "check an image");
	}
	if (accept)
		headers[n++] = accept_line;
	if (login)
		headers[n++] = login;
	k = load_trust(c, url, &trust, err);
	p.authorities = trust.authorities;
	p.authorities_len = trust.authorities_len;
	p.client_cert = trust.client_cert;
	p.client_key = trust.client_key;
	if (k == 0)
		k = http_request(c->http, &p, fn, c, &c->request, err);
	login_wipe(login);
	return k;
}

static int ask_manifest(struct image_check *c, struct err *err)
{
	_cleanup_(freep) char *url =
		path_join("%s://%s/v2/%s/manifests/%s", c->loopback ? "http" : "https",
			  reference_api_host(&c->ref), c->ref.repository, c->ref.tag);

	if (!url)
		return err_set(err, ENOMEM, "check an image");
	return ask(c, "HEAD", url, MANIFEST_ACCEPT, c->authorization, on_manifest, err);
}

/* ---- answers ---- */

/* Several headers are one list. */
static int read_challenge(const struct http_response *r, struct challenge *ret, struct err *err)
{
	_cleanup_(buf_done) struct buf all = { .max_bytes = CHALLENGE_TEXT_MAX };

	for (size_t i = 0; i < CHALLENGES_MAX; i++) {
		const char *one = http_response_header(r, "WWW-Authenticate", i);

		if (!*one)
			break;
		(void) buf_printf(&all, "%s%s", i > 0 ? ", " : "", one);
	}
	if (all.failed)
		return err_set(err, EPROTO, "WWW-Authenticate: too long");
	return challenge_parse(buf_str(&all), ret, err);
}

/* A token service in the clear is believed only for a registry on this machine, and only there:
 * its address is the registry's word, and other hosts may be reached over kept connections. */
static bool is_fit_realm(const struct image_check *c, const char *realm)
{
	_cleanup_(freep) char *host = NULL;

	if (strncasecmp(realm, "https://", 8) == 0)
		return true;
	if (!c->loopback || strncasecmp(realm, "http://", 7) != 0)
		return false;
	host = strndup(realm + 7, strcspn(realm + 7, "/?#"));
	return host && !strchr(host, '@') && reference_is_loopback(host);
}

static int log_in(struct image_check *c, const struct http_response *r, struct err *err)
{
	_cleanup_(challenge_done) struct challenge ch = {};
	_cleanup_(freep) char *url = NULL;
	char *basic = NULL;
	int k = read_challenge(r, &ch, err);

	if (k < 0)
		return k;
	if (ch.scheme == CHALLENGE_BASIC && c->username) {
		k = login_basic(c->username, c->password, &c->authorization, err);
		return k < 0 ? k : ask_manifest(c, err);
	}
	if (ch.scheme != CHALLENGE_BEARER || !is_fit_realm(c, ch.realm))
		return err_set(err, ENOTSUP, "an unusual challenge");
	k = login_token_url(&ch, &c->ref, !c->loopback, &url, err);
	if (k == 0 && c->username)
		k = login_basic(c->username, c->password, &basic, err);
	if (k == 0)
		k = ask(c, "GET", url, NULL, basic, on_token, err);
	login_wipe(basic);
	return k;
}

static void finish(struct image_check *c, const struct http_response *r, const struct err *err)
{
	const char *digest =
		r->status == 200 ? http_response_header(r, "Docker-Content-Digest", 0) : "";

	if (r->status == 0 && err->code == ETIMEDOUT && clock_mono_ms() >= c->end_mono_ms)
		c->fn(IMAGE_CHECK_TIMED_OUT, NULL, c->userdata);
	else if (digest_is_valid(digest))
		c->fn(IMAGE_CHECK_DIGEST, digest, c->userdata);
	else
		c->fn(IMAGE_CHECK_UNUSUAL, NULL, c->userdata);
}

static void on_manifest(void *userdata, const struct http_response *r, const struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	struct image_check *c = userdata;

	c->request = NULL;
	if (r->status == 401 && !c->authorization && log_in(c, r, &why) == 0)
		return;
	finish(c, r, err);
}

static void on_token(void *userdata, const struct http_response *r, const struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	struct image_check *c = userdata;

	c->request = NULL;
	if (r->status == 200 && login_bearer(r->body, r->body_len, &c->authorization, &why) == 0 &&
	    ask_manifest(c, &why) == 0)
		return;
	/* A token is no manifest, whatever its headers say. */
	finish(c, &(struct http_response){ .status = r->status == 0 ? 0 : 500, .easy = r->easy },
	       err);
}

int image_check_start(const struct image_check_params *p, image_check_fn fn, void *userdata,
		      struct image_check **ret, struct err *err)
{
	_cleanup_(image_check_freep) struct image_check *c = calloc(1, sizeof(*c));
	int k;

	if (!c)
		return err_set(err, ENOMEM, "check an image");
	k = reference_parse(p->reference, &c->ref, err);
	if (k < 0)
		return k;
	if (!c->ref.tag || c->ref.digest)
		return err_set(err, EINVAL, "reference: has no tag to check");
	if (p->username && (strdup_to(&c->username, p->username) < 0 ||
			    strdup_to(&c->password, p->password ? p->password : "") < 0))
		return err_set(err, ENOMEM, "check an image");
	c->http = p->http;
	c->certs_dir = p->certs_dir ? p->certs_dir : TRUST_DIR_DEFAULT;
	c->loopback = reference_is_loopback(c->ref.domain);
	c->end_mono_ms = clock_mono_ms() + p->timeout_ms;
	c->fn = fn;
	c->userdata = userdata;
	k = ask_manifest(c, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(c);
	return 0;
}
