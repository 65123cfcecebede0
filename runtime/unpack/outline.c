/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/outline.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zstd.h>

#include "common/fs.h"
#include "runtime/unpack/tar.h"

enum { LITERAL, CONTENT };
enum { CHUNK = 64 * 1024, LEVEL = 1, HEAD = 9 };
#define OUTLINE_BYTES_MAX (256ULL << 20) /* compressed */

struct outline {
	int fd;
	ZSTD_CCtx *z;
	bool spoilt;
	int failed; /* -errno */
	uint64_t written;
	size_t n; /* in literal */
	uint8_t literal[HEAD + CHUNK];
	uint8_t out[CHUNK];
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

static void put_u64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t) (v >> (8 * i));
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 8; i-- > 0;)
		v = v << 8 | p[i];
	return v;
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
	o->literal[0] = LITERAL;
	put_u64(o->literal + 1, o->n);
	compress(o, o->literal, HEAD + o->n, ZSTD_e_continue);
	o->n = 0;
}

void outline_literal(void *userdata, const void *data, size_t len)
{
	struct outline *o = userdata;
	const uint8_t *p = data;

	while (o && len > 0) {
		size_t n = MIN(len, (size_t) CHUNK - o->n);

		memcpy(o->literal + HEAD + o->n, p, n);
		o->n += n;
		p += n;
		len -= n;
		if (o->n == CHUNK)
			flush(o);
	}
}

void outline_content(struct outline *o, const char *path, uint64_t len)
{
	size_t n = strlen(path);
	uint8_t head[HEAD + 2] = { CONTENT };

	if (!o || len == 0)
		return;
	flush(o);
	put_u64(head + 1, len);
	head[HEAD] = (uint8_t) n;
	head[HEAD + 1] = (uint8_t) (n >> 8);
	compress(o, head, sizeof(head), ZSTD_e_continue);
	compress(o, path, n, ZSTD_e_continue);
}

void outline_spoil(struct outline *o)
{
	if (o)
		o->spoilt = true;
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

/* ---- reading ---- */

struct replay {
	int fd, root_fd;
	ZSTD_DCtx *z;
	ZSTD_inBuffer in;
	bool end; /* of the compressed frame */
	outline_sink_fn sink;
	void *userdata;
	uint8_t raw[CHUNK], chunk[CHUNK];
};

static int damaged(struct err *err)
{
	return err_set(err, EBADMSG, "the outline is damaged");
}

/* Reads exactly @len bytes. 1: the stream ended before the first. */
static int take(struct replay *r, void *dst, size_t len, struct err *err)
{
	ZSTD_outBuffer out = { dst, len, 0 };

	while (out.pos < len) {
		size_t k, before = out.pos;

		if (r->in.pos == r->in.size && !r->end) {
			ssize_t n = read(r->fd, r->raw, sizeof(r->raw));

			if (n < 0)
				return err_set_errno(err, errno, "read outline");
			r->in = (ZSTD_inBuffer){ r->raw, (size_t) n, 0 };
		}
		if (r->end)
			return out.pos == 0 ? 1 : damaged(err);
		k = ZSTD_decompressStream(r->z, &out, &r->in);
		if (ZSTD_isError(k) || (r->in.size == 0 && out.pos == before))
			return damaged(err);
		r->end = k == 0;
	}
	return 0;
}

static int replay_literal(struct replay *r, uint64_t len, struct err *err)
{
	int k = 0;

	while (k == 0 && len > 0) {
		size_t n = (size_t) MIN(len, (uint64_t) CHUNK);

		k = take(r, r->chunk, n, err);
		if (k == 1)
			k = damaged(err);
		if (k == 0)
			k = r->sink(r->userdata, r->chunk, n);
		len -= n;
	}
	return k;
}

static int open_file(struct replay *r, const char *path, uint64_t len, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int fd = (int) syscall(SYS_openat2, r->root_fd, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return err_set(err, EBADMSG, "'%.200s' is missing", path);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%.200s'", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t) st.st_size == len)
		return fd;
	(void) close(fd);
	return err_set(err, EBADMSG, "'%.200s' is no file of %llu bytes", path,
		       (unsigned long long) len);
}

static int replay_content(struct replay *r, uint64_t len, struct err *err)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[TAR_PATH_MAX + 1];
	uint8_t head[2];
	size_t n;
	int k = take(r, head, sizeof(head), err);

	n = k == 0 ? (size_t) (head[0] | head[1] << 8) : 0;
	if (k == 0 && (n == 0 || n > TAR_PATH_MAX))
		k = 1;
	if (k == 0)
		k = take(r, path, n, err);
	if (k != 0)
		return k < 0 ? k : damaged(err);
	path[n] = '\0';
	fd = open_file(r, path, len, err);
	if (fd < 0)
		return fd;
	while (k == 0 && len > 0) {
		ssize_t got = read(fd, r->chunk, (size_t) MIN(len, (uint64_t) CHUNK));

		if (got <= 0)
			return got < 0 ? err_set_errno(err, errno, "read '%.200s'", path)
				       : err_set(err, EBADMSG, "'%.200s' is too short", path);
		len -= (uint64_t) got;
		k = r->sink(r->userdata, r->chunk, (size_t) got);
	}
	return k;
}

static int replay_all(struct replay *r, struct err *err)
{
	uint8_t head[HEAD];
	int k;

	while ((k = take(r, head, sizeof(head), err)) == 0) {
		if (head[0] == LITERAL)
			k = replay_literal(r, get_u64(head + 1), err);
		else if (head[0] == CONTENT)
			k = replay_content(r, get_u64(head + 1), err);
		else
			k = damaged(err);
		if (k < 0)
			return k;
	}
	return k < 0 ? k : 0;
}

int outline_replay(int fd, int root_fd, outline_sink_fn sink, void *userdata, struct err *err)
{
	struct replay *r;
	struct stat st;
	int k;

	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, errno, "read outline");
	if (st.st_size == 0)
		return err_set(err, ENODATA, "there is no outline");
	r = calloc(1, sizeof(*r));
	if (r)
		r->z = ZSTD_createDCtx();
	if (!r || !r->z) {
		free(r);
		return err_set(err, ENOMEM, "read outline");
	}
	r->fd = fd;
	r->root_fd = root_fd;
	r->sink = sink;
	r->userdata = userdata;
	k = replay_all(r, err);
	(void) ZSTD_freeDCtx(r->z);
	free(r);
	return k;
}
