/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/fetch.h"
#include "runtime/image/reference.h"

enum { CHUNK = 256 * 1024, IMAGES_MAX = 1000 };

struct load {
	const struct load_params *p;
	int dir_fd; /* of the layout */
	struct platform platform;
	struct layer_env env;
	char *tmp; /* owned: an archive is taken apart here */
	int tmp_fd;
	int use_lock; /* of the images, until their references stand */
	size_t loaded;

	/* docker save: the files of the layers, parallel to the blobs of the image at hand. */
	char **layer_files;
	const struct descriptor *blobs;
};

static void load_done(struct load *l)
{
	platform_done(&l->platform);
	(void) unpacker_stop(l->env.unpacker);
	(void) safe_close(l->env.fetch_locks);
	(void) safe_close(l->dir_fd);
	if (l->tmp)
		(void) fs_remove_tree(l->p->store->fd, l->tmp, NULL);
	free(l->tmp);
	(void) safe_close(l->tmp_fd);
	(void) safe_close(l->use_lock);
}

/* Names in a layout are the writer's: they stay beneath it, whatever its symbolic links say. */
static int open_member(const struct load *l, const char *name, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd = (int) syscall(SYS_openat2, l->dir_fd, name, &how, sizeof(how));
	struct stat st;

	if (fd < 0)
		return err_set_errno(err, errno, "'%.200s' of '%s'", name, l->p->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void) close(fd);
		return err_set(err, EPROTO, "'%.200s' of '%s' is not a file", name, l->p->path);
	}
	return fd;
}

static int read_member(const struct load *l, const char *name, size_t max, struct buf *ret,
		       struct err *err)
{
	_cleanup_(closep) int fd = open_member(l, name, err);
	char chunk[4096];
	ssize_t n;

	if (fd < 0)
		return fd;
	ret->max_bytes = max;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (!buf_append(ret, chunk, (size_t) n))
			return err_set(err, EFBIG, "'%.200s' is larger than %zu bytes", name, max);
	return n < 0 ? err_set_errno(err, errno, "read '%.200s'", name) : 0;
}

static bool has_member(const struct load *l, const char *name)
{
	_cleanup_(closep) int fd = open_member(l, name, NULL);

	return fd >= 0;
}

static char *blob_name(const char *digest)
{
	return path_join("blobs/sha256/%s", digest + 7);
}

/* A blob by its digest, checked. */
static int read_blob(const struct load *l, const char *digest, size_t max, struct buf *ret,
		     struct err *err)
{
	_cleanup_(freep) char *name = blob_name(digest);
	char hex[SHA256_HEX_MAX];
	int k = name ? read_member(l, name, max, ret, err) : err_set(err, ENOMEM, "read blob");

	if (k < 0)
		return k;
	if (strcmp(sha256_hex(buf_str(ret), ret->len, hex), digest + 7) != 0)
		return err_set(err, EBADMSG, "'%s': the content has the digest sha256:%s: refused",
			       name, hex);
	return 0;
}

static int wait_for_unpacker(struct layer *layer, struct err *err)
{
	int k = 0;

	while (k == 0 && layer->pending.len > 0) {
		struct pollfd p[] = { { layer->job.input_fd, POLLOUT, 0 },
				      { layer->job.apply_fd, POLLIN, 0 } };

		(void) poll(p, 2, 1000);
		k = layer_advance(layer, err);
	}
	return k;
}

/* Gives one layer's file to the unpacker, as fast as it takes it. */
static int feed_layer(struct layer *layer, void *userdata, struct err *err)
{
	const struct load *l = userdata;
	_cleanup_(freep) char *name = l->layer_files
					      ? strdup(l->layer_files[layer->blob - l->blobs])
					      : blob_name(layer->blob->digest);
	_cleanup_(freep) char *chunk = malloc(CHUNK);
	_cleanup_(closep) int fd = -EBADF;
	ssize_t n = 1;
	int k = 0;

	if (!name || !chunk)
		return err_set(err, ENOMEM, "load layer");
	fd = open_member(l, name, err);
	if (fd < 0)
		return fd;
	while (k == 0 && n > 0) {
		n = read(fd, chunk, CHUNK);
		if (fetch_is_interrupted())
			return err_set(err, ECANCELED, "the load was cancelled");
		if (n < 0)
			return err_set_errno(err, errno, "read '%s'", name);
		if (n > 0)
			k = layer_feed(layer, chunk, (size_t) n, err);
		if (k == 0)
			k = wait_for_unpacker(layer, err);
	}
	return k < 0 ? k : layer_fed(layer, err);
}

