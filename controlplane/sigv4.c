/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/sigv4.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/strv.h"
#include "controlplane/sigv4_keys.h"

enum { MAX_CANONICAL_BYTES = 1 << 20, AMZ_DATE_LEN = 16 };

const char *sigv4_error_name(enum sigv4_answer answer)
{
	static const char *const names[_SIGV4_ANSWER_MAX] = {
		[SIGV4_OK] = "",
		[SIGV4_E_MISSING] = "MissingAuthenticationTokenException",
		[SIGV4_E_INCOMPLETE] = "IncompleteSignatureException",
		[SIGV4_E_UNKNOWN_KEY] = "UnrecognizedClientException",
		[SIGV4_E_MISMATCH] = "InvalidSignatureException",
		[SIGV4_E_EXPIRED] = "InvalidSignatureException",
		[SIGV4_E_BAD_TOKEN] = "UnrecognizedClientException",
	};

	return names[answer];
}

static const char *find_header(const struct sigv4_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       strchr("-_.~", c);
}

static void encode_byte(struct buf *b, unsigned char c)
{
	if (c && is_unreserved(c))
		(void) buf_append(b, &c, 1);
	else
		(void) buf_printf(b, "%%%02X", c);
}

/*
 * The path of every service but S3: dot segments and repeated slashes resolved, then each byte
 * encoded once more than on the wire, so "%20" becomes "%2520".
 */
static void add_canonical_path(struct buf *b, const char *path)
{
	const char *segment[256];
	size_t length[ARRAY_SIZE(segment)], n = 0;
	bool slash = *path && path[strlen(path) - 1] == '/';

	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		slash |= len > 0 && path[len] == '\0' && len <= 2 && strspn(path, ".") == len;
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			n -= n > 0;
		} else if (len > 0 && !(len == 1 && *path == '.') && n < ARRAY_SIZE(segment)) {
			segment[n] = path;
			length[n++] = len;
		}
		path += len;
	}
	for (size_t i = 0; i < n; i++) {
		(void) buf_puts(b, "/");
		for (size_t j = 0; j < length[i]; j++)
			encode_byte(b, (unsigned char) segment[i][j]);
	}
	if (slash || n == 0)
		(void) buf_puts(b, "/");
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int) (p - digits) % 16 : -1;
}

/* Decodes one query component ('+' is a blank, as form encoding has it) and encodes it canonically.
 */
static char *recode(const char *text, size_t len)
{
	struct buf b = { .max_bytes = MAX_CANONICAL_BYTES };

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char) text[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
			   hex_digit(text[i + 2]) >= 0) {
			c = (unsigned char) (hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
			i += 2;
		}
		encode_byte(&b, c);
	}
	if (!b.failed && !b.data)
		return strdup("");
	return buf_take(&b);
}

struct query_pair {
	char *key, *value;
};

static int compare_pairs(const void *a, const void *b)
{
	const struct query_pair *x = a, *y = b;
	int k = strcmp(x->key, y->key);

	return k ? k : strcmp(x->value, y->value);
}

static int add_canonical_query(struct buf *b, const char *query, struct err *err)
{
	struct query_pair pairs[SIGV4_MAX_QUERY_PAIRS] = {};
	size_t n = 0;
	bool bad = false;

	while (query && *query && n < ARRAY_SIZE(pairs)) {
		size_t len = strcspn(query, "&"), key_len = strcspn(query, "=&");

		if (len > 0) {
			pairs[n].key = recode(query, key_len);
			pairs[n].value = key_len < len
						 ? recode(query + key_len + 1, len - key_len - 1)
						 : strdup("");
			bad |= !pairs[n].key || !pairs[n].value;
			n++;
		}
		query += len + (query[len] == '&');
	}
	if (!bad)
		qsort(pairs, n, sizeof(*pairs), compare_pairs);
	for (size_t i = 0; i < n; i++) {
		if (!bad)
			(void) buf_printf(b, "%s%s=%s", i ? "&" : "", pairs[i].key, pairs[i].value);
		free(pairs[i].key);
		free(pairs[i].value);
	}
	if (bad)
		return err_set(err, ENOMEM, "copy the query");
	if (query && *query)
		return err_set(err, EPROTO, "the query has more than %d parameters",
			       SIGV4_MAX_QUERY_PAIRS);
	return 0;
}

/* A value without outer blanks, runs of blanks made one. */
static void add_trimmed(struct buf *b, const char *value)
{
	value += strspn(value, " \t");
	while (*value) {
		size_t n = strcspn(value, " \t"), blanks = strspn(value + n, " \t");

		(void) buf_append(b, value, n);
		value += n + blanks;
		if (blanks && *value)
			(void) buf_puts(b, " ");
	}
}

