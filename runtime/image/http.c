/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/image/trust.h"

enum {
	CONNECT_TIMEOUT_MS = 15000,
	SMALL_TIMEOUT_MS = 60000,
	HEADERS_MAX = 256,
	ERROR_BODY_MAX = 64 * 1024,
	RECEIVE_BUFFER = 512 * 1024,
	STEP_MS = 250,
	AUTHORITIES_MAX = 8 << 20,
};

/* What is known of one host. */
struct host {
	struct host *next;
	char *name; /* owned: "name[:port]" */
	struct trust trust;
};

struct http {
	struct http_params params;
	CURLM *multi;
	struct host *hosts; /* owned list */
};

int http_open(const struct http_params *p, struct http **ret, struct err *err)
{
	_cleanup_(http_closep) struct http *h = calloc(1, sizeof(*h));

	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ENOMEM, "set up HTTP");
	h->params = *p;
	h->multi = curl_multi_init();
	if (!h->multi)
		return err_set(err, ENOMEM, "set up HTTP");
	*ret = TAKE_PTR(h);
	return 0;
}

struct http *http_close(struct http *h)
{
	if (!h)
		return NULL;
	(void) curl_multi_cleanup(h->multi);
	while (h->hosts) {
		struct host *host = h->hosts;

		h->hosts = host->next;
		trust_done(&host->trust);
		free(host->name);
		free(host);
	}
	free(h);
	return NULL;
}

static void release(struct http_request *req)
{
	if (req->easy) {
		if (req->running)
			(void) curl_multi_remove_handle(req->http->multi, req->easy);
		curl_easy_cleanup(req->easy);
	}
	curl_slist_free_all(req->headers);
	req->easy = NULL;
	req->headers = NULL;
	req->running = false;
}

static void reset_answer(struct http_request *req)
{
	free(req->content_type);
	free(req->content_digest);
	free(req->challenge);
	free(req->redirect);
	buf_done(&req->body);
	req->content_type = req->content_digest = req->challenge = req->redirect = NULL;
	req->done = req->failed = false;
	req->code = CURLE_OK;
	req->status = req->proxy_status = 0;
	req->content_start = -1;
	req->retry_after_s = 0;
	req->why_not[0] = '\0';
	req->callback_error = 0;
}

void http_request_done(struct http_request *req)
{
	release(req);
	reset_answer(req);
	free(req->url);
	free(req->authorization);
	req->url = req->authorization = NULL;
}

static size_t on_write(char *data, size_t size, size_t n, void *userdata)
{
	struct http_request *req = userdata;
	size_t len = size * n;
	long status = 0;
	int k;

	(void) curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &status);
	if (req->on_data && (status == 200 || status == 206)) {
		req->status = status;
		k = req->on_data(req, data, len);
		if (k == HTTP_PAUSE)
			return CURL_WRITEFUNC_PAUSE;
		req->callback_error = k < 0 ? k : 0;
		return k < 0 ? 0 : len;
	}
	if (status >= 300) { /* what an error says beyond the bound is of no use */
		size_t room = ERROR_BODY_MAX - MIN(req->body.len, (size_t) ERROR_BODY_MAX);

		(void) buf_append(&req->body, data, MIN(len, room));
		return len;
	}
	if (req->body.len + len > req->body_max || !buf_append(&req->body, data, len)) {
		req->callback_error = -EFBIG;
		return 0;
	}
	return len;
}

/* The value of header @name in the line, trimmed; NULL when it is another header. Owned. */
static char *header_value(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	for (n++; n < len && (line[n] == ' ' || line[n] == '\t');)
		n++;
	while (len > n && strchr(" \t\r\n", line[len - 1]))
		len--;
	return strndup(line + n, len - n);
}

static void take_header(char **slot, const char *line, size_t len, const char *name)
{
	char *v = header_value(line, len, name);

	if (!v)
		return;
	free(*slot);
	*slot = v;
}

/* Several challenges are one list. */
static void take_challenge(struct http_request *req, const char *line, size_t len)
{
	_cleanup_(freep) char *v = header_value(line, len, "WWW-Authenticate");
	char *both = NULL;

	if (!v)
		return;
	if (!req->challenge) {
		req->challenge = TAKE_PTR(v);
	} else if (strlen(req->challenge) < 16384 &&
		   asprintf(&both, "%s, %s", req->challenge, v) >= 0) {
		free(req->challenge);
		req->challenge = both;
	}
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
	_cleanup_(freep) char *range = NULL;
	struct http_request *req = userdata;
	size_t len = size * n;
	long long start;

	take_header(&req->content_type, line, len, "Content-Type");
	take_header(&req->content_digest, line, len, "Docker-Content-Digest");
	take_challenge(req, line, len);
	range = header_value(line, len, "Content-Range");
	if (range && sscanf(range, "bytes %lld-", &start) == 1)
		req->content_start = start;
	return len;
}

