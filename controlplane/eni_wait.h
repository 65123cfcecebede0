/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eni_wait - a task whose network interface nobody attaches in time is not waited for any longer: it
 * is stopped with the reason that ECS gives, and its service starts another.
 */
#pragma once

#include <stdint.h>

#include "common/err.h"

struct controlplane;

/*
 * waitTimeoutMs, which agents are told: how long after its creation the device of a task may take.
 * settings.eni_wait_s, or 300 s.
 */
int64_t eni_wait_ms(const struct controlplane *cp);

/* Looks at every second from now on. Returns 0 or a negative errno with @err set. */
int eni_wait_start(struct controlplane *cp, struct err *err);

/* One look, at @now_ms, wall clock. Returns 0 or a negative errno with @err set: try again. */
int eni_wait_look(struct controlplane *cp, int64_t now_ms, struct err *err);
