/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <strings.h>

#include "agent/config-internal.h"
#include "common/clock.h"
#include "common/strv.h"

/* ---- text ---- */

static int parse_string(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	if (strdup_to(FIELD_OF(char *, c, k), text) < 0)
		return err_set(err, ENOMEM, "allocate value");
	return 0;
}

static bool format_string(const struct config *c, const struct config_key *k, struct buf *b)
{
	const char *s = *CONST_FIELD_OF(char *, c, k);

	return s && buf_puts(b, s);
}

static void done_string(struct config *c, const struct config_key *k)
{
	char **s = FIELD_OF(char *, c, k);

	if (*s && k->secret)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

const struct config_type config_string = { "string", parse_string, format_string, done_string };

/* A URL or a bare host, which gets https:// in front as in the reference agent. */
static int parse_host(struct config *c, const struct config_key *k, const char *text,
		      struct err *err)
{
	bool has_scheme =
		strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
	_cleanup_(freep) char *url = NULL;

	if (strcspn(text, " \t\"'<>\\") != strlen(text) || (!has_scheme && strstr(text, "://")))
		return err_set(err, EINVAL, "'%.200s' is not a host or an http or https URL", text);
	if (asprintf(&url, "%s%s", has_scheme ? "" : "https://", text) < 0)
		return err_set(err, ENOMEM, "allocate value");
	while (url[strlen(url) - 1] == '/' && !strchr("/:", url[strlen(url) - 2]))
		url[strlen(url) - 1] = '\0';
	return parse_string(c, k, url, err);
}

const struct config_type config_host = { "URL", parse_host, format_string, done_string };

/*
 * The reference agent lives in a container: its /data is the host's /var/lib/ecs/data, its /log is
 * /var/log/ecs. Files written for it must keep their meaning.
 */
static const struct {
	const char *inside, *host;
} container_paths[] = {
	{ "/data", "/var/lib/ecs/data" },
	{ "/log", "/var/log/ecs" },
};

static const char *host_prefix(const char *text, const char **ret_rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(container_paths); i++) {
		size_t n = strlen(container_paths[i].inside);
		const char *rest = text + n;

		if (strncmp(text, container_paths[i].inside, n) != 0 || (*rest && *rest != '/'))
			continue;
		if (strcmp(container_paths[i].inside, "/data") == 0 && *rest && rest[1])
			continue; /* /data/x was never one of the container's own paths */
		*ret_rest = rest;
		return container_paths[i].host;
	}
	*ret_rest = text;
	return "";
}

static int parse_path(struct config *c, const struct config_key *k, const char *text,
		      struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	const char *rest, *prefix;
	int r;

	if (*text != '/')
		return err_set(err, EINVAL, "'%.200s' is not an absolute path", text);
	if (strstr(text, "/../") || strlen(text) >= PATH_MAX)
		return err_set(err, EINVAL, "'%.200s' is not a usable path", text);
	prefix = host_prefix(text, &rest);
	if (asprintf(&path, "%s%s", prefix, rest) < 0)
		return err_set(err, ENOMEM, "allocate value");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	r = parse_string(c, k, path, err);
	if (r < 0 || !*prefix)
		return r;
	(void) err_set(err, EINVAL, "'%.200s' is %.200s outside a container", text, path);
	return CONFIG_E_ADJUSTED;
}

const struct config_type config_path = { "path", parse_path, format_string, done_string };

static int parse_ifname(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	size_t n = strlen(text);

	if (n >= IFNAMSIZ || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789_-") != n)
		return err_set(err, EINVAL,
			       "'%.64s' is not an interface name: 1..%d of A-Z a-z 0-9 _ -", text,
			       IFNAMSIZ - 1);
	return parse_string(c, k, text, err);
}

const struct config_type config_ifname = { "interface name", parse_ifname, format_string,
					   done_string };

static int parse_group(struct config *c, const struct config_key *k, const char *text,
		       struct err *err)
{
	if (*text != '/' || !text[1] || strstr(text, "..") || strpbrk(text, " \t:") ||
	    text[strlen(text) - 1] == '/' || strlen(text) > 128)
		return err_set(err, EINVAL, "'%.140s' is not a control group such as /ecs", text);
	return parse_string(c, k, text, err);
}

const struct config_type config_group = { "control group", parse_group, format_string,
					  done_string };

/* ---- booleans and names ---- */

static int parse_bool(struct config *c, const struct config_key *k, const char *text,
		      struct err *err)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*FIELD_OF(bool, c, k) = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(err, EINVAL, "'%.64s' is neither true nor false", text);
}

