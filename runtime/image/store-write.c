/* SPDX-License-Identifier: Apache-2.0 */
/* The write side: records, layers, locks, work directories. */
#include "runtime/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "common/digest.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/reference.h"

enum { TEMPORARY_S = 10 * 60 };

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/*
 * Base 32 of the first 128 bits: half of SHA-256 is beyond
 * second preimages, and NAME.json tells the whole.
 */
void store_layer_name(const char *digest, char name[STORE_LAYER_NAME_MAX])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	const char *hex = digest + 7; /* after "sha256:" */
	unsigned int bits = 0, n_bits = 0, o = 0;

	for (int i = 0; i < 32; i++) {
		bits = bits << 4 | (unsigned int) nibble(hex[i]);
		n_bits += 4;
		while (n_bits >= 5) {
			n_bits -= 5;
			name[o++] = letters[bits >> n_bits & 31];
		}
		bits &= (1u << n_bits) - 1;
	}
	name[o++] = letters[bits << (5 - n_bits) & 31];
	name[o] = '\0';
}

int store_put_record(struct image_store *s, const char *id, const json_t *record, struct err *err)
{
	_cleanup_(freep) char *text = json_to_text(record);
	char path[128];

	if (!text)
		return err_set(err, ENOMEM, "record image");
	if (strlen(text) > STORE_RECORD_MAX)
		return err_set(err, EPROTO, "image configuration: 'config' is larger than %d bytes",
			       STORE_RECORD_MAX);
	(void) snprintf(path, sizeof(path), "images/sha256/%s.json", id + 7);
	return fs_write_file(s->fd, path, text, strlen(text), 0600, err);
}

static const char *boot_id(void)
{
	static char id[37];

	if (!id[0]) {
		_cleanup_(freep) char *text = NULL;

		if (fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL,
				 NULL) == 0)
			(void) snprintf(id, sizeof(id), "%.36s", text);
	}
	return id;
}

static void fill_layer(const json_t *obj, struct store_layer *ret)
{
	const char *diff_id = json_get_string(obj, "diffId", "");

	*ret = (struct store_layer){ .size = json_get_int(obj, "size", 0),
				     .implied = json_is_true(json_object_get(obj, "implied")) };
	if (digest_is_valid(diff_id))
		(void) snprintf(ret->diff_id, sizeof(ret->diff_id), "%s", diff_id);
}

/*
 * Returns 0, IMAGE_E_NOT_FOUND (also when an earlier boot
 * left it unsettled) or a negative errno.
 */
static int read_layer(struct image_store *s, const char *digest, const char *name,
		      struct store_layer *ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	_cleanup_(freep) char *text = NULL;
	char path[64];
	const char *boot;
	size_t len = 0;

	(void) snprintf(path, sizeof(path), "layers/%s.json", name);
	if (fs_read_file(s->fd, path, 4096, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &obj, NULL) < 0)
		return IMAGE_E_NOT_FOUND;
	if (strcmp(json_get_string(obj, "digest", ""), digest) != 0)
		return err_set(err, EBADMSG, "image store '%s': %s is of another layer", s->dir,
			       path);
	boot = json_get_string(obj, "boot", NULL);
	if (boot && strcmp(boot, boot_id()) != 0)
		return IMAGE_E_NOT_FOUND;
	fill_layer(obj, ret);
	return 0;
}

int store_read_layer(struct image_store *s, const char *name, char **ret_digest,
		     struct store_layer *ret, struct err *err)
{
	_cleanup_(freep) char *path = path_join("layers/%s.json", name), *text = NULL;
	_cleanup_(json_decrefp) json_t *obj = NULL;
	char expected[STORE_LAYER_NAME_MAX];
	const char *digest;
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "look at layer");
	if (fs_read_file(s->fd, path, 4096, &text, &len, NULL) < 0)
		return IMAGE_E_NOT_FOUND;
	if (json_parse(text, len, &obj, NULL) < 0)
		return err_set(err, EBADMSG, "its record is damaged");
	digest = json_get_string(obj, "digest", "");
	if (digest_is_valid(digest))
		store_layer_name(digest, expected);
	if (!digest_is_valid(digest) || strcmp(name, expected) != 0)
		return err_set(err, EBADMSG, "its record is of another layer");
	fill_layer(obj, ret);
	return strdup_to(ret_digest, digest) < 0 ? err_set(err, ENOMEM, "look at layer") : 0;
}

