/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/agentapi.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/eni.h"
#include "controlplane/instance.h"
#include "controlplane/server.h"
#include "controlplane/schema.h"
#include "controlplane/store.h"
#include "controlplane/task.h"
#include "controlplane/wire_state.h"
#include "controlplane/timeline.h"

#define REQUIRED true

enum {
	MAX_REASON = 4096, /* agents cut at 1024 bytes, but what they cut through grows again */
	MAX_ID = 255,
	MAX_BINDINGS = 100,
	MAX_LIST = 1000,
	MAX_ATTRIBUTES = 1000
};

static const char *const resource_types[] = { "INTEGER", "DOUBLE", "LONG", "STRINGSET", NULL };
static const char *const protocols[] = { "tcp", "udp", NULL };
static const char *const task_statuses[] = { "PENDING", "RUNNING", "STOPPED", NULL };
static const char *const managed_agents[] = { "ExecuteCommandAgent", NULL };
static const char *const managed_statuses[] = { "CREATED", "PENDING", "RUNNING", "STOPPED", NULL };
static const char *const device_types[] = { "GPU", "NEURON_DEVICE", NULL };
static const char *const attachment_statuses[] = { "ATTACHED",  "DETACHED",   "ATTACHING",
						   "DETACHING", "PRECREATED", "CREATED",
						   "FAILED",    NULL };

/* --- RegisterContainerInstance ------------------------------------------------------------------ */

static const struct schema resource_schema[] = {
	{ "name", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "type", SCHEMA_ENUM, REQUIRED, .choices = resource_types },
	{ "integerValue", SCHEMA_INTEGER, .max = INT32_MAX },
	{ "longValue", SCHEMA_INTEGER, .max = INT64_MAX },
	{ "doubleValue", SCHEMA_NUMBER, .max = INT64_MAX },
	{ "stringSetValue", SCHEMA_LIST, .max = 65536 },
	{}
};

static const struct schema attribute_schema[] = { { "name", SCHEMA_STRING, REQUIRED, .min = 1,
						    .max = 128 },
						  { "value", SCHEMA_STRING, .max = 1024 },
						  { "targetType", SCHEMA_STRING },
						  { "targetId", SCHEMA_STRING },
						  {} };

static const struct schema tag_schema[] = { { "key", SCHEMA_STRING, REQUIRED, .min = 1,
					      .max = 128 * 4 },
					    { "value", SCHEMA_STRING, .max = 256 * 4 },
					    {} };

static const struct schema device_schema[] = {
	{ "id", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "type", SCHEMA_ENUM, REQUIRED, .choices = device_types },
	{}
};

static const struct schema version_schema[] = { { "agentVersion", SCHEMA_STRING },
						{ "agentHash", SCHEMA_STRING },
						{ "dockerVersion", SCHEMA_STRING },
						{} };

static const struct schema register_schema[] = {
	{ "cluster", SCHEMA_STRING },
	{ "containerInstanceArn", SCHEMA_STRING },
	{ "instanceIdentityDocument", SCHEMA_STRING, .max = 65536 },
	{ "instanceIdentityDocumentSignature", SCHEMA_STRING, .max = 65536 },
	{ "totalResources", SCHEMA_LIST, REQUIRED, .fields = resource_schema, .max = 100 },
	{ "attributes", SCHEMA_LIST, .fields = attribute_schema, .max = MAX_ATTRIBUTES },
	{ "tags", SCHEMA_LIST, .fields = tag_schema, .max = 50 },
	{ "platformDevices", SCHEMA_LIST, .fields = device_schema, .max = 100 },
	{ "versionInfo", SCHEMA_OBJECT, .fields = version_schema },
	{ "clientToken", SCHEMA_STRING, .min = 1, .max = 64 },
	{}
};

/* Fails the operation with what schema_check() found. */
static int check(const json_t *in, const struct schema *schema, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};

	if (schema_check(in, schema, &err) < 0)
		return api_fail(e, "InvalidParameterException", "%s", err_text(&err));
	return 0;
}

static bool has_resource(const json_t *in, const char *name)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(in, "totalResources"), i, r)
		if (strcmp(json_get_string(r, "name", ""), name) == 0)
			return json_object_get(r, "integerValue") ||
			       json_object_get(r, "stringSetValue");
	return false;
}

static int register_instance(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	json_auto_t *instance = NULL;
	char cluster[ARN_NAME_MAX];

	if (check(in, register_schema, e) < 0)
		return -1;
	if (!has_resource(in, "CPU") || !has_resource(in, "MEMORY"))
		return api_fail(e, "InvalidParameterException",
				"totalResources: CPU and MEMORY are required");
	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    instance_register(cp, in, &instance, e) < 0)
		return -1;
	if (wire_state_of(cp))
		timeline_registered(wire_state_of(cp)->timeline,
				    json_get_string(instance, "containerInstanceArn", ""));
	*out = json_pack("{s:O}", "containerInstance", instance);
	return *out ? 0 : -1;
}

