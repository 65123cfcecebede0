/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extras beside the API: GET /local/telemetry[?instance=ARN] for everybody, POST /local/fault
 * for tests, only with --fault-injection.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs.h"
#include "controlplane/server.h"
#include "controlplane/schema.h"
#include "controlplane/tcs.h"
#include "controlplane/telemetry.h"
#include "controlplane/wire_state.h"
#include "controlplane/timeline.h"

enum { MAX_MUTE_SEC = 3600, MAX_FAULTS = 100000 };

static int answer(struct request *req, unsigned status, const json_t *body)
{
	return server_answer(req, status, "application/json", body ? json_to_text(body) : NULL);
}

/* --- telemetry ------------------------------------------------------------------------------------ */

static bool add_agent(json_t *out, const struct agent *a)
{
	json_auto_t *shown = a->telemetry ? telemetry_show(a->telemetry) : json_object();

	return shown && json_object_set_new(shown, "acsConnected", json_boolean(a->acs)) == 0 &&
	       json_object_set_new(shown, "tcsConnected", json_boolean(a->tcs)) == 0 &&
	       json_object_set(out, a->instance_arn, shown) == 0;
}

static int show_telemetry(struct wire_state *w, struct request *req)
{
	const char *only =
		MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, "instance");
	json_auto_t *instances = json_object(), *body = NULL;
	bool ok = instances != NULL;

	for (const struct agent *a = w->agents; a; a = a->next)
		if (!only || strcmp(only, a->instance_arn) == 0)
			ok = ok && add_agent(instances, a);
	body = ok ? json_pack("{s:O}", "instances", instances) : NULL;
	return answer(req, MHD_HTTP_OK, body);
}

/* --- faults ---------------------------------------------------------------------------------------- */

static const struct schema http_fault_schema[] = {
	{ "operation", SCHEMA_STRING, true, .min = 1, .max = 64 },
	{ "status", SCHEMA_INTEGER, true, .min = 400, .max = 599 },
	{ "count", SCHEMA_INTEGER, .min = 0, .max = MAX_FAULTS },
	{}
};

static const struct schema fault_schema[] = {
	{ "instance", SCHEMA_STRING },
	{ "send", SCHEMA_STRING },
	{ "close", SCHEMA_INTEGER, .min = 1000, .max = 4999 },
	{ "drop", SCHEMA_BOOL },
	{ "mute", SCHEMA_INTEGER, .min = 0, .max = MAX_MUTE_SEC },
	{ "http", SCHEMA_OBJECT, .fields = http_fault_schema },
	{}
};

static int arm_http_fault(struct http_fault *f, const json_t *spec, struct err *err)
{
	char *operation = strdup(json_get_string(spec, "operation", ""));

	if (!operation)
		return err_set(err, ENOMEM, "arm a fault");
	free(f->operation);
	f->operation = operation;
	f->status = (int) json_get_int(spec, "status", 500);
	f->count = (int) json_get_int(spec, "count", 1);
	return 0;
}

static void hit(struct agent *a, const json_t *spec)
{
	const char *text = json_get_string(spec, "send", NULL);
	int64_t code = json_get_int(spec, "close", 0);

	if (json_object_get(spec, "mute"))
		a->muted_until_ms = clock_mono_ms() + json_get_int(spec, "mute", 0) * MSEC_PER_SEC;
	if (a->acs && text)
		acs_send_raw(a->acs, text, strlen(text));
	if (a->acs && code)
		acs_end(a->acs, (uint16_t) code, "injected fault");
	if (a->acs && json_is_true(json_object_get(spec, "drop")))
		acs_reset(a->acs);
}

static int inject(struct wire_state *w, struct request *req, struct err *err)
{
	json_auto_t *spec = NULL;
	const json_t *http;
	const char *instance;
	int k = json_parse(buf_str(&req->body), req->body.len, &spec, err);

	if (k == 0)
		k = schema_check(spec, fault_schema, err);
	if (k < 0)
		return k;
	http = json_object_get(spec, "http");
	if (http) {
		k = arm_http_fault(&w->fault, http, err);
		if (k < 0)
			return k;
	}
	instance = json_get_string(spec, "instance", NULL);
	if (instance && !wire_find_agent(w, instance))
		return err_set(err, ENOENT, "instance: '%.128s' never connected", instance);
	/* Without an instance every one is meant. */
	for (struct agent *a = w->agents; a; a = a->next)
		if (!instance || strcmp(instance, a->instance_arn) == 0)
			hit(a, spec);
	log_warn("Fault injected: %.256s", buf_str(&req->body));
	return 0;
}

static int serve_fault(struct wire_state *w, struct request *req)
{
	_cleanup_(err_done) struct err err = {};
	json_auto_t *body = NULL;

	if (!w->cp->settings.fault_injection)
		return server_answer_error(req, MHD_HTTP_FORBIDDEN, "AccessDeniedException",
					   "This server was started without --fault-injection");
	if (inject(w, req, &err) < 0)
		return server_answer_error(req, MHD_HTTP_BAD_REQUEST, "InvalidParameterException",
					   err_text(&err));
	body = json_pack("{s:b}", "ok", 1);
	return answer(req, MHD_HTTP_OK, body);
}

int wire_local(struct controlplane *cp, struct request *req)
{
	struct wire_state *w = wire_state_of(cp);
	size_t n = strcspn(req->uri, "?");
	bool get = strcmp(req->method, MHD_HTTP_METHOD_GET) == 0;

	if (n == strlen("/local/telemetry") && strncmp(req->uri, "/local/telemetry", n) == 0 && get)
		return show_telemetry(w, req);
	if (n == strlen("/local/timeline") && strncmp(req->uri, "/local/timeline", n) == 0 && get) {
		json_auto_t *body = timeline_show(w->timeline);

		return answer(req, MHD_HTTP_OK, body);
	}
	if (n == strlen("/local/fault") && strncmp(req->uri, "/local/fault", n) == 0 &&
	    strcmp(req->method, MHD_HTTP_METHOD_POST) == 0)
		return serve_fault(w, req);
	return server_answer_error(req, MHD_HTTP_NOT_FOUND, "UnknownOperationException",
				   "There is nothing at this path");
}
