/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch - has the images of ECS_IMAGE_PREFETCH pulled after the start, one after the other, so that
 * the first tasks find them. What is in the store already is left alone; what fails is logged, and tried
 * again at the next start. Loop thread only.
 */
#pragma once

#include "common/err.h"

struct engine;
struct prefetch; /* opaque */

/* *ret stays NULL when there is nothing on the list. */
int prefetch_start(struct engine *e, struct prefetch **ret, struct err *err);

/* A pull under way is told to end. NULL is fine. Always returns NULL. */
struct prefetch *prefetch_free(struct prefetch *p);

struct registry_auth;

/*
 * "123456789012.dkr.ecr.eu-west-1.amazonaws.com/…": true with the login that an image of ECR needs,
 * owned (registry_auth_done()); false: another registry, or out of memory.
 */
bool prefetch_ecr_auth(const char *image, struct registry_auth *ret);
