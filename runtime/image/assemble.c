/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the layers of one image together: several at a time, each digest once, then the record. */
#include "runtime/image/fetch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/strv.h"
#include "runtime/image/space.h"

enum { LOCK_POLL_MS = 50, STEP_MS = 500, FLUSH_BYTES = 16 << 20 };

struct assembly {
	const struct fetch_layers *f;
	struct layer *layers;
	size_t n;
	int use_locks;
	int64_t total; /* compressed bytes to fetch */
	struct space_need need;
	struct flusher {
		pthread_t thread;
		bool started;
		atomic_bool busy;
		int fd;        /* borrowed: the store */
		int64_t bytes; /* received when it was started */
	} flusher;
};

/*
 * What is unpacked has to be on the disk before the image counts. Writing it out while more arrives
 * leaves little of that to wait for at the end.
 */
static void *flush(void *userdata)
{
	struct flusher *f = userdata;

	(void) syncfs(f->fd);
	atomic_store(&f->busy, false);
	return NULL;
}

static void end_flush(struct assembly *a)
{
	if (a->flusher.started)
		(void) pthread_join(a->flusher.thread, NULL);
	a->flusher.started = false;
}

static void flush_now_and_then(struct assembly *a)
{
	struct flusher *f = &a->flusher;

	if (a->f->env->bytes - f->bytes < FLUSH_BYTES || atomic_load(&f->busy))
		return;
	end_flush(a);
	f->bytes = a->f->env->bytes;
	f->fd = a->f->env->store->fd;
	atomic_store(&f->busy, true);
	f->started = pthread_create(&f->thread, NULL, flush, f) == 0;
	if (!f->started)
		atomic_store(&f->busy, false);
}

/*
 * While layers are worked on SIGTERM and SIGINT are asked after at each step, so that a pull that is
 * cancelled leaves nothing behind.
 */
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

bool fetch_is_interrupted(void)
{
	return interrupted != 0;
}

static void set_handler(void (*handler)(int))
{
	/* A second signal ends us at once: what then is left the next pull collects. */
	const struct sigaction sa = { .sa_handler = handler, .sa_flags = (int) SA_RESETHAND };

	(void) sigaction(SIGTERM, &sa, NULL);
	(void) sigaction(SIGINT, &sa, NULL);
}

/* A layer may be listed twice; the second waits for the first. */
static bool is_repeated(const struct assembly *a, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(a->layers[j].diff_id, a->layers[i].diff_id) == 0 &&
		    a->layers[j].state != LAYER_DONE)
			return true;
	return false;
}

/* Starts a waiting layer. Returns 1 when somebody else is at it. */
static int start_layer(struct assembly *a, size_t i, struct err *err)
{
	struct layer *l = &a->layers[i];
	int k;

	if (is_repeated(a, i))
		return 1;
	k = layer_lock(l, err);
	if (k != 0)
		return k;
	k = layer_find(l, i == 0, err); /* it may have come while we waited */
	if (k < 0 || l->state == LAYER_DONE) {
		layer_done(l);
		return k;
	}
	if (a->f->feed) {
		k = layer_start_unpack(l, err);
		return k < 0 ? k : a->f->feed(l, a->f->userdata, err);
	}
	return layer_start(l, err);
}

/* *ret_blocked: some layer waits for another process. */
static int start_layers(struct assembly *a, bool *ret_blocked, struct err *err)
{
	size_t running = 0;

	*ret_blocked = false;
	for (size_t i = 0; i < a->n; i++) {
		enum layer_state s = a->layers[i].state;

		running += s == LAYER_FETCHING || s == LAYER_UNPACKING;
	}
	for (size_t i = 0; i < a->n && running < FETCH_PARALLEL; i++) {
		int k;

		if (a->layers[i].state != LAYER_WAITING)
			continue;
		k = start_layer(a, i, err);
		if (k < 0)
			return k;
		*ret_blocked |= k == 1;
		running += k == 0 && a->layers[i].state != LAYER_DONE;
	}
	return 0;
}

