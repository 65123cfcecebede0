/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "common/strv.h"
#include "runtime/image/failure.h"

enum { LINE_MAX_BYTES = 64 * 1024, CREDENTIALS_MAX = 32 * 1024, CREDENTIALS_FD = 4 };

struct image_pull {
	sd_event *loop;
	sd_event_source *output_source, *exit_source;
	int output_fd, pidfd;
	char *store_dir; /* owned */
	image_pull_fn on_event;
	void *userdata;
	struct buf lines;
	bool cancelled, finished; /* finished: the last event went out */
	bool *freed;              /* set when a callback frees us */
};

/* Returns false when the callback freed @p. */
static bool emit(struct image_pull *p, struct image_pull_event *ev)
{
	bool freed = false;

	if (p->finished)
		return true;
	p->finished = ev->type == IMAGE_PULL_DONE || ev->type == IMAGE_PULL_FAILED;
	p->freed = &freed;
	p->on_event(p, ev, p->userdata);
	if (!freed)
		p->freed = NULL;
	(void) image_free(ev->image);
	return !freed;
}

static bool emit_failure(struct image_pull *p, enum image_pull_failure kind, const char *message)
{
	return emit(p, &(struct image_pull_event){
			       .type = IMAGE_PULL_FAILED, .failure = kind, .message = message });
}

static enum image_pull_failure parse_failure(const char *name)
{
	for (int i = 0; i < _IMAGE_PULL_FAILURE_MAX; i++)
		if (strcmp(name, image_pull_failure_name((enum image_pull_failure) i)) == 0)
			return (enum image_pull_failure) i;
	return IMAGE_PULL_E_INTERNAL;
}

static bool on_pulled(struct image_pull *p, const json_t *line)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(err_done) struct err err = {};
	struct image_pull_event ev = {
		.type = IMAGE_PULL_DONE,
		.from_cache = json_is_true(json_object_get(line, "from_cache")),
		.message = json_get_string(line, "message", NULL),
	};
	int k = image_store_open(p->store_dir, &store, &err);

	if (k == 0)
		k = image_store_lookup(store, json_get_string(line, "reference", ""), &ev.image,
				       &err);
	if (k != 0)
		return emit_failure(p, IMAGE_PULL_E_INTERNAL,
				    k < 0 ? err_text(&err)
					  : "the image was removed after its pull");
	return emit(p, &ev);
}

static bool handle_line(struct image_pull *p, const char *text, size_t len)
{
	_cleanup_(json_decrefp) json_t *line = NULL;
	const char *event;

	if (json_parse(text, len, &line, NULL) < 0)
		return emit_failure(p, IMAGE_PULL_E_INTERNAL, "ecs-image wrote a damaged line");
	event = json_get_string(line, "event", "");
	if (strcmp(event, "resolved") == 0)
		return emit(p, &(struct image_pull_event){
				       .type = IMAGE_PULL_RESOLVED,
				       .digest = json_get_string(line, "digest", NULL) });
	if (strcmp(event, "progress") == 0)
		return emit(p,
			    &(struct image_pull_event){ .type = IMAGE_PULL_PROGRESS,
							.bytes = json_get_int(line, "bytes", 0),
							.total = json_get_int(line, "total", 0) });
	if (strcmp(event, "retry") == 0)
		return emit(p, &(struct image_pull_event){
				       .type = IMAGE_PULL_RETRY,
				       .message = json_get_string(line, "message", "") });
	if (strcmp(event, "done") == 0)
		return on_pulled(p, line);
	if (strcmp(event, "failed") == 0)
		return emit_failure(p, parse_failure(json_get_string(line, "kind", "")),
				    json_get_string(line, "message", "no reason given"));
	return true;
}

/* Handles whole lines. Returns false when a callback freed @p. */
static bool handle_lines(struct image_pull *p)
{
	char *newline;

	while (p->lines.len > 0 && (newline = memchr(p->lines.data, '\n', p->lines.len))) {
		size_t len = (size_t) (newline - p->lines.data);

		if (!handle_line(p, p->lines.data, len))
			return false;
		buf_consume(&p->lines, len + 1);
	}
	return true;
}

