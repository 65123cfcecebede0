/* SPDX-License-Identifier: Apache-2.0 */
/* inspect, stop, events, version: a question and its answer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/when.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/strv.h"

int split_target(const char *text, char **ret_task, char **ret_container)
{
	const char *tail = strncmp(text, "arn:", 4) == 0 ? strstr(text, ":task/") : NULL, *slash;

	/* The id is the last part of …:task/CLUSTER/ID, and the first word of ID/CONTAINER. */
	slash = tail ? strchr(tail + 6, '/') : NULL;
	slash = strchr(slash ? slash + 1 : tail ? tail + 6 : text, '/');
	if (!*text || slash == text || (slash && (!slash[1] || strchr(slash + 1, '/'))))
		return -EINVAL;
	*ret_task = slash ? strndup(text, (size_t) (slash - text)) : strdup(text);
	*ret_container = slash ? strdup(slash + 1) : NULL;
	return *ret_task ? 0 : -ENOMEM;
}

static int call_task(const struct invocation *i, const char *method, const char *task,
		     const char *suffix, json_t **ret)
{
	_cleanup_(buf_done) struct buf path = {};
	_cleanup_(err_done) struct err err = {};
	int r;

	buf_puts(&path, "/v1/tasks/");
	client_put_component(&path, task);
	buf_puts(&path, suffix);
	r = client_call(i->socket, method, buf_str(&path), ret, &err);
	return r ? report_error(r, &err) : CTL_OK;
}

int fetch_task(const struct invocation *i, const char *task, json_t **ret)
{
	return call_task(i, "GET", task, "", ret);
}

/* One task is an object; several are a list. */
int cmd_inspect(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *all = json_array();

	for (int n = 0; n < i->argc; n++) {
		json_t *o = NULL;
		int r;

		if (*i->argv[n] == '-')
			return usage_error(i, i->argv[n]);
		r = fetch_task(i, i->argv[n], &o);
		if (r != CTL_OK)
			return r;
		json_array_append_new(all, o);
	}
	if (i->argc == 0)
		return usage_error(i, "which task?");
	print_json(i->argc == 1 ? json_array_get(all, 0) : all);
	return CTL_OK;
}

static int wait_stopped(const struct invocation *i, const char *task)
{
	for (;;) {
		_cleanup_(json_decrefp) json_t *o = NULL;
		struct timespec t = { .tv_nsec = 100000000 };
		int r = fetch_task(i, task, &o);

		if (r != CTL_OK)
			return r;
		if (strcmp(json_get_string(o, "lastStatus", ""), "STOPPED") == 0)
			return CTL_OK;
		(void) nanosleep(&t, NULL);
	}
}

int cmd_stop(const struct invocation *i)
{
	_cleanup_(strv_freep) char **arns = NULL;
	bool wait = false;
	int r = CTL_OK;

	for (int n = 0; n < i->argc; n++) {
		_cleanup_(json_decrefp) json_t *o = NULL;

		if (take_option(i, &n, "--wait", NULL)) {
			wait = true;
			continue;
		}
		if (*i->argv[n] == '-')
			return usage_error(i, i->argv[n]);
		r = call_task(i, "POST", i->argv[n], "/stop", &o);
		if (r != CTL_OK)
			return r;
		if (strv_append(&arns, json_get_string(o, "arn", "")) < 0)
			return CTL_FAILED;
	}
	if (!arns)
		return usage_error(i, "which task?");
	for (char **a = arns; *a; a++) {
		if (wait)
			r = wait_stopped(i, *a);
		if (r != CTL_OK)
			return r;
		puts(*a);
	}
	return CTL_OK;
}

int cmd_rm(const struct invocation *i)
{
	if (i->argc == 0)
		return usage_error(i, "which task?");
	for (int n = 0; n < i->argc; n++) {
		_cleanup_(json_decrefp) json_t *o = NULL;
		int code = *i->argv[n] == '-' ? usage_error(i, i->argv[n])
					      : call_task(i, "POST", i->argv[n], "/remove", &o);

		if (code != CTL_OK)
			return code;
		puts(json_get_string(o, "arn", ""));
	}
	return CTL_OK;
}

int cmd_events(const struct invocation *i)
{
	_cleanup_(err_done) struct err err = {};
	const char *value = NULL;
	int64_t since_ms = 0;
	bool follow = false;
	char path[128];
	int r;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "-f", NULL) || take_option(i, &n, "--follow", NULL))
			follow = true;
		else if (!take_option(i, &n, "--since", &value))
			return usage_error(i, i->argv[n]);
		else if (when_parse(value, clock_real_ms(), &since_ms) < 0)
			return usage_error(i, "--since wants a time or a duration: 10m");
	}
	(void) snprintf(path, sizeof(path), "/v1/events?follow=%d&since=%" PRId64, follow,
			since_ms);
	r = client_stream(i->socket, path, stdout, &err);
	return r ? report_error(r, &err) : CTL_OK;
}

int cmd_version(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *agent = NULL, *all = NULL;
	_cleanup_(err_done) struct err err = {};
	int r;

	if (i->argc)
		return usage_error(i, i->argv[0]);
	r = client_call(i->socket, "GET", "/v1/version", &agent, &err);
	if (i->json) {
		all = json_pack("{s:{s:s,s:s},s:O?}", "client", "version", PACKAGE_VERSION,
				"gitHash", GIT_HASH, "agent", agent);
		print_json(all);
		return r ? report_error(r, &err) : CTL_OK;
	}
	printf("ecsctl     %s (%s)\n", PACKAGE_VERSION, GIT_HASH);
	(void) fflush(stdout);
	if (r)
		return report_error(r, &err);
	printf("ecs-agent  %s (%s)\n", json_get_string(agent, "version", "?"),
	       json_get_string(agent, "gitHash", "?"));
	printf("cluster    %s\n", json_get_string(agent, "cluster", "?"));
	printf("instance   %s\n", json_get_string(agent, "containerInstanceArn", "not registered"));
	printf("runc       %s\n", json_get_string(agent, "runc", "unknown"));
	return CTL_OK;
}
