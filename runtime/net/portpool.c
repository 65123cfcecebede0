/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/portpool.h"

#include <errno.h>
#include <stdlib.h>

static bool is_ours(const struct portpool *p, uint16_t port)
{
	return p->next && port >= p->first && port <= p->last;
}

int portpool_init(struct portpool *p, uint16_t first, uint16_t last, struct err *err)
{
	size_t span = (size_t) last - first + 1;

	if (first == 0 || first > last)
		return err_set(err, EINVAL, "dynamic host port range %u-%u is empty or starts at 0",
			       first, last);
	*p = (struct portpool){ .first = first, .last = last, .after_a_block = first };
	p->next = calloc(span, sizeof(*p->next));
	p->prev = calloc(span, sizeof(*p->prev));
	p->rested_ms = calloc(span, sizeof(*p->rested_ms));
	if (!p->next || !p->prev || !p->rested_ms) {
		portpool_done(p);
		return err_set_errno(err, ENOMEM, "allocate the table of host ports");
	}
	for (size_t i = 0; i < span; i++)
		portpool_give(p, (uint16_t) (first + i));
	return 0;
}

void portpool_done(struct portpool *p)
{
	free(p->next);
	free(p->prev);
	free(p->rested_ms);
	*p = (struct portpool){};
}

bool portpool_is_free(const struct portpool *p, uint16_t port)
{
	return is_ours(p, port) && p->next[port - p->first] != 0;
}

/* One that is free, and has been for long enough. */
static bool is_due(const struct portpool *p, uint16_t port, int64_t now_ms)
{
	return portpool_is_free(p, port) && p->rested_ms[port - p->first] <= now_ms;
}

uint16_t portpool_peek(const struct portpool *p, int64_t now_ms)
{
	return p->n_free > 0 && is_due(p, p->head, now_ms) ? p->head : 0;
}

void portpool_take(struct portpool *p, uint16_t port)
{
	uint16_t next, prev;

	if (!portpool_is_free(p, port))
		return;
	next = p->next[port - p->first];
	prev = p->prev[port - p->first];
	p->next[prev - p->first] = next;
	p->prev[next - p->first] = prev;
	p->next[port - p->first] = 0;
	p->n_free--;
	if (p->head == port)
		p->head = next;
}

void portpool_give(struct portpool *p, uint16_t port)
{
	uint16_t tail;

	if (!is_ours(p, port))
		return;
	portpool_take(p, port);
	if (p->n_free == 0)
		p->head = p->prev[port - p->first] = port;
	tail = p->prev[p->head - p->first];
	p->next[port - p->first] = p->head;
	p->prev[port - p->first] = tail;
	p->next[tail - p->first] = port;
	p->prev[p->head - p->first] = port;
	p->n_free++;
}

void portpool_rest(struct portpool *p, uint16_t port, int64_t now_ms)
{
	if (!is_ours(p, port))
		return;
	portpool_give(p, port);
	p->rested_ms[port - p->first] = now_ms + PORTPOOL_REST_MS;
}

void portpool_resume_after(struct portpool *p, uint16_t port)
{
	if (!is_ours(p, port) || port < p->head)
		return;
	for (uint32_t i = (uint32_t) port + 1; i <= p->last; i++)
		if (portpool_is_free(p, (uint16_t) i)) {
			p->head = (uint16_t) i;
			return;
		}
}

uint16_t portpool_find_run(const struct portpool *p, uint16_t from, uint16_t n, int64_t now_ms)
{
	uint32_t length = 0;

	for (uint32_t i = from < p->first ? p->first : from; i <= p->last; i++) {
		length = is_due(p, (uint16_t) i, now_ms) ? length + 1 : 0;
		if (length == n && n > 0)
			return (uint16_t) (i - n + 1);
	}
	return 0;
}
