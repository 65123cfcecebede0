/* SPDX-License-Identifier: Apache-2.0 */
/* fetch - brings one image from its registry into the store. */
#pragma once

#include <stdbool.h>

#include "common/err.h"
#include "runtime/image/image.h"
#include "runtime/image/layer.h"
#include "runtime/image/pull.h"
#include "runtime/image/report.h"

enum { FETCH_PARALLEL = 4 }; /* layers at once */

struct fetch_params {
	struct image_store *store;
	const char *reference;
	const char *username, *password;
	const char *platform; /* NULL: the host's */
	bool plain_http;
	const char *mirrors;   /* mirror.h; NULL: none */
	const char *certs_dir; /* trust.h; NULL: the default */
	enum image_pull_behavior behavior;
	int64_t inactivity_timeout_ms;
	const char *unpacker_program;
	struct report *report;
};

/*
 * Returns 0 with the image, or a negative errno and the kind of the failure. *ret_why_cached,
 * owned: why the cached image had to do, or NULL.
 */
int fetch_image(const struct fetch_params *p, struct image **ret, bool *ret_from_cache,
		char **ret_why_cached, enum image_pull_failure *ret_kind, struct err *err);

/*
 * Brings all layers of @doc into the store and records the image; blobs[i] is the layer of
 * diff_ids[i]. @fetch_one gets the bytes of one layer when there is no registry (NULL otherwise).
 */
struct fetch_layers {
	struct layer_env *env;
	const struct descriptor *blobs;
	size_t n_blobs;
	const struct image_document *doc;
	const char *id;
	struct report *report;
	int (*feed)(struct layer *l, void *userdata, struct err *err);
	void *userdata;
};

int fetch_layers(const struct fetch_layers *f, struct err *err);

/* Whether SIGTERM or SIGINT came meanwhile: what feeds a layer is to stop with -ECANCELED. */
bool fetch_is_interrupted(void);
