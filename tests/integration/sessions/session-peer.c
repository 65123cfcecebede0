/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session-peer - the agent's control-plane half alone: it registers, holds both sessions, and says of
 * every task at once what it was asked for. What happens is printed, one line each. For sessions.sh.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "agent/acs/acs.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/outbox.h"
#include "agent/tcs/tcs.h"
#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"

enum { ENTRIES_MAX = 1000 };

struct entry {
	char *task, *body; /* owned */
	bool gone;
};

struct peer {
	sd_event *event;
	struct config *config;
	struct http_client *http;
	struct aws_credentials *credentials;
	struct aws_client *ecs;
	struct ctl *ctl;
	struct role_store *roles;
	struct acs *acs;
	struct tcs *tcs;
	struct outbox *outbox;
	struct entry entries[ENTRIES_MAX];
	int n;
	char *running; /* owned; one task that has "metrics" */
};

static void say(const char *fmt, ...) _printf_(1, 2);
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void) vprintf(fmt, ap);
	va_end(ap);
	(void) putchar('\n');
	(void) fflush(stdout);
}

/* ---- a store in memory ---- */

static int head(void *userdata, const char *task, int64_t *ret_id, char **ret_body, struct err *err)
{
	struct peer *p = userdata;

	(void) err;
	for (int i = 0; i < p->n; i++) {
		if (p->entries[i].gone || strcmp(p->entries[i].task, task) != 0)
			continue;
		*ret_id = i;
		*ret_body = strdup(p->entries[i].body);
		return 1;
	}
	return 0;
}

static int done(void *userdata, const char *task, int64_t id, bool accepted, struct err *err)
{
	struct peer *p = userdata;

	(void) err;
	p->entries[id].gone = true;
	say("report %s %s", accepted ? "accepted" : "refused", task);
	return 0;
}

static int each_task(void *userdata, void (*each)(void *outbox, const char *task_arn), void *outbox,
		     struct err *err)
{
	(void) userdata, (void) each, (void) outbox, (void) err;
	return 0;
}

static const struct outbox_source source = { head, done, each_task };

static void report(struct peer *p, const json_t *task, const char *status)
{
	const char *arn = json_get_string(task, "arn", ""), *name;
	bool stopped = strcmp(status, "STOPPED") == 0;
	json_t *containers = json_array(), *body, *c;
	size_t i;

	json_array_foreach(json_object_get(task, "containers"), i, c) {
		json_t *one;

		name = json_get_string(c, "name", "");
		one = json_pack("{s:s, s:s}", "containerName", name, "status", status);
		if (stopped)
			(void) json_object_set_new(one, "exitCode", json_integer(0));
		(void) json_array_append_new(containers, one);
	}
	body = json_pack("{s:s, s:s, s:s, s:s, s:o}", "cluster", ctl_cluster(p->ctl), "task", arn,
			 "status", status, "reason", "", "containers", containers);
	if (stopped)
		(void) json_object_set_new(body, "executionStoppedAt",
					   json_real((double) clock_real_ms() / 1000));
	p->entries[p->n].task = strdup(arn);
	p->entries[p->n].body = json_to_text(body);
	p->n++;
	json_decref(body);
	outbox_kick(p->outbox, arn);
}

/* ---- an engine that obeys at once ---- */

static int on_payload(void *userdata, const json_t *m, struct err *err)
{
	struct peer *p = userdata;
	const json_t *t;
	size_t i;

	(void) err;
	json_array_foreach(json_object_get(m, "tasks"), i, t) {
		const char *arn = json_get_string(t, "arn", "");
		const char *desired = json_get_string(t, "desiredStatus", "");

		say("task %s %s", desired, arn);
		if (p->n + 1 >= ENTRIES_MAX)
			return err_set(err, ENOSPC, "too many tasks for a test");
		report(p, t, desired);
		free(p->running);
		p->running = strcmp(desired, "RUNNING") == 0 ? strdup(arn) : NULL;
	}
	return 0;
}

static int on_manifest(void *userdata, const json_t *running, json_t **ret, struct err *err)
{
	(void) userdata, (void) err;
	say("manifest %zu", json_array_size(running));
	*ret = json_array();
	return 0;
}

static void on_connected(void *userdata, bool connected)
{
	(void) userdata;
	say("acs %s", connected ? "connected" : "disconnected");
}

static void on_heartbeat(void *userdata)
{
	struct peer *p = userdata;

	say("heartbeat");
	tcs_report_runtime(p->tcs, true);
}

static void on_inactive(void *userdata)
{
	struct peer *p = userdata;

	say("inactive");
	tcs_disconnect(p->tcs);
}

static const struct acs_handlers handlers = {
	.on_payload = on_payload,
	.on_manifest = on_manifest,
	.on_connected = on_connected,
	.on_heartbeat = on_heartbeat,
	.on_inactive = on_inactive,
};

