/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/shim/record.h"

enum { DELETE_TIMEOUT_MS = 10000, ARGS_MAX = 20, PATH_ROOM = 4096 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void) close(*fd);
	*fd = -1;
}

/*
 * Never returns. The runtime must not outlive us half-way:
 * without a shim nobody would know its container.
 */
static void exec_runc(const struct shim_args *a, char *const *argv, const int fds[3], bool one_cpu,
		      pid_t parent)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	/* It ends before its garbage is worth collecting. The container sees none of this. */
	static char no_gc[] = "GOGC=off", one_core[] = "GOMAXPROCS=1";
	char *env[] = { path, no_gc, one_cpu ? one_core : NULL, NULL };
	sigset_t none;

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(127);
	(void) close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	(void) execve(a->runc, argv, env);
	(void) dprintf(2, "execute '%s': %s\n", a->runc, strerror(errno));
	_exit(127);
}

static pid_t fork_runc(const struct shim_args *a, char *const *argv, const int fds[3])
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		exec_runc(a, argv, fds, a->crowded, parent);
	return pid < 0 ? -errno : pid;
}

/* The shim itself is spared by the OOM killer by now; what runs in the container must not be. */
static void give_up_oom_protection(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void) !write(fd, "0", 1);
	(void) close(fd);
}

pid_t launch_probe(const struct shim_args *a, char *const *argv, const int fds[3])
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		give_up_oom_protection();
		exec_runc(a, argv, fds, true, parent);
	}
	return pid < 0 ? -errno : pid;
}

/* The name may be longer than a socket address takes: bound through the directory's descriptor. */
static int listen_console(int run_dir_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), k;

	if (fd < 0)
		return -errno;
	(void) unlinkat(run_dir_fd, "console.sock", 0);
	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/console.sock",
			run_dir_fd);
	if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) == 0 && listen(fd, 1) == 0)
		return fd;
	k = -errno;
	(void) close(fd);
	return k;
}

/* theirs[]: what runc gets as 0, 1, 2. */
static int make_stdio(const struct shim_args *a, struct launch *l, int theirs[3])
{
	int p[2];

	theirs[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (theirs[0] < 0)
		return -errno;
	if (a->open_stdin && !a->terminal) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		(void) close(theirs[0]);
		theirs[0] = p[0];
		l->in = p[1];
	}
	for (int i = 1; i <= 2; i++) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		*(i == 1 ? &l->out : &l->err) = p[0];
		theirs[i] = p[1];
		(void) fcntl(p[0], F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static int run(const struct shim_args *a, int run_dir_fd, struct launch *l, const int theirs[3])
{
	char pid_file[PATH_ROOM], log[PATH_ROOM], console[64];
	const char *argv[ARGS_MAX] = { a->runc,    "--root",       a->runc_root, "--log",
				       log,        "--log-format", "json",       "run",
				       "--detach", "--bundle",     a->bundle,    "--pid-file",
				       pid_file };
	int n = 13;

	if (snprintf(pid_file, sizeof(pid_file), "%s/pid", a->run_dir) >= PATH_ROOM ||
	    snprintf(log, sizeof(log), "%s/runc.log", a->run_dir) >= PATH_ROOM ||
	    snprintf(console, sizeof(console), "/proc/%d/fd/%d/console.sock", getpid(),
		     run_dir_fd) < 0)
		return -ENAMETOOLONG;
	if (a->terminal) {
		l->console = listen_console(run_dir_fd);
		if (l->console < 0)
			return l->console;
		argv[n++] = "--console-socket";
		argv[n++] = console;
	}
	argv[n++] = a->id;
	argv[n] = NULL;
	l->pid = fork_runc(a, (char *const *) argv, theirs);
	return l->pid < 0 ? l->pid : 0;
}

int launch_start(const struct shim_args *a, int run_dir_fd, struct launch *ret)
{
	struct launch l = { .out = -1, .err = -1, .in = -1, .console = -1 };
	int theirs[3] = { -1, -1, -1 }, k;

	k = make_stdio(a, &l, theirs);
	if (k == 0)
		k = run(a, run_dir_fd, &l, theirs);
	for (int i = 0; i < 3; i++)
		close_fd(&theirs[i]);
	if (k < 0) {
		close_fd(&l.out);
		close_fd(&l.err);
		close_fd(&l.in);
		close_fd(&l.console);
		return k;
	}
	*ret = l;
	return 0;
}

/* Opens the cgroup.procs of our own group by a line of /proc/self/cgroup, "ID:CONTROLLERS:PATH". */
static int open_own_group(const char *line)
{
	const char *name = strchr(line, ':'), *path = name ? strchr(name + 1, ':') : NULL;
	char file[PATH_ROOM];
	int len, fd;

	if (!path)
		return -1;
	name += strncmp(name, ":name=", 6) == 0 ? 6 : 1;
	len = (int) (path++ - name);
	if (snprintf(file, sizeof(file), "/sys/fs/cgroup/%.*s%s/cgroup.procs", len, name, path) >=
	    PATH_ROOM)
		return -1;
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && len == 0 &&
	    snprintf(file, sizeof(file), "/sys/fs/cgroup/unified%s/cgroup.procs", path) < PATH_ROOM)
		fd = open(file, O_WRONLY | O_CLOEXEC);
	return fd;
}

void launch_hasten_migration(void)
{
	char text[4096], *rest = NULL;
	int fd = -1;

	if (record_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) <= 0)
		return;
	for (char *line = strtok_r(text, "\n", &rest); line && fd < 0;
	     line = strtok_r(NULL, "\n", &rest))
		fd = open_own_group(line);
	if (fd < 0)
		return;
	(void) !write(fd, "0", 1);
	(void) close(fd);
}

