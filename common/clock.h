/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - the two clocks, their text forms, and Go-style durations.
 * Wall-clock times are signed 64-bit milliseconds since the epoch (`_ms`), 0 meaning "unknown";
 * intervals use the monotonic clock.
 */
#pragma once

#include <stdint.h>
#include <stddef.h>

#include "common/err.h"

#define MSEC_PER_SEC 1000LL
#define USEC_PER_MSEC 1000LL
#define NSEC_PER_MSEC 1000000LL
#define NSEC_PER_SEC 1000000000LL

int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);
int64_t clock_real_ms(void);

enum { CLOCK_RFC3339_MAX = sizeof("2025-05-01T10:00:00.123456789Z") };

/* Writes @real_ms as "2025-05-01T10:00:00Z", with ".mmm" when @with_ms. @buf holds
 * CLOCK_RFC3339_MAX. */
char *clock_format_rfc3339(int64_t real_ms, int with_ms, char *buf);

/* Parses an RFC 3339 time (any offset, any fraction). Returns 0 or -EINVAL with @err set. */
int clock_parse_rfc3339(const char *text, int64_t *ret_real_ms, struct err *err);

/*
 * Parses a Go duration: "300ms", "1m30s", "2h", "1.5h"; units ns us µs ms s m h, a leading sign,
 * or a bare "0". A bare number otherwise is refused, as in Go. Returns 0, -EINVAL or -ERANGE.
 */
int duration_parse_ms(const char *text, int64_t *ret_ms, struct err *err);

enum { DURATION_TEXT_MAX = 64 };

/* Formats as Go prints a time.Duration: "3m0s", "2h0m0s", "1m0.5s", "250ms", "0s". */
char *duration_format_ms(int64_t ms, char *buf);
