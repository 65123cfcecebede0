/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-image save: an OCI layout, as a directory or as an archive that "docker load" takes as well.
 * Layers are put together again byte for byte, so ids and digests stay what they are; they are not
 * compressed, as with docker save.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"
#include "runtime/image/command.h"
#include "runtime/image/manifest.h"
#include "runtime/image/reference.h"
#include "runtime/image/store.h"
#include "runtime/unpack/outline.h"

enum { BLOCK = 512 };

struct save {
	struct image_store *store;
	int fd; /* the archive; or the directory */
	bool is_dir;
	char **done;            /* owned: digests that are in it */
	json_t *index, *docker; /* owned: what index.json and manifest.json list */
};

/* ---- files of the archive ---- */

static int fill_header(char h[BLOCK], const char *name, int64_t size)
{
	unsigned int sum = 0;

	memset(h, 0, BLOCK);
	if (strlen(name) > 100)
		return -ENAMETOOLONG;
	memcpy(h, name, strlen(name));
	(void) snprintf(h + 100, 8, "%07o", 0644);
	(void) snprintf(h + 108, 8, "%07o", 0);
	(void) snprintf(h + 116, 8, "%07o", 0);
	if (size < 1LL << 33) {
		(void) snprintf(h + 124, 12, "%011llo", (unsigned long long) size);
	} else { /* base 256 */
		h[124] = (char) 0x80;
		for (int i = 0; i < 8; i++)
			h[128 + i] = (char) (size >> (8 * (7 - i)));
	}
	(void) snprintf(h + 136, 12, "%011o", 0);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char) h[i];
	(void) snprintf(h + 148, 8, "%06o", sum);
	return 0;
}

