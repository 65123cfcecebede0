/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP half of the two websockets: everything that can be refused is refused here, with the
 * one-member error body that agents decode ({"InvalidInstanceException":"…"}), and only then is
 * the connection handed over.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "common/clock.h"
#include "common/log.h"
#include "controlplane/acs.h"
#include "controlplane/arn.h"
#include "controlplane/credentials.h"
#include "controlplane/server.h"
#include "controlplane/store.h"
#include "controlplane/tcs.h"
#include "controlplane/wire_state.h"

enum { MAX_HEADERS = 128, MAX_QUERY_VALUE = 1024 };

/*
 * Between our 101 and libmicrohttpd handing over the descriptor. The connection may die there, or
 * stall for as long as its peer likes: the request holds this meanwhile.
 */
struct upgrade {
	struct wire_state *w; /* borrowed */
	bool telemetry;
	struct agent_query query;
	char *url;  /* owned: path and query as requested */
	char *host; /* owned */
};

/* What an upgraded descriptor must be given back to. */
struct lease {
	struct controlplane *cp;
	struct MHD_UpgradeResponseHandle *handle;
};

void agent_query_done(struct agent_query *q)
{
	free(q->cluster);
	free(q->instance_arn);
	free(q->agent_version);
	free(q->agent_hash);
	free(q->docker_version);
	*q = (struct agent_query){};
}

static void upgrade_free(void *held)
{
	struct upgrade *u = held;

	agent_query_done(&u->query);
	free(u->url);
	free(u->host);
	free(u);
}

/* --- headers and signature ------------------------------------------------------------------ */

struct header_list {
	struct sigv4_header *items;
	size_t n;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key,
				 const char *value)
{
	struct header_list *list = cls;

	(void) kind;
	if (list->n == MAX_HEADERS)
		return MHD_NO;
	list->items[list->n++] = (struct sigv4_header){ key, value ? value : "" };
	return MHD_YES;
}

int wire_collect_headers(struct MHD_Connection *connection, struct sigv4_header **ret,
			 size_t *ret_n, struct err *err)
{
	struct header_list list = { .items = calloc(MAX_HEADERS, sizeof(*list.items)) };

	if (!list.items)
		return err_set(err, ENOMEM, "collect headers");
	(void) MHD_get_connection_values(connection, MHD_HEADER_KIND, on_header, &list);
	*ret = list.items;
	*ret_n = list.n;
	return 0;
}

/*
 * By the keys of a task's role, which this control plane made itself, or by those of its settings.
 * A role's are always checked, also by a server that was given no keys and lets others pass.
 */
static int verify(struct controlplane *cp, const struct sigv4_request *r, struct err *err)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *role = NULL;
	_cleanup_(sigv4_auth_done) struct sigv4_auth a = {};
	const char *header = NULL;
	int64_t now = clock_real_ms();
	int k = CREDENTIALS_E_UNKNOWN;

	for (size_t i = 0; i < r->n_headers; i++)
		if (strcasecmp(r->headers[i].name, "authorization") == 0)
			header = r->headers[i].value;
	if (header && sigv4_parse_authorization(header, &a, NULL) == 0)
		k = credentials_keys(cp->store, a.access_key, now, &role, err);
	if (k < 0)
		return k;
	if (k == CREDENTIALS_E_EXPIRED) {
		(void) err_set(err, EACCES,
			       "The security token included in the request is expired");
		return SIGV4_E_EXPIRED;
	}
	return sigv4_verify(role ? role : cp->keys, r, now, err);
}

int wire_verify(struct controlplane *cp, const struct request *req, struct err *err)
{
	_cleanup_(freep) struct sigv4_header *headers = NULL;
	_cleanup_(freep) char *path = strdup(req->uri);
	char *query = path ? strchr(path, '?') : NULL;
	struct sigv4_request r = { .method = req->method,
				   .payload = req->body.data,
				   .payload_len = req->body.len };
	int k;

	if (!path)
		return err_set(err, ENOMEM, "copy the request target");
	if (query)
		*query++ = '\0';
	r.path = path;
	r.query = query;
	k = wire_collect_headers(req->connection, &headers, &r.n_headers, err);
	if (k < 0)
		return k;
	r.headers = headers;
	return verify(cp, &r, err);
}

/* --- what is refused ------------------------------------------------------------------------ */

