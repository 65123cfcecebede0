/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rotate.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"

static int open_file(struct rotating *f, struct err *err)
{
	_cleanup_(freep) char *dir = strdup(f->path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;

	if (slash && slash != dir) {
		*slash = '\0';
		if (fs_mkdir_p(dir, 0755, err) < 0)
			return -err->code;
	}
	f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return err_set_errno(err, errno, "open '%s'", f->path);
	f->bytes = st.st_size;
	f->hour = clock_real_ms() / 3600000;
	return 0;
}

int rotating_open(struct rotating *f, const struct rotate_params *p, struct err *err)
{
	_cleanup_(err_done) struct err mine = {};
	int k;

	*f = (struct rotating){ .path = strdup(p->path),
				.fd = -EBADF,
				.rollover = p->rollover,
				.max_bytes = p->max_bytes,
				.max_files = p->max_files };
	k = f->path ? open_file(f, &mine) : err_set(&mine, ENOMEM, "open '%s'", p->path);
	if (k < 0) {
		rotating_close(f);
		return err_move(err, &mine);
	}
	return 0;
}

void rotating_close(struct rotating *f)
{
	f->fd = safe_close(f->fd);
	free(f->path);
	f->path = NULL;
}

/* The number in "<name>.<number>"; 0: it is another file. */
static int rotated_number(const char *entry, const char *name)
{
	size_t n = strlen(name);
	char *end = NULL;
	long number;

	if (strncmp(entry, name, n) != 0 || entry[n] != '.' ||
	    !isdigit((unsigned char) entry[n + 1]))
		return 0;
	number = strtol(entry + n + 1, &end, 10);
	return *end || number > INT_MAX - 1 ? 0 : (int) number;
}

/* Newest number of the rotated files; those below @keep_from are removed. */
static int look_through_rotated(DIR *dir, const char *name, int keep_from)
{
	const struct dirent *e;
	int newest = 0;

	rewinddir(dir);
	while ((e = readdir(dir))) {
		int number = rotated_number(e->d_name, name);

		newest = MAX(newest, number);
		if (number > 0 && number < keep_from)
			(void) unlinkat(dirfd(dir), e->d_name, 0);
	}
	return newest;
}

/* agent.log.1, .2, …: newer is higher, as the reference keeps them; the lowest ones go. */
static void rotate_by_size(const struct rotating *f)
{
	_cleanup_(freep) char *dir_path = strdup(f->path), *to = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	char *slash = dir_path ? strrchr(dir_path, '/') : NULL;
	const char *name = slash ? slash + 1 : f->path;
	int next;

	if (slash)
		*slash = '\0';
	dir = opendir(!slash ? "." : *dir_path ? dir_path : "/");
	if (!dir)
		return;
	next = look_through_rotated(dir, name, 0) + 1;
	if (asprintf(&to, "%s.%d", f->path, next) < 0) {
		to = NULL;
		return;
	}
	(void) rename(f->path, to);
	(void) look_through_rotated(dir, name, next + 1 - f->max_files);
}

static void rotate_by_hour(const struct rotating *f, int64_t hour)
{
	time_t sec = (time_t) (f->hour * 3600), old = (time_t) ((hour - f->max_files) * 3600);
	char stamp[32], name[4096];
	struct tm tm;

	if (gmtime_r(&sec, &tm) && strftime(stamp, sizeof(stamp), "%Y-%m-%d-%H", &tm) > 0) {
		(void) snprintf(name, sizeof(name), "%s.%s", f->path, stamp);
		(void) rename(f->path, name);
	}
	if (gmtime_r(&old, &tm) && strftime(stamp, sizeof(stamp), "%Y-%m-%d-%H", &tm) > 0) {
		(void) snprintf(name, sizeof(name), "%s.%s", f->path, stamp);
		(void) unlink(name);
	}
}

static int rotate_if_due(struct rotating *f)
{
	int64_t hour = clock_real_ms() / 3600000;

	if (f->rollover == LOG_ROLL_SIZE && f->max_bytes > 0 && f->bytes > f->max_bytes)
		rotate_by_size(f);
	else if (f->rollover == LOG_ROLL_HOURLY && hour != f->hour)
		rotate_by_hour(f, hour);
	else
		return 0;
	f->fd = safe_close(f->fd);
	return open_file(f, NULL);
}

int rotating_write(struct rotating *f, const void *data, size_t len)
{
	int k = f->fd < 0 ? -EBADF : rotate_if_due(f);

	if (k == 0)
		k = fs_write_all(f->fd, data, len);
	if (k == 0)
		f->bytes += (int64_t) len;
	return k;
}
