/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health - the probes of one container's health check, from the shim's loop. A probe is a process
 * of the container, begun by the runtime's `exec` from the file "health.json" in the run directory.
 * One at a time; the first one interval after the start, each next one an interval after the end of
 * the one before. It has a deadline, at which it is killed with all it started, and nothing here
 * waits: not for a probe that cannot be killed either. No allocation.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/shim/args.h"
#include "runtime/shim/verdict.h"

struct health {
	const struct shim_args *args; /* borrowed */
	int run_dir_fd, out;          /* out: what the probe writes; -1: none is under way */
	bool on;
	bool judged;          /* the one under way was late: its result is known */
	pid_t runtime, probe; /* under way; 0: not */
	int64_t started_at, begun_at, next_at, late_at; /* monotonic ms; 0: not set */
	struct verdict verdict;
	int exit_code; /* of the last probe; -1: it did not run, or not to its end */
	size_t n_now, n_output;
	char now[SHIM_WIRE_HEALTH_OUTPUT_MAX];    /* of the probe under way */
	char output[SHIM_WIRE_HEALTH_OUTPUT_MAX]; /* of the last one */
};

/* The container runs. Without an interval among the arguments nothing happens, now or later. */
void health_start(struct health *h, const struct shim_args *a, int run_dir_fd);

/* No more probes, and an end to the one under way: the container stops. */
void health_stop(struct health *h);

/* When health_tick() wants to be called next, monotonic ms; 0: never. */
int64_t health_due(const struct health *h);

/* These tell whether agents have something to hear. */
bool health_tick(struct health *h, int64_t now_ms);
bool health_reaped(struct health *h, const siginfo_t *si); /* any child that is not the container */

/* The descriptor h->out is readable. */
void health_read(struct health *h);

void health_describe(const struct health *h, struct shim_wire_health *ret);
