/* SPDX-License-Identifier: Apache-2.0 */
/* Real containers under ecs-shim: root, runc, cgroups, overlayfs. Prints TAP. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/runc/runc.h"
#include "tests/integration/host.h"
#include "tests/integration/shim/box.h"
#include "tests/integration/shim/tap.h"

static void exits_with(const char *script, int code, const char *name)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};

	box_init(&b, script);
	ok(box_run(&b, &e, 20000) && e.type == SHIM_EXITED && e.exit_code == code && !e.oom, name);
}

static void exit_codes(void)
{
	exits_with("exit 0", 0, "exit code 0");
	exits_with("exit 3", 3, "exit code 3");
	exits_with("sh -c 'kill -9 $$'; exit $?", 137, "a child's signal in the shell's way");
}

static void killed_by_signal(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int64_t at;

	box_init(&b, "exec sleep 1000");
	if (!ok(box_start(&b, NULL) == 0 && box_wait(&b, &e, 20000) && e.type == SHIM_STARTED &&
			e.pid > 0,
		"a long-running container starts"))
		return;
	at = clock_mono_ns();
	(void) shim_signal(b.shim, SIGKILL, NULL);
	ok(box_wait(&b, &e, 20000) && e.type == SHIM_EXITED && e.exit_code == 137,
	   "KILL gives 137");
	printf("# KILL sent -> SHIM_EXITED: %.2f ms\n", (double) (clock_mono_ns() - at) / 1e6);
	(void) poll(&(struct pollfd){ .fd = shim_pidfd(b.shim), .events = POLLIN }, 1, 5000);
	printf("# … -> shim gone, cgroups and state removed: %.2f ms\n",
	       (double) (clock_mono_ns() - at) / 1e6);
	ok(access(b.memory_dir, F_OK) < 0, "its cgroup is removed");
	ok(shim_fd(b.shim) == -EBADF, "no descriptor after the last event");
}

static void failed_starts(void)
{
	_cleanup_(boxp) struct box b, c;
	_cleanup_(freep) char *left = NULL, *text = NULL;
	struct shim_event e = {};

	box_init(&b, NULL);
	b.args[0] = (char *) "nope";
	b.args[1] = NULL;
	(void) box_start(&b, NULL);
	ok(box_wait(&b, &e, 20000) && e.type == SHIM_FAILED &&
		   strstr(e.message, "exec: \"nope\": executable file not found in $PATH"),
	   "a command that does not exist is told as in Docker");
	printf("# %s\n", e.message);
	left = path_join("%s/%s", b.params.runc_root, b.id);
	ok(access(left, F_OK) < 0, "a failed start leaves no runtime state");
	text = box_log(&b);
	ok(*text == '\0', "what the runtime says is not in the container's log");
	box_init(&c, "true");
	c.spec.cwd = "/nowhere/at/all";
	(void) box_start(&c, NULL);
	ok(box_wait(&c, &e, 20000) && (e.type == SHIM_FAILED || e.type == SHIM_STARTED),
	   "a working directory that does not exist is made or refused by the runtime");
	printf("# %s\n", e.message);
}

static void slow_runtime(void)
{
	static const char script[] =
		"#!/bin/sh\ncase \"$*\" in *delete*) exit 0;; esac\nsleep 20 & sleep 20\n";
	_cleanup_(freep) char *path = path_join("%s/slow-runtime", box_top());
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int64_t at = clock_mono_ms();

	(void) fs_write_file_volatile(AT_FDCWD, path, script, strlen(script), 0755, NULL);
	box_init(&b, "true");
	b.params.runc = path;
	b.params.start_timeout_ms = 300;
	(void) box_start(&b, NULL);
	ok(box_wait(&b, &e, 20000) && e.type == SHIM_FAILED && strstr(e.message, "within 300 ms") &&
		   clock_mono_ms() - at < 5000,
	   "a runtime that hangs is ended after the start timeout");
}

/* A zombie does not: whose child it becomes is not ours to say. */
static bool lives(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/stat", pid), *text = NULL;

	return fs_read_file(AT_FDCWD, path, 4096, &text, NULL, NULL) == 0 && !strstr(text, ") Z ");
}

static long number_in(const char *path)
{
	_cleanup_(freep) char *text = NULL;

	return fs_read_file(AT_FDCWD, path, 64, &text, NULL, NULL) < 0 ? 0 : strtol(text, NULL, 10);
}

