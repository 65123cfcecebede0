/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/session.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "aws/ws.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum {
	MINUTE_MS = 60 * 1000,
	AGE_MINUTES = 30,
	AGE_JITTER_MINUTES = 5,
	DOUBT_AFTER = 8,
	DUE_MINUTES =
		10, /* over three times what discovery, keys and handshake may take, with all retries */
};

struct session {
	struct session_params p;
	sd_event *event;
	struct backoff backoff;
	char *user_agent; /* owned */
	char *url;        /* owned; of the connection */
	struct ctl_op *discovery;
	struct aws_credentials_request *keys_request;
	struct ws *ws;
	sd_event_source *again;   /* the next attempt */
	sd_event_source *silence; /* nothing was heard */
	sd_event_source *age;     /* the connection has lived long enough */
	sd_event_source *settled; /* it is no accident that it holds: the back-off starts over */
	char *failure;            /* owned; why we end it ourselves */
	sd_event_source *fail_source;
	int64_t opened_ms; /* monotonic; 0: not open */
	int64_t due_ms;    /* monotonic; see session_due_ms() */
	int brief;
	int misses;  /* attempts in a row that did not open */
	bool warned; /* of the present outage */
};

static void attempt(struct session *s);

/* ---- decisions ---- */

bool session_end_is_inactive(const struct session_end *e)
{
	return strstr(e->text, "InactiveInstanceException") != NULL;
}

static bool clean_code(int code)
{
	return code == WS_CLOSE_NORMAL || code == WS_CLOSE_GOING_AWAY ||
	       code == WS_CLOSE_ABNORMAL || code == WS_CLOSE_INTERNAL;
}

int64_t session_delay_ms(const struct session_end *e, struct backoff *b)
{
	if (session_end_is_inactive(e))
		return SESSION_INACTIVE_DELAY_MS;
	if (!clean_code(e->code) || e->open_ms < 0 || e->brief >= SESSION_BRIEF_MAX)
		return backoff_next_ms(b);
	backoff_reset(b);
	return 0;
}

void session_url_begin(struct buf *url, const char *endpoint)
{
	size_t n = strlen(endpoint);

	(void) buf_printf(url, "%s%sws", endpoint, n > 0 && endpoint[n - 1] == '/' ? "" : "/");
}

void session_query_add(struct buf *url, const char *key, const char *value)
{
	(void) buf_printf(url, "%c%s=", strchr(buf_str(url), '?') ? '&' : '?', key);
	for (; *value; value++) {
		unsigned char c = (unsigned char) *value;

		if (isalnum(c) || strchr("-_.~", c))
			(void) buf_append(url, value, 1);
		else if (c == ' ')
			(void) buf_puts(url, "+");
		else
			(void) buf_printf(url, "%%%02X", c);
	}
}

/* ---- timers ---- */

static int64_t minutes(const struct session *s, int64_t n)
{
	return n * (s->p.minute_ms ? s->p.minute_ms : MINUTE_MS);
}

/* @n minutes and up to @jitter more, at random. */
static int64_t about(const struct session *s, int64_t n, int64_t jitter)
{
	return minutes(s, n) + (s->p.random ? s->p.random : random_below)(minutes(s, jitter));
}

/* A step was made; the next one begins in @in_ms at the latest. */
static void expect(struct session *s, int64_t in_ms)
{
	s->due_ms = clock_mono_ms() + in_ms + minutes(s, DUE_MINUTES);
}

static void arm(struct session *s, sd_event_source **source, int64_t in_ms,
		sd_event_time_handler_t fn)
{
	*source = sd_event_source_disable_unref(*source);
	if (sd_event_add_time_relative(s->event, source, CLOCK_MONOTONIC,
				       (uint64_t) in_ms * USEC_PER_MSEC, 1000, fn, s) < 0)
		log_error("Failed to arm a timer of %s", s->p.ops->name);
}

