/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/strv.h"
#include "runtime/image/reference.h"

/*
 * A container that just got its image has not pinned it yet. Besides, marks of use are as coarse as
 * the clock of the file system; two within one tick look alike.
 */
enum { JUST_USED_MS = 60 * 1000 };

struct candidate {
	char *id;    /* owned */
	char **refs; /* owned */
	int64_t size_bytes, pulled_at_ms;
	struct timespec used; /* zero: never */
	bool loaded;          /* some reference came from a file: no registry may have it */
	bool tracked, kept, gone;
};

struct pruning {
	struct image_store *store;
	const struct prune_params *params;
	char **keep; /* owned: canonical references, and ids */
	struct candidate *list;
	size_t n;
	int64_t now_ms;
	void (*on_image)(const struct prune_image *image, void *userdata);
	void *userdata;
	struct prune_result *result;
};

static int percent(uint64_t used, uint64_t available)
{
	return used + available == 0
		       ? 0
		       : (int) ((used * 100 + used + available - 1) / (used + available));
}

int store_usage_get(int fd, struct store_usage *ret)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) < 0)
		return -errno;
	*ret = (struct store_usage){
		.bytes_percent = percent(v.f_blocks - v.f_bfree, v.f_bavail),
		.inodes_percent = percent(v.f_files - v.f_ffree, v.f_favail),
		.free_bytes = (uint64_t) v.f_bavail * v.f_frsize,
		.total_bytes = (uint64_t) v.f_blocks * v.f_frsize,
		.free_inodes = v.f_favail,
	};
	return 0;
}

static int64_t to_ms(const struct timespec *t)
{
	return (int64_t) t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* ---- what there is ---- */

static struct candidate *find(const struct pruning *p, const char *id)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i].id, id) == 0)
			return &p->list[i];
	return NULL;
}

static int add_candidate(const char *id, void *userdata, struct err *err)
{
	struct pruning *p = userdata;
	_cleanup_(json_decrefp) json_t *record = NULL;
	struct candidate *grown, *c;

	if (store_get_record(p->store, id, &record, NULL) < 0)
		record = NULL;
	grown = reallocarray(p->list, p->n + 1, sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "list images");
	p->list = grown;
	c = &grown[p->n++];
	*c = (struct candidate){ .id = strdup(id), .size_bytes = json_get_int(record, "size", 0) };
	if (!c->id)
		return err_set(err, ENOMEM, "list images");
	c->tracked = store_last_used(p->store, id, &c->used, NULL) == 0;
	c->kept = strv_contains(p->keep, id);
	return 0;
}

static int add_ref(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct pruning *p = userdata;
	struct candidate *c = find(p, ref->id);

	if (!c)
		return 0;
	c->pulled_at_ms = MAX(c->pulled_at_ms, ref->at_ms);
	c->kept |= strv_contains(p->keep, ref->reference);
	c->loaded |= strcmp(ref->origin, "pull") != 0;
	return strv_append(&c->refs, ref->reference) < 0 ? err_set(err, ENOMEM, "list images") : 0;
}

static int keep_pinned(const char *name, const char *id, void *userdata, struct err *err)
{
	struct candidate *c = find(userdata, id);

	(void) name, (void) err;
	if (c)
		c->kept = true;
	return 0;
}

/* What is no reference is an id, or matches nothing. */
static int add_keep(struct pruning *p, const char *text, struct err *err)
{
	_cleanup_(reference_done) struct reference ref = {};
	_cleanup_(freep) char *canonical = NULL;

	if (strv_append(&p->keep, text) < 0)
		return err_set(err, ENOMEM, "list images");
	if (reference_parse(text, &ref, NULL) < 0)
		return 0;
	canonical = reference_text(&ref);
	return !canonical || strv_append(&p->keep, canonical) < 0
		       ? err_set(err, ENOMEM, "list images")
		       : 0;
}

/* Tracked images by last use; then the others, smallest first. */
static int by_worth(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->tracked != y->tracked)
		return x->tracked ? -1 : 1;
	if (!x->tracked && x->size_bytes != y->size_bytes)
		return x->size_bytes < y->size_bytes ? -1 : 1;
	if (to_ms(&x->used) != to_ms(&y->used))
		return to_ms(&x->used) < to_ms(&y->used) ? -1 : 1;
	return strcmp(x->id, y->id);
}

