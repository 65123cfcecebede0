/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box - one container of the integration tests: a busybox root, a spec, a shim.
 * Everything lives below one directory on a tmpfs in a mount namespace of our own, and in cgroups named
 * after our process, so that nothing is left behind.
 */
#pragma once

#include <stdbool.h>

#include "common/err.h"
#include "runtime/shim/shim.h"
#include "runtime/spec/spec.h"

struct box {
	char id[65];
	char *dir, *run_dir, *bundle, *log_path, *cgroups_path, *memory_dir; /* owned */
	char *args[8];
	char *upper_layer; /* borrowed: a second layer over the first, or NULL */
	struct container_spec spec;
	struct shim_params params;
	struct shim *shim;
};

/* Prints a TAP skip and ends with 77 when this host cannot run the tests. */
void box_setup(void);
void box_teardown(void);

/* Where tests may put files. */
const char *box_top(void);

/* A box that runs `sh -c script`; NULL: args are the caller's. */
void box_init(struct box *b, const char *script);

/* Mounts the root, writes config.json. */
void box_make(struct box *b);

/* Makes and starts. 0 or what shim_spawn() says. */
int box_start(struct box *b, struct err *err);

/* Waits for the next event, at most @ms; false when none came. */
bool box_wait(struct box *b, struct shim_event *ret, int ms);

/* Starts, expects SHIM_STARTED and then the last event within @ms. */
bool box_run(struct box *b, struct shim_event *ret, int ms);

/* The log's text without the JSON around it; owned. */
char *box_log(struct box *b);

void box_done(struct box *b);

/* For _cleanup_(). */
static inline void boxp(struct box *b)
{
	box_done(b);
}
