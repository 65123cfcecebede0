/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/explain.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/json.h"

enum { CODE_MAX = 100, MESSAGE_MAX = 500 };

/* Text of a stranger for our messages: one line, printable, short. */
static char *tame(const char *text, size_t max)
{
	char *s = strndup(text, max);

	for (char *p = s; p && *p; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p >= 0x7f)
			*p = (unsigned char) *p < 0x20 ? ' ' : '?';
	return s;
}

/* The first text under one of the names; "" when there is none. */
static const char *first_text(const json_t *obj, const char *const names[])
{
	for (; *names; names++) {
		const char *text = json_get_string(obj, *names, "");

		if (*text)
			return text;
	}
	return "";
}

/*
 * {"errors":[{"code":"MANIFEST_UNKNOWN","message":"…"}]} as Docker prints it:
 * "manifest unknown: …"; token services say {"details":"…"} and the like. NULL: no reason given.
 */
static char *body_reason(const struct http_request *req)
{
	static const char *const codes[] = { "code", "error", NULL };
	static const char *const messages[] = { "message", "details", "error_description", NULL };
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(freep) char *code = NULL, *message = NULL;
	const json_t *first;

	if (json_parse(buf_str(&req->body), req->body.len, &doc, NULL) < 0)
		return NULL;
	first = json_array_get(json_object_get(doc, "errors"), 0);
	first = first ? first : doc;
	code = tame(first_text(first, codes), CODE_MAX);
	message = tame(first_text(first, messages), MESSAGE_MAX);
	if (!code || !message || (!*code && !*message))
		return NULL;
	for (char *p = code; *p; p++)
		*p = *p == '_' ? ' ' : (char) tolower((unsigned char) *p);
	if (!*code)
		return TAKE_PTR(message);
	return path_join("%s: %s", code, *message ? message : code);
}

char *origin_of(const char *url)
{
	const char *p = strstr(url, "://");

	return strndup(url, p ? (size_t) (p - url) + 3 + strcspn(p + 3, "/?#") : 0);
}

char *explain_try(const struct reference *ref, const struct registry_call *c)
{
	_cleanup_(freep) char *reason = body_reason(&c->req), *origin = origin_of(c->req.url);
	const char *method = c->req.head ? "HEAD" : "GET";

	if (c->req.failed)
		return path_join("registry %s (%s): %s %s: %s", ref->domain, origin ? origin : "",
				 method, c->path, c->req.why_not);
	return path_join("registry %s (%s): %s %s: status %ld: %s", ref->domain,
			 origin ? origin : "", method, c->path, c->req.status,
			 reason ? reason : "no reason given");
}

/* "; attempt 5 of 5", when there was more than one. */
static const char *tries_text(int tries, char *buf, size_t len)
{
	buf[0] = '\0';
	if (tries > 1)
		(void) snprintf(buf, len, "; attempt %d of %d", tries, REGISTRY_TRIES_MAX);
	return buf;
}

static int end_without_answer(const struct registry_call *c, struct err *err)
{
	_cleanup_(freep) char *origin = origin_of(c->req.url);
	int code = c->req.code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO;
	char tries[40];

	return err_set(err, code, "Get \"%s/v2/\": %s: %s%s", origin ? origin : "", c->path,
		       c->req.why_not, tries_text(c->tries, tries, sizeof(tries)));
}

int explain_end(const struct reference *ref, const struct registry_call *c, struct err *err)
{
	_cleanup_(freep) char *reason = body_reason(&c->req), *name = reference_familiar(ref);
	long status = c->req.status;
	const char *who = name ? name : "?";
	char tries[40];

	if (c->req.failed)
		return end_without_answer(c, err);
	if (status == 401 || status == 403)
		return err_set(err, EACCES,
			       "pull access denied for %s, repository does not exist or may "
			       "require other credentials: %s",
			       who,
			       reason ? reason
				      : "denied: requested access to the resource is denied");
	if (status == 404 && strncmp(c->path, "manifests/", 10) == 0)
		return err_set(err, ENOENT, "manifest for %s:%s not found: %s", who, c->path + 10,
			       reason ? reason : "manifest unknown: manifest unknown");
	if (status == 404)
		return err_set(err, ENOENT, "%s: %s: %s", who, c->path,
			       reason ? reason : "blob unknown: blob unknown to registry");
	return err_set(err, EPROTO, "%s %s: the registry %s answered %ld: %s%s", who, c->path,
		       ref->domain, status, reason ? reason : "no reason given",
		       tries_text(c->tries, tries, sizeof(tries)));
}

int explain_token_service(const struct http_request *req, int tries, struct err *err)
{
	_cleanup_(freep) char *reason = body_reason(req), *origin = origin_of(req->url);
	char text[40];

	if (req->failed)
		return err_set(err, req->code == CURLE_OPERATION_TIMEDOUT ? ETIMEDOUT : EIO,
			       "token service %s: %s%s", origin ? origin : "", req->why_not,
			       tries_text(tries, text, sizeof(text)));
	return err_set(err, req->status == 401 || req->status == 403 ? EACCES : EPROTO,
		       "token service %s answered %ld: %s%s", origin ? origin : "", req->status,
		       reason ? reason : "unauthorized: authentication required",
		       tries_text(tries, text, sizeof(text)));
}
