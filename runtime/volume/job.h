/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job - runs ecs-volume for an event loop, with a deadline.
 * The child leads a session of its own; when the time is up or the job is freed, all of it is
 * killed. A process that the kernel will not let die yet is reaped whenever it does; nobody waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct volume_job;

struct volume_job_result {
	bool ok;
	bool late;        /* killed at the deadline */
	int status;       /* exit code, or 128+n */
	const char *text; /* what it wrote to stderr: one line, bounded, maybe empty */
};

/* Called once from the loop; the job is freed afterwards and must not be by @fn. */
typedef void (*volume_job_fn)(const struct volume_job_result *r, void *userdata);

struct volume_job_params {
	sd_event *loop;
	const char *program; /* ecs-volume */
	char *const *args;   /* after the program's name */
	int64_t deadline_ms;
	volume_job_fn fn;
	void *userdata;
};

int volume_job_start(const struct volume_job_params *p, struct volume_job **ret, struct err *err);

/* Kills it; @fn is not called any more. NULL is fine. Always returns NULL. */
struct volume_job *volume_job_free(struct volume_job *j);
