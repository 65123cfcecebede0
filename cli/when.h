/* SPDX-License-Identifier: Apache-2.0 */
/* when - times as people give them on a command line. */
#pragma once

#include <stdint.h>

/*
 * "10m", "1h30m": so long before @now_ms; "2026-01-31T12:00:00Z", "2026-01-31": then (UTC); "1767182400",
 * "1767182400.5": seconds since the epoch. 0 with *ret_ms > 0, or -EINVAL.
 */
int when_parse(const char *text, int64_t now_ms, int64_t *ret_ms);