/* Digest may be NULL: docker save knows none. */
static int record_name(struct load *l, const char *name, const char *digest, const char *id,
		       struct err *err)
{
	_cleanup_(reference_done) struct reference r = {};
	_cleanup_(freep) char *canonical = NULL;
	struct store_ref ref = { .digest = (char *) digest,
				 .id = (char *) id,
				 .origin = (char *) "load",
				 .at_ms = clock_real_ms() };
	int k;

	l->loaded++;
	name = l->p->name ? l->p->name : name;
	if (!name) {
		l->p->on_loaded(id, id, l->p->userdata);
		return 0;
	}
	k = reference_parse(name, &r, err);
	if (k < 0)
		return k;
	canonical = reference_text(&r);
	if (!canonical)
		return err_set(err, ENOMEM, "record reference");
	ref.reference = canonical;
	k = store_put_ref(l->p->store, &ref, err);
	if (k == 0)
		l->p->on_loaded(canonical, id, l->p->userdata);
	return k;
}

static int take_layers(struct load *l, const struct descriptor *blobs, size_t n,
		       const struct image_document *doc, const char *id, struct err *err)
{
	const struct fetch_layers f = { .env = &l->env,
					.blobs = blobs,
					.n_blobs = n,
					.doc = doc,
					.id = id,
					.report = l->p->report,
					.feed = feed_layer,
					.userdata = l };

	int k = store_lock(l->p->store, &l->use_lock, STORE_LOCK_USE, id, false, true, err);

	l->blobs = blobs;
	return k < 0 ? k : fetch_layers(&f, err);
}

static int read_entry(void *userdata, const struct descriptor *d, struct manifest *ret,
		      struct err *err)
{
	_cleanup_(buf_done) struct buf b = {};
	int k = read_blob(userdata, d->digest, MANIFEST_BYTES_MAX, &b, err);

	return k < 0 ? k : manifest_decode(d->media_type, buf_str(&b), b.len, ret, err);
}

/* The manifest at @digest, or the one for our platform when that is an index. */
static int read_manifest(struct load *l, const char *media_type, const char *digest,
			 struct manifest *ret, struct err *err)
{
	const struct descriptor top = { .media_type = (char *) media_type,
					.digest = (char *) digest };
	int k = read_entry(l, &top, ret, err);

	if (k == 0)
		k = manifest_follow(ret, &l->platform, read_entry, l, err);
	if (k == MANIFEST_E_NONE)
		return err_set(err, ENOENT, "'%s' has no image for %s/%s", l->p->path,
			       l->platform.os, l->platform.architecture);
	return k;
}

static int load_oci_image(struct load *l, const char *media_type, const char *digest,
			  const char *name, struct err *err)
{
	_cleanup_(image_document_done) struct image_document doc = {};
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(buf_done) struct buf b = {};
	int k = read_manifest(l, media_type, digest, &m, err);

	if (k == 0)
		k = read_blob(l, m.config.digest, MANIFEST_CONFIG_BYTES_MAX, &b, err);
	if (k == 0)
		k = image_document_decode(buf_str(&b), b.len, &doc, err);
	if (k == 0)
		k = take_layers(l, m.items, m.n_items, &doc, m.config.digest, err);
	return k < 0 ? k : record_name(l, name, digest, m.config.digest, err);
}

/* containerd and Docker write the whole name; the standard's annotation may be a bare tag, which
 * names nothing by itself. */
static const char *layout_name(const json_t *entry)
{
	const json_t *notes = json_object_get(entry, "annotations");
	const char *name = json_get_string(notes, "io.containerd.image.name", NULL);
	const char *standard = json_get_string(notes, "org.opencontainers.image.ref.name", NULL);

	return name ? name : standard && strpbrk(standard, ":/") ? standard : NULL;
}

/* A name is for one image. */
static int check_name(const struct load *l, size_t n, struct err *err)
{
	return l->p->name && n != 1
		       ? err_set(err, EINVAL, "--name names one image, and here are %zu", n)
		       : 0;
}

static int load_oci(struct load *l, struct err *err)
{
	_cleanup_(buf_done) struct buf b = {};
	_cleanup_(json_decrefp) json_t *index = NULL;
	const json_t *list;
	int k = read_member(l, "index.json", MANIFEST_BYTES_MAX, &b, err);

	if (k == 0)
		k = json_parse(buf_str(&b), b.len, &index, err);
	list = json_object_get(index, "manifests");
	if (k == 0 && (!json_is_array(list) || json_array_size(list) > IMAGES_MAX))
		k = err_set(err, EPROTO, "manifests: is not an array of at most %d", IMAGES_MAX);
	if (k == 0)
		k = check_name(l, json_array_size(list), err);
	for (size_t i = 0; k == 0 && i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *digest = json_get_string(entry, "digest", "");

		if (!digest_is_valid(digest))
			k = err_set(err, EPROTO, "manifests[%zu]: digest: is not a sha256 digest",
				    i);
		else
			k = load_oci_image(l, json_get_string(entry, "mediaType", NULL), digest,
					   layout_name(entry), err);
	}
	return k < 0 ? err_wrap(err, "index.json") : 0;
}