/* Reads what is there. *ret_end: no more will come. Returns false when a callback freed @p. */
static bool read_output(struct image_pull *p, bool *ret_end)
{
	char chunk[4096];
	ssize_t n;

	*ret_end = false;
	while ((n = read(p->output_fd, chunk, sizeof(chunk))) > 0) {
		if (!buf_append(&p->lines, chunk, (size_t) n))
			return emit_failure(p, IMAGE_PULL_E_INTERNAL,
					    "ecs-image wrote a line longer than 64 KiB");
		if (!handle_lines(p))
			return false;
	}
	*ret_end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	return true;
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct image_pull *p = userdata;
	bool end;

	(void) s, (void) fd, (void) revents;
	if (read_output(p, &end) && end)
		p->output_source = sd_event_source_disable_unref(p->output_source);
	return 0;
}

/* The process is gone: if it said nothing final, its end is the result. */
static int on_exit_of_child(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct image_pull *p = userdata;
	char text[128];
	bool end;
	int code;

	(void) s, (void) fd, (void) revents;
	code = spawn_reap(p->pidfd);
	if (code == -EAGAIN)
		return 0;
	p->exit_source = sd_event_source_disable_unref(p->exit_source);
	p->pidfd = safe_close(p->pidfd);
	if (!read_output(p, &end) || p->finished)
		return 0;
	if (p->cancelled) {
		(void) emit_failure(p, IMAGE_PULL_E_CANCELLED, "the pull was cancelled");
		return 0;
	}
	(void) snprintf(text, sizeof(text), "ecs-image ended without a result (status %d)", code);
	(void) emit_failure(p, IMAGE_PULL_E_INTERNAL, text);
	return 0;
}

/* The read end of a pipe that holds the credentials; they fit, so nobody waits. */
static int make_credentials(const struct image_pull_params *params, int *ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	_cleanup_(closep) int read_end = -EBADF, write_end = -EBADF;
	char *text;
	size_t len;
	int fds[2], k;

	obj = json_pack("{s:s, s:s}", "username", params->username, "password",
			params->password ? params->password : "");
	text = obj ? json_to_text(obj) : NULL;
	if (!text)
		return err_set(err, EINVAL, "registry credentials: not UTF-8");
	len = strlen(text);
	if (len > CREDENTIALS_MAX) {
		k = err_set(err, E2BIG, "registry credentials: longer than %d bytes",
			    CREDENTIALS_MAX);
	} else if (pipe2(fds, O_CLOEXEC) < 0) {
		k = err_set_errno(err, errno, "registry credentials: make pipe");
	} else {
		read_end = fds[0];
		write_end = fds[1];
		k = fs_write_all(write_end, text, len);
		if (k < 0)
			(void) err_set_errno(err, -k, "registry credentials: write");
	}
	explicit_bzero(text, len);
	free(text);
	if (k == 0)
		*ret = TAKE_FD(read_end);
	return k;
}

static int build_argv(const struct image_pull_params *p, char ***ret)
{
	_cleanup_(strv_freep) char **argv = NULL;
	char seconds[32], niceness[16];
	const char *fixed[] = {
		"ecs-image",  "--json",
		"--store",    p->store_dir ? p->store_dir : IMAGE_STORE_DIR_DEFAULT,
		"--timeout",  seconds,
		"--behavior", image_pull_behavior_name(p->behavior),
	};
	int k = 0;

	(void) snprintf(seconds, sizeof(seconds), "%lld",
			(long long) CLAMP(
				p->inactivity_timeout_ms > 0 ? p->inactivity_timeout_ms / 1000 : 60,
				1, 86400));
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && k == 0; i++)
		k = strv_append(&argv, fixed[i]);
	if (k == 0 && p->platform && (k = strv_append(&argv, "--platform")) == 0)
		k = strv_append(&argv, p->platform);
	(void) snprintf(niceness, sizeof(niceness), "%d", p->nice);
	if (k == 0 && p->nice > 0 && (k = strv_append(&argv, "--nice")) == 0)
		k = strv_append(&argv, niceness);
	if (k == 0 && p->mirrors && *p->mirrors && (k = strv_append(&argv, "--mirrors")) == 0)
		k = strv_append(&argv, p->mirrors);
	if (k == 0 && p->username && (k = strv_append(&argv, "--credentials-fd")) == 0)
		k = strv_append(&argv, "4");
	if (k == 0)
		k = strv_append(&argv, "--");
	if (k == 0)
		k = strv_append(&argv, "pull");
	if (k == 0)
		k = strv_append(&argv, p->reference);
	if (k == 0)
		*ret = TAKE_PTR(argv);
	return k;
}