/* The runtime that the shim of @b has started; 0: it has not. */
static pid_t runtime_of(const struct box *b)
{
	_cleanup_(freep) char *pid_file = path_join("%s/shim.pid", b->run_dir), *children = NULL;
	long shim = number_in(pid_file);

	children = path_join("/proc/%ld/task/%ld/children", shim, shim);
	return shim > 0 ? (pid_t) number_in(children) : 0;
}

/* Killed between the start of runc and the container's: runc must not go on without anybody to tell. */
static void shim_killed_early(void)
{
	_cleanup_(freep) char *path = path_join("%s/slow-runtime", box_top());
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	pid_t runtime = 0;

	box_init(&b, "true");
	b.params.runc = path;
	(void) box_start(&b, NULL);
	for (int64_t i = 0; i < patiently(500) && runtime == 0; i++) {
		runtime = runtime_of(&b);
		(void) usleep(10000);
	}
	ok(!box_wait(&b, &e, 0) && shim_pidfd(b.shim) >= 0 && runtime > 1,
	   "the runtime is at work");
	(void) pidfd_send_signal(shim_pidfd(b.shim), SIGKILL, NULL, 0);
	ok(box_wait(&b, &e, 5000) && e.type == SHIM_GONE && e.pid == 0,
	   "a shim killed before the start is told");
	for (int64_t i = 0; i < patiently(3000) && lives(runtime); i++)
		(void) usleep(10000);
	ok(!lives(runtime), "the runtime died with it");
}

static void oom(void)
{
	_cleanup_(boxp) struct box eater, neighbour;
	struct shim_event e = {}, other = {};

	box_init(&neighbour, "sleep 1; exit 1");
	(void) box_start(&neighbour, NULL);
	box_init(&eater, "exec tail /dev/zero");
	eater.spec.memory_limit_bytes = 16 << 20;
	ok(box_run(&eater, &e, 60000) && e.type == SHIM_EXITED && e.oom && e.exit_code == 137,
	   "a container over its memory limit is flagged");
	ok(box_wait(&neighbour, &other, 20000) && other.type == SHIM_STARTED &&
		   box_wait(&neighbour, &other, 20000) && other.exit_code == 1 && !other.oom,
	   "its neighbour in the same task is not");
}

/* The first process of a namespace ignores a signal that it does not handle; runc's init handles all. */
static void signal_at_once(void)
{
	int wrong = 0;

	for (int i = 0; i < 10; i++) {
		_cleanup_(boxp) struct box b;
		struct shim_event e = {};

		box_init(&b, "sleep 0.1; exit 7");
		(void) box_start(&b, NULL);
		(void) box_wait(&b, &e, 20000);
		(void) shim_signal(b.shim, SIGTERM, NULL);
		wrong += !box_wait(&b, &e, 20000) || e.exit_code != 7;
	}
	ok(wrong == 0,
	   "a signal right after the start reaches the program, not the runtime's init");
}

static void stop_with_grace(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int64_t at;

	box_init(&b, "trap '' TERM; echo ready; while true; do sleep 1000; done");
	(void) box_start(&b, NULL);
	(void) box_wait(&b, &e, 20000);
	(void) usleep(100000);
	at = clock_mono_ms();
	(void) shim_stop(b.shim, SIGTERM, NULL);
	ok(box_wait(&b, &e, 20000) && e.exit_code == 137 && clock_mono_ms() - at >= 290 &&
		   clock_mono_ms() - at < 3000,
	   "TERM is ignored, KILL comes when the grace is over");
}

static void log_content(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *text = NULL, *raw = NULL;
	struct shim_event e = {};

	box_init(&b, "echo out; echo err >&2; printf 'a<b>\\t\\377z'; exit 0");
	(void) box_run(&b, &e, 20000);
	text = box_log(&b);
	ok(strstr(text, "out\n") && strstr(text, "err\n") && strstr(text, "a<b>\t\xef\xbf\xbdz"),
	   "both streams, control bytes and broken UTF-8");
	(void) fs_read_file(AT_FDCWD, b.log_path, 1 << 20, &raw, NULL, NULL);
	ok(raw && strstr(raw, "{\"log\":\"out\\n\",\"stream\":\"stdout\",\"time\":\"20") &&
		   strstr(raw, "{\"log\":\"err\\n\",\"stream\":\"stderr\",\"time\":\"20") &&
		   strstr(raw, "a\\u003cb\\u003e\\u0009\\ufffdz\",\"stream\""),
	   "in the json-file format, the last line without its newline");
}

