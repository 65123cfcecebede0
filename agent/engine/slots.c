/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start costs a core some 20 ms; more than a few at a time only get into each other's way. A start
 * that takes long does not wait for a core but for something else, a mount perhaps, so its slot goes
 * to the next after a second: one bad container delays nobody.
 */
#include <errno.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "common/clock.h"

enum { SLOTS_PER_CPU = 2, SLOTS_MIN = 4, SLOT_MAX_MS = 1000 };

bool slots_take(struct container *c)
{
	struct engine *e = c->run->engine;

	c->run->wants_slot = e->slots_used >= e->slots_max;
	if (c->run->wants_slot) {
		if (!e->slot_wanted)
			(void) sd_event_source_set_time_relative(e->slots,
								 SLOT_MAX_MS * USEC_PER_MSEC);
		e->slot_wanted = true;
		(void) sd_event_source_set_enabled(e->slots, SD_EVENT_ONESHOT);
		return false;
	}
	e->slots_used++;
	c->run->holds_slot = true;
	c->run->start_mono_ms = clock_mono_ms();
	return true;
}

void slots_give_back(struct container *c)
{
	if (!c->run->holds_slot)
		return;
	c->run->holds_slot = false;
	c->run->engine->slots_used--;
}

bool slots_crowded(const struct engine *e)
{
	return e->slots_used > e->cpus;
}

void slots_offer(struct engine *e)
{
	size_t left = e->slots_max - MIN(e->slots_used, e->slots_max);

	if (!e->slot_wanted || left == 0)
		return;
	e->slot_wanted = false;
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			struct container_run *r = &e->tasks[i]->run->containers[j];

			if (!r->wants_slot)
				continue;
			if (left == 0) {
				e->slot_wanted = true;
				return;
			}
			r->wants_slot = false;
			e->tasks[i]->run->dirty = true;
			left--;
		}
}

static int on_slots(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	int64_t now = clock_mono_ms();

	(void) usec;
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++) {
			struct container *c = &e->tasks[i]->containers[j];

			if (c->run->holds_slot && now - c->run->start_mono_ms >= SLOT_MAX_MS)
				slots_give_back(c);
		}
	if (!e->slot_wanted)
		return 0;
	if (e->n_tasks > 0)
		engine_touch(e, e->tasks[0]); /* a pass offers them */
	(void) sd_event_source_set_time_relative(s, SLOT_MAX_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

int slots_start(struct engine *e, struct err *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int k = sd_event_add_time_relative(e->loop, &e->slots, CLOCK_MONOTONIC, 0, 0, on_slots, e);

	e->cpus = (size_t) MAX(cpus, 1L);
	e->slots_max = MAX(e->cpus * SLOTS_PER_CPU, (size_t) SLOTS_MIN);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->slots, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "add the timer of starts");
	(void) sd_event_source_set_description(e->slots, "engine-slots");
	return 0;
}
