/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fs.h"
#include "runtime/shim/wire.h"

void shim_queue(struct shim *s, const struct shim_event *e)
{
	if (s->finished || s->n_events == SHIM_EVENTS_MAX)
		return;
	s->events[s->n_events++] = *e;
	s->started = s->started || e->type == SHIM_STARTED;
	s->finished = e->type != SHIM_STARTED && e->type != SHIM_HEALTH;
}

/* Our direct child forks the shim and ends at once, so this never waits for long. */
static int reap_launcher(struct shim *s)
{
	siginfo_t si = {};

	if (s->launcher < 0)
		return 0;
	while (waitid(P_PIDFD, (id_t) s->launcher, &si, WEXITED) < 0 && errno == EINTR)
		;
	s->launcher = safe_close(s->launcher);
	return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

static void on_hello(struct shim *s, pid_t pid)
{
	(void) reap_launcher(s);
	/* Not reused: the shim has not closed its socket, or the next read says so. */
	if (s->pidfd < 0)
		s->pidfd = pidfd_open(pid, 0);
	if (s->pidfd < 0)
		s->pidfd = -EBADF;
}

static void on_message(struct shim *s, const struct shim_wire_event *w)
{
	static const enum shim_event_type types[] = {
		[SHIM_WIRE_STARTED] = SHIM_STARTED,
		[SHIM_WIRE_FAILED] = SHIM_FAILED,
		[SHIM_WIRE_EXITED] = SHIM_EXITED,
	};
	struct shim_event e = { .pid = w->pid,
				.exit_code = w->exit_code,
				.oom = w->oom,
				.started_ms = w->started_ms,
				.finished_ms = w->finished_ms };

	if (w->type == SHIM_WIRE_HELLO) {
		on_hello(s, w->pid);
		return;
	}
	e.type = types[w->type];
	memcpy(e.message, w->message, sizeof(w->message));
	if (e.type != SHIM_STARTED || !s->started)
		shim_queue(s, &e);
}

static void on_health(struct shim *s, const struct shim_wire_health *w)
{
	static const enum shim_health statuses[] = {
		[SHIM_WIRE_STARTING] = SHIM_HEALTH_STARTING,
		[SHIM_WIRE_HEALTHY] = SHIM_HEALTH_HEALTHY,
		[SHIM_WIRE_UNHEALTHY] = SHIM_HEALTH_UNHEALTHY,
	};
	struct shim_event e = { .type = SHIM_HEALTH,
				.health = statuses[w->status],
				.health_since_ms = w->since_ms,
				.exit_code = w->exit_code };

	for (size_t i = 0; i < w->output_len; i++)
		e.message[i] = w->output[i] ? w->output[i] : ' ';
	shim_queue(s, &e);
}

/* The shim's end is closed: either it left a record, or it died. */
static void on_hangup(struct shim *s)
{
	int status = reap_launcher(s);

	s->connected = false;
	if (s->finished || shim_queue_record(s) == 0)
		return;
	shim_queue(s, &(struct shim_event){
			      .type = SHIM_FAILED,
			      .exit_code = status & 255,
			      .message = "ecs-shim ended before it started the runtime" });
}

static int receive(struct shim *s)
{
	struct shim_wire_health h;
	struct shim_wire_event w;
	char data[sizeof(w) + 256];
	ssize_t n = recv(s->sock, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		on_hangup(s);
	else if (shim_wire_decode_event(data, (size_t) n, &w) == 0)
		on_message(s, &w);
	else if (shim_wire_decode_health(data, (size_t) n, &h) == 0)
		on_health(s, &h);
	return 1; /* what cannot be read is skipped */
}

int shim_next_event(struct shim *s, struct shim_event *ret, struct err *err)
{
	if (s->sock < 0)
		return err_set(err, EBADF, "the shim's last event was read");
	while (s->n_events == 0 && s->connected)
		if (receive(s) == 0)
			return 0;
	if (s->n_events == 0)
		return 0;
	*ret = s->events[0];
	s->n_events--;
	memmove(s->events, s->events + 1, s->n_events * sizeof(s->events[0]));
	if (ret->type != SHIM_STARTED && ret->type != SHIM_HEALTH)
		s->sock = safe_close(s->sock);
	return 1;
}

static int send_command(struct shim *s, enum shim_wire_type type, int arg, struct err *err)
{
	struct shim_wire_command c = { .magic = SHIM_WIRE_MAGIC, .type = type, .arg = arg };

	if (!s->connected || s->sock < 0)
		return 0; /* the container is gone, or its next event says what became of it */
	if (send(s->sock, &c, sizeof(c), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	if (errno == EPIPE || errno == ECONNRESET)
		return 0;
	return err_set_errno(err, errno, "send a command to the shim");
}

int shim_signal(struct shim *s, int sig, struct err *err)
{
	if (sig < 1 || sig >= NSIG)
		return err_set(err, EINVAL, "signal %d is outside 1..%d", sig, NSIG - 1);
	return send_command(s, SHIM_WIRE_SIGNAL, sig, err);
}

int shim_kill_all(struct shim *s, struct err *err)
{
	return send_command(s, SHIM_WIRE_KILL_ALL, 0, err);
}

int shim_stop(struct shim *s, int sig, struct err *err)
{
	if (sig < 1 || sig >= NSIG)
		return err_set(err, EINVAL, "signal %d is outside 1..%d", sig, NSIG - 1);
	return send_command(s, SHIM_WIRE_STOP, sig, err);
}

int shim_fd(const struct shim *s)
{
	return s->sock;
}

int shim_pidfd(const struct shim *s)
{
	return s->pidfd;
}

struct shim *shim_free(struct shim *s)
{
	if (!s)
		return NULL;
	(void) reap_launcher(s);
	(void) safe_close(s->sock);
	(void) safe_close(s->pidfd);
	(void) safe_close(s->run_dir);
	free(s);
	return NULL;
}

/* -EAGAIN: the shim is there, but has no ear for us at present. */
static int connect_to(int run_dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void) snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/shim.sock", run_dir);
	if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int shim_attach(const char *run_dir, struct shim **ret, struct err *err)
{
	_cleanup_(shim_freep) struct shim *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(err, ENOMEM, "attach to the shim of '%s'", run_dir);
	s->sock = s->pidfd = s->launcher = -EBADF;
	s->run_dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->run_dir < 0)
		return errno == ENOENT ? SHIM_E_ABSENT
				       : err_set_errno(err, errno, "open '%s'", run_dir);
	s->sock = connect_to(s->run_dir);
	if (s->sock == -EAGAIN || s->sock == -EMFILE || s->sock == -ENFILE || s->sock == -ENOMEM ||
	    s->sock == -ENOBUFS)
		return err_set_errno(err, -s->sock, "connect to the shim of '%s'", run_dir);
	s->connected = s->sock >= 0;
	if (!s->connected) {
		if (shim_queue_record(s) == SHIM_E_ABSENT)
			return SHIM_E_ABSENT;
		s->sock = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->sock < 0)
			return err_set_errno(err, errno, "make an eventfd");
	}
	*ret = TAKE_PTR(s);
	return 0;
}
