/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"

enum { SHORT_ID = 12 };

static long long age_of(const json_t *o, const char *key, long long now_ms)
{
	const char *text = json_get_string(o, key, NULL);
	int64_t at;

	return text && clock_parse_rfc3339(text, &at, NULL) == 0 ? now_ms - at : -1;
}

/* As people know it from docker ps. */
static const char *health_suffix(const json_t *c)
{
	const char *status = json_get_string(json_object_get(c, "health"), "status", "");

	return strcmp(status, "HEALTHY") == 0     ? " (healthy)"
	       : strcmp(status, "UNHEALTHY") == 0 ? " (unhealthy)"
	       : *status                          ? " (health: starting)"
						  : "";
}

static void put_status(struct table *t, const json_t *c, long long now_ms)
{
	const char *status = json_get_string(c, "lastStatus", "");
	const char *error = json_get_string(c, "error", NULL);
	const json_t *code = json_object_get(c, "exitCode");
	bool stopping = strcmp(json_get_string(c, "desiredStatus", ""), "STOPPED") == 0;
	char age[32];

	if (strcmp(status, "RUNNING") == 0 && code)
		table_putf(t, "Restarting (%lld) %s", (long long) json_integer_value(code),
			   format_age(age, age_of(c, "finishedAt", now_ms)));
	else if (strcmp(status, "RUNNING") == 0)
		table_putf(t, "%s %s%s", stopping ? "Stopping, up" : "Up",
			   format_age(age, age_of(c, "startedAt", now_ms)), health_suffix(c));
	else if (strcmp(status, "STOPPED") == 0 && code)
		table_putf(t, "Exited (%lld) %s ago%s%s", (long long) json_integer_value(code),
			   format_age(age, age_of(c, "finishedAt", now_ms)), error ? ": " : "",
			   error ? error : "");
	else if (strcmp(status, "STOPPED") == 0)
		table_putf(t, "Failed%s%s", error ? ": " : "", error ? error : "");
	else if (strcmp(status, "PULLED") == 0 || strcmp(status, "CREATED") == 0)
		table_put(t, "Starting");
	else
		table_put(t, "Pending");
}

static void put_ports(struct table *t, const json_t *c)
{
	const json_t *ports = json_object_get(c, "ports"), *p;
	struct buf b = {};
	size_t i;

	json_array_foreach(ports, i, p) {
		long long host = json_get_int(p, "hostPort", 0);

		buf_puts(&b, i ? ", " : "");
		if (host)
			buf_printf(&b, "0.0.0.0:%lld->", host);
		buf_printf(&b, "%lld/%s", (long long) json_get_int(p, "containerPort", 0),
			   json_get_string(p, "protocol", "tcp"));
	}
	table_put(t, buf_str(&b));
	buf_done(&b);
}

/* The task waits for the host, or the container for another one. */
static const json_t *who_waits(const json_t *task, const json_t *c)
{
	return json_object_get(task, "waitingFor") ? task
	       : json_object_get(c, "waitingFor")  ? c
						   : NULL;
}

static void put_container(struct table *t, const json_t *task, const json_t *c, long long now_ms)
{
	const json_t *waiting = who_waits(task, c);
	char age[32];

	table_putf(t, "%.*s", SHORT_ID, json_get_string(task, "id", ""));
	table_putf(t, "%s:%s", json_get_string(task, "family", ""),
		   json_get_string(task, "revision", ""));
	table_put(t, json_get_string(c, "name", ""));
	table_put(t, json_get_string(c, "image", ""));
	put_status(t, c, now_ms);
	put_ports(t, c);
	if (waiting)
		table_putf(t, "%s, for %s", json_get_string(waiting, "waitingFor", ""),
			   format_age(age, age_of(waiting, "waitingSince", now_ms)));
	else
		table_put(t, "");
}

static bool any_waits(const json_t *tasks)
{
	const json_t *task, *c;
	size_t i, j;

	json_array_foreach(tasks, i, task) {
		json_array_foreach(json_object_get(task, "containers"), j, c)
			if (who_waits(task, c))
				return true;
	}
	return false;
}

void print_ps(const json_t *answer, bool all, long long now_ms, FILE *f)
{
	const json_t *tasks = json_object_get(answer, "tasks"), *task, *c;
	const char *headings[] = { "TASK",
				   "DEFINITION",
				   "CONTAINER",
				   "IMAGE",
				   "STATUS",
				   "PORTS",
				   any_waits(tasks) ? "WAITING FOR" : "",
				   NULL };
	struct table t;
	size_t i, j;

	table_init(&t, headings);
	json_array_foreach(tasks, i, task) {
		if (!all && strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0)
			continue;
		json_array_foreach(json_object_get(task, "containers"), j, c)
			put_container(&t, task, c, now_ms);
	}
	table_print(&t, f);
	table_done(&t);
}

int cmd_ps(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	bool all = false;
	int r;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "-a", NULL) || take_option(i, &n, "--all", NULL))
			all = true;
		else
			return usage_error(i, i->argv[n]);
	}
	r = client_call(i->socket, "GET", "/v1/ps", &answer, &err);
	if (r)
		return report_error(r, &err);
	if (i->json)
		print_json(answer);
	else
		print_ps(answer, all, clock_real_ms(), stdout);
	return CTL_OK;
}
