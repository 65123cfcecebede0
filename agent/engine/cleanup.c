/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stopped task stays for its logs and its metadata, then goes with all it left on the disk, once
 * the service knows that it stopped. Trees are removed by a child process: they may be large.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "agent/engine/metadata-file.h"
#include "agent/store/store.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/spawn.h"

enum {
	LOCAL_GRACE_MS = 5000, /* for whoever waits for the end of a local task */
	UNDELIVERED_CHECK_MS = 30000,
	DELIVERED_CHECK_MS = 1000,
	AGAIN_MS = 1000,
	AGAIN_MAX_MS = 15000,
	TRASH_AGAIN_MS = 1000,
	TRASH_AGAIN_MAX_MS = 600000,
};

/* ---- trees ---- */

static void empty_trash(struct engine *e);

static int on_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;

	(void) s, (void) usec;
	e->trash_work = sd_event_source_disable_unref(e->trash_work);
	empty_trash(e);
	return 0;
}

static void empty_trash_later(struct engine *e)
{
	int64_t in_ms = backoff_next_ms(&e->trash_backoff);

	if (sd_event_add_time_relative(e->loop, &e->trash_work, CLOCK_MONOTONIC,
				       (uint64_t) in_ms * USEC_PER_MSEC, 0, on_again, e) < 0)
		return; /* the next tree that comes in tries again */
	(void) sd_event_source_set_description(e->trash_work, "trash-again");
}

static int on_emptied(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct engine *e = userdata;
	int k = spawn_reap(fd);

	(void) s, (void) revents;
	e->trash_work = sd_event_source_disable_unref(e->trash_work);
	if (k == 0)
		backoff_reset(&e->trash_backoff);
	if (e->trash_grew) { /* while it was emptied, so some may have been missed */
		empty_trash(e);
	} else if (k != 0) {
		log_warn("Failed to empty '%s', trying again: find ended with %d", e->trash, k);
		empty_trash_later(e);
	}
	return 0;
}

/*
 * The directory itself stays: whoever took it away would do so between somebody's look for it and the
 * rename into it. And the child of an agent that was killed may still be at work beside ours.
 */
static void empty_trash(struct engine *e)
{
	char *argv[] = { (char[]){ "find" },      e->trash,
			 (char[]){ "-xdev" },     (char[]){ "-ignore_readdir_race" },
			 (char[]){ "-mindepth" }, (char[]){ "1" },
			 (char[]){ "-delete" },   NULL };
	_cleanup_(err_done) struct err err = {};
	int pidfd = -EBADF;

	e->trash_grew = e->trash_work != NULL;
	if (e->trash_work)
		return;
	if (spawn(&(struct spawn_params){ .path = "find", .argv = argv }, NULL, &pidfd, &err) < 0 ||
	    sd_event_add_io(e->loop, &e->trash_work, pidfd, EPOLLIN, on_emptied, e) < 0) {
		log_warn("Failed to empty '%s', trying again: %s", e->trash, err_text(&err));
		(void) safe_close(pidfd);
		empty_trash_later(e);
		return;
	}
	(void) sd_event_source_set_io_fd_own(e->trash_work, true);
	(void) sd_event_source_set_description(e->trash_work, "trash");
}

int cleanup_discard_dir(struct engine *e, const char *dir)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *to = NULL;
	char name[17];

	if (access(dir, F_OK) < 0)
		return 0;
	to = path_join("%s/%s", e->trash, random_hex(name, 16));
	if (!to || fs_mkdir_p(e->trash, 0700, &err) < 0 || rename(dir, to) < 0) {
		int k = err.code ? -err.code : to ? -errno : -ENOMEM;

		log_warn("Failed to discard '%s': %s", dir,
			 err.code ? err_text(&err) : strerrordesc_np(errno));
		return k;
	}
	empty_trash(e);
	return 0;
}

/* ---- tasks ---- */

static int64_t due_ms(const struct engine *e, struct task *t)
{
	if (t->run->remove_at_ms == 0 && t->remove_when_stopped && task_is_local(t))
		t->run->remove_at_ms = t->stopped_ms + LOCAL_GRACE_MS;
	if (t->run->remove_at_ms == 0)
		t->run->remove_at_ms = t->stopped_ms + e->config->task_cleanup_wait_ms +
				       random_below(e->config->task_cleanup_jitter_ms);
	return t->run->remove_at_ms;
}

static bool is_delivered(const struct engine *e, const struct task *t)
{
	_cleanup_(freep) char *body = NULL;
	int64_t id;

	return t->run->durable_sent == TASK_STOPPED &&
	       store_outbox_head(e->store, t->arn, &id, &body, NULL) == 0;
}

