/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict - what a row of probes says of a container's health. Pure: results and times come in.
 * A success makes it healthy at once; `retries` failures in a row make it unhealthy. Failures of
 * probes begun within the start period count only once there was a success.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/shim/wire.h"

struct verdict_rules {
	int64_t start_period_ms;
	int64_t retries; /* 1.. */
};

struct verdict {
	enum shim_wire_health_status status;
	int64_t streak;   /* failures in a row that count */
	int64_t since_ms; /* wall clock of the last change of status */
};

/* One probe ended. @begun_ms: when it began, counted from the container's start. True: a change. */
bool verdict_take(struct verdict *v, const struct verdict_rules *r, bool success, int64_t begun_ms,
		  int64_t now_ms);
