/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlines are read twice: first for where the files are that something replaced (each in a frame of
 * its own, so that it can be gone to), then for the archive.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zstd.h>

#include "runtime/unpack/outline-record.h"
#include "runtime/unpack/outline.h"
#include "runtime/unpack/sparse.h"

enum { CHUNK = OUTLINE_CHUNK };

/* The bytes of the outline from some frame on. Several may read one descriptor. */
struct frames {
	int fd;
	off_t pos, start; /* of what is read next; of the current frame */
	ZSTD_DCtx *z;
	ZSTD_inBuffer in;
	bool between; /* the last frame is complete */
	uint8_t raw[CHUNK];
};

struct kept {
	char *path;     /* owned */
	uint64_t order; /* number of its record */
	off_t frame;
};

struct outline_reader {
	struct frames main;
	int root_fd;
	bool contents;
	uint64_t order;    /* of the record at hand */
	struct kept *kept; /* owned; by path and order */
	size_t n_kept;

	/* What is being given: a literal, or the parts of a file. */
	uint64_t literal;
	struct sparse parts;
	size_t part;
	int64_t at;                   /* done of that part */
	int file;                     /* where from, unless it was replaced */
	struct frames *replaced;      /* owned; where from then */
	uint64_t piece_at, piece_len; /* of it: what is left of the piece at hand */
	char path[TAR_PATH_MAX + 1];
};

static int damaged(struct err *err)
{
	return err_set(err, EBADMSG, "the outline is damaged");
}

static int frames_init(struct frames *f, int fd, off_t start, struct err *err)
{
	f->fd = fd;
	f->pos = f->start = start;
	f->between = true;
	f->in = (ZSTD_inBuffer){ f->raw, 0, 0 };
	f->z = ZSTD_createDCtx();
	return f->z ? 0 : err_set(err, ENOMEM, "read outline");
}

static struct frames *frames_free(struct frames *f)
{
	if (f)
		(void) ZSTD_freeDCtx(f->z);
	free(f);
	return NULL;
}

/* Reads exactly @len bytes. 1: the outline ended before the first. */
static int take(struct frames *f, void *dst, size_t len, struct err *err)
{
	ZSTD_outBuffer out = { dst, len, 0 };

	while (out.pos < len) {
		size_t k;

		if (f->in.pos == f->in.size) {
			ssize_t n = pread(f->fd, f->raw, sizeof(f->raw), f->pos);

			if (n < 0)
				return err_set_errno(err, errno, "read outline");
			if (n == 0)
				return f->between && out.pos == 0 ? 1 : damaged(err);
			f->pos += n;
			f->in = (ZSTD_inBuffer){ f->raw, (size_t) n, 0 };
		}
		k = ZSTD_decompressStream(f->z, &out, &f->in);
		if (ZSTD_isError(k))
			return damaged(err);
		f->between = k == 0;
		if (k == 0)
			f->start = f->pos - (off_t) (f->in.size - f->in.pos);
	}
	return 0;
}

static int must_take(struct frames *f, void *dst, size_t len, struct err *err)
{
	int k = take(f, dst, len, err);

	return k == 1 ? damaged(err) : k;
}

static int skip(struct frames *f, uint64_t len, struct err *err)
{
	uint8_t chunk[4096];
	int k = 0;

	while (k == 0 && len > 0) {
		size_t n = (size_t) MIN(len, (uint64_t) sizeof(chunk));

		k = must_take(f, chunk, n, err);
		len -= n;
	}
	return k;
}

static int take_path(struct frames *f, char path[TAR_PATH_MAX + 1], struct err *err)
{
	uint8_t len[2];
	size_t n = 0;
	int k = must_take(f, len, sizeof(len), err);

	if (k == 0) {
		n = (size_t) (len[0] | len[1] << 8);
		k = n == 0 || n > TAR_PATH_MAX ? damaged(err) : must_take(f, path, n, err);
	}
	if (k == 0)
		path[n] = '\0';
	return k;
}

static int take_pair(struct frames *f, uint64_t ret[2], struct err *err)
{
	uint8_t pair[16];
	int k = must_take(f, pair, sizeof(pair), err);

	if (k == 0) {
		ret[0] = outline_get_u64(pair);
		ret[1] = outline_get_u64(pair + 8);
		if (ret[0] > INT64_MAX || ret[1] > INT64_MAX)
			k = damaged(err);
	}
	return k;
}

