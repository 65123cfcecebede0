/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/outline.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/buf.h"
#include "common/fs.h"
#include "runtime/unpack/outline-record.h"

enum { LEVEL = 1, FOLDERS_MAX = 64 << 20 /* bytes of paths */ };
#define OUTLINE_BYTES_MAX (256ULL << 20) /* compressed */

struct outline {
	int fd;
	ZSTD_CCtx *z;
	bool spoilt;
	int failed; /* -errno */
	uint64_t written;
	uint64_t content, kept; /* bytes */
	size_t n;               /* in literal */
	uint8_t literal[OUTLINE_HEAD + OUTLINE_CHUNK];
	uint8_t out[OUTLINE_CHUNK];
};

struct outline *outline_free(struct outline *o)
{
	if (!o)
		return NULL;
	(void) ZSTD_freeCCtx(o->z);
	free(o);
	return NULL;
}

int outline_new(int fd, struct outline **ret, struct err *err)
{
	struct outline *o = calloc(1, sizeof(*o));

	if (o)
		o->z = ZSTD_createCCtx();
	if (!o || !o->z ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(o->z, ZSTD_c_compressionLevel, LEVEL))) {
		(void) outline_free(o);
		return err_set(err, ENOMEM, "allocate outline");
	}
	o->fd = fd;
	*ret = o;
	return 0;
}

static void compress(struct outline *o, const void *data, size_t len, ZSTD_EndDirective mode)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left = 1;

	while (!o->spoilt && !o->failed && (in.pos < in.size || (mode == ZSTD_e_end && left > 0))) {
		ZSTD_outBuffer out = { o->out, sizeof(o->out), 0 };

		left = ZSTD_compressStream2(o->z, &out, &in, mode);
		if (ZSTD_isError(left)) {
			o->failed = -EIO;
			return;
		}
		o->written += out.pos;
		o->spoilt = o->written > OUTLINE_BYTES_MAX;
		o->failed = fs_write_all(o->fd, o->out, out.pos);
	}
}

static void flush(struct outline *o)
{
	if (o->n == 0)
		return;
	o->literal[0] = OUTLINE_LITERAL;
	outline_put_u64(o->literal + 1, o->n);
	compress(o, o->literal, OUTLINE_HEAD + o->n, ZSTD_e_continue);
	o->n = 0;
}

void outline_literal(void *userdata, const void *data, size_t len)
{
	struct outline *o = userdata;
	const uint8_t *p = data;

	while (o && len > 0) {
		size_t n = MIN(len, (size_t) OUTLINE_CHUNK - o->n);

		memcpy(o->literal + OUTLINE_HEAD + o->n, p, n);
		o->n += n;
		p += n;
		len -= n;
		if (o->n == OUTLINE_CHUNK)
			flush(o);
	}
}

static void put_head(struct outline *o, enum outline_record type, uint64_t number, const char *path)
{
	size_t n = strlen(path);
	uint8_t head[OUTLINE_HEAD + 2] = { (uint8_t) type };

	outline_put_u64(head + 1, number);
	head[OUTLINE_HEAD] = (uint8_t) n;
	head[OUTLINE_HEAD + 1] = (uint8_t) (n >> 8);
	compress(o, head, sizeof(head), ZSTD_e_continue);
	compress(o, path, n, ZSTD_e_continue);
}

static void put_pair(struct outline *o, uint64_t a, uint64_t b)
{
	uint8_t pair[16];

	outline_put_u64(pair, a);
	outline_put_u64(pair + 8, b);
	compress(o, pair, sizeof(pair), ZSTD_e_continue);
}

void outline_content(struct outline *o, const char *path, const struct tar_entry *e)
{
	uint8_t count[8];

	if (!o || e->size == 0)
		return;
	flush(o);
	if (!e->sparse) {
		o->content += (uint64_t) e->size;
		put_head(o, OUTLINE_CONTENT, (uint64_t) e->size, path);
		return;
	}
	put_head(o, OUTLINE_PARTS, (uint64_t) e->size, path);
	outline_put_u64(count, e->n_extents);
	compress(o, count, sizeof(count), ZSTD_e_continue);
	for (size_t i = 0; i < e->n_extents; i++) {
		o->content += (uint64_t) e->extents[i].len;
		put_pair(o, (uint64_t) e->extents[i].offset, (uint64_t) e->extents[i].len);
	}
}

