/* SPDX-License-Identifier: Apache-2.0 */
/* Tags of every kind of record, and custom attributes of container instances. */
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/instance.h"
#include "controlplane/instance_expr.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

/* --- the record an ARN names ----------------------------------------------------------------- */

struct kind {
	const char *type; /* of the ARN */
	int (*get)(struct store *s, const struct arn *a, const char *arn, json_t **ret,
		   struct err *err);
	int (*put)(struct store *s, const struct arn *a, const json_t *doc, struct err *err);
};

static int get_cluster(struct store *s, const struct arn *a, const char *arn, json_t **ret,
		       struct err *err)
{
	(void) arn;
	return store_cluster_get(s, a->id, ret, err);
}

static int put_cluster(struct store *s, const struct arn *a, const json_t *doc, struct err *err)
{
	return store_cluster_put(s, a->id, doc, err);
}

static int get_task(struct store *s, const struct arn *a, const char *arn, json_t **ret,
		    struct err *err)
{
	(void) a;
	return store_task_get(s, arn, ret, err);
}

static int put_task(struct store *s, const struct arn *a, const json_t *doc, struct err *err)
{
	(void) a;
	return store_task_put(s, doc, err);
}

static int get_instance(struct store *s, const struct arn *a, const char *arn, json_t **ret,
			struct err *err)
{
	(void) a;
	return store_instance_get(s, arn, ret, err);
}

static int put_instance(struct store *s, const struct arn *a, const json_t *doc, struct err *err)
{
	(void) a;
	return store_instance_put(s, doc, err);
}

static int get_taskdef(struct store *s, const struct arn *a, const char *arn, json_t **ret,
		       struct err *err)
{
	(void) a;
	return store_taskdef_get_arn(s, arn, ret, err);
}

static int put_taskdef(struct store *s, const struct arn *a, const json_t *doc, struct err *err)
{
	(void) a;
	return store_taskdef_put(s, doc, err);
}

static int get_service(struct store *s, const struct arn *a, const char *arn, json_t **ret,
		       struct err *err)
{
	(void) a;
	return store_service_get(s, arn, ret, err);
}

static int put_service(struct store *s, const struct arn *a, const json_t *doc, struct err *err)
{
	(void) a;
	return store_service_put(s, doc, clock_real_ms(), err);
}

static const struct kind kinds[] = {
	{ "cluster", get_cluster, put_cluster },
	{ "task", get_task, put_task },
	{ "container-instance", get_instance, put_instance },
	{ "task-definition", get_taskdef, put_taskdef },
	{ "service", get_service, put_service },
};

static int get_tagged(struct controlplane *cp, const json_t *in, struct arn *ret_arn,
		      const struct kind **ret_kind, json_t **ret, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *text = NULL;
	int k = STORE_E_NOT_FOUND;

	if (param_required(in, "resourceArn", &text, e) < 0)
		return -1;
	if (!arn_parse(text, ret_arn))
		return api_fail(e, "InvalidParameterException",
				"The specified resourceArn is not a valid ARN of this service.");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].type, ret_arn->type) == 0) {
			*ret_kind = &kinds[i];
			k = kinds[i].get(cp->store, ret_arn, text, ret, &err);
		}
	if (k < 0)
		return api_fail_server(e, &err);
	return k > 0 ? api_fail(e, "InvalidParameterException",
				"The specified resource was not found.")
		     : 0;
}

static json_t *tags_of(json_t *doc)
{
	json_t *tags = json_object_get(doc, "tags");

	if (!tags) {
		tags = json_array();
		(void) json_object_set_new(doc, "tags", tags);
	}
	return tags;
}

static void remove_tag(json_t *tags, const char *key)
{
	for (size_t i = json_array_size(tags); i-- > 0;)
		if (strcmp(json_get_string(json_array_get(tags, i), "key", ""), key) == 0)
			(void) json_array_remove(tags, i);
}

