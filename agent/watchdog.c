/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/watchdog.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

enum { LOOK_USEC = 20 * 1000 * 1000, FEEDS = 3 };

struct watchdog {
	sd_event_source *timer;
	uint64_t every_usec;
	bool feeds; /* systemd waits for it */
	watchdog_halted_fn halted;
	watchdog_give_up_fn give_up;
	void *userdata;
	const char *before; /* borrowed; what was found halted the last time */
};

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct watchdog *w = userdata;
	const char *what = w->halted(w->userdata);

	(void) usec;
	/* A process that was stopped for a while finds everything late, and then goes on with it. */
	if (what && what == w->before) {
		w->timer = sd_event_source_disable_unref(w->timer);
		w->give_up(w->userdata, what);
		return 0;
	}
	w->before = what;
	if (w->feeds)
		(void) sd_notify(0, "WATCHDOG=1");
	(void) sd_event_source_set_time_relative(s, w->every_usec);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

int watchdog_start(sd_event *loop, watchdog_halted_fn halted, watchdog_give_up_fn give_up,
		   void *userdata, struct watchdog **ret, struct err *err)
{
	_cleanup_(watchdog_stopp) struct watchdog *w = calloc(1, sizeof(*w));
	uint64_t usec = 0;
	int k;

	if (!w)
		return err_set(err, ENOMEM, "allocate watchdog");
	*w = (struct watchdog){ .halted = halted, .give_up = give_up, .userdata = userdata };
	w->feeds = sd_watchdog_enabled(0, &usec) > 0;
	w->every_usec = w->feeds ? usec / FEEDS : LOOK_USEC;
	k = sd_event_add_time_relative(loop, &w->timer, CLOCK_MONOTONIC, w->every_usec,
				       w->every_usec / 10, on_time, w);
	if (k < 0)
		return err_set_errno(err, -k, "feed the watchdog");
	(void) sd_event_source_set_description(w->timer, "watchdog");
	*ret = TAKE_PTR(w);
	return 0;
}

struct watchdog *watchdog_stop(struct watchdog *w)
{
	if (!w)
		return NULL;
	(void) sd_event_source_disable_unref(w->timer);
	free(w);
	return NULL;
}