static int collect(struct pruning *p, struct err *err)
{
	int k = 0;

	for (char *const *text = p->params->keep; k == 0 && text && *text; text++)
		k = add_keep(p, *text, err);
	if (k == 0)
		k = store_each_image(p->store, add_candidate, p, err);
	if (k == 0)
		k = store_each_ref(p->store, add_ref, p, err);
	if (k == 0)
		k = image_store_list_pins(p->store, keep_pinned, p, err);
	if (k == 0 && p->n > 0)
		qsort(p->list, p->n, sizeof(*p->list), by_worth);
	return k;
}

/* ---- what goes ---- */

static bool is_old(const struct pruning *p, const struct candidate *c, int64_t age_ms)
{
	return p->now_ms - c->pulled_at_ms >= age_ms;
}

/* @pressed: age does not count. */
static bool may_go(const struct pruning *p, const struct candidate *c, bool pressed)
{
	const struct prune_params *q = p->params;

	if (c->kept || c->gone || (c->tracked && p->now_ms - to_ms(&c->used) < JUST_USED_MS))
		return false;
	if (!c->refs)
		return true;
	if (q->what == PRUNE_DANGLING)
		return false;
	if (q->what == PRUNE_ALL || (c->tracked && !c->loaded))
		return pressed || is_old(p, c, q->min_age_ms);
	return q->untracked && (pressed || is_old(p, c, q->untracked_min_age_ms));
}

static int drop(struct pruning *p, struct candidate *c, enum prune_reason reason, struct err *err)
{
	const struct prune_image image = { .id = c->id,
					   .references = c->refs,
					   .size_bytes = c->size_bytes,
					   .pulled_at_ms = c->pulled_at_ms,
					   .used_at_ms = to_ms(&c->used),
					   .reason = reason };
	_cleanup_(err_done) struct err why = {};
	int k = p->params->dry_run
			? 0
			: store_remove_unused(p->store, c->id, c->tracked ? &c->used : NULL, &why);

	c->gone = true;
	if (k == -EBUSY) /* came into use */
		return 0;
	if (k < 0)
		return err_move(err, &why);
	p->result->images += k == 0;
	if (k == 0 && p->on_image)
		p->on_image(&image, p->userdata);
	return 0;
}

static int drop_unused(struct pruning *p, struct err *err)
{
	int64_t left = p->params->max_images > 0 ? p->params->max_images : INT64_MAX;
	int k = 0;

	for (size_t i = 0; i < p->n && k == 0 && left > 0; i++) {
		size_t before = p->result->images;

		if (may_go(p, &p->list[i], false))
			k = drop(p, &p->list[i], PRUNE_UNUSED, err);
		left -= (int64_t) (p->result->images - before);
	}
	return k;
}

static bool is_above(const struct pruning *p, int limit)
{
	struct store_usage *u = &p->result->usage;

	return store_usage_get(p->store->fd, u) == 0 && limit < 100 &&
	       (u->bytes_percent > limit || u->inodes_percent > limit);
}

static int relieve(struct pruning *p, struct err *err)
{
	int k = 0;

	if (p->params->dry_run || !is_above(p, p->params->high_percent))
		return 0;
	for (size_t i = 0; i < p->n && k == 0 && is_above(p, p->params->low_percent); i++)
		if (may_go(p, &p->list[i], true))
			k = drop(p, &p->list[i], PRUNE_PRESSURE, err);
	p->result->pressure = is_above(p, p->params->high_percent);
	return k;
}

static void done(struct pruning *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].id);
		(void) strv_free(p->list[i].refs);
	}
	free(p->list);
	(void) strv_free(p->keep);
}

int prune(struct image_store *s, const struct prune_params *params,
	  void (*on_image)(const struct prune_image *image, void *userdata), void *userdata,
	  struct prune_result *ret, struct err *err)
{
	struct pruning p = { .store = s,
			     .params = params,
			     .now_ms = clock_real_ms(),
			     .on_image = on_image,
			     .userdata = userdata,
			     .result = ret };
	int k;

	*ret = (struct prune_result){};
	s->freed_bytes = 0;
	if (!params->dry_run)
		store_collect(s);
	k = collect(&p, err);
	if (k == 0 && !params->dry_run)
		k = store_sweep(s, err);
	if (k == 0)
		k = drop_unused(&p, err);
	if (k == 0)
		k = relieve(&p, err);
	(void) store_usage_get(s->fd, &ret->usage);
	ret->freed_bytes = s->freed_bytes;
	done(&p);
	return k;
}
