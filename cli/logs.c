/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent says where the log is; who may ask may read the file as well, so following one costs
 * the agent nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/log-reader.h"
#include "cli/when.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"

enum { POLL_MS = 200, ASK_EVERY = 5 };

/* While the agent is away, containers go on: so it counts as running until somebody says other. */
static bool task_runs(const struct invocation *i, const char *task, const char *container)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_(buf_done) struct buf path = {};
	const json_t *c;
	size_t n;
	int k;

	buf_puts(&path, "/v1/tasks/");
	client_put_component(&path, task);
	k = client_call(i->socket, "GET", buf_str(&path), &o, NULL);
	if (k != 0)
		return k != CLIENT_E_REFUSED;
	json_array_foreach(json_object_get(o, "containers"), n, c)
		if (strcmp(json_get_string(c, "name", ""), container) == 0)
			return strcmp(json_get_string(c, "lastStatus", ""), "STOPPED") != 0;
	return false;
}

static void nap(void)
{
	struct timespec t = { .tv_nsec = POLL_MS * 1000000L };

	(void) nanosleep(&t, NULL);
}

/* Until the container has ended and all it said is printed. */
static int follow(const struct invocation *i, struct log_reader *r, const char *task,
		  const char *container)
{
	bool runs = true;
	int k = 0;

	for (unsigned round = 1; k >= 0; round++) {
		k = log_reader_more(r);
		(void) fflush(stdout);
		if (k == 0 && (!runs || (r->wish.until_ms && clock_real_ms() > r->wish.until_ms)))
			return 0;
		if (round % ASK_EVERY == 0)
			runs = task_runs(i, task, container);
		nap();
	}
	return k;
}

int pick_container(const json_t *task, const char *name, const json_t **ret)
{
	const json_t *all = json_object_get(task, "containers"), *c;
	size_t i;

	if (!name && json_array_size(all) == 1) {
		*ret = json_array_get(all, 0);
		return 0;
	}
	json_array_foreach(all, i, c) {
		if (name && strcmp(json_get_string(c, "name", ""), name) == 0) {
			*ret = c;
			return 0;
		}
	}
	fprintf(stderr, "ecsctl: %s; containers of %s:", name ? "no such container" : "which one?",
		json_get_string(task, "id", ""));
	json_array_foreach(all, i, c)
		fprintf(stderr, " %s", json_get_string(c, "name", ""));
	fputc('\n', stderr);
	return -ENOENT;
}

struct log_words {
	const char *target;
	struct log_wish wish;
	bool follow;
	long tail; /* -1: all */
};

static int show(const struct invocation *i, const json_t *task, const char *name,
		const struct log_words *w)
{
	struct log_reader r = { .wish = w->wish, .fd = -EBADF };
	const json_t *c;
	int k;

	if (pick_container(task, name, &c) < 0)
		return CTL_FAILED;
	r.path = json_get_string(c, "logPath", NULL);
	if (!r.path) {
		fprintf(stderr, "ecsctl: container %s keeps no log on this host (log driver %s)\n",
			json_get_string(c, "name", ""), json_get_string(c, "logDriver", "none"));
		return CTL_FAILED;
	}
	k = log_reader_past(&r, w->tail);
	if (k >= 0 && w->follow)
		k = follow(i, &r, json_get_string(task, "arn", ""), json_get_string(c, "name", ""));
	log_reader_done(&r);
	return k < 0 || fflush(stdout) != 0 ? CTL_FAILED : CTL_OK;
}

/* Returns 1 when the word at *n is one that has no value, 0 when it is none. */
static int take_flag(const struct invocation *i, int *n, struct log_words *w)
{
	bool follow = take_option(i, n, "-f", NULL) || take_option(i, n, "--follow", NULL);
	bool times = take_option(i, n, "-t", NULL) || take_option(i, n, "--timestamps", NULL);

	w->follow |= follow;
	w->wish.timestamps |= times;
	return follow || times;
}

static int parse_words(const struct invocation *i, struct log_words *w)
{
	int64_t now = clock_real_ms();
	const char *value = NULL;
	char *end;

	for (int n = 0; n < i->argc; n++) {
		if (take_flag(i, &n, w))
			continue;
		if (take_option(i, &n, "--tail", &value) || take_option(i, &n, "-n", &value)) {
			w->tail = value ? strtol(value, &end, 10) : -1;
			if (value && strcmp(value, "all") == 0)
				w->tail = -1;
			else if (!value || *end || end == value || w->tail < 0)
				return usage_error(i, "--tail wants a number of lines");
		} else if (take_option(i, &n, "--since", &value)) {
			if (when_parse(value, now, &w->wish.since_ms) < 0)
				return usage_error(i, "--since wants a time or a duration: 10m");
		} else if (take_option(i, &n, "--until", &value)) {
			if (when_parse(value, now, &w->wish.until_ms) < 0)
				return usage_error(i, "--until wants a time or a duration: 10m");
		} else if (!w->target && *i->argv[n] != '-')
			w->target = i->argv[n];
		else
			return usage_error(i, i->argv[n]);
	}
	return CTL_OK;
}

int cmd_logs(const struct invocation *i)
{
	_cleanup_(freep) char *task = NULL, *container = NULL;
	_cleanup_(json_decrefp) json_t *o = NULL;
	struct log_words w = { .tail = -1 };
	int code = parse_words(i, &w);

	if (code == CTL_OK && (!w.target || split_target(w.target, &task, &container) < 0))
		code = usage_error(i, "which container? TASK/CONTAINER is missing");
	if (code == CTL_OK)
		code = fetch_task(i, task, &o);
	return code == CTL_OK ? show(i, o, container, &w) : code;
}
