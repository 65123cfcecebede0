/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/macro.h"

enum { TAIL_WINDOW = 4096, FILES_MAX = 1000, SUFFIX_MAX = 16 };

static int open_at(const char *path, int flags)
{
	return open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0640);
}

/* An entry ends with a newline: what comes after the last one was never finished. */
static int64_t whole_size(int fd, int64_t size)
{
	char window[TAIL_WINDOW];

	for (int64_t end = size; end > 0;) {
		int64_t from = end > TAIL_WINDOW ? end - TAIL_WINDOW : 0;
		ssize_t n = pread(fd, window, (size_t) (end - from), (off_t) from);
		char *nl;

		if (n <= 0)
			return size;
		nl = memrchr(window, '\n', (size_t) n);
		if (nl)
			return from + (nl - window) + 1;
		end = from;
	}
	return 0;
}

int logfile_open(struct logfile *f)
{
	struct stat st;
	int64_t whole;

	f->fd = -1;
	if (!f->path)
		return 0;
	f->fd = open_at(f->path, 0);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	whole = whole_size(f->fd, st.st_size);
	if (whole != st.st_size && ftruncate(f->fd, whole) < 0)
		return -errno;
	f->size = whole;
	return 0;
}

static bool with_suffix(char *buf, const char *path, const char *suffix, int number)
{
	int n = number > 0 ? snprintf(buf, PATH_MAX, "%s.%d", path, number)
			   : snprintf(buf, PATH_MAX, "%s%s", path, suffix);

	return n > 0 && n < PATH_MAX;
}

/* The oldest goes, the others move up by one; then .1 is free. */
static void shift_old(const char *path, int max_files)
{
	char from[PATH_MAX], to[PATH_MAX];

	for (int i = MIN(max_files, FILES_MAX) - 1; i >= 1; i--) {
		if (!with_suffix(to, path, NULL, i) ||
		    (i > 1 && !with_suffix(from, path, NULL, i - 1)))
			return;
		if (i == 1)
			(void) unlink(to); /* already renamed to .2, or there is none */
		else
			(void) rename(from, to);
	}
}

/*
 * The new file is made first and renamed over the present one, which by then also has its name .1:
 * whoever opens the path finds a file at every moment, and a full disk leaves things as they were.
 */
static void rotate(struct logfile *f)
{
	char fresh[PATH_MAX], first[PATH_MAX];
	bool kept = true;
	int fd;

	if (!with_suffix(fresh, f->path, ".new", 0) || !with_suffix(first, f->path, NULL, 1))
		return;
	(void) unlink(fresh);
	fd = open_at(fresh, O_EXCL);
	if (fd < 0)
		return;
	if (f->max_files > 1) {
		shift_old(f->path, f->max_files);
		if (link(f->path, first) < 0)
			kept = false;
	}
	if (!kept || rename(fresh, f->path) < 0) {
		(void) unlink(fresh);
		(void) close(fd);
		return;
	}
	(void) close(f->fd);
	f->fd = fd;
	f->size = 0;
}

/* Writes all or nothing, so that entries stay whole on a full disk. Returns 0 or -errno. */
static int write_whole(struct logfile *f, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(f->fd, data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int k = -errno;

			if (done > 0 && ftruncate(f->fd, (off_t) f->size) < 0)
				f->size += (int64_t) done;
			return k;
		}
		done += (size_t) n;
	}
	f->size += (int64_t) len;
	return 0;
}

static int tell_dropped(struct logfile *f)
{
	char text[160], entry[512];
	struct timespec now;
	int n;
	size_t len;

	(void) clock_gettime(CLOCK_REALTIME, &now);
	n = snprintf(text, sizeof(text),
		     "ecs-shim: %llu log entries (%llu bytes) are missing here: %s",
		     (unsigned long long) f->dropped_entries, (unsigned long long) f->dropped_bytes,
		     f->dropped_code == ENOSPC || f->dropped_code == EDQUOT
			     ? "the disk was full"
			     : "the log could not be written");
	len = jsonlog_format(entry, text, (size_t) n, true, "stderr", &now);
	return write_whole(f, entry, len);
}

void logfile_flush(struct logfile *f)
{
	int k = 0;

	if (f->pending == 0)
		return;
	if (f->dropped_entries > 0)
		k = tell_dropped(f);
	if (k == 0) {
		f->dropped_entries = f->dropped_bytes = 0;
		f->dropped_code = 0;
		k = write_whole(f, f->out, f->pending);
	}
	if (k < 0) {
		f->dropped_entries += f->pending_entries;
		f->dropped_bytes += f->pending;
		f->dropped_code = f->dropped_code ? f->dropped_code : -k;
	}
	f->pending = f->pending_entries = 0;
}

void logfile_put(void *userdata, const char *text, size_t len, bool newline, const char *stream,
		 const struct timespec *ts)
{
	struct logfile *f = userdata;
	size_t n;

	if (f->fd < 0)
		return;
	if (sizeof(f->out) - f->pending < 6 * len + 160)
		logfile_flush(f);
	n = jsonlog_format(f->out + f->pending, text, len, newline, stream, ts);
	if (f->max_bytes > 0 && f->size + (int64_t) (f->pending + n) > f->max_bytes &&
	    f->size + (int64_t) f->pending > 0) {
		size_t at = f->pending;

		logfile_flush(f);
		if (f->size > 0)
			rotate(f);
		memmove(f->out, f->out + at, n);
	}
	f->pending += n;
	f->pending_entries++;
}
