/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/jsonlog.h"

#include <stdint.h>
#include <string.h>

static char *put(char *p, const char *s)
{
	size_t n = strlen(s);

	memcpy(p, s, n);
	return p + n;
}

static char *put_digits(char *p, unsigned int value, int width)
{
	for (int i = width - 1; i >= 0; i--, value /= 10)
		p[i] = (char) ('0' + value % 10);
	return p + width;
}

/*
 * Days since 1970 to a date, proleptic Gregorian.
 * gmtime_r() would read time zone files and allocate.
 */
static void civil_from_days(int64_t days, unsigned int *y, unsigned int *m, unsigned int *d)
{
	int64_t z = days + 719468, era = z / 146097; /* days since 0000-03-01, eras of 400 years */
	unsigned int doe = (unsigned int) (z - era * 146097);
	unsigned int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (unsigned int) (era * 400) + yoe + (*m <= 2);
}

size_t jsonlog_format_time(const struct timespec *ts, char buf[JSONLOG_TIME_MAX])
{
	int64_t sec = ts->tv_sec < 0 ? 0 : ts->tv_sec;
	unsigned int of_day = (unsigned int) (sec % 86400), y, m, d;
	char *p = buf;

	civil_from_days(sec / 86400, &y, &m, &d);
	p = put_digits(p, y > 9999 ? 9999 : y, 4);
	*p++ = '-';
	p = put_digits(p, m, 2);
	*p++ = '-';
	p = put_digits(p, d, 2);
	*p++ = 'T';
	p = put_digits(p, of_day / 3600, 2);
	*p++ = ':';
	p = put_digits(p, of_day / 60 % 60, 2);
	*p++ = ':';
	p = put_digits(p, of_day % 60, 2);
	if (ts->tv_nsec > 0) {
		*p++ = '.';
		p = put_digits(p, (unsigned int) ts->tv_nsec, 9);
		while (p[-1] == '0')
			p--;
	}
	*p++ = 'Z';
	*p = '\0';
	return (size_t) (p - buf);
}

/* Length of the well-formed UTF-8 sequence at @s, or 0 (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *s, size_t len)
{
	unsigned char c = s[0], lo = 0x80, hi = 0xbf;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n < 2)
		return n;
	lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : lo;
	hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : hi;
	if (n > len || s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

static char *put_ascii(char *p, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&') {
		*p++ = (char) c;
		return p;
	}
	*p++ = '\\';
	if (c == '"' || c == '\\') {
		*p++ = (char) c;
	} else if (c == '\n' || c == '\r') {
		*p++ = c == '\n' ? 'n' : 'r';
	} else {
		p = put(p, "u00");
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	return p;
}

static char *put_escaped(char *p, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *) text;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(s + i, len - i);

		if (n == 1) {
			p = put_ascii(p, s[i]);
		} else if (n == 0) {
			p = put(p, "\\ufffd");
			n = 1;
		} else if (n == 3 && s[i] == 0xe2 && s[i + 1] == 0x80 && (s[i + 2] | 1) == 0xa9) {
			p = put(p, s[i + 2] & 1 ? "\\u2029" : "\\u2028");
		} else {
			memcpy(p, s + i, n);
			p += n;
		}
		i += n;
	}
	return p;
}

size_t jsonlog_format(char *out, const char *text, size_t len, bool newline, const char *stream,
		      const struct timespec *ts)
{
	char *p = put(out, "{\"log\":\"");

	p = put_escaped(p, text, len);
	p = put(p, newline ? "\\n\",\"stream\":\"" : "\",\"stream\":\"");
	p = put(p, stream);
	p = put(p, "\",\"time\":\"");
	p += jsonlog_format_time(ts, p);
	p = put(p, "\"}\n");
	return (size_t) (p - out);
}

char *jsonlog_space(struct jsonlog_stream *s, size_t *ret_len)
{
	*ret_len = sizeof(s->data) - s->len;
	return s->data + s->len;
}

/* Bytes at the end of a full buffer that begin a character which is not complete yet. */
static size_t incomplete_tail(const char *data, size_t len)
{
	for (size_t back = 1; back <= 3 && back < len; back++) {
		unsigned char c = (unsigned char) data[len - back];
		size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if ((c & 0xc0) == 0x80)
			continue;
		return want > back ? back : 0;
	}
	return 0;
}

void jsonlog_feed(struct jsonlog_stream *s, size_t n, bool eof, const struct timespec *now,
		  jsonlog_sink sink, void *userdata)
{
	size_t at = 0, part;
	char *nl;

	s->len += n;
	if (!s->in_line)
		s->time = *now;
	while ((nl = memchr(s->data + at, '\n', s->len - at))) {
		part = (size_t) (nl - s->data) - at;
		sink(userdata, s->data + at, part, true, s->name, &s->time);
		at += part + 1;
		s->in_line = false;
		s->time = *now;
	}
	part = s->len - at;
	if (part > 0 && (eof || part == sizeof(s->data))) {
		part -= eof ? 0 : incomplete_tail(s->data + at, part);
		sink(userdata, s->data + at, part, false, s->name, &s->time);
		at += part;
		s->in_line = !eof;
	}
	s->len -= at;
	if (at > 0 && s->len > 0)
		memmove(s->data, s->data + at, s->len);
}
