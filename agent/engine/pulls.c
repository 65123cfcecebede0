/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pull per reference at a time; everybody who wants the image meanwhile waits for the same one.
 * Different images are pulled side by side up to a bound, so that a burst does not thrash the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/image-check.h"
#include "agent/engine/image-cleanup.h"
#include "agent/engine/internal.h"
#include "agent/engine/registry-auth.h"
#include "agent/engine/registry-token.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/image/manifest.h"
#include "runtime/image/mirror.h"

enum { BEGIN_MS = 5 * 60 * 1000 }; /* the reference's, and no setting of its */

struct pull {
	struct pull *next;
	struct engine *engine;     /* borrowed */
	char *reference, *digest;  /* owned */
	char *auth_key;            /* owned: whose login it is; "" for the host's */
	enum registry_auth_type auth_type;
	struct registry_login login;  /* owned */
	struct registry_token *token; /* owned; while AWS is asked for the login */
	sd_event_source *refused;     /* owned: there is no login, from the loop */
	struct err why_refused;
	struct image_pull *child;  /* owned; NULL while it waits for its turn */
	struct image_check *check; /* owned; while only the tag is looked at */
	sd_event_source *cached;   /* owned: what the store has will do, from the loop */
	sd_event_source *limit;    /* owned: of the whole pull */
	sd_event_source *no_word;  /* owned: of its begin, until there is word of the image */
	int64_t began_mono_ms;     /* the child, or the check */
	const char *late;          /* what it did not become in time; NULL: nothing yet */
	int64_t late_ms;           /* after so long */
	struct container **waiting; /* owned array of borrowed */
	size_t n_waiting;
	bool ended;
};

static bool has_digest(const char *reference)
{
	return strchr(reference, '@') != NULL;
}

void pulls_set_digest(struct container *c, const char *digest)
{
	if (!digest || c->image_digest)
		return;
	(void) strdup_to(&c->image_digest, digest);
	c->digest_resolved_by_agent = !has_digest(c->image);
	c->run->save = true;
}

/* False when clean-up was faster: then the image has to be pulled again. */
static bool take_image(struct container *c, const struct image *image)
{
	_cleanup_(err_done) struct err err = {};
	int k = image_store_use(c->run->engine->images, image->id, &err);

	if (k == IMAGE_E_NOT_FOUND)
		return false;
	if (k < 0)
		container_log(LOG_WARN, c, "Failed to note the use of '%s', going on: %s", c->image,
			      err_text(&err));
	pulls_set_digest(c, image->digest);
	(void) strdup_to(&c->image_id, image->id);
	container_set_busy(c, BUSY_NOTHING);
	c->run->save = true;
	container_set_known(c, CONTAINER_PULLED);
	return true;
}

int pulls_from_cache(struct engine *e, struct container *c, struct err *err)
{
	_cleanup_(image_freep) struct image *image = NULL;
	enum pull_behavior b = e->config->pull_behavior;
	bool told = c->image_digest && c->digest_resolved_by_agent;
	int k;

	if (b != PULL_PREFER_CACHED && b != PULL_ONCE && !told)
		return 0;
	k = image_store_lookup(e->images, c->image, &image, err);
	if (k != 0)
		return k < 0 ? k : 0;
	if (told) { /* what the service was told of is what shall run */
		if (!image->digest || strcmp(image->digest, c->image_digest) != 0)
			return 0;
		return take_image(c, image);
	}
	/* An image that was loaded from a file was never pulled. */
	if (b == PULL_ONCE && !image->digest)
		return 0;
	return take_image(c, image);
}

/* ---- waiting ---- */

static struct pull *pull_free(struct pull *p)
{
	(void) sd_event_source_disable_unref(p->limit);
	(void) sd_event_source_disable_unref(p->no_word);
	(void) sd_event_source_disable_unref(p->cached);
	(void) image_check_free(p->check);
	(void) registry_token_cancel(p->token);
	(void) sd_event_source_disable_unref(p->refused);
	err_done(&p->why_refused);
	registry_login_done(&p->login);
	free(p->auth_key);
	(void) image_pull_free(p->child);
	free(p->reference);
	free(p->digest);
	free(p->waiting);
	free(p);
	return NULL;
}

