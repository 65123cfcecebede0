/* SPDX-License-Identifier: Apache-2.0 */
/* RegisterContainerInstance: a host joins a cluster, or comes back to it. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/gpu.h"
#include "controlplane/instance.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

enum { ATTRIBUTES_MAX = 500, RESOURCES_MAX = 50 };

static int copy_resource(const json_t *r, json_t *list, struct api_error *e)
{
	const char *name = NULL, *type = NULL;
	const json_t *set = NULL;
	json_t *copy;
	int amount = 0;

	if (param_required(r, "name", &name, e) < 0 || param_required(r, "type", &type, e) < 0 ||
	    param_int(r, "integerValue", 0, INT32_MAX, 0, &amount, e) < 0 ||
	    param_list(r, "stringSetValue", JSON_STRING, 70000, &set, e) < 0)
		return -1;
	copy = json_pack("{s:s, s:s, s:f, s:I, s:i}", "name", name, "type", type, "doubleValue",
			 json_number_value(json_object_get(r, "doubleValue")), "longValue",
			 (json_int_t) json_get_int(r, "longValue", 0), "integerValue", amount);
	if (copy && strcmp(type, "STRINGSET") == 0)
		(void) json_object_set_new(copy, "stringSetValue",
					   set ? json_deep_copy(set) : json_array());
	if (json_array_append_new(list, copy) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

static int copy_resources(const json_t *in, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	const json_t *given = NULL, *r;
	size_t i;

	if (param_list(in, "totalResources", JSON_OBJECT, RESOURCES_MAX, &given, e) < 0)
		return -1;
	json_array_foreach(given, i, r)
		if (copy_resource(r, list, e) < 0)
			return -1;
	if (!named_element(list, "CPU") || !named_element(list, "MEMORY"))
		return api_fail(e, "InvalidParameterException",
				"totalResources must name CPU and MEMORY.");
	return answer_with(TAKE_PTR(list), ret, e);
}

static int check_attribute(const char *name, const char *value, struct api_error *e)
{
	static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789-_./\\";

	if (strlen(name) > 128 || strspn(name, name_chars) != strlen(name))
		return api_fail(e, "InvalidParameterException",
				"Attribute name is longer than 128 or contains invalid "
				"characters: '%.128s'",
				name);
	if (value && strlen(value) > 1024)
		return api_fail(e, "InvalidParameterException",
				"The value of attribute '%s' is longer than 1024.", name);
	return 0;
}

/* Replaces or appends; a NULL @value makes an attribute without one. */
static int set_attribute(json_t *list, const char *name, const char *value, struct api_error *e)
{
	json_t *v = named_element(list, name);

	if (v) {
		(void) json_object_del(v, "value");
		if (value && json_object_set_new(v, "value", json_string(value)) < 0)
			return answer_with(NULL, NULL, e);
		return 0;
	}
	if (json_array_append_new(list, json_pack("{s:s, s:s*}", "name", name, "value", value)) < 0)
		return answer_with(NULL, NULL, e);
	return 0;
}

/* Capabilities are the agent's to say, anew at each start: those it has lost must not attract tasks.
 * Other attributes (of the operator, of the service) stay. */
static void drop_capabilities(json_t *list)
{
	static const char *const prefixes[] = { "com.amazonaws.ecs.capability.",
						"ecs.capability." };

	for (size_t i = json_array_size(list); i-- > 0;) {
		const char *name = json_get_string(json_array_get(list, i), "name", "");

		for (size_t j = 0; j < ARRAY_SIZE(prefixes); j++)
			if (strncmp(name, prefixes[j], strlen(prefixes[j])) == 0) {
				(void) json_array_remove(list, i);
				break;
			}
	}
}

/* Puts the request's attributes into @list. */
static int copy_attributes(const json_t *in, json_t *list, struct api_error *e)
{
	const json_t *given = NULL, *a;
	size_t i;

	if (param_list(in, "attributes", JSON_OBJECT, ATTRIBUTES_MAX, &given, e) < 0)
		return -1;
	json_array_foreach(given, i, a) {
		const char *name = NULL, *value = NULL;

		if (param_required(a, "name", &name, e) < 0 ||
		    param_string(a, "value", &value, e) < 0 ||
		    check_attribute(name, value, e) < 0 || set_attribute(list, name, value, e) < 0)
			return -1;
	}
	return 0;
}

/* What the EC2 identity document says; for a host without one it is made up once. */
struct identity {
	char ec2_id[32], zone[64], type[64], image[64];
};

static void copy_text(char *dst, size_t size, const json_t *doc, const char *key,
		      const char *fallback)
{
	(void) snprintf(dst, size, "%s", json_get_string(doc, key, fallback));
}

static void read_identity(const struct controlplane *cp, const json_t *in, struct identity *ret)
{
	const char *text = json_get_string(in, "instanceIdentityDocument", "");
	_cleanup_(json_decrefp) json_t *doc = json_loads(text, 0, NULL);
	char zone[48], hex[18], id[24];

	(void) snprintf(zone, sizeof(zone), "%.40sa", cp->settings.region);
	(void) snprintf(id, sizeof(id), "i-%s", random_hex(hex, 17));
	copy_text(ret->ec2_id, sizeof(ret->ec2_id), doc, "instanceId", id);
	copy_text(ret->zone, sizeof(ret->zone), doc, "availabilityZone", zone);
	copy_text(ret->type, sizeof(ret->type), doc, "instanceType", "");
	copy_text(ret->image, sizeof(ret->image), doc, "imageId", "");
}

