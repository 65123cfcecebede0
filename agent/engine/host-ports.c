/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/host-ports.h"

#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/log.h"

enum { LOOK_AGAIN_MS = 1000 };

static const char waits[] = "a host port that has rested since its last use";

static void wait_for_rest(struct container *c, const struct err *err)
{
	if (c->waits_note == waits)
		return;
	c->waits_since_ms = clock_real_ms();
	c->waits_note = waits;
	container_log(LOG_INFO, c, "Container '%s' waits for %s: %s", c->name, waits,
		      err_text(err));
}

static void drop_bindings(struct container *c)
{
	free(c->bindings);
	c->bindings = NULL;
	c->n_bindings = 0;
}

static bool hold(struct container *c)
{
	_cleanup_(err_done) struct err err = {};
	int k;

	drop_bindings(c);
	c->bindings = calloc(c->n_ports, sizeof(*c->bindings));
	if (!c->bindings) {
		container_fail(c, "HostConfigError", "out of memory");
		return false;
	}
	memcpy(c->bindings, c->ports, c->n_ports * sizeof(*c->bindings));
	k = net_ports_hold(c->run->engine->net, c->bindings, c->n_ports, &err);
	if (k == 0) {
		c->n_bindings = c->n_ports;
		c->run->ports_held = true;
		c->waits_note = c->waits_note == waits ? NULL : c->waits_note;
		return true;
	}
	drop_bindings(c);
	if (k == NET_E_PORT_RESTING)
		wait_for_rest(c, &err);
	else
		container_fail(c, "HostConfigError", "error retrieving docker port map: %s",
			       err_text(&err));
	return false;
}

bool host_ports_let(struct container *c, enum container_action action)
{
	bool first = (action == ACTION_PULL || action == ACTION_START) && !*c->id;

	if (!first || c->network_mode != NETWORK_BRIDGE || c->n_ports == 0 || c->run->ports_held ||
	    !c->run->engine->net)
		return true;
	return hold(c);
}

int64_t host_ports_wake_ms(const struct task *t, int64_t wake_ms)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		int64_t at = clock_real_ms() + LOOK_AGAIN_MS;

		if (t->containers[i].waits_note == waits &&
		    t->containers[i].known < CONTAINER_STOPPED && (wake_ms == 0 || at < wake_ms))
			wake_ms = at;
	}
	return wake_ms;
}

void host_ports_free(struct container *c)
{
	struct container_run *r = c->run;
	_cleanup_(err_done) struct err err = {};

	if (!r->ports_held)
		return;
	r->ports_held = false;
	if (r->engine->net &&
	    net_ports_release(r->engine->net, c->bindings, c->n_bindings, &err) < 0)
		container_log(LOG_WARN, c, "Failed to release the host ports of '%s', going on: %s",
			      c->name, err_text(&err));
	CRASH_POINT(PORTS_RELEASED);
}
