/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row each, in the order of the table. The endpoint is asked first, without keys, so that what is wrong with the
 * way there is told apart from what is wrong with the keys; then DiscoverPollEndpoint; then the hosts it
 * names. Requests to other services run meanwhile.
 */
#include "agent/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/macro.h"

static const char dropped[] =
	"something on the way drops packets: see name servers, routes, security "
	"groups, network ACLs and HTTPS_PROXY";

enum { CONNECT_MS = 5 * 1000, ANSWER_MS = 8 * 1000, BODY_MAX = 1024 * 1024 };

enum row {
	ROW_PROXIES,
	ROW_CREDENTIALS,
	ROW_ECS,
	ROW_CLOCK,
	ROW_API,
	ROW_ACS,
	ROW_TCS,
	ROW_ECR,
	ROW_LOGS,
	ROW_PORTS,
	_ROW_MAX
};

static const char *const names[_ROW_MAX] = {
	[ROW_CREDENTIALS] = "credentials", [ROW_ECS] = "ECS endpoint", [ROW_API] = "ECS API",
	[ROW_ACS] = "ACS session",         [ROW_TCS] = "TCS session",  [ROW_ECR] = "ECR",
	[ROW_LOGS] = "CloudWatch Logs",
};

struct probe {
	struct reach *reach;
	struct http_request *request; /* owned; NULL: none under way */
	char *url;                    /* owned */
};

struct reach {
	struct reach_params p;
	reach_fn fn;
	void *userdata;
	struct http_client *http; /* owned, as all that follows */
	struct aws_client *ecs;
	struct aws_call *call;
	struct aws_credentials_request *keys;
	sd_event_source *timer; /* the deadline, or the end */
	char *cluster, *arn;
	json_t *rows[_ROW_MAX];
	bool pending[_ROW_MAX];
	struct probe probes[_ROW_MAX];
	char credentials_text[128]; /* which and until when */
	bool has_keys;
};

struct reach *reach_cancel(struct reach *r)
{
	if (!r)
		return NULL;
	r->timer = sd_event_source_disable_unref(r->timer);
	(void) aws_credentials_cancel(r->keys);
	(void) aws_call_cancel(r->call);
	for (size_t i = 0; i < _ROW_MAX; i++) {
		(void) http_request_cancel(r->probes[i].request);
		free(r->probes[i].url);
		json_decref(r->rows[i]);
	}
	(void) aws_client_free(r->ecs);
	(void) http_client_free(r->http);
	free(r->cluster);
	free(r->arn);
	free(r);
	return NULL;
}

/* ---- the end ---- */

static int on_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct reach *r = userdata;
	reach_fn fn = r->fn;
	void *fn_userdata = r->userdata;
	json_t *list = json_array();

	(void) source, (void) usec;
	for (size_t i = 0; i < _ROW_MAX; i++) {
		if (r->pending[i])
			r->rows[i] =
				reach_row(names[i], REACH_BAD, dropped, "no answer within %lld s",
					  (long long) r->p.deadline_ms / MSEC_PER_SEC);
		if (r->rows[i] && json_array_append_new(list, TAKE_PTR(r->rows[i])) < 0) {
			json_decref(list);
			list = NULL;
			break;
		}
	}
	(void) reach_cancel(r);
	fn(fn_userdata, list);
	return 0;
}

/* Takes @o. When nothing is pending any more the end comes with the next round of the loop. */
static void put(struct reach *r, enum row row, json_t *o)
{
	json_decref(r->rows[row]);
	r->rows[row] = o;
	r->pending[row] = false;
	for (size_t i = 0; i < _ROW_MAX; i++)
		if (r->pending[i])
			return;
	if (r->timer)
		(void) sd_event_source_set_time(r->timer, 0);
}

/* ---- a host: its name, the way there, TLS, any answer ---- */