/* What docker save leaves unsaid: the size and the digest of a layer's file. It is plain tar (or
 * compressed by other tools), and the diff_id vouches for it. */
static int describe_file(const struct load *l, const char *name, struct descriptor *d,
			 struct err *err)
{
	_cleanup_(closep) int fd = open_member(l, name, err);
	_cleanup_(freep) char *chunk = malloc(CHUNK);
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t md[SHA256_BYTES];
	char hex[SHA256_HEX_MAX];
	ssize_t n = 1;
	int k = fd < 0 ? fd : 0;

	if (k == 0 && (!chunk || !hash || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1))
		k = err_set(err, ENOMEM, "hash layer");
	while (k == 0 && n > 0) {
		n = read(fd, chunk, CHUNK);
		if (n < 0)
			k = err_set_errno(err, errno, "read '%.200s'", name);
		else if (n > 0 && EVP_DigestUpdate(hash, chunk, (size_t) n) != 1)
			k = err_set(err, EIO, "hash layer");
		d->size += MAX(n, 0);
	}
	if (k == 0 && EVP_DigestFinal_ex(hash, md, NULL) != 1)
		k = err_set(err, EIO, "hash layer");
	EVP_MD_CTX_free(hash);
	if (k < 0)
		return k;
	d->digest = path_join("sha256:%s", hex_encode(md, sizeof(md), hex));
	return d->digest ? 0 : err_set(err, ENOMEM, "hash layer");
}

struct docker_entry {
	char *config;
	char **tags, **layers;
};

static void docker_entry_done(struct docker_entry *e)
{
	free(e->config);
	(void) strv_free(e->tags);
	(void) strv_free(e->layers);
}

static const struct json_field docker_fields[] = {
	{ "Config", json_decode_string, offsetof(struct docker_entry, config), true },
	{ "RepoTags", json_decode_strv, offsetof(struct docker_entry, tags) },
	{ "Layers", json_decode_strv, offsetof(struct docker_entry, layers), true },
	{}
};

static int describe_layers(const struct load *l, const struct docker_entry *e, struct manifest *ret,
			   struct err *err)
{
	size_t n = strv_length(e->layers);
	int k = 0;

	if (n > MANIFEST_LAYERS_MAX)
		return err_set(err, EPROTO, "Layers: has more than %d elements",
			       MANIFEST_LAYERS_MAX);
	ret->items = calloc(n + 1, sizeof(*ret->items));
	if (!ret->items)
		return err_set(err, ENOMEM, "load image");
	for (; ret->n_items < n && k == 0; ret->n_items++)
		k = describe_file(l, e->layers[ret->n_items], &ret->items[ret->n_items], err);
	return k;
}

static int load_docker_image(struct load *l, const json_t *entry, struct err *err)
{
	_cleanup_(docker_entry_done) struct docker_entry e = {};
	_cleanup_(image_document_done) struct image_document doc = {};
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(buf_done) struct buf b = {};
	char hex[SHA256_HEX_MAX], id[7 + SHA256_HEX_MAX] = "sha256:";
	int k = json_decode(entry, docker_fields, &e, err);

	if (k == 0)
		k = read_member(l, e.config, MANIFEST_CONFIG_BYTES_MAX, &b, err);
	if (k == 0)
		k = image_document_decode(buf_str(&b), b.len, &doc, err);
	if (k == 0)
		k = describe_layers(l, &e, &m, err);
	if (k < 0)
		return k;
	memcpy(id + 7, sha256_hex(buf_str(&b), b.len, hex), SHA256_HEX_MAX);
	l->layer_files = e.layers;
	k = take_layers(l, m.items, m.n_items, &doc, id, err);
	l->layer_files = NULL;
	if (k == 0 && strv_length(e.tags) == 0)
		k = record_name(l, NULL, NULL, id, err);
	for (char **tag = e.tags; k == 0 && tag && *tag && !(l->p->name && tag > e.tags); tag++)
		k = record_name(l, *tag, NULL, id, err);
	return k;
}

static int load_docker(struct load *l, struct err *err)
{
	_cleanup_(buf_done) struct buf b = {};
	_cleanup_(json_decrefp) json_t *list = NULL;
	int k = read_member(l, "manifest.json", MANIFEST_BYTES_MAX, &b, err);

	if (k == 0)
		k = json_parse(buf_str(&b), b.len, &list, err);
	if (k == 0 && (!json_is_array(list) || json_array_size(list) > IMAGES_MAX))
		k = err_set(err, EPROTO, "is not an array of at most %d images", IMAGES_MAX);
	if (k == 0)
		k = check_name(l, json_array_size(list), err);
	for (size_t i = 0; k == 0 && i < json_array_size(list); i++)
		k = load_docker_image(l, json_array_get(list, i), err);
	return k < 0 ? err_wrap(err, "manifest.json") : 0;
}

