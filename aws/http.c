/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

/* What Go's HTTP client, and so the reference agent, never sends through a proxy. */
#define NO_PROXY_ALWAYS "localhost,127.0.0.0/8,::1"
#define NO_PROXY_DEFAULT "169.254.169.254,169.254.170.2"

enum {
	KEEP_CONNECTIONS = 8,
	CURL_BUFFER_BYTES = 16 * 1024,
	SKEW_MIN_MS = 4 * 60 * 1000, /* below this the clock is not to blame */
};

struct http_client {
	sd_event *event;
	CURLM *multi; /* NULL until the first request */
	sd_event_source *timer;
	struct http_request *requests; /* list */
	char *https_proxy, *http_proxy, *no_proxy, *ca_dir, *ca_file, *user_agent;
	bool insecure;
	int64_t skew_ms; /* the services' clock minus ours */
};

struct http_request {
	struct http_client *client;
	struct http_request *next, **prev;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	bool too_big;
	bool added; /* to the multi */
	http_fn fn;
	http_easy_fn easy_fn; /* of a handle that is not ours to read */
	void *userdata;
	char complaint[CURL_ERROR_SIZE];
};

static struct http_request *request_free(struct http_request *r)
{
	if (!r)
		return NULL;
	if (r->prev) {
		*r->prev = r->next;
		if (r->next)
			r->next->prev = r->prev;
	}
	if (r->added)
		(void) curl_multi_remove_handle(r->client->multi, r->easy);
	if (r->easy)
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	buf_done(&r->body);
	free(r);
	return NULL;
}

DEFINE_CLEANUP(struct http_request *, request_free)

int64_t http_now_ms(const struct http_client *c)
{
	return clock_real_ms() + c->skew_ms;
}

bool http_learn_time(struct http_client *c, int64_t date_ms)
{
	int64_t skew = date_ms - clock_real_ms();

	if (date_ms <= 0 || llabs(date_ms - http_now_ms(c)) < SKEW_MIN_MS)
		return false;
	/* The clock may have been set since: then nothing is to be added any more. */
	c->skew_ms = llabs(skew) < SKEW_MIN_MS ? 0 : skew;
	if (c->skew_ms)
		log_warn("The clock of this host is %lld s %s the service's, signing with that",
			 (long long) llabs(skew) / 1000, skew > 0 ? "behind" : "ahead of");
	else
		log_info("The clock of this host is right again, signing with it");
	return true;
}

int http_curl_errno(CURLcode code)
{
	static const struct {
		CURLcode code;
		int error;
	} table[] = {
		{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT },
		{ CURLE_COULDNT_CONNECT, ECONNREFUSED },
		{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH },
		{ CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH },
		{ CURLE_WRITE_ERROR, EFBIG },
		{ CURLE_OUT_OF_MEMORY, ENOMEM },
		{ CURLE_URL_MALFORMAT, EINVAL },
		{ CURLE_UNSUPPORTED_PROTOCOL, EINVAL },
		{ CURLE_GOT_NOTHING, ECONNRESET },
		{ CURLE_RECV_ERROR, ECONNRESET },
		{ CURLE_SEND_ERROR, ECONNRESET },
		{ CURLE_PARTIAL_FILE, ECONNRESET },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].code == code)
			return table[i].error;
	return EPROTO;
}

const char *http_response_header(const struct http_response *r, const char *name, size_t i)
{
	struct curl_header *h = NULL;

	if (curl_easy_header(r->easy, name, i, CURLH_HEADER, -1, &h) != CURLHE_OK ||
	    strlen(h->value) > HTTP_HEADER_VALUE_MAX)
		return "";
	return h->value;
}

static void finish_request(struct http_request *r, CURLcode code)
{
	_cleanup_(request_freep) struct http_request *own = r;
	_cleanup_(err_done) struct err err = {};
	struct http_response resp = { .body = buf_str(&r->body),
				      .body_len = r->body.len,
				      .easy = r->easy };
	const char *date;
	long status = 0;
	time_t t;

	(void) own;
	(void) curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	resp.error_type = http_response_header(&resp, "x-amzn-ErrorType", 0);
	resp.request_id = http_response_header(&resp, "x-amzn-RequestId", 0);
	date = http_response_header(&resp, "Date", 0);
	t = *date ? curl_getdate(date, NULL) : -1;
	resp.date_ms = t > 0 ? (int64_t) t * 1000 : 0;
	if (r->too_big)
		(void) err_set(&err, EFBIG, "the answer is over %zu bytes", r->body.max_bytes);
	else if (code != CURLE_OK)
		(void) err_set(&err, http_curl_errno(code), "%s",
			       *r->complaint ? r->complaint : curl_easy_strerror(code));
	else
		resp.status = (int) status;
	r->fn(r->userdata, &resp, &err);
}