/* No registry lives at a link-local address, but the instance's credentials do. */
static bool is_forbidden(const struct sockaddr *sa)
{
	static const struct in6_addr metadata = { { { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54 } } };
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) (const void *) sa;
	const uint8_t *v4 = NULL;

	if (sa->sa_family == AF_INET)
		v4 = (const uint8_t *) &((const struct sockaddr_in *) (const void *) sa)->sin_addr;
	else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		v4 = in6->sin6_addr.s6_addr + 12; /* ::ffff:169.254.169.254 */
	if (v4)
		return v4[0] == 169 && v4[1] == 254;
	return sa->sa_family == AF_INET6 && (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ||
					     IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, &metadata));
}

static curl_socket_t on_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void) userdata, (void) purpose;
	if (is_forbidden(&a->addr))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int add_header(struct http_request *req, const char *name, const char *value)
{
	_cleanup_(freep) char *line = NULL;
	struct curl_slist *l;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	l = curl_slist_append(req->headers, line);
	if (!l)
		return -ENOMEM;
	req->headers = l;
	return 0;
}

/* The system's authorities: where they are in one file, that has to be added to the registry's own. */
static int add_system_authorities(struct trust *t, CURL *e, struct err *err)
{
	_cleanup_(freep) char *system = NULL, *both = NULL;
	const char *path = getenv("SSL_CERT_FILE");
	char *built_in = NULL;
	size_t len = 0;

	(void) curl_easy_getinfo(e, CURLINFO_CAINFO, &built_in);
	path = path && *path ? path : built_in;
	if (!path || fs_read_file(AT_FDCWD, path, AUTHORITIES_MAX, &system, &len, NULL) < 0)
		return 0;
	both = malloc(t->authorities_len + len + 1);
	if (!both)
		return err_set(err, ENOMEM, "read authorities");
	memcpy(both, t->authorities, t->authorities_len);
	memcpy(both + t->authorities_len, system, len);
	free(t->authorities);
	t->authorities = TAKE_PTR(both);
	t->authorities_len += len;
	return 0;
}

static int find_host(struct http *h, struct http_request *req, struct host **ret, struct err *err)
{
	const char *p = strstr(req->url, "://");
	_cleanup_(freep) char *name = p ? strndup(p + 3, strcspn(p + 3, "/?#")) : strdup("");
	const char *dir = h->params.certs_dir ? h->params.certs_dir : TRUST_DIR_DEFAULT;
	struct host *host = h->hosts;
	int k = 0;

	while (name && host && strcmp(host->name, name) != 0)
		host = host->next;
	if (!host) {
		host = name ? calloc(1, sizeof(*host)) : NULL;
		if (!host)
			return err_set(err, ENOMEM, "set up request");
		host->name = TAKE_PTR(name);
		host->next = h->hosts;
		h->hosts = host;
		k = trust_load(dir, host->name, &host->trust, err);
		if (k == 0 && host->trust.authorities)
			k = add_system_authorities(&host->trust, req->easy, err);
	}
	*ret = host;
	return k;
}

static void set_trust(CURL *e, const struct trust *t)
{
	struct curl_blob blob = { t->authorities, t->authorities_len, CURL_BLOB_NOCOPY };

	if (t->authorities)
		curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &blob);
	if (t->client_cert) {
		curl_easy_setopt(e, CURLOPT_SSLCERT, t->client_cert);
		curl_easy_setopt(e, CURLOPT_SSLKEY, t->client_key);
	}
}

/* libcurl has the system's authorities built in and looks for no others by itself. */
static void set_tls(CURL *e)
{
	const char *ca_file = getenv("SSL_CERT_FILE"), *ca_dir = getenv("SSL_CERT_DIR");

	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (ca_file && *ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, ca_file);
	if (ca_dir && *ca_dir)
		curl_easy_setopt(e, CURLOPT_CAPATH, ca_dir);
}