static void drop_timers(struct session *s)
{
	s->again = sd_event_source_disable_unref(s->again);
	s->silence = sd_event_source_disable_unref(s->silence);
	s->age = sd_event_source_disable_unref(s->age);
	s->settled = sd_event_source_disable_unref(s->settled);
	s->fail_source = sd_event_source_disable_unref(s->fail_source);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void) source, (void) usec;
	attempt(userdata);
	return 0;
}

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct session *s = userdata;

	(void) source, (void) usec;
	backoff_reset(&s->backoff);
	s->brief = 0;
	return 0;
}

static int on_age(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct session *s = userdata;

	(void) source, (void) usec;
	log_debug("%s is renewed after its maximum age", s->p.ops->name);
	if (s->ws)
		ws_close(s->ws, WS_CLOSE_NORMAL, SESSION_CLOSE_REASON);
	return 0;
}

/* ---- the end of a connection ---- */

static const char *end_text(const char *text, const struct err *err)
{
	return text && *text ? text : err && err->code ? err_text(err) : "";
}

static void say_ended(struct session *s, const struct session_end *e, const struct err *err,
		      int64_t delay)
{
	const char *name = s->p.ops->name;

	if (delay == 0) {
		log_info("%s was closed (%d%s%s), connecting again", name, e->code,
			 *e->text ? ": " : "", e->text);
	} else if (!s->warned || log_enabled(LOG_DEBUG)) {
		const char *why = err && err->code ? err_text(err) : "closed";
		bool more = *e->text && strcmp(e->text, why) != 0;

		log_emit(s->warned ? LOG_DEBUG : LOG_WARN, NULL,
			 "%s is not connected, next attempt in %lld ms, and so on until it is: "
			 "%s%s%.300s",
			 name, (long long) delay, why, more ? ": " : "", more ? e->text : "");
		s->warned = true;
	}
}

static void ended(struct session *s, int code, const char *text, const struct err *err)
{
	bool was_open = s->opened_ms != 0;
	struct session_end e = {
		.code = code,
		.text = end_text(text, err),
		.open_ms = was_open ? clock_mono_ms() - s->opened_ms : -1,
	};
	int64_t delay;

	if (was_open && e.open_ms < SESSION_BRIEF_MS)
		s->brief++;
	else if (was_open)
		s->brief = 0;
	e.brief = s->brief;
	s->misses = was_open ? 0 : s->misses + 1;
	if (s->misses % DOUBT_AFTER == DOUBT_AFTER - 1)
		ctl_doubt_endpoints(s->p.ctl);
	s->opened_ms = 0;
	drop_timers(s);
	delay = session_delay_ms(&e, &s->backoff);
	say_ended(s, &e, err, delay);
	if (was_open)
		s->p.ops->on_closed(s->p.userdata);
	if (session_end_is_inactive(&e) && s->p.ops->on_inactive)
		s->p.ops->on_inactive(s->p.userdata);
	expect(s, delay);
	arm(s, &s->again, delay, on_again);
}

static int on_fail(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(err_done) struct err err = {};
	struct session *s = userdata;

	(void) source, (void) usec;
	text = TAKE_PTR(s->failure);
	s->ws = ws_free(s->ws);
	(void) err_set(&err, ECONNABORTED, "%s", text ? text : "closed by us");
	ended(s, 0, err_text(&err), &err);
	return 0;
}

void session_fail(struct session *s, const char *text)
{
	if (!s->ws || s->fail_source)
		return;
	(void) strdup_to(&s->failure, text);
	arm(s, &s->fail_source, 0, on_fail);
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct session *s = userdata;

	(void) source, (void) usec;
	if (s->p.ops->close_when_silent)
		ws_close(s->ws, WS_CLOSE_NORMAL, SESSION_CLOSE_REASON);
	else
		session_fail(s, "nothing was heard for more than a minute");
	return 0;
}

/* ---- the WebSocket's callbacks ---- */

static void on_open(void *userdata)
{
	struct session *s = userdata;

	s->opened_ms = clock_mono_ms();
	expect(s, 0);
	s->warned = false;
	arm(s, &s->silence, about(s, 1, 1), on_silence);
	arm(s, &s->age, about(s, AGE_MINUTES, AGE_JITTER_MINUTES), on_age);
	arm(s, &s->settled, about(s, 1, 1), on_settled);
	log_info("%s is connected", s->p.ops->name);
	s->p.ops->on_open(s->p.userdata);
}

