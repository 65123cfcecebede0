/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/image-cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/spawn.h"
#include "common/strv.h"

enum {
	DISK_CHECK_MS = 60 * 1000,
	DISK_CHECK_MAX_MS = 30 * 60 * 1000, /* while nothing is left to remove */
	DEADLINE_MS = 30 * 60 * 1000,
	LINE_MAX_BYTES = 64 * 1024,
	EXCLUDED_MAX = 1000,
};

struct image_cleanup {
	struct engine *engine; /* borrowed */
	sd_event_source *interval, *disk;
	int64_t disk_wait_ms;

	/* The child, while there is one. */
	sd_event_source *output, *exit, *deadline;
	int output_fd, pidfd;
	struct buf lines;
	int64_t freed;
	bool pressure;   /* it could not do enough */
	bool look_again; /* somebody asked while it was at work */
};

static bool is_wanted(const struct config *c)
{
	return !c->image_cleanup_disabled && c->pull_behavior != PULL_PREFER_CACHED;
}

/* ---- what to ask for ---- */

static int append(char ***argv, const char *fmt, ...) _printf_(2, 3);

static int append(char ***argv, const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (k < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return strv_append(argv, text);
}

/* Images of tasks that are not cleaned up yet; a container that waits may have no pin so far. */
static int append_in_use(const struct engine *e, char ***argv)
{
	_cleanup_(strv_freep) char **keep = NULL;
	int k = 0;

	for (size_t i = 0; i < e->n_tasks; i++) {
		const struct task *t = e->tasks[i];

		for (size_t j = 0; k == 0 && j < t->n_containers; j++) {
			const struct container *c = &t->containers[j];
			const char *name = c->image_id ? c->image_id : c->image;

			if (name && !strv_contains(keep, name))
				k = strv_append(&keep, name);
		}
	}
	for (char **name = keep; k == 0 && name && *name; name++)
		k = append(argv, "--keep=%s", *name);
	return k;
}

/* ECS_EXCLUDE_UNTRACKED_IMAGE: names, set apart by commas. */
static int append_excluded(const struct engine *e, char ***argv)
{
	const char *p = e->config->image_exclusions;
	int k = 0;

	for (int n = 0; k == 0 && p && *p && n < EXCLUDED_MAX; n++) {
		const char *start = p + strspn(p, " \t");
		size_t len = strcspn(start, ",");

		p = start + len + (start[len] == ',');
		while (len > 0 && strchr(" \t", start[len - 1]))
			len--;
		if (len > 0)
			k = append(argv, "--keep=%.*s", (int) len, start);
	}
	return k;
}

char **image_cleanup_arguments(const struct engine *e, bool interval)
{
	const struct config *c = e->config;
	_cleanup_(strv_freep) char **argv = NULL;
	int k = append(&argv, "ecs-image");

	if (k == 0)
		k = append(&argv, "--json");
	if (k == 0)
		k = append(&argv, "--store=%s", c->image_dir);
	if (k == 0 && c->image_high_percent < 100)
		k = append(&argv, "--pressure=%" PRId64 ":%" PRId64, c->image_high_percent,
			   MIN(c->image_low_percent, c->image_high_percent));
	if (k == 0)
		k = append(&argv, "--tracked");
	if (k == 0) /* of age none is but under pressure, when only that is looked at */
		k = append(&argv, "--min-age=%" PRId64,
			   interval ? c->image_min_age_ms / 1000 : INT64_C(3155760000));
	if (k == 0)
		k = append(&argv, "--limit=%" PRId64, c->images_per_cycle);
	if (k == 0 && c->untracked_image_cleanup)
		k = append(&argv, "--untracked=%" PRId64,
			   interval ? c->untracked_image_min_age_ms / 1000 : INT64_C(3155760000));
	if (k == 0)
		k = append_in_use(e, &argv);
	if (k == 0)
		k = append_excluded(e, &argv);
	if (k == 0)
		k = append(&argv, "prune");
	return k < 0 ? NULL : TAKE_PTR(argv);
}

/* ---- what the child says ---- */

static void on_removed(struct image_cleanup *c, const json_t *line)
{
	const json_t *names = json_object_get(line, "references");
	const char *id = json_get_string(line, "id", "");
	const char *name = json_string_value(json_array_get(names, 0));
	bool pressed = strcmp(json_get_string(line, "reason", ""), "pressure") == 0;

	(void) c;
	log_info("Removed image '%s' (%.19s, %" PRId64 " MB), %s", name ? name : "<none>", id,
		 json_get_int(line, "size", 0) / 1000000,
		 pressed ? "because its disk fills up" : "unused for longest");
}

static void on_pruned(struct image_cleanup *c, const json_t *line)
{
	const json_t *usage = json_object_get(line, "usage");

	c->freed = json_get_int(line, "freed", 0);
	c->pressure = json_is_true(json_object_get(line, "pressure"));
	if (c->pressure)
		log_warn(
			"The disk of the image store '%s' is filling up, and no image is left that "
			"may go: %" PRId64 " %% of the bytes and %" PRId64
			" %% of the inodes are used, %" PRId64 " MB are free",
			c->engine->config->image_dir, json_get_int(usage, "bytesPercent", 0),
			json_get_int(usage, "inodesPercent", 0),
			json_get_int(usage, "freeBytes", 0) / 1000000);
}

static void handle_line(struct image_cleanup *c, const char *text, size_t len)
{
	_cleanup_(json_decrefp) json_t *line = NULL;
	const char *event;

	if (json_parse(text, len, &line, NULL) < 0)
		return;
	event = json_get_string(line, "event", "");
	if (strcmp(event, "removed") == 0)
		on_removed(c, line);
	else if (strcmp(event, "pruned") == 0)
		on_pruned(c, line);
	else if (strcmp(event, "failed") == 0)
		log_warn("Failed to clean up images, trying again later: %s",
			 json_get_string(line, "message", "no reason given"));
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct image_cleanup *c = userdata;
	char chunk[4096], *newline;
	ssize_t n;

	(void) s, (void) revents;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (!buf_append(&c->lines, chunk, (size_t) n))
			break; /* too long a line: of no use, nor is what follows */
	while (c->lines.len > 0 && (newline = memchr(c->lines.data, '\n', c->lines.len))) {
		size_t len = (size_t) (newline - c->lines.data);

		handle_line(c, c->lines.data, len);
		buf_consume(&c->lines, len + 1);
	}
	if (n > 0 || n == 0 || (errno != EAGAIN && errno != EINTR))
		c->output = sd_event_source_disable_unref(c->output);
	return 0;
}

/* ---- the child ---- */

static void arm(sd_event_source *s, int64_t in_ms)
{
	(void) sd_event_source_set_time_relative(s, (uint64_t) in_ms * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static void forget_child(struct image_cleanup *c)
{
	c->output = sd_event_source_disable_unref(c->output);
	c->exit = sd_event_source_disable_unref(c->exit);
	c->deadline = sd_event_source_disable_unref(c->deadline);
	c->output_fd = safe_close(c->output_fd);
	c->pidfd = safe_close(c->pidfd);
	buf_done(&c->lines);
	c->lines = (struct buf){ .max_bytes = LINE_MAX_BYTES };
}

static int on_exit_of_child(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct image_cleanup *c = userdata;
	int code = spawn_reap(c->pidfd);

	(void) s, (void) fd, (void) revents;
	if (code == -EAGAIN)
		return 0;
	if (c->output)
		(void) on_output(c->output, c->output_fd, EPOLLIN, c);
	if (code != 0)
		log_warn("Image clean-up ended with status %d", code);
	/* Nothing to be had: look less often until something is. */
	c->disk_wait_ms = c->pressure && c->freed == 0
				  ? MIN(c->disk_wait_ms * 2, (int64_t) DISK_CHECK_MAX_MS)
				  : DISK_CHECK_MS;
	arm(c->disk, c->look_again ? 1 : c->disk_wait_ms);
	c->look_again = false;
	forget_child(c);
	return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct image_cleanup *c = userdata;

	(void) s, (void) usec;
	log_warn("Image clean-up takes longer than %d minutes, ending it", DEADLINE_MS / 60000);
	(void) pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	return 0;
}

static int watch(struct image_cleanup *c)
{
	sd_event *loop = c->engine->loop;
	int k = sd_event_add_io(loop, &c->output, c->output_fd, EPOLLIN, on_output, c);

	if (k >= 0)
		k = sd_event_add_io(loop, &c->exit, c->pidfd, EPOLLIN, on_exit_of_child, c);
	if (k >= 0)
		k = sd_event_add_time_relative(loop, &c->deadline, CLOCK_MONOTONIC,
					       (uint64_t) DEADLINE_MS * USEC_PER_MSEC, 0,
					       on_deadline, c);
	if (k >= 0)
		(void) sd_event_source_set_description(c->exit, "image-cleanup-exit");
	return k;
}

static int spawn_child(struct image_cleanup *c, bool interval, struct err *err)
{
	_cleanup_(strv_freep) char **argv = image_cleanup_arguments(c->engine, interval);
	_cleanup_(closep) int write_end = -EBADF;
	int ends[2], k;

	if (!argv)
		return err_set(err, ENOMEM, "start the clean-up of images");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "start the clean-up of images");
	c->output_fd = ends[0];
	write_end = ends[1];
	if (fcntl(c->output_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_set_errno(err, errno, "start the clean-up of images");

	const struct spawn_fd fds[] = { { write_end, STDOUT_FILENO },
					{ STDERR_FILENO, STDERR_FILENO } };

	k = spawn(&(struct spawn_params){ .path = c->engine->image_program,
					  .argv = argv,
					  .fds = fds,
					  .n_fds = ARRAY_SIZE(fds),
					  .new_session = true,
					  .ends_with_us = true },
		  NULL, &c->pidfd, err);
	if (k < 0)
		return k;
	k = watch(c);
	return k < 0 ? err_set_errno(err, -k, "watch the clean-up of images") : 0;
}

static void start(struct image_cleanup *c, bool interval)
{
	_cleanup_(err_done) struct err err = {};

	if (c->pidfd >= 0)
		return; /* at work; the next look comes by itself */
	c->freed = 0;
	c->pressure = false;
	if (spawn_child(c, interval, &err) == 0)
		return;
	log_warn("Failed to clean up images, trying again later: %s", err_text(&err));
	if (c->pidfd >= 0)
		(void) pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	forget_child(c);
}

/* ---- when ---- */

static int on_interval(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct image_cleanup *c = userdata;

	(void) usec;
	arm(s, c->engine->config->image_cleanup_interval_ms);
	start(c, true);
	return 0;
}

static bool is_filling(const struct image_cleanup *c)
{
	uint64_t limit = (uint64_t) c->engine->config->image_high_percent;
	struct statvfs v;

	if (limit >= 100 || statvfs(c->engine->config->image_dir, &v) < 0)
		return false;
	return (v.f_blocks - v.f_bfree) * 100 > limit * (v.f_blocks - v.f_bfree + v.f_bavail) ||
	       (v.f_files - v.f_ffree) * 100 > limit * (v.f_files - v.f_ffree + v.f_favail);
}

static int on_disk(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct image_cleanup *c = userdata;

	(void) usec;
	arm(s, c->disk_wait_ms);
	if (is_filling(c))
		start(c, false);
	else
		c->disk_wait_ms = DISK_CHECK_MS;
	return 0;
}

void image_cleanup_check_disk(struct image_cleanup *c, bool pull_failed)
{
	if (!c)
		return;
	if (pull_failed)
		c->disk_wait_ms = DISK_CHECK_MS;
	if (c->pidfd >= 0)
		c->look_again |= pull_failed;
	else if (c->disk_wait_ms == DISK_CHECK_MS) /* else it was in vain just now */
		arm(c->disk, 1);
}

void image_cleanup_run(struct image_cleanup *c)
{
	start(c, true);
}

struct image_cleanup *image_cleanup_free(struct image_cleanup *c)
{
	if (!c)
		return NULL;
	if (c->pidfd >= 0)
		(void) pidfd_send_signal(c->pidfd, SIGTERM, NULL, 0);
	forget_child(c);
	(void) sd_event_source_disable_unref(c->interval);
	(void) sd_event_source_disable_unref(c->disk);
	free(c);
	return NULL;
}

int image_cleanup_start(struct engine *e, struct image_cleanup **ret, struct err *err)
{
	struct image_cleanup *c;
	int k;

	if (!is_wanted(e->config))
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "start image clean-up");
	c->engine = e;
	c->output_fd = c->pidfd = -EBADF;
	c->lines.max_bytes = LINE_MAX_BYTES;
	c->disk_wait_ms = DISK_CHECK_MS;
	k = sd_event_add_time_relative(
		e->loop, &c->interval, CLOCK_MONOTONIC,
		(uint64_t) e->config->image_cleanup_interval_ms * USEC_PER_MSEC, 0, on_interval, c);
	if (k >= 0)
		k = sd_event_add_time_relative(e->loop, &c->disk, CLOCK_MONOTONIC,
					       (uint64_t) DISK_CHECK_MS * USEC_PER_MSEC, 0, on_disk,
					       c);
	if (k < 0) {
		(void) image_cleanup_free(c);
		return err_set_errno(err, -k, "add the image clean-up timers");
	}
	(void) sd_event_source_set_description(c->interval, "image-cleanup");
	(void) sd_event_source_set_description(c->disk, "image-disk");
	*ret = c;
	return 0;
}