/* ---- what is replaced ---- */

/* Of holes nothing is kept: a sparse file is as large as its archive makes it. */
static void put_parts(struct outline *o, int fd, off_t size)
{
	uint8_t chunk[OUTLINE_CHUNK];
	off_t at = 0;

	while (!o->spoilt && !o->failed && at < size) {
		off_t hole;
		ssize_t n;

		at = lseek(fd, at, SEEK_DATA);
		hole = at < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
		if (hole < 0) {
			o->failed = errno == ENXIO ? 0 : -errno;
			return; /* nothing but a hole is left */
		}
		while (at < hole && !o->failed && !o->spoilt) {
			n = pread(fd, chunk, (size_t) MIN((off_t) sizeof(chunk), hole - at), at);
			if (n <= 0) {
				o->failed = n < 0 ? -errno : -EIO;
				return;
			}
			put_pair(o, (uint64_t) at, (uint64_t) n);
			compress(o, chunk, (size_t) n, ZSTD_e_continue);
			at += n;
			o->kept += (uint64_t) n;
			/* The same file by way of many links: not more than the archive brought,
			 * give or take the blocks that a part of a sparse file fills. */
			o->spoilt |= o->kept / 2 > o->content + (1 << 20);
		}
	}
}

static void keep_file(struct outline *o, int dir_fd, const char *name, const char *path)
{
	_cleanup_(closep) int fd =
		openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		o->failed = -errno;
		return;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return;
	flush(o);
	compress(o, "", 0, ZSTD_e_end);
	put_head(o, OUTLINE_KEPT, (uint64_t) st.st_size, path);
	put_parts(o, fd, st.st_size);
	put_pair(o, (uint64_t) st.st_size, 0);
	compress(o, "", 0, ZSTD_e_end);
}

/* The entry @e of the folder @path: kept, or put on the list of those to look into. */
static void keep_entry(struct outline *o, int dir_fd, const struct dirent *e, const char *path,
		       struct buf *folders)
{
	char inner[TAR_PATH_MAX + 1];
	struct stat st;

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return;
	if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		o->failed = -errno;
		return;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return;
	if ((size_t) snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) >= sizeof(inner))
		o->spoilt = true;
	else if (S_ISREG(st.st_mode))
		keep_file(o, dir_fd, e->d_name, inner);
	else if (folders->len > FOLDERS_MAX || !buf_append(folders, inner, strlen(inner) + 1))
		o->spoilt = true;
}

/* One folder at a time by its path, so that no depth uses up the descriptors. */
static void keep_folder(struct outline *o, int top_fd, const char *path, size_t top_len,
			struct buf *folders)
{
	const char *inner = path[top_len] == '/' ? path + top_len + 1 : ".";
	int fd = openat(top_fd, inner, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		o->failed = -errno;
		(void) safe_close(fd);
		return;
	}
	while (!o->failed && !o->spoilt && (e = readdir(d)))
		keep_entry(o, dirfd(d), e, path, folders);
}

static void keep_tree(struct outline *o, int dir_fd, const char *name, const char *path)
{
	_cleanup_(buf_done) struct buf folders = {};
	_cleanup_(closep) int top = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char folder[TAR_PATH_MAX + 1];

	if (top < 0 || !buf_append(&folders, path, strlen(path) + 1))
		o->failed = -ENOMEM;
	for (size_t at = 0; at < folders.len && !o->failed && !o->spoilt;) {
		(void) snprintf(folder, sizeof(folder), "%s", folders.data + at);
		at += strlen(folder) + 1;
		keep_folder(o, top, folder, strlen(path), &folders);
	}
}

void outline_keep(struct outline *o, int dir_fd, const char *name, const char *path)
{
	struct stat st;

	if (!o || o->spoilt || o->failed || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(st.st_mode))
		keep_file(o, dir_fd, name, path);
	else if (S_ISDIR(st.st_mode))
		keep_tree(o, dir_fd, name, path);
}

int outline_finish(struct outline *o, struct err *err)
{
	if (!o)
		return 0;
	flush(o);
	compress(o, "", 0, ZSTD_e_end);
	if (o->failed < 0)
		return err_set_errno(err, -o->failed, "write outline");
	if (o->spoilt && ftruncate(o->fd, 0) < 0)
		return err_set_errno(err, errno, "empty outline");
	return 0;
}
