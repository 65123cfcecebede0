/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-shim - the parent of one container. See shim.h for what it is to the agent.
 *
 * It waits in one poll(). Nothing is allocated and stdio is used for formatting into buffers only,
 * so its private memory stays near 100 KiB. While runc runs nothing is read from the container's
 * pipes, because they are runc's own stdout and stderr too: what stands in them after a failed
 * start is no log.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/macro.h"
#include "runtime/shim/args.h"
#include "runtime/shim/health.h"
#include "runtime/shim/launch.h"
#include "runtime/shim/logfile.h"
#include "runtime/shim/record.h"
#include "runtime/shim/serve.h"
#include "runtime/shim/teardown.h"
#include "runtime/shim/wire.h"

enum {
	DRAIN_MS = 1000, /* how long a stranger who holds the pipe may delay the news of an exit */
	EXEC_WAIT_MS = 2000, /* how long a signal may wait for the container's own program */
	OOM_SCORE_ADJ = -999,
};

enum phase { STARTING, RUNNING, EXITED, DONE };

static struct shim {
	struct shim_args args;
	enum phase phase;
	int run_dir_fd, signal_fd, init_fd;
	struct serve serve;
	struct launch launch;
	struct logfile log;
	struct jsonlog_stream out, err;
	struct health health;
	pid_t init;
	int exit_code;
	int64_t oom_before, started_ms, finished_ms;
	int64_t start_by, kill_by, drain_by, signal_by; /* monotonic ms; 0: not set */
	int pending_signal;
	bool pending_kill, timed_out, oom;
	char boot_id[RECORD_BOOT_ID_MAX];
} shim;