static int add_canonical_headers(struct buf *b, const struct sigv4_auth *a,
				 const struct sigv4_request *r, struct err *err)
{
	for (char **name = a->signed_headers; *name; name++) {
		size_t seen = 0;

		(void) buf_printf(b, "%s:", *name);
		for (size_t i = 0; i < r->n_headers; i++) {
			if (strcasecmp(r->headers[i].name, *name) != 0)
				continue;
			if (seen++)
				(void) buf_puts(b, ",");
			add_trimmed(b, r->headers[i].value ? r->headers[i].value : "");
		}
		if (!seen)
			return err_set(err, EPROTO, "the signed header '%.64s' is absent", *name);
		(void) buf_puts(b, "\n");
	}
	(void) buf_puts(b, "\n");
	for (char **name = a->signed_headers; *name; name++)
		(void) buf_printf(b, "%s%s", name == a->signed_headers ? "" : ";", *name);
	return 0;
}

static int canonical_request(const struct sigv4_auth *a, const struct sigv4_request *r,
			     struct buf *b, struct err *err)
{
	char hash[SHA256_HEX_MAX];
	int k;

	(void) buf_printf(b, "%s\n", r->method);
	add_canonical_path(b, r->path);
	(void) buf_puts(b, "\n");
	k = add_canonical_query(b, r->query, err);
	if (k < 0)
		return k;
	(void) buf_puts(b, "\n");
	k = add_canonical_headers(b, a, r, err);
	if (k < 0)
		return k;
	(void) buf_printf(b, "\n%s",
			  sha256_hex(r->payload ? r->payload : "", r->payload_len, hash));
	return b->failed ? err_set(err, EPROTO, "the signed part of the request exceeds %d bytes",
				   MAX_CANONICAL_BYTES)
			 : 0;
}

static void derive_key(const struct sigv4_auth *a, const char *secret, uint8_t key[SHA256_BYTES])
{
	struct buf start = {};

	(void) buf_printf(&start, "AWS4%s", secret);
	hmac_sha256(buf_str(&start), start.len, a->date, strlen(a->date), key);
	hmac_sha256(key, SHA256_BYTES, a->region, strlen(a->region), key);
	hmac_sha256(key, SHA256_BYTES, a->service, strlen(a->service), key);
	hmac_sha256(key, SHA256_BYTES, "aws4_request", strlen("aws4_request"), key);
	if (start.data)
		explicit_bzero(start.data, start.len);
	buf_done(&start);
}

int sigv4_compute(const struct sigv4_auth *a, const struct sigv4_request *r, const char *secret,
		  char *hex, struct err *err)
{
	_cleanup_(buf_done) struct buf canonical = { .max_bytes = MAX_CANONICAL_BYTES }, text = {};
	const char *date = find_header(r, "x-amz-date");
	char hash[SHA256_HEX_MAX];
	uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
	int k;

	k = canonical_request(a, r, &canonical, err);
	if (k < 0)
		return k;
	(void) buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s",
			  date ? date : "", a->date, a->region, a->service,
			  sha256_hex(buf_str(&canonical), canonical.len, hash));
	if (text.failed)
		return err_set(err, ENOMEM, "build the string to sign");
	derive_key(a, secret, key);
	hmac_sha256(key, sizeof(key), text.data, text.len, mac);
	explicit_bzero(key, sizeof(key));
	(void) hex_encode(mac, sizeof(mac), hex);
	return 0;
}

/* "20250101T000000Z" */
static int parse_amz_date(const char *text, int64_t *ret_ms)
{
	struct tm tm = {};
	const char *end;

	if (strlen(text) != AMZ_DATE_LEN || text[8] != 'T' || text[15] != 'Z' ||
	    strspn(text, "0123456789") != 8 || strspn(text + 9, "0123456789") != 6)
		return -EINVAL;
	end = strptime(text, "%Y%m%dT%H%M%SZ", &tm);
	if (!end || *end)
		return -EINVAL;
	*ret_ms = (int64_t) timegm(&tm) * MSEC_PER_SEC;
	return 0;
}

static int refuse(enum sigv4_answer answer, struct err *err, const char *text)
{
	(void) err_set(err, EACCES, "%s", text);
	return answer;
}

