/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-acs - whatever comes over ACS: envelope, error form, and every message handler. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs/frame.h"
#include "agent/acs/private.h"
#include "agent/engine/task.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_send(struct acs *a, const char *type, json_t *message, struct err *err)
{
	char *text = frame_encode(type, message);

	(void) a, (void) err;
	free(text);
	return 0;
}

static int take(void *userdata, const json_t *m, struct err *err)
{
	(void) userdata, (void) m, (void) err;
	return 0;
}

static int take_role(void *userdata, const char *arn, enum role_type type, const char *id,
		     struct err *err)
{
	(void) userdata, (void) arn, (void) type, (void) id, (void) err;
	return 0;
}

static int candidates(void *userdata, const json_t *running, json_t **ret, struct err *err)
{
	(void) userdata, (void) err;
	*ret = json_deep_copy(running);
	return 0;
}

static int stop(void *userdata, const char *arn, struct err *err)
{
	(void) userdata, (void) arn, (void) err;
	return 0;
}

/* What is handed on has what a report needs. */
static int interface(void *userdata, const char *arn, const struct task_eni *eni, int64_t wait_ms,
		     struct err *err)
{
	(void) userdata, (void) err;
	if ((arn && !*arn) || !*eni->ec2_id || !*eni->attachment_arn || wait_ms < 1)
		abort();
	return 0;
}

static const struct acs_handlers handlers = {
	.on_payload = take,
	.on_role_credentials = take_role,
	.on_manifest = candidates,
	.on_stop_verified = stop,
	.on_interface = interface,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acs a = { .p = { .handlers = &handlers }, .manifest_seq = -1, .send = on_send };
	_cleanup_(role_store_freep) struct role_store *roles = NULL;
	_cleanup_(frame_done) struct frame f = {};
	char excerpt[FRAME_EXCERPT_MAX + 1];
	static bool quiet;

	if (!quiet)
		(void) log_open(&(struct log_params){ .stream_level = LOG_NONE,
						      .file_level = LOG_NONE,
						      .stream_fd = 2 },
				NULL);
	quiet = true;
	(void) frame_excerpt((const char *) data, size, excerpt);
	if (frame_decode((const char *) data, size, &f, NULL) < 0 ||
	    role_store_new(&roles, NULL) < 0)
		return 0;
	a.p.roles = roles;
	(void) acs_dispatch(&a, f.type, f.message, NULL);
	free(a.manifest_id);
	return 0;
}
