/* SPDX-License-Identifier: Apache-2.0 */
/* A telemetry frame: header block, envelope, and what the checks make of it. */
#include <stdint.h>

#include "common/cleanup.h"
#include "controlplane/tcs_check.h"
#include "controlplane/tcs_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tcs_peer peer = { "c", "i" };
	_cleanup_(err_done) struct err err = {};
	struct tcs_frame f = {};

	if (tcs_frame_parse((const char *) data, size, &f, &err) < 0)
		return 0;
	(void) tcs_check_metrics(f.message, &peer, &err);
	(void) tcs_check_health(f.message, &peer, &err);
	(void) tcs_check_status(f.message, &peer, &err);
	tcs_frame_done(&f);
	return 0;
}
