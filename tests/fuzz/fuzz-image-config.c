/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "runtime/image/image.h"
#include "runtime/image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(image_document_done) struct image_document d = {};
	_cleanup_(image_config_done) struct image_config c = {};
	_cleanup_(err_done) struct err err = {};

	if (image_document_decode((const char *) data, size, &d, &err) == 0)
		(void) image_config_decode(d.config, &c, &err);
	return 0;
}