static bool discard_container(struct engine *e, struct container *c)
{
	_cleanup_(freep) char *dir = container_data_dir(c);
	_cleanup_(err_done) struct err err = {};
	bool done;

	if (!*c->id)
		return true;
	if (c->run->teardown)
		container_teardown(c);
	c->run->teardown = false;
	done = dir && cleanup_discard_dir(e, dir) == 0;
	CRASH_POINT(CLEANUP_DATA_DISCARDED);
	if (image_store_unpin(e->images, c->id, &err) < 0) {
		container_log(LOG_WARN, c, "Failed to let go of the image of '%s': %s", c->name,
			      err_text(&err));
		done = false;
	}
	CRASH_POINT(CLEANUP_UNPINNED);
	return done;
}

/* The row goes last: after a crash all of this is done again. */
static bool remove_task(struct engine *e, size_t i)
{
	struct task *t = e->tasks[i];
	_cleanup_(err_done) struct err err = {};
	bool done = true;

	CRASH_POINT(CLEANUP_BEFORE);
	for (size_t j = 0; j < t->n_containers; j++)
		done = discard_container(e, &t->containers[j]) && done;
	done = metadata_file_discard(t) == 0 && done;
	CRASH_POINT(METADATA_FILE_DISCARDED);
	task_teardown(t); /* once more, should a process have been in the way the first time */
	t->run->teardown = false;
	if (!volumes_discard(e, t) || !done)
		return false;
	if (store_delete_task(e->store, t, &err) < 0) {
		task_log(LOG_WARN, t, "Failed to forget '%s', trying again: %s", t->id,
			 err_text(&err));
		return false;
	}
	CRASH_POINT(CLEANUP_ROW_DELETED);
	task_log(LOG_DEBUG, t, "Task '%s' was cleaned up", t->id);
	if (e->callbacks.on_task_removed)
		e->callbacks.on_task_removed(e->callbacks.userdata, t);
	engine_drop_task(e, i);
	return true;
}

/* Soon at first: mostly it is a volume on its way out. */
static int64_t again_ms(struct task *t)
{
	struct task_run *r = t->run;

	r->cleanup_again_ms = MIN(MAX(2 * r->cleanup_again_ms, AGAIN_MS), AGAIN_MAX_MS);
	return r->cleanup_again_ms;
}

static void arm(struct engine *e, int64_t in_ms)
{
	(void) sd_event_source_set_time_relative(e->cleanup,
						 (uint64_t) MAX(in_ms, 1) * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(e->cleanup, SD_EVENT_ONESHOT);
}

static int on_cleanup(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	int64_t now = clock_real_ms(), next = INT64_MAX;

	(void) s, (void) usec;
	for (size_t i = e->n_tasks; i-- > 0;) {
		struct task *t = e->tasks[i];
		int64_t due;

		if (t->known != TASK_STOPPED)
			continue;
		due = due_ms(e, t);
		if (due > now)
			next = MIN(next, due - now);
		else if (!is_delivered(e, t))
			next = MIN(next, UNDELIVERED_CHECK_MS);
		else if (!remove_task(e, i))
			next = MIN(next, again_ms(t));
	}
	if (next != INT64_MAX)
		arm(e, next);
	return 0;
}

/* The service took a report, perhaps the one that a task waited for; many come at a time. */
void cleanup_delivered(struct engine *e)
{
	uint64_t at = UINT64_MAX, now = 0;
	int on = SD_EVENT_OFF;

	if (sd_event_source_get_enabled(e->cleanup, &on) < 0 || on == SD_EVENT_OFF ||
	    sd_event_source_get_time(e->cleanup, &at) < 0 ||
	    sd_event_now(e->loop, CLOCK_MONOTONIC, &now) < 0)
		return; /* off: no task waits to be cleaned up */
	if (at > now + DELIVERED_CHECK_MS * USEC_PER_MSEC)
		arm(e, DELIVERED_CHECK_MS);
}

void cleanup_schedule(struct engine *e)
{
	arm(e, 1);
}

int cleanup_start(struct engine *e, struct err *err)
{
	int k = sd_event_add_time_relative(e->loop, &e->cleanup, CLOCK_MONOTONIC, 0, 0, on_cleanup,
					   e);

	if (k >= 0)
		k = sd_event_source_set_enabled(e->cleanup, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "add the cleanup timer");
	(void) sd_event_source_set_description(e->cleanup, "engine-cleanup");
	e->trash_backoff = (struct backoff){
		.min_ms = TRASH_AGAIN_MS, .max_ms = TRASH_AGAIN_MAX_MS, .jitter = 0.2, .factor = 2
	};
	if (access(e->trash, F_OK) == 0)
		empty_trash(e); /* an earlier run did not get to it */
	return 0;
}
