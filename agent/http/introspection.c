/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/eni-json.h"
#include "agent/http/introspection.h"

#include <string.h>

#include "agent/http/listener.h"
#include "agent/http/tasks-json.h"
#include "common/clock.h"
#include "common/macro.h"

enum { ADDRS_MAX = 4, PREFIX_MAX = 12 };

struct introspection {
	const struct agent_view *view;
	struct listener *listeners[ADDRS_MAX]; /* owned */
	size_t n;
};

/* ---- answers ---- */

static void answer_json(struct http_reply *r, unsigned status, json_t *o)
{
	r->status = status;
	r->body = json_to_text(o);
	json_decref(o);
}

static json_t *time_or_null(int64_t ms)
{
	char text[CLOCK_RFC3339_MAX];

	return ms ? json_string(clock_format_rfc3339(ms, 1, text)) : NULL;
}

static json_t *ports_json(const struct container *c)
{
	const struct port_binding *p = c->n_bindings ? c->bindings : c->ports;
	size_t n = c->n_bindings ? c->n_bindings : c->n_ports;
	json_t *a;

	if (c->network_mode == NETWORK_AWSVPC)
		return eni_ports_json(c);
	a = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			a, json_pack("{s:i,s:s,s:o*}", "ContainerPort", p[i].container_port,
				     "Protocol", p[i].proto == IPPROTO_UDP ? "udp" : "tcp",
				     "HostPort",
				     p[i].host_port ? json_integer(p[i].host_port) : NULL));
	return a;
}

/* A list that is empty is left out. */
static json_t *volumes_json(const struct agent_view *v, const struct container *c)
{
	json_t *list = task_volumes_json(v, c);

	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *container_json(const struct agent_view *v, const struct container *c)
{
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:o*,s:o*,s:o*,s:o*,s:o*,s:o*}", "DockerId", c->id, "DockerName",
		c->docker_name, "Name", c->name, "Image", c->image ? c->image : "", "ImageID",
		c->image_id ? c->image_id : "", "CreatedAt", time_or_null(c->created_ms),
		"StartedAt", time_or_null(c->started_ms), "Ports",
		c->n_ports || c->n_bindings ? ports_json(c) : NULL, "Networks",
		eni_networks_json(c->task, false), "Volumes", volumes_json(v, c),
		"RestartCount", c->restart.enabled ? json_integer(c->restart_count) : NULL);
}

/* A desired status that says less than the known one is left out, as the reference agent does. */
static const char *desired_text(const struct task *t)
{
	const char *known = task_status_for_service(t->known);
	const char *desired = task_status_for_service(t->desired);

	if (strcmp(known, "STOPPED") == 0 && strcmp(desired, "STOPPED") != 0)
		return NULL;
	if (strcmp(known, "RUNNING") == 0 && strcmp(desired, "PENDING") == 0)
		return NULL;
	return desired;
}

static json_t *task_json(const struct agent_view *v, const struct task *t)
{
	json_t *containers = json_array();

	for (size_t i = 0; i < t->n_containers; i++)
		if (!t->containers[i].internal)
			json_array_append_new(containers, container_json(v, &t->containers[i]));
	return json_pack("{s:s,s:s*,s:s,s:s,s:s,s:o}", "Arn", t->arn, "DesiredStatus",
			 desired_text(t), "KnownStatus", task_status_for_service(t->known),
			 "Family", t->family ? t->family : "", "Version",
			 t->version ? t->version : "", "Containers", containers);
}

static void answer_no_task(struct http_reply *r, unsigned status)
{
	answer_json(r, status,
		    json_pack("{s:s,s:s,s:s,s:s,s:n}", "Arn", "", "KnownStatus", "", "Family", "",
			      "Version", "", "Containers"));
}

static bool has_container(const struct task *t, const char *id)
{
	size_t n = strlen(id);

	for (size_t i = 0; i < t->n_containers; i++) {
		const char *other = t->containers[i].id;

		if (*other && (n <= PREFIX_MAX ? strncmp(other, id, n) : strcmp(other, id)) == 0)
			return true;
	}
	return false;
}