/* Copies the file into the pipe of the unpacker. */
static int pour(int fd, struct unpack_job *job, struct err *err)
{
	_cleanup_(freep) char *chunk = malloc(CHUNK);
	ssize_t n, done;

	if (!chunk)
		return err_set(err, ENOMEM, "unpack archive");
	while ((n = read(fd, chunk, CHUNK)) > 0) {
		for (ssize_t at = 0; at < n; at += MAX(done, 0)) {
			struct pollfd p = { job->input_fd, POLLOUT, 0 };

			done = write(job->input_fd, chunk + at, (size_t) (n - at));
			if (done < 0 && errno == EPIPE)
				return 0; /* the unpacker says why */
			if (done < 0 && errno == EAGAIN)
				(void) poll(&p, 1, 1000);
			else if (done < 0 && errno != EINTR)
				return err_set_errno(err, errno, "unpack archive");
		}
	}
	return n < 0 ? err_set_errno(err, errno, "read archive") : 0;
}

static int unpack_into(struct load *l, int fd, int dir_fd, struct err *err)
{
	const struct apply_limits limits = { .mode = APPLY_PLAIN,
					     .max_bytes = 256ULL << 30,
					     .max_entries = 100000 };
	struct unpack_job job = UNPACK_JOB_INIT;
	struct unpack_result result = {};
	int k = unpacker_start(l->p->unpacker_program, &l->env.unpacker, err);

	if (k == 0)
		k = unpacker_begin(l->env.unpacker, dir_fd, &limits, &job, err);
	if (k == 0)
		k = pour(fd, &job, err);
	job.input_fd = safe_close(job.input_fd);
	while (k == 0 && !unpack_job_advance(&job)) {
		struct pollfd p[] = { { job.inflate_fd, POLLIN, 0 }, { job.apply_fd, POLLIN, 0 } };

		(void) poll(p, 2, 1000);
	}
	if (k == 0)
		k = unpack_job_finish(&job, &result, err);
	free(result.implied);
	unpack_job_done(&job);
	return k;
}

/* An archive is taken apart, in the sandbox, into a work directory of the store. */
static int open_archive(struct load *l, int fd, struct err *err)
{
	_cleanup_(closep) int dir = -EBADF;
	int k = store_make_tmp(l->p->store, &l->tmp, &l->tmp_fd, err);

	if (k < 0)
		return k;
	if (mkdirat(l->tmp_fd, "box", 0700) < 0)
		return err_set_errno(err, errno, "make work directory");
	dir = openat(l->tmp_fd, "box", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_set_errno(err, errno, "open work directory");
	k = unpack_into(l, fd, dir, err);
	if (k < 0)
		return err_wrap(err, "'%s'", l->p->path);
	l->dir_fd = TAKE_FD(dir);
	return 0;
}

static int open_source(struct load *l, struct err *err)
{
	_cleanup_(closep) int fd = strcmp(l->p->path, "-") == 0
					   ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					   : open(l->p->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "open '%s'", l->p->path);
	if (!S_ISDIR(st.st_mode))
		return open_archive(l, fd, err);
	l->dir_fd = TAKE_FD(fd);
	return 0;
}

int load_images(const struct load_params *p, struct err *err)
{
	_cleanup_(load_done) struct load l = {
		.p = p,
		.dir_fd = -EBADF,
		.tmp_fd = -EBADF,
		.use_lock = -EBADF,
		.env = { .store = p->store,
			 .unpacker_program = p->unpacker_program,
			 .fetch_locks = -EBADF },
	};
	int k = p->platform ? platform_parse(p->platform, &l.platform, err)
			    : platform_host(&l.platform, err);

	store_collect(p->store);
	if (k == 0)
		k = open_source(&l, err);
	if (k < 0)
		return k;
	/* Recent Docker writes both into one archive; its own list has the names. */
	if (has_member(&l, "manifest.json"))
		k = load_docker(&l, err);
	else if (has_member(&l, "index.json"))
		k = load_oci(&l, err);
	else
		k = err_set(err, EINVAL,
			    "'%s' is no image: neither an OCI layout (index.json) nor a docker "
			    "archive (manifest.json)",
			    p->path);
	if (k == 0 && l.loaded == 0)
		k = err_set(err, EINVAL, "'%s' holds no image", p->path);
	return k;
}
