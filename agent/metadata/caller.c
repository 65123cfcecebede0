/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/caller.h"

#include <arpa/inet.h>

#include "agent/engine/efs-role.h"

/* One that stopped keeps the address it had, which may be another's by now. */
static const struct container *by_address(const struct agent_view *v, struct in_addr addr)
{
	for (size_t i = 0; i < v->task_count(v->userdata); i++) {
		const struct task *t = v->task_at(v->userdata, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const struct container *c = &t->containers[j];

			if (c->address.s_addr == addr.s_addr && c->known != CONTAINER_STOPPED)
				return c;
		}
	}
	return NULL;
}

struct caller caller_find(const struct agent_view *v, struct in_addr addr,
			  const struct in_addr *own, size_t n_own)
{
	bool host = ntohl(addr.s_addr) >> 24 == IN_LOOPBACKNET;

	for (size_t i = 0; i < n_own; i++)
		host |= own[i].s_addr == addr.s_addr;
	if (host || addr.s_addr == 0)
		return (struct caller){ .host = host };
	return (struct caller){ .container = by_address(v, addr) };
}

bool caller_may_see(const struct caller *c, const struct task *t)
{
	return c->host ? t->network_mode == NETWORK_HOST : c->container && c->container->task == t;
}

bool caller_may_use_role(const struct caller *c, const struct task *t)
{
	return caller_may_see(c, t) || (c->host && efs_role_is_used(t));
}