static int advance_layers(struct assembly *a, bool *ret_all, struct err *err)
{
	bool all = true;

	for (size_t i = 0; i < a->n; i++) {
		struct layer *l = &a->layers[i];
		int k = l->state == LAYER_WAITING || l->state == LAYER_DONE ? 0
									    : layer_advance(l, err);

		if (k == 0 && l->state == LAYER_UNPACKED && (all || l->result.implied_len == 0))
			k = layer_commit(l, a->layers, i, err);
		if (k < 0)
			return k;
		all = all && l->state == LAYER_DONE;
	}
	*ret_all = all;
	return 0;
}

static int wait_for_something(struct assembly *a, int timeout_ms, struct err *err)
{
	struct curl_waitfd fds[3 * FETCH_PARALLEL + 3];
	unsigned int n = 0;

	for (size_t i = 0; i < a->n && n + 3 <= ARRAY_SIZE(fds); i++) {
		struct layer *l = &a->layers[i];

		if (l->pending.len > 0 && l->job.input_fd >= 0)
			fds[n++] = (struct curl_waitfd){ l->job.input_fd, CURL_WAIT_POLLOUT, 0 };
		if (l->job.inflate_fd >= 0)
			fds[n++] = (struct curl_waitfd){ l->job.inflate_fd, CURL_WAIT_POLLIN, 0 };
		if (l->job.apply_fd >= 0)
			fds[n++] = (struct curl_waitfd){ l->job.apply_fd, CURL_WAIT_POLLIN, 0 };
		if (parts_wait(&l->parts))
			timeout_ms = MIN(timeout_ms, LOCK_POLL_MS);
	}
	if (a->f->env->registry)
		return http_step(registry_http(a->f->env->registry), fds, n, timeout_ms, err);

	struct pollfd p[ARRAY_SIZE(fds)];

	for (unsigned int i = 0; i < n; i++)
		p[i] = (struct pollfd){ fds[i].fd,
					fds[i].events == CURL_WAIT_POLLOUT ? POLLOUT : POLLIN, 0 };
	(void) poll(p, n, timeout_ms);
	return 0;
}

static const char *state_name(const struct layer *l)
{
	if (l->state == LAYER_FETCHING)
		return parts_wait(&l->parts) ? "retrying" : "fetching";
	return l->state == LAYER_UNPACKING ? "unpacking" : "unpacked";
}

static void tell_progress(const struct assembly *a, bool force)
{
	struct progress_layer layers[FETCH_PARALLEL];
	struct progress p = {
		.bytes = a->f->env->bytes, .total = a->total, .n = a->n, .layers = layers
	};

	if (!report_wants_progress(a->f->report, force))
		return;
	for (size_t i = 0; i < a->n; i++) {
		const struct layer *l = &a->layers[i];

		p.done += l->state == LAYER_DONE;
		if (l->state == LAYER_WAITING || l->state == LAYER_DONE ||
		    p.n_layers == ARRAY_SIZE(layers))
			continue;
		layers[p.n_layers++] = (struct progress_layer){ l->blob->digest, state_name(l),
								l->received, l->blob->size };
	}
	report_progress(a->f->report, &p);
}

static int run(struct assembly *a, struct err *err)
{
	for (;;) {
		bool blocked = false, all = false;
		int k = interrupted ? err_set(err, ECANCELED, "the pull was cancelled")
				    : start_layers(a, &blocked, err);

		if (k == 0)
			k = advance_layers(a, &all, err);
		if (k < 0 || all)
			return k;
		tell_progress(a, false);
		flush_now_and_then(a);
		k = wait_for_something(a, blocked ? LOCK_POLL_MS : STEP_MS, err);
		if (k < 0)
			return k;
	}
}

/* A pull that cannot fit is refused before it fills the disk. */
static int check_space(const struct assembly *a, struct err *err)
{
	const struct image_store *store = a->f->env->store;
	struct statvfs v;

	return a->need.layers == 0 || fstatvfs(store->fd, &v) < 0
		       ? 0
		       : space_check(&a->need, &v, store->dir, err);
}

/* What unpacks to more than there was room for: the disk, and how large it is. */
static int explain_space(const struct assembly *a, struct err *err)
{
	const struct image_store *store = a->f->env->store;
	struct statvfs v;

	return fstatvfs(store->fd, &v) < 0 ? -ENOSPC : space_explain(&a->need, &v, store->dir, err);
}

