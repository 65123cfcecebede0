/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller - who asks, by the address that the kernel gives for the connection.
 * A container in bridge mode has an address of its own, which no neighbour can answer for; those of a task
 * with an interface of its own share one, of the local link (runtime/net/locallink.h). Whoever
 * asks from the host's own namespace is a task in host mode, or the host's administrator.
 */
#pragma once

#include <netinet/in.h>

#include "agent/engine/task.h"
#include "agent/http/view.h"

struct caller {
	const struct container *container; /* NULL: not in a namespace of its own */
	bool host;
};

/* @own: the addresses of this host on which the server listens, beside 127.0.0.0/8. */
struct caller caller_find(const struct agent_view *v, struct in_addr addr,
			  const struct in_addr *own, size_t n_own);

/* Whether it may know of @t: of its own task; from the host's namespace, of the tasks in it. */
bool caller_may_see(const struct caller *c, const struct task *t);

/*
 * Whether it may have the credentials of @t's role, whose unguessable id it knows. Beside those above: the
 * host's own, when they mount an EFS file system with it. No other role is for them.
 */
bool caller_may_use_role(const struct caller *c, const struct task *t);