static bool format_bool(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, *CONST_FIELD_OF(bool, c, k) ? "true" : "false");
}

const struct config_type config_bool = { "boolean", parse_bool, format_bool, NULL };

static int parse_name(const char *const *names, size_t n, const char *text, struct err *err)
{
	_cleanup_(buf_done) struct buf all = {};

	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, names[i]) == 0)
			return (int) i;
		buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
	}
	(void) err_set(err, EINVAL, "'%.64s' is not one of %s", text, buf_str(&all));
	return -EINVAL;
}

static const char *const pull_names[] = { "default", "always", "once", "prefer-cached" };

static int parse_pull_behavior(struct config *c, const struct config_key *k, const char *text,
			       struct err *err)
{
	int i = parse_name(pull_names, ARRAY_SIZE(pull_names), text, err);

	if (i >= 0)
		*FIELD_OF(enum pull_behavior, c, k) = (enum pull_behavior) i;
	return i < 0 ? i : 0;
}

static bool format_pull_behavior(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, pull_names[*CONST_FIELD_OF(enum pull_behavior, c, k)]);
}

const struct config_type config_pull_behavior = { "default, always, once or prefer-cached",
						  parse_pull_behavior, format_pull_behavior, NULL };

static const char *const ip_names[] = { "auto", "ipv4", "ipv6" };

/* Also as the AWS SDKs write them: IPv6. */
static int parse_family(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(ip_names); i++) {
		if (strcasecmp(text, ip_names[i]) != 0)
			continue;
		*FIELD_OF(enum family, c, k) = (enum family) i;
		return 0;
	}
	return parse_name(ip_names, ARRAY_SIZE(ip_names), text, err);
}

static bool format_family(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, ip_names[*CONST_FIELD_OF(enum family, c, k)]);
}

const struct config_type config_family = { "auto, ipv4 or ipv6", parse_family, format_family, NULL };

static const char *const rollover_names[] = { "size", "hourly", "none" };

static int parse_log_rollover(struct config *c, const struct config_key *k, const char *text,
			      struct err *err)
{
	int i = parse_name(rollover_names, ARRAY_SIZE(rollover_names), text, err);

	if (i >= 0)
		*FIELD_OF(enum log_rollover, c, k) = (enum log_rollover) i;
	return i < 0 ? i : 0;
}

static bool format_log_rollover(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, rollover_names[*CONST_FIELD_OF(enum log_rollover, c, k)]);
}

const struct config_type config_log_rollover = { "size, hourly or none", parse_log_rollover,
						 format_log_rollover, NULL };

static const char *const format_names[] = { "logfmt", "json" };

static int parse_log_format(struct config *c, const struct config_key *k, const char *text,
			    struct err *err)
{
	int i = parse_name(format_names, ARRAY_SIZE(format_names), text, err);

	if (i >= 0)
		*FIELD_OF(enum log_format, c, k) = (enum log_format) i;
	return i < 0 ? i : 0;
}

static bool format_log_format(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, format_names[*CONST_FIELD_OF(enum log_format, c, k)]);
}

const struct config_type config_log_format = { "logfmt or json", parse_log_format,
					       format_log_format, NULL };

static int parse_log_level(struct config *c, const struct config_key *k, const char *text,
			   struct err *err)
{
	return log_level_parse(text, FIELD_OF(enum log_level, c, k), err);
}

static bool format_log_level(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_puts(b, log_level_name(*CONST_FIELD_OF(enum log_level, c, k)));
}

const struct config_type config_log_level = { "crit, error, warn, info, debug or none",
					      parse_log_level, format_log_level, NULL };

/* ---- numbers ---- */

