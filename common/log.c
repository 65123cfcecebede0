/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be that of log_emit() */
#include <systemd/sd-journal.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"

static const char *const level_names[] = { "crit", "error", "warn", "info", "debug" };
/* What the reference agent writes; it spells the first one out. */
static const char *const level_labels[] = { "critical", "error", "warn", "info", "debug" };

static struct {
	struct log_params p;
	struct rotating file;
	bool to_journal;
} out = {
	.p = { .stream_level = LOG_INFO, .file_level = LOG_NONE, .stream_fd = STDERR_FILENO },
	.file = ROTATING_CLOSED,
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

int log_open(const struct log_params *p, struct err *err)
{
	const struct rotate_params r = { .path = p->file,
					 .rollover = p->rollover,
					 .max_bytes = p->max_file_bytes,
					 .max_files = p->max_files };
	int k;

	log_close();
	out.p = *p;
	out.p.file = NULL;
	out.to_journal = stream_is_journal(p->stream_fd);
	k = p->file ? rotating_open(&out.file, &r, err) : 0;
	return k < 0 ? err_wrap(err, "log file") : 0;
}

void log_close(void)
{
	rotating_close(&out.file);
}

/* The way Go's %q does it for what is ASCII; other UTF-8 stays as it is. */
static void put_escaped(struct buf *b, const char *s, bool quotes)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char) *s;

		if (quotes && (c == '"' || c == '\\'))
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
}

static void put_quoted(struct buf *b, const char *s)
{
	(void) buf_append(b, "\"", 1);
	put_escaped(b, s, true);
	(void) buf_append(b, "\"", 1);
}

static bool is_end(const struct log_field *f)
{
	return !f || (!f->key && !f->journal);
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
		for (; !is_end(fields); fields++)
			if (fields->value && fields->key)
				put_json(b, fields->key, fields->value);
		(void) buf_puts(b, "}\n");
		return;
	}
	(void) buf_printf(b, "level=%s time=%s msg=", level_labels[level], stamp);
	put_quoted(b, msg);
	for (; !is_end(fields); fields++) {
		if (fields->value && fields->key) {
			(void) buf_printf(b, " %s=", fields->key);
			put_quoted(b, fields->value);
		}
	}
	(void) buf_puts(b, "\n");
}

/* Whoever reads it there sees a line, too; journalctl shows no message that has control bytes. */
static void send_journal(enum log_level level, const struct log_field *fields, const char *msg)
{
	static const int priority[] = { 2, 3, 4, 6, 7 };
	struct buf parts[16] = {};
	struct iovec iov[16];
	int n = 0;

	(void) buf_puts(&parts[n], "MESSAGE=");
	put_escaped(&parts[n++], msg, false);
	(void) buf_printf(&parts[n++], "PRIORITY=%d", priority[level]);
	for (; !is_end(fields) && n < (int) ARRAY_SIZE(parts); fields++) {
		struct buf *b = &parts[n];

		if (!fields->value || !*fields->value)
			continue;
		(void) buf_printf(b, "%s=%s", fields->journal ? fields->journal : fields->key,
				  fields->value);
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
	if (out.file.fd >= 0 && (int) level <= (int) out.p.file_level)
		(void) rotating_write(&out.file, buf_str(&line), line.len);
	errno = saved;
}
