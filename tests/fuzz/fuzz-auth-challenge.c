/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size);
	_cleanup_(challenge_done) struct challenge c = {};
	_cleanup_(err_done) struct err err = {};

	if (text)
		(void) challenge_parse(text, &c, &err);
	return 0;
}
