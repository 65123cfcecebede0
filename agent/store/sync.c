/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/sync.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024 };

struct sync {
	int fd, event_fd;
	sd_event_source *source;
	sync_fn fn;
	void *userdata;
	pthread_t thread;
	bool running; /* the thread was started */
	pthread_mutex_t lock;
	pthread_cond_t news;
	/* Under the lock. */
	uint64_t wanted, done;
	int error; /* -errno; after it nothing is believed any more, as the kernel forgets it */
	bool stop;
};

static void *work(void *userdata)
{
	struct sync *s = userdata;

	(void) pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		uint64_t target = s->wanted, one = 1;
		int error;

		if (target == s->done || s->error < 0) {
			(void) pthread_cond_wait(&s->news, &s->lock);
			continue;
		}
		(void) pthread_mutex_unlock(&s->lock);
		error = fdatasync(s->fd) < 0 ? -errno : 0;
		(void) pthread_mutex_lock(&s->lock);
		if (error == 0)
			s->done = target;
		s->error = error;
		(void) pthread_cond_broadcast(&s->news);
		(void) !write(s->event_fd, &one, sizeof(one));
	}
	(void) pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int on_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct sync *s = userdata;
	uint64_t count;
	int error;

	(void) source, (void) revents;
	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	(void) pthread_mutex_lock(&s->lock);
	error = s->error;
	(void) pthread_mutex_unlock(&s->lock);
	s->fn(error, s->userdata);
	return 0;
}

/* The loop's signals are the loop's. */
static int start_thread(struct sync *s)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int k = pthread_attr_init(&attr);

	if (k != 0)
		return -k;
	(void) sigfillset(&all);
	(void) pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void) pthread_sigmask(SIG_SETMASK, &all, &old);
	k = pthread_create(&s->thread, &attr, work, s);
	(void) pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void) pthread_attr_destroy(&attr);
	s->running = k == 0;
	return -k;
}

int sync_new(sd_event *loop, int fd, sync_fn fn, void *userdata, struct sync **ret, struct err *err)
{
	_cleanup_(sync_freep) struct sync *s = calloc(1, sizeof(*s));
	int k;

	if (!s)
		return err_set(err, ENOMEM, "start the disk's thread");
	s->fd = -EBADF;
	s->fn = fn;
	s->userdata = userdata;
	(void) pthread_mutex_init(&s->lock, NULL);
	(void) pthread_cond_init(&s->news, NULL);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		return err_set_errno(err, errno, "start the disk's thread");
	k = sd_event_add_io(loop, &s->source, s->event_fd, EPOLLIN, on_event, s);
	if (k >= 0)
		k = start_thread(s);
	if (k < 0)
		return err_set_errno(err, -k, "start the disk's thread");
	(void) sd_event_source_set_description(s->source, "store-sync");
	s->fd = fd; /* the thread looks at it after the first request only */
	*ret = TAKE_PTR(s);
	return 0;
}

struct sync *sync_free(struct sync *s)
{
	if (!s)
		return NULL;
	if (s->running) {
		(void) pthread_mutex_lock(&s->lock);
		s->stop = true;
		(void) pthread_cond_broadcast(&s->news);
		(void) pthread_mutex_unlock(&s->lock);
		(void) pthread_join(s->thread, NULL);
	}
	(void) sd_event_source_disable_unref(s->source);
	(void) safe_close(s->event_fd);
	(void) safe_close(s->fd);
	(void) pthread_cond_destroy(&s->news);
	(void) pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

uint64_t sync_request(struct sync *s)
{
	uint64_t number;

	(void) pthread_mutex_lock(&s->lock);
	number = ++s->wanted;
	(void) pthread_cond_broadcast(&s->news);
	(void) pthread_mutex_unlock(&s->lock);
	return number;
}

uint64_t sync_done(struct sync *s)
{
	uint64_t done;

	(void) pthread_mutex_lock(&s->lock);
	done = s->done;
	(void) pthread_mutex_unlock(&s->lock);
	return done;
}

int sync_wait(struct sync *s, uint64_t number)
{
	int k;

	(void) pthread_mutex_lock(&s->lock);
	while (s->done < number && s->error == 0)
		(void) pthread_cond_wait(&s->news, &s->lock);
	k = s->done < number ? s->error : 0;
	(void) pthread_mutex_unlock(&s->lock);
	return k;
}
