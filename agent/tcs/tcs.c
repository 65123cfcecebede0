/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tcs/tcs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/frame.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/session.h"
#include "agent/tcs/private.h"
#include "agent/tcs/rounds.h"
#include "aws/http.h"
#include "aws/sigv4.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum { ROUND_MS = 20 * 1000, ROUNDS_MAX = 15 };

struct round {
	char **texts; /* strv */
};

struct tcs {
	struct tcs_params p;
	struct session *session;
	struct round rounds[ROUNDS_MAX]; /* oldest first */
	size_t n_rounds;
	bool dropping; /* said already */
	sd_event_source *round_timer;
	sd_event_source *status_timer; /* runs with the connection */
	struct aws_credentials_request *keys_request;
	bool status_due; /* its ticker has fired */
	bool runtime_checked, runtime_ok, runtime_reported;
	int64_t checked_ms, previous_check_ms, changed_ms;
};

char *tcs_url(const char *endpoint, const char *cluster, const char *instance_arn)
{
	_cleanup_(buf_done) struct buf url = {};

	session_url_begin(&url, endpoint);
	session_query_add(&url, "agentHash", GIT_HASH);
	session_query_add(&url, "agentVersion", PACKAGE_VERSION);
	session_query_add(&url, "cluster", cluster);
	session_query_add(&url, "containerInstance", instance_arn);
	session_query_add(&url, "dockerVersion", PACKAGE_VERSION);
	return buf_take(&url);
}

char *tcs_sign_frame(const char *url, const char *region, const struct aws_keys *keys,
		     const char *json, int64_t now_ms, struct err *err)
{
	_cleanup_(buf_done) struct buf frame = {};

	if (sigv4_sign_url("GET", url, json, strlen(json), region, "ecs", now_ms, keys, &frame,
			   err) < 0)
		return NULL;
	(void) buf_printf(&frame, "\r\n%s", json);
	return buf_take(&frame);
}

static struct round_identity identity(const struct tcs *t, char id[UUID_TEXT_MAX])
{
	return (struct round_identity){
		.cluster = ctl_cluster(t->p.ctl),
		.container_instance = ctl_container_instance_arn(t->p.ctl),
		.message_id = random_uuid(id),
		.now_ms = clock_real_ms(),
	};
}

/* ---- sending ---- */

static int send_text(struct tcs *t, const char *json, const struct aws_keys *keys, struct err *err)
{
	const char *region = t->p.config->region ? t->p.config->region : "";
	_cleanup_(freep) char *frame = NULL;

	if (!session_connected(t->session))
		return err_set(err, ENOTCONN, "not connected");
	frame = tcs_sign_frame(session_url(t->session), region, keys, json, http_now_ms(t->p.http),
			       err);
	if (!frame)
		return err && err->code ? -err->code : err_set(err, ENOMEM, "sign frame");
	return session_send(t->session, frame, strlen(frame), err);
}

/* A round is sent whole or stays; what was handed over is consumed, nothing is sent twice. */
static int send_rounds(struct tcs *t, const struct aws_keys *keys, struct err *err)
{
	while (t->n_rounds > 0) {
		for (char **p = t->rounds[0].texts; p && *p; p++) {
			int k = send_text(t, *p, keys, err);

			if (k < 0)
				return k;
		}
		t->rounds[0].texts = strv_free(t->rounds[0].texts);
		t->n_rounds--;
		memmove(t->rounds, t->rounds + 1, t->n_rounds * sizeof(t->rounds[0]));
		t->dropping = false;
	}
	return 0;
}

