/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/strv.h"
#include "runtime/image/layer.h"

enum {
	MOVED_MIN = 64 * 1024,        /* bytes that make a try one that got further */
	HAND_ON = 256 * 1024,         /* at once, of what is kept */
	STRIDE_GROWTH = 8,            /* each pause between two requests is a smaller share */
	FAST_BYTES_PER_MS = 64 << 10, /* a connection that is no bottleneck */
};

struct part {
	struct layer *layer; /* borrowed */
	struct registry_call call;
	int64_t from, to; /* of the layer's bytes; @to is the first that is not ours */
	int64_t received;
	int64_t skip;        /* of the answer, before what was asked for; -1: no byte came yet */
	int64_t retry_at_ms; /* monotonic; 0: no retry is due */
	struct buf kept;     /* came before its turn */
	size_t handed_on;    /* of it */
	bool paused;
	bool complete;
	bool useless; /* the answer is the whole blob, and not ours to take */
};

static bool is_first(const struct part *p)
{
	return p->layer->parts.part[0] == p;
}

static void part_free(struct part *p)
{
	registry_call_done(&p->call);
	buf_done(&p->kept);
	free(p);
}

/* All but the first: what they were to bring is planned anew. */
static void drop_ahead(struct layer *l)
{
	struct parts *s = &l->parts;

	while (s->n > 1) {
		part_free(s->part[--s->n]);
		l->env->parts_ahead--;
	}
	if (s->n > 0)
		s->planned = s->part[0]->to;
}

void parts_done(struct layer *l)
{
	drop_ahead(l);
	if (l->parts.n > 0)
		part_free(l->parts.part[0]);
	free(l->parts.address);
	l->parts = (struct parts){};
}

bool parts_wait(const struct parts *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->part[i]->retry_at_ms > 0)
			return true;
	return false;
}

/* ---- bytes ---- */

/* The first bytes of an answer: do they begin where they should? */
static int check_start(struct part *p)
{
	const struct http_request *req = &p->call.req;
	struct layer *l = p->layer;

	if (req->status == 206) {
		if (req->content_start != req->range_from)
			return err_set(&l->why, EPROTO,
				       "layer %.19s: asked for the bytes from %lld, the registry "
				       "sends those from %lld",
				       l->blob->digest, (long long) req->range_from,
				       (long long) req->content_start);
		p->skip = 0;
		return 0;
	}
	/* The whole blob: its front is skipped, and no part of it comes by itself. */
	p->skip = req->range_from;
	p->useless = !is_first(p);
	l->parts.whole = true;
	p->to = p->useless ? p->to : l->blob->size;
	return p->useless ? -ECANCELED : 0;
}

static void note_pause(struct parts *s, bool paused)
{
	int64_t now = clock_mono_ms();

	if (paused)
		s->paused_at_ms = now;
	else if (s->paused_at_ms > 0)
		s->paused_ms += now - s->paused_at_ms;
	s->paused_at_ms = paused ? now : 0;
}

static int take_bytes(struct part *p, const char *data, size_t len)
{
	struct layer *l = p->layer;

	/* Whether the layer itself is too long layer_feed() sees. */
	if ((!is_first(p) || p->to < l->blob->size) &&
	    (int64_t) len > p->to - p->from - p->received)
		return err_set(&l->why, EPROTO,
			       "layer %.19s: the registry sends more than the %lld bytes from %lld",
			       l->blob->digest, (long long) (p->to - p->from), (long long) p->from);
	p->received += (int64_t) len;
	if (is_first(p))
		return layer_feed(l, data, len, &l->why);
	return buf_append(&p->kept, data, len) ? 0 : err_set(&l->why, ENOMEM, "keep layer");
}