/* *ret: where to write the content. Ends with end_file(). */
static int begin_file(struct save *s, const char *name, int64_t size, int *ret, struct err *err)
{
	char h[BLOCK];
	int k;

	if (s->is_dir) {
		*ret = openat(s->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		return *ret < 0 ? err_set_errno(err, errno, "make '%s'", name) : 0;
	}
	k = fill_header(h, name, size);
	if (k == 0)
		k = fs_write_all(s->fd, h, sizeof(h));
	*ret = s->fd;
	return k < 0 ? err_set_errno(err, -k, "write '%s'", name) : 0;
}

static int end_file(struct save *s, int fd, int64_t size, struct err *err)
{
	static const char zeros[BLOCK];
	int k;

	if (s->is_dir)
		return close(fd) < 0 ? err_set_errno(err, errno, "write") : 0;
	k = fs_write_all(s->fd, zeros, (size_t) (-size & (BLOCK - 1)));
	return k < 0 ? err_set_errno(err, -k, "write") : 0;
}

static int put_file(struct save *s, const char *name, const char *data, size_t len, struct err *err)
{
	int fd, k = begin_file(s, name, (int64_t) len, &fd, err);

	if (k < 0)
		return k;
	k = fs_write_all(fd, data, len);
	if (k < 0)
		(void) err_set_errno(err, -k, "write '%s'", name);
	if (k < 0 && s->is_dir)
		(void) close(fd);
	return k < 0 ? k : end_file(s, fd, (int64_t) len, err);
}

/* Takes the reference to @value. */
static int put_json(struct save *s, const char *name, json_t *value, struct err *err)
{
	_cleanup_(freep) char *text = value ? json_to_text(value) : NULL;

	json_decref(value);
	if (!text)
		return err_set(err, ENOMEM, "write '%s'", name);
	return put_file(s, name, text, strlen(text), err);
}

static int put_blob(struct save *s, const char *digest, const char *data, size_t len,
		    struct err *err)
{
	_cleanup_(freep) char *name = path_join("blobs/sha256/%s", digest + 7);

	if (strv_contains(s->done, digest))
		return 0;
	if (!name || strv_append(&s->done, digest) < 0)
		return err_set(err, ENOMEM, "save");
	return put_file(s, name, data, len, err);
}

/* ---- layers ---- */

struct pouring {
	EVP_MD_CTX *hash;
	int64_t bytes;
	int fd; /* negative: only sum up */
};

static int pour(void *userdata, const void *data, size_t len)
{
	struct pouring *p = userdata;

	p->bytes += (int64_t) len;
	if (EVP_DigestUpdate(p->hash, data, len) != 1)
		return -EIO;
	return p->fd >= 0 ? fs_write_all(p->fd, data, len) : 0;
}

static int replay(struct save *s, const char *name, const char *diff_id, int fd, int64_t *ret_bytes,
		  struct err *err)
{
	_cleanup_(freep) char *outline = path_join("layers/%s.outline", name);
	_cleanup_(freep) char *dir = path_join("layers/%s", name);
	_cleanup_(closep) int in = -EBADF, root = -EBADF;
	struct pouring p = { .hash = EVP_MD_CTX_new(), .fd = fd };
	uint8_t md[SHA256_BYTES];
	char hex[SHA256_HEX_MAX];
	int k = 0;

	if (!outline || !dir || !p.hash || EVP_DigestInit_ex(p.hash, EVP_sha256(), NULL) != 1)
		k = err_set(err, ENOMEM, "save layer");
	if (k == 0 && (in = openat(s->store->fd, outline, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		k = err_set_errno(err, errno == ENOENT ? ENODATA : errno, "open outline");
	if (k == 0 &&
	    (root = openat(s->store->fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		k = err_set_errno(err, errno, "open layer");
	if (k == 0) {
		k = outline_replay(in, root, pour, &p, err);
		if (k < 0 && !err->code)
			(void) err_set_errno(err, -k, "write");
	}
	if (k == 0 && EVP_DigestFinal_ex(p.hash, md, NULL) != 1)
		k = err_set(err, EIO, "hash layer");
	EVP_MD_CTX_free(p.hash);
	if (k == 0 && strcmp(hex_encode(md, sizeof(md), hex), diff_id + 7) != 0)
		k = err_set(err, EBADMSG, "it is damaged; see ecs-image verify");
	*ret_bytes = p.bytes;
	return k < 0 ? err_wrap(err, "layer %.19s", diff_id) : 0;
}

/* The directory of a layer: under its own digest, or under that of the chain below it and itself. */
static int find_layer(struct save *s, const char *diff_id, const char *chain_id,
		      char name[STORE_LAYER_NAME_MAX], struct err *err)
{
	struct store_layer found;
	int k = store_get_layer(s->store, diff_id, &found, err);

	store_layer_name(k == 0 ? diff_id : chain_id, name);
	if (k == IMAGE_E_NOT_FOUND)
		k = store_get_layer(s->store, chain_id, &found, err);
	return k > 0 ? err_set(err, ENOENT, "layer %.19s is missing", diff_id) : k;
}

/* Read twice: an archive says how long a file is before it comes. */
static int put_layer(struct save *s, const char *diff_id, const char *chain_id, int64_t *ret_size,
		     struct err *err)
{
	_cleanup_(freep) char *file = path_join("blobs/sha256/%s", diff_id + 7);
	char name[STORE_LAYER_NAME_MAX];
	int64_t again;
	int fd, k = find_layer(s, diff_id, chain_id, name, err);

	if (k == 0)
		k = replay(s, name, diff_id, -EBADF, ret_size, err);
	if (k < 0 || strv_contains(s->done, diff_id))
		return k;
	if (!file || strv_append(&s->done, diff_id) < 0)
		return err_set(err, ENOMEM, "save");
	k = begin_file(s, file, *ret_size, &fd, err);
	if (k < 0)
		return k;
	k = replay(s, name, diff_id, fd, &again, err);
	if (k < 0 && s->is_dir)
		(void) close(fd);
	return k < 0 ? k : end_file(s, fd, *ret_size, err);
}

static void chain(const char *lower, const char *diff_id, char ret[72])
{
	char both[72 + 1 + 72];

	if (!*lower) {
		(void) snprintf(ret, 72, "%s", diff_id);
		return;
	}
	(void) snprintf(both, sizeof(both), "%s %s", lower, diff_id);
	memcpy(ret, "sha256:", 7);
	(void) sha256_hex(both, strlen(both), ret + 7);
}

static json_t *descriptor(const char *type, const char *digest, int64_t size)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
			 (json_int_t) size);
}

/* ---- images ---- */

static int put_layers(struct save *s, const struct image_document *doc, json_t *layers,
		      json_t *files, struct err *err)
{
	char below[72] = "";
	int k = 0;

	for (char **d = doc->diff_ids; k == 0 && d && *d; d++) {
		char id[72];
		int64_t size = 0;

		chain(below, *d, id);
		k = put_layer(s, *d, id, &size, err);
		if (k < 0)
			return k;
		memcpy(below, id, sizeof(below));
		(void) json_array_append_new(
			layers, descriptor("application/vnd.oci.image.layer.v1.tar", *d, size));
		(void) json_array_append_new(files, json_sprintf("blobs/sha256/%s", *d + 7));
	}
	return k;
}

static int put_manifest(struct save *s, json_t *layers, const char *id, size_t config_len,
			const char *name, struct err *err)
{
	_cleanup_(json_decrefp) json_t *m = json_pack(
		"{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType",
		"application/vnd.oci.image.manifest.v1+json", "config",
		descriptor("application/vnd.oci.image.config.v1+json", id, (int64_t) config_len),
		"layers", layers);
	_cleanup_(freep) char *text = m ? json_to_text(m) : NULL;
	char digest[7 + SHA256_HEX_MAX] = "sha256:", hex[SHA256_HEX_MAX];
	json_t *entry;
	const char *tag = name ? strrchr(name, ':') : NULL;

	if (!text)
		return err_set(err, ENOMEM, "save");
	memcpy(digest + 7, sha256_hex(text, strlen(text), hex), SHA256_HEX_MAX);
	entry = descriptor("application/vnd.oci.image.manifest.v1+json", digest,
			   (int64_t) strlen(text));
	if (name)
		(void) json_object_set_new(entry, "annotations",
					   json_pack("{s:s, s:s*}", "io.containerd.image.name",
						     name, "org.opencontainers.image.ref.name",
						     tag && !strchr(tag, '/') ? tag + 1 : NULL));
	(void) json_array_append_new(s->index, entry);
	return put_blob(s, digest, text, strlen(text), err);
}

static int save_image(struct save *s, const char *what, struct err *err)
{
	_cleanup_(image_document_done) struct image_document doc = {};
	_cleanup_(json_decrefp) json_t *layers = json_array(), *files = json_array();
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(freep) char *text = NULL;
	const char *name;
	size_t len = 0;
	int k = image_store_lookup(s->store, what, &image, err);

	if (k == IMAGE_E_NOT_FOUND)
		return err_set(err, ENOENT, "no such image: %s", what);
	if (k == 0)
		k = store_get_document(s->store, image->id, &text, &len, err);
	if (k == IMAGE_E_NOT_FOUND)
		return err_set(err, ENODATA,
			       "'%s' was pulled by a version that kept too little to save it; "
			       "remove and pull it",
			       what);
	if (k == 0)
		k = image_document_decode(text, len, &doc, err);
	if (k == 0)
		k = put_blob(s, image->id, text, len, err);
	if (k == 0)
		k = put_layers(s, &doc, layers, files, err);
	if (k < 0)
		return k;
	name = strcmp(image->reference, image->id) == 0 || strchr(image->reference, '@')
		       ? NULL
		       : image->reference;
	(void) json_array_append_new(
		s->docker,
		json_pack("{s:o, s:o, s:O}", "Config",
			  json_sprintf("blobs/sha256/%s", image->id + 7), "RepoTags",
			  name ? json_pack("[s]", name) : json_array(), "Layers", files));
	return put_manifest(s, layers, image->id, len, name, err);
}

static int finish(struct save *s, struct err *err)
{
	static const char zeros[2 * BLOCK];
	int k = put_json(s, "oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"), err);

	if (k == 0)
		k = put_json(s, "manifest.json", json_incref(s->docker), err);
	if (k == 0)
		k = put_json(s, "index.json",
			     json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType",
				       "application/vnd.oci.image.index.v1+json", "manifests",
				       s->index),
			     err);
	if (k == 0 && !s->is_dir && (k = fs_write_all(s->fd, zeros, sizeof(zeros))) < 0)
		(void) err_set_errno(err, -k, "write");
	return k;
}

static int open_output(struct save *s, const char *output, struct err *err)
{
	size_t len = output ? strlen(output) : 0;
	_cleanup_(freep) char *blobs = path_join("%sblobs/sha256", output ? output : "");
	int k;

	if (!output) {
		if (isatty(STDOUT_FILENO))
			return err_set(err, EINVAL,
				       "an archive is nothing for a terminal; see --output");
		s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	} else if (len > 0 && output[len - 1] == '/') {
		s->is_dir = true;
		k = blobs ? fs_mkdir_p(blobs, 0755, err) : err_set(err, ENOMEM, "save");
		if (k < 0)
			return k;
		s->fd = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else {
		s->fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	}
	return s->fd < 0 ? err_set_errno(err, errno, "open '%s'", output ? output : "output") : 0;
}

int command_save(struct options *o, struct image_store *store, struct err *err)
{
	struct save s = {
		.store = store, .fd = -EBADF, .index = json_array(), .docker = json_array()
	};
	int k = s.index && s.docker ? open_output(&s, o->output, err)
				    : err_set(err, ENOMEM, "save");

	for (int i = 0; k == 0 && i < o->n_args; i++)
		k = save_image(&s, o->args[i], err);
	if (k == 0)
		k = finish(&s, err);
	if (k < 0)
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
	if (k < 0 && o->output && !s.is_dir && s.fd >= 0)
		(void) unlink(o->output); /* half an archive is none */
	(void) safe_close(s.fd);
	(void) strv_free(s.done);
	json_decref(s.index);
	json_decref(s.docker);
	return k < 0;
}
