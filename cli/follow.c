/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follow.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/log-reader.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"

enum { CONTAINERS_MAX = 100, POLL_MS = 100 };

struct followed {
	const struct invocation *i;
	const char *arn;
	struct log_reader logs[CONTAINERS_MAX];                 /* in the task's order */
	char *paths[CONTAINERS_MAX], *prefixes[CONTAINERS_MAX]; /* owned */
	char *waits;                                            /* owned: said so */
	bool stopping, away;
};

static volatile sig_atomic_t interrupts;

static void on_signal(int sig)
{
	(void) sig;
	interrupts++;
}

static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal };

	(void) sigaction(SIGINT, &a, NULL);
	(void) sigaction(SIGTERM, &a, NULL);
}

static int call(const struct followed *f, const char *method, const char *suffix, json_t **ret,
		struct err *err)
{
	_cleanup_(buf_done) struct buf path = {};

	buf_puts(&path, "/v1/tasks/");
	client_put_component(&path, f->arn);
	buf_puts(&path, suffix);
	return client_call(f->i->socket, method, buf_str(&path), ret, err);
}

/* ---- what it writes ---- */

static int open_log(struct followed *f, const json_t *c, size_t n, bool several)
{
	const char *path = json_get_string(c, "logPath", NULL);

	if (f->paths[n] || !path)
		return 0;
	f->paths[n] = strdup(path);
	if (several)
		f->prefixes[n] = path_join("%s | ", json_get_string(c, "name", ""));
	f->logs[n] = (struct log_reader){ .path = f->paths[n],
					  .wish = { .prefix = f->prefixes[n] },
					  .fd = -EBADF };
	return f->paths[n] && (!several || f->prefixes[n]) ? 0 : -ENOMEM;
}

/* Returns 1 when there was something, 0 when not, or a negative errno. */
static int print_logs(struct followed *f, const json_t *task)
{
	const json_t *all = json_object_get(task, "containers"), *c;
	bool any = false;
	size_t n;

	json_array_foreach(all, n, c) {
		int k = n < CONTAINERS_MAX ? open_log(f, c, n, json_array_size(all) > 1) : -E2BIG;

		if (k == 0 && f->paths[n])
			k = log_reader_more(&f->logs[n]);
		if (k < 0 && k != -E2BIG)
			return k;
		any |= k > 0;
	}
	return fflush(stdout) != 0 ? -EIO : any;
}

/* A task that lacks something of the host looks like one that hangs. */
static void tell_waiting(struct followed *f, const json_t *task)
{
	const char *what = json_get_string(task, "waitingFor", NULL);

	if (!what || (f->waits && strcmp(f->waits, what) == 0))
		return;
	free(f->waits);
	f->waits = strdup(what);
	fprintf(stderr, "ecsctl: the task waits for %s\n", what);
}

/* ---- its end ---- */

/* The end of the first essential one ended the task. */
static const json_t *first_to_end(const json_t *task)
{
	const json_t *first = NULL, *c;
	size_t n;

	json_array_foreach(json_object_get(task, "containers"), n, c) {
		if (!json_is_true(json_object_get(c, "essential")) ||
		    !json_object_get(c, "exitCode"))
			continue;
		if (!first || strcmp(json_get_string(c, "finishedAt", "~"),
				     json_get_string(first, "finishedAt", "~")) < 0)
			first = c;
	}
	return first;
}

static void tell_errors(const json_t *task)
{
	const char *reason = json_get_string(task, "reason", NULL);
	const json_t *c;
	size_t n;

	if (reason)
		fprintf(stderr, "ecsctl: %s\n", reason);
	json_array_foreach(json_object_get(task, "containers"), n, c)
		if (json_object_get(c, "error"))
			fprintf(stderr, "ecsctl: container %s: %s: %s\n",
				json_get_string(c, "name", ""), json_get_string(c, "error", ""),
				json_get_string(c, "errorMessage", ""));
}

static int exit_code(const struct followed *f, const json_t *task)
{
	const json_t *c = first_to_end(task);

	if (!f->stopping)
		tell_errors(task);
	/* The engine gives one to a container that never ran, too. */
	return c && json_object_get(c, "startedAt") ? (int) json_get_int(c, "exitCode", 0) & 0xff
						    : FOLLOW_NOT_STARTED;
}

/* ---- the loop ---- */

static void stop_once(struct followed *f)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_(err_done) struct err err = {};

	if (f->stopping)
		return;
	f->stopping = true;
	if (call(f, "POST", "/stop", &o, &err) != 0)
		fprintf(stderr, "ecsctl: cannot stop the task: %s\n", err_text(&err));
	else
		fputs("ecsctl: stopping the task; once more to leave it alone\n", stderr);
}

/* Returns an exit code, or -1 to go on. */
static int look(struct followed *f)
{
	_cleanup_(json_decrefp) json_t *task = NULL;
	_cleanup_(err_done) struct err err = {};
	bool stopped;
	int k = call(f, "GET", "", &task, &err);

	if (k == CLIENT_E_REFUSED)
		return report_error(k, &err);
	if (k < 0) { /* containers go on while the agent is away */
		if (!f->away)
			fprintf(stderr, "ecsctl: %s; waiting for it\n", err_text(&err));
		f->away = true;
		return -1;
	}
	f->away = false;
	stopped = strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0;
	tell_waiting(f, task);
	while ((k = print_logs(f, task)) > 0)
		;
	if (k < 0) /* nobody reads us: it is not for us to end it */
		return CTL_FAILED;
	return stopped ? exit_code(f, task) : -1;
}

static void done(struct followed *f)
{
	for (size_t n = 0; n < CONTAINERS_MAX; n++) {
		if (f->paths[n])
			log_reader_done(&f->logs[n]);
		free(f->paths[n]);
		free(f->prefixes[n]);
	}
	free(f->waits);
}

int follow_task(const struct invocation *i, const char *arn, bool remove)
{
	struct followed f = { .i = i, .arn = arn };
	struct timespec t = { .tv_nsec = POLL_MS * 1000000L };
	int code;

	catch_signals();
	while ((code = look(&f)) < 0) {
		if (interrupts > 1) {
			code = FOLLOW_LEFT;
			break;
		}
		if (interrupts > 0)
			stop_once(&f);
		(void) nanosleep(&t, NULL);
	}
	if (remove && code != FOLLOW_LEFT) {
		_cleanup_(json_decrefp) json_t *o = NULL;

		(void) call(&f, "POST", "/remove", &o, NULL);
	}
	done(&f);
	return code;
}
