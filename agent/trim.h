/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trim - keeps the resident memory of a process that idles most of its life near what it uses.
 * Code that was run (of the start: option tables, the nftables compiler, schema checks …) is let go
 * every few seconds: its pages are clean, stay in the page cache, and come back by a minor fault if they
 * are needed. Free heap of a burst goes back to the kernel some time after it.
 */
#pragma once

#include <systemd/sd-event.h>

#include "common/err.h"

/* Before any allocation that matters: one arena, small steps. */
void trim_configure(void);

/* Now that the start is over: lets code go and looks at the heap, now and every ten seconds. */
int trim_start(sd_event *loop, sd_event_source **ret, struct err *err);
