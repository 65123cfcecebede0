/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/acs_message.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

enum { MAX_CANDIDATES = 10000 };

#define FIELD(member) offsetof(struct acs_inbound, member)

static void candidate_done(void *element)
{
	struct acs_candidate *c = element;

	free(c->task_arn);
	free(c->cluster_arn);
	free(c->desired_status);
}

static const struct json_field candidate_fields[] = {
	{ "taskArn", json_decode_string, offsetof(struct acs_candidate, task_arn), true },
	{ "taskClusterArn", json_decode_string, offsetof(struct acs_candidate, cluster_arn) },
	{ "desiredStatus", json_decode_string, offsetof(struct acs_candidate, desired_status) },
	{}
};

static const struct json_array candidates = { .size = sizeof(struct acs_candidate),
					      .fields = candidate_fields,
					      .done = candidate_done,
					      .max = MAX_CANDIDATES };

static const struct json_field ack_fields[] = {
	{ "cluster", json_decode_string, FIELD(cluster), true },
	{ "containerInstance", json_decode_string, FIELD(container_instance), true },
	{ "messageId", json_decode_string, FIELD(message_id), true },
	{ "reason", json_decode_string, FIELD(reason) },
	{}
};

static const struct json_field heartbeat_ack_fields[] = {
	{ "messageId", json_decode_string, FIELD(message_id), true }, {}
};

static const struct json_field credentials_ack_fields[] = {
	{ "messageId", json_decode_string, FIELD(message_id), true },
	{ "credentialsId", json_decode_string, FIELD(credentials_id), true },
	{ "expiration", json_decode_string, FIELD(expiration), true },
	{}
};

static const struct json_field verification_fields[] = {
	{ "messageId", json_decode_string, FIELD(message_id), true },
	{ "stopCandidates", json_decode_array, FIELD(candidates), true, &candidates },
	{}
};

static const struct {
	const char *name;
	const struct json_field *fields;
} types[_ACS_TYPE_MAX] = {
	[ACS_ACK] = { "AckRequest", ack_fields },
	[ACS_NACK] = { "NackRequest", ack_fields },
	[ACS_HEARTBEAT_ACK] = { "HeartbeatAckRequest", heartbeat_ack_fields },
	[ACS_CREDENTIALS_ACK] = { "IAMRoleCredentialsAckRequest", credentials_ack_fields },
	[ACS_STOP_VERIFICATION] = { "TaskStopVerificationMessage", verification_fields },
};

static int find_type(const char *name, enum acs_type *ret, struct err *err)
{
	for (size_t i = 0; i < _ACS_TYPE_MAX; i++)
		if (strcmp(types[i].name, name) == 0) {
			*ret = (enum acs_type) i;
			return 0;
		}
	return err_set(err, EPROTO, "type: '%.64s' is nothing an agent sends", name);
}

int acs_decode(const char *text, size_t len, struct acs_inbound *ret, struct err *err)
{
	_cleanup_(acs_inbound_done) struct acs_inbound m = {};
	json_auto_t *root = NULL;
	const json_t *body;
	const char *type;
	int k;

	k = json_parse(text, len, &root, err);
	if (k < 0)
		return k;
	type = json_get_string(root, "type", NULL);
	body = json_object_get(root, "message");
	if (!type)
		return err_set(err, EPROTO, "type: missing");
	if (!json_is_object(body))
		return err_set(err, EPROTO, "message: missing");
	k = find_type(type, &m.type, err);
	if (k == 0) {
		k = json_decode(body, types[m.type].fields, &m, err);
		if (k < 0)
			return err_wrap(err, "%s", type);
	}
	if (k < 0)
		return k;
	*ret = m;
	m = (struct acs_inbound){};
	return 0;
}

void acs_inbound_done(struct acs_inbound *m)
{
	free(m->message_id);
	free(m->cluster);
	free(m->container_instance);
	free(m->reason);
	free(m->credentials_id);
	free(m->expiration);
	for (size_t i = 0; i < m->n_candidates; i++)
		candidate_done(&m->candidates[i]);
	free(m->candidates);
	*m = (struct acs_inbound){};
}

char *acs_encode(const char *type, json_t *message)
{
	json_auto_t *frame =
		message ? json_pack("{s:s, s:o}", "type", type, "message", message) : NULL;

	return frame ? json_to_text(frame) : NULL;
}

char *acs_encode_error(const char *name, const char *text)
{
	json_auto_t *frame = json_pack("{s:s}", name, text);

	return frame ? json_to_text(frame) : NULL;
}
