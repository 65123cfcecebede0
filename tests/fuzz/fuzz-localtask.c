/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody sends to /v1/run: what is made of it must be sound for the engine's own decoder. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent/engine/payload.h"
#include "agent/localtask/localtask.h"
#include "common/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_decrefp) json_t *request = NULL, *task = NULL, *notes = NULL;
	_cleanup_(err_done) struct err err = {}, why = {};
	_cleanup_(task_freep) struct task *t = NULL;

	if (json_parse((const char *) data, size, &request, NULL) < 0)
		return 0;
	if (localtask_build(request, &task, &notes, &err) < 0) {
		if (task || !err.msg)
			abort();
		return 0;
	}
	if (payload_decode_task(task, &t, &why) == 0) {
		if (!task_is_local(t))
			abort();
	} else if (!why.msg)
		abort();
	return 0;
}
