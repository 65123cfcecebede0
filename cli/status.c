/* SPDX-License-Identifier: Apache-2.0 */
/* status, drain: the agent as a whole. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/json.h"

enum { LOOK_EVERY_MS = 200, DRAIN_TIMEOUT_S = 300 };

static long long mono_ms(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void) nanosleep(&t, NULL);
}

/* 0..a day; -1 where it is something else. */
static long seconds_of(const char *text)
{
	char *end;
	long n;

	if (!text || *text < '0' || *text > '9')
		return -1;
	n = strtol(text, &end, 10);
	return *end || n > 24 * 3600 ? -1 : n;
}

/* Prints the error unless @quiet. */
static int fetch(const struct invocation *i, bool quiet, json_t **ret)
{
	_cleanup_(err_done) struct err err = {};
	int k = client_call(i->socket, "GET", "/v1/status", ret, &err);

	if (k != 0)
		return quiet ? CTL_UNREACHABLE : report_error(k, &err);
	return CTL_OK;
}

static bool is_connected(const json_t *o)
{
	return json_is_true(json_object_get(o, "acsConnected"));
}

static void print_status(const json_t *o)
{
	long long undelivered = json_get_int(o, "undelivered", 0);
	long long stopping = json_get_int(o, "tasksStopping", 0);

	printf("%s\n", json_get_string(o, "status", ""));
	printf("cluster      %s\n", json_get_string(o, "cluster", "?"));
	printf("instance     %s\n", json_get_string(o, "containerInstanceArn", "not registered"));
	printf("connected    %s\n", is_connected(o) ? "yes" : "no");
	printf("tasks        %lld", (long long) json_get_int(o, "tasks", 0));
	if (stopping)
		printf(", and %lld stopping", stopping);
	putchar('\n');
	if (undelivered)
		printf("undelivered  reports of %lld tasks\n", undelivered);
}

int cmd_status(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	const char *value = "0";
	long long until;
	int code;

	for (int n = 0; n < i->argc; n++)
		if (!take_option(i, &n, "--wait", &value) || seconds_of(value) < 0)
			return usage_error(i, i->argc > n ? i->argv[n] : "--wait");
	until = mono_ms() + seconds_of(value) * 1000;
	while ((code = fetch(i, mono_ms() < until, &o)) != CTL_OK || !is_connected(o)) {
		if (mono_ms() >= until)
			break;
		json_decref(o);
		o = NULL;
		pause_ms(LOOK_EVERY_MS);
	}
	if (code != CTL_OK)
		return code;
	if (i->json)
		print_json(o);
	else
		print_status(o);
	return is_connected(o) ? CTL_OK : CTL_FAILED;
}

/* ---- drain ---- */

/* Until all have stopped and the service was told so. */
static int wait_empty(const struct invocation *i, long seconds)
{
	long long until = mono_ms() + (long long) seconds * 1000;

	for (;;) {
		_cleanup_(json_decrefp) json_t *o = NULL;
		long long left, undelivered;
		int code = fetch(i, false, &o);

		if (code != CTL_OK)
			return code;
		left = json_get_int(o, "tasks", 0) + json_get_int(o, "tasksStopping", 0);
		undelivered = json_get_int(o, "undelivered", 0);
		if (left == 0 && undelivered == 0)
			return CTL_OK;
		if (mono_ms() >= until) {
			fprintf(stderr,
				"ecsctl: after %ld s %lld tasks have not stopped, and reports of "
				"%lld are not delivered\n",
				seconds, left, undelivered);
			return CTL_FAILED;
		}
		pause_ms(LOOK_EVERY_MS);
	}
}

int cmd_drain(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_(err_done) struct err err = {};
	bool undo = false, stop = false;
	const char *value = NULL;
	long seconds = DRAIN_TIMEOUT_S;
	int k;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "--undo", NULL))
			undo = true;
		else if (take_option(i, &n, "--stop-tasks", NULL))
			stop = true;
		else if (take_option(i, &n, "--timeout", &value) && seconds_of(value) >= 0)
			seconds = seconds_of(value);
		else
			return usage_error(i, i->argc > n ? i->argv[n] : "--timeout");
	}
	if ((undo && stop) || (value && !stop))
		return usage_error(i, "these do not go together");
	k = client_call(i->socket, "POST",
			undo   ? "/v1/drain/undo"
			: stop ? "/v1/drain/stop"
			       : "/v1/drain",
			&o, &err);
	if (k != 0)
		return report_error(k, &err);
	return stop ? wait_empty(i, seconds) : CTL_OK;
}