static int receive_fd(int sock)
{
	char name[256], control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = name, .iov_len = sizeof(name) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int launch_take_console(struct launch *l)
{
	int sock = accept4(l->console, NULL, NULL, SOCK_CLOEXEC), fd;

	if (sock < 0)
		return -errno;
	fd = receive_fd(sock);
	(void) close(sock);
	if (fd < 0)
		return fd;
	(void) fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	close_fd(&l->console);
	close_fd(&l->out);
	close_fd(&l->err);
	l->out = fd;
	return 0;
}

static bool last_line_of(int fd, char *ret, size_t size)
{
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : 0;
	char *nl;

	while (n > 0 && ret[n - 1] == '\n')
		n--;
	if (n <= 0)
		return false;
	ret[n] = '\0';
	nl = strrchr(ret, '\n');
	if (nl)
		memmove(ret, nl + 1, strlen(nl + 1) + 1);
	for (char *p = ret; *p; p++)
		*p = (unsigned char) *p < ' ' ? ' ' : *p;
	return *ret != '\0';
}

void launch_explain(const struct launch *l, int run_dir_fd, int status, char *ret, size_t size)
{
	char log[8192];
	ssize_t n = record_read(run_dir_fd, "runc.log", log, sizeof(log));

	if (n > 0 && record_parse_runc_error(log, (size_t) n, ret, size))
		return;
	if (last_line_of(l->err, ret, size))
		return;
	if (WIFSIGNALED(status))
		(void) snprintf(ret, size, "the runtime was ended by signal %d", WTERMSIG(status));
	else
		(void) snprintf(ret, size, "the runtime ended with status %d", WEXITSTATUS(status));
}

void launch_delete(const struct shim_args *a)
{
	const char *argv[] = { a->runc, "--root", a->runc_root, "delete", "--force", a->id, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[3] = { null, null, null }, pidfd;
	pid_t pid = null < 0 ? -1 : fork_runc(a, (char *const *) argv, fds);

	if (null >= 0)
		(void) close(null);
	if (pid <= 0)
		return;
	pidfd = pidfd_open(pid, 0);
	if (pidfd >= 0) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };

		if (poll(&p, 1, DELETE_TIMEOUT_MS) == 0)
			(void) kill(pid, SIGKILL);
		(void) close(pidfd);
	}
	(void) waitpid(pid, NULL, 0);
}

static void kill_children(void)
{
	char list[1024], *p = list, *next = NULL;

	if (record_read(AT_FDCWD, "/proc/thread-self/children", list, sizeof(list)) <= 0)
		return;
	for (long pid; (pid = strtol(p, &next, 10)) > 1 && next != p; p = next)
		(void) kill((pid_t) pid, SIGKILL);
}

void launch_reap_leftovers(void)
{
	pid_t pid;

	do { /* what a child leaves behind becomes ours when it is reaped */
		kill_children();
		do
			pid = waitpid(-1, NULL, 0);
		while (pid < 0 && errno == EINTR);
	} while (pid > 0);
}
