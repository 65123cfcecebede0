/* SPDX-License-Identifier: Apache-2.0 */
/* follow - a task in the foreground: its output, its end, Ctrl-C. */
#pragma once

#include <stdbool.h>

struct invocation;

enum {
	FOLLOW_NOT_STARTED = 125, /* as Docker says that a container did not come to run */
	FOLLOW_LEFT = 130,        /* interrupted twice: the task goes on ending without us */
};

/*
 * Prints what its containers write until task @arn has stopped; @remove: then has it cleaned up. INT and TERM stop
 * it. Returns the exit code of the essential container that ended first, or one of the above.
 */
int follow_task(const struct invocation *i, const char *arn, bool remove);
