/* SPDX-License-Identifier: Apache-2.0 */
/* How a pull begins: its login, the image at hand that may do, its child and the limits of its time. */
#include "agent/engine/pull.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/image/manifest.h"
#include "runtime/image/mirror.h"

enum { BEGIN_MS = 5 * 60 * 1000 }; /* the reference's, and no setting of its */

/* ---- children ---- */

static enum image_pull_behavior behavior_of(const struct config *config)
{
	switch (config->pull_behavior) {
	case PULL_ALWAYS:
		return IMAGE_PULL_ALWAYS;
	case PULL_ONCE:
		return IMAGE_PULL_ONCE;
	case PULL_PREFER_CACHED:
		return IMAGE_PULL_PREFER_CACHED;
	default:
		return IMAGE_PULL_DEFAULT;
	}
}

static int on_limit(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct pull *p = userdata;

	(void) s, (void) usec;
	p->late = "pulled";
	p->late_ms = p->engine->config->image_pull_timeout_ms;
	image_pull_cancel(p->child);
	return 0;
}

static int on_no_word(sd_event_source *s, uint64_t usec, void *userdata);

/* Of the whole, and of its begin: the manifest of a tag, or the first that is heard of a digest. */
static int add_limits(struct pull *p, struct err *err)
{
	const struct config *c = p->engine->config;
	int64_t begin_ms = !pull_has_digest(p->reference) ? c->manifest_pull_timeout_ms
			   : c->pull_begin_ms > 0         ? c->pull_begin_ms
							  : BEGIN_MS;

	p->began_mono_ms = clock_mono_ms();
	if (c->image_pull_timeout_ms > 0 &&
	    sd_event_add_time_relative(p->engine->loop, &p->limit, CLOCK_MONOTONIC,
				       (uint64_t) c->image_pull_timeout_ms * USEC_PER_MSEC, 0,
				       on_limit, p) < 0)
		return err_set(err, ENOMEM, "add the time limit of a pull");
	if (begin_ms > 0 &&
	    sd_event_add_time_relative(p->engine->loop, &p->no_word, CLOCK_MONOTONIC,
				       (uint64_t) begin_ms * USEC_PER_MSEC, 0, on_no_word, p) < 0)
		return err_set(err, ENOMEM, "add the time limit of a pull");
	return 0;
}

static int start_child(struct pull *p, struct err *err)
{
	const struct config *config = p->engine->config;
	struct image_pull_params params = {
		.program = p->engine->image_program,
		.store_dir = config->image_dir,
		.reference = p->reference,
		.behavior = behavior_of(config),
		.mirrors = config->image_mirrors,
		.nice = IMAGE_PULL_NICE,
		.inactivity_timeout_ms = config->image_pull_inactivity_ms,
	};
	int k;

	k = add_limits(p, err);
	if (k < 0)
		return k;
	params.username = p->login.username;
	params.password = p->login.password;
	if (mirror_find(config->image_mirrors, NULL, NULL, err) < 0)
		return err_wrap(err, "ECS_IMAGE_MIRRORS");
	return image_pull_start(p->engine->loop, &params, pull_on_event, p, &p->child, err);
}

static size_t running_pulls(const struct engine *e)
{
	size_t n = 0;

	for (const struct pull *p = e->pulls; p; p = p->next)
		n += p->child != NULL;
	return n;
}

void pull_start_next(struct engine *e)
{
	size_t running = running_pulls(e);

	for (struct pull *p = e->pulls; p && running < (size_t) e->config->image_pulls;
	     p = p->next) {
		_cleanup_(err_done) struct err err = {};

		if (p->child || p->check || p->cached || p->token || p->refused)
			continue;
		if (start_child(p, &err) == 0) {
			running++;
			continue;
		}
		pull_on_event(NULL,
			      &(struct image_pull_event){ .type = IMAGE_PULL_FAILED,
							  .failure = IMAGE_PULL_E_INTERNAL,
							  .message = err_text(&err) },
			      p); /* which comes back here for the next one */
		return;
	}
}

/* ---- an image that is there: most often the tag still stands for it, and no child is needed ---- */

/* 1 with the cached image, when it may do for this pull; 0: a pull has to find out. */
static int look_up(const struct pull *p, struct image **ret)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(platform_done) struct platform host = {};
	_cleanup_(err_done) struct err err = {};

	if (image_store_lookup(p->engine->images, p->reference, &image, &err) != 0 ||
	    !image->digest || platform_host(&host, &err) < 0 ||
	    !platform_fits(&host, image->os, image->architecture))
		return 0;
	*ret = TAKE_PTR(image);
	return 1;
}

static void use_cached(struct pull *p, struct image *image, const char *why)
{
	if (!p->digest)
		pull_resolved(p, image->digest);
	pull_on_event(NULL,
		      &(struct image_pull_event){ .type = IMAGE_PULL_DONE,
						  .image = image,
						  .from_cache = true,
						  .message = why },
		      p);
}

