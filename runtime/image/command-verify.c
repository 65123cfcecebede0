/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-image verify: every configuration against the image's id, every layer against its digest.
 * The archive of a layer is put together again from its directory and its outline, so the digest
 * covers names, owners, modes and attributes as they were, and contents as they are. An outline that
 * has the digest then says what names, owners, modes and attributes have to be.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"
#include "runtime/image/command.h"
#include "runtime/image/reference.h"
#include "runtime/image/store.h"
#include "runtime/unpack/outline.h"
#include "runtime/unpack/unpack.h"

struct verify {
	struct image_store *store;
	const struct options *o;
	json_t *damaged; /* owned array */
	char **pinned;   /* owned: ids */
	size_t images, layers, unverifiable;
	int64_t bytes;
	size_t left; /* damaged and not repaired */
};

static void note(struct verify *v, const char *kind, const char *name, const char *why,
		 bool repaired)
{
	v->left += !repaired;
	(void) json_array_append_new(v->damaged,
				     json_pack("{s:s, s:s, s:s, s:b}", "kind", kind, "name", name,
					       "why", why, "repaired", repaired));
	if (!v->o->report.json)
		(void) printf("%s %s: %s%s\n", kind, name, why, repaired ? " (removed)" : "");
}

/* ---- layers ---- */

struct summing {
	EVP_MD_CTX *hash;
	int64_t bytes;
};

static int add_bytes(void *userdata, const void *data, size_t len)
{
	struct summing *s = userdata;

	s->bytes += (int64_t) len;
	return EVP_DigestUpdate(s->hash, data, len) == 1 ? 0 : -EIO;
}

static int open_layer(struct verify *v, const char *name, int *ret_outline, int *ret_root,
		      struct err *err)
{
	_cleanup_(freep) char *outline = path_join("layers/%s.outline", name);
	_cleanup_(freep) char *dir = path_join("layers/%s", name);

	if (!outline || !dir)
		return err_set(err, ENOMEM, "verify layer");
	*ret_outline = openat(v->store->fd, outline, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_outline < 0)
		return err_set_errno(err, errno == ENOENT ? ENODATA : errno, "open outline");
	*ret_root = openat(v->store->fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_root < 0 ? err_set_errno(err, errno, "open layer") : 0;
}

static int sum_layer(struct verify *v, int outline, int root, char digest[7 + SHA256_HEX_MAX],
		     struct err *err)
{
	struct summing s = { .hash = EVP_MD_CTX_new() };
	uint8_t md[SHA256_BYTES];
	char hex[SHA256_HEX_MAX];
	int k = 0;

	if (!s.hash || EVP_DigestInit_ex(s.hash, EVP_sha256(), NULL) != 1)
		k = err_set(err, ENOMEM, "verify layer");
	if (k == 0)
		k = outline_replay(outline, root, add_bytes, &s, err);
	if (k == 0 && EVP_DigestFinal_ex(s.hash, md, NULL) != 1)
		k = err_set(err, EIO, "hash layer");
	EVP_MD_CTX_free(s.hash);
	v->bytes += s.bytes;
	if (k == 0)
		(void) snprintf(digest, 7 + SHA256_HEX_MAX, "sha256:%s",
				hex_encode(md, sizeof(md), hex));
	return k;
}

static int check_layer(struct verify *v, const char *name, const struct store_layer *layer,
		       struct err *err)
{
	_cleanup_(closep) int outline = -EBADF, root = -EBADF;
	char digest[7 + SHA256_HEX_MAX];
	int k = open_layer(v, name, &outline, &root, err);