/* The extents of a record of parts, or the one of a plain file. */
static int take_parts(struct outline_reader *r, uint8_t type, uint64_t size, struct err *err)
{
	uint64_t n = 1, pair[2] = { 0, size };
	uint8_t count[8];
	int k = size > INT64_MAX ? damaged(err) : 0;

	sparse_done(&r->parts);
	r->parts.size = (int64_t) size;
	if (k == 0 && type == OUTLINE_PARTS) {
		k = must_take(&r->main, count, sizeof(count), err);
		n = k == 0 ? outline_get_u64(count) : 0;
	}
	for (uint64_t i = 0; k == 0 && i < n; i++) {
		if (type == OUTLINE_PARTS)
			k = take_pair(&r->main, pair, err);
		if (k == 0 && (pair[0] + pair[1] > size || sparse_add(&r->parts, (int64_t) pair[0],
								      (int64_t) pair[1], NULL) < 0))
			k = damaged(err);
	}
	return k;
}

/* ---- the first reading ---- */

static int add_kept(struct outline_reader *r, off_t frame, struct err *err)
{
	struct kept *p = realloc(r->kept, (r->n_kept + 1) * sizeof(*p));

	if (p)
		r->kept = p;
	if (p)
		p[r->n_kept] = (struct kept){ strdup(r->path), r->order, frame };
	if (!p || !p[r->n_kept].path)
		return err_set(err, ENOMEM, "read outline");
	r->n_kept++;
	return 0;
}

static int skip_pieces(struct frames *f, struct err *err)
{
	uint64_t pair[2] = { 0, 1 };
	int k = 0;

	while (k == 0 && pair[1] > 0) {
		k = take_pair(f, pair, err);
		if (k == 0)
			k = skip(f, pair[1], err);
	}
	return k;
}

static int look_at_record(struct outline_reader *r, const uint8_t head[OUTLINE_HEAD], off_t frame,
			  struct err *err)
{
	uint64_t number = outline_get_u64(head + 1);
	int k;

	if (head[0] == OUTLINE_LITERAL)
		return skip(&r->main, number, err);
	if (head[0] > OUTLINE_KEPT)
		return damaged(err);
	k = take_path(&r->main, r->path, err);
	if (k == 0 && head[0] != OUTLINE_KEPT)
		return take_parts(r, head[0], number, err);
	if (k == 0)
		k = add_kept(r, frame, err);
	return k == 0 ? skip_pieces(&r->main, err) : k;
}

/* The frame of a record is known once its first byte is there. */
static int find_kept(struct outline_reader *r, struct err *err)
{
	uint8_t head[OUTLINE_HEAD];
	int k;

	for (;; r->order++) {
		off_t frame;

		k = take(&r->main, head, 1, err);
		frame = r->main.start;
		if (k == 0)
			k = must_take(&r->main, head + 1, sizeof(head) - 1, err);
		if (k == 0)
			k = look_at_record(r, head, frame, err);
		if (k != 0)
			return k < 0 ? k : 0;
	}
}

static int compare_kept(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	int k = strcmp(x->path, y->path);

	return k ? k : x->order < y->order ? -1 : x->order > y->order;
}

int outline_open(int fd, int root_fd, bool contents, struct outline_reader **ret, struct err *err)
{
	_cleanup_(outline_closep) struct outline_reader *r = NULL;
	struct stat st;
	int k;

	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "read outline");
	if (st.st_size == 0)
		return err_set(err, ENODATA, "there is no outline");
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "read outline");
	r->file = -EBADF;
	r->root_fd = root_fd;
	r->contents = contents;
	k = frames_init(&r->main, fd, 0, err);
	if (k == 0 && contents) {
		k = find_kept(r, err);
		(void) ZSTD_freeDCtx(r->main.z);
		r->main.z = NULL;
		r->order = 0;
		sparse_done(&r->parts);
		if (r->n_kept > 0)
			qsort(r->kept, r->n_kept, sizeof(*r->kept), compare_kept);
		if (k == 0)
			k = frames_init(&r->main, fd, 0, err);
	}
	if (k < 0)
		return k;
	*ret = TAKE_PTR(r);
	return 0;
}

