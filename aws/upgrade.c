/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to a WebSocket upgrade: bytes of a peer that is not yet trusted. */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/ws.h"
#include "common/macro.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

char *ws_accept_key(const char *key, char accept[29])
{
	_cleanup_(buf_done) struct buf b = {};
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	(void) buf_printf(&b, "%s%s", key, WS_GUID);
	if (b.failed || EVP_Digest(b.data, b.len, md, &n, EVP_sha1(), NULL) != 1 || n != 20)
		return memset(accept, 0, 29);
	(void) EVP_EncodeBlock((unsigned char *) accept, md, (int) n);
	return accept;
}

/* "HTTP/1.1 101 Switching Protocols" */
static int parse_status(const char *line, size_t len)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    (len > 12 && line[12] != ' ' && line[12] != '\r'))
		return -EPROTO;
	for (int i = 9; i < 12; i++)
		if (!isdigit((unsigned char) line[i]))
			return -EPROTO;
	return (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

/* The value of header @name in @head, blanks trimmed. False when absent. */
static bool find_header(const char *head, size_t len, const char *name, const char **ret,
			size_t *ret_len)
{
	size_t name_len = strlen(name);
	const char *end = head + len;

	for (const char *p = memchr(head, '\n', len); p && ++p < end;
	     p = memchr(p, '\n', (size_t) (end - p))) {
		const char *eol = memchr(p, '\n', (size_t) (end - p));
		const char *v = p + name_len + 1;

		eol = eol ? eol : end;
		if ((size_t) (eol - p) <= name_len || strncasecmp(p, name, name_len) != 0 ||
		    p[name_len] != ':')
			continue;
		while (v < eol && (*v == ' ' || *v == '\t'))
			v++;
		while (eol > v && isspace((unsigned char) eol[-1]))
			eol--;
		*ret = v;
		*ret_len = (size_t) (eol - v);
		return true;
	}
	return false;
}

static bool header_is(const char *head, size_t len, const char *name, const char *value)
{
	const char *v;
	size_t n;

	return find_header(head, len, name, &v, &n) && n == strlen(value) &&
	       strncasecmp(v, value, n) == 0;
}

/* Connection may be a list: "keep-alive, Upgrade" */
static bool connection_upgrades(const char *head, size_t len)
{
	const char *v;
	size_t n;

	if (!find_header(head, len, "connection", &v, &n))
		return false;
	for (size_t i = 0; i + 7 <= n; i++)
		if (strncasecmp(v + i, "upgrade", 7) == 0)
			return true;
	return false;
}

static int64_t content_length(const char *head, size_t len)
{
	const char *v;
	int64_t r = 0;
	size_t n;

	if (!find_header(head, len, "content-length", &v, &n) || n == 0 || n > 9)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char) v[i]))
			return -1;
		r = r * 10 + (v[i] - '0');
	}
	return r;
}

int64_t ws_upgrade_date_ms(const char *head, size_t len)
{
	char text[64];
	const char *v;
	time_t t;
	size_t n;

	if (!find_header(head, len, "date", &v, &n) || n == 0 || n >= sizeof(text))
		return 0;
	memcpy(text, v, n);
	text[n] = '\0';
	t = curl_getdate(text, NULL);
	return t > 0 ? (int64_t) t * 1000 : 0;
}

static int check_accept(const char *head, size_t len, const char *key, struct err *err)
{
	char want[29];
	const char *v;
	size_t n;

	if (!header_is(head, len, "upgrade", "websocket") || !connection_upgrades(head, len))
		return err_set(err, EPROTO, "upgrade: the peer switches to something else");
	if (!find_header(head, len, "sec-websocket-accept", &v, &n))
		return err_set(err, EPROTO, "upgrade: Sec-WebSocket-Accept: missing");
	if (n != 28 || memcmp(v, ws_accept_key(key, want), 28) != 0)
		return err_set(err, EPROTO, "upgrade: Sec-WebSocket-Accept does not fit our key");
	if (find_header(head, len, "sec-websocket-extensions", &v, &n) && n > 0)
		return err_set(err, EPROTO, "upgrade: an extension we did not ask for");
	return 0;
}

int ws_parse_upgrade(const char *data, size_t len, const char *key, size_t *ret_end,
		     int64_t *ret_content_length, struct err *err)
{
	const char *end = len >= 4 ? memmem(data, len, "\r\n\r\n", 4) : NULL;
	size_t head_len;
	int status;

	*ret_end = 0;
	*ret_content_length = -1;
	if (len > 0 && memcmp(data, "HTTP/1.", MIN(len, 7)) != 0)
		return err_set(err, EPROTO, "upgrade: the peer does not speak HTTP/1");
	if (!end)
		return len > WS_UPGRADE_HEADERS_MAX
			       ? err_set(err, EFBIG, "upgrade: headers over %d bytes",
					 WS_UPGRADE_HEADERS_MAX)
			       : 0;
	head_len = (size_t) (end - data) + 2;
	status = parse_status(data, head_len);
	if (status < 100)
		return err_set(err, EPROTO, "upgrade: bad status line");
	if (status == 101 && check_accept(data, head_len, key, err) < 0)
		return -EPROTO;
	*ret_end = head_len + 2;
	*ret_content_length = content_length(data, head_len);
	return status;
}