	if (k == 0)
		k = sum_layer(v, outline, root, digest, err);
	if (k == -ENODATA || (k == 0 && !layer->diff_id[0])) {
		v->unverifiable++;
		return 0;
	}
	if (k == 0 && strcmp(digest, layer->diff_id) != 0)
		k = err_set(err, EBADMSG, "its content has the digest %s, not %s", digest,
			    layer->diff_id);
	return k < 0 ? k : unpack_check(v->o->unpacker_program, root, outline, err);
}

static int has_pinned_image(const char *id, void *userdata, struct err *err)
{
	const void *const *q = userdata;
	const struct verify *v = q[0];
	_cleanup_(json_decrefp) json_t *record = NULL;
	const json_t *layers;

	(void) err;
	if (!strv_contains(v->pinned, id) || store_get_record(v->store, id, &record, NULL) != 0)
		return 0;
	layers = json_object_get(record, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++)
		if (strcmp(json_string_value(json_array_get(layers, i)), q[1]) == 0)
			return 1;
	return 0;
}

/* Nothing is taken from under a container; the damage is told again next time. */
static bool repair_layer(struct verify *v, const char *name)
{
	const void *q[] = { v, name };

	return v->o->repair && store_each_image(v->store, has_pinned_image, q, NULL) == 0 &&
	       store_discard_layer(v->store, name, NULL) == 0;
}

static int verify_layer(const char *name, void *userdata, struct err *err)
{
	struct verify *v = userdata;
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *digest = NULL;
	_cleanup_(closep) int lock = -EBADF;
	struct store_layer layer;
	int k = store_read_layer(v->store, name, &digest, &layer, &why);

	if (k == IMAGE_E_NOT_FOUND)
		k = err_set(&why, EBADMSG, "its record is missing");
	if (k == 0 &&
	    (k = store_lock(v->store, &lock, STORE_LOCK_USE, digest, false, false, &why)) == 1)
		return 0; /* on its way out */
	v->layers++;
	if (k == 0)
		k = check_layer(v, name, &layer, &why);
	if (k == -EBADMSG) {
		note(v, "layer", name, err_text(&why), repair_layer(v, name));
		return 0;
	}
	return k < 0 ? err_move(err, &why) : 0;
}

/* ---- images ---- */

static bool drop_record(struct verify *v, const char *id)
{
	char path[128];

	if (!v->o->repair || strv_contains(v->pinned, id))
		return false;
	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", id + 7);
	if (unlinkat(v->store->fd, path, 0) < 0)
		return false;
	(void) snprintf(path, sizeof(path), "images/sha256/%s.config", id + 7);
	(void) unlinkat(v->store->fd, path, 0);
	return true;
}

/* After the layers: an image that lost one is found by that. */
static int verify_image(const char *id, void *userdata, struct err *err)
{
	struct verify *v = userdata;
	_cleanup_(json_decrefp) json_t *record = NULL;
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int k = store_get_record(v->store, id, &record, &why);

	v->images++;
	if (k == IMAGE_E_NOT_FOUND)
		k = err_set(&why, EBADMSG, "one of its layers is missing");
	if (k == 0)
		k = store_get_document(v->store, id, &text, &len, &why);
	if (k == IMAGE_E_NOT_FOUND) {
		v->unverifiable++;
		return 0;
	}
	if (k == -EBADMSG) {
		note(v, "image", id, err_text(&why), drop_record(v, id));
		return 0;
	}
	return k < 0 ? err_move(err, &why) : 0;
}

static int verify_ref(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct verify *v = userdata;
	char path[128];

	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", ref->id + 7);
	if (faccessat(v->store->fd, path, F_OK, 0) == 0)
		return 0;
	note(v, "reference", ref->reference, "its image is missing",
	     v->o->repair && store_remove_ref(v->store, ref->reference, err) == 0);
	return 0;
}

static int add_pinned(const char *name, const char *id, void *userdata, struct err *err)
{
	struct verify *v = userdata;

	(void) name;
	return strv_append(&v->pinned, id) < 0 ? err_set(err, ENOMEM, "verify") : 0;
}

static int run(struct verify *v, struct err *err)
{
	int k;

	v->damaged = json_array();
	if (!v->damaged)
		return err_set(err, ENOMEM, "verify");
	k = image_store_list_pins(v->store, add_pinned, v, err);
	if (k == 0)
		k = store_each_layer(v->store, verify_layer, v, err);
	if (k == 0)
		k = store_each_image(v->store, verify_image, v, err);
	return k == 0 ? store_each_ref(v->store, verify_ref, v, err) : k;
}

static void print_result(const struct verify *v)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	_cleanup_(freep) char *text = NULL;

	if (!v->o->report.json) {
		(void) printf("%zu images, %zu layers, %.1f MB: ", v->images, v->layers,
			      (double) v->bytes / 1e6);
		if (json_array_size(v->damaged) > 0)
			(void) printf("%zu damaged, %zu removed", json_array_size(v->damaged),
				      json_array_size(v->damaged) - v->left);
		else
			(void) printf("all as it should be");
		(void) printf(v->unverifiable ? "; %zu without a way to tell\n" : "\n",
			      v->unverifiable);
		return;
	}
	obj = json_pack("{s:I, s:I, s:I, s:I, s:O}", "images", (json_int_t) v->images, "layers",
			(json_int_t) v->layers, "bytes", (json_int_t) v->bytes, "unverifiable",
			(json_int_t) v->unverifiable, "damaged", v->damaged);
	text = obj ? json_to_text(obj) : NULL;
	(void) printf("%s\n", text ? text : "");
}

int command_verify(struct options *o, struct image_store *store, struct err *err)
{
	struct verify v = { .store = store, .o = o };
	int k = run(&v, err);

	if (k == 0)
		print_result(&v);
	else
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
	json_decref(v.damaged);
	(void) strv_free(v.pinned);
	return k < 0 || v.left > 0;
}