/* --- DiscoverPollEndpoint ------------------------------------------------------------------------- */

static const struct schema discover_schema[] = { { "cluster", SCHEMA_STRING },
						 { "containerInstance", SCHEMA_STRING },
						 { "zoneId", SCHEMA_STRING },
						 {} };

/* The name by which the client reached us; without one, where we listen. */
static void own_host(struct controlplane *cp, char *host, size_t size)
{
	const struct wire_state *w = wire_state_of(cp);
	bool v6 = strchr(cp->settings.listen_host, ':') != NULL;

	if (w && w->host[0])
		(void) snprintf(host, size, "%s", w->host);
	else
		(void) snprintf(host, size, "%s%s%s:%u", v6 ? "[" : "", cp->settings.listen_host,
				v6 ? "]" : "",
				cp->server ? server_port(cp->server) : cp->settings.listen_port);
}

static int discover(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	const char *ref = json_get_string(in, "containerInstance", NULL);
	_cleanup_(err_done) struct err err = {};
	json_auto_t *instance = NULL;
	char cluster[ARN_NAME_MAX], host[WIRE_HOST_MAX];

	if (check(in, discover_schema, e) < 0 || cluster_of_request(cp, in, cluster, e) < 0)
		return -1;
	if (ref && *ref) {
		int k = instance_find(cp, cluster, ref, &instance, &err);

		if (k < 0)
			return api_fail_server(e, &err);
		if (k > 0)
			return api_fail(e, "ClientException", "Container instance not found.");
	}
	own_host(cp, host, sizeof(host));
	*out = json_pack("{s:o, s:o, s:o}", "endpoint", json_sprintf("http://%s/acs/", host),
			 "telemetryEndpoint", json_sprintf("http://%s/tcs/", host),
			 "serviceConnectEndpoint", json_sprintf("http://%s/sc/", host));
	return *out ? 0 : -1;
}

/* --- state changes ---------------------------------------------------------------------------------- */

static const struct schema binding_schema[] = { { "bindIP", SCHEMA_STRING, .max = 64 },
						{ "containerPort", SCHEMA_INTEGER, .max = 65535 },
						{ "hostPort", SCHEMA_INTEGER, .max = 65535 },
						{ "containerPortRange", SCHEMA_STRING, .max = 16 },
						{ "hostPortRange", SCHEMA_STRING, .max = 16 },
						{ "protocol", SCHEMA_ENUM, .choices = protocols },
						{} };

static const struct schema managed_agent_schema[] = {
	{ "containerName", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "managedAgentName", SCHEMA_ENUM, REQUIRED, .choices = managed_agents },
	{ "status", SCHEMA_ENUM, REQUIRED, .choices = managed_statuses },
	{ "reason", SCHEMA_STRING, .max = MAX_REASON },
	{}
};

static const struct schema container_schema[] = {
	{ "containerName", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "runtimeId", SCHEMA_STRING, .max = MAX_ID },
	{ "imageDigest", SCHEMA_STRING, .max = MAX_ID },
	{ "reason", SCHEMA_STRING, .max = MAX_REASON },
	{ "status", SCHEMA_ENUM, REQUIRED, .choices = task_statuses },
	{ "exitCode", SCHEMA_INTEGER, .min = INT32_MIN, .max = INT32_MAX },
	{ "networkBindings", SCHEMA_LIST, .fields = binding_schema, .max = 2 * MAX_LIST },
	{ "managedAgents", SCHEMA_LIST, .fields = managed_agent_schema, .max = MAX_LIST },
	{}
};

static const struct schema attachment_schema[] = {
	{ "attachmentArn", SCHEMA_STRING, REQUIRED, .min = 1, .max = 1024 },
	{ "status", SCHEMA_ENUM, REQUIRED, .choices = attachment_statuses },
	{}
};

static const struct schema task_change_schema[] = {
	{ "cluster", SCHEMA_STRING },
	{ "task", SCHEMA_STRING, REQUIRED, .min = 1, .max = 1024 },
	{ "status", SCHEMA_ENUM, .choices = task_statuses },
	{ "reason", SCHEMA_STRING, .max = MAX_REASON },
	{ "containers", SCHEMA_LIST, .fields = container_schema, .max = MAX_LIST },
	{ "attachments", SCHEMA_LIST, .fields = attachment_schema, .max = MAX_LIST },
	{ "managedAgents", SCHEMA_LIST, .fields = managed_agent_schema, .max = MAX_LIST },
	{ "pullStartedAt", SCHEMA_NUMBER, .max = INT32_MAX * 4LL },
	{ "pullStoppedAt", SCHEMA_NUMBER, .max = INT32_MAX * 4LL },
	{ "executionStoppedAt", SCHEMA_NUMBER, .max = INT32_MAX * 4LL },
	{}
};