static void long_line(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *text = NULL;
	struct shim_event e = {};
	size_t n = 0;

	box_init(&b, "yes 0123456789abcde | head -n 65536 | tr -d '\\n'; echo; echo end");
	(void) box_run(&b, &e, 20000);
	text = box_log(&b);
	while (text[n] && text[n] != '\n')
		n++;
	ok(n == 983040 && strcmp(text + n, "\nend\n") == 0, "a line of nearly 1 MiB is whole");
}

static void rotation(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *first = NULL, *third = NULL, *tail = NULL;
	struct stat st = {}, st1 = {};
	struct shim_event e = {};

	box_init(&b, "seq 1 20000; echo last");
	b.params.log_max_bytes = 65536;
	b.params.log_max_files = 3;
	(void) box_run(&b, &e, 20000);
	first = path_join("%s.1", b.log_path);
	third = path_join("%s.3", b.log_path);
	tail = box_log(&b);
	ok(stat(b.log_path, &st) == 0 && st.st_size <= 65536 && stat(first, &st1) == 0 &&
		   st1.st_size <= 65536 && st1.st_size > 60000 && access(third, F_OK) < 0,
	   "three files of at most 64 KiB each");
	/* A file may begin anywhere, with the very last line, too. */
	ok(strlen(tail) >= 5 && strcmp(tail + strlen(tail) - 5, "last\n") == 0,
	   "the newest lines are in the first");
}

static void full_disk(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *dir = path_join("%s/small", box_top()),
			      *log = path_join("%s/small/log", box_top()),
			      *filler = path_join("%s/small/filler", box_top()), *text = NULL;
	_cleanup_(closep) int fd = -EBADF;
	struct shim_event e = {};
	char block[4096] = {};

	(void) mkdir(dir, 0700);
	(void) mount("tmpfs", dir, "tmpfs", 0, "size=64k");
	fd = open(filler, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	box_init(&b, "seq 1 30000; echo filled; sleep 1; echo after; exit 4");
	b.params.log_path = log;
	(void) box_start(&b, NULL);
	(void) box_wait(&b, &e, 20000);
	(void) usleep(500000);
	ok(ftruncate(fd, 0) == 0, "(the filler is gone)");
	ok(box_wait(&b, &e, 20000) && e.exit_code == 4, "a full disk does not stop the container");
	free(b.log_path);
	b.log_path = strdup(log);
	text = box_log(&b);
	ok(strstr(text, "log entries") && strstr(text, "are missing here: the disk was full") &&
		   strstr(text, "after\n"),
	   "when there is room again the log says how much is missing");
	printf("# %.100s\n", text);
	(void) umount2(dir, MNT_DETACH);
}

/* More agents than a shim takes at once: none of them may believe that the shim is gone. */
static void crowd(const char *run_dir)
{
	struct shim *agents[6] = {};
	int told = 0, wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(agents); i++)
		(void) shim_attach(run_dir, &agents[i], NULL);
	(void) usleep(100000);
	for (size_t i = 0; i < ARRAY_SIZE(agents); i++) {
		struct shim_event e;

		while (agents[i] && shim_next_event(agents[i], &e, NULL) > 0) {
			told += e.type == SHIM_STARTED;
			wrong += e.type != SHIM_STARTED;
		}
		agents[i] = shim_free(agents[i]);
	}
	ok(told >= 3 && wrong == 0, "a crowd of agents waits for its turn");
}

