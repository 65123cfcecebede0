/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session - what ACS and TCS have in common: a signed WebSocket to a discovered endpoint, kept
 * alive for ever. Discover -> keys -> connect -> talk -> wait -> again. There is no limit to the
 * time without a connection. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "aws/credentials.h"
#include "common/backoff.h"
#include "common/cleanup.h"
#include "common/err.h"

struct config;
struct ctl;
struct http_client;
struct session;

#define SESSION_CLOSE_REASON "ConnectionExpired: Reconnect to continue"

enum { SESSION_INACTIVE_DELAY_MS = 3600 * 1000, SESSION_BRIEF_MS = 1000, SESSION_BRIEF_MAX = 3 };

/* How a connection, or the attempt at one, ended. */
struct session_end {
	int code;         /* close code, 0: it broke, or never was */
	const char *text; /* close reason, refusal body or error text */
	int64_t open_ms;  /* for how long it was open; -1: it never opened */
	int brief;        /* connections in a row, this one too, that were over at once */
};

bool session_end_is_inactive(const struct session_end *e);

/*
 * When to connect again: at once after a clean end (1000, 1001, 1006, 1011), in an hour when the
 * instance is inactive, else by @b. A peer that keeps hanging up within a second, SESSION_BRIEF_MAX
 * times in a row, is treated as broken.
 */
int64_t session_delay_ms(const struct session_end *e, struct backoff *b);

/* @query gets "&key=value" (or '?' first), the value encoded as Go's url.QueryEscape does. */
struct buf;
void session_query_add(struct buf *url, const char *key, const char *value);
/* Appends the base of a session's URL: "/" if missing, then "ws". */
void session_url_begin(struct buf *url, const char *endpoint);

struct session_ops {
	const char *name; /* for log lines: "ACS" */
	bool telemetry;   /* which of the two endpoints */
	struct backoff backoff;
	bool close_when_silent; /* a close frame on silence (TCS) instead of a dropped socket (ACS)
				 */
	/* The URL to connect to, query included. Owned by the session; NULL with @err set. */
	char *(*url)(void *userdata, const char *endpoint, struct err *err);
	void (*on_open)(void *userdata);
	/* True when the message shows that the peer lives: the silence timer starts again. */
	bool (*on_message)(void *userdata, const char *data, size_t len, bool binary);
	void (*on_closed)(void *userdata);   /* after an on_open */
	void (*on_inactive)(void *userdata); /* may be NULL */
};

struct session_params {
	sd_event *event;
	const struct config *config;
	struct http_client *http;
	struct aws_credentials *credentials; /* may be NULL */
	struct ctl *ctl;
	const struct session_ops *ops; /* kept by address */
	void *userdata;
	int64_t minute_ms;                /* 0: 60000; tests live faster */
	int64_t (*random)(int64_t bound); /* NULL: random_below() */
};

int session_new(const struct session_params *p, struct session **ret, struct err *err);
struct session *session_free(struct session *s);
DEFINE_CLEANUP(struct session *, session_free)

int session_start(struct session *s, struct err *err);
bool session_connected(const struct session *s);
/*
 * Monotonic time by which it attempts, hears or ends something, whatever the control plane and the network
 * do, since all of it has timeouts: later, it is stuck by a fault of ours.
 */
int64_t session_due_ms(const struct session *s);
int session_send(struct session *s, const char *data, size_t len, struct err *err);

/*
 * Ends the connection as if it had broken for the reason
 * @text, from the loop: safe inside on_message.
 */
void session_fail(struct session *s, const char *text);

/* The URL of the connection, for signing frames; NULL while there is none. */
const char *session_url(const struct session *s);