static int on_data(struct http_request *req, const char *data, size_t len)
{
	struct part *p = req->userdata;
	struct layer *l = p->layer;
	int k = 0;

	if (is_first(p)) {
		if (l->pending.len > 0 || p->kept.len > 0) {
			p->paused = true;
			note_pause(&l->parts, true);
			return HTTP_PAUSE;
		}
		if (l->parts.began_ms == 0)
			l->parts.began_ms = clock_mono_ms();
	}
	if (p->skip < 0)
		k = check_start(p);
	if (k < 0)
		return k;
	if (p->skip > 0) {
		size_t drop = (size_t) MIN(p->skip, (int64_t) len);

		p->skip -= (int64_t) drop;
		data += drop;
		len -= drop;
	}
	return len > 0 ? take_bytes(p, data, len) : 0;
}

/* What came before its turn, as fast as the unpacker takes it; then the rest comes directly. */
static int hand_on(struct layer *l, struct part *p, struct err *err)
{
	int k = 0;

	while (k == 0 && p->handed_on < p->kept.len && l->pending.len == 0) {
		size_t n = MIN((size_t) HAND_ON, p->kept.len - p->handed_on);

		k = layer_feed(l, p->kept.data + p->handed_on, n, err);
		p->handed_on += n;
	}
	if (k == 0 && p->handed_on == p->kept.len && p->kept.len > 0) {
		buf_done(&p->kept);
		p->kept = (struct buf){};
		p->handed_on = 0;
	}
	if (k == 0 && p->paused && l->pending.len == 0 && p->kept.len == 0) {
		p->paused = false;
		note_pause(&l->parts, false);
		http_resume(&p->call.req);
	}
	return k;
}

/* ---- requests ---- */

static int request(struct part *p, struct err *err)
{
	struct layer *l = p->layer;

	p->call.req.range_from = p->from + p->received;
	p->call.req.range_to = p->to < l->blob->size ? p->to : 0;
	p->skip = -1;
	p->paused = false;
	p->retry_at_ms = 0;
	return registry_start(l->env->registry, &p->call, err);
}

static int add_part(struct layer *l, int64_t len, struct err *err)
{
	struct parts *s = &l->parts;
	struct part *p = calloc(1, sizeof(*p));
	int k;

	if (!p)
		return err_set(err, ENOMEM, "fetch layer");
	p->layer = l;
	p->from = s->planned;
	p->to = MIN(s->planned + len, l->blob->size);
	k = registry_call_init(l->env->registry, &p->call, "blobs", l->blob->digest, err);
	if (k == 0 && s->address)
		k = registry_call_go_to(&p->call, s->address, s->at_mirror, err);
	if (k < 0) {
		part_free(p);
		return k;
	}
	p->call.req.on_data = on_data;
	p->call.req.userdata = p;
	l->env->parts_ahead += s->n > 0;
	s->part[s->n++] = p;
	s->planned = p->to;
	return request(p, err);
}

/* Asks for more where there is room. */
static int plan(struct layer *l, struct err *err)
{
	struct parts *s = &l->parts;
	int64_t size = l->blob->size;
	int k = 0;

	while (k == 0 && (s->planned < size || size == 0)) {
		int64_t len = PART_BYTES;

		if (s->n > 0 && (!s->narrow || s->whole || s->n == ARRAY_SIZE(s->part) ||
				 l->env->parts_ahead >= PARTS_AHEAD))
			break;
		if (s->whole || size < PARTS_LAYER_MIN) {
			len = size;
		} else if (!s->narrow) {
			len = s->stride;
			s->stride *= STRIDE_GROWTH;
		}
		k = add_part(l, len, err);
	}
	return k;
}

int parts_start(struct layer *l, bool whole, struct err *err)
{
	l->parts = (struct parts){ .whole = whole, .stride = PART_BYTES };
	return plan(l, err);
}

/*
 * Is the network what we wait for? Then more connections may help; a registry that is as fast as
 * the unpacker, or as this machine can be, is not bothered with them.
 */
static void judge_speed(struct parts *s, const struct part *p)
{
	int64_t took = clock_mono_ms() - s->began_ms;

	s->narrow = s->narrow || (s->began_ms > 0 && took > (p->to - p->from) / FAST_BYTES_PER_MS &&
				  s->paused_ms * 2 < took);
	s->began_ms = s->paused_ms = s->paused_at_ms = 0;
}

