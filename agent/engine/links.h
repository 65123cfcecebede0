/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links - what a container in bridge mode learns of those it links to: names in its /etc/hosts and
 * the variables that Docker has set for links since its first days (DB_PORT_5432_TCP_ADDR …).
 */
#pragma once

#include <stddef.h>

#include "agent/engine/task.h"
#include "common/err.h"
#include "common/json.h"

struct links {
	struct json_pair *hosts; /* owned: name -> address */
	size_t n_hosts;
	char **env; /* owned: KEY=value; later entries of a key win */
};

/*
 * Looks the targets of @c up, which run by now. 0, -ENOMEM, or -EINVAL: malformed, no such container,
 * or it does not run. links_done() either way.
 */
int links_make(const struct container *c, struct links *ret, struct err *err);
void links_done(struct links *l);
