/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pull per reference at a time; everybody who wants the image meanwhile waits for the same one.
 * Different images are pulled side by side up to a bound, so that a burst does not thrash the disk.
 */
#include "agent/engine/pull.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/image-cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"

bool pull_has_digest(const char *reference)
{
	return strchr(reference, '@') != NULL;
}

void pulls_set_digest(struct container *c, const char *digest)
{
	if (!digest || c->image_digest)
		return;
	(void) strdup_to(&c->image_digest, digest);
	c->digest_resolved_by_agent = !pull_has_digest(c->image);
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
	pull_start_next(p->engine);
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

void pull_resolved(struct pull *p, const char *digest)
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

void pull_on_event(struct image_pull *child, struct image_pull_event *ev, void *userdata)
{
	struct pull *p = userdata;
	struct engine *e = p->engine;

	(void) child;
	if (ev->type == IMAGE_PULL_RESOLVED || ev->type == IMAGE_PULL_PROGRESS)
		p->no_word = sd_event_source_disable_unref(p->no_word);
	if (ev->type == IMAGE_PULL_RESOLVED)
		pull_resolved(p, ev->digest);
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
	pull_start_next(e);
	(void) pull_free(p);
}

/* ---- joining ---- */

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

static struct pull *find(const struct engine *e, const char *reference, const char *auth_key)
{
	for (struct pull *p = e->pulls; p; p = p->next)
		if (strcmp(p->reference, reference) == 0 && strcmp(p->auth_key, auth_key) == 0)
			return p;
	return NULL;
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
		    : pull_start(p, c, err);
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
	if (!c->image_digest || pull_has_digest(c->image))
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
