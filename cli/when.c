/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/when.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static int parse_any(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	char day[32];
	int64_t ms;

	if (strlen(text) == strlen("2026-01-31") && text[4] == '-') {
		(void) snprintf(day, sizeof(day), "%.10sT00:00:00Z", text);
		text = day;
	}
	if (clock_parse_rfc3339(text, ret_ms, NULL) == 0)
		return 0;
	if (*text && text[strspn(text, "0123456789.")] == '\0') {
		char *end = NULL;
		double seconds = strtod(text, &end);

		if (*end || seconds > 1e11)
			return -EINVAL;
		*ret_ms = (int64_t) (seconds * 1000);
		return 0;
	}
	if (*text == '-' || *text == '+' || duration_parse_ms(text, &ms, NULL) < 0)
		return -EINVAL;
	*ret_ms = now_ms - ms;
	return 0;
}

int when_parse(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	int64_t ms = 0;
	int k = text ? parse_any(text, now_ms, &ms) : -EINVAL;

	if (k < 0 || ms <= 0)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}