/* Nobody said in time what the reference stands for: the image at hand may do. */
static void give_up(struct pull *p, const char *what)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(freep) char *why = NULL;
	char text[DURATION_TEXT_MAX];

	p->no_word = sd_event_source_disable_unref(p->no_word);
	p->late = what;
	p->late_ms = clock_mono_ms() - p->began_mono_ms;
	if (p->engine->config->pull_behavior == PULL_DEFAULT && look_up(p, &image)) {
		if (asprintf(&why, "%s: timed out after %s", p->reference,
			     duration_format_ms(p->late_ms, text)) < 0)
			why = NULL;
		use_cached(p, image, why ? why : "timed out");
	} else if (p->child) {
		image_pull_cancel(p->child);
	} else {
		pull_on_event(NULL,
			      &(struct image_pull_event){ .type = IMAGE_PULL_FAILED,
							  .failure = IMAGE_PULL_E_MANIFEST },
			      p);
	}
}

static int on_no_word(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct pull *p = userdata;

	(void) s, (void) usec;
	give_up(p, pull_has_digest(p->reference) ? "pullBegin" : "MANIFEST_PULLED");
	return 0;
}

static void on_check(enum image_check_result result, const char *digest, void *userdata)
{
	_cleanup_(image_freep) struct image *image = NULL;
	struct pull *p = userdata;
	int have = look_up(p, &image);

	if (have && result == IMAGE_CHECK_DIGEST && strcmp(digest, image->digest) == 0) {
		use_cached(p, image, NULL);
	} else if (have && result == IMAGE_CHECK_TIMED_OUT) {
		give_up(p, "MANIFEST_PULLED");
	} else {
		p->check = image_check_free(p->check);
		pull_start_next(p->engine);
	}
}

/* Content named by its digest cannot have changed. */
static int on_cached(sd_event_source *s, void *userdata)
{
	_cleanup_(image_freep) struct image *image = NULL;
	struct pull *p = userdata;

	(void) s;
	if (look_up(p, &image)) {
		use_cached(p, image, NULL);
	} else {
		p->cached = sd_event_source_disable_unref(p->cached);
		pull_start_next(p->engine);
	}
	return 0;
}

static int start_check(struct pull *p, struct err *err)
{
	const struct config *config = p->engine->config;
	const struct image_check_params params = { .http = p->engine->http,
						   .reference = p->reference,
						   .username = p->login.username,
						   .password = p->login.password,
						   .timeout_ms = config->manifest_pull_timeout_ms };

	p->began_mono_ms = clock_mono_ms();
	return image_check_start(&params, on_check, p, &p->check, err);
}

/* Whether the store may answer; what cannot even be tried is left to the child, which says why. */
static bool try_cached(struct pull *p)
{
	enum pull_behavior b = p->engine->config->pull_behavior;
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(err_done) struct err err = {};

	if ((b != PULL_DEFAULT && b != PULL_ALWAYS) || !look_up(p, &image))
		return false;
	if (pull_has_digest(p->reference))
		return sd_event_add_defer(p->engine->loop, &p->cached, on_cached, p) >= 0;
	/* With mirrors the child asks: it knows which. */
	return p->engine->http && !p->engine->config->image_mirrors && start_check(p, &err) == 0;
}

/* ---- logins ---- */

static int on_refused(sd_event_source *s, void *userdata)
{
	_cleanup_(image_freep) struct image *image = NULL;
	struct pull *p = userdata;

	(void) s;
	if (p->engine->config->pull_behavior == PULL_DEFAULT && look_up(p, &image))
		use_cached(p, image, err_text(&p->why_refused));
	else
		pull_on_event(NULL,
			      &(struct image_pull_event){ .type = IMAGE_PULL_FAILED,
							  .failure = IMAGE_PULL_E_INTERNAL,
							  .message = err_text(&p->why_refused) },
			      p);
	return 0;
}

static int refuse(struct pull *p, const struct err *err)
{
	(void) err_set(&p->why_refused, err->code ? err->code : EIO, "%s", err_text(err));
	return sd_event_add_defer(p->engine->loop, &p->refused, on_refused, p);
}

static void on_token(void *userdata, const struct registry_login *login, const struct err *err)
{
	struct pull *p = userdata;

	p->token = NULL;
	if (!login || strdup_to(&p->login.username, login->username) < 0 ||
	    strdup_to(&p->login.password, login->password) < 0)
		(void) refuse(p, err);
	else if (!try_cached(p))
		pull_start_next(p->engine);
}

/* 1: the login is there (or none is needed), 0: on_token() follows. */
static int find_login(struct pull *p, const struct container *c, struct err *err)
{
	const struct config *config = p->engine->config;
	const struct registry_token_params t = { .auth = &c->registry_auth,
						 .key = p->auth_key,
						 .credentials_id =
							 c->task->execution_credentials_id,
						 .image = p->reference };
	int k;

	if (p->auth_type == REGISTRY_AUTH_NONE) {
		k = registry_auth_find(config->engine_auth_type, config->engine_auth_data,
				       p->reference, &p->login, err);
		return k < 0 ? k : 1;
	}
	if (!p->engine->registry_tokens)
		return err_set(err, ENOTSUP, "nobody to ask for a registry login");
	return registry_token_get(p->engine->registry_tokens, &t, on_token, p, &p->login, &p->token,
				  err);
}

int pull_start(struct pull *p, const struct container *c, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	int k = find_login(p, c, &why);

	if (k < 0 && p->auth_type != REGISTRY_AUTH_NONE)
		return refuse(p, &why) < 0 ? err_set(err, ENOMEM, "refuse a pull") : 0;
	if (k < 0)
		return err_move(err, &why);
	if (k == 1 && !try_cached(p) &&
	    running_pulls(p->engine) < (size_t) p->engine->config->image_pulls)
		return start_child(p, err);
	return 0;
}
