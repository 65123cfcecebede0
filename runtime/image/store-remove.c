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

static int layer_digest(struct image_store *s, const char *name, char **ret, int64_t *ret_size)
{
	_cleanup_(freep) char *path = path_join("layers/%s.json", name), *text = NULL;
	_cleanup_(json_decrefp) json_t *obj = NULL;
	size_t len = 0;

	if (!path || fs_read_file(s->fd, path, 4096, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &obj, NULL) < 0 ||
	    !digest_is_valid(json_get_string(obj, "digest", "")))
		return -EBADMSG;
	*ret_size = json_get_int(obj, "size", 0);
	return strdup_to(ret, json_get_string(obj, "digest", NULL));
}

/* A layer that a running pull counts on is locked and stays; the pull's image then refers to it. */
static int remove_layer_if_unused(struct image_store *s, const char *name, struct err *err)
{
	_cleanup_(freep) char *digest = NULL;
	_cleanup_(closep) int lock = -EBADF;
	int64_t size = 0;
	int k;

	if (layer_digest(s, name, &digest, &size) == 0) {
		k = store_lock(s, &lock, STORE_LOCK_USE, digest, true, false, err);
		if (k != 0)
			return k < 0 ? k : 0;
	}
	k = store_layer_is_named(s, name, err);
	if (k != 0)
		return MIN(k, 0);
	k = store_discard_layer(s, name, err);
	s->freed_bytes += k == 0 ? size : 0;
	return k;
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

/* Marks of use of images that are gone. Whoever sets one now finds the record gone, too. */
static void sweep_marks(struct image_store *s)
{
	int fd = openat(s->fd, "used", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		(void) safe_close(fd);
	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *record = path_join("images/sha256/%s.json", e->d_name);

		if (e->d_name[0] != '.' && record && faccessat(s->fd, record, F_OK, 0) < 0 &&
		    errno == ENOENT)
			(void) unlinkat(dirfd(d), e->d_name, 0);
	}
}

/* What stands beside a layer that never came into its place. A running pull has it locked. */
static void sweep_strays(struct image_store *s)
{
	int fd = openat(s->fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		(void) safe_close(fd);
	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *digest = NULL, *outline = NULL;
		_cleanup_(closep) int lock = -EBADF;
		char name[STORE_LAYER_NAME_MAX] = "";
		int64_t size;

		if (strlen(e->d_name) != sizeof(name) + 4 ||
		    strcmp(e->d_name + sizeof(name) - 1, ".json"))
			continue;
		memcpy(name, e->d_name, sizeof(name) - 1);
		if (faccessat(dirfd(d), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		    layer_digest(s, name, &digest, &size) < 0 ||
		    store_lock(s, &lock, STORE_LOCK_USE, digest, true, false, NULL) != 0 ||
		    faccessat(dirfd(d), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		outline = path_join("%s.outline", name);
		if (outline)
			(void) unlinkat(dirfd(d), outline, 0);
		(void) unlinkat(dirfd(d), e->d_name, 0);
	}
}

/* Configurations whose image's removal was cut short. A pull that writes one has the image locked. */
static void sweep_documents(struct image_store *s)
{
	int fd = openat(s->fd, "images/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		(void) safe_close(fd);
	while (d && (e = readdir(d))) {
		_cleanup_(closep) int lock = -EBADF;
		const char *dot = strrchr(e->d_name, '.');
		char id[128], record[128];

		if (!dot || strcmp(dot, ".config") != 0 || dot - e->d_name != SHA256_HEX_MAX - 1)
			continue;
		(void) snprintf(id, sizeof(id), "sha256:%.64s", e->d_name);
		(void) snprintf(record, sizeof(record), "%.64s.json", e->d_name);
		if (faccessat(dirfd(d), record, F_OK, 0) < 0 && errno == ENOENT &&
		    store_lock(s, &lock, STORE_LOCK_USE, id, true, false, NULL) == 0 &&
		    faccessat(dirfd(d), record, F_OK, 0) < 0 && errno == ENOENT)
			(void) unlinkat(dirfd(d), e->d_name, 0);
	}
}

static int drop_unnamed(const char *name, void *userdata, struct err *err)
{
	struct layer_set *set = userdata;

	return json_object_get(set->names, name) ? 0
						 : remove_layer_if_unused(set->store, name, err);
}

/* The layers of the image just removed, and those of pulls that never came to their end. */
int store_sweep(struct image_store *s, struct err *err)
{
	_cleanup_(json_decrefp) json_t *names = json_object();
	struct layer_set set = { s, names };
	int k = names ? store_each_image(s, add_layers_of, &set, err)
		      : err_set(err, ENOMEM, "look for unused layers");

	if (k == 0)
		k = store_each_layer(s, drop_unnamed, &set, err);
	if (k == 0) {
		sweep_strays(s);
		sweep_marks(s);
		sweep_documents(s);
	}
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

struct removal {
	struct image_store *store;
	const char *id;
	const char *repository; /* "docker.io/library/nginx", or NULL: every reference goes */
	char **refs;            /* of the image: what is to go */
	bool kept;              /* another reference keeps the image */
	bool tagged;            /* another tag of the repository keeps its digests */
	bool if_unused;         /* since used_at */
	const struct timespec *used_at;
	void (*on_removed)(const char *what, void *userdata);
	void *userdata;
};

/* Whether a container got the image since the removal was decided on. */
static bool was_used(const struct removal *r)
{
	struct timespec now;
	int k = store_last_used(r->store, r->id, &now, NULL);

	if (k == IMAGE_E_NOT_FOUND)
		return r->used_at != NULL;
	return k < 0 || !r->used_at || now.tv_sec != r->used_at->tv_sec ||
	       now.tv_nsec != r->used_at->tv_nsec;
}

/* A pull holds this until its references stand. *ret_lock: holds new pulls of it off. */
static int refuse_pulled(const struct removal *r, int *ret_lock, struct err *err)
{
	int k = store_lock(r->store, ret_lock, STORE_LOCK_USE, r->id, true, false, err);

	return k > 0 ? err_set(err, EBUSY, "image %.19s is being pulled", r->id) : k;
}

static int refuse_busy(const struct removal *r, struct err *err)
{
	struct pin_search q = { .id = r->id };
	int k = image_store_list_pins(r->store, search_pin, &q, err);

	if (k == 0 && q.name)
		k = err_set(err, EBUSY, "image %.19s is in use by '%s'", r->id, q.name);
	if (k == 0 && r->if_unused && was_used(r))
		k = err_set(err, EBUSY, "image %.19s came into use", r->id);
	free(q.name);
	return k;
}

static void tell(struct removal *r, const char *verb, const char *what)
{
	_cleanup_(freep) char *line = path_join("%s: %s", verb, what);

	if (r->on_removed && line)
		r->on_removed(line, r->userdata);
}

/*
 * The record goes first, so that whoever wants the image from now on is told that it is gone; who
 * came just before shows in pins and marks, and then the record comes back. References last: with
 * none of them an image could not be found again.
 */
static int delete_image(struct removal *r, struct err *err)
{
	_cleanup_(json_decrefp) json_t *record = NULL;
	char path[128];
	int k = store_get_record(r->store, r->id, &record, NULL), busy = 0;

	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", r->id + 7);
	if (unlinkat(r->store->fd, path, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove image '%s'", r->id);
	if (k == 0) /* else it was damaged, and nobody could use it */
		busy = refuse_busy(r, err);
	if (busy < 0) {
		(void) store_put_record(r->store, r->id, record, NULL);
		return busy;
	}
	(void) snprintf(path, sizeof(path), "images/sha256/%s.config", r->id + 7);
	(void) unlinkat(r->store->fd, path, 0);
	return 0;
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
	_cleanup_(closep) int lock = -EBADF;
	int k = store_each_ref(r->store, weigh_ref, r, err);

	if (k == 0 && r->repository && !r->tagged)
		k = store_each_ref(r->store, add_digests, r, err);
	if (k == 0 && !r->kept)
		k = refuse_pulled(r, &lock, err);
	if (k == 0 && !r->kept)
		k = refuse_busy(r, err);
	if (k == 0 && !r->kept)
		k = delete_image(r, err);
	for (size_t i = 0; k == 0 && i < strv_length(r->refs); i++) {
		k = store_remove_ref(r->store, r->refs[i], err);
		if (k == 0)
			tell(r, "untagged", r->refs[i]);
	}
	if (k < 0 || r->kept)
		return k;
	tell(r, "deleted", r->id);
	return store_sweep(r->store, err);
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

int store_remove_unused(struct image_store *s, const char *id, const struct timespec *used_at,
			struct err *err)
{
	struct removal r = { .store = s, .if_unused = true, .used_at = used_at };
	int k = remove_by_id(&r, id, err);

	(void) strv_free(r.refs);
	return k;
}
