/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/later.h"

#include <stdlib.h>

#include "common/clock.h"

static void forget(struct later *l)
{
	for (struct later **at = &l->m->later; *at; at = &(*at)->next) {
		if (*at == l) {
			*at = l->next;
			break;
		}
	}
	l->timer = sd_event_source_disable_unref(l->timer);
	l->free(l);
}

/* A call that is being answered still has its client: it goes with the next round of the loop. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct later *l = userdata;

	(void) source, (void) usec;
	if (l->http)
		l->on_deadline(l);
	else
		forget(l);
	return 0;
}

int later_begin(struct later *l, struct metadata *m, struct http_call *http, int64_t timeout_ms,
		struct http_reply *r, struct err *err)
{
	int k = sd_event_add_time_relative(m->loop, &l->timer, CLOCK_MONOTONIC,
					   (uint64_t) (timeout_ms * USEC_PER_MSEC), 0, on_timer, l);

	if (k < 0)
		return err_set_errno(err, -k, "set a deadline");
	(void) sd_event_source_set_description(l->timer, "task server's question");
	l->m = m;
	l->http = http;
	l->next = m->later;
	m->later = l;
	r->later = true;
	return 0;
}

void later_answer(struct later *l, unsigned status, json_t *o)
{
	struct http_reply r = { .content_type = "application/json" };
	struct metadata_request q;

	request_take(l->http, &q);
	answer_json(&r, status, o);
	add_rate_headers(l->m, &q, &r);
	http_call_finish(l->http, &r);
	l->http = NULL;
	l->call = aws_call_cancel(l->call);
	(void) sd_event_source_set_time(l->timer, 0);
	(void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

void later_end_all(struct metadata *m)
{
	while (m->later) {
		if (m->later->http)
			later_answer(m->later, 500, json_string("the agent ends"));
		forget(m->later);
	}
}
