/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told without asking anybody. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/reach.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"

enum {
	FOUND_MAX = 512,
	PORTS_ENOUGH = 100,
	SKEW_SEEN_MS = 60 * 1000,
	SKEW_REFUSED_MS = 5 * 60 * 1000, /* what the service refuses */
};

json_t *reach_row(const char *check, enum reach_level level, const char *advice, const char *fmt,
		  ...)
{
	static const char *const names[] = { "ok", "warn", "bad" };
	char found[FOUND_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	for (char *s = found; *s; s++)
		if ((unsigned char) *s < ' ' || (unsigned char) *s >= 0x7f)
			*s = ' '; /* a line each; what others wrote need not be UTF-8 */
	return json_pack("{s:s, s:s, s:b, s:s, s:s}", "check", check, "level", names[level], "ok",
			 level != REACH_BAD, "found", found, "advice",
			 level == REACH_OK ? "" : advice);
}

/* ---- proxies ---- */

static void put_proxy(struct buf *b, const char *name, const char *url)
{
	const char *host = strstr(url, "://"), *at;
	int scheme = host ? (int) (host + 3 - url) : 0;

	host = url + scheme;
	at = memrchr(host, '@', strcspn(host, "/"));
	(void) buf_printf(b, "%s%s %.*s%s", b->len ? ", " : "", name, scheme, url,
			  at ? at + 1 : host);
}

json_t *reach_proxies(const struct config *c)
{
	_cleanup_(buf_done) struct buf b = {};

	if (c->https_proxy)
		put_proxy(&b, "HTTPS_PROXY", c->https_proxy);
	if (c->http_proxy)
		put_proxy(&b, "HTTP_PROXY", c->http_proxy);
	if (b.len && c->no_proxy)
		(void) buf_printf(&b, ", but not for %s", c->no_proxy);
	return reach_row("proxies", REACH_OK, "", "%s", b.len ? buf_str(&b) : "none");
}

/* ---- ports ---- */

static char *slurp(const char *root, const char *path)
{
	_cleanup_(freep) char *whole = path_join("%s%s", root, path);
	char *text = NULL;

	return whole && fs_read_file(AT_FDCWD, whole, 65536, &text, NULL, NULL) == 0 ? text : NULL;
}

/* @list as the kernel prints it: "8080,9148-9200". */
static bool is_listed(const char *list, unsigned port)
{
	unsigned a, b;

	for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		int n = sscanf(at, "%u-%u", &a, &b);

		if (n >= 1 && port >= a && port <= (n == 2 ? b : a))
			return true;
	}
	return false;
}

static bool is_reserved(const struct port_list *l, unsigned port)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->ports[i] == port)
			return true;
	return false;
}

json_t *reach_ports(const struct config *c, const char *root)
{
	static const char name[] = "dynamic ports";
	_cleanup_(freep) char *range = slurp(root, "/proc/sys/net/ipv4/ip_local_port_range");
	_cleanup_(freep) char *kept = slurp(root, "/proc/sys/net/ipv4/ip_local_reserved_ports");
	unsigned first = c->dynamic_port_first, last = c->dynamic_port_last, lo = 1, hi = 0;
	unsigned shared = 0, usable = 0;

	if (!range || sscanf(range, "%u %u", &lo, &hi) != 2)
		return reach_row(name, REACH_WARN, "mount /proc",
				 "%u-%u, and no ip_local_port_range", first, last);
	for (unsigned port = first; port <= last; port++) {
		shared += port >= lo && port <= hi && !is_listed(kept, port);
		usable += !is_reserved(&c->reserved_ports, port) &&
			  !is_reserved(&c->reserved_ports_udp, port);
	}
	if (usable < PORTS_ENOUGH)
		return reach_row(name, usable ? REACH_WARN : REACH_BAD,
				 "widen ECS_DYNAMIC_HOST_PORT_RANGE, or take ports out of "
				 "ECS_RESERVED_PORTS",
				 "%u-%u: %u of them are not reserved", first, last, usable);
	if (shared)
		return reach_row(
			name, REACH_WARN,
			"unset ECS_DYNAMIC_HOST_PORT_RANGE, or name the range in "
			"net.ipv4.ip_local_reserved_ports",
			"%u-%u: outgoing connections, which get %u-%u, may hold %u of them", first,
			last, lo, hi, shared);
	return reach_row(name, REACH_OK, "", "%u-%u, beside %u-%u of outgoing connections", first,
			 last, lo, hi);
}

/* ---- the clock ---- */

json_t *reach_clock(int64_t skew_ms)
{
	static const char name[] = "clock";
	long long off = llabs(skew_ms) / MSEC_PER_SEC;
	const char *where = skew_ms > 0 ? "behind" : "ahead of";

	if (llabs(skew_ms) < SKEW_SEEN_MS)
		return reach_row(name, REACH_OK, "", "within %lld s of the service's", off + 1);
	if (llabs(skew_ms) < SKEW_REFUSED_MS)
		return reach_row(
			name, REACH_WARN,
			"start chronyd or systemd-timesyncd: from five minutes on signatures "
			"are refused",
			"%lld s %s the service's", off, where);
	return reach_row(name, REACH_WARN,
			 "start chronyd or systemd-timesyncd: the agent signs with the service's "
			 "time, but certificates, logs and what tasks sign go by this clock",
			 "%lld s %s the service's", off, where);
}
