/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - the write side of the image store (see image.h for the layout), for ecs-image alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/err.h"
#include "runtime/image/image.h"

enum {
	STORE_LAYER_NAME_MAX = 27, /* 26 characters and NUL */
	STORE_RECORD_MAX = 1 << 20,
	STORE_DOCUMENT_MAX = 8 << 20,
	STORE_LAYERS_MAX = 500, /* overlayfs takes this many lower directories */
};

struct image_store {
	char *dir; /* owned; absolute */
	int fd;
	int64_t freed_bytes; /* of the layers removed through it */
};

/* What one reference stands for. Strings are owned. */
struct store_ref {
	char *reference; /* canonical text */
	char *digest;    /* of the manifest or index; NULL when loaded without a registry */
	char *id;
	char *origin; /* "pull" or "load" */
	int64_t at_ms;
};

void store_ref_done(struct store_ref *ref);

/* Returns 0, IMAGE_E_NOT_FOUND, or a negative errno. */
int store_get_ref(struct image_store *s, const char *reference, struct store_ref *ret,
		  struct err *err);
int store_put_ref(struct image_store *s, const struct store_ref *ref, struct err *err);
int store_remove_ref(struct image_store *s, const char *reference, struct err *err);

typedef int (*store_ref_fn)(const struct store_ref *ref, void *userdata, struct err *err);
int store_each_ref(struct image_store *s, store_ref_fn fn, void *userdata, struct err *err);

/* When a container last had image @id. IMAGE_E_NOT_FOUND: none ever had. */
int store_last_used(struct image_store *s, const char *id, struct timespec *ret, struct err *err);

/* Calls @fn with the id of every image record. */
typedef int (*store_id_fn)(const char *id, void *userdata, struct err *err);
int store_each_image(struct image_store *s, store_id_fn fn, void *userdata, struct err *err);

/*
 * The record of image @id as JSON: {id, os, architecture, variant, size, layers: [names], config}.
 * Returns 0 with a new reference, IMAGE_E_NOT_FOUND (also when a layer directory is missing), or a
 * negative errno.
 */
int store_get_record(struct image_store *s, const char *id, json_t **ret, struct err *err);
int store_put_record(struct image_store *s, const char *id, const json_t *record, struct err *err);

/* The configuration of image @id, byte for byte. @sync: nothing syncs the file system afterwards. */
int store_put_document(struct image_store *s, const char *id, const char *text, size_t len,
		       bool sync, struct err *err);

/* Returns 0, IMAGE_E_NOT_FOUND (an older version pulled it), -EBADMSG when it is damaged, … */
int store_get_document(struct image_store *s, const char *id, char **ret, size_t *ret_len,
		       struct err *err);

/* The full id of the one image whose id starts with @prefix (12..64 hexadecimal digits). Owned. */
int store_complete_id(struct image_store *s, const char *prefix, char **ret, struct err *err);

/* The directory name for a digest ("sha256:…"), 26 characters. */
void store_layer_name(const char *digest, char name[STORE_LAYER_NAME_MAX]);

/*
 * A complete layer. Until the disk has been told to keep it (store_settle_layer()) it is good for
 * this boot only: after a power cut its files may be short.
 */
struct store_layer {
	int64_t size;
	bool implied; /* directories are missing from its archive: fit for the very bottom, or under
			 its chain id */
	char diff_id[72]; /* of its archive; "" when an older version made it */
};

/* Returns 0 or IMAGE_E_NOT_FOUND. */
int store_get_layer(struct image_store *s, const char *digest, struct store_layer *ret,
		    struct err *err);

/* Moves the unpacked directory @tmp_name (beneath the store, "tmp/X/root") into its place. A good
 * layer that is there already stays; that is no error. */
int store_commit_layer(struct image_store *s, const char *tmp_name, const char *digest,
		       const struct store_layer *layer, struct err *err);

/* Whether an image names the layer directory @name. Returns 1, 0 or a negative errno. */
int store_layer_is_named(struct image_store *s, const char *name, struct err *err);

/* Out of layers/ by one rename, then away piece by piece: a half-removed layer is never seen. */
int store_discard_layer(struct image_store *s, const char *name, struct err *err);

/* What NAME.json says, whether or not it is fit for use. Returns 0, IMAGE_E_NOT_FOUND or -EBADMSG. */
int store_read_layer(struct image_store *s, const char *name, char **ret_digest,
		     struct store_layer *ret, struct err *err);

/* Calls @fn with the name of every layer directory. */
typedef int (*store_layer_fn)(const char *name, void *userdata, struct err *err);
int store_each_layer(struct image_store *s, store_layer_fn fn, void *userdata, struct err *err);

/* Notes that the file system was synced after the layer was committed. */
int store_settle_layer(struct image_store *s, const char *digest, struct err *err);

/* Locks of one byte per digest (of a layer, or of an image that is on its way); released by closing
 * the descriptor. */
enum store_lock { STORE_LOCK_FETCH, STORE_LOCK_USE };

/* Returns 0, 1 when somebody else holds it (only with !@wait), or a negative errno. */
int store_lock(struct image_store *s, int *fd, enum store_lock which, const char *digest,
	       bool exclusive, bool wait, struct err *err);
int store_unlock(int fd, const char *digest);

/* Makes tmp/<random>/ and holds its lock through the returned descriptor. @ret_name ("tmp/x") is
 * owned by the caller. */
int store_make_tmp(struct image_store *s, char **ret_name, int *ret_fd, struct err *err);

/* Removes what runs that were killed left in tmp/, and their temporary files. Never fails: the next run tries again. */
void store_collect(struct image_store *s);

/*
 * Removes a reference (or, by id, all references of the image), then what nothing refers to any
 * more. @on_removed, may be NULL, hears each removed thing: "untagged: …", "deleted: …".
 * Returns 0, IMAGE_E_NOT_FOUND, or -EBUSY naming the pin that holds the image.
 */
int store_remove(struct image_store *s, const char *reference,
		 void (*on_removed)(const char *what, void *userdata), void *userdata,
		 struct err *err);

/*
 * The same for image @id, but only when nobody used it since @used_at (NULL: not even once); else
 * -EBUSY. What stands in the way is noticed at any moment: the image is then there as before.
 */
int store_remove_unused(struct image_store *s, const char *id, const struct timespec *used_at,
			struct err *err);

/* Removes the layers that no image names and no pull counts on, and marks of images that are gone. */
int store_sweep(struct image_store *s, struct err *err);
