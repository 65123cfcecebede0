/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/controlplane.h"

static const struct operation *const tables[] = {
	cluster_operations,    taskdef_operations,  task_operations, run_operations,
	protection_operations, instance_operations, tag_operations,  service_operations,
};

/* Operations of the service that a local control plane does not offer. */
static const char *const unsupported[] = {
	"CreateCapacityProvider",
	"CreateTaskSet",
	"DeleteAccountSetting",
	"DeleteCapacityProvider",
	"DeleteTaskDefinitions",
	"DeleteTaskSet",
	"DescribeCapacityProviders",
	"DescribeTaskSets",
	"ExecuteCommand",
	"ListAccountSettings",
	"ListServicesByNamespace",
	"PutAccountSetting",
	"PutAccountSettingDefault",
	"PutClusterCapacityProviders",
	"UpdateCapacityProvider",
	"UpdateCluster",
	"UpdateClusterSettings",
	"UpdateContainerAgent",
	"UpdateServicePrimaryTaskSet",
	"UpdateTaskSet",
};

static const struct operation *extra; /* of the wire half */

void ops_add(const struct operation *table)
{
	extra = table;
}

int api_fail(struct api_error *e, const char *type, const char *fmt, ...)
{
	va_list ap;

	free(e->message);
	e->message = NULL;
	e->type = type;
	e->http_status = 400;
	va_start(ap, fmt);
	if (vasprintf(&e->message, fmt, ap) < 0)
		e->message = NULL;
	va_end(ap);
	return -1;
}

int api_fail_server(struct api_error *e, struct err *err)
{
	log_error("Failed to serve a request: %s", err_text(err));
	(void) api_fail(e, "ServerException", "Service Unavailable. Please try again later.");
	e->http_status = 500;
	return -1;
}

void api_error_done(struct api_error *e)
{
	free(e->message);
	*e = (struct api_error){};
}

static const struct operation *find_in(const struct operation *table, const char *name)
{
	for (; table && table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static const struct operation *find(const char *name)
{
	const struct operation *op = find_in(extra, name);

	for (size_t i = 0; !op && i < ARRAY_SIZE(tables); i++)
		op = find_in(tables[i], name);
	return op;
}

static int unknown(const char *name, struct api_error *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (strcmp(unsupported[i], name) == 0)
			return api_fail(e, "UnsupportedFeatureException",
					"%s is not offered by this control plane.", name);
	return api_fail(e, "UnknownOperationException", "Unknown operation: %.64s", name);
}

int ops_run(struct controlplane *cp, const char *name, const json_t *in, json_t **out,
	    struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(json_decrefp) json_t *answer = NULL;
	const struct operation *op = find(name);
	int k;

	if (!op)
		return unknown(name, e);
	if (cp_begin(cp, &err) < 0)
		return api_fail_server(e, &err);
	k = op->run(cp, in, &answer, e);
	if ((k == 0 && !answer) || (k < 0 && !e->type)) { /* only without memory */
		(void) err_set(&err, ENOMEM, "out of memory in %s", name);
		k = api_fail_server(e, &err);
	}
	if (cp_end(cp, k == 0, &err) < 0)
		return api_fail_server(e, &err);
	if (k < 0)
		return -1;
	*out = TAKE_PTR(answer);
	return 0;
}

int ops_run_text(struct controlplane *cp, const char *name, const char *body, size_t len,
		 json_t **out, struct api_error *e)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(json_decrefp) json_t *in = NULL;

	if (len == 0)
		in = json_object();
	else if (json_parse(body, len, &in, &err) < 0)
		return api_fail(e, "SerializationException", "%s", err_text(&err));
	if (!json_is_object(in))
		return api_fail(e, "SerializationException",
				"The request body is not a JSON object");
	return ops_run(cp, name, in, out, e);
}