/* Locks each layer against removal, then looks which are there. */
static int find_layers(struct assembly *a, struct err *err)
{
	const struct fetch_layers *f = a->f;

	for (size_t i = 0; i < a->n; i++) {
		struct layer *l = &a->layers[i];
		int k;

		layer_init(l, f->env, &f->blobs[i], f->doc->diff_ids[i],
			   i > 0 ? a->layers[i - 1].chain_id : NULL);
		k = store_lock(f->env->store, &a->use_locks, STORE_LOCK_USE, l->diff_id, false,
			       true, err);
		if (k == 0)
			k = store_lock(f->env->store, &a->use_locks, STORE_LOCK_USE, l->chain_id,
				       false, true, err);
		if (k == 0)
			k = layer_find(l, i == 0, err);
		if (k < 0)
			return k;
		if (l->state == LAYER_DONE || is_repeated(a, i))
			continue;
		a->total += l->blob->size;
		space_add(&a->need, l->blob);
	}
	return 0;
}

/* The directories, lowest first. Overlayfs refuses one that comes twice; the upper one hides all
 * that the lower would show. */
static json_t *list_directories(const struct assembly *a)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < a->n; i++) {
		char name[STORE_LAYER_NAME_MAX];
		bool again = false;

		for (size_t j = i + 1; j < a->n; j++)
			again |= strcmp(a->layers[i].stored_as, a->layers[j].stored_as) == 0;
		store_layer_name(a->layers[i].stored_as, name);
		if (!again && json_array_append_new(list, json_string(name)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int record(const struct assembly *a, struct err *err)
{
	const struct image_document *doc = a->f->doc;
	_cleanup_(json_decrefp) json_t *obj = NULL;
	int64_t size = 0;

	for (size_t i = 0; i < a->n; i++)
		size += a->layers[i].size;
	obj = json_pack("{s:s, s:s, s:s, s:s*, s:I, s:o, s:O*}", "id", a->f->id, "os",
			doc->platform.os, "architecture", doc->platform.architecture, "variant",
			doc->platform.variant, "size", (json_int_t) size, "layers",
			list_directories(a), "config", doc->config);
	if (!obj)
		return err_set(err, ENOMEM, "record image");
	return store_put_record(a->f->env->store, a->f->id, obj, err);
}

/* Layers first, then what names them: after a power cut an image is whole or absent. */
static int settle(const struct assembly *a, struct err *err)
{
	int k = 0;

	if (a->total == 0)
		return 0;
	if (syncfs(a->f->env->store->fd) < 0)
		return err_set_errno(err, errno, "sync image store");
	for (size_t i = 0; i < a->n && k >= 0; i++)
		k = store_settle_layer(a->f->env->store, a->layers[i].stored_as, err);
	return k < 0 ? k : 0;
}

/* What pulls before this one left behind goes first: it may be what fills the disk. */
static int bring_all(struct assembly *a, struct err *err)
{
	int k;

	if (a->total > 0)
		store_collect(a->f->env->store);
	k = check_space(a, err);
	if (k < 0)
		return k;
	k = run(a, err);
	end_flush(a);
	if (k == 0 && a->total > 0)
		tell_progress(a, true);
	if (k == 0)
		k = store_put_document(a->f->env->store, a->f->id, a->f->doc->text,
				       a->f->doc->text_len, a->total == 0, err);
	if (k == 0)
		k = settle(a, err);
	if (k == 0)
		k = record(a, err);
	return k == -ENOSPC ? explain_space(a, err) : k;
}

int fetch_layers(const struct fetch_layers *f, struct err *err)
{
	struct assembly a = { .f = f, .n = f->n_blobs, .use_locks = -EBADF };
	int k;

	if (strv_length(f->doc->diff_ids) != f->n_blobs)
		return err_set(err, EPROTO,
			       "the manifest has %zu layers, the image configuration %zu diff_ids",
			       f->n_blobs, strv_length(f->doc->diff_ids));
	a.layers = calloc(a.n + 1, sizeof(*a.layers));
	if (!a.layers)
		return err_set(err, ENOMEM, "fetch layers");
	interrupted = 0;
	set_handler(on_signal);
	k = find_layers(&a, err);
	if (k == 0)
		k = bring_all(&a, err);
	for (size_t i = 0; i < a.n; i++)
		if (a.layers[i].env)
			layer_done(&a.layers[i]);
	free(a.layers);
	(void) safe_close(a.use_locks);
	set_handler(SIG_DFL);
	return k;
}
