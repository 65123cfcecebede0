/* SPDX-License-Identifier: Apache-2.0 */
/* The …WithTags pages: a task and the tags of it and of its container instance, asked for each time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/metadata/describe.h"
#include "agent/metadata/later.h"
#include "common/json.h"

enum { TIMEOUT_MS = 30000 };

enum { TASK_TAGS, INSTANCE_TAGS, KINDS };
static const char *const fields[KINDS] = { "TaskTags", "ContainerInstanceTags" };

struct tags {
	struct later later; /* first */
	json_t *task;       /* owned: the answer as far as it is there */
	char *arns[KINDS];  /* owned */
	int kind;           /* asked for now */
	bool v4;            /* it tells of failures */
};

static void tags_free(struct later *l)
{
	struct tags *t = (struct tags *) l;

	json_decref(t->task);
	for (size_t i = 0; i < KINDS; i++)
		free(t->arns[i]);
	free(t);
}

static void answer(struct tags *t)
{
	later_answer(&t->later, 200, json_incref(t->task));
}

/* Members that are empty are left out. */
static void put_some(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void) json_object_set_new(o, key, json_string(value));
}

/* @status, @request_id: of an answer; 0 and "": there was none. */
static void note_failure(struct tags *t, const char *code, const char *text, int status,
			 const char *request_id)
{
	json_t *one = json_object(), *errors = json_object_get(t->task, "Errors");

	if (!t->v4)
		return;
	if (!errors) {
		errors = json_array();
		(void) json_object_set_new(t->task, "Errors", errors);
	}
	put_some(one, "ErrorField", fields[t->kind]);
	put_some(one, "ErrorCode", code);
	put_some(one, "ErrorMessage", text);
	if (status > 0)
		(void) json_object_set_new(one, "StatusCode", json_integer(status));
	put_some(one, "RequestId", request_id);
	put_some(one, "ResourceARN", t->arns[t->kind]);
	(void) json_array_append_new(errors, one);
}

static void note_tags(struct tags *t, const json_t *list)
{
	json_t *map = json_object();
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *) list, i, one)
		(void) json_object_set_new(map, json_get_string(one, "key", ""),
					   json_string(json_get_string(one, "value", "")));
	if (json_object_size(map) > 0)
		(void) json_object_set(t->task, fields[t->kind], map);
	json_decref(map);
}

static void ask(struct tags *t);

static void on_answer(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct tags *t = userdata;

	t->later.call = NULL;
	if (!err->code && r->body)
		note_tags(t, json_object_get(r->body, "tags"));
	else
		note_failure(t, r->error && *r->error ? r->error : "RequestError",
			     r->message ? r->message : "", r->status, r->request_id);
	t->kind++;
	ask(t);
}

static void on_deadline(struct later *l)
{
	struct tags *t = (struct tags *) l;

	for (; t->kind < KINDS; t->kind++)
		note_failure(t, "RequestCanceled", "Timed out asking for tags", 0, "");
	answer(t);
}

/* The next one that there is to ask for; the answer when there is none. */
static void ask(struct tags *t)
{
	_cleanup_(err_done) struct err err = {};
	struct aws_client *ecs = *t->later.m->ecs;

	for (; t->kind < KINDS; t->kind++) {
		_cleanup_(json_decrefp) json_t *in =
			json_pack("{s:s*}", "resourceArn", t->arns[t->kind]);
		_cleanup_(freep) char *text = json_to_text(in);

		if (!t->arns[t->kind])
			continue;
		if (ecs && text &&
		    aws_call(ecs, "ListTagsForResource", text, NULL, on_answer, t, &t->later.call,
			     &err) == 0)
			return;
		note_failure(t, "RequestError", err_text(&err), 0, "");
	}
	answer(t);
}

void answer_with_tags(struct metadata *m, const struct task *task, bool v4, struct http_call *http,
		      struct http_reply *r)
{
	struct tags *t = calloc(1, sizeof(*t));
	_cleanup_(err_done) struct err err = {};
	struct agent_status s = {};
	int k = -ENOMEM;

	m->view->status(m->view->userdata, &s);
	if (t) {
		t->later.free = tags_free;
		t->later.on_deadline = on_deadline;
		t->v4 = v4;
		t->task = describe_task(m->view, task, v4);
		t->arns[TASK_TAGS] = task_is_local(task) ? NULL : strdup(task->arn);
		t->arns[INSTANCE_TAGS] =
			s.container_instance_arn ? strdup(s.container_instance_arn) : NULL;
	}
	if (t && t->task && (t->arns[TASK_TAGS] || task_is_local(task)))
		k = later_begin(&t->later, m, http, TIMEOUT_MS, r, &err);
	if (k < 0) {
		answer_error(r, 500, "Unable to generate metadata for %stask: '%s'",
			     v4 ? "v4 " : "", task->arn);
		if (t)
			tags_free(&t->later);
		return;
	}
	ask(t);
}
