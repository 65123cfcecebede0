/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imds - the EC2 instance metadata service, version 2 (session token, then paths).
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
 * Loop thread only. The token (21600 s) is fetched with the first path and again when refused. A
 * host without the service costs one second once; after that it counts as absent for a minute. Where the
 * service is known to be there, it is given more time, and is never taken for absent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct http_client;
struct imds;
struct imds_request;

#define IMDS_DEFAULT_ENDPOINT "http://169.254.169.254"
#define IMDS_IPV6_ENDPOINT "http://[fd00:ec2::254]"

struct imds_params {
	struct http_client *http; /* borrowed; never through a proxy */
	const char *endpoint;     /* NULL or "": IMDS_DEFAULT_ENDPOINT */
	bool expected;            /* on an EC2 instance: who does not answer is late, not absent */
	int64_t connect_timeout_ms; /* 0: 1 s; 5 s where it is expected */
	int max_tries;              /* 0: 5, 1 s apart and growing */
	int64_t retry_ms;           /* first delay; 0: 1 s (tests) */
};

int imds_new(const struct imds_params *p, struct imds **ret, struct err *err);
struct imds *imds_free(struct imds *i);
DEFINE_CLEANUP(struct imds *, imds_free)

/*
 * Where requests go from now on; NULL or "": IMDS_DEFAULT_ENDPOINT. Of another place nothing is known: neither
 * its token nor that nobody answers there. The same place again changes nothing.
 */
int imds_set_endpoint(struct imds *i, const char *endpoint, struct err *err);

/*
 * @data is borrowed for the call, NULL when it failed. @err codes: ENOENT the service says 404,
 * EHOSTUNREACH nobody answers, else the trouble of the last try.
 */
typedef void (*imds_fn)(void *userdata, const char *data, size_t len, const struct err *err);

/* @path without a leading slash: "latest/meta-data/instance-id". Calls back from the loop. */
int imds_get(struct imds *i, const char *path, imds_fn fn, void *userdata,
	     struct imds_request **ret, struct err *err);
/* The same with one try: for polls and for the question whether there is an IMDS at all. */
int imds_get_once(struct imds *i, const char *path, imds_fn fn, void *userdata,
		  struct imds_request **ret, struct err *err);
struct imds_request *imds_cancel(struct imds_request *r);

/* What the identity document says; members are "" when absent. */
struct imds_identity {
	char *region;        /* owned */
	char *instance_id;   /* owned */
	char *instance_type; /* owned */
	char *zone;          /* owned */
	char *document;      /* owned; the raw text */
	char *signature;     /* owned; "" when it could not be had */
};

void imds_identity_done(struct imds_identity *i);
int imds_identity_decode(const char *data, size_t len, struct imds_identity *ret, struct err *err);

typedef void (*imds_identity_fn)(void *userdata, const struct imds_identity *id,
				 const struct err *err);

/*
 * Document and signature; @id is NULL when there is no
 * document. Freed with the imds when pending.
 */
int imds_get_identity(struct imds *i, imds_identity_fn fn, void *userdata, struct err *err);