/* Only place that calls back: from the loop, after curl has returned. */
static void dispatch_done(struct http_client *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		struct http_request *r = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void) curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
		if (r->easy_fn)
			r->easy_fn(r->userdata, code);
		else
			finish_request(r, code);
	}
}

static int on_socket_ready(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct http_client *c = userdata;
	int running, what = 0;

	(void) s;
	if (revents & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (revents & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (revents & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	(void) curl_multi_socket_action(c->multi, fd, what, &running);
	dispatch_done(c);
	return 0;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp)
{
	struct http_client *c = userdata;
	sd_event_source *s = socketp;
	uint32_t events = 0;

	(void) easy;
	if (what == CURL_POLL_REMOVE) {
		(void) sd_event_source_disable_unref(s);
		(void) curl_multi_assign(c->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (s)
		return sd_event_source_set_io_events(s, events) < 0 ? -1 : 0;
	if (sd_event_add_io(c->event, &s, fd, events, on_socket_ready, c) < 0)
		return -1;
	(void) sd_event_source_set_description(s, "http-socket");
	return curl_multi_assign(c->multi, fd, s) == CURLM_OK ? 0 : -1;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct http_client *c = userdata;
	int running;

	(void) s, (void) usec;
	(void) curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	dispatch_done(c);
	return 0;
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *userdata)
{
	struct http_client *c = userdata;

	(void) multi;
	if (timeout_ms < 0)
		return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	if (sd_event_source_set_time_relative(c->timer, (uint64_t) timeout_ms * USEC_PER_MSEC) < 0)
		return -1;
	return sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static int client_start(struct http_client *c, struct err *err)
{
	int k;

	if (c->multi)
		return 0;
	k = sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, c);
	if (k < 0)
		return err_set_errno(err, -k, "http timer");
	(void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	(void) sd_event_source_set_description(c->timer, "http-timer");
	c->multi = curl_multi_init();
	if (!c->multi)
		return err_set(err, ENOMEM, "start curl");
	(void) curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	(void) curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	(void) curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	(void) curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	(void) curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long) KEEP_CONNECTIONS);
	return 0;
}

static int copy_options(struct http_client *c, const struct http_options *o)
{
	_cleanup_(buf_done) struct buf no_proxy = {};
	const struct {
		char **dst;
		const char *src;
	} table[] = {
		{ &c->https_proxy, o->https_proxy ? o->https_proxy : o->http_proxy },
		{ &c->http_proxy, o->http_proxy },
		{ &c->ca_dir, o->ca_dir },
		{ &c->ca_file, o->ca_file },
		{ &c->user_agent, o->user_agent },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].src && *table[i].src && strdup_to(table[i].dst, table[i].src) < 0)
			return -ENOMEM;
	(void) buf_printf(&no_proxy, "%s,%s", NO_PROXY_ALWAYS,
			  o->no_proxy ? o->no_proxy : NO_PROXY_DEFAULT);
	c->no_proxy = buf_take(&no_proxy);
	c->insecure = o->insecure;
	return c->no_proxy ? 0 : -ENOMEM;
}

int http_client_new(sd_event *event, const struct http_options *options, struct http_client **ret,
		    struct err *err)
{
	_cleanup_(http_client_freep) struct http_client *c = calloc(1, sizeof(*c));

	if (!c || copy_options(c, options ? options : &(struct http_options){}) < 0)
		return err_set(err, ENOMEM, "allocate http client");
	c->event = sd_event_ref(event);
	*ret = TAKE_PTR(c);
	return 0;
}

struct http_client *http_client_free(struct http_client *c)
{
	if (!c)
		return NULL;
	while (c->requests)
		(void) request_free(c->requests);
	if (c->multi)
		(void) curl_multi_cleanup(c->multi);
	(void) sd_event_source_disable_unref(c->timer);
	(void) sd_event_unref(c->event);
	free(c->https_proxy);
	free(c->http_proxy);
	free(c->no_proxy);
	free(c->ca_dir);
	free(c->ca_file);
	free(c->user_agent);
	free(c);
	return NULL;
}

sd_event *http_client_event(struct http_client *c)
{
	return c->event;
}

CURL *http_easy_new(struct http_client *c, const char *url, bool no_proxy)
{
	const char *proxy = strncasecmp(url, "https:", 6) == 0 ? c->https_proxy : c->http_proxy;
	CURL *e = curl_easy_init();

	if (!e)
		return NULL;
	if (curl_easy_setopt(e, CURLOPT_URL, url) != CURLE_OK) {
		curl_easy_cleanup(e);
		return NULL;
	}
	(void) curl_easy_setopt(e, CURLOPT_PROXY, proxy && !no_proxy ? proxy : "");
	(void) curl_easy_setopt(e, CURLOPT_NOPROXY, c->no_proxy);
	(void) curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void) curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void) curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	(void) curl_easy_setopt(e, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	(void) curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	(void) curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
	(void) curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long) CURL_BUFFER_BYTES);
	if (c->insecure) {
		(void) curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
		(void) curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (c->ca_dir)
		(void) curl_easy_setopt(e, CURLOPT_CAPATH, c->ca_dir);
	if (c->ca_file)
		(void) curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file);
	if (c->user_agent)
		(void) curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
	return e;
}

