/* SPDX-License-Identifier: Apache-2.0 */
/* The operations on services. What they want is done by the reconcile step. */
#include "controlplane/service.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/cluster.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/store.h"
#include "controlplane/token.h"

enum { DESCRIBED_MAX = 10 };

static int save_and_answer(struct controlplane *cp, json_t *doc, json_t **out, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};

	if (service_put(cp, doc, &err) < 0)
		return api_fail_server(e, &err);
	cp_wake_services(cp);
	if (service_show(cp, doc, &err) < 0)
		return api_fail_server(e, &err);
	return answer_with(json_pack("{s:O}", "service", doc), out, e);
}

static const char *status_of(const json_t *doc)
{
	return json_get_string(doc, "status", "");
}

/* --- CreateService ------------------------------------------------------------------------------ */

/* A name is free again once the service before is INACTIVE. */
static int check_free(struct controlplane *cp, const json_t *doc, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *old = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = store_service_get(cp->store, json_get_string(doc, "serviceArn", ""), &old, &err);

	if (k < 0)
		return api_fail_server(e, &err);
	if (k == 0 && strcmp(status_of(old), "ACTIVE") == 0)
		return api_fail(e, "InvalidParameterException",
				"Creation of service was not idempotent.");
	if (k == 0 && strcmp(status_of(old), "DRAINING") == 0)
		return api_fail(e, "InvalidParameterException",
				"Unable to Start a service that is still Draining.");
	return 0;
}

static int create_service(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	struct token token = {};
	char cluster[ARN_NAME_MAX];

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    token_check(cp, in, "service", cluster, &token, out, e) < 0)
		return -1;
	if (*out)
		return 0;
	if (service_from_request(cp, in, cluster, &doc, e) < 0 || check_free(cp, doc, e) < 0 ||
	    save_and_answer(cp, doc, out, e) < 0)
		return -1;
	return token_remember(cp, &token, *out, e);
}

/* --- UpdateService, DeleteService ---------------------------------------------------------------- */

static int find_named(struct controlplane *cp, const json_t *in, json_t **ret, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	const char *ref = NULL;
	char cluster[ARN_NAME_MAX];
	int k;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_required(in, "service", &ref, e) < 0)
		return -1;
	k = service_find(cp, cluster, ref, ret, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	return k > 0 ? api_fail(e, "ServiceNotFoundException", "Service not found.") : 0;
}

static int update_service(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;

	if (find_named(cp, in, &doc, e) < 0)
		return -1;
	if (strcmp(status_of(doc), "ACTIVE") != 0)
		return api_fail(e, "ServiceNotActiveException", "Service was not ACTIVE.");
	if (service_apply_update(cp, in, doc, e) < 0)
		return -1;
	return save_and_answer(cp, doc, out, e);
}

static void begin_draining(json_t *doc)
{
	json_t *d;
	size_t i;

	(void) json_object_set_new(doc, "status", json_string("DRAINING"));
	(void) json_object_set_new(doc, "desiredCount", json_integer(0));
	json_array_foreach(json_object_get(doc, "deployments"), i, d)
		(void) json_object_set_new(d, "desiredCount", json_integer(0));
}

static int delete_service(struct controlplane *cp, const json_t *in, json_t **out,
			  struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	bool force = false, daemon;

	if (param_bool(in, "force", &force, e) < 0 || find_named(cp, in, &doc, e) < 0)
		return -1;
	if (strcmp(status_of(doc), "INACTIVE") == 0)
		return api_fail(e, "ServiceNotActiveException", "Service was not ACTIVE.");
	daemon = strcmp(json_get_string(doc, "schedulingStrategy", ""), "DAEMON") == 0;
	if (!force && !daemon && json_get_int(doc, "desiredCount", 0) > 0)
		return api_fail(e, "InvalidParameterException",
				"The service cannot be stopped while it is scaled above 0.");
	begin_draining(doc);
	return save_and_answer(cp, doc, out, e);
}

/* --- DescribeServices, ListServices -------------------------------------------------------------- */

static int describe_one(struct controlplane *cp, const json_t *in, const char *cluster,
			const char *ref, json_t *services, json_t *failures, struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	_cleanup_(err_done) struct err err = {};
	bool is_arn = strncmp(ref, "arn:", 4) == 0 || strlen(ref) >= ARN_NAME_MAX;
	char arn[ARN_MAX];
	int k = service_find(cp, cluster, ref, &doc, &err);

	if (k > 0)
		return failure_add(failures, is_arn ? ref : arn_service(cp, cluster, ref, arn),
				   "MISSING", NULL, e);
	if (k == 0)
		k = service_show(cp, doc, &err);
	if (k < 0)
		return api_fail_server(e, &err);
	tags_hide(in, doc);
	(void) json_array_append(services, doc);
	return 0;
}

static int describe_services(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *services = json_array(), *failures = json_array();
	const json_t *refs = NULL, *ref;
	char cluster[ARN_NAME_MAX];
	size_t i;

	if (cluster_of_request(cp, in, cluster, e) < 0 ||
	    param_list(in, "services", JSON_STRING, 1000, &refs, e) < 0)
		return -1;
	if (json_array_size(refs) == 0)
		return api_fail(e, "InvalidParameterException", "Services cannot be empty.");
	if (json_array_size(refs) > DESCRIBED_MAX)
		return api_fail(e, "InvalidParameterException",
				"Number of services should be less than or equal to %d.",
				DESCRIBED_MAX);
	json_array_foreach(refs, i, ref)
		if (describe_one(cp, in, cluster, json_string_value(ref), services, failures, e) <
		    0)
			return -1;
	return answer_with(json_pack("{s:O, s:O}", "services", services, "failures", failures), out,
			   e);
}

static int list_services(struct controlplane *cp, const json_t *in, json_t **out,
			 struct api_error *e)
{
	static const char *const types[] = { "EC2", "FARGATE", "EXTERNAL", NULL };
	static const char *const strategies[] = { "REPLICA", "DAEMON", NULL };
	_cleanup_(page_done) struct page page = {};
	_cleanup_(err_done) struct err err = {};
	const char *type = NULL, *strategy = NULL;
	char cluster[ARN_NAME_MAX];
	json_t *arns = NULL;
	int limit;

	if (cluster_of_request(cp, in, cluster, e) < 0 || page_of_request(in, &page, e) < 0 ||
	    param_choice(in, "launchType", types, "EC2", &type, e) < 0 ||
	    param_choice(in, "schedulingStrategy", strategies, NULL, &strategy, e) < 0)
		return -1;
	limit = strcmp(type, "EC2") == 0 ? page.limit + 1 : 0; /* all are of launch type EC2 */
	if (store_service_list(cp->store, cluster, strategy, page.after, limit, &arns, &err) < 0)
		return api_fail_server(e, &err);
	return page_answer(&page, "serviceArns", arns, out, e);
}

const struct operation service_operations[] = {
	{ "CreateService", create_service },       { "DeleteService", delete_service },
	{ "DescribeServices", describe_services }, { "ListServices", list_services },
	{ "UpdateService", update_service },       {},
};
