/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "aws/credentials.h"
#include "common/cleanup.h"
#include "common/digest.h"
#include "common/macro.h"
#include "common/strv.h"

enum { HEADERS_MAX = 32, QUERY_PAIRS_MAX = 128 };

static bool unreserved(unsigned char c)
{
	return isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
}

void sigv4_uri_encode(const char *text, size_t len, int keep_slash, struct buf *ret)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) text[i];

		if (unreserved(c) || (c == '/' && keep_slash))
			(void) buf_append(ret, &text[i], 1);
		else
			(void) buf_printf(ret, "%%%02X", c);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char) tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX and '+' (a blank in a query string). */
static void query_decode(const char *s, size_t len, struct buf *ret)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i] == '+' ? ' ' : s[i];

		if (c == '%' && i + 2 < len && hex_digit(s[i + 1]) >= 0 &&
		    hex_digit(s[i + 2]) >= 0) {
			c = (char) (hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]));
			i += 2;
		}
		(void) buf_append(ret, &c, 1);
	}
}

/* Drops "." and empty segments and resolves "..", as every service but S3 wants it. */
static void append_normal_path(const char *path, struct buf *ret)
{
	size_t start = ret->len;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (ret->len > start && ret->data[--ret->len] != '/')
				;
			if (ret->data)
				ret->data[ret->len] = '\0';
		} else if (n > 0 && !(n == 1 && *p == '.')) {
			(void) buf_puts(ret, "/");
			sigv4_uri_encode(p, n, false, ret);
		}
		p += n;
		if (*p == '/' && p[1] == '\0')
			(void) buf_puts(ret, "/");
		p += *p == '/';
	}
	if (ret->len == start)
		(void) buf_puts(ret, "/");
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* A pair becomes "name\1value": \1 sorts before all that encoding leaves, so names go first. */
static int encode_pair(const char *pair, size_t len, char ***pairs)
{
	_cleanup_(buf_done) struct buf raw = {}, out = {};
	const char *eq = memchr(pair, '=', len);
	size_t name_len = eq ? (size_t) (eq - pair) : len;

	query_decode(pair, name_len, &raw);
	sigv4_uri_encode(buf_str(&raw), raw.len, false, &out);
	(void) buf_append(&out, "\1", 1);
	buf_reset(&raw);
	if (eq)
		query_decode(eq + 1, len - name_len - 1, &raw);
	sigv4_uri_encode(buf_str(&raw), raw.len, false, &out);
	return out.failed ? -ENOMEM : strv_append(pairs, buf_str(&out));
}

static int append_query(const char *query, struct buf *ret, struct err *err)
{
	_cleanup_(strv_freep) char **pairs = NULL;
	size_t n;

	for (const char *p = query ? query : ""; *p;) {
		n = strcspn(p, "&");
		if (n > 0 && encode_pair(p, n, &pairs) < 0)
			return err_set(err, ENOMEM, "sign: query");
		p += n;
		p += *p == '&';
	}
	n = strv_length(pairs);
	if (n > QUERY_PAIRS_MAX)
		return err_set(err, E2BIG, "sign: query has %zu pairs, at most %d", n,
			       QUERY_PAIRS_MAX);
	if (n > 0)
		qsort(pairs, n, sizeof(*pairs), compare_strings);
	for (size_t i = 0; i < n; i++) {
		*strchr(pairs[i], '\1') = '=';
		(void) buf_printf(ret, "%s%s", i ? "&" : "", pairs[i]);
	}
	return 0;
}

static int compare_headers(const void *a, const void *b)
{
	const struct sigv4_header *const *x = a, *const *y = b;
	int k = strcasecmp((*x)->name, (*y)->name);

	if (k != 0)
		return k;
	return *x < *y ? -1 : *x > *y; /* same name: in the order given */
}

static int sort_headers(const struct sigv4_request *r, const struct sigv4_header **sorted,
			struct err *err)
{
	if (r->n_headers > HEADERS_MAX)
		return err_set(err, E2BIG, "sign: %zu headers, at most %d", r->n_headers,
			       HEADERS_MAX);
	for (size_t i = 0; i < r->n_headers; i++)
		sorted[i] = &r->headers[i];
	qsort(sorted, r->n_headers, sizeof(*sorted), compare_headers);
	return 0;
}

