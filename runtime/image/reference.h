/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference - image references as Docker reads them:
 * [domain[:port]/]path[:tag][@sha256:hex], where a missing domain is docker.io, a one-word path
 * there is under library/, and a missing tag is latest.
 * https://pkg.go.dev/github.com/distribution/reference
 */
#pragma once

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/err.h"

enum {
	REFERENCE_NAME_MAX = 255, /* domain and path */
	REFERENCE_TAG_MAX = 128,
	REFERENCE_TEXT_MAX = REFERENCE_NAME_MAX + 1 + REFERENCE_TAG_MAX + 1 + 71,
};

struct reference {
	char *domain;     /* owned: "docker.io", "localhost:5000", "[::1]:5000" */
	char *repository; /* owned: "library/nginx" */
	char *tag;        /* owned; NULL only when there is a digest */
	char *digest;     /* owned: "sha256:…" or NULL */
};

void reference_done(struct reference *r);

/* Returns 0, or -EINVAL with the part and the reason in @err. */
int reference_parse(const char *text, struct reference *ret, struct err *err);

/* "docker.io/library/nginx:1.27" or "…/nginx@sha256:…": what the store files it under. Owned; NULL
 * when out of memory. */
char *reference_text(const struct reference *r);

/* The same name by digest: "docker.io/library/nginx@<digest>". Owned. */
char *reference_text_by_digest(const struct reference *r, const char *digest);

/* The name as people write it: without docker.io/ and library/. Owned. */
char *reference_familiar(const struct reference *r);

/* Where the domain's API is served: docker.io answers at registry-1.docker.io. Borrowed. */
const char *reference_api_host(const struct reference *r);

/* Whether the domain is this machine: localhost, 127.0.0.0/8 or ::1, whatever the port. */
bool reference_is_loopback(const char *domain);

/* "sha256:" and 64 lower-case hexadecimal digits. */
bool digest_is_valid(const char *digest);
