/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One set of keys is kept. Whoever asks while it is fresh is served at once; else the sources are
 * asked in order and all who wait are served together. A timer fetches role keys ahead of their
 * end; when that fails the old ones serve until they end.
 */
#include "aws/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "aws/imds.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/macro.h"
#include "common/strv.h"

#define ROLE_PATH "latest/meta-data/iam/security-credentials/"

enum {
	SHARED_FILE_MAX = 256 * 1024,
	SHARED_FOR_MS = 60 * 1000, /* values of the shared file count as expiring after that */
	REFRESH_RETRY_MS = 60 * 1000,
	REFRESH_JITTER_MS = 5 * 60 * 1000,
	ROLE_NAME_MAX = 256,
	NONE_FOR_MS = 60 * 1000,
	JUST_FETCHED_MS = 5 * 60 * 1000,
};

enum source { SOURCE_SHARED, SOURCE_IMDS, SOURCE_END };

struct aws_credentials_request {
	struct aws_credentials *owner;
	struct aws_credentials_request *next, **prev;
	aws_credentials_fn fn;
	void *userdata;
};

struct aws_credentials {
	sd_event *event;
	struct aws_keys keys; /* static, or fetched last */
	bool have;
	bool is_static;
	bool none; /* every source was asked and has none: go unsigned, look again now and then */
	int64_t none_since_ms;       /* monotonic */
	int64_t fetched_ms;          /* monotonic; of the keys, 0: not from the metadata service */
	char *shared_file, *profile; /* owned */
	struct imds *imds;
	enum source order[3];
	int position; /* in order, while fetching */
	bool fetching;
	struct err trouble; /* of the first source that should have had keys */
	struct imds_request *imds_request;
	sd_event_source *timer; /* refresh */
	struct aws_credentials_request *waiting;
};

static void ask_source(struct aws_credentials *c);

struct aws_credentials_request *aws_credentials_cancel(struct aws_credentials_request *r)
{
	if (!r)
		return NULL;
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	free(r);
	return NULL;
}

int aws_credentials_new(const struct aws_credentials_params *p, struct aws_credentials **ret,
			struct err *err)
{
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = calloc(1, sizeof(*c));
	struct aws_keys k = { (char *) p->access_key_id, (char *) p->secret_access_key,
			      p->session_token && *p->session_token ? (char *) p->session_token
								    : NULL,
			      0 };

	if (!c || strdup_to(&c->shared_file, p->shared_file) < 0 ||
	    strdup_to(&c->profile, p->profile ? p->profile : "default") < 0)
		return err_set(err, ENOMEM, "allocate credentials");
	c->event = sd_event_ref(p->event);
	c->imds = p->imds;
	c->order[0] = p->shared_before_imds ? SOURCE_SHARED : SOURCE_IMDS;
	c->order[1] = p->shared_before_imds ? SOURCE_IMDS : SOURCE_SHARED;
	c->order[2] = SOURCE_END;
	if (k.access_key_id && *k.access_key_id && k.secret_access_key && *k.secret_access_key) {
		if (aws_keys_copy(&c->keys, &k) < 0)
			return err_set(err, ENOMEM, "allocate credentials");
		c->have = c->is_static = true;
	}
	*ret = TAKE_PTR(c);
	return 0;
}

struct aws_credentials *aws_credentials_free(struct aws_credentials *c)
{
	if (!c)
		return NULL;
	while (c->waiting)
		(void) aws_credentials_cancel(c->waiting);
	(void) imds_cancel(c->imds_request);
	(void) sd_event_source_disable_unref(c->timer);
	(void) sd_event_unref(c->event);
	aws_keys_done(&c->keys);
	err_done(&c->trouble);
	free(c->shared_file);
	free(c->profile);
	free(c);
	return NULL;
}

/*
 * What the metadata service has given just now is good whatever our clock says to its end: it may be the
 * clock that is wrong, and the service judges by its own.
 */
static bool fresh(const struct aws_credentials *c)
{
	return c->have && (c->keys.expires_ms == 0 || clock_real_ms() < c->keys.expires_ms ||
			   (c->fetched_ms && clock_mono_ms() - c->fetched_ms < JUST_FETCHED_MS));
}

static int on_refresh(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct aws_credentials *c = userdata;

	(void) s, (void) usec;
	if (c->fetching)
		return 0;
	c->fetching = true;
	c->position = 0;
	ask_source(c);
	return 0;
}

static void arm_refresh(struct aws_credentials *c, int64_t in_ms)
{
	c->timer = sd_event_source_disable_unref(c->timer);
	if (sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC,
				       (uint64_t) in_ms * USEC_PER_MSEC, in_ms ? 1000000 : 1000,
				       on_refresh, c) >= 0)
		(void) sd_event_source_set_description(c->timer, "credentials-refresh");
}

/* Serves all who wait with what there is: keys, trouble, or the knowledge that there are none. */
static void settle(struct aws_credentials *c)
{
	_cleanup_(err_done) struct err err = {};
	bool ok = fresh(c);
	struct aws_credentials_request *list = c->waiting, *r;

	c->fetching = false;
	c->none = !ok && !c->trouble.code;
	c->none_since_ms = clock_mono_ms();
	(void) err_move(&err, &c->trouble);
	if (ok)
		err_done(&err);
	if (list)
		list->prev = &list;
	c->waiting = NULL; /* callbacks may ask again */
	while ((r = list)) {
		aws_credentials_fn fn = r->fn;
		void *userdata = r->userdata;

		(void) aws_credentials_cancel(r);
		fn(userdata, ok ? &c->keys : NULL, &err);
	}
}

