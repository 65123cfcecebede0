/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"

static const char *const level_names[] = { "crit", "error", "warn", "info", "debug" };
/* What the reference agent writes; it spells the first one out. */
static const char *const level_labels[] = { "critical", "error", "warn", "info", "debug" };

static struct {
	struct log_params p;
	char *file; /* owned copy of p.file */
	int fd;     /* of file */
	int64_t file_bytes;
	int64_t file_hour;
	bool to_journal;
} out = {
	.p = { .stream_level = LOG_INFO, .file_level = LOG_NONE, .stream_fd = STDERR_FILENO },
	.fd = -EBADF,
};

int log_level_parse(const char *text, enum log_level *ret, struct err *err)
{
	if (strcasecmp(text, "none") == 0) {
		*ret = LOG_NONE;
		return 0;
	}
	for (int i = 0; i < _LOG_LEVEL_MAX; i++) {
		if (strcasecmp(text, level_names[i]) == 0 ||
		    strcasecmp(text, level_labels[i]) == 0) {
			*ret = (enum log_level) i;
			return 0;
		}
	}
	return err_set(err, EINVAL, "'%.32s' is not one of crit, error, warn, info, debug, none",
		       text);
}

const char *log_level_name(enum log_level level)
{
	return level == LOG_NONE ? "none" : level_names[level];
}

bool log_enabled(enum log_level level)
{
	return (int) level <= (int) out.p.stream_level || (int) level <= (int) out.p.file_level;
}

