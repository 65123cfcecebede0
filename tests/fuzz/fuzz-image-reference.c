/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken is canonical: its text reads as itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size), *once = NULL;
	_cleanup_(freep) char *twice = NULL;
	_cleanup_(reference_done) struct reference a = {};
	_cleanup_(reference_done) struct reference b = {};

	if (!text || reference_parse(text, &a, NULL) < 0)
		return 0;
	once = reference_text(&a);
	if (!once || strlen(once) > REFERENCE_TEXT_MAX)
		return 0;
	if (reference_parse(once, &b, NULL) < 0)
		abort();
	twice = reference_text(&b);
	if (!twice || strcmp(once, twice) != 0)
		abort();
	return 0;
}