/* Once per check of the runtime; a failed send leaves it to the next tick. */
static int send_status(struct tcs *t, const struct aws_keys *keys, struct err *err)
{
	char id[UUID_TEXT_MAX];
	const struct round_identity who = identity(t, id);
	const struct runtime_status s = {
		.status = t->runtime_ok ? "OK" : "IMPAIRED",
		.previous_ms = t->previous_check_ms,
		.last_change_ms = t->changed_ms,
	};
	_cleanup_(freep) char *text = NULL;
	int k;

	t->status_due = false;
	if (!t->runtime_checked || t->runtime_reported)
		return 0;
	text = round_status(&who, &s);
	k = text ? send_text(t, text, keys, err) : err_set(err, ENOMEM, "instance status");

	t->runtime_reported = k == 0;
	return k;
}

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *keys_err)
{
	_cleanup_(err_done) struct err err = {};
	struct tcs *t = userdata;

	t->keys_request = NULL;
	if (keys_err->code)
		(void) err_set(&err, keys_err->code, "credentials: %s", err_text(keys_err));
	else if (send_rounds(t, keys, &err) == 0 && t->status_due)
		(void) send_status(t, keys, &err);
	if (err.code)
		log_debug("Telemetry waits: %s", err_text(&err));
}

static void flush(struct tcs *t)
{
	_cleanup_(err_done) struct err err = {};
	struct err none = {};

	if (!session_connected(t->session) || t->keys_request)
		return;
	if (!t->p.credentials)
		on_keys(t, NULL, &none);
	else if (aws_credentials_get(t->p.credentials, on_keys, t, &t->keys_request, &err) < 0)
		log_debug("Telemetry waits: %s", err_text(&err));
}

/* ---- rounds ---- */

/* Takes @texts over. */
static void push_round(struct tcs *t, char **texts)
{
	if (!texts)
		return;
	if (t->n_rounds == ROUNDS_MAX) {
		if (!t->dropping)
			log_warn("Telemetry of more than %d s waits for a connection, dropping new "
				 "rounds until then",
				 ROUNDS_MAX * ROUND_MS / 1000);
		t->dropping = true;
		(void) strv_free(texts);
		return;
	}
	t->rounds[t->n_rounds++].texts = texts;
}

static int collect_metrics(struct tcs *t, char ***ret, struct err *err)
{
	char id[UUID_TEXT_MAX];
	const struct round_identity who = identity(t, id);
	json_auto_t *tasks = NULL;
	size_t left_out = 0;
	bool idle = true;
	int k;

	if (t->p.config->metrics_disabled)
		return 0;
	k = t->p.provider->collect(t->p.userdata, &tasks, &idle, err);
	if (k == 0)
		k = round_metrics(&who, tasks, idle, ret, &left_out, err);
	if (left_out)
		log_error("Left %zu tasks out of telemetry: over %d bytes each", left_out,
			  ROUND_BYTES_MAX);
	return k;
}

static int collect_health(struct tcs *t, char ***ret, struct err *err)
{
	char id[UUID_TEXT_MAX];
	const struct round_identity who = identity(t, id);
	json_auto_t *tasks = NULL;
	int k;

	if (!t->p.provider->collect_health || t->p.config->health_check_disabled)
		return 0;
	k = t->p.provider->collect_health(t->p.userdata, &tasks, err);
	return k == 0 ? round_health(&who, tasks, ret, err) : k;
}

