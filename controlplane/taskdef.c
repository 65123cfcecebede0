/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/taskdef.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/shape.h"
#include "controlplane/store.h"

/* "family:revision" or "family" (revision 0). Returns false when it is neither. */
static bool parse_ref(const char *ref, char *family, int *ret_revision)
{
	size_t len = strcspn(ref, ":");
	long revision = 0;
	char *end = NULL;

	if (len == 0 || len >= ARN_NAME_MAX)
		return false;
	memcpy(family, ref, len);
	family[len] = '\0';
	if (ref[len]) {
		revision = strtol(ref + len + 1, &end, 10);
		if (end == ref + len + 1 || *end || revision < 1 || revision > 1000000000)
			return false;
	}
	*ret_revision = (int) revision;
	return true;
}

int taskdef_find(struct controlplane *cp, const char *ref, json_t **ret, struct err *err)
{
	char family[ARN_NAME_MAX];
	struct arn a;
	int revision = 0;

	if (strncmp(ref, "arn:", 4) == 0) {
		if (!arn_parse(ref, &a) || strcmp(a.type, "task-definition") != 0)
			return STORE_E_NOT_FOUND;
		if (strchr(a.id, ':'))
			return store_taskdef_get_arn(cp->store, ref, ret, err);
		ref = a.id;
	}
	if (!parse_ref(ref, family, &revision))
		return STORE_E_NOT_FOUND;
	return store_taskdef_get(cp->store, family, revision, ret, err);
}

static int answer_taskdef(json_t *td, bool with_tags, json_t **out, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *tags = json_incref(json_object_get(td, "tags"));
	json_t *answer;

	(void) json_object_del(td, "tags");
	answer = json_pack("{s:O}", "taskDefinition", td);
	if (answer && with_tags)
		(void) json_object_set(answer, "tags", tags);
	return answer_with(answer, out, e);
}

/* Adds what the service knows: revision, ARN, status, needs. */
static int complete(struct controlplane *cp, json_t *td, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *family = json_get_string(td, "family", "");
	char arn[ARN_MAX], user[64];
	json_t *rest;
	int revision = 0, k;

	if (store_taskdef_next_revision(cp->store, family, &revision, &err) < 0)
		return api_fail_server(e, &err);
	(void) arn_taskdef(cp, family, revision, arn);
	(void) snprintf(user, sizeof(user), "arn:aws:iam::%s:root", cp->settings.account);
	rest = json_pack("{s:s, s:i, s:s, s:o, s:o, s:o, s:s}", "taskDefinitionArn", arn,
			 "revision", revision, "status", "ACTIVE", "requiresAttributes",
			 taskdef_required_attributes(td), "compatibilities",
			 taskdef_compatibilities(td), "registeredAt", json_now(), "registeredBy",
			 user);
	if (!rest)
		return answer_with(NULL, NULL, e);
	k = json_object_update(td, rest);
	json_decref(rest);
	return k < 0 ? answer_with(NULL, NULL, e) : 0;
}

/* A definition travels in payloads: without a bound one alone could fill a session. */
static int check_length(const json_t *td, struct api_error *e)
{
	_cleanup_(freep) char *text = json_dumps(td, JSON_COMPACT);

	if (!text)
		return answer_with(NULL, NULL, e);
	if (strlen(text) > TASKDEF_BYTES_MAX)
		return api_fail(e, "ClientException",
				"Actual length: '%zu'. Max allowed length is '%d' bytes.",
				strlen(text), TASKDEF_BYTES_MAX);
	return 0;
}

static int register_taskdef(struct controlplane *cp, const json_t *in, json_t **out,
			    struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *td = NULL, *tags = NULL;
	_cleanup_(err_done) struct err err = {};

	if (param_tags(in, &tags, e) < 0 || shape_copy(shape_taskdef, in, &td, e) < 0 ||
	    check_length(td, e) < 0 || taskdef_check(td, e) < 0 || complete(cp, td, e) < 0)
		return -1;
	(void) json_object_set(td, "tags", tags);
	if (store_taskdef_put(cp->store, td, &err) < 0)
		return api_fail_server(e, &err);
	return answer_taskdef(td, json_array_size(tags) > 0, out, e);
}