static void attach(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	struct shim *second = NULL;
	pid_t pid;

	box_init(&b, "exec sleep 1000");
	(void) box_start(&b, NULL);
	ok(shim_spawn(&b.params, &second, NULL) == -EEXIST, "a run directory is started once only");
	(void) box_wait(&b, &e, 20000);
	pid = e.pid;
	b.shim = shim_free(b.shim);
	ok(shim_attach(b.run_dir, &b.shim, NULL) == 0 && box_wait(&b, &e, 5000) &&
		   e.type == SHIM_STARTED && e.pid == pid && e.started_ms > 0,
	   "another agent finds the running container");
	crowd(b.run_dir);
	(void) shim_signal(b.shim, SIGKILL, NULL);
	ok(box_wait(&b, &e, 5000) && e.type == SHIM_EXITED && e.exit_code == 137,
	   "and can stop it");
	b.shim = shim_free(b.shim);
	(void) usleep(50000);
	ok(shim_attach(b.run_dir, &b.shim, NULL) == 0 && box_wait(&b, &e, 5000) &&
		   e.type == SHIM_STARTED && e.pid == pid && box_wait(&b, &e, 5000) &&
		   e.type == SHIM_EXITED && e.exit_code == 137 && e.finished_ms > 0,
	   "after the shim is gone its record tells the same");
	ok(shim_spawn(&b.params, &second, NULL) == -EEXIST,
	   "and the run directory is still used up");
	ok(shim_attach("/nonexistent", &second, NULL) == SHIM_E_ABSENT,
	   "nothing there is SHIM_E_ABSENT");
}

static void shim_killed(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(err_done) struct err err = {};
	struct shim_event e = {};
	pid_t pid;

	box_init(&b, "exec sleep 1000");
	(void) box_start(&b, NULL);
	(void) box_wait(&b, &e, 20000);
	pid = e.pid;
	(void) pidfd_send_signal(shim_pidfd(b.shim), SIGKILL, NULL, 0);
	ok(box_wait(&b, &e, 5000) && e.type == SHIM_GONE && e.pid == pid,
	   "kill -9 of the shim is told, with init's pid");
	b.shim = shim_free(b.shim);
	ok(shim_attach(b.run_dir, &b.shim, NULL) == 0 && box_wait(&b, &e, 5000) &&
		   e.type == SHIM_STARTED && box_wait(&b, &e, 5000) && e.type == SHIM_GONE &&
		   e.pid == pid,
	   "also to an agent that comes later");
	ok(cgroup_kill(b.cgroups_path, &err) == 0, "the engine kills what is left");
	for (int i = 0; i < 6000 && kill(pid, 0) == 0; i++)
		(void) usleep(10000);
	ok(runc_forget(b.params.runc_root, b.id, &err) == 0, "and forgets the state");
	b.shim = shim_free(b.shim);
	ok(shim_attach(b.run_dir, &b.shim, NULL) == 0 && box_wait(&b, &e, 5000) &&
		   box_wait(&b, &e, 5000) && e.type == SHIM_GONE && e.pid == 0,
	   "then nothing lives any more");
}

/* Whoever the shared pid namespace left behind goes with init. */
static void host_pid_namespace(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int64_t at = clock_mono_ms();

	box_init(&b, "sleep 1000 & exit 5");
	b.spec.pidns = SPEC_NS_HOST;
	ok(box_run(&b, &e, 20000) && e.exit_code == 5 && clock_mono_ms() - at < 5000,
	   "with the host's pid namespace children die with init");
}

static void inside(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *text = NULL;
	char *drop[] = { (char *) "NET_RAW", NULL }, *add[] = { (char *) "net_admin", NULL };
	struct shim_event e = {};

	box_init(&b, "ls /proc/self/fd | tr '\\n' ' '; echo; grep -E "
		     "'CapBnd|CapEff|CapInh|CapAmb|Seccomp:' "
		     "/proc/self/status; cat /proc/self/oom_score_adj; touch /x || echo ro; touch "
		     "/proc/sys/x");
	b.spec.readonly_rootfs = true;
	b.spec.cap_drop = drop;
	b.spec.cap_add = add;
	b.spec.oom_score_adj = 100;
	(void) box_run(&b, &e, 20000);
	text = box_log(&b);
	ok(strncmp(text, "0 1 2 3 \n", 9) == 0,
	   "only descriptors 0, 1, 2 (3 is the directory that ls reads)");
	ok(strstr(text, "CapBnd:\t00000000a80415fb") && strstr(text, "CapEff:\t00000000a80415fb") &&
		   strstr(text, "CapInh:\t0000000000000000") &&
		   strstr(text, "CapAmb:\t0000000000000000"),
	   "capabilities: the default set, one less, one more");
	ok(strstr(text, "Seccomp:\t2") != NULL, "a system call filter is on");
	ok(strstr(text, "\n100\n") != NULL,
	   "the container has its own oom_score_adj, not the shim's");
	ok(strstr(text, "\nro\n") != NULL, "a read-only root is read-only");
	if (n_failed)
		printf("# %s\n", text);
}

