/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent makes all that a shim answers with, before there is a shim: the listening socket, one
 * connection, and shim.pid, on which the shim holds a lock for as long as it lives. So another
 * agent can attach at any moment, and a run directory cannot be started twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fs.h"
#include "common/spawn.h"
#include "common/strv.h"
#include "runtime/shim/client.h"
#include "runtime/shim/wire.h"

static int refuse_second_start(int run_dir, const char *path, int pid_file, struct err *err)
{
	static const char *const records[] = { "started", "exit", "error" };
	struct stat st;

	if (flock(pid_file, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, EEXIST, "'%s' is served by a shim", path);
	if (fstat(pid_file, &st) < 0)
		return err_set_errno(err, errno, "look at '%s/shim.pid'", path);
	if (st.st_size > 0)
		return err_set(err, EEXIST, "'%s' was started before", path);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		if (faccessat(run_dir, records[i], F_OK, 0) == 0)
			return err_set(err, EEXIST,
				       "'%s' holds the record '%s' of an earlier start", path,
				       records[i]);
	return 0;
}

static int make_listener(int run_dir, struct err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set_errno(err, errno, "make a socket");
	(void) unlinkat(run_dir, "shim.sock", 0);
	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/shim.sock", run_dir);
	(void) fchmod(fd,
		      0600); /* the mode that bind() gives the file, before anyone can connect */
	if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
		return err_set_errno(err, errno, "bind shim.sock");
	if (listen(fd, 8) < 0)
		return err_set_errno(err, errno, "listen on shim.sock");
	return TAKE_FD(fd);
}

static bool add(char ***argv, const char *fmt, ...) _printf_(2, 3);

static bool add(char ***argv, const char *fmt, ...)
{
	_cleanup_(freep) char *word = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&word, fmt, ap);
	va_end(ap);
	if (n < 0) {
		word = NULL;
		return false;
	}
	return strv_append(argv, word) == 0;
}

static char **make_argv(const struct shim_params *p)
{
	_cleanup_(strv_freep) char **v = NULL;
	bool ok = add(&v, "ecs-shim") && add(&v, "id=%s", p->id) && add(&v, "runc=%s", p->runc) &&
		  add(&v, "runc-root=%s", p->runc_root) && add(&v, "run-dir=%s", p->run_dir) &&
		  add(&v, "bundle=%s", p->bundle) &&
		  add(&v, "log-max-bytes=%lld", (long long) p->log_max_bytes) &&
		  add(&v, "log-max-files=%d", MAX(p->log_max_files, 1)) &&
		  add(&v, "terminal=%d", p->terminal) && add(&v, "open-stdin=%d", p->open_stdin);

	if (p->log == SHIM_LOG_JSON_FILE)
		ok = ok && add(&v, "log-path=%s", p->log_path);
	if (p->init)
		ok = ok && add(&v, "init=1");
	if (p->crowded)
		ok = ok && add(&v, "crowded=1");
	if (p->cgroups_path)
		ok = ok && add(&v, "cgroups-path=%s", p->cgroups_path);
	if (p->memory_cgroup_dir)
		ok = ok && add(&v, "memory-cgroup-dir=%s", p->memory_cgroup_dir);
	if (p->start_timeout_ms > 0)
		ok = ok && add(&v, "start-timeout-ms=%d", p->start_timeout_ms);
	if (p->stop_grace_ms > 0)
		ok = ok && add(&v, "stop-grace-ms=%lld", (long long) p->stop_grace_ms);
	if (p->health.interval_ms > 0)
		ok = ok && add(&v, "health-interval-ms=%lld", (long long) p->health.interval_ms) &&
		     add(&v, "health-timeout-ms=%lld", (long long) p->health.timeout_ms) &&
		     add(&v, "health-retries=%lld", (long long) p->health.retries) &&
		     add(&v, "health-start-period-ms=%lld", (long long) p->health.start_period_ms);
	return ok ? TAKE_PTR(v) : NULL;
}

static bool is_path(const char *p)
{
	return p && *p == '/';
}