static void unlink_pull(struct pull *p)
{
	struct pull **at = &p->engine->pulls;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

static void start_next(struct engine *e);

void pulls_leave(struct container *c)
{
	struct pull *p = c->run->pull;

	c->run->check = image_check_free(c->run->check);
	c->run->pull = NULL;
	if (!p)
		return;
	for (size_t i = 0; i < p->n_waiting; i++) {
		if (p->waiting[i] != c)
			continue;
		p->waiting[i] = p->waiting[--p->n_waiting];
		break;
	}
	if (p->n_waiting > 0 || p->ended)
		return;
	/* Nobody wants it any more. */
	unlink_pull(p);
	start_next(p->engine);
	(void) pull_free(p);
}

void pulls_free(struct engine *e)
{
	while (e->pulls) {
		struct pull *p = e->pulls;

		e->pulls = p->next;
		for (size_t i = 0; i < p->n_waiting; i++)
			p->waiting[i]->run->pull = NULL;
		(void) pull_free(p);
	}
}

size_t pulls_waiting(const struct container *c)
{
	return c->run->pull ? c->run->pull->n_waiting : 0;
}

/* ---- what the child says ---- */

static void note_pull_end(struct container *c)
{
	c->task->pull_stopped_ms = clock_real_ms();
	c->task->run->save = true;
}

static void on_resolved(struct pull *p, const char *digest)
{
	if (!digest)
		return;
	(void) strdup_to(&p->digest, digest);
	for (size_t i = 0; i < p->n_waiting; i++) {
		pulls_set_digest(p->waiting[i], digest);
		container_set_known(p->waiting[i], CONTAINER_MANIFEST_PULLED);
	}
}

static void pull_again(struct container *c)
{
	_cleanup_(err_done) struct err err = {};

	if (pulls_join(c->run->engine, c, &err) == 0)
		return;
	container_set_busy(c, BUSY_NOTHING);
	container_fail(c, "CannotPullContainerError", "%s", err_text(&err));
}

static void on_done(struct container *c, const struct image_pull_event *ev)
{
	note_pull_end(c);
	if (ev->message)
		container_log(LOG_WARN, c,
			      "Failed to pull the image of '%s', using the one at hand: %s",
			      c->name, ev->message);
	else
		container_log(LOG_INFO, c, "Image '%s' of '%s' is %s", c->image, c->name,
			      ev->from_cache ? "at hand" : "pulled");
	if (!take_image(c, ev->image))
		pull_again(c);
}

static const char *error_name(enum image_pull_failure f)
{
	switch (f) {
	case IMAGE_PULL_E_MANIFEST:
		return "CannotPullImageManifestError";
	default:
		return "CannotPullContainerError";
	}
}

static const char *explain(const char *message)
{
	if (strstr(message, "denied: User: ") &&
	    strstr(message, " is not authorized to perform: ecr:BatchGetImage on resource"))
		return "The task can’t pull the image. Check that the role has the permissions to "
		       "pull images from the registry. ";
	if (strstr(message, "requested access to the resource is denied"))
		return "The task can’t pull the image. Check whether the image exists. ";
	if (strstr(message, "timed out"))
		return "The task can’t pull the image. Check your network configuration. ";
	return "";
}

static void on_failed(const struct pull *p, struct container *c, const struct image_pull_event *ev)
{
	const char *message = ev->message ? ev->message : "the pull ended without a reason";
	char text[DURATION_TEXT_MAX];

	container_set_busy(c, BUSY_NOTHING);
	note_pull_end(c);
	if (p->late) {
		container_fail(c, "DockerTimeoutError",
			       "Could not transition to %s; timed out after waiting %s", p->late,
			       duration_format_ms(p->late_ms, text));
		return;
	}
	if (p->why_refused.code) {
		container_fail(c, registry_auth_error(p->auth_type), "%s", message);
		return;
	}
	if (ev->failure == IMAGE_PULL_E_INACTIVE)
		message = "inactivity time exceeded timeout while pulling image";
	container_fail(c, error_name(ev->failure), "%s%s", explain(message), message);
}

static void on_event(struct image_pull *child, struct image_pull_event *ev, void *userdata)
{
	struct pull *p = userdata;
	struct engine *e = p->engine;

	(void) child;
	if (ev->type == IMAGE_PULL_RESOLVED || ev->type == IMAGE_PULL_PROGRESS)
		p->no_word = sd_event_source_disable_unref(p->no_word);
	if (ev->type == IMAGE_PULL_RESOLVED)
		on_resolved(p, ev->digest);
	if (ev->type == IMAGE_PULL_RETRY)
		log_warn("Failed to fetch a part of image '%s', retrying: %s", p->reference,
			 ev->message);
	if (ev->type != IMAGE_PULL_DONE && ev->type != IMAGE_PULL_FAILED)
		return;
	if (ev->type == IMAGE_PULL_FAILED && ev->failure == IMAGE_PULL_E_AUTH && *p->auth_key)
		registry_tokens_forget(e->registry_tokens, p->auth_key);
	p->ended = true;
	unlink_pull(p);
	image_cleanup_check_disk(e->image_cleanup, ev->failure == IMAGE_PULL_E_NO_SPACE &&
							   ev->type == IMAGE_PULL_FAILED);
	while (p->n_waiting > 0) {
		struct container *c = p->waiting[--p->n_waiting];

		c->run->pull = NULL;
		if (ev->type == IMAGE_PULL_DONE)
			on_done(c, ev);
		else
			on_failed(p, c, ev);
	}
	start_next(e);
	(void) pull_free(p);
}

/* ---- starting ---- */

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
	int64_t begin_ms = !has_digest(p->reference) ? c->manifest_pull_timeout_ms
			   : c->pull_begin_ms > 0    ? c->pull_begin_ms
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
	return image_pull_start(p->engine->loop, &params, on_event, p, &p->child, err);
}