static void terminal(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *text = NULL;
	struct shim_event e = {};

	box_init(&b, "tty; exit 6");
	b.spec.terminal = b.params.terminal = true;
	ok(box_run(&b, &e, 20000) && e.exit_code == 6, "a container with a terminal");
	text = box_log(&b);
	ok(strstr(text, "/dev/pts/0") || strstr(text, "/dev/console"), "and its output");
	if (n_failed)
		printf("# %s\n", text);
}

/* The host's programs under the filter, and calls that must be refused. */
static void seccomp(void)
{
	static const char python[] =
		"import os,threading,subprocess,socket,ctypes,mmap,multiprocessing\n"
		"t=threading.Thread(target=lambda:0);t.start();t.join()\n"
		"subprocess.check_call(['/bin/true'])\n"
		"socket.socketpair();mmap.mmap(-1,4096);os.getrandom(8)\n"
		"l=ctypes.CDLL(None,use_errno=True)\n"
		"def c(n,*a):\n"
		"  r=l.syscall(n,*a);return 0 if r>=0 else ctypes.get_errno()\n"
		"print('keyctl',c(250,0,0,0),'mount',c(165,0,0,0,0,0),'unshare',c(272,0x20000))\n"
		"print('bpf',c(321,0,0,0),'userns',c(56,0x10000000|17,0,0,0,0),'uring',c(425,1,0))"
		"\n"
		"print('vsock',c(41,40,1,0),'personality',c(135,0x40000))\n"
		"print('linux',c(135,ctypes.c_ulong(0xffffffff)),'clone3',c(435,0,0),'new',c(600))"
		"\n";
	static const struct spec_mount usr = { "/usr", "/usr", "bind", "rbind,ro" };
	_cleanup_(freep) char *text = NULL;
	struct shim_event e = {};

#ifndef __x86_64__
	skipped("refused calls", "the numbers are those of x86_64");
	return;
#endif
	if (access("/usr/bin/python3", X_OK) < 0) {
		skipped("refused calls", "needs python3");
		return;
	}

	_cleanup_(boxp) struct box b;

	box_init(&b, NULL);
	b.args[0] = (char *) "/usr/bin/python3";
	b.args[1] = (char *) "-c";
	b.args[2] = (char *) python;
	b.spec.mounts = &usr;
	b.spec.n_mounts = 1;
	ok(box_run(&b, &e, 20000) && e.exit_code == 0,
	   "python with threads, processes and sockets runs");
	text = box_log(&b);
	ok(strcmp(text, "keyctl 1 mount 1 unshare 1\n"
			"bpf 1 userns 1 uring 1\n"
			"vsock 1 personality 1\n"
			"linux 0 clone3 38 new 38\n") == 0,
	   "calls that are refused, and calls that do not exist");
	if (n_failed)
		printf("# %s\n", text);
}

static long private_kib(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/smaps_rollup", pid), *text = NULL;
	static const char *const keys[] = { "Private_Clean:", "Private_Dirty:" };
	long sum = 0;

	if (fs_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *p = strstr(text, keys[i]);

		sum += p ? strtol(p + strlen(keys[i]), NULL, 10) : 0;
	}
	return sum;
}

