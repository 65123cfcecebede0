/* SPDX-License-Identifier: Apache-2.0 */
/* Removal: references, then the image nothing refers to any more, then the layers no image names. */
#include "runtime/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/reference.h"

static int layer_digest(struct image_store *s, const char *name, char **ret)
{
	_cleanup_(freep) char *path = path_join("layers/%s.json", name), *text = NULL;
	_cleanup_(json_decrefp) json_t *obj = NULL;
	size_t len = 0;

	if (!path || fs_read_file(s->fd, path, 4096, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &obj, NULL) < 0 ||
	    !digest_is_valid(json_get_string(obj, "digest", "")))
		return -EBADMSG;
	return strdup_to(ret, json_get_string(obj, "digest", NULL));
}

/* A layer that a running pull counts on is locked and stays; the pull's image then refers to it. */
static int remove_layer_if_unused(struct image_store *s, const char *name, struct err *err)
{
	_cleanup_(freep) char *digest = NULL;
	_cleanup_(closep) int lock = -EBADF;
	int k;

	if (layer_digest(s, name, &digest) == 0) {
		k = store_lock(s, &lock, STORE_LOCK_USE, digest, true, false, err);
		if (k != 0)
			return k < 0 ? k : 0;
	}
	k = store_layer_is_named(s, name, err);
	return k != 0 ? MIN(k, 0) : store_discard_layer(s, name, err);
}

struct layer_set {
	struct image_store *store;
	json_t *names; /* an object of them */
};

static int add_layers_of(const char *id, void *userdata, struct err *err)
{
	struct layer_set *set = userdata;
	_cleanup_(json_decrefp) json_t *record = NULL;
	const json_t *layers;

	if (store_get_record(set->store, id, &record, NULL) != 0)
		return 0;
	layers = json_object_get(record, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++)
		if (json_object_set_new(set->names, json_string_value(json_array_get(layers, i)),
					json_true()) < 0)
			return err_set(err, ENOMEM, "look for unused layers");
	return 0;
}

/* Removes every layer that no image names: those of the image just removed, and those of pulls that
 * never came to their end. */