static int refuse(struct request *req, unsigned status, const char *type, const char *message)
{
	json_auto_t *body = json_pack("{s:s}", type, message);
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;
	struct MHD_Response *r;
	enum MHD_Result k;

	if (!text)
		return MHD_NO;
	log_info("Refused a websocket at '%s': %s: %s", req->uri, type, message);
	r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	(void) MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	(void) MHD_add_response_header(r, "x-amzn-RequestId", req->id);
	if (status == MHD_HTTP_UPGRADE_REQUIRED)
		(void) MHD_add_response_header(r, "Sec-WebSocket-Version", "13");
	k = MHD_queue_response(req->connection, status, r);
	MHD_destroy_response(r);
	return k;
}

static const char *argument(struct request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, name);
}

static const char *header(struct request *req, const char *name)
{
	return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

/* A parameter's value into @dst. False with @why set when it is missing or too long. */
static bool take(struct request *req, const char *name, bool required, char **dst, char *why,
		 size_t why_size)
{
	const char *value = argument(req, name);

	if (!value || !*value) {
		(void) snprintf(why, why_size, "%s: missing from the query", name);
		return !required;
	}
	if (strlen(value) > MAX_QUERY_VALUE) {
		(void) snprintf(why, why_size, "%s: longer than %d bytes", name, MAX_QUERY_VALUE);
		return false;
	}
	*dst = strdup(value);
	(void) snprintf(why, why_size, "%s: out of memory", name);
	return *dst != NULL;
}

/* A parameter that must be one of two values. */
static bool one_of(struct request *req, const char *name, const char *a, const char *b, char *why,
		   size_t why_size)
{
	const char *value = argument(req, name);

	(void) snprintf(why, why_size, "%s: must be %s or %s", name, a, b);
	return value && (strcmp(value, a) == 0 || strcmp(value, b) == 0);
}

static bool parse_query(struct request *req, bool telemetry, struct agent_query *q, char *why,
			size_t n)
{
	if (!take(req, telemetry ? "cluster" : "clusterArn", true, &q->cluster, why, n) ||
	    !take(req, telemetry ? "containerInstance" : "containerInstanceArn", true,
		  &q->instance_arn, why, n) ||
	    !take(req, "agentVersion", true, &q->agent_version, why, n) ||
	    !take(req, "agentHash", true, &q->agent_hash, why, n) ||
	    !take(req, "dockerVersion", false, &q->docker_version, why, n))
		return false;
	if (telemetry)
		return true;
	if (!one_of(req, "protocolVersion", "2", "1", why, n) ||
	    !one_of(req, "sendCredentials", "true", "false", why, n))
		return false;
	(void) snprintf(why, n, "seqNum: must be a number");
	q->send_credentials = strcmp(argument(req, "sendCredentials"), "true") == 0;
	return argument(req, "seqNum") &&
	       strspn(argument(req, "seqNum"), "0123456789") == strlen(argument(req, "seqNum")) &&
	       *argument(req, "seqNum");
}

/* Whether the instance may connect. 0, or 1 with the refusal queued and *ret set. */
static int check_instance(struct controlplane *cp, struct request *req, const struct agent_query *q,
			  int *ret)
{
	_cleanup_(err_done) struct err err = {};
	json_auto_t *cluster = NULL, *instance = NULL;
	struct arn arn;
	int k = store_cluster_get(cp->store, arn_last(q->cluster), &cluster, &err);

	if (k < 0)
		*ret = refuse(req, 500, "ServerException", err_text(&err));
	else if (k > 0 || strcmp(json_get_string(cluster, "status", ""), "ACTIVE") != 0)
		*ret = refuse(req, 400, "InvalidClusterException", "Cluster not found.");
	if (k != 0 || strcmp(json_get_string(cluster, "status", ""), "ACTIVE") != 0)
		return 1;
	k = store_instance_get(cp->store, q->instance_arn, &instance, &err);
	if (k < 0)
		*ret = refuse(req, 500, "ServerException", err_text(&err));
	else if (k > 0 || !arn_parse(q->instance_arn, &arn) ||
		 strcmp(arn.cluster, arn_last(q->cluster)) != 0)
		*ret = refuse(req, 400, "InvalidInstanceException",
			      "The container instance is not registered with this cluster.");
	else if (strcmp(json_get_string(instance, "status", ""), "INACTIVE") == 0)
		*ret = refuse(req, 400, "InactiveInstanceException",
			      "The container instance was deregistered.");
	else
		return 0;
	return 1;
}

/* --- the hand-over --------------------------------------------------------------------------- */

static void give_back(int fd, void *arg)
{
	struct lease *lease = arg;

	(void) fd;
	(void) MHD_upgrade_action(lease->handle, MHD_UPGRADE_ACTION_CLOSE);
	if (lease->cp->server)
		server_kick(lease->cp->server);
	free(lease);
}

static int open_session(struct upgrade *u, const struct ws_params *base, struct err *err)
{
	char cluster_arn[ARN_MAX];
	struct agent *agent =
		wire_add_agent(u->w, u->query.instance_arn,
			       arn_cluster(u->w->cp, arn_last(u->query.cluster), cluster_arn));

	if (!agent)
		return err_set(err, ENOMEM, "no room for one more agent");
	return u->telemetry ? tcs_open(u->w, agent, base, u->url, u->host, err)
			    : acs_open(u->w, agent, base, &u->query, err);
}

static void on_upgraded(void *cls, struct MHD_Connection *connection, void *req_cls,
			const char *extra, size_t extra_len, MHD_socket fd,
			struct MHD_UpgradeResponseHandle *handle)
{
	_cleanup_(err_done) struct err err = {};
	struct request *req = req_cls;
	struct upgrade *u = cls;
	struct lease *lease = calloc(1, sizeof(*lease));
	struct ws_params base = { .event = u->w->cp->loop,
				  .fd = fd,
				  .early = extra,
				  .early_len = extra_len,
				  .max_message_bytes = WIRE_MAX_MESSAGE_BYTES,
				  .max_queue_bytes = WIRE_MAX_QUEUE_BYTES,
				  .release = give_back,
				  .release_arg = lease };

	(void) connection;
	req->held = NULL; /* ours now */
	if (lease) {
		lease->cp = u->w->cp;
		lease->handle = handle;
	}
	if (!lease || open_session(u, &base, &err) < 0) {
		log_error("Failed to open a session of '%s': %s", u->query.instance_arn,
			  lease ? err_text(&err) : "out of memory");
		free(lease);
		(void) MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
	}
	upgrade_free(u);
}

static int answer_upgrade(struct request *req, struct upgrade *u, const char *accept)
{
	struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgraded, u);
	enum MHD_Result k;

	if (!r)
		return MHD_NO;
	(void) MHD_add_response_header(r, MHD_HTTP_HEADER_UPGRADE, "websocket");
	(void) MHD_add_response_header(r, "Sec-WebSocket-Accept", accept);
	(void) MHD_add_response_header(r, "x-amzn-RequestId", req->id);
	k = MHD_queue_response(req->connection, MHD_HTTP_SWITCHING_PROTOCOLS, r);
	MHD_destroy_response(r);
	return k;
}

