/* SPDX-License-Identifier: Apache-2.0 */
/* client - what the files of the agent's side of the shim share. Others include shim.h. */
#pragma once

#include <stdbool.h>

#include "runtime/shim/shim.h"

enum { SHIM_EVENTS_MAX = 4 };

struct shim {
	int sock; /* SOCK_SEQPACKET to the shim, or an eventfd that is readable while the queue is
		     not empty */
	int pidfd;
	int launcher; /* pidfd of the process we started, which forks the shim and ends; reaped at
			 HELLO */
	int run_dir;
	bool connected; /* sock leads to a shim */
	bool started;   /* SHIM_STARTED was queued */
	bool finished;  /* a last event was queued */
	size_t n_events;
	struct shim_event events[SHIM_EVENTS_MAX];
};

void shim_queue(struct shim *s, const struct shim_event *e);

/*
 * Queues what the files in the run directory tell, after the shim went away. Returns 0, or
 * SHIM_E_ABSENT when nothing was ever started there.
 */
int shim_queue_record(struct shim *s);