struct outline_reader *outline_close(struct outline_reader *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->n_kept; i++)
		free(r->kept[i].path);
	free(r->kept);
	sparse_done(&r->parts);
	(void) safe_close(r->file);
	(void) frames_free(r->replaced);
	(void) ZSTD_freeDCtx(r->main.z);
	free(r);
	return NULL;
}

/* ---- the second ---- */

/* Holes are no part of the archive, so that its digest does not say whether they are still there. */
static int check_hole(int fd, off_t from, off_t to)
{
	uint8_t chunk[4096];

	while (from < to) {
		ssize_t n;

		from = lseek(fd, from, SEEK_DATA);
		if (from < 0)
			return errno == ENXIO ? 0 : -errno;
		if (from >= to)
			return 0;
		n = pread(fd, chunk, (size_t) MIN((off_t) sizeof(chunk), to - from), from);
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		for (ssize_t i = 0; i < n; i++)
			if (chunk[i])
				return -EBADMSG;
		from += n;
	}
	return 0;
}

static int check_holes(const struct outline_reader *r, struct err *err)
{
	int64_t at = 0;
	int k = 0;

	for (size_t i = 0; k == 0 && i < r->parts.n_extents; i++) {
		k = check_hole(r->file, at, r->parts.extents[i].offset);
		at = r->parts.extents[i].offset + r->parts.extents[i].len;
	}
	if (k == 0)
		k = check_hole(r->file, at, r->parts.size);
	if (k == -EBADMSG)
		return err_set(err, EBADMSG, "'%.200s' has content where it had a hole", r->path);
	return k < 0 ? err_set_errno(err, -k, "read '%.200s'", r->path) : 0;
}

