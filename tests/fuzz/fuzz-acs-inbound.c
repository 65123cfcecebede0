/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent says over ACS. */
#include <stdint.h>

#include "common/cleanup.h"
#include "controlplane/acs_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(acs_inbound_done) struct acs_inbound m = {};
	_cleanup_(err_done) struct err err = {};

	(void) acs_decode((const char *) data, size, &m, &err);
	return 0;
}