static int check_date(const struct sigv4_auth *a, const struct sigv4_request *r, bool strict,
		      int64_t now_ms, struct err *err)
{
	const char *date = find_header(r, "x-amz-date");
	int64_t at_ms = 0;

	if (!date)
		return refuse(SIGV4_E_INCOMPLETE, err,
			      "Authorization header requires existence of either a 'X-Amz-Date' or "
			      "a 'Date' header.");
	if (parse_amz_date(date, &at_ms) < 0)
		return refuse(SIGV4_E_INCOMPLETE, err,
			      "Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'");
	if (strncmp(date, a->date, 8) != 0)
		return refuse(SIGV4_E_MISMATCH, err,
			      "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
			      "version of date from HTTP");
	if (strict && now_ms - at_ms > SIGV4_MAX_SKEW_SEC * MSEC_PER_SEC) {
		(void) err_set(err, EACCES, "Signature expired: %s is older than 5 min.", date);
		return SIGV4_E_EXPIRED;
	}
	if (strict && at_ms - now_ms > SIGV4_MAX_SKEW_SEC * MSEC_PER_SEC) {
		(void) err_set(err, EACCES,
			       "Signature not yet current: %s is more than 5 min. ahead", date);
		return SIGV4_E_EXPIRED;
	}
	return SIGV4_OK;
}

/* What must hold whether or not the secret is known. */
static int check_shape(const struct sigv4_auth *a, const struct sigv4_request *r, struct err *err)
{
	if (!strv_contains(a->signed_headers, "host"))
		return refuse(SIGV4_E_INCOMPLETE, err, "'host' must be a signed header.");
	if (!strv_contains(a->signed_headers, "x-amz-date"))
		return refuse(SIGV4_E_INCOMPLETE, err, "'x-amz-date' must be a signed header.");
	if (r->length_unsigned && strv_contains(a->signed_headers, "content-length"))
		return refuse(SIGV4_E_MISMATCH, err, "content-length must not be signed.");
	if (find_header(r, "x-amz-security-token") &&
	    !strv_contains(a->signed_headers, "x-amz-security-token"))
		return refuse(SIGV4_E_BAD_TOKEN, err,
			      "'x-amz-security-token' must be a signed header.");
	if (strcmp(a->service, "ecs") != 0)
		return refuse(SIGV4_E_MISMATCH, err,
			      "Credential should be scoped to correct service: 'ecs'.");
	for (char **name = a->signed_headers; *name; name++)
		if (!find_header(r, *name)) {
			(void) err_set(err, EACCES, "the signed header '%.64s' is absent", *name);
			return SIGV4_E_INCOMPLETE;
		}
	return SIGV4_OK;
}

static int check_key(const struct sigv4_keys *keys, const struct sigv4_auth *a,
		     const struct sigv4_request *r, struct err *err)
{
	const struct sigv4_key *key = sigv4_keys_find(keys, a->access_key);
	const char *token = find_header(r, "x-amz-security-token");
	char hex[SHA256_HEX_MAX];
	int k;

	if (!key)
		return refuse(SIGV4_E_UNKNOWN_KEY, err,
			      "The security token included in the request is invalid.");
	if (key->token ? !token || strcmp(key->token, token) != 0 : token != NULL)
		return refuse(SIGV4_E_BAD_TOKEN, err,
			      "The security token included in the request is invalid.");
	k = sigv4_compute(a, r, key->secret, hex, err);
	if (k < 0)
		return k == -EPROTO ? SIGV4_E_INCOMPLETE : k;
	if (CRYPTO_memcmp(hex, a->signature, 64) != 0)
		return refuse(SIGV4_E_MISMATCH, err,
			      "The request signature we calculated does not match the signature "
			      "you provided. Check your AWS Secret Access Key and signing method. "
			      "Consult the service documentation for details.");
	return SIGV4_OK;
}

int sigv4_verify(const struct sigv4_keys *keys, const struct sigv4_request *r, int64_t now_ms,
		 struct err *err)
{
	_cleanup_(sigv4_auth_done) struct sigv4_auth a = {};
	const char *header = find_header(r, "authorization");
	int k;

	if (!header)
		return keys ? refuse(SIGV4_E_MISSING, err, "Missing Authentication Token")
			    : SIGV4_OK;
	k = sigv4_parse_authorization(header, &a, err);
	if (k < 0)
		return k == -EPROTO ? SIGV4_E_INCOMPLETE : k;
	k = check_shape(&a, r, err);
	if (k == SIGV4_OK)
		k = check_date(&a, r, keys != NULL, now_ms, err);
	if (k == SIGV4_OK && keys)
		k = check_key(keys, &a, r, err);
	return k;
}