static int open_file(struct outline_reader *r, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	struct stat st;

	r->file = (int) syscall(SYS_openat2, r->root_fd, r->path, &how, sizeof(how));
	if (r->file < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return err_set(err, EBADMSG, "'%.200s' is missing", r->path);
	if (r->file < 0)
		return err_set_errno(err, errno, "open '%.200s'", r->path);
	if (fstat(r->file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != r->parts.size)
		return err_set(err, EBADMSG, "'%.200s' is no file of %lld bytes", r->path,
			       (long long) r->parts.size);
	return check_holes(r, err);
}

/* The first one of the path at hand that was kept after the record at hand, or NULL. */
static const struct kept *find_replaced(const struct outline_reader *r)
{
	const struct kept wanted = { (char *) r->path, r->order, 0 };
	size_t low = 0, high = r->n_kept;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_kept(&r->kept[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->n_kept && strcmp(r->kept[low].path, r->path) == 0 ? &r->kept[low] : NULL;
}

/* Opens the file, or what was kept of it when something replaced it. */
static int open_content(struct outline_reader *r, struct err *err)
{
	const struct kept *kept = find_replaced(r);
	uint8_t head[OUTLINE_HEAD];
	char path[TAR_PATH_MAX + 1];
	int k;

	if (!kept)
		return open_file(r, err);
	r->replaced = calloc(1, sizeof(*r->replaced));
	if (!r->replaced)
		return err_set(err, ENOMEM, "read outline");
	k = frames_init(r->replaced, r->main.fd, kept->frame, err);
	if (k == 0)
		k = must_take(r->replaced, head, sizeof(head), err);
	if (k == 0)
		k = take_path(r->replaced, path, err);
	if (k == 0 && (head[0] != OUTLINE_KEPT || strcmp(path, r->path) != 0 ||
		       outline_get_u64(head + 1) != (uint64_t) r->parts.size))
		k = damaged(err);
	r->piece_at = r->piece_len = 0;
	return k;
}

/* Reads @len bytes at @at, where nothing behind has been read before; what is not there is zero. */
static int read_kept(struct outline_reader *r, uint8_t *dst, size_t len, uint64_t at,
		     struct err *err)
{
	int k = 0;

	memset(dst, 0, len);
	while (k == 0) {
		uint64_t pair[2], from, n;

		if (r->piece_len > 0 && r->piece_at >= at + len)
			return 0;
		if (r->piece_len == 0) {
			k = take_pair(r->replaced, pair, err);
			if (k == 0 &&
			    (pair[0] < r->piece_at || pair[0] + pair[1] > (uint64_t) r->parts.size))
				k = damaged(err);
			if (k < 0)
				return k;
			r->piece_at = pair[0];
			r->piece_len = pair[1];
			if (pair[1] == 0) { /* the end: nothing but zeros from here on */
				r->piece_at = r->piece_len = INT64_MAX;
				return 0;
			}
			continue;
		}
		from = MAX(at, r->piece_at);
		k = skip(r->replaced, MIN(from - r->piece_at, r->piece_len), err);
		n = MIN(from - r->piece_at, r->piece_len);
		r->piece_at += n;
		r->piece_len -= n;
		n = MIN(r->piece_len, at + len - from);
		if (k == 0 && r->piece_len > 0)
			k = must_take(r->replaced, dst + (from - at), (size_t) n, err);
		if (r->piece_len > 0) {
			r->piece_at += n;
			r->piece_len -= n;
			if (r->piece_at == at + len)
				return k;
		}
	}
	return k;
}

static ssize_t read_part(struct outline_reader *r, uint8_t *dst, size_t len, struct err *err)
{
	const struct tar_extent *x = &r->parts.extents[r->part];
	size_t n = (size_t) MIN((int64_t) len, x->len - r->at);
	ssize_t got = (ssize_t) n;
	int k = 0;

	if (!r->contents)
		memset(dst, 0, n);
	else if (r->replaced)
		k = read_kept(r, dst, n, (uint64_t) (x->offset + r->at), err);
	else
		got = pread(r->file, dst, n, x->offset + r->at);
	if (k < 0)
		return k;
	if (got <= 0)
		return got < 0 ? err_set_errno(err, errno, "read '%.200s'", r->path)
			       : err_set(err, EBADMSG, "'%.200s' is too short", r->path);
	r->at += got;
	return got;
}

static void close_file(struct outline_reader *r)
{
	sparse_done(&r->parts);
	r->file = safe_close(r->file);
	r->replaced = frames_free(r->replaced);
	r->part = 0;
	r->at = 0;
}

/* 1: there is none. */
static int next_record(struct outline_reader *r, struct err *err)
{
	uint8_t head[OUTLINE_HEAD];
	uint64_t number;
	int k = take(&r->main, head, sizeof(head), err);

	if (k != 0)
		return k;
	number = outline_get_u64(head + 1);
	r->order++;
	if (head[0] == OUTLINE_LITERAL) {
		r->literal = number;
		return 0;
	}
	if (head[0] > OUTLINE_KEPT)
		return damaged(err);
	k = take_path(&r->main, r->path, err);
	if (k == 0 && head[0] == OUTLINE_KEPT)
		return skip_pieces(&r->main, err);
	if (k == 0)
		k = take_parts(r, head[0], number, err);
	return k == 0 && r->contents ? open_content(r, err) : k;
}

ssize_t outline_read(struct outline_reader *r, void *buf, size_t len, struct err *err)
{
	for (;;) {
		int k;

		if (r->literal > 0) {
			size_t n = (size_t) MIN((uint64_t) len, r->literal);

			k = must_take(&r->main, buf, n, err);
			r->literal -= n;
			return k < 0 ? k : (ssize_t) n;
		}
		while (r->part < r->parts.n_extents && r->at == r->parts.extents[r->part].len)
			r->part++, r->at = 0;
		if (r->part < r->parts.n_extents)
			return read_part(r, buf, len, err);
		close_file(r);
		k = next_record(r, err);
		if (k != 0)
			return k < 0 ? k : 0;
	}
}

int outline_replay(int fd, int root_fd, outline_sink_fn sink, void *userdata, struct err *err)
{
	_cleanup_(outline_closep) struct outline_reader *r = NULL;
	uint8_t chunk[CHUNK];
	int k = outline_open(fd, root_fd, true, &r, err);

	while (k == 0) {
		ssize_t n = outline_read(r, chunk, sizeof(chunk), err);

		if (n <= 0)
			return (int) n;
		k = sink(userdata, chunk, (size_t) n);
	}
	return k;
}