static void answer_one(const struct agent_view *v, const char *taskarn, const char *dockerid,
		       struct http_reply *r)
{
	const struct task *found = NULL;
	size_t matches = 0;

	if (taskarn && dockerid) {
		answer_no_task(r, 400);
		return;
	}
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		if (taskarn ? strcmp(t->arn, taskarn) == 0 : has_container(t, dockerid)) {
			found = t;
			matches++;
		}
	}
	if (matches == 1)
		answer_json(r, 200, task_json(v, found));
	else
		answer_no_task(r, matches ? 400 : 404);
}

static void answer_tasks(const struct agent_view *v, struct http_reply *r)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < v->task_count(v->userdata); i++)
		json_array_append_new(tasks, task_json(v, v->task_at(v->userdata, i)));
	answer_json(r, 200, json_pack("{s:o}", "Tasks", tasks));
}

static void answer_metadata(const struct agent_view *v, struct http_reply *r)
{
	struct agent_status s = {};

	v->status(v->userdata, &s);
	answer_json(r, 200,
		    json_pack("{s:s,s:s?,s:s}", "Cluster", s.cluster, "ContainerInstanceArn",
			      s.container_instance_arn, "Version",
			      "Amazon ECS Agent - v" PACKAGE_VERSION " (" GIT_HASH ")"));
}

static void answer_text(struct http_reply *r, const char *type, char *text)
{
	r->content_type = type;
	r->body = text;
}

void introspection_answer(const struct agent_view *v, const char *method, const char *path,
			  const char *taskarn, const char *dockerid, struct http_reply *r)
{
	bool one = (taskarn && *taskarn) || (dockerid && *dockerid);

	if (strcmp(method, "GET") != 0) {
		r->status = 405;
		answer_text(r, "text/plain; charset=utf-8", strdup("this server is read only\n"));
	} else if (strcmp(path, "/v1/metadata") == 0)
		answer_metadata(v, r);
	else if (strcmp(path, "/v1/tasks") == 0 && one)
		answer_one(v, taskarn && *taskarn ? taskarn : NULL,
			   dockerid && *dockerid ? dockerid : NULL, r);
	else if (strcmp(path, "/v1/tasks") == 0)
		answer_tasks(v, r);
	else if (strcmp(path, "/license") == 0)
		answer_text(r, "text/plain; charset=utf-8", strdup(license_text()));
	else if (strcmp(path, "/metrics") == 0)
		answer_text(r, PROMETHEUS_CONTENT_TYPE, metrics_page(v));
	else
		answer_text(r, "text/plain; charset=utf-8",
			    strdup("{\"AvailableCommands\":[\"/v1/metadata\",\"/v1/tasks\","
				   "\"/license\"]}"));
}

static void on_call(void *userdata, struct http_call *c, struct http_reply *r)
{
	const struct introspection *i = userdata;

	introspection_answer(i->view, http_call_method(c), http_call_path(c),
			     http_call_query(c, "taskarn"), http_call_query(c, "dockerid"), r);
}

/* ---- listening ---- */

int introspection_new(const struct introspection_params *p, struct introspection **ret,
		      struct err *err)
{
	_cleanup_(introspection_freep) struct introspection *i = calloc(1, sizeof(*i));
	struct http_server_params s = { .loop = p->loop,
					.what = "introspection port",
					.timeout_s = 10,
					.patience_ms = 20000,
					.max_connections = 64,
					.max_connections_per_address = 16,
					.handler = on_call,
					.userdata = i };

	if (!i)
		return err_set(err, ENOMEM, "allocate introspection");
	i->view = p->view;
	for (; i->n < MIN(p->n_addrs, (size_t) ADDRS_MAX); i->n++)
		if (listener_new(&s, p->addrs[i->n], p->port, &i->listeners[i->n], err) < 0)
			return -err->code;
	*ret = TAKE_PTR(i);
	return 0;
}

struct introspection *introspection_free(struct introspection *i)
{
	if (!i)
		return NULL;
	for (size_t n = 0; n < i->n; n++)
		listener_free(i->listeners[n]);
	free(i);
	return NULL;
}
