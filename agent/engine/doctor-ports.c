/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/doctor-ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "common/strv.h"
#include "runtime/net/published.h"

enum { NAME_MAX_LEN = 64 };

static void write_name(char name[NAME_MAX_LEN], struct in_addr addr, const struct port_binding *b)
{
	char text[INET_ADDRSTRLEN] = "";

	(void) inet_ntop(AF_INET, &addr, text, sizeof(text));
	(void) snprintf(name, NAME_MAX_LEN, "%s %u to %s:%u",
			b->proto == IPPROTO_TCP   ? "tcp"
			: b->proto == IPPROTO_UDP ? "udp"
						  : "other",
			b->host_port, text, b->container_port);
}

int doctor_list_ports(struct engine *e, char ***ret)
{
	_cleanup_(freep) struct net_published *p = NULL;
	size_t n = 0;
	int k = published_list(&p, &n, NULL);

	(void) e;
	for (size_t i = 0; k == 0 && i < n; i++) {
		char name[NAME_MAX_LEN];

		write_name(name, p[i].addr, &p[i].binding);
		k = strv_append(ret, name);
	}
	return k;
}

static bool publishes(const struct container *c, const char *name)
{
	char own[NAME_MAX_LEN];

	if (c->known >= CONTAINER_STOPPED && !c->run->teardown)
		return false;
	for (size_t i = 0; i < c->n_bindings; i++) {
		write_name(own, c->address, &c->bindings[i]);
		if (strcmp(own, name) == 0)
			return true;
	}
	return false;
}

bool doctor_port_belongs(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (publishes(&e->tasks[i]->containers[j], name))
				return true;
	return false;
}

static int remove_named(const char *name, struct err *err)
{
	_cleanup_(freep) struct net_published *p = NULL;
	size_t n = 0;
	int k = published_list(&p, &n, err);

	for (size_t i = 0; k == 0 && i < n; i++) {
		char own[NAME_MAX_LEN];

		write_name(own, p[i].addr, &p[i].binding);
		if (strcmp(own, name) == 0)
			k = published_remove(&p[i], err);
	}
	return k == -ENOENT ? 0 : k;
}

int doctor_remove_port(struct engine *e, const char *name, struct err *err)
{
	_cleanup_(strv_freep) char **left = NULL;
	int k = remove_named(name, err);

	/* It may have stood where a container's own port belongs. */
	if (k == 0 && e->net)
		k = net_reassert(e->net, err);
	if (k == 0)
		k = doctor_list_ports(e, &left);
	if (k < 0)
		return k;
	return left && strv_contains(left, name)
		       ? err_set(err, EBUSY, "the agent has published it again")
		       : 0;
}