static const char *what_to_do(const struct err *err)
{
	switch (err->code) {
	case EHOSTUNREACH:
		return "see /etc/resolv.conf and the DNS of the VPC, the name of the endpoint "
		       "or proxy, and AWS_DEFAULT_REGION";
	case ECONNREFUSED:
		return "see routes, security group and VPC endpoint, HTTPS_PROXY, and the "
		       "endpoint's setting (ECS_BACKEND_HOST, AWS_ENDPOINT_URL)";
	case ETIMEDOUT:
		return dropped;
	case EINVAL:
		return "the setting is no URL: ECS_BACKEND_HOST, AWS_ENDPOINT_URL";
	default:
		return "see the certificate (SSL_CERT_FILE, SSL_CERT_DIR), the clock, and whether "
		       "it is this service that listens there";
	}
}

static int msec(CURL *easy, CURLINFO what)
{
	curl_off_t usec = 0;

	return curl_easy_getinfo(easy, what, &usec) == CURLE_OK ? (int) (usec / 1000) : 0;
}

static json_t *answered(enum row row, const char *url, const struct http_response *resp)
{
	int tls = msec(resp->easy, CURLINFO_APPCONNECT_TIME_T);
	const char *ip = NULL;
	char tls_text[48] = "";

	(void) curl_easy_getinfo(resp->easy, CURLINFO_PRIMARY_IP, &ip);
	if (strncmp(url, "https:", 6) == 0)
		(void) snprintf(tls_text, sizeof(tls_text), ", TLS after %d ms", tls);
	return reach_row(names[row], REACH_OK, "",
			 "%s: %s, resolved after %d ms, connected after %d ms%s", url,
			 ip && *ip ? ip : "?", msec(resp->easy, CURLINFO_NAMELOOKUP_TIME_T),
			 msec(resp->easy, CURLINFO_CONNECT_TIME_T), tls_text);
}

static void ask_api(struct reach *r);

static void on_probed(void *userdata, const struct http_response *resp, const struct err *err)
{
	struct probe *p = userdata;
	struct reach *r = p->reach;
	enum row row = (enum row)(p - r->probes);
	json_t *o = resp->status ? answered(row, p->url, resp)
				 : reach_row(names[row], REACH_BAD, what_to_do(err), "%s: %s",
					     p->url, err_text(err));

	p->request = NULL;
	if (row == ROW_ECS && resp->status) {
		if (resp->date_ms)
			put(r, ROW_CLOCK, reach_clock(resp->date_ms - clock_real_ms()));
		ask_api(r);
	}
	put(r, row, o);
}

static void probe(struct reach *r, enum row row, const char *url)
{
	_cleanup_(err_done) struct err err = {};
	struct probe *p = &r->probes[row];
	struct http_request_params q = { .method = "GET",
					 .connect_timeout_ms = CONNECT_MS,
					 .timeout_ms = ANSWER_MS,
					 .max_response_bytes = BODY_MAX };

	/* The sessions may be named as the WebSockets they are. */
	if (url && strncmp(url, "ws", 2) == 0)
		p->url = path_join("http%s", url + 2);
	else
		p->url = url ? path_join("%s", url) : NULL;
	p->reach = r;
	q.url = p->url;
	r->pending[row] = true;
	if (!p->url || http_request(r->http, &q, on_probed, p, &p->request, &err) < 0)
		put(r, row,
		    reach_row(names[row], REACH_BAD, "see the endpoint's setting", "%s: %s",
			      p->url ? p->url : "no URL", err_text(&err)));
}

/* ---- what the API says to our keys ---- */

static bool is_about_keys(const char *error)
{
	static const char *const all[] = {
		"UnrecognizedClientException",
		"InvalidClientTokenId",
		"InvalidSignatureException",
		"SignatureDoesNotMatch",
		"ExpiredTokenException",
		"ExpiredToken",
		"MissingAuthenticationTokenException",
		"MissingAuthenticationToken",
		"IncompleteSignature",
		"IncompleteSignatureException",
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(error, all[i]) == 0)
			return true;
	return false;
}

static const char *what_the_api_wants(const struct aws_result *res)
{
	if (is_about_keys(res->error))
		return "see credentials";
	if (strncmp(res->error, "AccessDenied", 12) == 0)
		return "give the role of this host the policy AmazonEC2ContainerServiceforEC2Role";
	if (strcmp(res->error, "ClusterNotFoundException") == 0 ||
	    strcmp(res->error, "InvalidParameterException") == 0 ||
	    strcmp(res->error, "ClientException") == 0)
		return "see ECS_CLUSTER, and create the cluster in this region";
	return res->retriable ? "the service is not well: the agent tries again by itself"
			      : "see what listens at ECS_BACKEND_HOST";
}