static void take(struct aws_credentials *c, struct aws_keys *keys, bool refresh)
{
	aws_keys_done(&c->keys);
	c->keys = *keys;
	*keys = (struct aws_keys){};
	c->have = true;
	c->fetched_ms = refresh ? clock_mono_ms() : 0;
	err_done(&c->trouble);
	if (refresh && c->keys.expires_ms)
		arm_refresh(c, MAX(aws_keys_refresh_in_ms(clock_real_ms(), c->keys.expires_ms,
							  random_below(REFRESH_JITTER_MS)),
				   (int64_t) REFRESH_RETRY_MS));
	settle(c);
}

/* On to the next source; what a source that exists complains of is kept for the callers. */
static void next_source(struct aws_credentials *c, const struct err *why)
{
	if (why && why->code != ENOENT && why->code != EHOSTUNREACH && !c->trouble.code)
		(void) err_set(&c->trouble, why->code, "%s", err_text(why));
	c->position++;
	ask_source(c);
}

static void on_role_keys(void *userdata, const char *data, size_t len, const struct err *imds_err)
{
	_cleanup_(aws_keys_done) struct aws_keys keys = {};
	_cleanup_(err_done) struct err err = {};
	struct aws_credentials *c = userdata;

	c->imds_request = NULL;
	if (!data)
		next_source(c, imds_err);
	else if (aws_keys_decode_imds(data, len, &keys, &err) < 0)
		next_source(c, &err);
	else
		take(c, &keys, true);
}

static void on_role_name(void *userdata, const char *data, size_t len, const struct err *imds_err)
{
	_cleanup_(buf_done) struct buf path = {};
	_cleanup_(err_done) struct err err = {};
	struct aws_credentials *c = userdata;
	size_t n = data ? strcspn(data, "\r\n") : 0;

	(void) len;
	c->imds_request = NULL;
	if (!data) {
		next_source(c, imds_err);
		return;
	}
	if (n == 0 || n > ROLE_NAME_MAX || strcspn(data, "/?# %") < n) {
		(void) err_set(&err, EPROTO, "instance metadata names no usable role");
	} else {
		(void) buf_printf(&path, ROLE_PATH "%.*s", (int) n, data);
		if (imds_get(c->imds, buf_str(&path), on_role_keys, c, &c->imds_request, &err) == 0)
			return;
	}
	next_source(c, &err);
}

static void read_shared(struct aws_credentials *c)
{
	_cleanup_(aws_keys_done) struct aws_keys keys = {};
	_cleanup_(err_done) struct err err = {};
	char *text = NULL;
	size_t len = 0;
	int k = c->shared_file
			? fs_read_file(AT_FDCWD, c->shared_file, SHARED_FILE_MAX, &text, &len, &err)
			: -ENOENT;

	if (k == 0) {
		k = aws_keys_parse_shared(text, c->profile, &keys, &err);
		explicit_bzero(text, len);
		free(text);
	}
	if (k < 0) {
		next_source(c, &err);
		return;
	}
	keys.expires_ms = clock_real_ms() + SHARED_FOR_MS;
	take(c, &keys, false);
}

static void ask_source(struct aws_credentials *c)
{
	_cleanup_(err_done) struct err err = {};

	switch (c->order[c->position]) {
	case SOURCE_SHARED:
		read_shared(c);
		break;
	case SOURCE_IMDS:
		if (c->imds &&
		    imds_get(c->imds, ROLE_PATH, on_role_name, c, &c->imds_request, &err) == 0)
			return;
		next_source(c, &err);
		break;
	case SOURCE_END:
		if (fresh(c))
			arm_refresh(c, REFRESH_RETRY_MS);
		settle(c);
		break;
	}
}

/* A role may be attached later. Nobody waits for the answer: a host without keys stays fast. */
static void look_again(struct aws_credentials *c)
{
	if (!c->none || c->fetching || clock_mono_ms() - c->none_since_ms < NONE_FOR_MS)
		return;
	c->none_since_ms = clock_mono_ms();
	arm_refresh(c, 0);
}

int aws_credentials_get(struct aws_credentials *c, aws_credentials_fn fn, void *userdata,
			struct aws_credentials_request **ret, struct err *err)
{
	struct aws_credentials_request *r;
	struct err none = {};

	if (ret)
		*ret = NULL;
	if (fresh(c) || c->none || (!c->imds && !c->shared_file)) {
		look_again(c);
		fn(userdata, fresh(c) ? &c->keys : NULL, &none);
		return 0;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "wait for credentials");
	*r = (struct aws_credentials_request){ c, c->waiting, &c->waiting, fn, userdata };
	if (r->next)
		r->next->prev = &r->next;
	c->waiting = r;
	if (ret)
		*ret = r;
	if (!c->fetching)
		arm_refresh(c, 0); /* from the loop: *ret is set before anybody calls back */
	return 0;
}

const struct aws_keys *aws_credentials_current(const struct aws_credentials *c)
{
	return fresh(c) ? &c->keys : NULL;
}

const char *aws_credentials_source(const struct aws_credentials *c)
{
	if (!c->have)
		return "";
	return c->is_static ? "settings" : c->fetched_ms ? "instance role" : "shared file";
}

void aws_credentials_invalidate(struct aws_credentials *c)
{
	if (c->is_static)
		return;
	c->have = c->none = false;
	aws_keys_done(&c->keys);
}