int store_get_layer(struct image_store *s, const char *digest, struct store_layer *ret,
		    struct err *err)
{
	char name[STORE_LAYER_NAME_MAX], path[64];

	store_layer_name(digest, name);
	(void) snprintf(path, sizeof(path), "layers/%s", name);
	if (faccessat(s->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return IMAGE_E_NOT_FOUND;
	return read_layer(s, digest, name, ret, err);
}

static int write_layer(struct image_store *s, const char *digest, const char *name,
		       const struct store_layer *layer, bool settled, struct err *err)
{
	char path[64], text[384];

	(void) snprintf(path, sizeof(path), "layers/%s.json", name);
	(void) snprintf(text, sizeof(text),
			"{\"digest\":\"%s\",\"diffId\":\"%s\",\"size\":%lld,\"implied\":%s%s%s%s}",
			digest, layer->diff_id, (long long) layer->size,
			layer->implied ? "true" : "false", settled ? "" : ",\"boot\":\"",
			settled ? "" : boot_id(), settled ? "" : "\"");
	return fs_write_file_volatile(s->fd, path, text, strlen(text), 0600, err);
}

int store_settle_layer(struct image_store *s, const char *digest, struct err *err)
{
	char name[STORE_LAYER_NAME_MAX];
	struct store_layer layer;
	int k;

	store_layer_name(digest, name);
	k = read_layer(s, digest, name, &layer, err);
	return k == 0 ? write_layer(s, digest, name, &layer, true, err) : k;
}

/* 62 bits of the digest choose the byte; a collision only makes two layers take turns. */
static off_t lock_offset(const char *digest)
{
	uint64_t v = 0;

	for (int i = 0; i < 15; i++)
		v = v << 4 | (uint64_t) nibble(digest[7 + i]);
	return (off_t) v;
}

int store_lock(struct image_store *s, int *fd, enum store_lock which, const char *digest,
	       bool exclusive, bool wait, struct err *err)
{
	const char *path = which == STORE_LOCK_FETCH ? "locks/fetch" : "locks/use";
	struct flock l = { .l_type = (short) (exclusive ? F_WRLCK : F_RDLCK),
			   .l_whence = SEEK_SET,
			   .l_start = lock_offset(digest),
			   .l_len = 1 };
	int k;

	if (*fd < 0)
		*fd = openat(s->fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_set_errno(err, errno, "image store '%s': open %s", s->dir, path);
	do
		k = fcntl(*fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (k < 0 && errno == EINTR);
	if (k < 0 && !wait && (errno == EAGAIN || errno == EACCES))
		return 1;
	return k < 0 ? err_set_errno(err, errno, "image store '%s': lock %s", s->dir, path) : 0;
}

int store_unlock(int fd, const char *digest)
{
	struct flock l = {
		.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = lock_offset(digest), .l_len = 1
	};

	return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

/* Between mkdir and flock a collector may take the directory away: then try another name. */
int store_make_tmp(struct image_store *s, char **ret_name, int *ret_fd, struct err *err)
{
	for (int tries = 0; tries < 100; tries++) {
		char id[17];
		_cleanup_(freep) char *name = path_join("tmp/%s", random_hex(id, 16));
		_cleanup_(closep) int fd = -EBADF;
		struct stat st;

		if (!name)
			return err_set(err, ENOMEM, "make work directory");
		if (mkdirat(s->fd, name, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			return err_set_errno(err, errno, "image store '%s': make '%s'", s->dir,
					     name);
		}
		fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ||
		    st.st_nlink == 0)
			continue;
		*ret_name = TAKE_PTR(name);
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	return err_set(err, EBUSY, "image store '%s': cannot make a work directory", s->dir);
}

/* The temporary files of writers that were killed; a living one takes no ten minutes. */
static void collect_files(struct image_store *s, const char *folder)
{
	int dir = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = dir < 0 ? NULL : fdopendir(dir);
	time_t old = time(NULL) - TEMPORARY_S;
	struct dirent *e;
	struct stat st;

	if (!d)
		(void) safe_close(dir);
	while (d && (e = readdir(d)))
		if (strstr(e->d_name, ".tmp-") &&
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_mtime < old)
			(void) unlinkat(dirfd(d), e->d_name, 0);
}

void store_collect(struct image_store *s)
{
	static const char *const folders[] = { "layers", "images/sha256", "refs", "pins" };
	_cleanup_(closedirp) DIR *d = NULL;
	int dir = openat(s->fd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	d = dir < 0 ? NULL : fdopendir(dir);
	if (!d)
		(void) safe_close(dir);
	while (d && (e = readdir(d))) {
		_cleanup_(closep) int fd = -EBADF;

		if (e->d_name[0] == '.')
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void) fs_remove_tree(dirfd(d), e->d_name, NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		collect_files(s, folders[i]);
}

int store_discard_layer(struct image_store *s, const char *name, struct err *err)
{
	_cleanup_(freep) char *tmp = NULL, *from = NULL, *to = NULL, *json = NULL;
	_cleanup_(freep) char *outline = NULL;
	_cleanup_(closep) int fd = -EBADF;
	int k = store_make_tmp(s, &tmp, &fd, err);

	if (k < 0)
		return k;
	outline = path_join("layers/%s.outline", name);
	from = path_join("layers/%s", name);
	json = path_join("layers/%s.json", name);
	to = path_join("%s/root", tmp);
	if (!from || !json || !to || !outline)
		return err_set(err, ENOMEM, "remove layer");
	if (renameat(s->fd, from, s->fd, to) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove layer '%s'", name);
	(void) unlinkat(s->fd, json, 0);
	(void) unlinkat(s->fd, outline, 0);
	return fs_remove_tree(s->fd, tmp, err);
}

struct layer_search {
	struct image_store *store;
	const char *name;
	bool found;
};

static int search_layer(const char *id, void *userdata, struct err *err)
{
	struct layer_search *q = userdata;
	_cleanup_(json_decrefp) json_t *record = NULL;
	const json_t *layers;

	(void) err;
	if (store_get_record(q->store, id, &record, NULL) != 0)
		return 0;
	layers = json_object_get(record, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++)
		if (strcmp(json_string_value(json_array_get(layers, i)), q->name) == 0)
			q->found = true;
	return 0;
}

int store_layer_is_named(struct image_store *s, const char *name, struct err *err)
{
	struct layer_search q = { .store = s, .name = name };
	int k = store_each_image(s, search_layer, &q, err);

	return k < 0 ? k : q.found;
}

/* From beside the directory @tmp_name; there may be none. */
static int move_outline(struct image_store *s, const char *tmp_name, const char *name,
			struct err *err)
{
	const char *slash = strrchr(tmp_name, '/');
	_cleanup_(freep) char *from = path_join("%.*s/outline", (int) (slash - tmp_name), tmp_name);
	_cleanup_(freep) char *to = path_join("layers/%s.outline", name);

	if (!from || !to)
		return err_set(err, ENOMEM, "commit layer");
	if (renameat(s->fd, from, s->fd, to) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "image store '%s': move outline into place",
				     s->dir);
	return 0;
}

int store_commit_layer(struct image_store *s, const char *tmp_name, const char *digest,
		       const struct store_layer *layer, struct err *err)
{
	char name[STORE_LAYER_NAME_MAX], path[64];
	struct store_layer present;
	int k;

	store_layer_name(digest, name);
	(void) snprintf(path, sizeof(path), "layers/%s", name);
	if (faccessat(s->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		k = read_layer(s, digest, name, &present, err);
		if (k <= 0)
			return k;
		/* Left unsettled by a power cut, unless an image came to rely on it. */
		k = store_layer_is_named(s, name, err);
		if (k == 0)
			k = store_discard_layer(s, name, err);
		if (k < 0)
			return k;
	}
	k = write_layer(s, digest, name, layer, false, err);
	if (k == 0)
		k = move_outline(s, tmp_name, name, err);
	if (k < 0)
		return k;
	if (renameat2(s->fd, tmp_name, s->fd, path, RENAME_NOREPLACE) == 0 || errno == EEXIST)
		return 0;
	return err_set_errno(err, errno, "image store '%s': move layer into place", s->dir);
}

int store_put_document(struct image_store *s, const char *id, const char *text, size_t len,
		       bool sync, struct err *err)
{
	char path[128];

	(void) snprintf(path, sizeof(path), "images/sha256/%s.config", id + 7);
	return sync ? fs_write_file(s->fd, path, text, len, 0600, err)
		    : fs_write_file_volatile(s->fd, path, text, len, 0600, err);
}