static int save(struct controlplane *cp, const struct kind *kind, const struct arn *arn,
		const json_t *doc, json_t **out, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};

	if (kind->put(cp->store, arn, doc, &err) < 0)
		return api_fail_server(e, &err);
	return answer_with(json_object(), out, e);
}

static int tag_resource(struct controlplane *cp, const json_t *in, json_t **out,
			struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *tags = NULL;
	const struct kind *kind = NULL;
	struct arn arn;
	json_t *tag, *have;
	size_t i;

	if (get_tagged(cp, in, &arn, &kind, &doc, e) < 0 || param_tags(in, &tags, e) < 0)
		return -1;
	have = tags_of(doc);
	json_array_foreach(tags, i, tag) {
		remove_tag(have, json_get_string(tag, "key", ""));
		(void) json_array_append(have, tag);
	}
	if (json_array_size(have) > 50)
		return api_fail(e, "InvalidParameterException", "A resource has at most 50 tags.");
	return save(cp, kind, &arn, doc, out, e);
}

static int untag_resource(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	const json_t *keys = NULL, *key;
	const struct kind *kind = NULL;
	struct arn arn;
	size_t i;

	if (get_tagged(cp, in, &arn, &kind, &doc, e) < 0 ||
	    param_list(in, "tagKeys", JSON_STRING, 50, &keys, e) < 0)
		return -1;
	json_array_foreach(keys, i, key)
		remove_tag(tags_of(doc), json_string_value(key));
	return save(cp, kind, &arn, doc, out, e);
}

static int list_tags(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	const struct kind *kind = NULL;
	struct arn arn;

	if (get_tagged(cp, in, &arn, &kind, &doc, e) < 0)
		return -1;
	return answer_with(json_pack("{s:O}", "tags", tags_of(doc)), out, e);
}

/* --- custom attributes -------------------------------------------------------------------------
 */

static int attribute_target(struct controlplane *cp, const char *cluster, const json_t *a,
			    json_t **ret, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *target = NULL;
	int k;

	if (param_required(a, "targetId", &target, e) < 0)
		return -1;
	k = instance_find(cp, cluster, target, ret, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0 || strcmp(json_get_string(*ret, "status", ""), "INACTIVE") == 0)
		return api_fail(e, "TargetNotFoundException", "Could not find target: %.256s",
				target);
	return 0;
}

static size_t attribute_index(const json_t *list, const char *name)
{
	size_t i = 0;

	while (i < json_array_size(list) &&
	       strcmp(json_get_string(json_array_get(list, i), "name", ""), name) != 0)
		i++;
	return i;
}

static int change_attribute(struct controlplane *cp, const char *cluster, const json_t *a,
			    bool remove, json_t *shown, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL, *fresh = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *name = NULL, *value = NULL;
	json_t *list;
	size_t i;

	if (param_required(a, "name", &name, e) < 0 || param_string(a, "value", &value, e) < 0 ||
	    attribute_target(cp, cluster, a, &doc, e) < 0)
		return -1;
	if (strlen(name) > 128 || (value && strlen(value) > 128))
		return api_fail(e, "InvalidParameterException",
				"Names and values of attributes have at most 128 characters.");
	list = json_object_get(doc, "attributes");
	i = attribute_index(list, name);
	if (i < json_array_size(list))
		(void) json_array_remove(list, i);
	if (!remove && json_array_size(list) >= 500)
		return api_fail(e, "AttributeLimitExceededException",
				"A container instance has at most 500 attributes.");
	fresh = json_pack("{s:s, s:s*}", "name", name, "value", value);
	if (!remove)
		(void) json_array_append(list, fresh);
	(void) json_array_append_new(
		shown, json_pack("{s:s, s:s*, s:s, s:O}", "name", name, "value", value,
				 "targetType", "container-instance", "targetId",
				 json_object_get(doc, "containerInstanceArn")));
	return store_instance_put(cp->store, doc, &err) < 0 ? api_fail_server(e, &err) : 0;
}

