/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - HTTP(S) requests on the event loop, over one curl_multi.
 * Loop thread only. Connections are kept alive and shared. Nothing is set up before the first
 * request. A callback runs from the loop, never from inside http_request().
 */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct http_client;
struct http_request;

struct http_options {
	const char *https_proxy; /* of https URLs; NULL: http_proxy */
	const char *http_proxy;  /* of http URLs; NULL: none */
	const char *no_proxy;    /* comma list; NULL: the instance's own link-local services */
	const char *ca_dir;      /* NULL: the system's */
	const char *ca_file;     /* NULL: the system's */
	const char *user_agent;
	bool insecure; /* no certificate checks: flag -k */
};

/* Copies what it needs of @options (may be NULL). Keeps a reference on @event. */
int http_client_new(sd_event *event, const struct http_options *options, struct http_client **ret,
		    struct err *err);

/* Drops the requests that are still under way without calling back. Always returns NULL. */
struct http_client *http_client_free(struct http_client *c);
DEFINE_CLEANUP(struct http_client *, http_client_free)

sd_event *http_client_event(struct http_client *c);

/*
 * What the services take for the time, which a host's clock may be far from after a boot: the wall clock
 * and what http_learn_time() added. What is to be signed is signed with this.
 */
int64_t http_now_ms(const struct http_client *c);
/*
 * An answer that refused a signature was of @date_ms (0: it did not say). True when that is over four
 * minutes from http_now_ms(), which follows it from now on: the same request may then be sent again.
 */
bool http_learn_time(struct http_client *c, int64_t date_ms);

enum {
	HTTP_RESPONSE_MAX = 8 * 1024 * 1024, /* default cap of a response body, bytes */
	HTTP_HEADER_VALUE_MAX = 4096,
};

struct http_request_params {
	const char *method; /* GET, PUT, POST, HEAD … */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	const void *body;           /* copied */
	size_t body_len;
	int64_t connect_timeout_ms; /* 0: 30 s */
	int64_t timeout_ms;         /* whole exchange; 0: 42 s */
	size_t max_response_bytes;  /* 0: HTTP_RESPONSE_MAX */
	bool no_proxy;              /* straight to the peer, whatever the options say */
	bool no_link_local; /* a stranger chose the host: connect to no link-local address, where the
			       instance's credentials are */
	const char *authorities; /* PEM, trusted beside the system's, or in their place; copied */
	size_t authorities_len;
	const char *client_cert, *client_key; /* paths; NULL: none */
};

struct http_response {
	int status; /* 0: there was no answer, see the err */
	const char *body;
	size_t body_len;
	const char *error_type; /* x-amzn-ErrorType, "" when absent */
	const char *request_id; /* x-amzn-RequestId, "" when absent */
	int64_t date_ms;        /* the Date header, 0 when absent or unreadable */
	CURL *easy;             /* for http_response_header() */
};

/* Value number @i (from 0) of header @name, "" when absent or over HTTP_HEADER_VALUE_MAX bytes; for
 * as long as the callback runs. */
const char *http_response_header(const struct http_response *r, const char *name, size_t i);

/*
 * @r is borrowed for the call. @err is set when status is 0: ETIMEDOUT, ECONNREFUSED,
 * EHOSTUNREACH (also names that do not resolve), EFBIG (response over the cap), EPROTO, ECONNRESET.
 * The request is gone when the callback returns; the callback may start others and may not cancel
 * it.
 */
typedef void (*http_fn)(void *userdata, const struct http_response *r, const struct err *err);

/* Starts a request. *ret (may be NULL) stays valid until the callback runs or it is cancelled. */
int http_request(struct http_client *c, const struct http_request_params *p, http_fn fn,
		 void *userdata, struct http_request **ret, struct err *err);

/* No callback after this. NULL is fine. Always returns NULL. */
struct http_request *http_request_cancel(struct http_request *r);

/*
 * For aws/ws: a curl handle with proxies, TLS and agent
 * string set, and its run on the shared multi.
 */
typedef void (*http_easy_fn)(void *userdata, CURLcode result);
CURL *http_easy_new(struct http_client *c, const char *url, bool no_proxy);
int http_easy_start(struct http_client *c, CURL *easy, http_easy_fn fn, void *userdata,
		    struct http_request **ret, struct err *err);
/* The handle stays in the multi after its callback (a CONNECT_ONLY connection lives there) until
 * this is called, which frees both. Always returns NULL. */
struct http_request *http_easy_end(struct http_request *r);
int http_curl_errno(CURLcode code);
