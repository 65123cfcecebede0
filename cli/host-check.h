/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host-check - whether this host has what the agent and its containers need. Each check is a line that says
 * what was found and, where that will not do, what to do about it. Only reads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct host_paths {
	const char *root;     /* put before /proc, /sys; "" but for tests */
	const char *data_dir; /* where images and state are */
	const char *runc;     /* program */
};

/*
 * [{"check", "level", "ok", "found", "advice"}], a new reference; NULL when out of memory. "level" is "ok", "warn" or
 * "bad"; "ok" is false for the last alone.
 */
json_t *host_check(const struct host_paths *p);

/* Whether @text, what `runc --version` prints, names a version that is new enough. */
bool host_check_runc_text(const char *text, char *ret_version, size_t room);
/* The same for the kernel's release, "6.1.0-13-cloud-amd64". */
bool host_check_kernel_text(const char *release);
