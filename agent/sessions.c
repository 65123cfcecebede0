/* SPDX-License-Identifier: Apache-2.0 */
/* The two sessions: what the control plane says goes to the engine, what it asks is answered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/acs.h"
#include "agent/agent.h"
#include "agent/attachments.h"
#include "agent/ctl/ctl.h"
#include "agent/engine/engine.h"
#include "agent/store/store.h"
#include "agent/tcs/tcs.h"
#include "agent/watchdog.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/spawn.h"

/* Each attempt to register says how it went; no two are further apart than some eight minutes. */
enum { START_HALTED_MS = 15 * 60 * 1000 };

#define META_MANIFEST_SEQ "task-manifest-seq-num"

/* ---- how long they were down ---- */

static void note_session(struct session_clock *c, bool connected, int64_t mono_ms)
{
	if (c->connected == connected)
		return;
	if (!c->connected)
		c->down_ms += mono_ms - c->since_ms;
	c->connected = connected;
	c->since_ms = mono_ms;
}

int64_t session_clock_down_ms(const struct session_clock *c, int64_t mono_ms)
{
	return c->down_ms + (c->connected ? 0 : mono_ms - c->since_ms);
}

void agent_refresh_clocks(struct agent *a)
{
	int64_t now = clock_mono_ms();

	note_session(&a->acs_clock, a->acs && acs_connected(a->acs), now);
	note_session(&a->tcs_clock, a->tcs && tcs_connected(a->tcs), now);
}

/* ---- is the runtime there? A heartbeat asks; a child finds out. ---- */

static int on_runtime_checked(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct agent *a = userdata;
	int code = spawn_reap(fd);

	(void) source, (void) revents;
	if (code == -EAGAIN)
		return 0;
	a->runtime_check = sd_event_source_disable_unref(a->runtime_check);
	a->runtime_pidfd = safe_close(a->runtime_pidfd);
	if (code != 0)
		log_warn("The runtime does not answer (exit code %d of %s --version)", code,
			 a->config->runc ? a->config->runc : "runc");
	tcs_report_runtime(a->tcs, code == 0);
	return 0;
}

static void check_runtime(struct agent *a)
{
	char *const argv[] = { (char *) (a->config->runc ? a->config->runc : "runc"),
			       (char *) "--version", NULL };
	struct spawn_params p = { .path = argv[0], .argv = argv };
	_cleanup_(err_done) struct err err = {};
	pid_t pid;

	if (a->runtime_check) { /* the check before this one hangs */
		tcs_report_runtime(a->tcs, false);
		return;
	}
	if (spawn(&p, &pid, &a->runtime_pidfd, &err) < 0 ||
	    sd_event_add_io(a->loop, &a->runtime_check, a->runtime_pidfd, EPOLLIN,
			    on_runtime_checked, a) < 0) {
		log_warn("Failed to check the runtime: %s", err_text(&err));
		a->runtime_pidfd = safe_close(a->runtime_pidfd);
		tcs_report_runtime(a->tcs, false);
		return;
	}
	(void) sd_event_source_set_description(a->runtime_check, "runtime check");
}

/* ---- what ACS brings ---- */

static int on_payload(void *userdata, const json_t *message, struct err *err)
{
	return engine_on_payload(((struct agent *) userdata)->engine, message, err);
}

static int on_role_credentials(void *userdata, const char *task_arn, enum role_type type,
			       const char *credentials_id, struct err *err)
{
	return engine_set_credentials_id(((struct agent *) userdata)->engine, task_arn, type,
					 credentials_id, err);
}

static int on_manifest(void *userdata, const json_t *running, json_t **ret_candidates,
		       struct err *err)
{
	return engine_stop_candidates(((struct agent *) userdata)->engine, running, ret_candidates,
				      err);
}

static int on_stop_verified(void *userdata, const char *task_arn, struct err *err)
{
	return engine_stop_task(((struct agent *) userdata)->engine, task_arn, NULL, NULL, err);
}

