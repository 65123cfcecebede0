/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-unpack - started by ecs-image with a socket as descriptor 3; see unpack.h.
 * The server itself reads only requests. It ends when the socket does.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/unpack/check.h"
#include "runtime/unpack/outline.h"
#include "runtime/unpack/sandbox.h"
#include "runtime/unpack/unpack.h"

enum { FD_INPUT, FD_DIR, FD_INFLATE_ANSWER, FD_APPLY_ANSWER, FD_OUTLINE };

static ssize_t read_fd(void *userdata, void *buf, size_t len)
{
	const int *fd = userdata;
	ssize_t n;

	do
		n = read(*fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

struct pipe_ends {
	int in, out;
};

static ssize_t read_input(void *userdata, void *buf, size_t len)
{
	return read_fd(&((struct pipe_ends *) userdata)->in, buf, len);
}

static int write_output(void *userdata, const void *data, size_t len)
{
	return fs_write_all(((struct pipe_ends *) userdata)->out, data, len);
}

static _Noreturn void answer_error(int fd, const struct err *err)
{
	_cleanup_(buf_done) struct buf b = {};

	(void) buf_printf(&b, "err %d %s", err->code ? err->code : EIO, err_text(err));
	(void) fs_write_all(fd, buf_str(&b), b.len);
	_exit(1);
}

static _Noreturn void run_inflater(const struct unpack_request *req, int in, int out, int answer)
{
	struct pipe_ends ends = { in, out };
	/* Headers and padding come on top of the contents. */
	const struct inflate_params p = { .read = read_input,
					  .write = write_output,
					  .userdata = &ends,
					  .max_bytes = req->max_bytes + req->max_entries * 8192 };
	struct inflate_result result = {};
	struct err err = {};
	char text[3 + sizeof(result.digest)];

	if (sandbox_drop_all(&err) < 0 || sandbox_filter(SANDBOX_STREAM, &err) < 0 ||
	    inflate_stream(&p, &result, &err) < 0)
		answer_error(answer, &err);
	(void) snprintf(text, sizeof(text), "ok %s", result.digest);
	(void) fs_write_all(answer, text, strlen(text));
	_exit(0);
}

static _Noreturn void run_applier(const struct unpack_request *req, int dir, int in, int answer,
				  int outline)
{
	const struct apply_limits limits = { .mode = (enum apply_mode) req->mode,
					     .max_bytes = req->max_bytes,
					     .max_entries = req->max_entries,
					     .outline_fd = req->outlined ? outline : 0 };
	struct apply_result result = {};
	struct buf b = {};
	struct err err = {};
	int root = -EBADF;

	if (sandbox_confine(dir, &root, &err) < 0 || close(dir) < 0 ||
	    (!req->outlined && close(outline) < 0) || sandbox_filter(SANDBOX_FILES, &err) < 0 ||
	    apply_archive(root, &limits, read_fd, &in, &result, &err) < 0)
		answer_error(answer, &err);
	(void) buf_printf(&b, "ok %llu %zu ", (unsigned long long) result.bytes,
			  result.implied.len);
	(void) buf_append(&b, result.implied.data, result.implied.len);
	(void) fs_write_all(answer, buf_str(&b), b.len);
	_exit(b.failed);
}

static ssize_t read_outline(void *userdata, void *buf, size_t len)
{
	return outline_read(userdata, buf, len, NULL);
}

/* "check": is the directory as the outline says? One answer, and no server. */
static _Noreturn void run_checker(void)
{
	_cleanup_(outline_closep) struct outline_reader *outline = NULL;
	struct err err = {};
	int root = -EBADF;

	if (sandbox_unshare(&err) < 0 || sandbox_confine(UNPACK_CHECK_DIR_FD, &root, &err) < 0 ||
	    close(UNPACK_CHECK_DIR_FD) < 0 || sandbox_filter(SANDBOX_LOOK, &err) < 0 ||
	    outline_open(UNPACK_CHECK_OUTLINE_FD, root, false, &outline, &err) < 0 ||
	    check_archive(root, read_outline, outline, &err) < 0)
		answer_error(STDOUT_FILENO, &err);
	(void) fs_write_all(STDOUT_FILENO, "ok", 2);
	_exit(0);
}

static void refuse(const int fds[UNPACK_REQUEST_FDS], int code)
{
	char text[64];

	(void) snprintf(text, sizeof(text), "err %d unpacker: cannot fork", code);
	(void) fs_write_all(fds[FD_INFLATE_ANSWER], text, strlen(text));
	(void) fs_write_all(fds[FD_APPLY_ANSWER], text, strlen(text));
}

static void start(const struct unpack_request *req, const int fds[UNPACK_REQUEST_FDS])
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		refuse(fds, errno);
		return;
	}
	(void) fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	pid = fork();
	if (pid == 0) {
		(void) close(UNPACK_SOCKET_FD);
		(void) close(ends[0]);
		(void) close(fds[FD_DIR]);
		(void) close(fds[FD_APPLY_ANSWER]);
		(void) close(fds[FD_OUTLINE]);
		run_inflater(req, fds[FD_INPUT], ends[1], fds[FD_INFLATE_ANSWER]);
	}
	(void) close(ends[1]);
	if (pid > 0)
		pid = fork();
	if (pid == 0) {
		(void) close(UNPACK_SOCKET_FD);
		(void) close(fds[FD_INPUT]);
		(void) close(fds[FD_INFLATE_ANSWER]);
		run_applier(req, fds[FD_DIR], ends[0], fds[FD_APPLY_ANSWER], fds[FD_OUTLINE]);
	}
	if (pid < 0)
		refuse(fds, errno);
	(void) close(ends[0]);
}

/* Returns 1 with a request, 0 when the other side is gone. */
static int receive(struct unpack_request *req, int fds[UNPACK_REQUEST_FDS])
{
	union {
		char space[CMSG_SPACE(UNPACK_REQUEST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { req, sizeof(*req) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };
	const struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(UNPACK_SOCKET_FD, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = CMSG_FIRSTHDR(&msg);
	if (n != sizeof(*req) || !c || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(UNPACK_REQUEST_FDS * sizeof(int)))
		return 0;
	memcpy(fds, CMSG_DATA(c), UNPACK_REQUEST_FDS * sizeof(int));
	return 1;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = {};
	struct unpack_request req;
	int fds[UNPACK_REQUEST_FDS];
	int failed, warm;

	if (argc == 2 && strcmp(argv[1], "check") == 0)
		run_checker();
	/*
	 * Children are not waited for: their answers tell. A
	 * closed pipe is an error, not a signal.
	 */
	(void) sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	(void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	failed = sandbox_unshare(&err) < 0;
	/* The library sets itself up on first use, with calls that the filter does not know. */
	warm = EVP_Digest("", 0, (unsigned char[EVP_MAX_MD_SIZE]){}, NULL, EVP_sha256(), NULL);
	if (warm != 1 && !failed)
		failed = err_set(&err, EIO, "unpacker: SHA-256 is not available") < 0;
	while (receive(&req, fds)) {
		if (failed) {
			_cleanup_(buf_done) struct buf b = {};

			(void) buf_printf(&b, "err %d %s", err.code, err_text(&err));
			(void) fs_write_all(fds[FD_INFLATE_ANSWER], buf_str(&b), b.len);
			(void) fs_write_all(fds[FD_APPLY_ANSWER], buf_str(&b), b.len);
		} else {
			start(&req, fds);
		}
		for (int i = 0; i < UNPACK_REQUEST_FDS; i++)
			(void) close(fds[i]);
	}
	return 0;
}