static int change_attributes(struct controlplane *cp, const json_t *in, bool remove, json_t **out,
			     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *shown = json_array();
	const json_t *list = NULL, *a;
	char cluster[ARN_NAME_MAX];
	size_t i;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_list(in, "attributes", JSON_OBJECT, 10, &list, e) < 0)
		return -1;
	if (json_array_size(list) == 0)
		return api_fail(e, "InvalidParameterException", "Attributes cannot be empty.");
	json_array_foreach(list, i, a)
		if (change_attribute(cp, cluster, a, remove, shown, e) < 0)
			return -1;
	return answer_with(json_pack("{s:O}", "attributes", shown), out, e);
}

static int put_attributes(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	return change_attributes(cp, in, false, out, e);
}

static int delete_attributes(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	return change_attributes(cp, in, true, out, e);
}

struct attribute_listing {
	const char *name, *value; /* NULL: any */
	json_t *list;
	const char *after; /* "ARN name" of the last one shown; NULL: from the start */
	size_t wanted;
	json_t *keys;
};

static int on_instance(json_t *doc, void *userdata, struct err *err)
{
	struct attribute_listing *l = userdata;
	const json_t *arn = json_object_get(doc, "containerInstanceArn"), *a;
	size_t i;

	(void) err;
	json_array_foreach(json_object_get(doc, "attributes"), i, a) {
		const char *name = json_get_string(a, "name", "");
		char key[ARN_MAX + 160];

		(void) snprintf(key, sizeof(key), "%s %s", json_string_value(arn), name);
		if ((l->name && strcmp(l->name, name) != 0) ||
		    (l->value && strcmp(l->value, json_get_string(a, "value", "")) != 0))
			continue;
		if (l->after) {
			if (strcmp(key, l->after) == 0)
				l->after = NULL;
			continue;
		}
		if (json_array_size(l->list) >= l->wanted)
			return DB_E_DONE;
		(void) json_array_append_new(
			l->list, json_pack("{s:s, s:s*, s:s, s:O}", "name", name, "value",
					   json_get_string(a, "value", NULL), "targetType",
					   "container-instance", "targetId", arn));
		(void) json_array_append_new(l->keys, json_string(key));
	}
	return 0;
}

static int list_attributes(struct controlplane *cp, const json_t *in, json_t **out,
			   struct api_error *e)
{
	_cleanup_(page_done) struct page page = {};
	_cleanup_(json_decrefp) json_t *list = json_array(), *token = NULL, *named = NULL;
	_cleanup_(err_done) struct err err = {};
	json_t *keys = json_array();
	struct attribute_listing l = { .list = list, .keys = keys };
	char cluster[ARN_NAME_MAX];

	if (cluster_of_request(cp, in, cluster, e) < 0 || page_of_request(in, &page, e) < 0 ||
	    param_string(in, "attributeName", &l.name, e) < 0 ||
	    param_string(in, "attributeValue", &l.value, e) < 0) {
		json_decref(keys);
		return -1;
	}
	l.after = page.after;
	l.wanted = (size_t) page.limit + 1;
	if (store_instance_each(cp->store, cluster, NULL, NULL, -1, on_instance, &l, &err) < 0) {
		json_decref(keys);
		return api_fail_server(e, &err);
	}
	/* The pages are of keys; the attributes are cut to the same length. */
	if (page_answer(&page, "keys", keys, &named, e) < 0)
		return -1;
	while (json_array_size(list) > (size_t) page.limit)
		(void) json_array_remove(list, json_array_size(list) - 1);
	token = json_incref(json_object_get(named, "nextToken"));
	return answer_with(json_pack("{s:O, s:O*}", "attributes", list, "nextToken", token), out,
			   e);
}

const struct operation tag_operations[] = {
	{ "DeleteAttributes", delete_attributes },
	{ "ListAttributes", list_attributes },
	{ "ListTagsForResource", list_tags },
	{ "PutAttributes", put_attributes },
	{ "TagResource", tag_resource },
	{ "UntagResource", untag_resource },
	{},
};
