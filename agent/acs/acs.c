/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/acs/acs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/frame.h"
#include "agent/acs/private.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"

char *acs_url(const char *endpoint, const char *cluster, const char *instance_arn,
	      bool send_credentials)
{
	_cleanup_(buf_done) struct buf url = {};

	session_url_begin(&url, endpoint);
	session_query_add(&url, "agentHash", GIT_HASH);
	session_query_add(&url, "agentVersion", PACKAGE_VERSION);
	session_query_add(&url, "clusterArn", cluster);
	session_query_add(&url, "containerInstanceArn", instance_arn);
	session_query_add(&url, "dockerVersion", "DockerVersion: " PACKAGE_VERSION);
	session_query_add(&url, "protocolVersion", "2");
	session_query_add(&url, "sendCredentials", send_credentials ? "true" : "false");
	session_query_add(&url, "seqNum", "1");
	return buf_take(&url);
}

static char *on_url(void *userdata, const char *endpoint, struct err *err)
{
	struct acs *a = userdata;
	char *url = acs_url(endpoint, ctl_cluster(a->p.ctl), ctl_container_instance_arn(a->p.ctl),
			    !a->was_connected);

	if (!url)
		(void) err_set(err, ENOMEM, "ACS URL");
	return url;
}

static void on_open(void *userdata)
{
	struct acs *a = userdata;

	a->was_connected = true;
	ctl_retry_now(a->p.ctl);
	if (a->p.handlers->on_connected)
		a->p.handlers->on_connected(a->p.userdata, true);
}

static void on_closed(void *userdata)
{
	struct acs *a = userdata;

	if (a->p.handlers->on_connected)
		a->p.handlers->on_connected(a->p.userdata, false);
}

static void on_inactive(void *userdata)
{
	struct acs *a = userdata;

	log_warn(
		"The control plane says this instance is inactive; tasks go on, next attempt in an "
		"hour");
	if (a->p.handlers->on_inactive)
		a->p.handlers->on_inactive(a->p.userdata);
}

static void on_error_frame(struct acs *a, const struct frame *f)
{
	_cleanup_(buf_done) struct buf text = {};

	(void) buf_printf(&text, "%s: %s", f->type, json_get_string(f->message, "message", ""));
	log_warn("The control plane sent an error over ACS: %.300s", buf_str(&text));
	if (strcmp(f->type, "InactiveInstanceException") == 0)
		session_fail(a->session, buf_str(&text));
}

/* Nothing a peer sends ends the session: what cannot be read is said and skipped. */
static bool on_message(void *userdata, const char *data, size_t len, bool binary)
{
	_cleanup_(frame_done) struct frame f = {};
	_cleanup_(err_done) struct err err = {};
	char excerpt[FRAME_EXCERPT_MAX + 1];
	struct acs *a = userdata;

	if (binary)
		log_debug("ACS sent a binary frame of %zu bytes", len);
	if (frame_decode(data, len, &f, &err) < 0) {
		log_warn("Ignoring an ACS message of %zu bytes: %s: %s", len, err_text(&err),
			 frame_excerpt(data, len, excerpt));
		return false;
	}
	a->last_message_ms = clock_real_ms();
	if (f.is_error)
		on_error_frame(a, &f);
	else if (acs_dispatch(a, f.type, f.message, &err) < 0)
		log_error("Failed to handle a %s, it is not acknowledged: %s", f.type,
			  err_text(&err));
	return true;
}

static const struct session_ops session_ops = {
	.name = "ACS",
	.backoff = { 250, 120000, 0.2, 1.5, 0 },
	.url = on_url,
	.on_open = on_open,
	.on_message = on_message,
	.on_closed = on_closed,
	.on_inactive = on_inactive,
};

int acs_new(const struct acs_params *p, struct acs **ret, struct err *err)
{
	_cleanup_(acs_freep) struct acs *a = calloc(1, sizeof(*a));
	int k;

	if (!a)
		return err_set(err, ENOMEM, "allocate ACS session");
	a->p = *p;
	a->manifest_seq = p->manifest_seq;
	a->send = acs_send_frame;
	const struct session_params sp = {
		.event = p->event,
		.config = p->config,
		.http = p->http,
		.credentials = p->credentials,
		.ctl = p->ctl,
		.ops = &session_ops,
		.userdata = a,
	};
	k = session_new(&sp, &a->session, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(a);
	return 0;
}

struct acs *acs_free(struct acs *a)
{
	if (!a)
		return NULL;
	(void) session_free(a->session);
	free(a->manifest_id);
	free(a);
	return NULL;
}

int acs_start(struct acs *a, struct err *err)
{
	return session_start(a->session, err);
}

bool acs_connected(const struct acs *a)
{
	return session_connected(a->session);
}

int64_t acs_due_ms(const struct acs *a)
{
	return session_due_ms(a->session);
}

int64_t acs_last_message_ms(const struct acs *a)
{
	return a->last_message_ms;
}

int acs_send_frame(struct acs *a, const char *type, json_t *message, struct err *err)
{
	_cleanup_(freep) char *text = frame_encode(type, message);

	if (!text)
		return err_set(err, ENOMEM, "encode %s", type);
	if (session_send(a->session, text, strlen(text), err) < 0)
		return err_wrap(err, "send %s", type);
	return 0;
}