static int get_taskdef(struct controlplane *cp, const json_t *in, const char *complaint,
		       json_t **ret, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	int k;

	if (param_string(in, "taskDefinition", &ref, e) < 0)
		return -1;
	if (!ref || !*ref)
		return api_fail(e, "ClientException", "Task definition can not be blank.");
	k = taskdef_find(cp, ref, ret, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	return k > 0 ? api_fail(e, "ClientException", "%s", complaint) : 0;
}

static int describe_taskdef(struct controlplane *cp, const json_t *in, json_t **out,
			    struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *td = NULL;

	if (get_taskdef(cp, in, "Unable to describe task definition.", &td, e) < 0)
		return -1;
	return answer_taskdef(td, param_includes(in, "include", "TAGS"), out, e);
}

static int deregister_taskdef(struct controlplane *cp, const json_t *in, json_t **out,
			      struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *td = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;

	if (param_string(in, "taskDefinition", &ref, e) < 0)
		return -1;
	if (ref && !strchr(arn_last(ref), ':'))
		return api_fail(e, "ClientException", "Invalid revision number. Number: null");
	if (get_taskdef(cp, in, "The specified task definition does not exist.", &td, e) < 0)
		return -1;
	if (strcmp(json_get_string(td, "status", ""), "ACTIVE") == 0) {
		(void) json_object_set_new(td, "status", json_string("INACTIVE"));
		(void) json_object_set_new(td, "deregisteredAt", json_now());
		if (store_taskdef_put(cp->store, td, &err) < 0)
			return api_fail_server(e, &err);
	}
	return answer_taskdef(td, false, out, e);
}

static int list_taskdefs(struct controlplane *cp, const json_t *in, json_t **out,
			 struct api_error *e)
{
	static const char *const statuses[] = { "ACTIVE", "INACTIVE", NULL };
	static const char *const sorts[] = { "ASC", "DESC", NULL };
	_cleanup_(page_done) struct page page = {};
	_cleanup_(err_done) struct err err = {};
	struct taskdef_filter f = {};
	const char *sort = NULL;
	char after[ARN_NAME_MAX];
	json_t *arns = NULL;

	if (page_of_request(in, &page, e) < 0 ||
	    param_string(in, "familyPrefix", &f.family, e) < 0 ||
	    param_choice(in, "status", statuses, "ACTIVE", &f.status, e) < 0 ||
	    param_choice(in, "sort", sorts, "ASC", &sort, e) < 0)
		return -1;
	if (page.after) {
		if (!parse_ref(arn_last(page.after), after, &f.after_revision))
			return api_fail(e, "InvalidParameterException", "Invalid token.");
		f.after_family = after;
	}
	f.descending = strcmp(sort, "DESC") == 0;
	f.limit = page.limit + 1;
	if (store_taskdef_list(cp->store, &f, &arns, &err) < 0)
		return api_fail_server(e, &err);
	return page_answer(&page, "taskDefinitionArns", arns, out, e);
}

static int list_families(struct controlplane *cp, const json_t *in, json_t **out,
			 struct api_error *e)
{
	static const char *const statuses[] = { "ACTIVE", "INACTIVE", "ALL", NULL };
	_cleanup_(page_done) struct page page = {};
	_cleanup_(err_done) struct err err = {};
	const char *prefix = NULL, *status = NULL;
	json_t *names = NULL;

	if (page_of_request(in, &page, e) < 0 || param_string(in, "familyPrefix", &prefix, e) < 0 ||
	    param_choice(in, "status", statuses, "ALL", &status, e) < 0)
		return -1;
	if (store_family_list(cp->store, prefix, status, page.after, page.limit + 1, &names, &err) <
	    0)
		return api_fail_server(e, &err);
	return page_answer(&page, "families", names, out, e);
}

const struct operation taskdef_operations[] = {
	{ "DeregisterTaskDefinition", deregister_taskdef },
	{ "DescribeTaskDefinition", describe_taskdef },
	{ "ListTaskDefinitionFamilies", list_families },
	{ "ListTaskDefinitions", list_taskdefs },
	{ "RegisterTaskDefinition", register_taskdef },
	{},
};
