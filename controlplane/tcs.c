/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tcs.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/acs_message.h"
#include "controlplane/health.h"
#include "controlplane/tcs_check.h"
#include "controlplane/tcs_frame.h"
#include "controlplane/telemetry.h"

struct tcs {
	struct wire_state *w;       /* borrowed */
	struct agent *agent;        /* borrowed: owns us */
	struct ws *ws;              /* owned */
	char *path, *query;         /* owned: of the upgrade; query NULL when there is none */
	char *host;                 /* owned */
	sd_event_source *heartbeat; /* owned */
	bool ending;
	int complaints;
};

static int64_t heartbeat_us(const struct tcs *s)
{
	int seconds = s->w->cp->settings.heartbeat_s;

	return (seconds > 0 ? seconds : TCS_HEARTBEAT_SEC) * MSEC_PER_SEC * USEC_PER_MSEC;
}

static void send_message(struct tcs *s, const char *type, json_t *message)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *text = acs_encode(type, message);

	if (!text || s->ending || wire_is_muted(s->agent))
		return;
	if (ws_send_text(s->ws, text, strlen(text), &err) < 0)
		log_info("Lost the TCS session of '%s': %s", s->agent->instance_arn,
			 err_text(&err));
}

static void send_ack(struct tcs *s, const char *type)
{
	send_message(s, type, json_pack("{s:s}", "message", "OK"));
}

static void refuse(struct tcs *s, const char *exception, const char *why)
{
	log_warn("Refused a TCS frame of '%s': %s: %s", s->agent->instance_arn, exception, why);
	telemetry_count_refused(s->agent->telemetry, why);
	send_message(s, exception, json_pack("{s:s}", "message", why));
	if (++s->complaints > TCS_MAX_COMPLAINTS)
		tcs_end(s, WS_CLOSE_PROTOCOL_ERROR, "too many bad frames");
}

/* --- signature --------------------------------------------------------------------------------- */

/* An agent that has credentials signs every frame; one without cannot. Returns as sigv4_verify().
 */
static int verify_frame(struct tcs *s, const struct tcs_frame *f, struct err *err)
{
	const char *host = tcs_frame_header(f, "Host");
	const struct sigv4_request r = { .method = "GET",
					 .path = s->path,
					 .query = s->query,
					 .headers = f->headers,
					 .n_headers = f->n_headers,
					 .payload = f->json,
					 .payload_len = f->json_len,
					 .length_unsigned = true };

	if (host && strcmp(host, s->host) != 0) {
		(void) err_set(err, EACCES, "Host: '%.128s' is not the socket's '%s'", host,
			       s->host);
		return SIGV4_E_MISMATCH;
	}
	if (f->n_headers > 0 && !host) {
		(void) err_set(err, EACCES, "Host: missing from the header block");
		return SIGV4_E_INCOMPLETE;
	}
	return sigv4_verify(s->w->cp->keys, &r, clock_real_ms(), err);
}

/* --- requests ----------------------------------------------------------------------------------- */

static int take_health(struct tcs *s, const json_t *message, struct err *err)
{
	int k = health_apply(s->w->cp, s->agent->instance_arn, message, err);

	return k < 0 ? k : telemetry_add_health(s->agent->telemetry, message, clock_real_ms(), err);
}

static int take_metrics(struct tcs *s, const json_t *message, struct err *err)
{
	return telemetry_add_metrics(s->agent->telemetry, message, clock_real_ms(), err);
}

static int take_status(struct tcs *s, const json_t *message, struct err *err)
{
	return telemetry_add_status(s->agent->telemetry, message, clock_real_ms(), err);
}

static const struct {
	const char *type, *ack;
	int (*check)(const json_t *message, const struct tcs_peer *peer, struct err *err);
	int (*take)(struct tcs *s, const json_t *message, struct err *err);
} requests[] = {
	{ "PublishMetricsRequest", "AckPublishMetric", tcs_check_metrics, take_metrics },
	{ "PublishHealthRequest", "AckPublishHealth", tcs_check_health, take_health },
	{ "PublishInstanceStatusRequest", "AckPublishInstanceStatus", tcs_check_status,
	  take_status },
};