static int on_round(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(strv_freep) char **metrics = NULL, **health = NULL;
	struct tcs *t = userdata;

	(void) usec;
	if (collect_metrics(t, &metrics, &err) < 0)
		log_error("Failed to collect metrics: %s", err_text(&err));
	push_round(t, TAKE_PTR(metrics));
	if (collect_health(t, &health, &err) < 0)
		log_error("Failed to collect container health: %s", err_text(&err));
	push_round(t, TAKE_PTR(health));
	flush(t);
	(void) sd_event_source_set_time_relative(s, ROUND_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- the session ---- */

static char *on_url(void *userdata, const char *endpoint, struct err *err)
{
	struct tcs *t = userdata;
	char *url = tcs_url(endpoint, ctl_cluster(t->p.ctl), ctl_container_instance_arn(t->p.ctl));

	if (!url)
		(void) err_set(err, ENOMEM, "TCS URL");
	return url;
}

static int on_status(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct tcs *t = userdata;

	(void) usec;
	t->status_due = true;
	flush(t);
	(void) sd_event_source_set_time_relative(s, ROUND_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

static void on_open(void *userdata)
{
	struct tcs *t = userdata;

	flush(t);
	t->status_timer = sd_event_source_disable_unref(t->status_timer);
	if (sd_event_add_time_relative(t->p.event, &t->status_timer, CLOCK_MONOTONIC,
				       ROUND_MS * USEC_PER_MSEC, 1000000, on_status, t) < 0)
		log_error("Failed to arm the status timer");
}

static void on_closed(void *userdata)
{
	struct tcs *t = userdata;

	t->status_timer = sd_event_source_disable_unref(t->status_timer);
}

bool tcs_message_is_alive(const char *type)
{
	static const char *const types[] = { "HeartbeatMessage", "AckPublishMetric",
					     "AckPublishHealth", "AckPublishInstanceStatus" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

static bool on_message(void *userdata, const char *data, size_t len, bool binary)
{
	_cleanup_(frame_done) struct frame f = {};
	_cleanup_(err_done) struct err err = {};
	char excerpt[FRAME_EXCERPT_MAX + 1];

	(void) userdata, (void) binary;
	if (frame_decode(data, len, &f, &err) < 0) {
		log_warn("Ignoring a TCS message of %zu bytes: %s: %s", len, err_text(&err),
			 frame_excerpt(data, len, excerpt));
		return false;
	}
	if (f.is_error)
		log_warn("The control plane sent an error over TCS: %s: %.300s", f.type,
			 json_get_string(f.message, "message", ""));
	else if (strcmp(f.type, "StopTelemetrySessionMessage") == 0)
		log_info("The control plane wants no more telemetry: %.300s",
			 json_get_string(f.message, "message", ""));
	return tcs_message_is_alive(f.type);
}

static const struct session_ops session_ops = {
	.name = "TCS",
	.telemetry = true,
	.backoff = { 1000, 60000, 0.2, 2, 0 },
	.close_when_silent = true,
	.url = on_url,
	.on_open = on_open,
	.on_message = on_message,
	.on_closed = on_closed,
};

int tcs_new(const struct tcs_params *p, struct tcs **ret, struct err *err)
{
	_cleanup_(tcs_freep) struct tcs *t = calloc(1, sizeof(*t));
	int k;

	if (!t)
		return err_set(err, ENOMEM, "allocate TCS session");
	t->p = *p;
	const struct session_params sp = {
		.event = p->event,
		.config = p->config,
		.http = p->http,
		.credentials = p->credentials,
		.ctl = p->ctl,
		.ops = &session_ops,
		.userdata = t,
	};
	k = session_new(&sp, &t->session, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(t);
	return 0;
}

struct tcs *tcs_free(struct tcs *t)
{
	if (!t)
		return NULL;
	(void) sd_event_source_disable_unref(t->round_timer);
	(void) sd_event_source_disable_unref(t->status_timer);
	(void) aws_credentials_cancel(t->keys_request);
	(void) session_free(t->session);
	for (size_t i = 0; i < t->n_rounds; i++)
		(void) strv_free(t->rounds[i].texts);
	free(t);
	return NULL;
}

int tcs_start(struct tcs *t, struct err *err)
{
	int k = sd_event_add_time_relative(t->p.event, &t->round_timer, CLOCK_MONOTONIC, 0, 1000,
					   on_round, t);

	if (k < 0)
		return err_set_errno(err, -k, "telemetry timer");
	(void) sd_event_source_set_description(t->round_timer, "telemetry-round");
	return session_start(t->session, err);
}

bool tcs_connected(const struct tcs *t)
{
	return session_connected(t->session);
}

int64_t tcs_due_ms(const struct tcs *t)
{
	return session_due_ms(t->session);
}

void tcs_report_runtime(struct tcs *t, bool ok)
{
	int64_t now = clock_real_ms();

	t->previous_check_ms = t->checked_ms ? t->checked_ms : now;
	t->checked_ms = now;
	if (!t->runtime_checked || t->runtime_ok != ok)
		t->changed_ms = now;
	t->runtime_checked = true;
	t->runtime_ok = ok;
	t->runtime_reported = false;
}

void tcs_disconnect(struct tcs *t)
{
	session_fail(t->session, "the instance is inactive");
}