static void set_options(struct http *h, struct http_request *req)
{
	CURL *e = req->easy;

	curl_easy_setopt(e, CURLOPT_URL, req->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "ecs-image/" PACKAGE_VERSION);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOBODY, req->head ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_TIMEOUT_MS);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME,
			 (long) MAX(1, h->params.inactivity_timeout_ms / 1000));
	if (!req->on_data)
		curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long) SMALL_TIMEOUT_MS);
	else
		curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long) RECEIVE_BUFFER);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, req);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, req);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, req->why_not);
	curl_easy_setopt(e, CURLOPT_PRIVATE, req);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, req->headers);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	set_tls(e);
	if (h->params.no_proxy)
		curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
}

static int add_headers(struct http_request *req)
{
	char range[64], last[24] = "";

	if (req->range_to > 0)
		(void) snprintf(last, sizeof(last), "%lld", (long long) req->range_to - 1);
	(void) snprintf(range, sizeof(range), "bytes=%lld-%s", (long long) req->range_from, last);
	if ((req->accept && add_header(req, "Accept", req->accept) < 0) ||
	    (req->authorization && add_header(req, "Authorization", req->authorization) < 0) ||
	    (req->range_from + req->range_to > 0 && add_header(req, "Range", range) < 0))
		return -ENOMEM;
	return 0;
}

int http_start(struct http *h, struct http_request *req, struct err *err)
{
	struct host *host = NULL;
	int k = 0;

	release(req);
	reset_answer(req);
	req->http = h;
	req->easy = curl_easy_init();
	if (!req->easy || add_headers(req) < 0)
		return err_set(err, ENOMEM, "set up request");
	set_options(h, req);
	if (strncmp(req->url, "https://", 8) == 0)
		k = find_host(h, req, &host, err);
	if (k < 0)
		return k;
	if (host)
		set_trust(req->easy, &host->trust);
	if (curl_multi_add_handle(h->multi, req->easy) != CURLM_OK)
		return err_set(err, ENOMEM, "start request");
	req->running = true;
	return 0;
}

void http_resume(struct http_request *req)
{
	if (req->running)
		(void) curl_easy_pause(req->easy, CURLPAUSE_CONT);
}

static void finish(struct http_request *req, CURLcode code)
{
	curl_off_t retry_s = 0;
	char *url = NULL;

	(void) curl_easy_getinfo(req->easy, CURLINFO_RETRY_AFTER, &retry_s);
	req->retry_after_s = (int) CLAMP(retry_s, 0, 3600);
	(void) curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &req->status);
	(void) curl_easy_getinfo(req->easy, CURLINFO_HTTP_CONNECTCODE, &req->proxy_status);
	(void) curl_easy_getinfo(req->easy, CURLINFO_REDIRECT_URL, &url);
	(void) strdup_to(&req->redirect, url);
	req->code = code;
	req->failed = code != CURLE_OK;
	if (req->failed && !req->why_not[0])
		(void) snprintf(req->why_not, sizeof(req->why_not), "%s", curl_easy_strerror(code));
	release(req);
	req->done = true;
	if (req->on_done)
		req->on_done(req);
}

int http_step(struct http *h, struct curl_waitfd *fds, unsigned int n_fds, int timeout_ms,
	      struct err *err)
{
	CURLMsg *msg;
	int n = 0;

	/*
	 * No transfer moves before the wait: what a callback then
	 * has left to write would not be among @fds.
	 */
	if (curl_multi_poll(h->multi, fds, n_fds, timeout_ms, NULL) != CURLM_OK ||
	    curl_multi_perform(h->multi, &n) != CURLM_OK)
		return err_set(err, EIO, "drive transfers");
	while ((msg = curl_multi_info_read(h->multi, &n))) {
		struct http_request *req = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &req);
		finish(req, msg->data.result);
	}
	return 0;
}

static int wait_a_little(struct http *h, int64_t ms, struct err *err)
{
	if (h->params.interrupted && h->params.interrupted())
		return err_set(err, ECANCELED, "the pull was cancelled");
	return http_step(h, NULL, 0, (int) ms, err);
}

int http_run(struct http *h, struct http_request *req, struct err *err)
{
	int k = http_start(h, req, err);

	while (k == 0 && !req->done)
		k = wait_a_little(h, STEP_MS, err);
	return k;
}

int http_pass_time(struct http *h, int64_t ms, struct err *err)
{
	int64_t end = clock_mono_ms() + ms, left;
	int k = 0;

	while (k == 0 && (left = end - clock_mono_ms()) > 0)
		k = wait_a_little(h, MIN(left, (int64_t) STEP_MS), err);
	return k;
}