static void keys_are_refused(struct reach *r, const char *error)
{
	put(r, ROW_CREDENTIALS,
	    reach_row(names[ROW_CREDENTIALS], REACH_BAD,
		      r->has_keys
			      ? "renew them where they come from; an agent with none of its own "
				"settings uses the instance role"
			      : "attach an instance role, or set AWS_ACCESS_KEY_ID and "
				"AWS_SECRET_ACCESS_KEY",
		      "%s: refused: %s", r->credentials_text, error));
}

static void on_api(void *userdata, const struct aws_result *res, const struct err *err)
{
	struct reach *r = userdata;
	const char *acs = json_get_string(res->body, "endpoint", "");
	const char *tcs = json_get_string(res->body, "telemetryEndpoint", "");

	r->call = NULL;
	if (err->code) {
		if (is_about_keys(res->error))
			keys_are_refused(r, res->error);
		put(r, ROW_API,
		    reach_row(names[ROW_API], REACH_BAD, what_the_api_wants(res), "%s",
			      err_text(err)));
		return;
	}
	if (*acs)
		probe(r, ROW_ACS, acs);
	if (*tcs)
		probe(r, ROW_TCS, tcs);
	put(r, ROW_API,
	    *acs && *tcs
		    ? reach_row(names[ROW_API], REACH_OK, "",
				"DiscoverPollEndpoint is answered for cluster %s", r->cluster)
		    : reach_row(names[ROW_API], REACH_BAD, "see what listens at ECS_BACKEND_HOST",
				"DiscoverPollEndpoint: %s: missing",
				*acs ? "telemetryEndpoint" : "endpoint"));
}

static void ask_api(struct reach *r)
{
	json_auto_t *body = json_pack("{s:s}", "cluster", r->cluster);
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *text = NULL;
	int k = -ENOMEM;

	r->pending[ROW_API] = true;
	if (*r->arn)
		(void) json_object_set_new(body, "containerInstance", json_string(r->arn));
	text = body ? json_to_text(body) : NULL;
	if (text)
		k = aws_call(r->ecs, "DiscoverPollEndpoint", text, NULL, on_api, r, &r->call, &err);
	if (k < 0)
		put(r, ROW_API,
		    reach_row(names[ROW_API], REACH_BAD, "try again", "%s",
			      err.code ? err_text(&err) : "out of memory"));
}

/* ---- keys ---- */

static void describe_keys(struct reach *r, const struct aws_keys *keys)
{
	const char *source = aws_credentials_source(r->p.credentials);
	char until[CLOCK_RFC3339_MAX];

	r->has_keys = keys;
	if (!keys)
		(void) snprintf(r->credentials_text, sizeof(r->credentials_text),
				"none, requests go out unsigned");
	else if (keys->expires_ms && strcmp(source, "shared file") != 0)
		(void) snprintf(r->credentials_text, sizeof(r->credentials_text), "%s, until %s",
				source, clock_format_rfc3339(keys->expires_ms, 0, until));
	else
		(void) snprintf(r->credentials_text, sizeof(r->credentials_text), "%s", source);
}

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *err)
{
	static const char attach[] =
		"attach an instance role with AmazonEC2ContainerServiceforEC2Role, or "
		"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
	struct reach *r = userdata;
	bool expired = keys && keys->expires_ms && keys->expires_ms < clock_real_ms();
	bool local = r->p.config->backend_host; /* may well take what is not signed */
	enum reach_level level = expired || (!keys && !local) ? REACH_WARN : REACH_OK;

	r->keys = NULL;
	if (err->code) {
		(void) snprintf(r->credentials_text, sizeof(r->credentials_text), "none");
		put(r, ROW_CREDENTIALS,
		    reach_row(names[ROW_CREDENTIALS], REACH_BAD, attach, "%s", err_text(err)));
		return;
	}
	describe_keys(r, keys);
	put(r, ROW_CREDENTIALS,
	    reach_row(names[ROW_CREDENTIALS], level,
		      expired ? "see the clock, and renew them where they come from" : attach,
		      "%s%s", r->credentials_text, expired ? ", which is past" : ""));
}

