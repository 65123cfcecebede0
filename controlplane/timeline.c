/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct timeline {
	json_t *tasks;         /* owned: {task ARN: {"taskArn": …, times}}, oldest first */
	json_t *registrations; /* owned */
};

static json_t *now(void)
{
	struct timespec ts = {};

	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return json_real((double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6);
}

int timeline_new(struct timeline **ret, struct err *err)
{
	_cleanup_(timeline_freep) struct timeline *t = calloc(1, sizeof(*t));

	if (t) {
		t->tasks = json_object();
		t->registrations = json_array();
	}
	if (!t || !t->tasks || !t->registrations)
		return err_set(err, ENOMEM, "allocate timeline");
	*ret = TAKE_PTR(t);
	return 0;
}

struct timeline *timeline_free(struct timeline *t)
{
	if (t) {
		json_decref(t->tasks);
		json_decref(t->registrations);
		free(t);
	}
	return NULL;
}

/* What cannot be noted for want of memory is not noted: nothing else depends on it. */
static void note(struct timeline *t, const char *task_arn, const char *key)
{
	json_t *row = json_object_get(t->tasks, task_arn);

	if (!row) {
		void *oldest = json_object_iter(t->tasks);

		if (json_object_size(t->tasks) >= TIMELINE_MAX)
			(void) json_object_del(t->tasks, json_object_iter_key(oldest));
		row = json_pack("{s:s}", "taskArn", task_arn);
		if (json_object_set_new(t->tasks, task_arn, row) < 0)
			return;
	}
	if (!json_object_get(row, key))
		(void) json_object_set_new(row, key, now());
}

void timeline_sent(struct timeline *t, const json_t *tasks)
{
	const char *arn;
	json_t *desired;

	json_object_foreach((json_t *) tasks, arn, desired) {
		const char *status = json_string_value(desired);

		if (status)
			note(t, arn,
			     strcmp(status, "STOPPED") == 0 ? "stopSentAt" : "payloadSentAt");
	}
}

void timeline_reported(struct timeline *t, const char *task_arn, const char *status)
{
	if (strcmp(status, "RUNNING") == 0)
		note(t, task_arn, "runningAt");
	else if (strcmp(status, "STOPPED") == 0)
		note(t, task_arn, "stoppedAt");
}

void timeline_registered(struct timeline *t, const char *instance_arn)
{
	if (json_array_size(t->registrations) >= TIMELINE_MAX)
		(void) json_array_remove(t->registrations, 0);
	(void) json_array_append_new(t->registrations,
				     json_pack("{s:s,s:o}", "instance", instance_arn, "at", now()));
}

json_t *timeline_show(const struct timeline *t)
{
	json_t *tasks = json_array(), *row;
	const char *arn;

	json_object_foreach(t->tasks, arn, row)
		(void) json_array_append(tasks, row);
	return json_pack("{s:o,s:O}", "tasks", tasks, "registrations", t->registrations);
}