static int check_request(struct controlplane *cp, struct request *req, char accept[WS_ACCEPT_MAX],
			 int *ret)
{
	const struct ws_handshake h = { .method = req->method,
					.upgrade = header(req, "Upgrade"),
					.connection = header(req, "Connection"),
					.version = header(req, "Sec-WebSocket-Version"),
					.key = header(req, "Sec-WebSocket-Key") };
	_cleanup_(err_done) struct err err = {};
	int k = ws_handshake_check(&h, accept, &err);

	if (k != 0) {
		*ret = refuse(req, k == WS_E_BAD_VERSION ? MHD_HTTP_UPGRADE_REQUIRED : 400,
			      "BadRequestException", err_text(&err));
		return 1;
	}
	k = wire_verify(cp, req, &err);
	if (k != 0) {
		*ret = refuse(req, k < 0 ? 500 : 403,
			      k < 0 ? "ServerException" : "AccessDeniedException", err_text(&err));
		return 1;
	}
	return 0;
}

int wire_upgrade(struct controlplane *cp, struct request *req, struct MHD_Connection *connection)
{
	struct wire_state *w = wire_state_of(cp);
	bool telemetry = strncmp(req->uri, "/tcs/ws", 7) == 0;
	struct upgrade *u;
	char accept[WS_ACCEPT_MAX], why[128] = "";
	int k = MHD_NO;

	(void) connection;
	if (cp->stopping)
		return refuse(req, 503, "ServerException", "The control plane stops.");
	if (!telemetry && strncmp(req->uri, "/acs/ws", 7) != 0)
		return refuse(req, 404, "BadRequestException", "there is no such endpoint");
	if (check_request(cp, req, accept, &k) != 0)
		return k;
	u = calloc(1, sizeof(*u));
	if (!u)
		return MHD_NO;
	*u = (struct upgrade){ .w = w,
			       .telemetry = telemetry,
			       .url = strdup(req->uri),
			       .host = strdup(header(req, "Host") ? header(req, "Host") : "") };
	req->drop = upgrade_free;
	req->held = u;
	if (!u->url || !u->host)
		k = MHD_NO;
	else if (!parse_query(req, telemetry, &u->query, why, sizeof(why)))
		k = refuse(req, 400, "BadRequestException", why);
	else if (check_instance(cp, req, &u->query, &k) == 0)
		return answer_upgrade(req, u, accept);
	return k;
}