static int on_interface(void *userdata, const char *task_arn, const struct task_eni *eni,
			int64_t wait_ms, struct err *err)
{
	struct agent *a = userdata;

	return a->attachments
		       ? attachments_announce(a->attachments, task_arn, eni, wait_ms, err)
		       : err_set(err, ENOTSUP,
				 "network interfaces of tasks: switched off by ECS_ENABLE_TASK_ENI");
}

static int put_manifest_seq(void *userdata, int64_t seq, struct err *err)
{
	char text[32];

	(void) snprintf(text, sizeof(text), "%lld", (long long) seq);
	return store_put_meta(((struct agent *) userdata)->store, META_MANIFEST_SEQ, text, err);
}

static void on_connected(void *userdata, bool connected)
{
	struct agent *a = userdata;

	note_session(&a->acs_clock, connected, clock_mono_ms());
	agent_say(a,
		  connected ? "Connected to cluster %s as %s"
			    : "Not connected (containers go on) to cluster %s as %s",
		  ctl_cluster(a->ctl), ctl_container_instance_arn(a->ctl));
}

static void on_heartbeat(void *userdata)
{
	struct agent *a = userdata;

	if (a->tcs)
		check_runtime(a);
}

static void on_inactive(void *userdata)
{
	struct agent *a = userdata;

	if (a->tcs)
		tcs_disconnect(a->tcs);
}

static const struct acs_handlers handlers = {
	.on_payload = on_payload,
	.on_role_credentials = on_role_credentials,
	.on_manifest = on_manifest,
	.on_stop_verified = on_stop_verified,
	.on_interface = on_interface,
	.put_manifest_seq = put_manifest_seq,
	.on_connected = on_connected,
	.on_heartbeat = on_heartbeat,
	.on_inactive = on_inactive,
};

/* ---- is there progress? ---- */

/*
 * A control plane that is away is no reason to end, however long: then attempts fail, one after the
 * other. What is due and does not come is a fault of ours, and a new start mends it.
 */
static const char *halted(void *userdata)
{
	const struct agent *a = userdata;
	int64_t now = clock_mono_ms();

	if (a->acs && now > acs_due_ms(a->acs))
		return "the ACS session";
	if (a->tcs && now > tcs_due_ms(a->tcs))
		return "the TCS session";
	if (!a->registered && now - a->said_ms > START_HALTED_MS)
		return "the registration";
	return NULL;
}

static void give_up(void *userdata, const char *what)
{
	log_error("Nothing happens any more in %s, ending to be started anew; containers go on",
		  what);
	agent_stop(userdata, EXIT_RETRY);
}

int agent_watch_progress(struct agent *a, struct err *err)
{
	return watchdog_start(a->loop, halted, give_up, a, &a->watchdog, err);
}

/* ---- up and down ---- */

static int start_acs(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *seq = NULL;
	struct acs_params p = { .event = a->loop,
				.config = a->config,
				.http = a->http,
				.credentials = a->credentials,
				.ctl = a->ctl,
				.roles = a->roles,
				.handlers = &handlers,
				.userdata = a };
	int r = store_get_meta(a->store, META_MANIFEST_SEQ, &seq, err);

	if (r < 0)
		return r;
	p.manifest_seq = seq ? strtoll(seq, NULL, 10) : -1;
	r = acs_new(&p, &a->acs, err);
	return r < 0 ? r : acs_start(a->acs, err);
}

static int start_tcs(struct agent *a, struct err *err)
{
	struct tcs_params p = { .event = a->loop,
				.config = a->config,
				.http = a->http,
				.credentials = a->credentials,
				.ctl = a->ctl,
				.provider = &agent_tcs_provider,
				.userdata = a };
	int r = tcs_new(&p, &a->tcs, err);

	return r < 0 ? r : tcs_start(a->tcs, err);
}

int agent_start_sessions(struct agent *a, struct err *err)
{
	int r = start_acs(a, err);

	return r < 0 ? r : start_tcs(a, err);
}

void agent_stop_sessions(struct agent *a)
{
	a->acs = acs_free(a->acs);
	a->tcs = tcs_free(a->tcs);
	a->runtime_check = sd_event_source_disable_unref(a->runtime_check);
	a->runtime_pidfd = safe_close(a->runtime_pidfd);
}
