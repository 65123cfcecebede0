/* SPDX-License-Identifier: Apache-2.0 */
/* The read side: records, references, look-up, pins. */
#include "runtime/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/digest.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/reference.h"

struct image_store *image_store_close(struct image_store *store)
{
	if (!store)
		return NULL;
	store->fd = safe_close(store->fd);
	free(store->dir);
	free(store);
	return NULL;
}

static int make_folders(int fd, const char *dir, struct err *err)
{
	static const char *const folders[] = { "layers", "images", "images/sha256", "refs",
					       "pins",   "locks",  "tmp",           "used" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "image store '%s': make '%s'", dir,
					     folders[i]);
	return 0;
}

int image_store_open(const char *dir, struct image_store **ret, struct err *err)
{
	_cleanup_(image_store_closep) struct image_store *s = calloc(1, sizeof(*s));
	int k;

	if (!s)
		return err_set(err, ENOMEM, "open image store");
	s->fd = -EBADF;
	if (*dir != '/')
		return err_set(err, EINVAL, "image store '%s': not an absolute path", dir);
	s->dir = strdup(dir);
	if (!s->dir)
		return err_set(err, ENOMEM, "open image store");
	s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0 && errno == ENOENT) {
		k = fs_mkdir_p(dir, 0700, err);
		if (k < 0)
			return err_wrap(err, "image store");
		s->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (s->fd < 0)
		return err_set_errno(err, errno, "open image store '%s'", dir);
	if (faccessat(s->fd, "used", F_OK, 0) < 0) {
		k = make_folders(s->fd, dir, err);
		if (k < 0)
			return k;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

void store_ref_done(struct store_ref *ref)
{
	free(ref->reference);
	free(ref->digest);
	free(ref->id);
	free(ref->origin);
	*ref = (struct store_ref){};
}

/* Reads and parses a record file. Returns 0, IMAGE_E_NOT_FOUND or a negative errno. */
static int read_json(struct image_store *s, const char *path, json_t **ret, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int k = fs_read_file(s->fd, path, STORE_RECORD_MAX, &text, &len, &why);

	if (k == -ENOENT)
		return IMAGE_E_NOT_FOUND;
	if (k == 0 && json_parse(text, len, ret, &why) < 0)
		why.code = EBADMSG;
	if (why.code) {
		k = err_move(err, &why);
		return err ? err_wrap(err, "image store '%s': %s", s->dir, path) : k;
	}
	return 0;
}

static const struct json_field ref_fields[] = {
	{ "reference", json_decode_string, offsetof(struct store_ref, reference), true },
	{ "digest", json_decode_string, offsetof(struct store_ref, digest) },
	{ "id", json_decode_string, offsetof(struct store_ref, id), true },
	{ "origin", json_decode_string, offsetof(struct store_ref, origin), true },
	{ "at", json_decode_i64, offsetof(struct store_ref, at_ms) },
	{}
};

static int read_ref(struct image_store *s, const char *path, struct store_ref *ret, struct err *err)
{
	_cleanup_(store_ref_done) struct store_ref ref = {};
	_cleanup_(json_decrefp) json_t *obj = NULL;
	int k = read_json(s, path, &obj, err);

	if (k != 0)
		return k;
	if (json_decode(obj, ref_fields, &ref, err) < 0 || !digest_is_valid(ref.id))
		return err_set(err, EBADMSG, "image store '%s': %s is damaged", s->dir, path);
	*ret = ref;
	ref = (struct store_ref){};
	return 0;
}

static char *ref_path(const char *reference)
{
	char hex[SHA256_HEX_MAX];

	return path_join("refs/%s.json", sha256_hex(reference, strlen(reference), hex));
}

int store_get_ref(struct image_store *s, const char *reference, struct store_ref *ret,
		  struct err *err)
{
	_cleanup_(freep) char *path = ref_path(reference);

	return path ? read_ref(s, path, ret, err) : err_set(err, ENOMEM, "look up reference");
}

int store_put_ref(struct image_store *s, const struct store_ref *ref, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = json_pack(
		"{s:s, s:s*, s:s, s:s, s:I}", "reference", ref->reference, "digest", ref->digest,
		"id", ref->id, "origin", ref->origin, "at", (json_int_t) ref->at_ms);
	_cleanup_(freep) char *text = obj ? json_to_text(obj) : NULL;
	_cleanup_(freep) char *path = ref_path(ref->reference);

	if (!text || !path)
		return err_set(err, ENOMEM, "record reference");
	return fs_write_file(s->fd, path, text, strlen(text), 0600, err);
}

int store_remove_ref(struct image_store *s, const char *reference, struct err *err)
{
	_cleanup_(freep) char *path = ref_path(reference);

	if (!path)
		return err_set(err, ENOMEM, "remove reference");
	if (unlinkat(s->fd, path, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove reference '%s'", reference);
	return 0;
}

/* Calls @fn(name) for the files of a folder that end in @suffix, name cut. */
static int each_file(struct image_store *s, const char *folder, const char *suffix,
		     int (*fn)(struct image_store *, const char *, void *, struct err *),
		     void *userdata, struct err *err)
{
	_cleanup_(closedirp) DIR *d = NULL;
	int fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), k = 0;
	struct dirent *e;

	if (fd < 0)
		return err_set_errno(err, errno, "image store '%s': open %s", s->dir, folder);
	d = fdopendir(fd);
	if (!d) {
		(void) close(fd);
		return err_set(err, ENOMEM, "read '%s'", folder);
	}
	while (k == 0 && (e = readdir(d))) {
		size_t len = strlen(e->d_name), tail = strlen(suffix);

		if (e->d_name[0] == '.' || len <= tail || strcmp(e->d_name + len - tail, suffix))
			continue;
		e->d_name[len - tail] = '\0';
		k = fn(s, e->d_name, userdata, err);
	}
	return k;
}

struct ref_visit {
	store_ref_fn fn;
	void *userdata;
};

static int visit_ref(struct image_store *s, const char *name, void *userdata, struct err *err)
{
	struct ref_visit *v = userdata;
	_cleanup_(store_ref_done) struct store_ref ref = {};
	_cleanup_(freep) char *path = path_join("refs/%s.json", name);

	if (!path)
		return err_set(err, ENOMEM, "list references");
	if (read_ref(s, path, &ref, NULL) != 0)
		return 0; /* removed meanwhile, or damaged and so of no use */
	return v->fn(&ref, v->userdata, err);
}

int store_each_ref(struct image_store *s, store_ref_fn fn, void *userdata, struct err *err)
{
	struct ref_visit v = { fn, userdata };

	return each_file(s, "refs", ".json", visit_ref, &v, err);
}

struct id_visit {
	store_id_fn fn;
	void *userdata;
};

static int visit_id(struct image_store *s, const char *name, void *userdata, struct err *err)
{
	struct id_visit *v = userdata;
	_cleanup_(freep) char *id = path_join("sha256:%s", name);

	(void) s;
	if (!id)
		return err_set(err, ENOMEM, "list images");
	return digest_is_valid(id) ? v->fn(id, v->userdata, err) : 0;
}

int store_each_image(struct image_store *s, store_id_fn fn, void *userdata, struct err *err)
{
	struct id_visit v = { fn, userdata };

	return each_file(s, "images/sha256", ".json", visit_id, &v, err);
}

static int check_layers(struct image_store *s, const json_t *record)
{
	const json_t *layers = json_object_get(record, "layers");

	if (!json_is_array(layers))
		return -EBADMSG;
	for (size_t i = 0; i < json_array_size(layers); i++) {
		const char *name = json_string_value(json_array_get(layers, i));
		char path[64];

		if (!name || strlen(name) != STORE_LAYER_NAME_MAX - 1 || strchr(name, '/'))
			return -EBADMSG;
		(void) snprintf(path, sizeof(path), "layers/%s", name);
		if (faccessat(s->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return IMAGE_E_NOT_FOUND;
	}
	return 0;
}

int store_get_record(struct image_store *s, const char *id, json_t **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	char path[128];
	int k;

	if (!digest_is_valid(id))
		return err_set(err, EINVAL, "image id '%.100s': not sha256: and 64 digits", id);
	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", id + 7);
	k = read_json(s, path, &obj, err);
	if (k == 0)
		k = check_layers(s, obj);
	if (k < 0 && (!err || !err->code))
		return err_set(err, EBADMSG, "image store '%s': %s is damaged", s->dir, path);
	if (k == 0)
		*ret = TAKE_PTR(obj);
	return k;
}

int store_get_document(struct image_store *s, const char *id, char **ret, size_t *ret_len,
		       struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *text = NULL;
	char path[128], hex[SHA256_HEX_MAX];
	int k;

	(void) snprintf(path, sizeof(path), "images/sha256/%s.config", id + 7);
	k = fs_read_file(s->fd, path, STORE_DOCUMENT_MAX, &text, ret_len, &why);
	if (k < 0)
		return k == -ENOENT ? IMAGE_E_NOT_FOUND : err_move(err, &why);
	if (strcmp(sha256_hex(text, *ret_len, hex), id + 7) != 0)
		return err_set(err, EBADMSG, "the configuration has the digest sha256:%s", hex);
	*ret = TAKE_PTR(text);
	return 0;
}

struct layer_visit {
	store_layer_fn fn;
	void *userdata;
};

static int visit_layer(struct image_store *s, const char *name, void *userdata, struct err *err)
{
	struct layer_visit *v = userdata;

	(void) s;
	return strlen(name) == STORE_LAYER_NAME_MAX - 1 ? v->fn(name, v->userdata, err) : 0;
}

int store_each_layer(struct image_store *s, store_layer_fn fn, void *userdata, struct err *err)
{
	struct layer_visit v = { fn, userdata };

	return each_file(s, "layers", "", visit_layer, &v, err);
}

struct completion {
	const char *prefix;
	char *id;
	int n;
};

static int match_id(const char *id, void *userdata, struct err *err)
{
	struct completion *c = userdata;

	if (strncmp(id + 7, c->prefix, strlen(c->prefix)) != 0)
		return 0;
	c->n++;
	return strdup_to(&c->id, id) < 0 ? err_set(err, ENOMEM, "look up image") : 0;
}

int store_complete_id(struct image_store *s, const char *prefix, char **ret, struct err *err)
{
	struct completion c = { .prefix = prefix };
	int k = store_each_image(s, match_id, &c, err);

	if (k == 0 && c.n > 1)
		k = err_set(err, EINVAL, "image id '%s' is ambiguous", prefix);
	if (k == 0 && c.n == 0)
		k = IMAGE_E_NOT_FOUND;
	if (k == 0)
		*ret = TAKE_PTR(c.id);
	free(c.id);
	return k;
}

static int fill_layers(struct image_store *s, const json_t *record, struct image *image)
{
	const json_t *layers = json_object_get(record, "layers");
	size_t n = json_array_size(layers);

	image->layers = calloc(n + 1, sizeof(*image->layers));
	for (size_t i = 0; image->layers && i < n; i++) {
		image->layers[i] = path_join("%s/layers/%s", s->dir,
					     json_string_value(json_array_get(layers, i)));
		if (!image->layers[i])
			return -ENOMEM;
	}
	return image->layers ? 0 : -ENOMEM;
}

/* @ref is NULL when the image was asked for by its id. */
static int make_image(struct image_store *s, const char *id, const struct store_ref *ref,
		      struct image **ret, struct err *err)
{
	_cleanup_(image_freep) struct image *image = calloc(1, sizeof(*image));
	_cleanup_(json_decrefp) json_t *record = NULL;
	int k = store_get_record(s, id, &record, err);

	if (k != 0)
		return k;
	if (!image || fill_layers(s, record, image) < 0 ||
	    strdup_to(&image->reference, ref ? ref->reference : id) < 0 ||
	    strdup_to(&image->digest, ref ? ref->digest : NULL) < 0 ||
	    strdup_to(&image->id, id) < 0 ||
	    strdup_to(&image->os, json_get_string(record, "os", NULL)) < 0 ||
	    strdup_to(&image->architecture, json_get_string(record, "architecture", NULL)) < 0)
		return err_set(err, ENOMEM, "look up image");
	image->size_bytes = json_get_int(record, "size", 0);
	image->pulled_at_ms = ref ? ref->at_ms : 0;
	k = image_config_decode(json_object_get(record, "config"), &image->config, err);
	if (k < 0)
		return err_wrap(err, "image '%s'", id);
	*ret = TAKE_PTR(image);
	return 0;
}

static int lookup_reference(struct image_store *s, const char *text, struct image **ret,
			    struct err *err)
{
	_cleanup_(reference_done) struct reference r = {};
	_cleanup_(store_ref_done) struct store_ref ref = {};
	_cleanup_(freep) char *canonical = NULL;
	int k = reference_parse(text, &r, err);

	if (k < 0)
		return k;
	canonical = reference_text(&r);
	if (!canonical)
		return err_set(err, ENOMEM, "look up image");
	k = store_get_ref(s, canonical, &ref, err);
	return k != 0 ? k : make_image(s, ref.id, &ref, ret, err);
}

int image_store_lookup(struct image_store *store, const char *reference, struct image **ret,
		       struct err *err)
{
	_cleanup_(freep) char *id = NULL;
	size_t hex = strspn(reference, "0123456789abcdef");
	bool looks_like_id = hex >= 12 && hex <= 64 && reference[hex] == '\0';
	int k = IMAGE_E_NOT_FOUND;

	if (digest_is_valid(reference))
		return make_image(store, reference, NULL, ret, err);
	if (hex != 64 || !looks_like_id)
		k = lookup_reference(store, reference, ret, err);
	if (k != IMAGE_E_NOT_FOUND || !looks_like_id)
		return k;
	k = store_complete_id(store, reference, &id, err);
	return k != 0 ? k : make_image(store, id, NULL, ret, err);
}

struct listing {
	struct image_store *store;
	image_fn fn;
	void *userdata;
	char **seen; /* ids */
};

static int list_ref(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct listing *l = userdata;
	_cleanup_(image_freep) struct image *image = NULL;

	if (make_image(l->store, ref->id, ref, &image, NULL) != 0)
		return 0;
	if (!strv_contains(l->seen, ref->id) && strv_append(&l->seen, ref->id) < 0)
		return err_set(err, ENOMEM, "list images");
	return l->fn(image, l->userdata, err);
}

static int list_unreferenced(const char *id, void *userdata, struct err *err)
{
	struct listing *l = userdata;
	_cleanup_(image_freep) struct image *image = NULL;

	if (strv_contains(l->seen, id) || make_image(l->store, id, NULL, &image, NULL) != 0)
		return 0;
	return l->fn(image, l->userdata, err);
}

int image_store_list(struct image_store *store, image_fn on_image, void *userdata, struct err *err)
{
	struct listing l = { store, on_image, userdata, NULL };
	int k = store_each_ref(store, list_ref, &l, err);

	if (k == 0)
		k = store_each_image(store, list_unreferenced, &l, err);
	(void) strv_free(l.seen);
	return k;
}

static bool pin_name_is_valid(const char *name)
{
	size_t n =
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return n > 0 && n <= 200 && name[n] == '\0' && *name != '.';
}

static bool has_record(struct image_store *store, const char *id)
{
	char path[128];

	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", id + 7);
	return faccessat(store->fd, path, F_OK, 0) == 0;
}

static int touch_used(struct image_store *store, const char *id, int flags)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[128];

	(void) snprintf(path, sizeof(path), "used/%s", id + 7);
	fd = openat(store->fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	return fd < 0 || futimens(fd, NULL) < 0 ? -errno : 0;
}

int store_last_used(struct image_store *s, const char *id, struct timespec *ret, struct err *err)
{
	struct stat st;
	char path[128];

	(void) snprintf(path, sizeof(path), "used/%s", id + 7);
	if (fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			       ? IMAGE_E_NOT_FOUND
			       : err_set_errno(err, errno, "image store '%s': %s", s->dir, path);
	*ret = st.st_mtim;
	return 0;
}

/* The mark is made before the record is looked for; a removal looks the other way round. */
int image_store_use(struct image_store *store, const char *id, struct err *err)
{
	int k;

	if (!digest_is_valid(id))
		return err_set(err, EINVAL, "image id '%.100s': not sha256: and 64 digits", id);
	k = touch_used(store, id, O_CREAT);
	if (k < 0)
		return err_set_errno(err, -k, "image store '%s': note the use of an image",
				     store->dir);
	return has_record(store, id) ? 0 : IMAGE_E_NOT_FOUND;
}

/*
 * The pin is written before the record is looked at again; a removal takes the record away before
 * it looks at the pins. So at least one of the two notices the other.
 */
int image_store_pin(struct image_store *store, const char *name, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k;

	if (!pin_name_is_valid(name))
		return err_set(err, EINVAL, "pin name '%.64s': not 1 to 200 of A-Za-z0-9_.-", name);
	if (!digest_is_valid(id))
		return err_set(err, EINVAL, "image id '%.100s': not sha256: and 64 digits", id);
	path = path_join("pins/%s", name);
	if (!path)
		return err_set(err, ENOMEM, "pin image");
	k = fs_write_file_volatile(store->fd, path, id, strlen(id), 0600, err);
	if (k < 0)
		return k;
	(void) touch_used(store, id, O_CREAT);
	if (has_record(store, id))
		return 0;
	(void) unlinkat(store->fd, path, 0);
	return IMAGE_E_NOT_FOUND;
}

int image_store_unpin(struct image_store *store, const char *name, struct err *err)
{
	_cleanup_(freep) char *path = path_join("pins/%s", name), *id = NULL;

	if (!path)
		return err_set(err, ENOMEM, "unpin image");
	if (!pin_name_is_valid(name))
		return err_set(err, EINVAL, "pin name '%.64s': not 1 to 200 of A-Za-z0-9_.-", name);
	if (fs_read_file(store->fd, path, 128, &id, NULL, NULL) == 0 && digest_is_valid(id))
		(void) touch_used(store, id, 0);
	if (unlinkat(store->fd, path, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "unpin '%s'", name);
	return 0;
}

struct pin_visit {
	image_pin_fn fn;
	void *userdata;
};

static int visit_pin(struct image_store *s, const char *name, void *userdata, struct err *err)
{
	struct pin_visit *v = userdata;
	_cleanup_(freep) char *path = path_join("pins/%s", name), *id = NULL;

	if (!path)
		return err_set(err, ENOMEM, "list pins");
	if (!pin_name_is_valid(name) || strstr(name, ".tmp-") ||
	    fs_read_file(s->fd, path, 128, &id, NULL, NULL) < 0 || !digest_is_valid(id))
		return 0; /* being written, or gone meanwhile */
	return v->fn(name, id, v->userdata, err);
}

int image_store_list_pins(struct image_store *store, image_pin_fn on_pin, void *userdata,
			  struct err *err)
{
	struct pin_visit v = { on_pin, userdata };

	return each_file(store, "pins", "", visit_pin, &v, err);
}
