/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as people write them into settings: what is taken is written and read back the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size);
	char back[DURATION_TEXT_MAX];
	int64_t ms = 0, again = 0;

	if (duration_parse_ms(text, &ms, NULL) < 0)
		return 0;
	duration_format_ms(ms, back);
	if (duration_parse_ms(back, &again, NULL) < 0 || again != ms)
		abort();
	return 0;
}
