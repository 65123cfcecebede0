/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task metadata, versions 2 to 4. The texts of errors are the reference agent's, which speaks of
 * "v3 endpoint ID" in version 4, too.
 */
#include <arpa/inet.h>
#include <string.h>

#include "agent/metadata/describe.h"
#include "agent/metadata/pages.h"
#include "common/strv.h"

#define NO_DOCKER_ID "unable to get docker ID from v3 endpoint ID: %s"
#define NO_TASK_ARN "unable to get task Arn from v3 endpoint ID: %s"
#define NO_ASSOCIATION                                                                             \
	"Unable to write container association response: unable to get association from "          \
	"association type %s and association name %s"

struct question {
	struct metadata *m;
	bool v4;
	const char *version, *id, *rest; /* "V4", the endpoint id, what follows its '/' */
	const struct container *c;       /* NULL: unknown, or not for the caller */
	struct http_call *http;
	struct http_reply *r;
};

const struct container *container_by_endpoint(const struct metadata *m, const struct caller *caller,
					      const char *id)
{
	const struct agent_view *v = m->view;

	for (size_t i = 0; *id && i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++)
			if (strcmp(t->containers[j].endpoint_id, id) == 0)
				return caller_may_see(caller, t) ? &t->containers[j] : NULL;
	}
	return NULL;
}

/* ---- what can be asked ---- */

static void ask_container(const struct question *q)
{
	/* One without an id has not been made yet: it asks again. */
	if (!q->c || !*q->c->id)
		answer_error(q->r, q->v4 ? 404 : 500,
			     "%s container metadata handler: unable to get container ID from "
			     "request: " NO_DOCKER_ID,
			     q->version, q->id);
	else
		answer_json(q->r, 200, describe_container(q->m->view, q->c, q->v4));
}

static void ask_task(const struct question *q)
{
	if (!q->c)
		answer_error(q->r, q->v4 ? 404 : 500,
			     "%s task metadata handler: unable to get task arn from "
			     "request: " NO_TASK_ARN,
			     q->version, q->id);
	else
		answer_json(q->r, 200, describe_task(q->m->view, q->c->task, q->v4));
}

static void ask_task_with_tags(const struct question *q)
{
	if (q->c && q->http)
		answer_with_tags(q->m, q->c->task, q->v4, q->http, q->r);
	else
		ask_task(q);
}

static void ask_stats(const struct question *q)
{
	const char *stats = q->c ? container_stats(q->m, q->c, q->v4) : NULL;

	if (!q->c)
		answer_error(q->r, q->v4 ? 404 : 400,
			     "%s container stats handler: unable to get task arn from "
			     "request: " NO_TASK_ARN,
			     q->version, q->id);
	else if (!stats)
		answer_error(q->r, 500, "Unable to get container stats for: %s", q->c->id);
	else
		answer_json_text(q->r, 200, strdup(stats));
}

static void ask_task_stats(const struct question *q)
{
	if (!q->c)
		answer_error(
			q->r, q->v4 ? 404 : 400,
			"%s task stats handler: unable to get task arn from request: " NO_TASK_ARN,
			q->version, q->id);
	else if (!q->m->view->sampler)
		answer_error(q->r, 500, "Unable to get task stats for: %s", q->c->task->arn);
	else
		answer_json_text(q->r, 200, task_stats(q->m, q->c->task, q->v4));
}

/* GPUs are what this agent takes associations of; they carry no content. */
static void ask_associations(const struct question *q)
{
	const char *type = q->rest + strlen("associations/"), *slash = strchr(type, '/');
	bool gpu = strncmp(type, "gpu", 3) == 0 && (type[3] == '\0' || type[3] == '/');
	char *const *names = q->c && gpu ? q->c->docker.gpus : NULL;
	json_t *list;

	if (!q->c) {
		answer_error(q->r, 400,
			     "%s container associations handler: unable to get container id from "
			     "request: " NO_DOCKER_ID,
			     q->version, q->id);
		return;
	}
	if (slash) {
		if (strv_contains(names, slash + 1))
			q->r->body = strdup("");
		else
			answer_error(q->r, 400, NO_ASSOCIATION, gpu ? "gpu" : type, slash + 1);
		return;
	}
	list = json_array();
	for (; names && *names; names++)
		(void) json_array_append_new(list, json_string(*names));
	answer_json(q->r, 200, json_pack("{s:o}", "Associations", list));
}

