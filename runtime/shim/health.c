/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/health.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/shim/killtree.h"
#include "runtime/shim/launch.h"
#include "runtime/shim/record.h"

#define PROCESS_FILE "health.json"
#define PID_FILE "health.pid"
#define LOG_FILE "health.log"

enum { PATH_ROOM = 4096 };

static int64_t clock_ms(clockid_t clock)
{
	struct timespec ts = {};

	(void) clock_gettime(clock, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void close_output(struct health *h)
{
	if (h->out >= 0)
		(void) close(h->out);
	h->out = -1;
}

void health_start(struct health *h, const struct shim_args *a, int run_dir_fd)
{
	*h = (struct health){ .args = a, .run_dir_fd = run_dir_fd, .out = -1 };
	if (a->health_interval_ms == 0)
		return;
	h->on = true;
	h->started_at = clock_ms(CLOCK_MONOTONIC);
	h->next_at = h->started_at + a->health_interval_ms;
	h->verdict.since_ms = clock_ms(CLOCK_REALTIME);
}

/* Also of the runtime, half-way into the container, and of those whose parents are gone. */
static void kill_probe(struct health *h)
{
	killtree_descendants(h->runtime);
	killtree_descendants(h->probe);
	killtree_session(h->args->memory_cgroup_dir, h->probe);
}

void health_stop(struct health *h)
{
	if (!h->on)
		return;
	h->on = false;
	h->next_at = h->late_at = 0;
	kill_probe(h);
	close_output(h);
}

int64_t health_due(const struct health *h)
{
	return h->late_at ? h->late_at : h->next_at;
}

void health_read(struct health *h)
{
	char waste[512];

	for (;;) {
		size_t room = sizeof(h->now) - h->n_now;
		ssize_t n =
			read(h->out, room ? h->now + h->n_now : waste, room ? room : sizeof(waste));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close_output(h);
			return;
		}
		h->n_now += room ? (size_t) n : 0;
	}
}

/* The result of the probe under way: agents are always told, for the output's sake. */
static bool judge(struct health *h, int exit_code)
{
	const struct verdict_rules rules = { h->args->health_start_period_ms,
					     h->args->health_retries };

	h->exit_code = exit_code;
	memcpy(h->output, h->now, h->n_now);
	h->n_output = h->n_now;
	(void) verdict_take(&h->verdict, &rules, exit_code == 0, h->begun_at - h->started_at,
			    clock_ms(CLOCK_REALTIME));
	h->late_at = 0;
	h->next_at = clock_ms(CLOCK_MONOTONIC) + h->args->health_interval_ms;
	return true;
}

/* Before what the probe itself wrote. */
static void put_in_front(struct health *h, const char *text)
{
	size_t n = strnlen(text, sizeof(h->now)), keep = sizeof(h->now) - n;

	keep = keep < h->n_now ? keep : h->n_now;
	memmove(h->now + n, h->now, keep);
	memcpy(h->now, text, n);
	h->n_now = n + keep;
}

static bool fail(struct health *h, const char *why)
{
	put_in_front(h, why);
	close_output(h);
	h->judged = true;
	return judge(h, -1);
}

static bool fail_errno(struct health *h, int error)
{
	char text[128];

	(void) snprintf(text, sizeof(text), "start the health check: %s", strerror(error));
	return fail(h, text);
}

static pid_t start_runtime(struct health *h, int output)
{
	const struct shim_args *a = h->args;
	char process[PATH_ROOM], pid_file[PATH_ROOM], log[PATH_ROOM];
	const char *argv[] = { a->runc,        "--root",     a->runc_root, "--log",    log,
			       "--log-format", "json",       "exec",       "--detach", "--process",
			       process,        "--pid-file", pid_file,     a->id,      NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[3] = { null, output, output };
	pid_t pid = -ENAMETOOLONG;

	if (null < 0)
		return -errno;
	if (snprintf(process, PATH_ROOM, "%s/" PROCESS_FILE, a->run_dir) < PATH_ROOM &&
	    snprintf(pid_file, PATH_ROOM, "%s/" PID_FILE, a->run_dir) < PATH_ROOM &&
	    snprintf(log, PATH_ROOM, "%s/" LOG_FILE, a->run_dir) < PATH_ROOM)
		pid = launch_probe(a, (char *const *) argv, fds);
	(void) close(null);
	return pid;
}

static bool begin(struct health *h, int64_t now_ms)
{
	int p[2];

	h->n_now = 0;
	h->judged = false;
	h->begun_at = now_ms;
	h->next_at = 0;
	if (pipe2(p, O_CLOEXEC) < 0)
		return fail_errno(h, errno);
	h->out = p[0];
	(void) fcntl(h->out, F_SETFL, O_NONBLOCK);
	(void) unlinkat(h->run_dir_fd, PID_FILE, 0);
	h->runtime = start_runtime(h, p[1]);
	(void) close(p[1]);
	if (h->runtime < 0) {
		int error = -h->runtime;

		h->runtime = 0;
		return fail_errno(h, error);
	}
	h->late_at = now_ms + h->args->health_timeout_ms;
	return false;
}

static bool on_late(struct health *h)
{
	char text[96];

	(void) snprintf(text, sizeof(text), "Health check exceeded timeout (%" PRId64 "%s)%s",
			h->args->health_timeout_ms % 1000 ? h->args->health_timeout_ms
							  : h->args->health_timeout_ms / 1000,
			h->args->health_timeout_ms % 1000 ? "ms" : "s", h->n_now ? ": " : "");
	kill_probe(h);
	if (h->out >= 0)
		health_read(h);
	return fail(h, text);
}

bool health_tick(struct health *h, int64_t now_ms)
{
	if (h->late_at && now_ms >= h->late_at)
		return on_late(h);
	if (!h->next_at || now_ms < h->next_at)
		return false;
	if (h->runtime == 0 && h->probe == 0)
		return begin(h, now_ms);
	h->n_now = 0; /* one that KILL has not ended: no second beside it */
	h->begun_at = now_ms;
	return fail(h, "the health check before is still there after KILL");
}

/* Why the runtime could not begin the probe. */
static bool on_failed_start(struct health *h, const siginfo_t *si)
{
	char log[4096], why[512];
	ssize_t n = record_read(h->run_dir_fd, LOG_FILE, log, sizeof(log));

	if (n > 0 && record_parse_runc_error(log, (size_t) n, why, sizeof(why))) {
		h->n_now = 0; /* the same once more */
		return fail(h, why);
	}
	(void) snprintf(why, sizeof(why), "the runtime ended with %s %d%s",
			si->si_code == CLD_EXITED ? "status" : "signal", si->si_status,
			h->n_now ? ": " : "");
	return fail(h, why);
}

/* The process in the file, if it is ours now: a runtime that failed may have reaped it, and its
 * number be another's. */
static pid_t adopted_probe(const struct health *h)
{
	char text[32] = "";
	pid_t pid;

	(void) record_read(h->run_dir_fd, PID_FILE, text, sizeof(text));
	pid = record_parse_pid(text);
	return pid && record_is_our_child(pid) ? pid : 0;
}

static bool on_runtime(struct health *h, const siginfo_t *si)
{
	bool news = false;

	h->runtime = 0;
	h->probe = adopted_probe(h);
	if (!h->on || h->judged) {
		kill_probe(h); /* it got that far before the runtime was killed */
	} else if (si->si_code != CLD_EXITED || si->si_status != 0) {
		if (h->out >= 0)
			health_read(h);
		kill_probe(h);
		h->probe = 0;
		news = on_failed_start(h, si);
	} else if (!h->probe) {
		news = fail(h, "the runtime left no process id");
	}
	(void) unlinkat(h->run_dir_fd, LOG_FILE, 0);
	return news;
}

bool health_reaped(struct health *h, const siginfo_t *si)
{
	if (si->si_pid == 0)
		return false;
	if (si->si_pid == h->runtime)
		return on_runtime(h, si);
	if (si->si_pid != h->probe)
		return false;
	h->probe = 0;
	if (!h->on || h->judged)
		return false;
	if (h->out >= 0)
		health_read(h);
	close_output(h); /* what it left in the background may hold the other end */
	return judge(h, si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status);
}

void health_describe(const struct health *h, struct shim_wire_health *ret)
{
	*ret = (struct shim_wire_health){
		.magic = SHIM_WIRE_MAGIC,
		.type = SHIM_WIRE_HEALTH,
		.status = h->verdict.status,
		.exit_code = h->exit_code,
		.since_ms = h->verdict.since_ms,
		.output_len = (uint32_t) h->n_output,
	};
	memcpy(ret->output, h->output, h->n_output);
}
