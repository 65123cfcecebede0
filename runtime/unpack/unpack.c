/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/spawn.h"

enum { ANSWER_MAX = 2 << 20, PIPE_BYTES = 1 << 20 };

struct unpacker {
	int sock, pidfd;
};

int unpacker_start(const char *program, struct unpacker **ret, struct err *err)
{
	_cleanup_(unpacker_stopp) struct unpacker *u = calloc(1, sizeof(*u));
	char *argv[] = { (char *) "ecs-unpack", NULL };
	_cleanup_(closep) int theirs = -EBADF;
	int pair[2], k;

	if (!u)
		return err_set(err, ENOMEM, "start unpacker");
	u->sock = u->pidfd = -EBADF;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set_errno(err, errno, "start unpacker");
	u->sock = pair[0];
	theirs = pair[1];
	struct spawn_fd fds[] = { { theirs, UNPACK_SOCKET_FD }, { STDERR_FILENO, STDERR_FILENO } };

	k = spawn(&(struct spawn_params){ .path = program, .argv = argv, .fds = fds, .n_fds = 2 },
		  NULL, &u->pidfd, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(u);
	return 0;
}

struct unpacker *unpacker_stop(struct unpacker *u)
{
	siginfo_t si;

	if (!u)
		return NULL;
	u->sock = safe_close(u->sock);
	if (u->pidfd >= 0)
		while (waitid(P_PIDFD, (id_t) u->pidfd, &si, WEXITED) < 0 && errno == EINTR)
			;
	(void) safe_close(u->pidfd);
	free(u);
	return NULL;
}

static int send_request(int sock, const struct unpack_request *req,
			const int fds[UNPACK_REQUEST_FDS])
{
	union {
		char space[CMSG_SPACE(UNPACK_REQUEST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { (void *) req, sizeof(*req) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(UNPACK_REQUEST_FDS * sizeof(int));
	memcpy(CMSG_DATA(c), fds, UNPACK_REQUEST_FDS * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A pipe of which our end does not block. */
static int make_pipe(bool we_write, int *ours, int *theirs)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ours = fds[we_write];
	*theirs = fds[!we_write];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int unpacker_begin(struct unpacker *u, int dir_fd, const struct apply_limits *limits,
		   struct unpack_job *job, struct err *err)
{
	const struct unpack_request req = { .mode = limits->mode,
					    .outlined = limits->outline_fd > 0,
					    .max_bytes = limits->max_bytes,
					    .max_entries = limits->max_entries };
	_cleanup_(closep) int input = -EBADF, inflate = -EBADF, apply = -EBADF;
	int k = make_pipe(true, &job->input_fd, &input);

	if (k == 0)
		k = make_pipe(false, &job->inflate_fd, &inflate);
	if (k == 0)
		k = make_pipe(false, &job->apply_fd, &apply);
	if (k < 0)
		return err_set_errno(err, -k, "make pipe");
	/* Fails where the user's pipe budget is used up; the default size does as well. */
	(void) fcntl(job->input_fd, F_SETPIPE_SZ, PIPE_BYTES);
	job->inflate_answer.max_bytes = job->apply_answer.max_bytes = ANSWER_MAX;

	const int fds[UNPACK_REQUEST_FDS] = { input, dir_fd, inflate, apply,
					      limits->outline_fd > 0 ? limits->outline_fd
								     : dir_fd };

	k = send_request(u->sock, &req, fds);
	return k < 0 ? err_set_errno(err, -k, "hand archive to unpacker") : 0;
}

static void take_answer(int *fd, struct buf *answer)
{
	char chunk[4096];

	while (*fd >= 0) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || !buf_append(answer, chunk, (size_t) n))
			*fd = safe_close(*fd);
	}
}

bool unpack_job_advance(struct unpack_job *job)
{
	take_answer(&job->inflate_fd, &job->inflate_answer);
	take_answer(&job->apply_fd, &job->apply_answer);
	return job->inflate_fd < 0 && job->apply_fd < 0;
}

/* "err <errno> <message>", or nothing when the child was killed. */
static int explain(const struct buf *answer, struct err *err)
{
	const char *text = buf_str(answer);
	int code = 0, n = 0;

	if (sscanf(text, "err %9d %n", &code, &n) == 1 && code > 0 && n > 0)
		return err_set(err, code, "%.1000s", text + n);
	return err_set(err, EPROTO,
		       "the unpacker was stopped: the archive made it misbehave or "
		       "take more than 1 GiB of memory");
}

int unpack_job_finish(struct unpack_job *job, struct unpack_result *ret, struct err *err)
{
	const struct buf *in = &job->inflate_answer, *out = &job->apply_answer;
	unsigned long long bytes = 0, implied = 0;
	int head = 0;

	/* The applier sees a short stream when the inflater fails, and the inflater a broken pipe
	 * when the applier does: whoever names another reason is right. */
	if (strncmp(buf_str(out), "ok ", 3) != 0 &&
	    (strncmp(buf_str(in), "err 32 ", 7) == 0 || strncmp(buf_str(in), "ok ", 3) == 0))
		return explain(out, err);
	if (in->len != 3 + 71 || strncmp(buf_str(in), "ok sha256:", 10) != 0)
		return explain(in, err);
	if (sscanf(buf_str(out), "ok %llu %llu %n", &bytes, &implied, &head) != 2 || head == 0 ||
	    out->len != (size_t) head + implied || (implied && out->data[out->len - 1] != '\0'))
		return explain(out, err);
	*ret = (struct unpack_result){ .bytes = bytes, .implied_len = implied };
	memcpy(ret->digest, in->data + 3, 72);
	ret->implied = malloc(implied + 1);
	if (!ret->implied)
		return err_set(err, ENOMEM, "take result of unpacker");
	memcpy(ret->implied, out->data + head, implied);
	return 0;
}

void unpack_job_done(struct unpack_job *job)
{
	job->input_fd = safe_close(job->input_fd);
	job->inflate_fd = safe_close(job->inflate_fd);
	job->apply_fd = safe_close(job->apply_fd);
	buf_done(&job->inflate_answer);
	buf_done(&job->apply_answer);
}

int unpack_check(const char *program, int root_fd, int outline_fd, struct err *err)
{
	char *argv[] = { (char *) "ecs-unpack", (char *) "check", NULL };
	_cleanup_(closep) int ours = -EBADF, theirs = -EBADF, pidfd = -EBADF;
	_cleanup_(buf_done) struct buf answer = { .max_bytes = ANSWER_MAX };
	siginfo_t si;
	int fds[2], k;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "check layer");
	ours = fds[0];
	theirs = fds[1];
	struct spawn_fd given[] = { { theirs, STDOUT_FILENO },
				    { STDERR_FILENO, STDERR_FILENO },
				    { root_fd, UNPACK_CHECK_DIR_FD },
				    { outline_fd, UNPACK_CHECK_OUTLINE_FD } };

	k = spawn(
		&(struct spawn_params){
			.path = program, .argv = argv, .fds = given, .n_fds = ARRAY_SIZE(given) },
		NULL, &pidfd, err);
	if (k < 0)
		return k;
	theirs = safe_close(theirs);
	take_answer(&ours, &answer);
	while (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	return strcmp(buf_str(&answer), "ok") == 0 ? 0 : explain(&answer, err);
}