int config_parse_whole(const char *text, int64_t *ret)
{
	char *end;
	long long v;

	if (!isdigit((unsigned char) *text) && *text != '-')
		return -EINVAL;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* Brings @v within the row's bounds as the row says; the bounds are written with @show. */
static int bound(const struct config_key *k, const char *text, int64_t *v,
		 char *(*show)(int64_t v, char *buf), struct err *err)
{
	char lo[DURATION_TEXT_MAX], hi[DURATION_TEXT_MAX];
	int64_t inside = *v;

	if (k->min == 0 && k->max == 0)
		return 0;
	inside = CLAMP(*v, k->min, k->max ? k->max : INT64_MAX);
	if (inside == *v)
		return 0;
	(void) err_set(err, ERANGE, "'%.64s' is outside %s..%s", text, show(k->min, lo),
		       k->max ? show(k->max, hi) : "");
	if (k->outside != OUTSIDE_CLAMP)
		return -ERANGE;
	*v = inside;
	return CONFIG_E_ADJUSTED;
}

static char *show_int(int64_t v, char *buf)
{
	(void) snprintf(buf, DURATION_TEXT_MAX, "%lld", (long long) v);
	return buf;
}

static int parse_int(struct config *c, const struct config_key *k, const char *text,
		     struct err *err)
{
	int64_t v;
	int r;

	if (config_parse_whole(text, &v) < 0)
		return err_set(err, EINVAL, "'%.64s' is not a whole number of %lld..%lld", text,
			       (long long) k->min, (long long) k->max);
	r = bound(k, text, &v, show_int, err);
	if (r >= 0)
		*FIELD_OF(int64_t, c, k) = v;
	return r;
}

static bool format_int(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_printf(b, "%lld", (long long) *CONST_FIELD_OF(int64_t, c, k));
}

const struct config_type config_int = { "number", parse_int, format_int, NULL };
const struct config_type config_mib = { "MiB", parse_int, format_int, NULL };

static int parse_port(struct config *c, const struct config_key *k, const char *text,
		      struct err *err)
{
	int64_t v;

	if (config_parse_whole(text, &v) < 0 || v < 1 || v > UINT16_MAX)
		return err_set(err, EINVAL, "'%.64s' is not a port of 1..65535", text);
	*FIELD_OF(uint16_t, c, k) = (uint16_t) v;
	return 0;
}

static bool format_port(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_printf(b, "%u", *CONST_FIELD_OF(uint16_t, c, k));
}

const struct config_type config_port = { "port", parse_port, format_port, NULL };

static int parse_double(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || *end || end == text || !(v >= (double) k->min && v <= (double) k->max))
		return err_set(err, EINVAL, "'%.64s' is not a number of %lld..%lld", text,
			       (long long) k->min, (long long) k->max);
	*FIELD_OF(double, c, k) = v;
	return 0;
}

static bool format_double(const struct config *c, const struct config_key *k, struct buf *b)
{
	return buf_printf(b, "%g", *CONST_FIELD_OF(double, c, k));
}

const struct config_type config_double = { "number", parse_double, format_double, NULL };

static int parse_duration(struct config *c, const struct config_key *k, const char *text,
			  struct err *err)
{
	int64_t v;
	int r = duration_parse_ms(text, &v, err);

	if (r < 0)
		return r;
	if (v < 0)
		return err_set(err, ERANGE, "'%.64s' is negative", text);
	r = bound(k, text, &v, duration_format_ms, err);
	if (r >= 0)
		*FIELD_OF(int64_t, c, k) = v;
	return r;
}

static bool format_duration(const struct config *c, const struct config_key *k, struct buf *b)
{
	char text[DURATION_TEXT_MAX];

	return buf_puts(b, duration_format_ms(*CONST_FIELD_OF(int64_t, c, k), text));
}

const struct config_type config_duration = { "duration", parse_duration, format_duration, NULL };

/* Written as a duration, kept in microseconds. */
static int parse_period(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	int64_t v;
	int r = duration_parse_ms(text, &v, err);

	if (r < 0)
		return r;
	r = bound(k, text, &v, duration_format_ms, err);
	if (r >= 0)
		*FIELD_OF(int64_t, c, k) = v * USEC_PER_MSEC;
	return r;
}

static bool format_period(const struct config *c, const struct config_key *k, struct buf *b)
{
	char text[DURATION_TEXT_MAX];

	return buf_puts(b,
			duration_format_ms(*CONST_FIELD_OF(int64_t, c, k) / USEC_PER_MSEC, text));
}

const struct config_type config_period = { "duration", parse_period, format_period, NULL };
