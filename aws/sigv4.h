/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigv4 - AWS Signature Version 4 over HTTP requests, WebSocket upgrades and telemetry frames.
 * Pure functions: time and keys come in as arguments. The algorithm is the public one:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct aws_keys;

enum { SIGV4_DATE_MAX = sizeof("20150830T123600Z") };

struct sigv4_header {
	const char *name;
	const char *value;
};

struct sigv4_request {
	const char *method;
	const char *path;  /* as it stands on the request line, without the query; "" means "/" */
	const char *query; /* as it stands on the request line, without '?'; may be NULL */
	const struct sigv4_header *headers; /* exactly those to be signed, `host` included */
	size_t n_headers;
	const void *payload;
	size_t payload_len;
	const char *payload_hash; /* instead of hashing payload: hex, or "UNSIGNED-PAYLOAD" */
	const char *region;
	const char *service;
	int64_t now_ms;        /* wall clock */
	int encode_path_twice; /* every service but S3 */
};

/* Writes @now_ms as the X-Amz-Date header wants it: "20150830T123600Z". Returns @buf. */
char *sigv4_date(int64_t now_ms, char buf[SIGV4_DATE_MAX]);

/*
 * Appends the value of the Authorization header to @ret. The caller has put x-amz-date (of the same
 * now_ms) and, with temporary keys, x-amz-security-token among the headers.
 * Returns 0 or a negative errno with @err set.
 */
int sigv4_authorization(const struct sigv4_request *r, const struct aws_keys *keys, struct buf *ret,
			struct err *err);

/* The canonical request, for tests and for debugging a SignatureDoesNotMatch. */
int sigv4_canonical_request(const struct sigv4_request *r, struct buf *ret, struct err *err);

/*
 * Signs @method on @url (http, https, ws or wss) with exactly host, x-amz-date and, with temporary
 * keys, x-amz-security-token: the form of a WebSocket upgrade (no payload) and of a telemetry frame
 * (payload = the JSON). Appends "Name: value\r\n" lines sorted by name - Authorization, Host,
 * X-Amz-Date, X-Amz-Security-Token - without an empty line. With NULL @keys only Host and
 * X-Amz-Date.
 */
int sigv4_sign_url(const char *method, const char *url, const void *payload, size_t payload_len,
		   const char *region, const char *service, int64_t now_ms,
		   const struct aws_keys *keys, struct buf *ret, struct err *err);

/* Appends @text percent-encoded as SigV4 wants it (RFC 3986 unreserved stay). */
void sigv4_uri_encode(const char *text, size_t len, int keep_slash, struct buf *ret);
