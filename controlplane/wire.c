/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/wire.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs.h"
#include "controlplane/agentapi.h"
#include "controlplane/credentials.h"
#include "controlplane/ops.h"
#include "controlplane/server.h"
#include "controlplane/store.h"
#include "controlplane/tcs.h"
#include "controlplane/telemetry.h"
#include "controlplane/timeline.h"
#include "controlplane/wire_state.h"

struct agent *wire_find_agent(struct wire_state *w, const char *instance_arn)
{
	for (struct agent *a = w->agents; a; a = a->next)
		if (strcmp(a->instance_arn, instance_arn) == 0)
			return a;
	return NULL;
}

static struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	a->acs = acs_free(a->acs);
	a->tcs = tcs_free(a->tcs);
	a->telemetry = telemetry_free(a->telemetry);
	free(a->instance_arn);
	free(a->cluster_arn);
	free(a);
	return NULL;
}

/* Makes room: the one without sessions that was added first goes. */
static bool forget_agent(struct wire_state *w)
{
	struct agent **found = NULL, *a;

	for (struct agent **at = &w->agents; *at; at = &(*at)->next)
		if (!(*at)->acs && !(*at)->tcs)
			found = at;
	if (!found)
		return false;
	a = *found;
	*found = a->next;
	(void) agent_free(a);
	return true;
}

struct agent *wire_add_agent(struct wire_state *w, const char *instance_arn,
			     const char *cluster_arn)
{
	struct agent *a = wire_find_agent(w, instance_arn);
	size_t n = 0;

	if (a)
		return a;
	for (a = w->agents; a; a = a->next)
		n++;
	if (n >= WIRE_MAX_AGENTS && !forget_agent(w))
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->instance_arn = strdup(instance_arn);
	a->cluster_arn = strdup(cluster_arn);
	if (!a->instance_arn || !a->cluster_arn)
		return agent_free(a);
	a->next = w->agents;
	w->agents = a;
	return a;
}

bool wire_is_muted(const struct agent *agent)
{
	return agent->muted_until_ms > clock_mono_ms();
}

static void on_task_changed(struct controlplane *cp, const char *task_arn)
{
	_cleanup_(err_done) struct err err = {};
	json_auto_t *task = NULL;
	const char *instance;
	struct agent *agent;

	if (store_task_get(cp->store, task_arn, &task, &err) != 0) {
		log_warn("Failed to look up task '%s', its agent hears of it on reconnect: %s",
			 task_arn, err_text(&err));
		return;
	}
	instance = json_get_string(task, "containerInstanceArn", "");
	agent = wire_find_agent(wire_state_of(cp), instance);
	if (agent && agent->acs)
		acs_tasks_changed(agent->acs);
}

static void on_instance_gone(struct controlplane *cp, const char *instance_arn)
{
	struct agent *agent = wire_find_agent(wire_state_of(cp), instance_arn);

	if (agent && agent->acs)
		acs_end_inactive(agent->acs);
	if (agent && agent->tcs)
		tcs_end(agent->tcs, WS_CLOSE_NORMAL, "the container instance was deregistered");
}

/* A Host header goes into the endpoints handed out, so it may hold nothing but a host. */
static void note_host(struct wire_state *w, struct request *req)
{
	const char *host = MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, "Host");
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789.-_:[]";

	w->host[0] = '\0';
	if (host && strlen(host) < sizeof(w->host) && strspn(host, ok) == strlen(host))
		memcpy(w->host, host, strlen(host) + 1);
}

static int inject_fault(struct http_fault *f, const char *operation, struct api_error *e)
{
	if (!f->operation || f->count <= 0 || strcmp(f->operation, operation) != 0)
		return 0;
	f->count--;
	(void) api_fail(e, f->status >= 500 ? "ServerException" : "ClientException",
			"Injected fault.");
	e->http_status = f->status;
	return -1;
}

static int admit(struct controlplane *cp, struct request *req, const char *operation,
		 struct api_error *e)
{
	struct wire_state *w = wire_state_of(cp);
	_cleanup_(err_done) struct err err = {};
	int k = wire_verify(cp, req, &err);

	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0) {
		(void) api_fail(e, sigv4_error_name(k), "%s", err_text(&err));
		e->http_status = k == SIGV4_E_MISMATCH || k == SIGV4_E_EXPIRED ? 403 : 400;
		return -1;
	}
	note_host(w, req);
	return inject_fault(&w->fault, operation, e);
}

static bool drained(struct controlplane *cp)
{
	struct wire_state *w = wire_state_of(cp);
	bool open = false;

	for (struct agent *a = w->agents; a; a = a->next) {
		open |= a->acs || a->tcs;
		if (a->acs)
			acs_end(a->acs, WS_CLOSE_GOING_AWAY, "the control plane stops");
		if (a->tcs)
			tcs_end(a->tcs, WS_CLOSE_GOING_AWAY, "the control plane stops");
	}
	return !open;
}

static void stop(struct controlplane *cp)
{
	struct wire_state *w = wire_state_of(cp);

	while (w->agents) {
		struct agent *a = w->agents;

		w->agents = a->next;
		(void) agent_free(a);
	}
	free(w->fault.operation);
	(void) timeline_free(w->timeline);
	free(w);
	cp->wire_data = NULL;
	cp->wire = NULL;
	cp->keys = sigv4_keys_free(cp->keys);
}

static const struct wire wire = {
	.task_changed = on_task_changed,
	.instance_gone = on_instance_gone,
	.upgrade = wire_upgrade,
	.admit = admit,
	.local = wire_local,
	.drained = drained,
	.stop = stop,
};

int wire_start(struct controlplane *cp, struct err *err)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *keys = NULL;
	struct wire_state *w;
	int k;

	if (cp->settings.credentials_file) {
		k = sigv4_keys_load(cp->settings.credentials_file, &keys, err);
		if (k < 0)
			return k;
	}
	k = credentials_init(cp->store, err);
	if (k < 0)
		return k;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, ENOMEM, "allocate the wire half");
	w->cp = cp;
	k = timeline_new(&w->timeline, err);
	if (k < 0) {
		free(w);
		return k;
	}
	cp->keys = TAKE_PTR(keys);
	cp->wire_data = w;
	cp->wire = &wire;
	ops_add(agent_operations);
	return 0;
}