static const struct schema container_change_schema[] = {
	{ "cluster", SCHEMA_STRING },
	{ "task", SCHEMA_STRING, REQUIRED, .min = 1, .max = 1024 },
	{ "containerName", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "runtimeId", SCHEMA_STRING, .max = MAX_ID },
	{ "status", SCHEMA_ENUM, REQUIRED, .choices = task_statuses },
	{ "exitCode", SCHEMA_INTEGER, .min = INT32_MIN, .max = INT32_MAX },
	{ "reason", SCHEMA_STRING, .max = MAX_REASON },
	{ "networkBindings", SCHEMA_LIST, .fields = binding_schema, .max = 2 * MAX_LIST },
	{}
};

static const struct schema attachments_schema[] = {
	{ "cluster", SCHEMA_STRING },
	{ "attachments", SCHEMA_LIST, REQUIRED, .fields = attachment_schema, .max = MAX_LIST },
	{}
};

static int acknowledge(json_t **out)
{
	*out = json_pack("{s:s}", "acknowledgment", "ACK");
	return *out ? 0 : -1;
}

/* Either ports or ranges, whole; more than 100 bindings go with no range (the service's bound). */
static int check_bindings(const json_t *container, struct api_error *e)
{
	const json_t *list = json_object_get(container, "networkBindings"), *b;
	const char *name = json_get_string(container, "containerName", "");
	bool ranged = false;
	size_t i;

	json_array_foreach(list, i, b) {
		bool range = json_object_get(b, "containerPortRange") != NULL;

		ranged |= range;
		if (range && !json_object_get(b, "hostPortRange"))
			return api_fail(e, "InvalidParameterException",
					"%s: networkBindings[%zu].hostPortRange: missing", name, i);
		if (!range && json_get_int(b, "containerPort", 0) == 0)
			return api_fail(e, "InvalidParameterException",
					"%s: networkBindings[%zu].containerPort: missing", name, i);
		if (!range && json_get_int(b, "hostPort", 0) == 0)
			return api_fail(e, "InvalidParameterException",
					"%s: networkBindings[%zu].hostPort: missing", name, i);
	}
	if (ranged && json_array_size(list) > MAX_BINDINGS)
		return api_fail(e, "InvalidParameterException",
				"%s: networkBindings: %zu, more than %d with a port range", name, i,
				MAX_BINDINGS);
	return 0;
}

static int submit_task(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	char cluster[ARN_NAME_MAX];
	const json_t *container;
	size_t i;

	if (check(in, task_change_schema, e) < 0 || cluster_of_request(cp, in, cluster, e) < 0)
		return -1;
	if (!json_get_string(in, "status", NULL) && !json_object_get(in, "attachments"))
		return api_fail(e, "InvalidParameterException", "status: missing");
	json_array_foreach(json_object_get(in, "containers"), i, container)
		if (check_bindings(container, e) < 0)
			return -1;
	if (task_apply_state_change(cp, in, e) < 0)
		return -1;
	if (wire_state_of(cp))
		timeline_reported(wire_state_of(cp)->timeline, json_get_string(in, "task", ""),
				  json_get_string(in, "status", ""));
	return acknowledge(out);
}

static int submit_container(struct controlplane *cp, const json_t *in, json_t **out,
			    struct api_error *e)
{
	char cluster[ARN_NAME_MAX];

	if (check(in, container_change_schema, e) < 0 ||
	    cluster_of_request(cp, in, cluster, e) < 0 || check_bindings(in, e) < 0)
		return -1;
	return task_apply_container_change(cp, in, e) < 0 ? -1 : acknowledge(out);
}

static int submit_attachments(struct controlplane *cp, const json_t *in, json_t **out,
			      struct api_error *e)
{
	char cluster[ARN_NAME_MAX];

	if (check(in, attachments_schema, e) < 0 || cluster_of_request(cp, in, cluster, e) < 0 ||
	    eni_apply_attachment_changes(cp, in, e) < 0)
		return -1;
	return acknowledge(out);
}

const struct operation agent_operations[] = { { "RegisterContainerInstance", register_instance },
					      { "DiscoverPollEndpoint", discover },
					      { "SubmitTaskStateChange", submit_task },
					      { "SubmitContainerStateChange", submit_container },
					      { "SubmitAttachmentStateChanges",
						submit_attachments },
					      {} };
