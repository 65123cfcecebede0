/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "runtime/image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(platform_done) struct platform p = {};
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(err_done) struct err err = {};

	if (manifest_decode(NULL, (const char *) data, size, &m, &err) == 0 && m.is_index &&
	    platform_parse("linux/arm/v7", &p, NULL) == 0)
		(void) manifest_choose(&m, &p);
	return 0;
}
