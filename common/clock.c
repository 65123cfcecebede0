/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock_ns(clockid_t id)
{
	struct timespec ts = {};

	(void) clock_gettime(id, &ts); /* cannot fail with these ids */
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_ns() / NSEC_PER_MSEC;
}

int64_t clock_real_ms(void)
{
	return read_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC;
}

char *clock_format_rfc3339(int64_t real_ms, int with_ms, char *buf)
{
	time_t sec = (time_t) (real_ms / MSEC_PER_SEC);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&sec, &tm) || tm.tm_year > 9999 - 1900)
		memset(&tm, 0, sizeof(tm)), tm.tm_mday = 1;
	n = strftime(buf, CLOCK_RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (with_ms)
		(void) snprintf(buf + n, CLOCK_RFC3339_MAX - n, ".%03dZ",
				(int) (real_ms % MSEC_PER_SEC));
	else
		(void) snprintf(buf + n, CLOCK_RFC3339_MAX - n, "Z");
	return buf;
}

static const char *parse_fraction(const char *p, int *ret_ms)
{
	int ms = 0, scale = 100;

	for (p++; isdigit((unsigned char) *p); p++, scale /= 10)
		ms += (*p - '0') * scale;
	*ret_ms = ms;
	return p;
}

static int parse_offset(const char *p, int *ret_sec)
{
	int h, m, n = 0;

	if (*p == 'Z' || *p == 'z') {
		*ret_sec = 0;
		return p[1] ? -EINVAL : 0;
	}
	if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &h, &m, &n) != 2 || p[1 + n])
		return -EINVAL;
	*ret_sec = (h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
	return 0;
}

int clock_parse_rfc3339(const char *text, int64_t *ret_real_ms, struct err *err)
{
	struct tm tm = {};
	int ms = 0, offset;
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (p && *p == '.')
		p = parse_fraction(p, &ms);
	if (!p || parse_offset(p, &offset) < 0)
		return err_set(err, EINVAL, "'%.64s' is not an RFC 3339 time", text);
	*ret_real_ms = ((int64_t) timegm(&tm) - offset) * MSEC_PER_SEC + ms;
	return 0;
}

#define NO_DURATION "'%.64s' is not a duration such as 30s or 1m30s"

static double unit_ms(const char **p)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "ns", 1e-6 }, { "us", 1e-3 }, { "µs", 1e-3 },  { "ms", 1 },
		{ "s", 1e3 },   { "m", 60e3 },  { "h", 3600e3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t n = strlen(units[i].name);

		if (strncmp(*p, units[i].name, n) == 0) {
			*p += n;
			return units[i].ms;
		}
	}
	return -1;
}

int duration_parse_ms(const char *text, int64_t *ret_ms, struct err *err)
{
	const char *p = text;
	double total = 0;
	int sign = 1;

	if (*p == '+' || *p == '-')
		sign = *p++ == '-' ? -1 : 1;
	if (strcmp(p, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	if (!*p)
		return err_set(err, EINVAL, NO_DURATION, text);
	while (*p) {
		size_t digits = strspn(p, "0123456789."); /* strtod() alone would take 0x1p3 */
		char number[32];
		double unit;

		const char *dot = memchr(p, '.', digits);

		if (digits == 0 || digits >= sizeof(number) || (dot && digits == 1) ||
		    (dot && memchr(dot + 1, '.', digits - (size_t) (dot + 1 - p))))
			return err_set(err, EINVAL, NO_DURATION, text);
		(void) snprintf(number, sizeof(number), "%.*s", (int) digits, p);
		p += digits;
		unit = unit_ms(&p);
		if (unit < 0)
			return err_set(err, EINVAL,
				       "'%.64s' lacks a unit: write 30s, 1m30s or 300ms", text);
		total += strtod(number, NULL) * unit;
	}
	if (total > 9e15)
		return err_set(err, ERANGE, "'%.64s' is too long a duration", text);
	/* 1.001 * 1000 is a little less than 1001; a nanosecond makes up for it. */
	*ret_ms = sign * (int64_t) (total + 1e-6);
	return 0;
}

char *duration_format_ms(int64_t ms, char *buf)
{
	int64_t h = ms / 3600000, m = ms / 60000 % 60, rest = ms % 60000;
	char sec[16];

	if (ms < 1000) {
		(void) snprintf(buf, DURATION_TEXT_MAX, ms == 0 ? "0s" : "%lldms", (long long) ms);
		return buf;
	}
	(void) snprintf(sec, sizeof(sec), "%g", (double) rest / 1000);
	if (h > 0)
		(void) snprintf(buf, DURATION_TEXT_MAX, "%lldh%lldm%ss", (long long) h,
				(long long) m, sec);
	else if (m > 0)
		(void) snprintf(buf, DURATION_TEXT_MAX, "%lldm%ss", (long long) m, sec);
	else
		(void) snprintf(buf, DURATION_TEXT_MAX, "%ss", sec);
	return buf;
}
