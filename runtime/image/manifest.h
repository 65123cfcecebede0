/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest - the documents of a registry: image manifests, indexes, image configurations.
 * OCI image-spec 1.1 and Docker schema 2; schema 1 is refused by name. A document is taken only
 * when the media type it was served with, the one it claims and its fields agree (a document that
 * is both manifest and index would mean different images to different readers).
 * https://github.com/opencontainers/image-spec
 * https://distribution.github.io/distribution/spec/manifest-v2-2/
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

enum {
	MANIFEST_BYTES_MAX = 4 << 20,
	MANIFEST_CONFIG_BYTES_MAX = 8 << 20,
	MANIFEST_LAYERS_MAX = 500,
	MANIFEST_ENTRIES_MAX = 1000, /* of an index */
	MANIFEST_DEPTH_MAX = 4,      /* indexes within the first one */
	MANIFEST_DOCUMENTS_MAX = 16, /* read on the way through them */
};
#define MANIFEST_BLOB_BYTES_MAX (64LL << 30)

/* What to send as Accept. */
#define MANIFEST_ACCEPT                                                                            \
	"application/vnd.oci.image.index.v1+json, "                                                \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                              \
	"application/vnd.oci.image.manifest.v1+json, "                                             \
	"application/vnd.docker.distribution.manifest.v2+json"

struct platform {
	char *os, *architecture, *variant; /* owned; as GOOS, GOARCH; variant may be NULL */
};

void platform_done(struct platform *p);
int platform_host(struct platform *ret, struct err *err);

/* Whether an image of @os and @architecture (NULL: it does not say) runs on @p. */
bool platform_fits(const struct platform *p, const char *os, const char *architecture);

/* "linux/arm64/v8"; -EINVAL. */
int platform_parse(const char *text, struct platform *ret, struct err *err);

struct descriptor {
	char *media_type; /* owned, as all strings here */
	char *digest;     /* valid */
	int64_t size;
	struct platform platform; /* of an index entry */
};

struct manifest {
	bool is_index;
	const char *media_type;   /* static; NULL: neither it nor who served it says */
	struct descriptor config; /* manifest */
	struct descriptor *items; /* layers, lowest first; or the entries of an index */
	size_t n_items;
};

void manifest_done(struct manifest *m);

/*
 * Decodes @len bytes served as @content_type (NULL or a generic type: whatever the document says).
 * Returns 0, or -EPROTO naming the field.
 */
int manifest_decode(const char *content_type, const char *data, size_t len, struct manifest *ret,
		    struct err *err);

/* Of a media type as an index has it, without parameters. */
bool manifest_type_is_known(const char *type);
bool manifest_type_is_index(const char *type);

/* The entry of an index for @want, the closest variant first. Borrowed. NULL: none. */
const struct descriptor *manifest_choose(const struct manifest *index, const struct platform *want);

enum { MANIFEST_E_NONE = 1 };

/* Brings the document that @d names, decoded. Returns 0 or a negative errno. */
typedef int (*manifest_get_fn)(void *userdata, const struct descriptor *d, struct manifest *ret,
			       struct err *err);

/*
 * Goes from the index @m, also through indexes within it, to the image manifest for @want, which
 * takes its place; an image manifest stays. Returns 0, MANIFEST_E_NONE when the index has nothing
 * for the platform, -EPROTO (too deep, or another type than the index says), or what @get returns.
 */
int manifest_follow(struct manifest *m, const struct platform *want, manifest_get_fn get,
		    void *userdata, struct err *err);

/* An image configuration. */
struct image_document {
	struct platform platform;
	char **diff_ids; /* valid digests, lowest first */
	json_t *config;  /* the runtime part; NULL when absent */
	char *text;      /* as it came */
	size_t text_len;
};

void image_document_done(struct image_document *d);
int image_document_decode(const char *data, size_t len, struct image_document *ret,
			  struct err *err);
