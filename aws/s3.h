/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3 - one request to S3, signed: HEAD of a bucket (which region is it in?), GET of an object.
 * Three attempts, with a back-off, where another one may do. Loop thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct aws_credentials;
struct http_client;
struct s3_request; /* one under way */

struct s3_params {
	struct http_client *http;            /* borrowed */
	struct aws_credentials *credentials; /* borrowed; NULL: unsigned */
	const char *method;                  /* "HEAD", "GET" */
	const char *bucket;
	const char *key;    /* NULL: the bucket itself */
	const char *region; /* to sign for, and whose endpoint is asked */
	/* NULL: the region's, with the bucket in its name where that can be; else path style */
	const char *endpoint;
	bool dual_stack;    /* asks the region's endpoint of both families */
	size_t max_bytes;   /* of the object; 0: the http client's bound */
	int64_t timeout_ms; /* of one attempt; 0: 30 s */
};

struct s3_answer {
	const char *body; /* borrowed */
	size_t len;
	const char *region; /* of the bucket, when the answer, good or bad, names it; else "" */
};

/* @err is set unless the answer is a 2xx: "AccessDenied: Access Denied (HTTP 403)". Once, from the
 * loop; the request is gone when it returns. */
typedef void (*s3_fn)(void *userdata, const struct s3_answer *a, const struct err *err);

int s3_request_new(const struct s3_params *p, s3_fn fn, void *userdata, struct s3_request **ret,
		   struct err *err);
struct s3_request *s3_request_cancel(struct s3_request *r); /* no callback follows */
DEFINE_CLEANUP(struct s3_request *, s3_request_cancel)

/* The URL a request goes to; owned, NULL when out of memory. */
char *s3_url(const struct s3_params *p);

/* "Code: Message" of an error document, "" when it is none. Owned; control characters are left out. */
char *s3_error_text(const char *body, size_t len);