/* Attributes that the service adds, unless the agent named them itself. */
static int add_own_attributes(json_t *list, const struct identity *id, struct api_error *e)
{
	const struct {
		const char *name, *value;
	} own[] = {
		{ "ecs.availability-zone", id->zone },
		{ "ecs.instance-type", id->type },
		{ "ecs.ami-id", id->image },
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (own[i].value[0] && !named_element(list, own[i].name) &&
		    set_attribute(list, own[i].name, own[i].value, e) < 0)
			return -1;
	return 0;
}

static void bump_version(json_t *doc)
{
	(void) json_object_set_new(doc, "version",
				   json_integer(json_get_int(doc, "version", 0) + 1));
}

static int new_instance(struct controlplane *cp, const char *cluster, const struct identity *id,
			json_t **ret, struct api_error *e)
{
	char arn[ARN_MAX], hex[ARN_ID_DIGITS + 1];
	json_t *doc = json_pack("{s:s, s:s, s:i, s:{}, s:[], s:[], s:s, s:b, s:i, s:i, s:[], s:o, "
				"s:[], s:[]}",
				"containerInstanceArn",
				arn_instance(cp, cluster, random_hex(hex, ARN_ID_DIGITS), arn),
				"ec2InstanceId", id->ec2_id, "version", 0, "versionInfo",
				"remainingResources", "registeredResources", "status", "ACTIVE",
				"agentConnected", 0, "runningTasksCount", 0, "pendingTasksCount", 0,
				"attributes", "registeredAt", json_now(), "attachments", "tags");

	return answer_with(doc, ret, e);
}

static int known_instance(struct controlplane *cp, const char *cluster, const char *arn,
			  const struct identity *id, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	const json_t *type;
	int k = instance_find(cp, cluster, arn, &doc, &err);

	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0 || strcmp(json_get_string(doc, "status", ""), "INACTIVE") == 0)
		return api_fail(e, "InvalidParameterException",
				"Container instance %.256s is not registered with the cluster.",
				arn);
	type = named_element(json_object_get(doc, "attributes"), "ecs.instance-type");
	if (type && id->type[0] && strcmp(json_get_string(type, "value", ""), id->type) != 0)
		return api_fail(e, "ClientException",
				"Container instance type changes are not supported.");
	*ret = TAKE_PTR(doc);
	return 0;
}

/* A first registration repeated with its clientToken (the answer was lost) finds its instance. */
static int instance_by_token(struct controlplane *cp, const char *token, json_t **ret,
			     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *arn = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = store_token_get(cp->store, token, &arn, &err);

	if (k == 0)
		k = store_instance_get(cp->store, json_get_string(arn, "arn", ""), ret, &err);
	return k < 0 ? api_fail_server(e, &err) : 0;
}

static int find_or_make(struct controlplane *cp, const json_t *in, const char *cluster,
			const struct identity *id, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *note = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *arn = NULL, *token = NULL;
	char key[ARN_NAME_MAX + 160];

	if (param_string(in, "containerInstanceArn", &arn, e) < 0 ||
	    param_string(in, "clientToken", &token, e) < 0)
		return -1;
	if (arn && *arn)
		return known_instance(cp, cluster, arn, id, ret, e);
	(void) snprintf(key, sizeof(key), "instance/%s/%.128s", cluster, token ? token : "");
	if (token && *token && instance_by_token(cp, key, &doc, e) < 0)
		return -1;
	if (doc && strcmp(json_get_string(doc, "status", ""), "INACTIVE") != 0) {
		*ret = TAKE_PTR(doc);
		return 0;
	}
	json_decref(doc);
	doc = NULL;
	if (new_instance(cp, cluster, id, &doc, e) < 0)
		return -1;
	note = json_pack("{s:s}", "arn", json_get_string(doc, "containerInstanceArn", ""));
	if (!note)
		return answer_with(NULL, NULL, e);
	if (token && *token && store_token_put(cp->store, key, note, clock_real_ms(), &err) < 0)
		return api_fail_server(e, &err);
	*ret = TAKE_PTR(doc);
	return 0;
}

static int set_version_info(const json_t *in, json_t *doc, struct api_error *e)
{
	const json_t *info = NULL;

	if (param_object(in, "versionInfo", &info, e) < 0)
		return -1;
	if (info)
		(void) json_object_set_new(doc, "versionInfo", json_deep_copy(info));
	return 0;
}

int instance_register(struct controlplane *cp, const json_t *in, json_t **ret, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *resources = NULL, *tags = NULL;
	_cleanup_(err_done) struct err err = {};
	struct identity id = {};
	char cluster[ARN_NAME_MAX];
	json_t *attributes;

	if (cluster_of_request(cp, in, cluster, e) < 0 || copy_resources(in, &resources, e) < 0 ||
	    gpu_register(in, resources, e) < 0 || param_tags(in, &tags, e) < 0)
		return -1;
	read_identity(cp, in, &id);
	if (find_or_make(cp, in, cluster, &id, &doc, e) < 0 || set_version_info(in, doc, e) < 0)
		return -1;
	attributes = json_object_get(doc, "attributes");
	drop_capabilities(attributes);
	if (copy_attributes(in, attributes, e) < 0 || add_own_attributes(attributes, &id, e) < 0)
		return -1;
	(void) json_object_set(doc, "registeredResources", resources);
	if (json_array_size(tags) > 0)
		(void) json_object_set(doc, "tags", tags);
	bump_version(doc);
	if (store_instance_put(cp->store, doc, &err) < 0 || instance_describe(cp, doc, &err) < 0)
		return api_fail_server(e, &err);
	log_info("Container instance '%s' is registered",
		 json_get_string(doc, "containerInstanceArn", ""));
	*ret = TAKE_PTR(doc);
	return 0;
}
