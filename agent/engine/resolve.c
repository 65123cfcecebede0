/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest step alone, for a container that waits for others: the service shall know which
 * image it will be, and nothing is fetched before it may run. What cannot be found out here is left
 * to the pull, which says why.
 */
#include <string.h>

#include "agent/engine/internal.h"
#include "common/log.h"

static void done(struct container *c, const char *digest)
{
	c->run->check = image_check_free(c->run->check);
	pulls_set_digest(c, digest);
	container_set_busy(c, BUSY_NOTHING);
	container_set_known(c, CONTAINER_MANIFEST_PULLED);
}

static void on_check(enum image_check_result result, const char *digest, void *userdata)
{
	done(userdata, result == IMAGE_CHECK_DIGEST ? digest : NULL);
}

/* Whether the registry is to be asked although the store has an image of that name. */
static bool asks_registry(const struct config *config)
{
	return config->pull_behavior == PULL_DEFAULT || config->pull_behavior == PULL_ALWAYS;
}

void resolve_start(struct container *c)
{
	struct engine *e = c->run->engine;
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *at = strchr(c->image, '@');

	if (at) {
		done(c, at + 1);
	} else if (!asks_registry(e->config) &&
		   image_store_lookup(e->images, c->image, &image, &err) == 0) {
		done(c, image->digest);
	} else if (!e->http || pulls_check(e, c, on_check, c, &c->run->check, &err) < 0) {
		done(c, NULL);
	}
}
