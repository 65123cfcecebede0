/* SPDX-License-Identifier: Apache-2.0 */
/* One element of tasks[], as any control plane might send it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent/engine/depends.h"
#include "agent/engine/payload.h"
#include "common/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every edge leads to a container of the task, or the task is refused with a reason. */
static void try_graph(struct task *t)
{
	_cleanup_(err_done) struct err err = {};
	int k = depends_resolve(t, &err);

	if (k != 0 && !err.msg)
		abort();
	for (size_t i = 0; k == 0 && i < t->n_containers; i++)
		for (size_t j = 0; j < t->containers[i].n_depends; j++)
			if (t->containers[i].depends[j].index >= t->n_containers)
				abort();
}

/* The mode and the interface come together, and one address of each family leads. */
static void try_eni(const struct task *t)
{
	const struct task_eni *e = t->eni;
	size_t primaries4 = 0, primaries6 = 0;

	if ((t->network_mode == NETWORK_AWSVPC) != (e != NULL))
		abort();
	if (!e)
		return;
	for (size_t i = 0; i < e->n_ipv4; i++)
		primaries4 += e->ipv4[i].primary;
	for (size_t i = 0; i < e->n_ipv6; i++)
		primaries6 += e->ipv6[i].primary;
	if (!e->ec2_id || !*e->ec2_id || e->n_ipv4 + e->n_ipv6 == 0 ||
	    primaries4 != (e->n_ipv4 > 0) || primaries6 != (e->n_ipv6 > 0) ||
	    (e->n_ipv4 > 0 && e->prefix4 == 0) || e->prefix6 == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(json_decrefp) json_t *obj = NULL, *copy = NULL;
	_cleanup_(task_freep) struct task *t = NULL, *bare = NULL;
	_cleanup_(err_done) struct err err = {};

	if (json_parse((const char *) data, size, &obj, NULL) < 0)
		return 0;
	if (payload_decode_task(obj, &t, &err) == 0) {
		/* What was taken must be whole: the engine does not look again. */
		for (size_t i = 0; i < t->n_containers; i++)
			if (!t->containers[i].name || !t->containers[i].image ||
			    !t->containers[i].log_driver || t->containers[i].log_max_files < 1)
				abort();
		try_eni(t);
		try_graph(t);
	} else if (t || !err.msg) {
		abort();
	}
	(void) payload_decode_bare_task(obj, &bare, NULL);
	copy = payload_without_secrets(obj);
	return 0;
}
