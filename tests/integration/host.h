/* SPDX-License-Identifier: Apache-2.0 */
/* host - what integration tests need to know about the machine they run on. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"

/* A limit of time or of tries, LAB_SLOW times as much on a machine that is so much slower than usual. */
static inline int64_t patiently(int64_t limit)
{
	const char *slow = getenv("LAB_SLOW");
	long factor = slow ? strtol(slow, NULL, 10) : 1;

	return limit * CLAMP(factor, 1, 100);
}

/* Stops the unit that cgroup_setup(@configured) got from systemd, and its group goes. */
static inline void stop_cgroup_unit(const char *configured)
{
	const char *parent = cgroup_parent();
	_cleanup_(freep) char *unit = NULL;

	if (!parent || strcmp(parent, configured) == 0)
		return;
	unit = path_join("%.*s", (int) strcspn(parent + 1, "/"), parent + 1);
	if (unit)
		(void) spawn_wait((char *[]){ (char *) "systemctl", (char *) "stop", unit, NULL },
				  NULL);
}
