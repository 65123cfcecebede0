/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry-auth - which of the host's registry credentials (ECS_ENGINE_AUTH_TYPE, _DATA) an image
 * is pulled with.
 */
#pragma once

#include "common/err.h"

struct registry_login {
	char *username, *password; /* owned, secret; NULL: none */
};

/*
 * @type "docker": {"registry": {"username": …, "password": …}}; "dockercfg": {"registry": {"auth":
 * base64 of user:password}}. Keys may carry http:// or https://. Docker Hub's key is
 * index.docker.io/v1/; else the key is the image's registry, or the longest one with that registry
 * and a path that the image begins with. Returns 1 with *ret, 0 when no key fits, or -EINVAL naming
 * what is wrong (never a value).
 */
int registry_auth_find(const char *type, const char *data, const char *image,
		       struct registry_login *ret, struct err *err);

/* Wipes and frees. */
void registry_login_done(struct registry_login *l);
