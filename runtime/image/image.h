/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image - the content-addressed image store on disk, read side and pins.
 *
 * Layout of a store directory (0700, one per host, shared by any number of processes):
 *   layers/NAME/              an unpacked layer in overlayfs form (whiteouts are 0/0 character
 *                             devices, opaque directories carry trusted.overlay.opaque). NAME is 26
 *                             letters and digits that encode half of the layer's diff_id, or of its
 *                             chain id when the layer leaves parent directories out and so took
 *                             their owners and modes from those below. Short, because overlayfs
 *                             takes all lower directories of a mount in one page of options
 *   layers/NAME.json          the whole digest and the size; written before the directory appears
 *   layers/NAME.outline       what beside the contents of files its archive held (outline.h); empty
 *                             when the archive cannot be put together again
 *   images/sha256/HEX.config  the configuration as it came: the bytes that have the digest
 *   images/sha256/HEX.json    one image: HEX is the digest of its configuration (the image id);
 *                             names the layer directories, holds the runtime configuration
 *   refs/HEX.json             one reference: HEX is the SHA-256 of the canonical reference text
 *   pins/NAME                 holds an image id: that image is in use and is not removed
 *   used/HEX                  empty: when a container last had the image whose id is HEX (its time)
 *   locks/fetch, locks/use    one byte per digest is locked (open file description locks), so that
 *                             a layer is fetched once at a time and not removed under a pull
 *   tmp/NAME/                 work in progress, flock()ed by its owner; the next run removes the
 *                             ones nobody holds
 * A name taken from an image never becomes a path here: only digests, in hexadecimal, do.
 *
 * Reading takes no lock and touches two small files, so an event loop may do it. Writers are
 * ecs-image alone (pull, load, rm). Every file appears whole, by rename.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"

struct image_store; /* opaque; any number per directory */

enum { IMAGE_E_NOT_FOUND = 1 }; /* the store has no such image */

#define IMAGE_STORE_DIR_DEFAULT "/var/lib/ecs/images"

/*
 * What the image asks of the runtime: the "config" object of an OCI image configuration. All
 * members are owned; an absent vector is NULL.
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
 */
struct image_config {
	char **entrypoint;
	char **cmd;
	char **env;           /* "NAME=value" */
	char *user;           /* "", "uid", "user", "uid:gid", …; NULL when absent */
	char *working_dir;    /* NULL when absent or "" */
	char *stop_signal;    /* "SIGTERM", "15", …; NULL when absent */
	char **volumes;       /* mount points */
	char **exposed_ports; /* "80/tcp" */
	struct json_pair *labels;
	size_t n_labels;
	json_t *healthcheck; /* as written (durations are nanoseconds); NULL when absent */
};

struct image {
	char *reference; /* canonical: "docker.io/library/nginx:1.27"; the id when found by id only
			  */
	char *digest; /* "sha256:…" under which the registry knows the reference (the index's when
			 it is an index), as Docker reports it; NULL for a loaded image without */
	char *id;     /* "sha256:…", digest of the configuration */
	char *os, *architecture;
	char **layers; /* absolute directories, lowest first */
	struct image_config config;
	int64_t size_bytes;   /* unpacked size of all layers, file contents only */
	int64_t pulled_at_ms; /* when the reference was last written; wall clock */
};

/* Frees; NULL is fine. Always returns NULL. */
struct image *image_free(struct image *image);
DEFINE_CLEANUP(struct image *, image_free)

void image_config_done(struct image_config *config);

/*
 * Decodes the "config" object of an image configuration (@obj may be NULL: everything absent).
 * Returns 0 or -EPROTO naming the field.
 */
int image_config_decode(const json_t *obj, struct image_config *ret, struct err *err);

/* Opens the store at @dir (absolute), creating it with its folders. */
int image_store_open(const char *dir, struct image_store **ret, struct err *err);
struct image_store *image_store_close(struct image_store *store);
DEFINE_CLEANUP(struct image_store *, image_store_close)

/*
 * Finds an image by reference ("nginx", "localhost:5000/web:1"), by name@sha256:…, or by id
 * ("sha256:<64 hex>", or its first 12 or more hexadecimal digits when no reference has that name).
 * Returns 0, IMAGE_E_NOT_FOUND, or a negative errno with @err set (-EINVAL: not a reference;
 * -EBADMSG: a file of the store is damaged). An image of which a layer directory is gone counts as
 * not found.
 */
int image_store_lookup(struct image_store *store, const char *reference, struct image **ret,
		       struct err *err);

/* Called for every reference of the store, in no order. @image is borrowed. */
typedef int (*image_fn)(const struct image *image, void *userdata, struct err *err);

/* Every reference (images with no reference left come once, by id). Damaged files are skipped. */
int image_store_list(struct image_store *store, image_fn on_image, void *userdata, struct err *err);

/*
 * Keeps image @id ("sha256:…") from being removed until unpinned. @name is [A-Za-z0-9_.-]{1,200},
 * not starting with '.'; a pin of that name is replaced. Survives the caller. Returns 0,
 * IMAGE_E_NOT_FOUND when the image was removed meanwhile (no pin is left), or a negative errno.
 */
int image_store_pin(struct image_store *store, const char *name, const char *id, struct err *err);

/*
 * Says that a container is about to be made from image @id, so that clean-up leaves it alone until
 * it is pinned. Returns 0, IMAGE_E_NOT_FOUND when the image was removed meanwhile, or a negative
 * errno.
 */
int image_store_use(struct image_store *store, const char *id, struct err *err);

/* Absent is fine. The image counts as used until now. */
int image_store_unpin(struct image_store *store, const char *name, struct err *err);

/* Calls @on_pin for every pin, so that the owner can drop those of things that are gone. */
typedef int (*image_pin_fn)(const char *name, const char *id, void *userdata, struct err *err);
int image_store_list_pins(struct image_store *store, image_pin_fn on_pin, void *userdata,
			  struct err *err);
