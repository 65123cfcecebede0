/* SPDX-License-Identifier: Apache-2.0 */
/* /api/ID/task-protection/v1/state: GetTaskProtection and UpdateTaskProtection by the task's role. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metadata/later.h"
#include "aws/credentials.h"
#include "common/clock.h"
#include "common/json.h"

enum { TIMEOUT_MS = 4000 };

struct protection {
	struct later later; /* first */
	char *arn;          /* owned */
	struct aws_credentials *keys;
	struct aws_client *client;
};

static void protection_free(struct later *l)
{
	struct protection *p = (struct protection *) l;

	free(p->arn);
	(void) aws_client_free(p->client);
	(void) aws_credentials_free(p->keys);
	free(p);
}

/* ---- answers ---- */

static json_t *fault(const char *arn, const char *code, const char *text)
{
	return json_pack("{s:{s:s*, s:s, s:s}}", "error", "Arn", arn, "Code", code, "Message",
			 text);
}

/* Epoch seconds there, RFC 3339 here. */
static json_t *date(const json_t *seconds)
{
	char text[CLOCK_RFC3339_MAX];

	if (!json_is_number(seconds))
		return json_null();
	return json_string(
		clock_format_rfc3339((int64_t) (json_number_value(seconds) * 1000), 0, text));
}

static json_t *text_or_null(const json_t *o, const char *key)
{
	const char *s = json_get_string(o, key, NULL);

	return s ? json_string(s) : json_null();
}

static void on_success(struct protection *p, const json_t *body)
{
	const json_t *tasks = json_object_get(body, "protectedTasks");
	const json_t *failures = json_object_get(body, "failures");
	const json_t *one;

	if (json_array_size(failures) == 1) {
		one = json_array_get(failures, 0);
		later_answer(&p->later, 200,
			     json_pack("{s:{s:s, s:o, s:o}}", "failure", "Arn",
				       json_get_string(one, "arn", p->arn), "Detail",
				       text_or_null(one, "detail"), "Reason",
				       text_or_null(one, "reason")));
	} else if (json_array_size(failures) == 0 && json_array_size(tasks) == 1) {
		one = json_array_get(tasks, 0);
		later_answer(&p->later, 200,
			     json_pack("{s:{s:o, s:b, s:s}}", "protection", "ExpirationDate",
				       date(json_object_get(one, "expirationDate")),
				       "ProtectionEnabled",
				       json_is_true(json_object_get(one, "protectionEnabled")),
				       "TaskArn", json_get_string(one, "taskArn", p->arn)));
	} else {
		later_answer(&p->later, 500,
			     fault(p->arn, "ServerException", "Unexpected error occurred"));
	}
}

/* What the service answered, by whose id its people find it. */
static json_t *service_fault(const struct protection *p, const struct aws_result *r)
{
	_cleanup_(json_decrefp) json_t *error = fault(p->arn, r->error, r->message);
	json_t *o = json_object();

	if (r->request_id && *r->request_id)
		(void) json_object_set_new(o, "requestID", json_string(r->request_id));
	(void) json_object_update(o, error);
	return o;
}

static void on_answer(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct protection *p = userdata;

	p->later.call = NULL;
	if (!err->code && r->body)
		on_success(p, r->body);
	else if (r->error && *r->error)
		later_answer(&p->later, (unsigned) r->status, service_fault(p, r));
	else
		later_answer(&p->later, 500, fault(p->arn, "ServerException", err_text(err)));
}

static void on_deadline(struct later *l)
{
	struct protection *p = (struct protection *) l;

	later_answer(l, 504,
		     fault(p->arn, "RequestCanceled", "Timed out calling ECS Task Protection API"));
}

/* ---- the question ---- */

static int make_client(struct protection *p, const struct metadata *m,
		       const struct role_credentials *role, struct err *err)
{
	const struct aws_credentials_params keys = {
		.event = m->loop,
		.access_key_id = role->access_key_id,
		.secret_access_key = role->secret_access_key,
		.session_token = *role->session_token ? role->session_token : NULL,
	};
	struct aws_client_params c = { .http = m->http,
				       .service = "ecs",
				       .target_prefix = "AmazonEC2ContainerServiceV20141113",
				       .region = m->view->config->region,
				       .endpoint = m->ecs_endpoint };
	int k = aws_credentials_new(&keys, &p->keys, err);

	c.credentials = p->keys;
	return k < 0 ? k : aws_client_new(&c, &p->client, err);
}

