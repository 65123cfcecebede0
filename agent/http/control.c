/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/control.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/http/tasks-json.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"

enum { QUESTIONS_MAX = 4 };

/* Somebody waits for the check of the services. */
struct question {
	struct control *control;
	struct question *next, **prev;
	struct http_call *call; /* borrowed */
	struct reach *reach;
};

struct control {
	struct question *questions; /* owned */
	size_t n_questions;
	const struct agent_view *view;
	struct events *events;
	struct http_server *server; /* owned */
	char *path;                 /* owned */
};

static void answer_json(struct http_reply *r, unsigned status, json_t *o)
{
	r->status = status;
	r->body = json_to_text(o);
	json_decref(o);
}

static void answer_error(struct http_reply *r, unsigned status, const char *fmt, ...)
	_printf_(3, 4);

static void answer_error(struct http_reply *r, unsigned status, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	/* What was asked for stands in it, and need not be UTF-8, which JSON has to be. */
	for (char *c = text; c && *c; c++)
		if ((unsigned char) *c >= 0x80)
			*c = '?';
	answer_json(r, status, json_pack("{s:s}", "error", text ? text : "out of memory"));
	free(text);
}

static void answer_version(const struct agent_view *v, struct http_reply *r)
{
	const struct config *c = v->config;
	struct agent_status s = {};

	v->status(v->userdata, &s);
	answer_json(r, 200,
		    json_pack("{s:s,s:s,s:s,s:s?,s:s?,s:b,s:b,s:s,s:s,s:s,s:s}", "version",
			      PACKAGE_VERSION, "gitHash", GIT_HASH, "cluster", s.cluster,
			      "containerInstanceArn", s.container_instance_arn, "runc",
			      s.runc_version, "acsConnected", s.sessions[0].connected,
			      "tcsConnected", s.sessions[1].connected, "dataDir", c->data_dir,
			      "runDir", c->run_dir, "imageDir", c->image_dir, "libexecDir",
			      c->libexec_dir));
}

/* Of the tasks, how many are to run and how many are still to come to their end. */
static void answer_status(const struct agent_view *v, struct http_reply *r)
{
	struct agent_status s;
	int running = 0, stopping = 0;

	v->status(v->userdata, &s);
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		if (t->known < TASK_STOPPED)
			*(t->desired < TASK_STOPPED ? &running : &stopping) += 1;
	}
	answer_json(r, 200,
		    json_pack("{s:s, s:s?, s:s?, s:b, s:b, s:i, s:i, s:I, s:I, s:I}", "status",
			      s.line ? s.line : "", "cluster", s.cluster, "containerInstanceArn",
			      s.container_instance_arn, "acsConnected", s.sessions[0].connected,
			      "tcsConnected", s.sessions[1].connected, "tasks", running,
			      "tasksStopping", stopping, "undelivered",
			      (json_int_t) s.outbox_pending, "lastMessageMs",
			      (json_int_t) s.last_acs_message_ms, "startedMs",
			      (json_int_t) s.started_ms));
}

static void answer_drain(const struct agent_view *v, const char *method, const char *how,
			 struct http_reply *r)
{
	static const char *const words[] = {
		[DRAIN_KEEP] = "", [DRAIN_STOP] = "/stop", [DRAIN_UNDO] = "/undo"
	};
	_cleanup_(err_done) struct err err = {};
	size_t wish = 0;
	int k;

	while (wish < ARRAY_SIZE(words) && strcmp(how, words[wish]) != 0)
		wish++;
	if (wish == ARRAY_SIZE(words) || !v->drain) {
		answer_error(r, 404, "there is nothing at /v1/drain%.64s", how);
		return;
	}
	if (strcmp(method, "POST") != 0) {
		answer_error(r, 405, "%s is not answered here", method);
		return;
	}
	k = v->drain(v->userdata, (enum drain_wish) wish, &err);
	if (k < 0)
		answer_error(r, k == -ENOTCONN ? 409 : 500, "%s", err_text(&err));
	else
		answer_json(r, 202, json_object());
}

static void answer_ps(const struct agent_view *v, struct http_reply *r)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < v->task_count(v->userdata); i++)
		json_array_append_new(tasks, task_to_json(v, v->task_at(v->userdata, i)));
	answer_json(r, 200, json_pack("{s:o}", "tasks", tasks));
}

static void answer_stats(const struct agent_view *v, struct http_reply *r)
{
	json_t *containers = json_array();

	if (!v->sampler) {
		json_decref(containers);
		answer_error(r, 409, "metrics are switched off (ECS_DISABLE_METRICS)");
		return;
	}
	if (v->refresh_samples)
		v->refresh_samples(v->userdata);
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			json_t *o = container_stats_to_json(v, &t->containers[j]);

			if (o)
				json_array_append_new(containers, o);
		}
	}
	answer_json(r, 200, json_pack("{s:o}", "containers", containers));
}

