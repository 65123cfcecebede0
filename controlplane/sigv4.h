/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigv4 - checks AWS Signature Version 4 on what clients and agents send.
 *
 * Three things are signed: API requests (POST, payload = body), the upgrade of the two websockets
 * (GET, empty payload) and every TCS frame (GET of the socket's URL, payload = the JSON). Only the
 * header form is understood. Protocol facts: "Signing AWS API requests" of the IAM user guide.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct sigv4_keys;

enum {
	SIGV4_MAX_AUTHORIZATION = 4096,
	SIGV4_MAX_SIGNED_HEADERS = 64,
	SIGV4_MAX_QUERY_PAIRS = 256,
	SIGV4_MAX_SKEW_SEC = 300,
};

/* Answers of sigv4_verify() beside 0. */
enum sigv4_answer {
	SIGV4_OK,
	SIGV4_E_MISSING = 1,    /* no Authorization at all */
	SIGV4_E_INCOMPLETE = 2, /* not well-formed, or lacks a part */
	SIGV4_E_UNKNOWN_KEY = 3,
	SIGV4_E_MISMATCH = 4,  /* wrong signature */
	SIGV4_E_EXPIRED = 5,   /* signed too long ago or too far in the future */
	SIGV4_E_BAD_TOKEN = 6, /* X-Amz-Security-Token missing, unsigned or not the key's */
	_SIGV4_ANSWER_MAX,
};

/* The exception the service names for an answer: "InvalidSignatureException" and so on. */
const char *sigv4_error_name(enum sigv4_answer answer);

/* An Authorization header, taken apart. All strings are owned. */
struct sigv4_auth {
	char *access_key, *date, *region, *service;
	char **signed_headers; /* lower case, strictly ascending */
	char *signature;       /* 64 lower-case hexadecimal digits */
};

/*
 * Parses "AWS4-HMAC-SHA256 Credential=AKID/20250101/region/service/aws4_request,
 * SignedHeaders=…, Signature=…". Returns 0, or -EPROTO with @err naming the part.
 */
int sigv4_parse_authorization(const char *header, struct sigv4_auth *ret, struct err *err);
void sigv4_auth_done(struct sigv4_auth *a);

struct sigv4_header {
	const char *name;
	const char *value;
};

/* A request as it came: nothing decoded. Everything is borrowed. */
struct sigv4_request {
	const char *method;
	const char *path;  /* "/": percent-encoded as on the wire */
	const char *query; /* without "?"; NULL or "" for none */
	const struct sigv4_header *headers;
	size_t n_headers;
	const void *payload;
	size_t payload_len;
	bool length_unsigned; /* a TCS frame: signing content-length is refused */
};

/*
 * Checks @r at the time @now_ms. With @keys NULL (lenient) an absent Authorization is fine and a
 * present one must be well-formed for service "ecs", complete and dated; nothing can be recomputed.
 * With keys all of it is checked. Returns an enum sigv4_answer, @err set unless it is SIGV4_OK, or
 * a negative errno.
 */
int sigv4_verify(const struct sigv4_keys *keys, const struct sigv4_request *r, int64_t now_ms,
		 struct err *err);

/*
 * The signature of @r by @secret in the scope of @a, as 64 hexadecimal digits in @hex (65 bytes).
 * Returns 0; -EPROTO when a signed header is absent.
 */
int sigv4_compute(const struct sigv4_auth *a, const struct sigv4_request *r, const char *secret,
		  char *hex, struct err *err);

/*
 * Reads a key file: one "AKID SECRET [TOKEN]" per line, "#" starts a comment. Returns 0 or a
 * negative errno naming the line.
 */
int sigv4_keys_load(const char *path, struct sigv4_keys **ret, struct err *err);

/* The same from memory. */
int sigv4_keys_parse(const char *text, struct sigv4_keys **ret, struct err *err);
struct sigv4_keys *sigv4_keys_free(struct sigv4_keys *keys);
DEFINE_CLEANUP(struct sigv4_keys *, sigv4_keys_free)