static int sweep_layers(struct image_store *s, struct err *err)
{
	_cleanup_(json_decrefp) json_t *names = json_object();
	struct layer_set set = { s, names };
	_cleanup_(closedirp) DIR *d = NULL;
	int k = names ? store_each_image(s, add_layers_of, &set, err)
		      : err_set(err, ENOMEM, "look for unused layers");
	int fd = openat(s->fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		(void) safe_close(fd);
	while (k == 0 && d && (e = readdir(d)))
		if (e->d_name[0] != '.' && strlen(e->d_name) == STORE_LAYER_NAME_MAX - 1 &&
		    !json_object_get(names, e->d_name))
			k = remove_layer_if_unused(s, e->d_name, err);
	return k;
}

struct pin_search {
	const char *id;
	char *name; /* owned; of a pin that holds it */
};

static int search_pin(const char *name, const char *id, void *userdata, struct err *err)
{
	struct pin_search *q = userdata;

	if (strcmp(id, q->id) == 0 && strdup_to(&q->name, name) < 0)
		return err_set(err, ENOMEM, "look up pins");
	return 0;
}

static int refuse_pinned(struct image_store *s, const char *id, struct err *err)
{
	struct pin_search q = { .id = id };
	int k = image_store_list_pins(s, search_pin, &q, err);

	if (k == 0 && q.name)
		k = err_set(err, EBUSY, "image %.19s is in use by '%s'", id, q.name);
	free(q.name);
	return k;
}

struct removal {
	struct image_store *store;
	const char *id;
	const char *repository; /* "docker.io/library/nginx", or NULL: every reference goes */
	char **refs;            /* of the image: what is to go */
	bool kept;              /* another reference keeps the image */
	bool tagged;            /* another tag of the repository keeps its digests */
	void (*on_removed)(const char *what, void *userdata);
	void *userdata;
};

static void tell(struct removal *r, const char *verb, const char *what)
{
	_cleanup_(freep) char *line = path_join("%s: %s", verb, what);

	if (r->on_removed && line)
		r->on_removed(line, r->userdata);
}

static int delete_image(struct removal *r, struct err *err)
{
	_cleanup_(json_decrefp) json_t *record = NULL;
	char path[128];
	int k = store_get_record(r->store, r->id, &record, NULL);

	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", r->id + 7);
	if (unlinkat(r->store->fd, path, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove image '%s'", r->id);
	if (k != 0)
		return sweep_layers(r->store, err); /* it was damaged: nobody can use it */
	k = refuse_pinned(r->store, r->id, err);    /* pinned between the check and the unlink? */
	if (k < 0) {
		(void) store_put_record(r->store, r->id, record, NULL);
		return k;
	}
	tell(r, "deleted", r->id);
	return sweep_layers(r->store, err);
}

/* Which references of the image go along, and whether one stays. */
static int weigh_ref(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct removal *r = userdata;
	size_t len = r->repository ? strlen(r->repository) : 0;
	bool same = r->repository && strncmp(ref->reference, r->repository, len) == 0;

	if (strcmp(ref->id, r->id) != 0 || strv_contains(r->refs, ref->reference))
		return 0;
	if (!r->repository)
		return strv_append(&r->refs, ref->reference) < 0
			       ? err_set(err, ENOMEM, "remove image")
			       : 0;
	if (!same || ref->reference[len] == ':')
		r->kept = true;
	if (same && ref->reference[len] == ':')
		r->tagged = true;
	return 0;
}

/*
 * The last tag of a repository takes the repository's
 * digests of the image along, as Docker does.
 */
static int add_digests(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct removal *r = userdata;
	size_t len = strlen(r->repository);

	if (strcmp(ref->id, r->id) != 0 || strncmp(ref->reference, r->repository, len) != 0 ||
	    ref->reference[len] != '@' || strv_contains(r->refs, ref->reference))
		return 0;
	if (strv_append(&r->refs, ref->reference) < 0)
		return err_set(err, ENOMEM, "remove image");
	return 0;
}

static int run_removal(struct removal *r, struct err *err)
{
	int k = store_each_ref(r->store, weigh_ref, r, err);

	if (k == 0 && r->repository && !r->tagged)
		k = store_each_ref(r->store, add_digests, r, err);
	if (k == 0 && !r->kept)
		k = refuse_pinned(r->store, r->id, err);
	for (size_t i = 0; k == 0 && i < strv_length(r->refs); i++) {
		k = store_remove_ref(r->store, r->refs[i], err);
		if (k == 0)
			tell(r, "untagged", r->refs[i]);
	}
	return k == 0 && !r->kept ? delete_image(r, err) : k;
}

static int remove_by_reference(struct removal *r, const char *text, struct err *err)
{
	_cleanup_(reference_done) struct reference ref = {};
	_cleanup_(store_ref_done) struct store_ref found = {};
	_cleanup_(freep) char *canonical = NULL, *repository = NULL;
	int k = reference_parse(text, &ref, err);

	if (k < 0)
		return k;
	canonical = reference_text(&ref);
	repository = path_join("%s/%s", ref.domain, ref.repository);
	if (!canonical || !repository)
		return err_set(err, ENOMEM, "remove image");
	k = store_get_ref(r->store, canonical, &found, err);
	if (k != 0)
		return k;
	if (strv_append(&r->refs, canonical) < 0)
		return err_set(err, ENOMEM, "remove image");
	r->id = found.id;
	r->repository = repository;
	return run_removal(r, err);
}

static int remove_by_id(struct removal *r, const char *id, struct err *err)
{
	char path[128];

	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", id + 7);
	if (faccessat(r->store->fd, path, F_OK, 0) < 0)
		return IMAGE_E_NOT_FOUND;
	r->id = id;
	return run_removal(r, err);
}

int store_remove(struct image_store *s, const char *reference,
		 void (*on_removed)(const char *what, void *userdata), void *userdata,
		 struct err *err)
{
	struct removal r = { .store = s, .on_removed = on_removed, .userdata = userdata };
	size_t hex = strspn(reference, "0123456789abcdef");
	_cleanup_(freep) char *id = NULL;
	int k = IMAGE_E_NOT_FOUND;

	if (digest_is_valid(reference)) {
		k = remove_by_id(&r, reference, err);
	} else {
		bool is_hex = hex >= 12 && hex <= 64 && reference[hex] == '\0';

		if (hex != 64 || !is_hex)
			k = remove_by_reference(&r, reference, err);
		if (k == IMAGE_E_NOT_FOUND && is_hex)
			k = store_complete_id(s, reference, &id, err);
		if (k == 0 && id)
			k = remove_by_id(&r, id, err);
	}
	(void) strv_free(r.refs);
	return k;
}
