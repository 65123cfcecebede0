/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-check - asks a registry, on the event loop, which digest a tag stands for now: one HEAD, as
 * ecs-image does it, over the agent's kept connections. It knows the usual answers (200; 401 with
 * Basic or Bearer); for everything else it says so and ecs-image finds out. Nothing is fetched and
 * no redirect is followed. Loop thread only.
 */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct http_client;
struct image_check; /* opaque */

struct image_check_params {
	struct http_client *http;
	const char *reference;           /* with a tag and no digest */
	const char *username, *password; /* NULL: anonymous */
	int64_t timeout_ms;              /* of the whole check */
	const char *certs_dir;           /* trust.h; NULL: TRUST_DIR_DEFAULT; borrowed */
};

enum image_check_result {
	IMAGE_CHECK_DIGEST,    /* @digest is the tag's */
	IMAGE_CHECK_TIMED_OUT, /* no answer within timeout_ms */
	IMAGE_CHECK_UNUSUAL,   /* a matter for ecs-image */
};

/* Called from the loop, once, never from image_check_start(); frees nothing: the callback may call
 * image_check_free(). @digest is borrowed and NULL but for IMAGE_CHECK_DIGEST. */
typedef void (*image_check_fn)(enum image_check_result result, const char *digest, void *userdata);

int image_check_start(const struct image_check_params *p, image_check_fn fn, void *userdata,
		      struct image_check **ret, struct err *err);

/* No callback after this. NULL is fine. Always returns NULL. */
struct image_check *image_check_free(struct image_check *c);
DEFINE_CLEANUP(struct image_check *, image_check_free)
