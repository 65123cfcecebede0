/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "agent/engine/registry-auth.h"
#include "agent/engine/registry-token.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/strv.h"

enum { START_DELAY_MS = 1000 };

struct prefetch {
	struct engine *engine; /* borrowed */
	char **images;         /* owned */
	size_t at;
	struct image_pull *child;     /* owned */
	struct registry_token *token; /* owned */
	sd_event_source *timer;       /* owned: the next one, from the loop */
};

static int on_time(sd_event_source *s, uint64_t usec, void *userdata);

static int next_after(struct prefetch *p, int64_t ms)
{
	p->timer = sd_event_source_disable_unref(p->timer);
	if (!p->images[p->at])
		return 0;
	return sd_event_add_time_relative(p->engine->loop, &p->timer, CLOCK_MONOTONIC,
					  (uint64_t) ms * USEC_PER_MSEC, 0, on_time, p);
}

static void go_on(struct prefetch *p, const char *why)
{
	if (why)
		log_warn("Failed to prefetch image '%s', leaving it to the first task: %s",
			 p->images[p->at], why);
	else
		log_info("Image '%s' is prefetched", p->images[p->at]);
	p->at++;
	(void) next_after(p, 0);
}

static void on_pull(struct image_pull *child, struct image_pull_event *ev, void *userdata)
{
	struct prefetch *p = userdata;

	(void) child;
	if (ev->type != IMAGE_PULL_DONE && ev->type != IMAGE_PULL_FAILED)
		return;
	go_on(p, ev->type == IMAGE_PULL_DONE ? NULL : ev->message);
	p->child = image_pull_free(p->child);
}

static int pull(struct prefetch *p, const struct registry_login *login, struct err *err)
{
	const struct config *config = p->engine->config;
	const struct image_pull_params params = {
		.program = p->engine->image_program,
		.store_dir = config->image_dir,
		.reference = p->images[p->at],
		.behavior = IMAGE_PULL_PREFER_CACHED,
		.username = login->username,
		.password = login->password,
		.mirrors = config->image_mirrors,
		.nice = IMAGE_PULL_NICE,
		.inactivity_timeout_ms = config->image_pull_inactivity_ms,
	};

	return image_pull_start(p->engine->loop, &params, on_pull, p, &p->child, err);
}

static void on_token(void *userdata, const struct registry_login *login, const struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	struct prefetch *p = userdata;

	p->token = NULL;
	if (!login)
		go_on(p, err_text(err));
	else if (pull(p, login, &why) < 0)
		go_on(p, err_text(&why));
}

static char *part(const char *text, size_t len)
{
	return len > 0 ? strndup(text, len) : NULL;
}

bool prefetch_ecr_auth(const char *image, struct registry_auth *ret)
{
	static const char infix[] = ".dkr.ecr.", suffix[] = ".amazonaws.com";
	size_t account = strspn(image, "0123456789"), host = strcspn(image, "/");
	const char *region = image + account + strlen(infix), *end;

	if (account != 12 || strncmp(image + account, infix, strlen(infix)) != 0)
		return false;
	end = strstr(region, suffix);
	if (!end || (size_t) (end - image) >= host)
		return false;
	*ret = (struct registry_auth){ .type = REGISTRY_AUTH_ECR,
				       .registry_id = part(image, account),
				       .region = part(region, (size_t) (end - region)) };
	if (ret->registry_id && ret->region)
		return true;
	registry_auth_done(ret);
	return false;
}

/* The instance's own role opens ECR; other registries are opened by the host's settings. */
static int find_login(struct prefetch *p, struct registry_login *login, struct err *err)
{
	const struct config *config = p->engine->config;
	const char *image = p->images[p->at];
	struct registry_auth auth = {};
	_cleanup_(freep) char *key = NULL;
	int k;

	if (!p->engine->registry_tokens || !prefetch_ecr_auth(image, &auth)) {
		k = registry_auth_find(config->engine_auth_type, config->engine_auth_data, image,
				       login, err);
		return k < 0 ? k : 1;
	}
	key = registry_auth_key(&auth, p->engine->roles, NULL);
	k = key ? registry_token_get(p->engine->registry_tokens,
				     &(struct registry_token_params){
					     .auth = &auth, .key = key, .image = image },
				     on_token, p, login, &p->token, err)
		: err_set(err, ENOMEM, "prefetch");
	registry_auth_done(&auth);
	return k;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(registry_login_done) struct registry_login login = {};
	_cleanup_(err_done) struct err err = {};
	struct prefetch *p = userdata;
	int k;

	(void) s, (void) usec;
	p->timer = sd_event_source_disable_unref(p->timer);
	k = find_login(p, &login, &err);
	if (k == 1)
		k = pull(p, &login, &err);
	if (k < 0)
		go_on(p, err_text(&err));
	return 0;
}

static int split(const char *list, char ***ret)
{
	int k = 0;

	for (const char *p = list; k == 0 && *(p += strspn(p, ", \t")); p += strcspn(p, ", \t")) {
		_cleanup_(freep) char *one = strndup(p, strcspn(p, ", \t"));

		k = one ? strv_append(ret, one) : -ENOMEM;
	}
	return k;
}

int prefetch_start(struct engine *e, struct prefetch **ret, struct err *err)
{
	const char *list = e->config->image_prefetch;
	struct prefetch *p;

	if (!list || !list[strspn(list, ", \t")])
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "start to prefetch");
	p->engine = e;
	if (split(list, &p->images) < 0 || next_after(p, START_DELAY_MS) < 0) {
		(void) prefetch_free(p);
		return err_set(err, ENOMEM, "start to prefetch");
	}
	*ret = p;
	return 0;
}

struct prefetch *prefetch_free(struct prefetch *p)
{
	if (!p)
		return NULL;
	(void) sd_event_source_disable_unref(p->timer);
	(void) registry_token_cancel(p->token);
	(void) image_pull_free(p->child);
	strv_free(p->images);
	free(p);
	return NULL;
}