static int spawn_child(struct image_pull *p, const struct image_pull_params *params,
		       struct err *err)
{
	_cleanup_(strv_freep) char **argv = NULL;
	_cleanup_(closep) int credentials = -EBADF, write_end = -EBADF;
	struct spawn_fd fds[3];
	struct spawn_params sp = { .path = params->program ? params->program
							   : PKGLIBEXECDIR "/ecs-image",
				   .fds = fds,
				   .new_session = true,
				   .ends_with_us = true };
	int ends[2], k;

	if (build_argv(params, &argv) < 0)
		return err_set(err, ENOMEM, "start pull");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "start pull: make pipe");
	p->output_fd = ends[0];
	write_end = ends[1];
	if (fcntl(p->output_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_set_errno(err, errno, "start pull");
	fds[sp.n_fds++] = (struct spawn_fd){ write_end, STDOUT_FILENO };
	fds[sp.n_fds++] = (struct spawn_fd){ STDERR_FILENO, STDERR_FILENO };
	if (params->username) {
		k = make_credentials(params, &credentials, err);
		if (k < 0)
			return k;
		fds[sp.n_fds++] = (struct spawn_fd){ credentials, CREDENTIALS_FD };
	}
	sp.argv = argv;
	return spawn(&sp, NULL, &p->pidfd, err);
}

static int add_sources(struct image_pull *p, struct err *err)
{
	int k = sd_event_add_io(p->loop, &p->output_source, p->output_fd, EPOLLIN, on_output, p);

	if (k >= 0)
		k = sd_event_add_io(p->loop, &p->exit_source, p->pidfd, EPOLLIN, on_exit_of_child,
				    p);
	if (k < 0)
		return err_set_errno(err, -k, "watch pull");
	(void) sd_event_source_set_description(p->output_source, "image-pull-output");
	(void) sd_event_source_set_description(p->exit_source, "image-pull-exit");
	return 0;
}

int image_pull_start(sd_event *loop, const struct image_pull_params *params, image_pull_fn on_event,
		     void *userdata, struct image_pull **ret, struct err *err)
{
	_cleanup_(image_pull_freep) struct image_pull *p = calloc(1, sizeof(*p));
	int k;

	if (!p)
		return err_set(err, ENOMEM, "start pull");
	p->output_fd = p->pidfd = -EBADF;
	p->lines.max_bytes = LINE_MAX_BYTES;
	p->loop = sd_event_ref(loop);
	p->on_event = on_event;
	p->userdata = userdata;
	if (strdup_to(&p->store_dir,
		      params->store_dir ? params->store_dir : IMAGE_STORE_DIR_DEFAULT) < 0)
		return err_set(err, ENOMEM, "start pull");
	k = spawn_child(p, params, err);
	if (k == 0)
		k = add_sources(p, err);
	if (k < 0)
		return err ? err_wrap(err, "pull '%.200s'", params->reference) : k;
	*ret = TAKE_PTR(p);
	return 0;
}

void image_pull_cancel(struct image_pull *p)
{
	p->cancelled = true;
	if (p->pidfd >= 0)
		(void) pidfd_send_signal(p->pidfd, SIGTERM, NULL, 0);
}

static int on_orphan_exit(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void) revents, (void) userdata;
	if (spawn_reap(fd) != -EAGAIN)
		(void) sd_event_source_set_floating(s, false); /* drops source and descriptor */
	return 0;
}

/* Its end is not waited for here; the loop reaps it when it comes. It removes its work first. */
static void abandon_child(struct image_pull *p)
{
	sd_event_source *s = NULL;

	p->exit_source = sd_event_source_disable_unref(p->exit_source);
	if (p->pidfd < 0)
		return;
	(void) pidfd_send_signal(p->pidfd, SIGTERM, NULL, 0);
	if (sd_event_add_io(p->loop, &s, p->pidfd, EPOLLIN, on_orphan_exit, NULL) < 0)
		return;
	(void) sd_event_source_set_io_fd_own(s, true);
	p->pidfd = -EBADF;
	(void) sd_event_source_set_floating(s, true);
	(void) sd_event_source_unref(s);
}

struct image_pull *image_pull_free(struct image_pull *p)
{
	if (!p)
		return NULL;
	if (p->freed)
		*p->freed = true;
	p->output_source = sd_event_source_disable_unref(p->output_source);
	abandon_child(p);
	p->pidfd = safe_close(p->pidfd);
	p->output_fd = safe_close(p->output_fd);
	buf_done(&p->lines);
	free(p->store_dir);
	(void) sd_event_unref(p->loop);
	free(p);
	return NULL;
}
