/* SPDX-License-Identifier: Apache-2.0 */
/* A request to the control socket, the introspection port and the task server: "METHOD PATH QUERY". */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http/control.h"
#include "agent/http/introspection.h"
#include "agent/metadata/metadata.h"
#include "common/cleanup.h"
#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct task task = { .arn = (char *) "arn:aws:ecs:r:1:task/lab/1111", .id = "1111" };
static struct container container = { .task = &task,
				      .name = (char *) "web",
				      .log_driver = (char *) "json-file" };

static size_t count(void *userdata)
{
	(void) userdata;
	task.containers = &container;
	task.n_containers = 1;
	return 1;
}

static const struct task *at(void *userdata, size_t i)
{
	(void) userdata, (void) i;
	return &task;
}

static const struct task *find(void *userdata, const char *name)
{
	(void) userdata;
	return strcmp(name, task.id) == 0 || strcmp(name, task.arn) == 0 ? &task : NULL;
}

static char *log_path(void *userdata, const struct container *c)
{
	(void) userdata, (void) c;
	return strdup("/log");
}

static int stop(void *userdata, const char *arn, struct err *err)
{
	(void) userdata, (void) arn, (void) err;
	return 0;
}

static void status(void *userdata, struct agent_status *ret)
{
	(void) userdata;
	*ret = (struct agent_status){ .cluster = "lab" };
}

static void check(struct http_reply *r, bool is_json)
{
	_cleanup_(json_decrefp) json_t *o = NULL;

	if (!r->body)
		abort();
	if (is_json && json_parse(r->body, strlen(r->body), &o, NULL) < 0)
		abort();
	free(r->body);
}

/* From a container of the task, whose endpoint is "e" and whose role's credentials are "r". */
static void ask_task_server(const struct agent_view *v, const char *method, const char *path,
			    const char *rest)
{
	static struct role_store *roles;
	_cleanup_(metadata_freep) struct metadata *m = NULL;
	struct metadata_params p = { .view = v };
	struct metadata_request q = { .method = method,
				      .path = path ? path : "",
				      .id = rest,
				      .body = rest ? rest : "",
				      .body_len = rest ? strlen(rest) : 0,
				      .user_agent = rest,
				      .peer.s_addr = 1 };
	struct http_reply r = {};

	if (!roles && (role_store_new(&roles, NULL) < 0 ||
		       role_store_put_pending(roles, task.arn, ROLE_TASK, "r", NULL) < 0))
		abort();
	p.roles = roles;
	container.address.s_addr = 1;
	container.endpoint_id[0] = 'e';
	if (metadata_new(&p, &m, NULL) < 0)
		return;
	metadata_answer(m, &q, &r);
	/* No header's line is ended by what was asked. */
	if (r.headers && (strncmp(r.headers, "Location: /", 11) != 0 ||
			  strcspn(r.headers, "\r\n") != strlen(r.headers) - 1))
		abort();
	free(r.headers);
	check(&r, r.body && *r.body == '{'); /* errors are mere strings */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config = { .data_dir = (char *) "d",
					.run_dir = (char *) "r",
					.image_dir = (char *) "i",
					.libexec_dir = (char *) "l" };
	static struct agent_counters counters;
	const struct agent_view view = { .config = &config,
					 .counters = &counters,
					 .task_count = count,
					 .task_at = at,
					 .find_task = find,
					 .log_path = log_path,
					 .stop_task = stop,
					 .status = status };
	struct http_reply a = { .status = 200 }, b = { .status = 200 };
	_cleanup_(freep) char *text = strndup((const char *) data, size);
	char *rest = text;
	const char *method = strsep(&rest, " "), *path = rest ? strsep(&rest, " ") : "";

	count(NULL);
	control_answer(&view, method, path, &a);
	check(&a, true);
	introspection_answer(&view, method, path, rest, rest && *rest == 'd' ? rest : NULL, &b);
	check(&b, false);
	ask_task_server(&view, method, path, rest);
	return 0;
}
