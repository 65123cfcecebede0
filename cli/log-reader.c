/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log-reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"

enum { FILES_MAX = 1000, LINE_MAX_BYTES = 4 * 1024 * 1024 };

static bool is_wanted(const json_t *o, const struct log_wish *w)
{
	int64_t at;

	if (!w->since_ms && !w->until_ms)
		return true;
	if (clock_parse_rfc3339(json_get_string(o, "time", ""), &at, NULL) < 0)
		return true;
	return at >= w->since_ms && (!w->until_ms || at <= w->until_ms);
}

int log_print_line(const char *line, size_t len, const struct log_wish *w, FILE *out, FILE *errs)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
	const json_t *text = json_object_get(o, "log");
	FILE *f = strcmp(json_get_string(o, "stream", "stdout"), "stderr") == 0 ? errs : out;

	if (!json_is_string(text))
		return -EBADMSG;
	if (!is_wanted(o, w))
		return 0;
	if (w->prefix)
		fputs(w->prefix, f);
	if (w->timestamps)
		fprintf(f, "%s ", json_get_string(o, "time", "-"));
	if (fwrite(json_string_value(text), 1, json_string_length(text), f) !=
	    json_string_length(text))
		return -EIO;
	return 0;
}

static int print_lines(struct log_reader *r)
{
	char *end;

	while ((end = r->rest.data ? memchr(r->rest.data, '\n', r->rest.len) : NULL)) {
		size_t n = (size_t) (end - r->rest.data);

		if (n > 0 && log_print_line(r->rest.data, n, &r->wish, stdout, stderr) == -EIO)
			return -EIO;
		buf_consume(&r->rest, n + 1);
	}
	if (r->rest.len > LINE_MAX_BYTES)
		buf_reset(&r->rest);
	return 0;
}

/* Prints what is new. Returns 1 when there was something, 0 when not, or a negative errno. */
static int drain(struct log_reader *r)
{
	char chunk[65536];
	bool any = false;
	ssize_t n;

	while (r->fd >= 0 && (n = read(r->fd, chunk, sizeof(chunk))) > 0) {
		any = true;
		if (!buf_append(&r->rest, chunk, (size_t) n))
			return -ENOMEM;
		if (print_lines(r) < 0)
			return -EIO;
	}
	return any;
}

static int open_rotated(const char *path, int n)
{
	char name[4096];

	(void) snprintf(name, sizeof(name), n ? "%s.%d" : "%s", path, n);
	return open(name, O_RDONLY | O_CLOEXEC);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * A rotation renames the oldest file first, so names only ever rise, and while one is under way a
 * single name is missing: two in a row are the end. Sets *@ret_fd to the file, or to -EBADF for a gap.
 */
static bool open_unless_past_end(const char *path, int n, int *ret_fd)
{
	char next[4096];

	*ret_fd = open_rotated(path, n);
	if (*ret_fd >= 0)
		return true;
	*ret_fd = -EBADF;
	(void) snprintf(next, sizeof(next), "%s.%d", path, n + 1);
	return access(next, F_OK) == 0;
}

/* Which file we read by now: 0 the current one, n the n-th before it, FILES_MAX none that is left. */
static int our_place(const struct log_reader *r)
{
	struct stat ours, it;

	if (r->fd < 0 || fstat(r->fd, &ours) < 0)
		return FILES_MAX;
	for (int n = 0; n < FILES_MAX; n++) {
		_cleanup_(closep) int fd = -EBADF;

		if (!open_unless_past_end(r->path, n, &fd))
			break;
		if (fd >= 0 && fstat(fd, &it) == 0 && same_file(&it, &ours))
			return n;
	}
	return FILES_MAX;
}

static int open_oldest(const char *path)
{
	int oldest = -EBADF, fd;

	for (int n = 0; n < FILES_MAX && open_unless_past_end(path, n, &fd); n++) {
		if (fd < 0)
			continue;
		oldest = safe_close(oldest);
		oldest = fd;
	}
	return oldest;
}

/*
 * Opens the file that came right after ours. When ours still has its name once the other is open,
 * no rotation came between and the other is its successor; else somebody has to look again.
 */
static int open_successor(const struct log_reader *r, int place)
{
	int fd = place < FILES_MAX ? open_rotated(r->path, place - 1) : open_oldest(r->path);

	if (fd >= 0 && place < FILES_MAX && our_place(r) != place)
		fd = safe_close(fd);
	return fd;
}

/* Reads on into the files that came after ours. Returns as drain(). */
static int go_on(struct log_reader *r)
{
	int place, any = 0, k = 0;

	while (k >= 0 && (place = our_place(r)) != 0) {
		int fd;

		k = drain(r); /* what was written before it was renamed */
		any |= k > 0;
		fd = k >= 0 ? open_successor(r, place) : -EBADF;
		if (fd < 0)
			break; /* in the middle of a rotation: the next look finds it */
		r->fd = safe_close(r->fd);
		r->fd = fd;
		k = drain(r);
		any |= k > 0;
	}
	return k < 0 ? k : any;
}

int log_reader_more(struct log_reader *r)
{
	int any = go_on(r), k = any < 0 ? any : drain(r);

	return k < 0 ? k : any > 0 || k > 0;
}

void log_reader_done(struct log_reader *r)
{
	r->fd = safe_close(r->fd);
	buf_done(&r->rest);
}

/* ---- what is there already ---- */

/* Where the last @tail lines of the file start; *tail goes down by the lines found. */
static off_t tail_offset(int fd, long *tail)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	char chunk[65536];

	while (at > 0) {
		size_t n = (size_t) MIN(at, (off_t) sizeof(chunk));

		if (pread(fd, chunk, n, at - (off_t) n) != (ssize_t) n)
			return at;
		for (size_t j = n; j-- > 0;) {
			off_t pos = at - (off_t) n + (off_t) j;

			if (chunk[j] != '\n' || pos == end - 1)
				continue;
			if (--*tail == 0)
				return pos + 1;
		}
		at -= (off_t) n;
	}
	if (end > 0)
		--*tail;
	return 0;
}

/* Opens all files there are, newest first: a rotation on the way shows a file again, never skips one. */
static int open_all(const char *path, int fds[FILES_MAX])
{
	ino_t seen[FILES_MAX];
	struct stat st;
	int count = 0, fd;

	for (int n = 0; count < FILES_MAX && open_unless_past_end(path, n, &fd); n++) {
		bool known = fd < 0 || fstat(fd, &st) < 0;

		for (int i = 0; i < count && !known; i++)
			known = seen[i] == st.st_ino;
		if (known) {
			fd = safe_close(fd);
			continue;
		}
		seen[count] = st.st_ino;
		fds[count++] = fd;
	}
	return count;
}

int log_reader_past(struct log_reader *r, long tail)
{
	int fds[FILES_MAX], n = open_all(r->path, fds), k = 0;

	for (int i = 0; i < n && tail >= 0; i++)
		(void) lseek(fds[i], tail > 0 ? tail_offset(fds[i], &tail) : 0,
			     tail > 0 ? SEEK_SET : SEEK_END);
	while (n-- > 0) {
		r->fd = safe_close(r->fd);
		r->fd = fds[n];
		if (k >= 0)
			k = drain(r);
	}
	return k;
}