static void answer_log(const struct agent_view *v, const struct task *t, const char *name,
		       struct http_reply *r)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct container *c = &t->containers[i];
		_cleanup_(freep) char *path = NULL;

		if (strcmp(c->name, name) != 0)
			continue;
		path = v->log_path(v->userdata, c);
		if (path)
			answer_json(r, 200,
				    json_pack("{s:s,s:b}", "path", path, "running",
					      c->known < CONTAINER_STOPPED));
		else
			answer_error(r, 404, "container '%s' keeps no log here (log driver %s)",
				     name, c->log_driver ? c->log_driver : "none");
		return;
	}
	answer_error(r, 404, "task %s has no container '%s'", t->id, name);
}

static void answer_stop(const struct agent_view *v, const struct task *t, struct http_reply *r)
{
	_cleanup_(err_done) struct err err = {};

	if (v->stop_task(v->userdata, t->arn, &err) < 0)
		answer_error(r, 500, "stop %s: %s", t->id, err_text(&err));
	else
		answer_json(r, 202, json_pack("{s:s}", "arn", t->arn));
}

/* By whose fault a wish fails. */
static unsigned status_of(int error)
{
	static const struct {
		int error;
		unsigned status;
	} known[] = { { EPROTO, 400 }, { EINVAL, 400 }, { ENOTSUP, 400 }, { EPERM, 403 },
		      { ENOENT, 404 }, { EEXIST, 409 }, { EBUSY, 409 } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (error == -known[i].error)
			return known[i].status;
	return 500;
}

static void answer_remove(const struct agent_view *v, const struct task *t, struct http_reply *r)
{
	_cleanup_(err_done) struct err err = {};
	int k = v->remove_task ? v->remove_task(v->userdata, t->arn, &err) : -ENOTSUP;

	if (k < 0)
		answer_error(r, status_of(k), "%s", err_text(&err));
	else
		answer_json(r, 202, json_pack("{s:s}", "arn", t->arn));
}

void control_run(const struct agent_view *v, const char *body, size_t len, struct http_reply *r)
{
	_cleanup_(json_decrefp) json_t *request = NULL;
	_cleanup_(err_done) struct err err = {};
	json_t *o = NULL;
	int k = json_parse(body, len, &request, &err);

	if (k == 0 && v->run_task)
		o = v->run_task(v->userdata, request, &err);
	if (o)
		answer_json(r, 202, o);
	else
		answer_error(r, status_of(-err.code), "%s", err_text(&err));
}

static bool take_end(char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	if (n <= m || strcmp(text + n - m, end) != 0)
		return false;
	text[n - m] = '\0';
	return true;
}

/* "ID", "ID/stop", "ID/remove", "ID/containers/NAME/log"; an ARN has slashes of its own, so the end goes first. */
static void answer_task(const struct agent_view *v, const char *method, char *rest,
			struct http_reply *r)
{
	size_t n = strlen(rest);
	char *name = NULL, *containers;
	const struct task *t;
	bool stop = take_end(rest, "/stop"), remove = !stop && take_end(rest, "/remove");

	if (stop || remove)
		;
	else if (n > 4 && strcmp(rest + n - 4, "/log") == 0 &&
		 (containers = strstr(rest, "/containers/"))) {
		rest[n - 4] = '\0';
		*containers = '\0';
		name = containers + strlen("/containers/");
	}
	if ((stop || remove) != (strcmp(method, "POST") == 0)) {
		answer_error(r, 405, "%s is not answered here", method);
		return;
	}
	t = v->find_task(v->userdata, rest);
	if (!t)
		answer_error(r, 404, "no task, or more than one, is called '%.256s'", rest);
	else if (stop)
		answer_stop(v, t, r);
	else if (remove)
		answer_remove(v, t, r);
	else if (name)
		answer_log(v, t, name, r);
	else
		answer_json(r, 200, task_to_json(v, t));
}

/* GET looks, POST repairs. */
static void answer_doctor(const struct agent_view *v, const char *method, struct http_reply *r)
{
	bool repair = strcmp(method, "POST") == 0;
	_cleanup_(err_done) struct err err = {};
	json_t *o = NULL;

	if (!v->doctor || (!repair && strcmp(method, "GET") != 0)) {
		answer_error(r, 405, "%s is not answered here", method);
		return;
	}
	o = v->doctor(v->userdata, repair, &err);
	if (o)
		answer_json(r, 200, o);
	else
		answer_error(r, 500, "look for leftovers: %s", err_text(&err));
}

void control_answer(const struct agent_view *v, const char *method, const char *path,
		    struct http_reply *r)
{
	static const char tasks[] = "/v1/tasks/";

	if (strncmp(path, tasks, strlen(tasks)) == 0 && path[strlen(tasks)]) {
		_cleanup_(freep) char *rest = strdup(path + strlen(tasks));

		if (rest)
			answer_task(v, method, rest, r);
	} else if (strcmp(path, "/v1/doctor") == 0)
		answer_doctor(v, method, r);
	else if (strncmp(path, "/v1/drain", 9) == 0)
		answer_drain(v, method, path + 9, r);
	else if (strcmp(method, "GET") != 0)
		answer_error(r, 405, "%s is not answered here", method);
	else if (strcmp(path, "/v1/version") == 0)
		answer_version(v, r);
	else if (strcmp(path, "/v1/status") == 0)
		answer_status(v, r);
	else if (strcmp(path, "/v1/ps") == 0)
		answer_ps(v, r);
	else if (strcmp(path, "/v1/stats") == 0)
		answer_stats(v, r);
	else
		answer_error(r, 404, "there is nothing at %.256s", path);
}

static void answer_events(struct control *c, const char *since, bool follow, struct http_reply *r)
{
	uint64_t cursor = since ? events_since(c->events, strtoll(since, NULL, 10)) : 0;
	uint64_t skip = cursor > c->events->dropped ? cursor - c->events->dropped : 0;

	r->content_type = "application/x-ndjson";
	if (!follow) {
		r->body = strdup(buf_str(&c->events->text) + skip);
		return;
	}
	r->stream_cursor = cursor;
	r->stream = events_read;
	r->stream_userdata = c->events;
}

/* ---- an answer that takes asking others ---- */

static struct question *question_free(struct question *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->control->n_questions--;
	(void) reach_cancel(q->reach);
	free(q);
	return NULL;
}

static void on_reached(void *userdata, json_t *list)
{
	struct http_reply r = { .status = 500, .content_type = "application/json" };
	struct question *q = userdata;

	q->reach = NULL;
	if (list)
		answer_json(&r, 200, json_pack("{s:o}", "checks", list));
	http_call_finish(q->call, &r);
	(void) question_free(q);
}

static void answer_services(struct control *c, struct http_call *call, struct http_reply *r)
{
	struct question *q = c->n_questions < QUESTIONS_MAX ? calloc(1, sizeof(*q)) : NULL;
	_cleanup_(err_done) struct err err = {};

	if (!q) {
		answer_error(r, 503, "%zu such checks are under way", c->n_questions);
		return;
	}
	*q = (struct question){ c, c->questions, &c->questions, call, NULL };
	if (q->next)
		q->next->prev = &q->next;
	c->questions = q;
	c->n_questions++;
	if (c->view->reach(c->view->userdata, on_reached, q, &q->reach, &err) < 0) {
		answer_error(r, 500, "look at the services: %s", err_text(&err));
		(void) question_free(q);
	} else
		r->later = true;
}

static void on_call(void *userdata, struct http_call *call, struct http_reply *r)
{
	struct control *c = userdata;
	const char *follow = http_call_query(call, "follow");
	const char *body;
	size_t len = 0;

	if (strcmp(http_call_path(call), "/v1/run") == 0 &&
	    strcmp(http_call_method(call), "POST") == 0) {
		body = http_call_body(call, &len);
		control_run(c->view, body ? body : "", len, r);
	} else if (strcmp(http_call_path(call), "/v1/events") == 0 &&
		   strcmp(http_call_method(call), "GET") == 0)
		answer_events(c, http_call_query(call, "since"), follow && strcmp(follow, "0") != 0,
			      r);
	else if (c->view->reach && strcmp(http_call_path(call), "/v1/doctor/services") == 0 &&
		 strcmp(http_call_method(call), "GET") == 0)
		answer_services(c, call, r);
	else
		control_answer(c->view, http_call_method(call), http_call_path(call), r);
}

static int open_socket(const char *path, struct err *err)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "%s: longer than the %zu bytes of a socket's path", path,
			       sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	(void) unlink(path);
	mask = umask(0177);
	r = fd < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 16) < 0
		    ? -errno
		    : 0;
	(void) umask(mask);
	return r < 0 ? err_set_errno(err, -r, "listen on %s", path) : TAKE_FD(fd);
}

int control_new(const struct control_params *p, struct control **ret, struct err *err)
{
	_cleanup_(control_freep) struct control *c = calloc(1, sizeof(*c));
	struct http_server_params s = { .loop = p->loop,
					.what = "control socket",
					.check_peer = true,
					.timeout_s = 30,
					.patience_ms = 60000,
					.max_connections = 64,
					.handler = on_call,
					.userdata = c };
	int r;

	if (!c)
		return err_set(err, ENOMEM, "allocate control socket");
	c->view = p->view;
	c->events = p->events;
	s.listen_fd = open_socket(p->path, err);
	if (s.listen_fd < 0)
		return s.listen_fd;
	c->path = strdup(p->path);
	r = http_server_new(&s, &c->server, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct control *control_free(struct control *c)
{
	if (!c)
		return NULL;
	while (c->questions) {
		struct http_reply r = { .content_type = "application/json" };

		answer_error(&r, 503, "the agent ends");
		http_call_finish(c->questions->call, &r);
		(void) question_free(c->questions);
	}
	http_server_free(c->server);
	if (c->path)
		(void) unlink(c->path);
	free(c->path);
	free(c);
	return NULL;
}

void control_wake(struct control *c)
{
	http_server_wake(c->server);
}