/* ---- the start ---- */

static void start_service(struct reach *r, enum row row, const char *service, const char *override)
{
	const struct config *c = r->p.config;
	bool dual = c->ipv6_only && row == ROW_ECR;
	_cleanup_(freep) char *url = aws_endpoint(dual ? "ecr" : service, c->region, c->ipv6_only,
						  override ? override : c->endpoint_url);

	probe(r, row, url);
}

static void start_probes(struct reach *r)
{
	const struct config *c = r->p.config;
	_cleanup_(freep) char *ecs =
		c->region ? aws_endpoint("ecs", c->region, c->ipv6_only, c->backend_host) : NULL;

	put(r, ROW_PROXIES, reach_proxies(c));
	put(r, ROW_PORTS, reach_ports(c, r->p.root ? r->p.root : ""));
	if (!c->region) {
		put(r, ROW_ECS,
		    reach_row(names[ROW_ECS], REACH_BAD,
			      "set AWS_DEFAULT_REGION, or give this host instance metadata",
			      "there is no region"));
		return;
	}
	probe(r, ROW_ECS, ecs);
	if (r->p.uses_ecr || c->endpoint_url_ecr)
		start_service(r, ROW_ECR, "api.ecr", c->endpoint_url_ecr);
	if (r->p.uses_logs || c->endpoint_url_logs)
		start_service(r, ROW_LOGS, "logs", c->endpoint_url_logs);
}

static int make_clients(struct reach *r, struct err *err)
{
	const struct config *c = r->p.config;
	_cleanup_(freep) char *agent = ctl_user_agent(c);
	_cleanup_(freep) char *endpoint = NULL;
	struct http_options o = ctl_http_options(c, agent);
	struct aws_client_params p = { .credentials = r->p.credentials,
				       .service = "ecs",
				       .target_prefix = "AmazonEC2ContainerServiceV20141113",
				       .region = c->region,
				       .connect_timeout_ms = CONNECT_MS,
				       .timeout_ms = ANSWER_MS,
				       .max_attempts = 1 };
	int k = http_client_new(r->p.loop, &o, &r->http, err);

	if (k < 0 || !c->region)
		return k;
	endpoint = aws_endpoint("ecs", c->region, c->ipv6_only, c->backend_host);
	p.http = r->http;
	p.endpoint = endpoint;
	return endpoint ? aws_client_new(&p, &r->ecs, err)
			: err_set(err, ENOMEM, "allocate endpoint");
}

static int start(struct reach *r, struct err *err)
{
	int k = make_clients(r, err);

	if (k < 0)
		return k;
	k = sd_event_add_time_relative(r->p.loop, &r->timer, CLOCK_MONOTONIC,
				       (uint64_t) (r->p.deadline_ms * USEC_PER_MSEC), 1000, on_end,
				       r);
	if (k < 0)
		return err_set_errno(err, -k, "set a deadline");
	(void) sd_event_source_set_description(r->timer, "reach");
	r->pending[ROW_CREDENTIALS] = true;
	start_probes(r);
	return aws_credentials_get(r->p.credentials, on_keys, r, &r->keys, err);
}

int reach_start(const struct reach_params *p, reach_fn fn, void *userdata, struct reach **ret,
		struct err *err)
{
	struct reach *r = calloc(1, sizeof(*r));
	int k;

	if (!r)
		return err_set(err, ENOMEM, "look at the services");
	*r = (struct reach){ .p = *p, .fn = fn, .userdata = userdata };
	r->cluster = strdup(p->cluster ? p->cluster : "");
	r->arn = strdup(p->container_instance_arn ? p->container_instance_arn : "");
	r->p.deadline_ms = p->deadline_ms ? p->deadline_ms : REACH_DEADLINE_MS;
	k = r->cluster && r->arn ? start(r, err) : err_set(err, ENOMEM, "look at the services");
	if (k < 0) {
		(void) reach_cancel(r);
		return k;
	}
	*ret = r;
	return 0;
}