static int check(const struct shim_params *p, struct err *err)
{
	const struct {
		const char *name, *value;
	} paths[] = { { "program", p->program },
		      { "runc", p->runc },
		      { "runc_root", p->runc_root },
		      { "run_dir", p->run_dir },
		      { "bundle", p->bundle } };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!is_path(paths[i].value))
			return err_set(err, EINVAL, "%s: not an absolute path", paths[i].name);
	if (!p->id || !*p->id ||
	    strspn(p->id, "0123456789abcdefghijklmnopqrstuvwxyz"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != strlen(p->id))
		return err_set(err, EINVAL, "id: only letters, digits, '-' and '_' are taken");
	if (p->log == SHIM_LOG_JSON_FILE && !is_path(p->log_path))
		return err_set(err, EINVAL, "log_path: not an absolute path");
	if (p->log_max_bytes < 0 || p->log_max_files < 0 || p->log_max_files > 1000)
		return err_set(err, EINVAL, "log_max_bytes, log_max_files: outside 0.., 0..1000");
	if (p->health.interval_ms < 0 ||
	    (p->health.interval_ms > 0 &&
	     (p->health.timeout_ms < 1 || p->health.retries < 1 || p->health.start_period_ms < 0)))
		return err_set(err, EINVAL, "health: timeout_ms, retries: outside 1..");
	if (p->cgroups_path && (!is_path(p->cgroups_path) || strstr(p->cgroups_path, "..") ||
				strlen(p->cgroups_path) < 2))
		return err_set(err, EINVAL, "cgroups_path: not an absolute path below the root");
	return 0;
}

static int launch(const struct shim_params *p, struct shim *s, int pid_file, struct err *err)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[] = { path, NULL };
	_cleanup_(strv_freep) char **argv = make_argv(p);
	_cleanup_(closep) int listener = -EBADF, theirs = -EBADF;
	int pair[2], k;

	if (!argv)
		return err_set(err, ENOMEM, "start a shim");
	listener = make_listener(s->run_dir, err);
	if (listener < 0)
		return listener;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set_errno(err, errno, "make a socket pair");
	s->sock = pair[0];
	theirs = pair[1];
	struct spawn_fd fds[] = { { theirs, SHIM_FD_AGENT },
				  { listener, SHIM_FD_LISTEN },
				  { pid_file, SHIM_FD_PIDFILE },
				  { s->run_dir, SHIM_FD_RUN_DIR } };
	k = spawn(&(struct spawn_params){ .path = p->program,
					  .argv = argv,
					  .env = env,
					  .cwd = "/",
					  .fds = fds,
					  .n_fds = ARRAY_SIZE(fds) },
		  NULL, &s->launcher, err);
	if (k < 0)
		(void) unlinkat(s->run_dir, "shim.sock", 0);
	return k;
}

int shim_spawn(const struct shim_params *p, struct shim **ret, struct err *err)
{
	_cleanup_(shim_freep) struct shim *s = calloc(1, sizeof(*s));
	_cleanup_(closep) int pid_file = -EBADF;
	int k;

	if (!s)
		return err_set(err, ENOMEM, "start a shim");
	s->sock = s->pidfd = s->launcher = s->run_dir = -EBADF;
	k = check(p, err);
	if (k < 0) {
		(void) err_wrap(err, "start a shim");
		return k;
	}
	s->run_dir = open(p->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->run_dir < 0)
		return err_set_errno(err, errno, "open '%s'", p->run_dir);
	pid_file = openat(s->run_dir, "shim.pid", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (pid_file < 0)
		return err_set_errno(err, errno, "create '%s/shim.pid'", p->run_dir);
	k = refuse_second_start(s->run_dir, p->run_dir, pid_file, err);
	if (k == 0)
		k = launch(p, s, pid_file, err);
	if (k < 0) {
		(void) err_wrap(err, "start a shim");
		return k;
	}
	s->connected = true;
	*ret = TAKE_PTR(s);
	return 0;
}