static int ask(struct protection *p, const json_t *change, const char *cluster, struct err *err)
{
	_cleanup_(json_decrefp) json_t *in =
		json_pack("{s:s, s:[s]}", "cluster", cluster, "tasks", p->arn);
	_cleanup_(freep) char *text = NULL;

	if (change) {
		(void) json_object_set(in, "protectionEnabled",
				       json_object_get(change, "ProtectionEnabled"));
		if (json_is_integer(json_object_get(change, "ExpiresInMinutes")))
			(void) json_object_set(in, "expiresInMinutes",
					       json_object_get(change, "ExpiresInMinutes"));
	}
	text = json_to_text(in);
	if (!text)
		return err_set(err, ENOMEM, "ask for the protection");
	return aws_call(p->client, change ? "UpdateTaskProtection" : "GetTaskProtection", text,
			NULL, on_answer, p, &p->later.call, err);
}

static void begin(struct metadata *m, const struct task *t, const struct role_credentials *role,
		  const json_t *change, struct http_call *http, struct http_reply *r)
{
	struct protection *p = calloc(1, sizeof(*p));
	_cleanup_(err_done) struct err err = {};
	struct agent_status s = {};
	int k = -ENOMEM;

	m->view->status(m->view->userdata, &s);
	if (p) {
		p->later.free = protection_free;
		p->later.on_deadline = on_deadline;
		p->arn = strdup(t->arn);
		k = p->arn ? make_client(p, m, role, &err) : -ENOMEM;
	}
	if (k == 0)
		k = later_begin(&p->later, m, http, TIMEOUT_MS, r, &err);
	if (k < 0) {
		answer_json(r, 500, fault(t->arn, "ServerException", err_text(&err)));
		if (p)
			protection_free(&p->later);
		return;
	}
	if (ask(p, change, s.cluster, &err) < 0)
		later_answer(&p->later, 500, fault(p->arn, "ServerException", err_text(&err)));
}

/* Unknown members are refused, as in the reference. */
static bool decode(const char *body, size_t len, json_t **ret)
{
	const char *key;
	json_t *v;

	if (json_parse(body, len, ret, NULL) < 0 || !json_is_object(*ret))
		return false;
	json_object_foreach(*ret, key, v) {
		if (strcmp(key, "ProtectionEnabled") == 0
			    ? !json_is_boolean(v) && !json_is_null(v)
			    : strcmp(key, "ExpiresInMinutes") != 0 ||
				      (!json_is_integer(v) && !json_is_null(v)))
			return false;
	}
	return true;
}

static void protect(struct metadata *m, const struct container *c, const json_t *change,
		    const struct metadata_request *q, struct http_reply *r)
{
	const char *id = c->task->role_credentials_id;
	const struct role_credentials *role = id ? role_store_get(m->roles, id) : NULL;

	if (change && !json_is_boolean(json_object_get(change, "ProtectionEnabled")))
		answer_json(r, 400,
			    fault(c->task->arn, "InvalidParameterException",
				  "Invalid request: does not contain 'ProtectionEnabled' field"));
	else if (!role || role->pending)
		answer_json(r, 403,
			    fault(c->task->arn, "AccessDeniedException",
				  "Invalid Request: no task IAM role credentials available for "
				  "task"));
	else
		begin(m, c->task, role, change, q->call, r);
}

void answer_protection(struct metadata *m, const struct container *c,
		       const struct metadata_request *q, struct http_reply *r)
{
	_cleanup_(json_decrefp) json_t *change = NULL;
	bool put = strcmp(q->method, "PUT") == 0;

	if (!put && strcmp(q->method, "GET") != 0)
		answer_text(r, 405, "");
	else if (put && !decode(q->body, q->body_len, &change))
		answer_json(r, 400,
			    fault(NULL, "InvalidParameterException",
				  "UpdateTaskProtection: failed to decode request"));
	else if (!c)
		answer_json(r, 404,
			    fault(NULL, "ResourceNotFoundException",
				  "Failed to find a task for the request"));
	else
		protect(m, c, change, q, r);
}