static int64_t now_ms(clockid_t clock)
{
	struct timespec ts = {};

	(void) clock_gettime(clock, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void tell(int slot, enum shim_wire_type type, const char *message)
{
	struct shim_wire_event e = {
		.magic = SHIM_WIRE_MAGIC,
		.type = type,
		.pid = type == SHIM_WIRE_HELLO ? getpid() : shim.init,
		.exit_code = shim.exit_code & 255,
		.oom = shim.oom,
		.started_ms = shim.started_ms,
		.finished_ms = shim.finished_ms,
	};

	if (message)
		e.message_len = (uint32_t) snprintf(e.message, sizeof(e.message), "%s", message);
	if (e.message_len >= sizeof(e.message))
		e.message_len = sizeof(e.message) - 1;
	serve_send(&shim.serve, slot, &e);
}

static void tell_health(int slot)
{
	struct shim_wire_health h;

	health_describe(&shim.health, &h);
	serve_send_health(&shim.serve, slot, &h);
}

static _Noreturn void fail(const char *message)
{
	(void) record_write(shim.run_dir_fd, "error", message, strlen(message));
	tell(-1, SHIM_WIRE_FAILED, message);
	(void) unlinkat(shim.run_dir_fd, "shim.sock", 0);
	_exit(1);
}

/*
 * When runc says that the container runs, the process is still runc's for a moment, and a signal
 * would end it in runc's way instead of the program's. For ecs-init the kernel drops what comes
 * before it has set its mask.
 */
static bool takes_signals(void)
{
	return record_has_execed(shim.init) &&
	       (!shim.args.init || record_awaits_signals(shim.init));
}

static void pass_signal_on(void)
{
	if (shim.pending_signal == 0 || shim.phase != RUNNING ||
	    (now_ms(CLOCK_MONOTONIC) < shim.signal_by && !takes_signals()))
		return;
	(void) pidfd_send_signal(shim.init_fd, shim.pending_signal, NULL, 0);
	shim.pending_signal = 0;
	shim.signal_by = 0;
}

static void send_signal(int sig)
{
	if (shim.phase == EXITED || shim.phase == DONE)
		return;
	shim.pending_signal = sig;
	if (shim.phase == RUNNING && shim.signal_by == 0)
		shim.signal_by = now_ms(CLOCK_MONOTONIC) + EXEC_WAIT_MS;
	pass_signal_on();
}

/* Init first: with it goes its pid namespace. The cgroup is for those who share the host's. */
static void kill_all(void)
{
	if (shim.phase == STARTING) {
		shim.pending_kill = true;
		return;
	}
	health_stop(&shim.health);
	if (shim.phase == RUNNING)
		(void) pidfd_send_signal(shim.init_fd, SIGKILL, NULL, 0);
	(void) teardown_kill(&shim.args);
}

static void obey(const struct shim_wire_command *c)
{
	switch (c->type) {
	case SHIM_WIRE_SIGNAL:
		send_signal(c->arg);
		break;
	case SHIM_WIRE_KILL_ALL:
		kill_all();
		break;
	case SHIM_WIRE_STOP:
		health_stop(&shim.health);
		send_signal(c->arg);
		if (shim.kill_by == 0)
			shim.kill_by = now_ms(CLOCK_MONOTONIC) + shim.args.stop_grace_ms;
		break;
	default:
		break;
	}
}

/* Returns whether there may be more. */
static bool read_stream(int *fd, struct jsonlog_stream *s)
{
	struct timespec now = {};
	size_t room;
	char *to = jsonlog_space(s, &room);
	ssize_t n = read(*fd, to, room);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	(void) clock_gettime(CLOCK_REALTIME, &now);
	jsonlog_feed(s, n > 0 ? (size_t) n : 0, n <= 0, &now, logfile_put, &shim.log);
	logfile_flush(&shim.log);
	if (n > 0)
		return true;
	(void) close(*fd); /* end of file; a pty says EIO */
	*fd = -1;
	return false;
}

static void flush_rest(struct jsonlog_stream *s)
{
	struct timespec now = {};

	(void) clock_gettime(CLOCK_REALTIME, &now);
	jsonlog_feed(s, 0, true, &now, logfile_put, &shim.log);
	logfile_flush(&shim.log);
}

static void on_failed_start(int status)
{
	char why[SHIM_WIRE_MESSAGE_MAX];

	if (shim.timed_out)
		(void) snprintf(why, sizeof(why),
				"the runtime did not start the container within %lld ms",
				(long long) shim.args.start_timeout_ms);
	else
		launch_explain(&shim.launch, shim.run_dir_fd, status, why, sizeof(why));
	launch_reap_leftovers();
	(void) teardown_kill(&shim.args);
	teardown_remove(&shim.args);
	fail(why);
}

static void on_started(void)
{
	char text[32] = "";

	(void) record_read(shim.run_dir_fd, "pid", text, sizeof(text));
	shim.init = record_parse_pid(text);
	/* The runtime's child is ours since the runtime ended. Any other is not to be killed by us. */
	if (shim.init && !record_is_our_child(shim.init))
		shim.init = 0;
	shim.init_fd = shim.init ? pidfd_open(shim.init, 0) : -1;
	if (shim.init_fd < 0) {
		launch_delete(&shim.args);
		launch_reap_leftovers();
		fail("the runtime left no process id");
	}
	if (shim.args.terminal && launch_take_console(&shim.launch) < 0) {
		(void) pidfd_send_signal(shim.init_fd, SIGKILL, NULL, 0);
		launch_reap_leftovers();
		teardown_remove(&shim.args);
		fail("the runtime handed over no terminal");
	}
	shim.started_ms = now_ms(CLOCK_REALTIME);
	shim.phase = RUNNING;
	(void) record_write_started(shim.run_dir_fd, shim.init, record_start_ticks(shim.init),
				    shim.boot_id, shim.started_ms);
	tell(-1, SHIM_WIRE_STARTED, NULL);
	if (shim.kill_by == 0)
		health_start(&shim.health, &shim.args, shim.run_dir_fd);
	(void) unlinkat(shim.run_dir_fd, "runc.log", 0);
	if (shim.pending_signal)
		send_signal(shim.pending_signal);
	if (shim.pending_kill)
		kill_all();
}

static void on_exited(const siginfo_t *si)
{
	shim.exit_code = si->si_code == CLD_EXITED ? si->si_status : 128 + si->si_status;
	shim.finished_ms = now_ms(CLOCK_REALTIME);
	shim.drain_by = now_ms(CLOCK_MONOTONIC) + DRAIN_MS;
	shim.kill_by = shim.signal_by = 0;
	shim.pending_signal = 0;
	shim.phase = EXITED;
	health_stop(&shim.health);
	(void) teardown_kill(&shim.args);
}

/* Before its probe, which becomes our child when the runtime ends, and is not known until then. */
static void reap_probes_runtime(void)
{
	siginfo_t si = {};

	if (shim.health.runtime &&
	    waitid(P_PID, (id_t) shim.health.runtime, &si, WEXITED | WNOHANG) == 0 &&
	    health_reaped(&shim.health, &si))
		tell_health(-1);
}

/*
 * While runc runs only runc is waited for: a container that ends at once becomes our zombie when
 * runc is gone, and must not be reaped before its process id is known.
 */
static void reap(void)
{
	siginfo_t si;
	int status;

	if (shim.phase == STARTING) {
		if (waitpid(shim.launch.pid, &status, WNOHANG) != shim.launch.pid)
			return;
		shim.start_by = 0;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			on_failed_start(status);
		on_started();
	}
	for (;;) {
		reap_probes_runtime();
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
			return;
		if (si.si_pid == shim.init && shim.phase == RUNNING)
			on_exited(&si);
		else if (health_reaped(&shim.health, &si))
			tell_health(-1);
	}
}

static void on_timers(void)
{
	int64_t now = now_ms(CLOCK_MONOTONIC);

	if (shim.start_by && now >= shim.start_by) {
		shim.start_by = 0;
		shim.timed_out = true;
		(void) kill(shim.launch.pid, SIGKILL);
	}
	pass_signal_on();
	if (health_tick(&shim.health, now))
		tell_health(-1);
	if (shim.kill_by && now >= shim.kill_by && shim.phase == RUNNING) {
		shim.kill_by = 0;
		kill_all();
	}
}

static int next_timeout(void)
{
	int64_t by[] = { shim.start_by, shim.kill_by, shim.drain_by, shim.signal_by,
			 health_due(&shim.health) },
		soonest = INT64_MAX, left;

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++)
		if (by[i] && by[i] < soonest)
			soonest = by[i];
	if (soonest == INT64_MAX)
		return -1;
	left = soonest - now_ms(CLOCK_MONOTONIC);
	if (shim.signal_by)
		return left > 0 ? 1 : 0; /* an exec makes no noise */
	return left < 0 ? 0 : left > 3600000 ? 3600000 : (int) left;
}

static void on_agents(const struct pollfd *p)
{
	struct shim_wire_command c;
	int slot;

	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (p[i].revents && shim.serve.conns[i] == p[i].fd &&
		    serve_receive(&shim.serve, i, &c))
			obey(&c);
	if (!p[SERVE_CONNECTIONS_MAX].revents)
		return;
	slot = serve_accept(&shim.serve);
	if (slot < 0)
		return;
	tell(slot, SHIM_WIRE_HELLO, NULL);
	if (shim.phase != STARTING)
		tell(slot, SHIM_WIRE_STARTED, NULL);
	if (shim.health.on)
		tell_health(slot);
}

static void step(void)
{
	bool read_output = shim.phase != STARTING;
	enum { SIGNALS = SERVE_CONNECTIONS_MAX + 1, OUT, ERR, PROBE, _POLL_MAX };
	struct pollfd p[_POLL_MAX];

	for (int i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		p[i] = (struct pollfd){ .fd = shim.serve.conns[i], .events = POLLIN };
	p[SERVE_CONNECTIONS_MAX] =
		(struct pollfd){ .fd = serve_pollable(&shim.serve), .events = POLLIN };
	p[SIGNALS] = (struct pollfd){ .fd = shim.signal_fd, .events = POLLIN };
	p[OUT] = (struct pollfd){ .fd = read_output ? shim.launch.out : -1, .events = POLLIN };
	p[ERR] = (struct pollfd){ .fd = read_output ? shim.launch.err : -1, .events = POLLIN };
	p[PROBE] = (struct pollfd){ .fd = shim.health.out, .events = POLLIN };
	if (poll(p, _POLL_MAX, next_timeout()) < 0 && errno != EINTR)
		(void) usleep(1000); /* out of memory: no reason to spin */
	if (p[SIGNALS].revents) {
		struct signalfd_siginfo si;

		while (read(shim.signal_fd, &si, sizeof(si)) > 0)
			; /* one or many: reap() looks for itself */
		reap();
	}
	if (p[OUT].revents && p[OUT].fd >= 0)
		(void) read_stream(&shim.launch.out, &shim.out);
	if (p[ERR].revents && p[ERR].fd >= 0)
		(void) read_stream(&shim.launch.err, &shim.err);
	if (p[PROBE].revents && shim.health.out == p[PROBE].fd && p[PROBE].fd >= 0)
		health_read(&shim.health);
	on_agents(p);
	on_timers();
}

static void drain_stream(int *fd, struct jsonlog_stream *s)
{
	while (*fd >= 0 && now_ms(CLOCK_MONOTONIC) < shim.drain_by && read_stream(fd, s))
		;
}

/* After the exit: all that stands in the pipes, and the end of file if it comes within DRAIN_MS. */
static void drain(void)
{
	drain_stream(&shim.launch.out, &shim.out);
	drain_stream(&shim.launch.err, &shim.err);
	if ((shim.launch.out >= 0 || shim.launch.err >= 0) &&
	    now_ms(CLOCK_MONOTONIC) < shim.drain_by)
		return;
	flush_rest(&shim.out);
	flush_rest(&shim.err);
	shim.phase = DONE;
}

/*
 * First the record, so that the exit is known whatever comes. Then, in about a millisecond, cgroups and
 * state, so that whoever hears of the exit may start the same container again.
 */
static void finish(void)
{
	bool removed;

	shim.oom = teardown_oom_kills(&shim.args) > shim.oom_before;
	(void) record_write_exit(shim.run_dir_fd, shim.exit_code, shim.oom, shim.finished_ms);
	removed = teardown_try(&shim.args);
	tell(-1, SHIM_WIRE_EXITED, NULL);
	if (!removed)
		teardown_remove(&shim.args);
	(void) unlinkat(shim.run_dir_fd, "shim.sock", 0);
}

/*
 * The agent reaps the process it started at once; the one
 * that stays belongs to init, not to the agent.
 */
static void leave_parent(void)
{
	pid_t pid = fork();

	if (pid != 0)
		_exit(pid < 0);
	(void) prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void) umask(0077);
}

static int catch_signals(void)
{
	sigset_t all;

	(void) sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, NULL);
	(void) sigemptyset(&all);
	(void) sigaddset(&all, SIGCHLD);
	return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void start(void)
{
	char pid[16], message[160];
	int k, n = snprintf(pid, sizeof(pid), "%d\n", getpid());

	k = logfile_open(&shim.log);
	if (k < 0) {
		(void) snprintf(message, sizeof(message), "open the container's log: %s",
				strerror(-k));
		fail(message);
	}
	shim.oom_before = teardown_oom_kills(&shim.args);
	/* Written before runc starts: whoever finds it empty knows that nothing was begun. */
	if (pwrite(SHIM_FD_PIDFILE, pid, (size_t) n, 0) != n)
		fail("write shim.pid");
	k = launch_start(&shim.args, shim.run_dir_fd, &shim.launch);
	if (k < 0) {
		(void) snprintf(message, sizeof(message), "start the runtime: %s", strerror(-k));
		fail(message);
	}
}

/* After the fork of runc, which must not inherit it; the time is free while runc works. */
static void protect_from_oom(void)
{
	char text[16];
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%d", OOM_SCORE_ADJ);

	if (fd < 0)
		return;
	(void) !write(fd, text, (size_t) n);
	(void) close(fd);
}

int main(int argc, char **argv)
{
	const char *bad = shim_args_parse(argc, argv, &shim.args);

	if (bad || fcntl(SHIM_FD_RUN_DIR, F_GETFD) < 0 || fcntl(SHIM_FD_PIDFILE, F_GETFD) < 0) {
		(void) dprintf(2, "ecs-shim is started by ecs-agent (at fault: %s)\n",
			       bad ? bad : "descriptors");
		return 2;
	}
	leave_parent();
	for (int fd = SHIM_FD_AGENT; fd <= SHIM_FD_RUN_DIR; fd++)
		(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	serve_init(&shim.serve, SHIM_FD_LISTEN, SHIM_FD_AGENT);
	shim.run_dir_fd = SHIM_FD_RUN_DIR;
	shim.init_fd = shim.log.fd = shim.health.out = -1;
	shim.log.path = shim.args.log_path;
	shim.log.max_bytes = shim.args.log_max_bytes;
	shim.log.max_files = (int) MIN(shim.args.log_max_files, 1000);
	shim.out.name = "stdout";
	shim.err.name = "stderr";
	shim.signal_fd = catch_signals();
	start();
	shim.start_by = now_ms(CLOCK_MONOTONIC) + shim.args.start_timeout_ms;
	tell(-1, SHIM_WIRE_HELLO, NULL);
	/* Only now: a new session is a new scheduling group, in which runc would start last on a busy machine. */
	(void) setsid();
	launch_hasten_migration();
	protect_from_oom();
	(void) record_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", shim.boot_id,
			   sizeof(shim.boot_id));
	while (shim.phase != DONE) {
		step();
		if (shim.phase == EXITED)
			drain();
	}
	finish();
	return 0;
}
