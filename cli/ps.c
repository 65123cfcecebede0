/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
	bool six = json_object_get(c, "address6") != NULL;
	struct buf b = {};
	size_t i;

	json_array_foreach(ports, i, p) {
		long long host = json_get_int(p, "hostPort", 0);

		buf_puts(&b, i ? ", " : "");
		if (host && six)
			buf_printf(&b, "[::]:%lld->%lld/%s, ", host,
				   (long long) json_get_int(p, "containerPort", 0),
				   json_get_string(p, "protocol", "tcp"));
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

static void put_container(struct table *t, const json_t *task, const json_t *c,
			  const struct ps_wish *w, long long now_ms)
{
	const json_t *waiting = who_waits(task, c);
	char age[32];

	table_putf(t, "%.*s", w->whole_ids ? INT_MAX : SHORT_ID, json_get_string(task, "id", ""));
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

/* ---- which of them ---- */

static bool is_text(const json_t *o, const char *key, const char *value)
{
	return strcmp(json_get_string(o, key, ""), value) == 0;
}

static bool family_is(const json_t *task, const json_t *c, const char *value)
{
	size_t n = strlen(json_get_string(task, "family", ""));

	(void) c;
	return strncmp(json_get_string(task, "family", ""), value, n) == 0 &&
	       (!value[n] || (value[n] == ':' && is_text(task, "revision", value + n + 1)));
}

static bool name_is(const json_t *task, const json_t *c, const char *value)
{
	(void) task;
	return is_text(c, "name", value);
}

static bool status_is(const json_t *task, const json_t *c, const char *value)
{
	(void) task;
	return strcasecmp(json_get_string(c, "lastStatus", ""), value) == 0;
}

static bool health_is(const json_t *task, const json_t *c, const char *value)
{
	(void) task;
	return strcasecmp(json_get_string(json_object_get(c, "health"), "status", "none"), value) ==
	       0;
}

static bool image_is(const json_t *task, const json_t *c, const char *value)
{
	const char *image = json_get_string(c, "image", "");
	size_t n = strlen(image), m = strlen(value);

	(void) task; /* the whole, or its last components */
	return m <= n && strcmp(image + n - m, value) == 0 && (m == n || image[n - m - 1] == '/');
}

static bool local_is(const json_t *task, const json_t *c, const char *value)
{
	(void) c;
	return json_is_true(json_object_get(task, "local")) == (strcmp(value, "true") == 0);
}

static const struct {
	const char *key;
	bool (*fits)(const json_t *task, const json_t *c, const char *value);
} filters[] = { { "family", family_is }, { "name", name_is },   { "status", status_is },
		{ "health", health_is }, { "image", image_is }, { "local", local_is } };

/* -1: there is no such filter. */
static int find_filter(const char *text)
{
	for (size_t i = 0; text && i < ARRAY_SIZE(filters); i++) {
		size_t n = strlen(filters[i].key);

		if (strncmp(text, filters[i].key, n) == 0 && text[n] == '=')
			return (int) i;
	}
	return -1;
}

static bool is_wanted(const struct ps_wish *w, const json_t *task, const json_t *c)
{
	for (size_t i = 0; i < w->n_filters; i++)
		if (!filters[find_filter(w->filters[i])].fits(task, c,
							      strchr(w->filters[i], '=') + 1))
			return false;
	return true;
}

/* A status that is asked for is shown without -a, too. */
static bool shows_stopped(const struct ps_wish *w)
{
	for (size_t i = 0; i < w->n_filters; i++)
		if (strncmp(w->filters[i], "status=", 7) == 0)
			return true;
	return w->all;
}

/* Takes out what is not wanted, and tasks that are left without containers. */
static void narrow(json_t *answer, const struct ps_wish *w)
{
	json_t *tasks = json_object_get(answer, "tasks");

	for (size_t i = json_array_size(tasks); i-- > 0;) {
		json_t *task = json_array_get(tasks, i);
		json_t *list = json_object_get(task, "containers");

		for (size_t j = json_array_size(list); j-- > 0;)
			if (!is_wanted(w, task, json_array_get(list, j)))
				(void) json_array_remove(list, j);
		if ((w->n_filters > 0 && json_array_size(list) == 0) ||
		    (!shows_stopped(w) && is_text(task, "lastStatus", "STOPPED")))
			(void) json_array_remove(tasks, i);
	}
}

/* ---- the whole ---- */

void print_ps(const json_t *answer, const struct ps_wish *w, long long now_ms, FILE *f)
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
		if (!shows_stopped(w) && is_text(task, "lastStatus", "STOPPED"))
			continue;
		json_array_foreach(json_object_get(task, "containers"), j, c)
			put_container(&t, task, c, w, now_ms);
	}
	table_print(&t, f);
	table_done(&t);
}

static void print_ids(const json_t *answer)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(answer, "tasks"), i, task)
		puts(json_get_string(task, "id", ""));
}

static int parse_words(const struct invocation *i, struct ps_wish *w, bool *quiet)
{
	const char *value = NULL;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "-a", NULL) || take_option(i, &n, "--all", NULL))
			w->all = true;
		else if (take_option(i, &n, "-q", NULL) || take_option(i, &n, "--quiet", NULL))
			*quiet = true;
		else if (take_option(i, &n, "--no-trunc", NULL))
			w->whole_ids = true;
		else if (take_option(i, &n, "--filter", &value) ||
			 take_option(i, &n, "-f", &value)) {
			if (find_filter(value) < 0 || w->n_filters == ARRAY_SIZE(w->filters))
				return usage_error(i, "filters are family=, name=, status=, "
						      "health=, image= and local=");
			w->filters[w->n_filters++] = value;
		} else
			return usage_error(i, i->argv[n]);
	}
	return CTL_OK;
}

int cmd_ps(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	struct ps_wish w = {};
	bool quiet = false;
	int r = parse_words(i, &w, &quiet);

	if (r != CTL_OK)
		return r;
	r = client_call(i->socket, "GET", "/v1/ps", &answer, &err);
	if (r)
		return report_error(r, &err);
	if (!i->json || w.n_filters > 0)
		narrow(answer, &w);
	if (quiet)
		print_ids(answer);
	else if (i->json)
		print_json(answer);
	else
		print_ps(answer, &w, clock_real_ms(), stdout);
	return CTL_OK;
}