static void append_lower(const char *s, struct buf *ret)
{
	for (; *s; s++) {
		char c = (char) tolower((unsigned char) *s);

		(void) buf_append(ret, &c, 1);
	}
}

/* Without blanks at the ends, inner runs of blanks made one. */
static void append_trimmed(const char *s, struct buf *ret)
{
	bool blank = false, any = false;

	for (; *s; s++) {
		if (*s == ' ' || *s == '\t') {
			blank = any;
			continue;
		}
		if (blank)
			(void) buf_puts(ret, " ");
		(void) buf_append(ret, s, 1);
		blank = false;
		any = true;
	}
}

static void append_headers(const struct sigv4_header **h, size_t n, struct buf *ret)
{
	for (size_t i = 0; i < n; i++) {
		bool again = i > 0 && strcasecmp(h[i - 1]->name, h[i]->name) == 0;

		if (again) {
			(void) buf_puts(ret, ",");
		} else {
			(void) buf_puts(ret, i ? "\n" : "");
			append_lower(h[i]->name, ret);
			(void) buf_puts(ret, ":");
		}
		append_trimmed(h[i]->value, ret);
	}
	(void) buf_puts(ret, "\n");
}

static void append_signed_names(const struct sigv4_header **h, size_t n, struct buf *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strcasecmp(h[i - 1]->name, h[i]->name) == 0)
			continue;
		(void) buf_puts(ret, i ? ";" : "");
		append_lower(h[i]->name, ret);
	}
}

int sigv4_canonical_request(const struct sigv4_request *r, struct buf *ret, struct err *err)
{
	const struct sigv4_header *sorted[HEADERS_MAX];
	char hash[SHA256_HEX_MAX];
	int k = sort_headers(r, sorted, err);

	if (k < 0)
		return k;
	(void) buf_printf(ret, "%s\n", r->method);
	if (r->encode_path_twice)
		append_normal_path(r->path, ret);
	else
		(void) buf_puts(ret, *r->path ? r->path : "/");
	(void) buf_puts(ret, "\n");
	k = append_query(r->query, ret, err);
	if (k < 0)
		return k;
	(void) buf_puts(ret, "\n");
	append_headers(sorted, r->n_headers, ret);
	(void) buf_puts(ret, "\n");
	append_signed_names(sorted, r->n_headers, ret);
	(void) buf_printf(ret, "\n%s",
			  r->payload_hash
				  ? r->payload_hash
				  : sha256_hex(r->payload ? r->payload : "", r->payload_len, hash));
	return ret->failed ? err_set(err, ENOMEM, "sign: canonical request") : 0;
}

char *sigv4_date(int64_t now_ms, char buf[SIGV4_DATE_MAX])
{
	time_t t = (time_t) (now_ms / 1000);
	struct tm tm = {};

	(void) gmtime_r(&t, &tm);
	(void) strftime(buf, SIGV4_DATE_MAX, "%Y%m%dT%H%M%SZ", &tm);
	return buf;
}

static void signing_key(const char *secret, const char *day, const char *region,
			const char *service, uint8_t key[SHA256_BYTES])
{
	_cleanup_(buf_done) struct buf first = {};
	uint8_t k[SHA256_BYTES];

	(void) buf_printf(&first, "AWS4%s", secret);
	hmac_sha256(buf_str(&first), first.len, day, 8, key);
	hmac_sha256(key, SHA256_BYTES, region, strlen(region), k);
	hmac_sha256(k, SHA256_BYTES, service, strlen(service), key);
	hmac_sha256(key, SHA256_BYTES, "aws4_request", strlen("aws4_request"), k);
	memcpy(key, k, SHA256_BYTES);
	OPENSSL_cleanse(k, sizeof(k));
	if (first.data)
		OPENSSL_cleanse(first.data, first.len);
}