static curl_socket_t open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *a)
{
	union {
		struct sockaddr *sa;
		struct sockaddr_in *in;
		struct sockaddr_in6 *in6;
	} u = { .sa = &a->addr };

	(void) userdata, (void) purpose;
	if (a->family == AF_INET && ntohl(u.in->sin_addr.s_addr) >> 16 == 0xa9fe)
		return CURL_SOCKET_BAD;
	if (a->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&u.in6->sin6_addr))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int request_add(struct http_client *c, struct http_request *r, struct err *err)
{
	int k = client_start(c, err);

	if (k < 0)
		return k;
	r->client = c;
	(void) curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	(void) curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->complaint);
	if (curl_multi_add_handle(c->multi, r->easy) != CURLM_OK)
		return err_set(err, ENOMEM, "start request");
	r->added = true;
	r->next = c->requests;
	r->prev = &c->requests;
	if (r->next)
		r->next->prev = &r->next;
	c->requests = r;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
	struct http_request *r = userdata;

	if (buf_append(&r->body, data, size * n))
		return size * n;
	r->too_big = true;
	return 0;
}

static int add_header(struct http_request *r, const char *line)
{
	struct curl_slist *l = curl_slist_append(r->headers, line);

	if (!l)
		return -ENOMEM;
	r->headers = l;
	return 0;
}

static int set_headers(struct http_request *r, const struct http_request_params *p)
{
	if (add_header(r, "Expect:") < 0)
		return -ENOMEM;
	for (size_t i = 0; p->headers && p->headers[i]; i++)
		if (add_header(r, p->headers[i]) < 0)
			return -ENOMEM;
	return curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK ? 0 : -ENOMEM;
}

static int set_method(CURL *e, const struct http_request_params *p)
{
	if (p->body || strcmp(p->method, "POST") == 0) {
		(void) curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) p->body_len);
		if (curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, p->body ? p->body : "") != CURLE_OK)
			return -ENOMEM;
	}
	if (strcmp(p->method, "HEAD") == 0)
		(void) curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, p->method) == CURLE_OK ? 0 : -ENOMEM;
}

/* Where the system's authorities are in one file, these stand in their place. */
static int set_trust(CURL *e, const struct http_request_params *p)
{
	struct curl_blob blob = { (void *) p->authorities, p->authorities_len, CURL_BLOB_COPY };

	if (p->authorities && curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
		return -ENOMEM;
	if (p->client_cert && (curl_easy_setopt(e, CURLOPT_SSLCERT, p->client_cert) != CURLE_OK ||
			       curl_easy_setopt(e, CURLOPT_SSLKEY, p->client_key) != CURLE_OK))
		return -ENOMEM;
	return 0;
}

int http_request(struct http_client *c, const struct http_request_params *p, http_fn fn,
		 void *userdata, struct http_request **ret, struct err *err)
{
	_cleanup_(request_freep) struct http_request *r = calloc(1, sizeof(*r));
	int k;

	if (!r)
		return err_set(err, ENOMEM, "allocate request");
	r->easy = http_easy_new(c, p->url, p->no_proxy);
	if (!r->easy || set_method(r->easy, p) < 0 || set_headers(r, p) < 0 ||
	    set_trust(r->easy, p) < 0)
		return err_set(err, ENOMEM, "prepare request");
	r->fn = fn;
	r->userdata = userdata;
	r->body.max_bytes = p->max_response_bytes ? p->max_response_bytes : HTTP_RESPONSE_MAX;
	(void) curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
	(void) curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	(void) curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS,
				(long) (p->connect_timeout_ms ? p->connect_timeout_ms : 30000));
	(void) curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS,
				(long) (p->timeout_ms ? p->timeout_ms : 42000));
	if (p->no_link_local)
		(void) curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	k = request_add(c, r, err);
	if (k < 0)
		return k;
	if (ret)
		*ret = r;
	TAKE_PTR(r);
	return 0;
}

struct http_request *http_request_cancel(struct http_request *r)
{
	return request_free(r);
}

int http_easy_start(struct http_client *c, CURL *easy, http_easy_fn fn, void *userdata,
		    struct http_request **ret, struct err *err)
{
	_cleanup_(request_freep) struct http_request *r = calloc(1, sizeof(*r));
	int k;

	if (!r) {
		curl_easy_cleanup(easy);
		return err_set(err, ENOMEM, "allocate request");
	}
	r->easy = easy;
	r->easy_fn = fn;
	r->userdata = userdata;
	k = request_add(c, r, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(r);
	return 0;
}

struct http_request *http_easy_end(struct http_request *r)
{
	return request_free(r);
}