/* systemd sets JOURNAL_STREAM to device:inode of the stream it connected to us. */
static bool stream_is_journal(int fd)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return s && sscanf(s, "%llu:%llu", &dev, &ino) == 2 && fstat(fd, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

static int open_file(struct err *err)
{
	_cleanup_(freep) char *dir = strdup(out.file);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;

	if (slash && slash != dir) {
		*slash = '\0';
		if (fs_mkdir_p(dir, 0755, err) < 0)
			return err_wrap(err, "log file");
	}
	out.fd = open(out.file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (out.fd < 0 || fstat(out.fd, &st) < 0)
		return err_set_errno(err, errno, "open log file '%s'", out.file);
	out.file_bytes = st.st_size;
	out.file_hour = clock_real_ms() / 3600000;
	return 0;
}

int log_open(const struct log_params *p, struct err *err)
{
	log_close();
	out.p = *p;
	out.p.file = NULL;
	out.to_journal = stream_is_journal(p->stream_fd);
	if (!p->file)
		return 0;
	out.file = strdup(p->file);
	if (!out.file)
		return err_set(err, ENOMEM, "open log file");
	return open_file(err);
}

void log_close(void)
{
	out.fd = safe_close(out.fd);
	free(out.file);
	out.file = NULL;
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
static void rotate_by_size(void)
{
	_cleanup_(freep) char *dir_path = strdup(out.file), *to = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	char *slash = dir_path ? strrchr(dir_path, '/') : NULL;
	const char *name = slash ? slash + 1 : out.file;
	int next;

	if (slash)
		*slash = '\0';
	dir = opendir(!slash ? "." : *dir_path ? dir_path : "/");
	if (!dir)
		return;
	next = look_through_rotated(dir, name, 0) + 1;
	if (asprintf(&to, "%s.%d", out.file, next) < 0) {
		to = NULL;
		return;
	}
	(void) rename(out.file, to);
	(void) look_through_rotated(dir, name, next + 1 - out.p.max_files);
}

static void rotate_by_hour(int64_t hour)
{
	time_t sec = (time_t) (out.file_hour * 3600),
	       old = (time_t) ((hour - out.p.max_files) * 3600);
	char stamp[32], name[4096];
	struct tm tm;

	if (gmtime_r(&sec, &tm) && strftime(stamp, sizeof(stamp), "%Y-%m-%d-%H", &tm) > 0) {
		(void) snprintf(name, sizeof(name), "%s.%s", out.file, stamp);
		(void) rename(out.file, name);
	}
	if (gmtime_r(&old, &tm) && strftime(stamp, sizeof(stamp), "%Y-%m-%d-%H", &tm) > 0) {
		(void) snprintf(name, sizeof(name), "%s.%s", out.file, stamp);
		(void) unlink(name);
	}
}

static void rotate_if_due(void)
{
	int64_t hour = clock_real_ms() / 3600000;

	if (out.p.rollover == LOG_ROLL_SIZE && out.p.max_file_bytes > 0 &&
	    out.file_bytes > out.p.max_file_bytes)
		rotate_by_size();
	else if (out.p.rollover == LOG_ROLL_HOURLY && hour != out.file_hour)
		rotate_by_hour(hour);
	else
		return;
	out.fd = safe_close(out.fd);
	(void) open_file(NULL);
}

/* Quotes the way Go's %q does for what is ASCII; other UTF-8 stays as it is. */
static void put_quoted(struct buf *b, const char *s)
{
	(void) buf_append(b, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char) *s;

		if (c == '"' || c == '\\')
			(void) buf_printf(b, "\\%c", c);
		else if (c == '\n')
			(void) buf_puts(b, "\\n");
		else if (c == '\t')
			(void) buf_puts(b, "\\t");
		else if (c == '\r')
			(void) buf_puts(b, "\\r");
		else if (c < 0x20 || c == 0x7f)
			(void) buf_printf(b, "\\x%02x", c);
		else
			(void) buf_append(b, s, 1);
	}
	(void) buf_append(b, "\"", 1);
}

static void put_json(struct buf *b, const char *key, const char *value)
{
	_cleanup_(json_decrefp) json_t *v = json_string(value);
	_cleanup_(freep) char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;

	if (!text) /* not UTF-8: the quoted form is ASCII-safe enough to keep the line */
		text = strdup("\"(not UTF-8)\"");
	(void) buf_printf(b, "%s\"%s\":%s", b->len > 1 ? "," : "", key, text ? text : "\"\"");
}

static void build_line(struct buf *b, enum log_level level, const struct log_field *fields,
		       const char *msg)
{
	char stamp[CLOCK_RFC3339_MAX];

	(void) clock_format_rfc3339(clock_real_ms(), 0, stamp);
	if (out.p.format == LOG_JSON) {
		(void) buf_puts(b, "{");
		put_json(b, "level", level_labels[level]);
		put_json(b, "time", stamp);
		put_json(b, "msg", msg);
		for (; fields && fields->key; fields++)
			if (fields->value)
				put_json(b, fields->key, fields->value);
		(void) buf_puts(b, "}\n");
		return;
	}
	(void) buf_printf(b, "level=%s time=%s msg=", level_labels[level], stamp);
	put_quoted(b, msg);
	for (; fields && fields->key; fields++) {
		if (fields->value) {
			(void) buf_printf(b, " %s=", fields->key);
			put_quoted(b, fields->value);
		}
	}
	(void) buf_puts(b, "\n");
}

static void send_journal(enum log_level level, const struct log_field *fields, const char *msg)
{
	static const int priority[] = { 2, 3, 4, 6, 7 };
	struct buf parts[16] = {};
	struct iovec iov[16];
	int n = 0;

	(void) buf_printf(&parts[n++], "MESSAGE=%s", msg);
	(void) buf_printf(&parts[n++], "PRIORITY=%d", priority[level]);
	for (; fields && fields->key && n < (int) ARRAY_SIZE(parts); fields++) {
		struct buf *b = &parts[n];

		if (!fields->value)
			continue;
		(void) buf_printf(b, "%s=%s", fields->key, fields->value);
		for (char *c = b->data; c && *c != '='; c++)
			*c = (char) toupper((unsigned char) *c);
		n++;
	}
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *) buf_str(&parts[i]), parts[i].len };
	(void) sd_journal_sendv(iov, n);
	for (int i = 0; i < n; i++)
		buf_done(&parts[i]);
}

void log_emit(enum log_level level, const struct log_field *fields, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf line = {};
	_cleanup_(freep) char *msg = NULL;
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vasprintf(&msg, fmt, ap) < 0)
		msg = NULL;
	va_end(ap);
	if (!msg)
		return;
	build_line(&line, level, fields, msg);
	if ((int) level <= (int) out.p.stream_level) {
		if (out.to_journal)
			send_journal(level, fields, msg);
		else
			(void) fs_write_all(out.p.stream_fd, buf_str(&line), line.len);
	}
	if (out.fd >= 0 && (int) level <= (int) out.p.file_level) {
		rotate_if_due();
		if (fs_write_all(out.fd, buf_str(&line), line.len) == 0)
			out.file_bytes += (int64_t) line.len;
	}
	errno = saved;
}