int sigv4_authorization(const struct sigv4_request *r, const struct aws_keys *keys, struct buf *ret,
			struct err *err)
{
	_cleanup_(buf_done) struct buf canonical = {}, scope = {}, to_sign = {};
	const struct sigv4_header *sorted[HEADERS_MAX];
	char date[SIGV4_DATE_MAX], hash[SHA256_HEX_MAX], signature[SHA256_HEX_MAX];
	uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
	int k = sigv4_canonical_request(r, &canonical, err);

	if (k < 0)
		return k;
	(void) sort_headers(r, sorted, NULL);
	(void) sigv4_date(r->now_ms, date);
	(void) buf_printf(&scope, "%.8s/%s/%s/aws4_request", date, r->region, r->service);
	(void) buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, buf_str(&scope),
			  sha256_hex(buf_str(&canonical), canonical.len, hash));
	signing_key(keys->secret_access_key, date, r->region, r->service, key);
	hmac_sha256(key, sizeof(key), buf_str(&to_sign), to_sign.len, mac);
	OPENSSL_cleanse(key, sizeof(key));
	(void) buf_printf(ret,
			  "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", keys->access_key_id,
			  buf_str(&scope));
	append_signed_names(sorted, r->n_headers, ret);
	(void) buf_printf(ret, ", Signature=%s", hex_encode(mac, sizeof(mac), signature));
	return scope.failed || to_sign.failed || ret->failed ? err_set(err, ENOMEM, "sign") : 0;
}

struct url_parts {
	char *host; /* owned; with a port unless it is the scheme's own */
	char *path; /* owned */
	const char *query;
};

static void url_parts_done(struct url_parts *u)
{
	free(u->host);
	free(u->path);
}

static int url_split(const char *url, struct url_parts *ret, struct err *err)
{
	const char *host = strstr(url, "://"), *default_port, *end;
	size_t n, port;

	if (!host)
		return err_set(err, EINVAL, "URL '%s' has no scheme", url);
	default_port =
		strncmp(url, "https:", 6) == 0 || strncmp(url, "wss:", 4) == 0 ? ":443" : ":80";
	host += 3;
	n = strcspn(host, "/?#");
	end = host + n;
	port = strlen(default_port);
	if (n > port && strncmp(end - port, default_port, port) == 0)
		n -= port;
	ret->host = strndup(host, n);
	ret->path = strndup(end, strcspn(end, "?#"));
	ret->query = strchr(end, '?');
	ret->query = ret->query ? ret->query + 1 : "";
	return ret->host && ret->path ? 0 : err_set(err, ENOMEM, "split URL");
}

int sigv4_sign_url(const char *method, const char *url, const void *payload, size_t payload_len,
		   const char *region, const char *service, int64_t now_ms,
		   const struct aws_keys *keys, struct buf *ret, struct err *err)
{
	_cleanup_(url_parts_done) struct url_parts u = {};
	char date[SIGV4_DATE_MAX];
	int k = url_split(url, &u, err);

	if (k < 0)
		return k;
	(void) sigv4_date(now_ms, date);
	struct sigv4_header headers[] = {
		{ "host", u.host },
		{ "x-amz-date", date },
		{ "x-amz-security-token", keys ? keys->session_token : NULL },
	};
	struct sigv4_request r = {
		.method = method,
		.path = u.path,
		.query = u.query,
		.headers = headers,
		.n_headers = keys && keys->session_token ? 3 : 2,
		.payload = payload,
		.payload_len = payload_len,
		.region = region,
		.service = service,
		.now_ms = now_ms,
		.encode_path_twice = true,
	};
	if (keys) {
		(void) buf_puts(ret, "Authorization: ");
		k = sigv4_authorization(&r, keys, ret, err);
		if (k < 0)
			return k;
		(void) buf_puts(ret, "\r\n");
	}
	(void) buf_printf(ret, "Host: %s\r\nX-Amz-Date: %s\r\n", u.host, date);
	if (r.n_headers == 3)
		(void) buf_printf(ret, "X-Amz-Security-Token: %s\r\n", keys->session_token);
	return ret->failed ? err_set(err, ENOMEM, "sign") : 0;
}
