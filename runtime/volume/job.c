/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/volume/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/spawn.h"
#include "common/strv.h"

enum { TEXT_MAX = 1024 };

struct volume_job {
	volume_job_fn fn;
	void *userdata;
	pid_t pid;
	int output;                                /* read end of its stderr */
	sd_event_source *child, *readable, *timer; /* owned */
	char text[TEXT_MAX];
	size_t len;
	bool late;
};

static void done(struct volume_job *j)
{
	j->child = sd_event_source_disable_unref(j->child);
	j->readable = sd_event_source_disable_unref(j->readable);
	j->timer = sd_event_source_disable_unref(j->timer);
	j->output = safe_close(j->output);
	free(j);
}

/* What does not fit is dropped, so that nobody blocks on a full pipe. */
static void drain(struct volume_job *j)
{
	char sink[4096];
	ssize_t n;

	while ((n = read(j->output, sink, sizeof(sink))) > 0) {
		size_t take = MIN((size_t) n, TEXT_MAX - 1 - j->len);

		memcpy(j->text + j->len, sink, take);
		j->len += take;
	}
	if (n == 0)
		j->readable = sd_event_source_disable_unref(j->readable);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void) s, (void) fd, (void) revents;
	drain(userdata);
	return 0;
}

/* Lines become one, control characters blanks: it goes into reasons and logs. */
static const char *tidy(struct volume_job *j)
{
	while (j->len > 0 && (unsigned char) j->text[j->len - 1] <= ' ')
		j->len--;
	j->text[j->len] = '\0';
	for (size_t i = 0; i < j->len; i++)
		if ((unsigned char) j->text[i] < ' ' || j->text[i] == 127)
			j->text[i] = ' ';
	return j->text;
}

static void tell(struct volume_job *j, int status)
{
	volume_job_fn fn = j->fn;
	struct volume_job_result r = { .status = status, .late = j->late };

	j->fn = NULL;
	drain(j);
	r.ok = status == 0 && !j->late;
	r.text = tidy(j);
	if (fn)
		fn(&r, j->userdata);
}

static int on_child(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct volume_job *j = userdata;
	int status;

	(void) s, (void) revents;
	(void) kill(-j->pid, SIGKILL); /* whom it left behind; its own number is not free yet */
	status = spawn_reap(fd);
	if (status == -EAGAIN)
		return 0;
	tell(j, status);
	done(j);
	return 0;
}

static int on_abandoned(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void) revents, (void) userdata;
	if (spawn_reap(fd) != -EAGAIN)
		(void) sd_event_source_set_floating(s, 0); /* which frees it */
	return 0;
}

/* It may stand in the kernel, before a server that does not answer, for as long as it likes. */
static void abandon(struct volume_job *j)
{
	_cleanup_(closep) int fd = fcntl(sd_event_source_get_io_fd(j->child), F_DUPFD_CLOEXEC, 3);
	sd_event_source *s = NULL;

	(void) kill(-j->pid, SIGKILL);
	(void) kill(j->pid, SIGKILL); /* it may not lead its group yet */
	if (fd < 0 || sd_event_add_io(sd_event_source_get_event(j->child), &s, fd, EPOLLIN,
				      on_abandoned, NULL) < 0)
		return;
	(void) TAKE_FD(fd);
	(void) sd_event_source_set_io_fd_own(s, true);
	(void) sd_event_source_set_floating(s, 1);
	(void) sd_event_source_unref(s);
}

static int on_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct volume_job *j = userdata;

	(void) s, (void) usec;
	j->late = true;
	abandon(j);
	tell(j, 128 + SIGKILL);
	done(j);
	return 0;
}

struct volume_job *volume_job_free(struct volume_job *j)
{
	if (!j)
		return NULL;
	abandon(j);
	done(j);
	return NULL;
}

static int watch(struct volume_job *j, const struct volume_job_params *p, int pidfd)
{
	int k = sd_event_add_io(p->loop, &j->child, pidfd, EPOLLIN, on_child, j);

	if (k < 0) {
		(void) safe_close(pidfd);
		return k;
	}
	(void) sd_event_source_set_io_fd_own(j->child, true);
	k = sd_event_add_io(p->loop, &j->readable, j->output, EPOLLIN, on_readable, j);
	if (k >= 0)
		k = sd_event_add_time_relative(p->loop, &j->timer, CLOCK_MONOTONIC,
					       (uint64_t) p->deadline_ms * USEC_PER_MSEC, 0,
					       on_late, j);
	if (k < 0)
		return k;
	(void) sd_event_source_set_description(j->child, "volume-job");
	return 0;
}

static int start(struct volume_job *j, const struct volume_job_params *p, char **argv,
		 struct err *err)
{
	int ends[2], pidfd = -EBADF, k;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "make a pipe");
	j->output = ends[0];
	(void) fcntl(ends[0], F_SETFL, O_NONBLOCK);
	k = spawn(&(struct spawn_params){ .path = p->program,
					  .argv = argv,
					  .fds = (struct spawn_fd[]){ { ends[1], 2 } },
					  .n_fds = 1,
					  .new_session = true,
					  .ends_with_us = true },
		  &j->pid, &pidfd, err);
	(void) safe_close(ends[1]);
	if (k < 0)
		return k;
	k = watch(j, p, pidfd);
	if (k < 0)
		(void) kill(-j->pid, SIGKILL);
	return k < 0 ? err_set_errno(err, -k, "watch '%s'", p->program) : 0;
}

int volume_job_start(const struct volume_job_params *p, struct volume_job **ret, struct err *err)
{
	_cleanup_(strv_freep) char **argv = NULL;
	struct volume_job *j = calloc(1, sizeof(*j));
	int k = j ? strv_append(&argv, "ecs-volume") : -ENOMEM;

	for (char *const *a = p->args; k == 0 && *a; a++)
		k = strv_append(&argv, *a);
	if (k < 0) {
		free(j);
		return err_set(err, ENOMEM, "start '%s'", p->program);
	}
	j->output = -EBADF;
	j->fn = p->fn;
	j->userdata = p->userdata;
	k = start(j, p, argv, err);
	if (k < 0) {
		done(j);
		return k;
	}
	*ret = j;
	return 0;
}