void answer_endpoint(struct metadata *m, const struct caller *caller, bool v4, const char *path,
		     struct http_call *http, struct http_reply *r)
{
	static const struct {
		const char *path;
		void (*ask)(const struct question *q);
	} pages[] = {
		{ "", ask_container },
		{ "task", ask_task },
		{ "taskWithTags", ask_task_with_tags },
		{ "stats", ask_stats },
		{ "task/stats", ask_task_stats },
	};
	const char *slash = strchr(path, '/');
	_cleanup_(freep) char *id = slash ? strndup(path, (size_t) (slash - path)) : strdup(path);
	struct question q = { .m = m,
			      .v4 = v4,
			      .version = v4 ? "V4" : "V3",
			      .id = id,
			      .rest = slash ? slash + 1 : "",
			      .c = id ? container_by_endpoint(m, caller, id) : NULL,
			      .http = http,
			      .r = r };

	if (!id)
		return;
	if (strncmp(q.rest, "associations/", strlen("associations/")) == 0 &&
	    q.rest[strlen("associations/")]) {
		ask_associations(&q);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (strcmp(q.rest, pages[i].path) == 0) {
			pages[i].ask(&q);
			return;
		}
	}
	answer_text(r, 404, "404 page not found\n");
}

/* ---- version 2: who asks says what is meant ---- */

static const struct container *container_by_id(const struct task *t, const char *id)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (*id && strcmp(t->containers[i].id, id) == 0)
			return &t->containers[i];
	return NULL;
}

static void ask_one(struct metadata *m, const struct task *t, bool stats, const char *id,
		    struct http_reply *r)
{
	const struct container *c = container_by_id(t, id);
	const char *text = c && stats ? container_stats(m, c, false) : NULL;

	if (!c)
		answer_error(r, 400, "Unable to generate metadata for container '%s'", id);
	else if (!stats)
		answer_json(r, 200, describe_container(m->view, c, false));
	else if (text)
		answer_json_text(r, 200, strdup(text));
	else
		answer_error(r, 400, "Unable to get container stats for: %s", id);
}

static void ask_whole(struct metadata *m, const struct task *t, bool stats, struct http_reply *r)
{
	if (stats && !m->view->sampler)
		answer_error(r, 400, "Unable to get task stats for: %s", t->arn);
	else if (stats)
		answer_json_text(r, 200, task_stats(m, t, false));
	else
		answer_json(r, 200, describe_task(m->view, t, false));
}

void answer_by_address(struct metadata *m, const struct caller *caller, const char *path,
		       const struct metadata_request *q, struct http_reply *r)
{
	static const struct {
		const char *name;
		bool stats, one, tags; /* one: of one container, too */
	} pages[] = {
		{ "metadata", false, true, false },
		{ "metadataWithTags", false, false, true },
		{ "stats", true, true, false },
	};
	char text[INET_ADDRSTRLEN] = "";

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		size_t n = strlen(pages[i].name);
		const char *id = path + n + 1;

		if (strncmp(path, pages[i].name, n) != 0 || (path[n] && path[n] != '/'))
			continue;
		if (path[n] == '/' && *id && (!pages[i].one || strchr(id, '/')))
			break;
		(void) inet_ntop(AF_INET, &q->peer, text, sizeof(text));
		if (!caller->container)
			answer_error(r, 400,
				     "Unable to get task arn from request: unable to associate "
				     "'%s' with task",
				     text);
		else if (pages[i].tags && q->call)
			answer_with_tags(m, caller->container->task, false, q->call, r);
		else if (path[n] == '/' && *id)
			ask_one(m, caller->container->task, pages[i].stats, id, r);
		else
			ask_whole(m, caller->container->task, pages[i].stats, r);
		return;
	}
	answer_text(r, 404, "404 page not found\n");
}
