/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/pages.h"

#include <arpa/inet.h>

#include "common/clock.h"
#include "common/log.h"

enum { WARN_EVERY_MS = 60 * 1000 };

struct refusal {
	unsigned status;
	const char *code, *text;
};

static const struct refusal no_id = { 400, "NoIdInRequest", "No Credential ID in the request" };
static const struct refusal unknown = { 400, "InvalidIdInRequest", "Credentials not found" };
static const struct refusal pending = { 503, "CredentialsUninitialized",
					"Credentials uninitialized for ID" };
static const struct refusal expired = { 503, "CredentialsExpired", "Credentials expired for ID" };

static void refuse(struct http_reply *r, bool v1, const struct refusal *why)
{
	answer_json(r, why->status,
		    json_pack("{s:s,s:o,s:i}", "code", why->code, "message",
			      json_sprintf("Credentials%sRequest: %s", v1 ? "V1" : "V2", why->text),
			      "HTTPErrorCode", (int) why->status));
}

/* A time that cannot be read says nothing against them. */
static bool has_expired(const struct role_credentials *c)
{
	int64_t at_ms;

	return *c->expiration && clock_parse_rfc3339(c->expiration, &at_ms, NULL) == 0 &&
	       at_ms <= clock_real_ms();
}

static void note_expired(struct metadata *m, const struct role_credentials *c)
{
	int64_t now = clock_mono_ms();

	m->view->counters->expired_credentials++;
	if (m->expired_told_ms && now - m->expired_told_ms < WARN_EVERY_MS)
		return;
	m->expired_told_ms = now;
	log_warn(
		"Credentials of role '%s' of task '%s' have expired at %s and no others came: they "
		"are refused",
		c->role_arn, c->task_arn, c->expiration);
}

static bool may_have(const struct caller *caller, const struct role_credentials *c,
		     const struct task *t)
{
	return c->type == ROLE_TASK ? caller_may_use_role(caller, t) : caller_may_see(caller, t);
}

/* One that belongs to somebody else is a thing to know of, so the line has its task. */
static void note_request(struct metadata *m, const struct metadata_request *q, unsigned status,
			 const struct role_credentials *c)
{
	struct agent_status s = {};
	struct audit_entry e = {
		.real_ms = clock_real_ms(),
		.status = status,
		.peer = { .sin_addr = q->peer, .sin_port = htons(q->peer_port) },
		.path = audit_path(q->path),
		.user_agent = q->user_agent,
		.task_arn = c ? c->task_arn : NULL,
		.event = !c                     ? ""
			 : c->type == ROLE_TASK ? "GetCredentials"
						: "GetCredentialsExecutionRole",
	};

	if (!m->audit)
		return;
	m->view->status(m->view->userdata, &s);
	e.cluster = s.cluster;
	e.instance_arn = s.container_instance_arn;
	audit_write(m->audit, &e);
}

void answer_credentials(struct metadata *m, const struct caller *caller, bool v1, const char *id,
			const struct metadata_request *q, struct http_reply *r)
{
	const struct role_credentials *c = id && *id ? role_store_get(m->roles, id) : NULL;
	const struct task *t = c ? m->view->find_task(m->view->userdata, c->task_arn) : NULL;

	if (!id || !*id) {
		refuse(r, v1, &no_id);
	} else if (!t || !may_have(caller, c, t)) {
		refuse(r, v1, &unknown);
	} else if (c->pending) {
		refuse(r, v1, &pending);
	} else if (has_expired(c)) {
		note_expired(m, c);
		refuse(r, v1, &expired);
	} else {
		answer_json(r, 200,
			    json_pack("{s:s,s:s,s:s,s:s,s:s}", "RoleArn", c->role_arn,
				      "AccessKeyId", c->access_key_id, "SecretAccessKey",
				      c->secret_access_key, "Token", c->session_token, "Expiration",
				      c->expiration));
		r->secret = true;
	}
	note_request(m, q, r->status, c);
}