/* The first part was handed on: the next one's turn. Returns 1 when it was the last. */
static int take_turn(struct layer *l, struct err *err)
{
	struct parts *s = &l->parts;
	struct part *p = s->part[0];
	bool last = p->to == l->blob->size;
	int k;

	judge_speed(s, p);
	s->at_mirror = p->call.at_mirror;
	k = strdup_to(&s->address,
		      p->call.redirects > 0 && !p->call.req.authorization ? p->call.req.url : NULL);
	part_free(p);
	s->n--;
	memmove(s->part, s->part + 1, s->n * sizeof(*s->part));
	l->env->parts_ahead -= s->n > 0;
	return k < 0 ? err_set(err, ENOMEM, "fetch layer") : last;
}

/* Some who answer requests do not answer requests for ranges. */
static bool ranges_fail(const struct part *p)
{
	const struct http_request *req = &p->call.req;

	return !req->failed && p->from + p->received == 0 && req->range_to > 0 &&
	       (req->status == 416 || req->status == 501);
}

/* The transfer ended: complete, to be gone on with, or in vain. */
static int judge(struct part *p, struct err *err)
{
	struct layer *l = p->layer;
	int64_t before = p->call.req.range_from - p->from, want = p->to - p->from, delay = 0;
	int k;

	p->call.req.done = false;
	if (p->received > before && p->received - before >= MIN((int64_t) MOVED_MIN, want - before))
		registry_call_moved(&p->call);
	if (l->why.code)
		return err_move(err, &l->why);
	if (ranges_fail(p)) {
		l->parts.whole = true;
		p->to = l->blob->size;
		return request(p, err);
	}
	k = registry_judge(l->env->registry, &p->call, &delay, err);
	l->refused = l->refused || (k < 0 && is_first(p));
	if (k == REGISTRY_OK && p->received < want)
		k = registry_cut_short(l->env->registry, &p->call, &delay, err);
	if (k == REGISTRY_AGAIN)
		return request(p, err);
	if (k == REGISTRY_LATER)
		p->retry_at_ms = clock_mono_ms() + MAX(delay, (int64_t) 1);
	p->complete = k == REGISTRY_OK;
	return MIN(k, 0);
}

/* What goes wrong ahead is left to the first part, which may see the same and says so. */
static int judge_ahead(struct layer *l, struct err *err)
{
	struct parts *s = &l->parts;

	for (size_t i = 1; i < s->n; i++) {
		_cleanup_(err_done) struct err why = {};
		struct part *p = s->part[i];
		int k = 0;

		if (p->retry_at_ms > 0 && clock_mono_ms() >= p->retry_at_ms)
			k = request(p, &why);
		if (k == 0 && p->call.req.done && !p->useless)
			k = judge(p, &why);
		if (l->why.code)
			return err_move(err, &l->why);
		s->whole = s->whole || k < 0;
	}
	if (s->whole)
		drop_ahead(l);
	return 0;
}

static int advance_first(struct layer *l, struct err *err)
{
	struct part *p = l->parts.part[0];
	int k = 0;

	if (p->retry_at_ms > 0 && clock_mono_ms() >= p->retry_at_ms)
		k = request(p, err);
	if (k == 0)
		k = hand_on(l, p, err);
	if (k == 0 && p->call.req.done && l->pending.len == 0)
		k = judge(p, err);
	return k;
}

int parts_advance(struct layer *l, struct err *err)
{
	struct parts *s = &l->parts;

	for (;;) {
		struct part *p = s->part[0];
		int k = judge_ahead(l, err);

		if (k == 0)
			k = advance_first(l, err);
		if (k == 0 && p->complete && p->kept.len == 0 && l->pending.len == 0) {
			k = take_turn(l, err);
			if (k != 0)
				return k;
			if (s->n == 0 || s->narrow)
				k = plan(l, err);
			if (k == 0)
				continue;
		}
		if (k == 0 && s->narrow)
			k = plan(l, err);
		return k;
	}
}