static void on_message(void *userdata, const char *data, size_t len, bool binary)
{
	struct session *s = userdata;

	if (!s->p.ops->on_message(s->p.userdata, data, len, binary))
		return;
	expect(s, 0);
	arm(s, &s->silence, about(s, 1, 1), on_silence);
}

static void on_close(void *userdata, int code, const char *text, const struct err *err)
{
	struct session *s = userdata;

	s->ws = ws_free(s->ws);
	ended(s, code, text, err);
}

/* ---- the way there ---- */

static int connect_now(struct session *s, const struct aws_keys *keys, struct err *err)
{
	static const struct ws_handlers handlers = {
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
	};
	const struct ws_params p = {
		.http = s->p.http,
		.url = s->url,
		.region = s->p.config->region ? s->p.config->region : "",
		.service = "ecs",
		.keys = keys,
		.user_agent = s->user_agent,
		.io_timeout_ms = minutes(s, 3),
	};

	return ws_connect(&p, &handlers, s, &s->ws, err);
}

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *keys_err)
{
	_cleanup_(err_done) struct err err = {};
	struct session *s = userdata;

	s->keys_request = NULL;
	if (keys_err->code)
		(void) err_set(&err, keys_err->code, "credentials: %s", err_text(keys_err));
	else if (connect_now(s, keys, &err) == 0)
		return;
	ended(s, 0, "", &err);
}

static void on_discovered(void *userdata, const struct ctl_endpoints *e, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct session *s = userdata;
	struct err none = {};

	s->discovery = NULL;
	if (!e) {
		ended(s, 0, "", why);
		return;
	}
	free(s->url);
	s->url = s->p.ops->url(s->p.userdata, s->p.ops->telemetry ? e->telemetry : e->acs, &err);
	if (!s->url)
		ended(s, 0, "", &err);
	else if (!s->p.credentials)
		on_keys(s, NULL, &none);
	else if (aws_credentials_get(s->p.credentials, on_keys, s, &s->keys_request, &err) < 0)
		ended(s, 0, "", &err);
}

static void attempt(struct session *s)
{
	_cleanup_(err_done) struct err err = {};

	expect(s, 0);
	if (ctl_discover(s->p.ctl, on_discovered, s, &s->discovery, &err) < 0)
		ended(s, 0, "", &err);
}

/* ---- for the owner ---- */

int session_new(const struct session_params *p, struct session **ret, struct err *err)
{
	_cleanup_(session_freep) struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "allocate session");
	s->p = *p;
	s->event = sd_event_ref(p->event);
	s->backoff = p->ops->backoff;
	s->user_agent = ctl_user_agent(p->config);
	if (!s->user_agent)
		return err_set(err, ENOMEM, "allocate session");
	*ret = TAKE_PTR(s);
	return 0;
}

struct session *session_free(struct session *s)
{
	if (!s)
		return NULL;
	drop_timers(s);
	(void) ctl_cancel(s->discovery);
	(void) aws_credentials_cancel(s->keys_request);
	ws_leave(s->ws, WS_CLOSE_GOING_AWAY, "the agent is stopping");
	(void) ws_free(s->ws);
	(void) sd_event_unref(s->event);
	free(s->failure);
	free(s->user_agent);
	free(s->url);
	free(s);
	return NULL;
}

int session_start(struct session *s, struct err *err)
{
	expect(s, 0);
	return ctl_discover(s->p.ctl, on_discovered, s, &s->discovery, err);
}

int64_t session_due_ms(const struct session *s)
{
	return s->due_ms;
}

bool session_connected(const struct session *s)
{
	return s->opened_ms != 0;
}

int session_send(struct session *s, const char *data, size_t len, struct err *err)
{
	if (!s->ws)
		return err_set(err, ENOTCONN, "%s is not connected", s->p.ops->name);
	return ws_send(s->ws, data, len, err);
}

const char *session_url(const struct session *s)
{
	return s->opened_ms ? s->url : NULL;
}
