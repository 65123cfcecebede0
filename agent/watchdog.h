/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchdog - tells systemd that the agent lives for as long as it gets on.
 * A loop that stands still feeds nothing by itself. A loop that turns while a session in it has come to
 * a halt would feed for ever: so the one who feeds asks first. Loop thread only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct watchdog;

/* What has come to a halt, as a sentence; NULL: nothing. Waiting for others is no halt. */
typedef const char *(*watchdog_halted_fn)(void *userdata);
/* The same @what twice in a row, a third of the watchdog's time apart: nothing is fed any more. */
typedef void (*watchdog_give_up_fn)(void *userdata, const char *what);

/*
 * Feeds three times in WATCHDOG_USEC; without systemd's watchdog (NOTIFY_SOCKET, WATCHDOG_USEC and
 * WATCHDOG_PID) it only looks, every 20 s. @give_up is called once.
 */
int watchdog_start(sd_event *loop, watchdog_halted_fn halted, watchdog_give_up_fn give_up,
		   void *userdata, struct watchdog **ret, struct err *err);
/* NULL is fine. Always returns NULL. */
struct watchdog *watchdog_stop(struct watchdog *w);
DEFINE_CLEANUP(struct watchdog *, watchdog_stop)