static int collect(void *userdata, json_t **ret, bool *ret_idle, struct err *err)
{
	struct peer *p = userdata;

	(void) err;
	*ret_idle = p->running == NULL;
	*ret = json_array();
	if (p->running)
		(void) json_array_append_new(
			*ret, json_pack("{s:s, s:s, s:s, s:[{s:s, s:{s:f,s:f,s:i,s:f},"
					"s:{s:f,s:f,s:i,s:f}}]}",
					"taskArn", p->running, "taskDefinitionFamily", "peer",
					"taskDefinitionVersion", "1", "containerMetrics",
					"containerName", "web", "cpuStatsSet", "min", 1.5, "max",
					2.5, "sampleCount", 2, "sum", 4.0, "memoryStatsSet", "min",
					10.0, "max", 20.0, "sampleCount", 2, "sum", 30.0));
	return 0;
}

static const struct tcs_provider provider = { .collect = collect };

/* ---- wiring ---- */

static int start_sessions(struct peer *p, struct err *err)
{
	const struct acs_params ap = { p->event,       p->config, p->http,
				       p->credentials, p->ctl,    p->roles,
				       &handlers,      p,         -1 };
	const struct tcs_params tp = { p->event, p->config, p->http, p->credentials,
				       p->ctl,   &provider, p };
	int k = acs_new(&ap, &p->acs, err);

	if (k == 0)
		k = tcs_new(&tp, &p->tcs, err);
	if (k == 0)
		k = outbox_start(p->outbox, err);
	if (k == 0)
		k = acs_start(p->acs, err);
	return k == 0 ? tcs_start(p->tcs, err) : k;
}

static void on_registered(void *userdata, const struct ctl_registration *r, const struct err *err)
{
	_cleanup_(err_done) struct err mine = {};
	struct peer *p = userdata;

	if (r->outcome != CTL_REGISTERED) {
		say("not registered: %s", err_text(err));
		(void) sd_event_exit(p->event, r->outcome == CTL_REGISTER_TERMINAL ? 5 : 1);
		return;
	}
	say("registered %s %s", r->container_instance_arn, r->cluster);
	if (start_sessions(p, &mine) < 0) {
		say("no sessions: %s", err_text(&mine));
		(void) sd_event_exit(p->event, 1);
	}
}

static int prepare(struct peer *p, struct err *err)
{
	static const char *const no_files[] = { NULL };
	const struct config_sources sources = { no_files, environ };
	int k = config_load(&sources, &p->config, err);

	if (k == 0) {
		const struct http_options o = { .ca_file = getenv("PEER_CA_FILE") };

		k = http_client_new(p->event, &o, &p->http, err);
	}
	if (k < 0)
		return k;
	const struct aws_credentials_params cp = {
		.event = p->event,
		.access_key_id = p->config->access_key_id,
		.secret_access_key = p->config->secret_access_key,
		.session_token = p->config->session_token,
	};
	k = aws_credentials_new(&cp, &p->credentials, err);
	if (k < 0)
		return k;
	_cleanup_(freep) char *agent = ctl_user_agent(p->config);
	const struct aws_client_params ep = {
		.http = p->http,
		.credentials = p->credentials,
		.service = "ecs",
		.target_prefix = "AmazonEC2ContainerServiceV20141113",
		.region = p->config->region,
		.endpoint = p->config->backend_host,
		.user_agent = agent,
	};
	k = aws_client_new(&ep, &p->ecs, err);
	if (k < 0)
		return k;
	const struct ctl_params tp = { p->event, p->config, p->ecs, NULL };

	k = ctl_new(&tp, &p->ctl, err);
	if (k < 0)
		return k;
	const struct outbox_params op = {
		.event = p->event, .source = &source, .source_userdata = p, .ctl = p->ctl
	};

	k = outbox_new(&op, &p->outbox, err);
	return k == 0 ? role_store_new(&p->roles, err) : k;
}

static void undo(struct peer *p)
{
	(void) acs_free(p->acs);
	(void) tcs_free(p->tcs);
	(void) outbox_free(p->outbox);
	(void) ctl_free(p->ctl);
	(void) role_store_free(p->roles);
	(void) aws_client_free(p->ecs);
	(void) aws_credentials_free(p->credentials);
	(void) http_client_free(p->http);
	(void) config_free(p->config);
	(void) sd_event_unref(p->event);
	for (int i = 0; i < p->n; i++) {
		free(p->entries[i].task);
		free(p->entries[i].body);
	}
	free(p->running);
}

int main(int argc, char **argv)
{
	static struct peer p;
	_cleanup_(err_done) struct err err = {};
	sigset_t set;
	int k;

	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) sigprocmask(SIG_BLOCK, &set, NULL);
	if (sd_event_new(&p.event) < 0 ||
	    sd_event_add_signal(p.event, NULL, SIGTERM, NULL, NULL) < 0)
		return 1;
	k = prepare(&p, &err);
	if (k == 0)
		k = ctl_register(p.ctl, argc > 1 ? argv[1] : NULL, on_registered, &p, &err);
	if (k == 0)
		k = sd_event_loop(p.event);
	else
		say("failed: %s", err_text(&err));
	undo(&p);
	return k < 0 ? 1 : k;
}
