/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/eni_wait.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/controlplane.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

enum { WAIT_S = 300, LOOK_EVERY_S = 1 };

int64_t eni_wait_ms(const struct controlplane *cp)
{
	return (cp->settings.eni_wait_s > 0 ? cp->settings.eni_wait_s : WAIT_S) * MSEC_PER_SEC;
}

/* Its agent may be told of it, and has not said that it is there. */
static bool is_awaited(const json_t *task)
{
	const json_t *a = json_array_get(json_object_get(task, "attachments"), 0);
	const char *status = json_get_string(a, "status", "");

	return strcmp(json_get_string(task, "desiredStatus", ""), "STOPPED") != 0 &&
	       (strcmp(status, "PRECREATED") == 0 || strcmp(status, "ATTACHING") == 0);
}

static int look_at(struct controlplane *cp, const char *arn, int64_t now_ms, struct err *err)
{
	json_auto_t *task = NULL;
	int k = store_task_get(cp->store, arn, &task, err);
	double created = json_number_value(json_object_get(task, "createdAt"));

	if (k != 0 || !is_awaited(task) ||
	    (double) now_ms < created * MSEC_PER_SEC + (double) eni_wait_ms(cp))
		return k < 0 ? k : 0;
	log_info("The network interface of task '%s' did not come within %lld s", arn,
		 (long long) (eni_wait_ms(cp) / MSEC_PER_SEC));
	return task_begin_stop(cp, task, "TaskFailedToStart",
			       "Timeout waiting for network interface provisioning to complete.",
			       err);
}

int eni_wait_look(struct controlplane *cp, int64_t now_ms, struct err *err)
{
	json_auto_t *arns = NULL;
	const json_t *arn;
	size_t i;
	int k = store_eni_tasks(cp->store, &arns, err);

	if (k < 0 || json_array_size(arns) == 0)
		return k;
	k = cp_begin(cp, err);
	if (k < 0)
		return k;
	json_array_foreach(arns, i, arn)
		if (k == 0)
			k = look_at(cp, json_string_value(arn), now_ms, err);
	return cp_end(cp, k == 0, err) < 0 ? -err->code : k;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct controlplane *cp = userdata;

	(void) usec;
	if (!cp->stopping && eni_wait_look(cp, clock_real_ms(), &err) < 0)
		log_warn("Failed to look after network interfaces, will try again: %s",
			 err_text(&err));
	(void) sd_event_source_set_time_relative(source, LOOK_EVERY_S * 1000000ULL);
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int eni_wait_start(struct controlplane *cp, struct err *err)
{
	int k = sd_event_add_time_relative(cp->loop, NULL, CLOCK_MONOTONIC,
					   LOOK_EVERY_S * 1000000ULL, 0, on_time, cp);

	return k < 0 ? err_set_errno(err, -k, "look after network interfaces") : 0;
}