static void memory(void)
{
	_cleanup_(boxp) struct box b, other; /* with a second shim the program itself is shared */
	_cleanup_(freep) char *path = NULL, *text = NULL;
	struct shim_event e = {};
	long idle, busy;
	pid_t pid;

	box_init(&other, "exec sleep 1000");
	(void) box_start(&other, NULL);
	(void) box_wait(&other, &e, 20000);
	box_init(&b, "sleep 0.3; seq 1 50000; head -c 300000 /dev/zero; exec sleep 1000");
	(void) box_start(&b, NULL);
	(void) box_wait(&b, &e, 20000);
	path = path_join("%s/shim.pid", b.run_dir);
	(void) fs_read_file(AT_FDCWD, path, 64, &text, NULL, NULL);
	pid = text ? (pid_t) strtol(text, NULL, 10) : 0;
	idle = private_kib(pid);
	(void) usleep(1500000);
	busy = private_kib(pid);
	printf("# private memory of the shim: %ld KiB idle, %ld KiB after much and binary output\n",
	       idle, busy);
#ifdef WITH_SANITIZERS
	skipped("private memory", "built with sanitizers");
#else
	ok(idle > 0 && busy > 0 && busy <= 300, "at most 300 KiB of private memory");
#endif
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double bare_run(struct box *b)
{
	char *argv[] = { (char *) b->params.runc,
			 (char *) "--root",
			 (char *) b->params.runc_root,
			 (char *) "run",
			 (char *) "--detach",
			 (char *) "--bundle",
			 b->bundle,
			 b->id,
			 NULL };
	int64_t at = clock_mono_ns();
	int k = spawn_wait(argv, NULL);
	double ms = (double) (clock_mono_ns() - at) / 1e6;
	char *delete[] = { (char *) b->params.runc,
			   (char *) "--root",
			   (char *) b->params.runc_root,
			   (char *) "delete",
			   (char *) "--force",
			   b->id,
			   NULL };

	(void) spawn_wait(delete, NULL);
	return k == 0 ? ms : 1e9;
}

static double shim_run(struct box *b)
{
	struct shim_event e = {};
	int64_t at = clock_mono_ns();
	double ms;

	if (shim_spawn(&b->params, &b->shim, NULL) < 0 || !box_wait(b, &e, 20000) ||
	    e.type != SHIM_STARTED)
		return 1e9;
	ms = (double) (clock_mono_ns() - at) / 1e6;
	(void) shim_kill_all(b->shim, NULL);
	(void) box_wait(b, &e, 20000);
	return ms;
}

static void latency(void)
{
	enum { RUNS = 20 };
	double bare[RUNS], shim[RUNS];

	/* Taking turns, with a pause: the kernel removes the namespaces of the one before on its own time. */
	for (int i = 0; i < 2 * RUNS; i++) {
		_cleanup_(boxp) struct box b;

		box_init(&b, "exec sleep 1000");
		box_make(&b);
		(void) usleep(30000);
		if ((i & 1) == (i >> 1 & 1))
			bare[i / 2] = bare_run(&b);
		else
			shim[i / 2] = shim_run(&b);
	}
	qsort(bare, RUNS, sizeof(*bare), compare);
	qsort(shim, RUNS, sizeof(*shim), compare);
	printf("# start, %d runs each: bare runc run -d p50 %.2f ms (min %.2f max %.2f), through "
	       "the shim p50 "
	       "%.2f ms (min %.2f max %.2f), difference %.2f ms, ratio %.3f\n",
	       RUNS, bare[RUNS / 2], bare[0], bare[RUNS - 1], shim[RUNS / 2], shim[0],
	       shim[RUNS - 1], shim[RUNS / 2] - bare[RUNS / 2], shim[RUNS / 2] / bare[RUNS / 2]);
	ok(shim[RUNS / 2] < 1e9 && bare[RUNS / 2] < 1e9, "start latency was measured");
}

static void task_limits(void)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *path = NULL;
	struct cgroup_limits l = { .cpu_quota_usec = 25000,
				   .cpu_period_usec = 100000,
				   .memory_bytes = 64 << 20,
				   .pids = 100 };
	int64_t at = clock_mono_ns();
	int k = cgroup_task_create("limits", &l, &path, &err);
	double ms = (double) (clock_mono_ns() - at) / 1e6;

	ok(k == 0, "a task's cgroup with limits, read back");
	printf("# made in %.2f ms %s\n", ms, err_text(&err));
	l.memory_bytes = 32 << 20;
	free(path);
	path = NULL;
	ok(cgroup_task_create("limits", &l, &path, &err) == 0, "is taken over with new limits");
	ok(cgroup_task_remove("limits", &err) == 0 && cgroup_task_remove("limits", &err) == 0,
	   "and removed, twice");
}

/* With an argument only the start latency is measured. */
int main(int argc, char **argv _unused_)
{
	bool only_latency = argc > 1;

	box_setup();
	if (only_latency) {
		latency();
		box_teardown();
		return tap_end();
	}
	exit_codes();
	killed_by_signal();
	failed_starts();
	slow_runtime();
	shim_killed_early();
	oom();
	signal_at_once();
	stop_with_grace();
	log_content();
	long_line();
	rotation();
	full_disk();
	attach();
	shim_killed();
	host_pid_namespace();
	inside();
	terminal();
	seccomp();
	memory();
	task_limits();
	latency();
	box_teardown();
	return tap_end();
}
