/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

struct waiting {
	struct http_call *call; /* borrowed: it waits for its answer */
	int64_t due_us;         /* monotonic */
	struct waiting *next;
};

struct line {
	struct waiting *first; /* owned list, the next one first */
	sd_event_source *timer;
	line_fn fn;
	void *userdata;
};

static int64_t now_us(void)
{
	return clock_mono_ns() / 1000;
}

static void arm(struct line *l)
{
	if (!l->first)
		return;
	(void) sd_event_source_set_time(l->timer, (uint64_t) MAX(l->first->due_us, INT64_C(1)));
	(void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void answer(struct line *l, struct http_call *c)
{
	struct http_reply r = { .status = 200, .content_type = "application/json" };

	l->fn(l->userdata, c, &r);
	if (!r.later)
		http_call_finish(c, &r);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct line *l = userdata;

	(void) source, (void) usec;
	while (l->first && l->first->due_us <= now_us()) {
		struct waiting *w = l->first;

		l->first = w->next;
		answer(l, w->call);
		free(w);
	}
	arm(l);
	return 0;
}

int line_new(sd_event *loop, line_fn fn, void *userdata, struct line **ret, struct err *err)
{
	struct line *l = calloc(1, sizeof(*l));
	int k;

	if (!l)
		return err_set(err, ENOMEM, "allocate the line of the task server");
	l->fn = fn;
	l->userdata = userdata;
	k = sd_event_add_time_relative(loop, &l->timer, CLOCK_MONOTONIC, 0, 1, on_turn, l);
	if (k >= 0)
		k = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	if (k < 0) {
		(void) line_free(l);
		return err_set_errno(err, -k, "prepare the line of the task server");
	}
	(void) sd_event_source_set_description(l->timer, "task server's line");
	*ret = l;
	return 0;
}

struct line *line_free(struct line *l)
{
	if (!l)
		return NULL;
	l->timer = sd_event_source_disable_unref(l->timer);
	while (l->first) {
		struct waiting *w = l->first;
		struct http_reply r = { .status = 503,
					.content_type = "text/plain; charset=utf-8",
					.body = strdup("the agent ends\n") };

		l->first = w->next;
		http_call_finish(w->call, &r);
		free(w);
	}
	free(l);
	return NULL;
}

int line_join(struct line *l, struct http_call *c, int64_t wait_us, struct http_reply *r)
{
	struct waiting *w = calloc(1, sizeof(*w)), **at = &l->first;

	if (!w)
		return -ENOMEM;
	*w = (struct waiting){ .call = c, .due_us = now_us() + wait_us };
	while (*at && (*at)->due_us <= w->due_us)
		at = &(*at)->next;
	w->next = *at;
	*at = w;
	r->later = true;
	arm(l);
	return 0;
}