static size_t running_pulls(const struct engine *e)
{
	size_t n = 0;

	for (const struct pull *p = e->pulls; p; p = p->next)
		n += p->child != NULL;
	return n;
}

static void start_next(struct engine *e)
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
		on_event(NULL,
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
		on_resolved(p, image->digest);
	on_event(NULL,
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
		on_event(NULL,
			 &(struct image_pull_event){ .type = IMAGE_PULL_FAILED,
						     .failure = IMAGE_PULL_E_MANIFEST },
			 p);
	}
}

static int on_no_word(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct pull *p = userdata;

	(void) s, (void) usec;
	give_up(p, has_digest(p->reference) ? "pullBegin" : "MANIFEST_PULLED");
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
		start_next(p->engine);
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
		start_next(p->engine);
	}
	return 0;
}

int pulls_check(struct engine *e, const struct container *c, image_check_fn fn, void *userdata,
		struct image_check **ret, struct err *err)
{
	_cleanup_(registry_login_done) struct registry_login login = {};
	struct image_check_params params = { .http = e->http,
					     .reference = c->image,
					     .timeout_ms = e->config->manifest_pull_timeout_ms };
	int k;

	if (c->registry_auth.type != REGISTRY_AUTH_NONE)
		return err_set(err, ENOTSUP, "its own login comes with the pull");
	k = registry_auth_find(e->config->engine_auth_type, e->config->engine_auth_data, c->image,
			       &login, err);
	if (k < 0)
		return k;
	params.username = login.username;
	params.password = login.password;
	return image_check_start(&params, fn, userdata, ret, err);
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
	if (has_digest(p->reference))
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
		on_event(NULL,
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
		start_next(p->engine);
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

static struct pull *find(const struct engine *e, const char *reference, const char *auth_key)
{
	for (struct pull *p = e->pulls; p; p = p->next)
		if (strcmp(p->reference, reference) == 0 && strcmp(p->auth_key, auth_key) == 0)
			return p;
	return NULL;
}

static int start(struct pull *p, const struct container *c, struct err *err)
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

static int make(struct engine *e, const struct container *c, const char *reference,
		const char *auth_key, struct pull **ret, struct err *err)
{
	struct pull *p = calloc(1, sizeof(*p)), **at = &e->pulls;
	int k;

	if (!p)
		return err_set(err, ENOMEM, "pull '%s'", c->image);
	p->engine = e;
	p->auth_type = c->registry_auth.type;
	k = strdup_to(&p->reference, reference) < 0 || strdup_to(&p->auth_key, auth_key) < 0
		    ? err_set(err, ENOMEM, "pull '%s'", c->image)
		    : start(p, c, err);
	if (k < 0) {
		(void) pull_free(p);
		return k;
	}
	while (*at)
		at = &(*at)->next;
	*at = *ret = p;
	return 0;
}

/* A tag may have moved since its digest was told to the service: that one is pulled. */
static char *reference_of(const struct container *c)
{
	if (!c->image_digest || has_digest(c->image))
		return strdup(c->image);
	return path_join("%s@%s", c->image, c->image_digest);
}

int pulls_join(struct engine *e, struct container *c, struct err *err)
{
	_cleanup_(freep) char *auth_key =
		registry_auth_key(&c->registry_auth, e->roles, c->task->execution_credentials_id);
	_cleanup_(freep) char *reference = reference_of(c);
	struct pull *p = auth_key && reference ? find(e, reference, auth_key) : NULL;
	struct container **grown;
	int k = 0;

	if (!auth_key || !reference)
		return err_set(err, ENOMEM, "pull '%s'", c->image);
	if (!p)
		k = make(e, c, reference, auth_key, &p, err);
	if (k < 0)
		return k;
	grown = reallocarray(p->waiting, p->n_waiting + 1, sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "pull '%s'", c->image);
	p->waiting = grown;
	grown[p->n_waiting++] = c;
	c->run->pull = p;
	if (c->task->pull_started_ms == 0) {
		c->task->pull_started_ms = clock_real_ms();
		c->task->run->save = true;
	}
	if (p->digest) {
		pulls_set_digest(c, p->digest);
		container_set_known(c, CONTAINER_MANIFEST_PULLED);
	}
	return 0;
}
