/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - requests of ecs-image over one libcurl multi handle; single thread.
 * Redirects are not followed here (the caller decides what may go along), link-local addresses are
 * never connected to, and every response has a size bound.
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

struct http; /* opaque */

enum { HTTP_PAUSE = 1 };

struct http_request {
	/* The question. Strings are owned. */
	char *url;
	char *authorization; /* value of the header, or NULL */
	const char *accept;  /* borrowed, or NULL */
	bool head;
	int64_t range_from; /* > 0: only from there, please */
	int64_t range_to;   /* > 0: and not this byte, nor what follows */
	size_t body_max;
	/* Streams the body of a 200 or 206 instead of keeping it: 0, HTTP_PAUSE (the same bytes
	 * come again after http_resume()), or a negative errno, which ends the transfer. */
	int (*on_data)(struct http_request *req, const char *data, size_t len);
	void (*on_done)(struct http_request *req); /* may be NULL */
	void *userdata;

	/* The answer; reset by http_start(). */
	bool running, done, failed; /* failed: no complete answer; why_not says why */
	CURLcode code;
	long status;
	long proxy_status; /* of a CONNECT; 0: there was none */
	struct buf body; /* of errors only, when on_data is set */
	char *content_type, *content_digest, *challenge, *redirect;
	int64_t content_start; /* of a 206; -1: none said */
	int retry_after_s;     /* 0: none said */
	char why_not[CURL_ERROR_SIZE];

	/* Ours. */
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	int callback_error;
};

struct http_params {
	int64_t inactivity_timeout_ms;
	bool (*interrupted)(void); /* ends waits with -ECANCELED; may be NULL */
	bool no_proxy;             /* the registry is this machine */
	const char *certs_dir;     /* trust.h; NULL: TRUST_DIR_DEFAULT; borrowed */
};

int http_open(const struct http_params *p, struct http **ret, struct err *err);
struct http *http_close(struct http *h);
DEFINE_CLEANUP(struct http *, http_close)

int http_start(struct http *h, struct http_request *req, struct err *err);

/* Lets a paused transfer go on. */
void http_resume(struct http_request *req);

/*
 * Waits until something happens on the transfers or on @fds, at most @timeout_ms, then moves the
 * transfers on and calls on_done of the ended ones.
 */
int http_step(struct http *h, struct curl_waitfd *fds, unsigned int n_fds, int timeout_ms,
	      struct err *err);

/* Runs one request to its end (others go on meanwhile). An HTTP error status is no error here. */
int http_run(struct http *h, struct http_request *req, struct err *err);

/* Lets the transfers go on for so long. */
int http_pass_time(struct http *h, int64_t ms, struct err *err);

/* Ends a transfer if it runs, and frees what the request owns. */
void http_request_done(struct http_request *req);