static void serve(struct tcs *s, const struct tcs_frame *f)
{
	const struct tcs_peer peer = { .cluster = s->agent->cluster_arn,
				       .instance_arn = s->agent->instance_arn };
	_cleanup_(err_done) struct err err = {};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (strcmp(requests[i].type, f->type) != 0)
			continue;
		if (requests[i].check(f->message, &peer, &err) < 0) {
			(void) err_wrap(&err, "%s", f->type);
			refuse(s, "InvalidParameterException", err_text(&err));
		} else if (requests[i].take(s, f->message, &err) < 0) {
			log_error("Failed to keep a %s of '%s': %s", f->type,
				  s->agent->instance_arn, err_text(&err));
			send_message(s, "ServerException",
				     json_pack("{s:s}", "message", "internal error"));
		} else {
			send_ack(s, requests[i].ack);
		}
		return;
	}
	(void) err_set(&err, EPROTO, "type: '%.64s' is nothing an agent sends", f->type);
	refuse(s, "BadRequestException", err_text(&err));
}

static void on_text(struct ws *ws, const char *data, size_t len, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct tcs_frame f = {};
	struct tcs *s = userdata;
	int k;

	(void) ws;
	if (s->ending)
		return;
	if (tcs_frame_parse(data, len, &f, &err) < 0) {
		refuse(s, "BadRequestException", err_text(&err));
		return;
	}
	k = verify_frame(s, &f, &err);
	if (k == SIGV4_OK)
		serve(s, &f);
	else
		refuse(s, "AccessDeniedException", err_text(&err));
	tcs_frame_done(&f);
}

/* --- the life of a session ------------------------------------------------------------------------ */

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct tcs *s = userdata;

	(void) usec;
	(void) sd_event_source_set_time_relative(source, (uint64_t) heartbeat_us(s));
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	send_message(s, "HeartbeatMessage", json_pack("{s:b}", "healthy", 1));
	return 0;
}

static void on_close(struct ws *ws, uint16_t code, const char *reason, void *userdata)
{
	struct tcs *s = userdata;

	(void) ws;
	log_info("TCS session of '%s' ended with %u: %s", s->agent->instance_arn, code, reason);
	s->agent->tcs = NULL;
	(void) tcs_free(s);
}

static int fill(struct tcs *s, const char *url, const char *host, struct err *err)
{
	const char *query = strchr(url, '?');
	int k;

	s->path = strndup(url, query ? (size_t) (query - url) : strlen(url));
	s->query = query ? strdup(query + 1) : NULL;
	s->host = strdup(host);
	if (!s->path || !s->host || (query && !s->query))
		return err_set(err, ENOMEM, "allocate a session");
	if (!s->agent->telemetry)
		s->agent->telemetry = telemetry_new();
	if (!s->agent->telemetry)
		return err_set(err, ENOMEM, "allocate telemetry");
	k = sd_event_add_time_relative(s->w->cp->loop, &s->heartbeat, CLOCK_MONOTONIC,
				       (uint64_t) heartbeat_us(s), 100000, on_heartbeat, s);
	if (k < 0)
		return err_set_errno(err, -k, "add a timer of a session");
	(void) sd_event_source_set_description(s->heartbeat, "tcs-heartbeat");
	return 0;
}

int tcs_open(struct wire_state *w, struct agent *agent, const struct ws_params *base,
	     const char *url, const char *host, struct err *err)
{
	struct tcs *s = calloc(1, sizeof(*s));
	struct ws_params p = *base;
	int k;

	if (!s)
		return err_set(err, ENOMEM, "allocate a session");
	s->w = w;
	s->agent = agent;
	p.on_text = on_text;
	p.on_close = on_close;
	p.userdata = s;
	k = fill(s, url, host, err);
	if (k == 0)
		k = ws_new(&p, &s->ws, err);
	if (k < 0) {
		(void) tcs_free(s);
		return k;
	}
	if (agent->tcs)
		tcs_end(agent->tcs, WS_CLOSE_NORMAL, "a newer connection took over");
	(void) tcs_free(agent->tcs);
	agent->tcs = s;
	log_info("TCS session of '%s' opened", agent->instance_arn);
	return 0;
}

void tcs_end(struct tcs *s, uint16_t code, const char *reason)
{
	if (s->ending)
		return;
	s->ending = true;
	ws_close(s->ws, code, reason);
}

struct tcs *tcs_free(struct tcs *s)
{
	if (!s)
		return NULL;
	s->heartbeat = sd_event_source_disable_unref(s->heartbeat);
	s->ws = ws_free(s->ws);
	free(s->path);
	free(s->query);
	free(s->host);
	free(s);
	return NULL;
}
