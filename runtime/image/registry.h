/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry - the pull half of the Distribution API for one repository.
 * Anonymous, Basic and Bearer; credentials go to the registry and the token service it names, never
 * along a redirect to another origin. Transient failures are tried again, five times in all, with
 * growing, jittered delays, or when the registry says (Retry-After). https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
 * https://distribution.github.io/distribution/spec/auth/token/
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/backoff.h"
#include "common/err.h"
#include "runtime/image/http.h"
#include "runtime/image/reference.h"

struct registry; /* opaque */

struct registry_params {
	const struct reference *reference; /* borrowed for the registry's life */
	const char *username, *password;   /* NULL: anonymous; copied */
	bool plain_http;                   /* no TLS, whoever the registry is */
	const char *mirror;    /* URL asked first, without a login; NULL: none; copied */
	const char *certs_dir; /* trust.h; NULL: the default; borrowed */
	int64_t inactivity_timeout_ms;     /* 0: 60 s */
	bool (*interrupted)(void);         /* ends waits with -ECANCELED; may be NULL */
	/* A try failed, another follows: who, what, why, which try, when. May be NULL. */
	void (*on_retry)(const char *text, void *userdata);
	void *userdata;
};

int registry_open(const struct registry_params *p, struct registry **ret, struct err *err);
struct registry *registry_close(struct registry *r);
DEFINE_CLEANUP(struct registry *, registry_close)

struct http *registry_http(struct registry *r); /* borrowed */

/* One request with all its tries. */
struct registry_call {
	struct http_request req;
	char *path; /* owned: "manifests/1.27", "blobs/sha256:…" */
	int redirects, logins;
	bool at_mirror;
	int tries;   /* that failed */
	bool prompt; /* the next try need not wait: the last one got further */
	struct backoff backoff;
};

int registry_call_init(struct registry *r, struct registry_call *c, const char *kind,
		       const char *name, struct err *err);
void registry_call_done(struct registry_call *c);

/* Begins where the redirects of another call led, without a login; when that fails, as always. */
int registry_call_go_to(struct registry_call *c, const char *url, bool at_mirror, struct err *err);

enum registry_next {
	REGISTRY_OK = 0,    /* a 200 or 206 answer is there */
	REGISTRY_AGAIN = 1, /* start the request again now: another address, or logged in */
	REGISTRY_LATER = 2, /* start it again after *ret_delay_ms */
};

/*
 * What to do about an ended request. Returns an enum registry_next or a negative errno with what
 * the registry said: -ENOENT (not there), -EACCES (denied, or our credentials are refused),
 * -ETIMEDOUT (no progress), -EFBIG, or what on_data returned.
 */
int registry_judge(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		   struct err *err);

/* The answer that registry_judge() took as good is not whole: the same as a broken connection. */
int registry_cut_short(struct registry *r, struct registry_call *c, int64_t *ret_delay_ms,
		       struct err *err);

/* The transfer got further: what failed before does not count any more. */
void registry_call_moved(struct registry_call *c);

/* Tells that content is fetched anew since it was damaged. */
void registry_tell_restart(const struct registry *r, const char *why);

/* Starts the request, or starts it again. */
int registry_start(struct registry *r, struct registry_call *c, struct err *err);

/* Runs a small request to its end; the answer is in @c->req. */
int registry_run(struct registry *r, struct registry_call *c, struct err *err);
