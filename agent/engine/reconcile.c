/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/reconcile.h"

#include "common/macro.h"

/* [known][wanted][busy] */
static const enum container_action cells[_CONTAINER_STATUS_MAX][2][_BUSY_MAX] = {
	[CONTAINER_NONE] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_PULL,
			[BUSY_PULLING] = ACTION_NONE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_CANCEL_PULL,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_MANIFEST_PULLED] = {
		[true] = {
			/* A restart cut the pull off: what it fetched is in the store. */
			[BUSY_NOTHING] = ACTION_PULL,
			[BUSY_PULLING] = ACTION_NONE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_CANCEL_PULL,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_PULLED] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_START,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_CREATED] = {
		[true] = {
			/* A restart found no shim: it is made once more. */
			[BUSY_NOTHING] = ACTION_START,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_NONE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			/* The start is let finish; there is no telling where in it runc is. */
			[BUSY_STARTING] = ACTION_NONE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_RUNNING] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_STOP,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_NONE,
		},
	},
	[CONTAINER_STOPPED] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
		},
	},
};

enum container_action reconcile_container(enum container_status known, bool wanted,
					  enum container_busy busy)
{
	return cells[known][wanted][busy];
}

static enum task_status task_status_of(enum container_status s)
{
	static const enum task_status map[_CONTAINER_STATUS_MAX] = {
		[CONTAINER_NONE] = TASK_NONE,
		[CONTAINER_MANIFEST_PULLED] = TASK_MANIFEST_PULLED,
		[CONTAINER_PULLED] = TASK_MANIFEST_PULLED,
		[CONTAINER_CREATED] = TASK_CREATED,
		[CONTAINER_RUNNING] = TASK_RUNNING,
		[CONTAINER_STOPPED] = TASK_STOPPED,
	};

	return map[s];
}

static enum task_status wanted_status(const struct reconcile_task *t)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct reconcile_container *c = &t->containers[i];

		if (c->essential &&
		    (c->known == CONTAINER_STOPPED || c->desired == CONTAINER_STOPPED))
			return TASK_STOPPED;
	}
	/* A task of nothing but finished jobs has nothing left to wait for. */
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].known != CONTAINER_STOPPED && !t->containers[i].internal)
			return t->desired;
	return TASK_STOPPED;
}

static enum task_status known_status(const struct reconcile_task *t)
{
	enum task_status least = TASK_STOPPED;
	bool essential_stopped = false;

	for (size_t i = 0; i < t->n_containers; i++) {
		least = MIN(least, task_status_of(t->containers[i].known));
		essential_stopped |=
			t->containers[i].essential && t->containers[i].known == CONTAINER_STOPPED;
	}
	/* On the way down a task does not become RUNNING any more. */
	if (least == TASK_RUNNING && essential_stopped)
		return t->known;
	return MAX(least, t->known);
}

void reconcile_task(const struct reconcile_task *t, struct reconcile_plan *plan)
{
	plan->desired = wanted_status(t);
	plan->known = known_status(t);
	plan->admit = plan->desired != TASK_STOPPED && !t->admitted;
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct reconcile_container *c = &t->containers[i];
		bool wanted = plan->desired != TASK_STOPPED && c->desired != CONTAINER_STOPPED;

		plan->actions[i] = wanted && !t->admitted
					   ? ACTION_NONE
					   : reconcile_container(c->known, wanted, c->busy);
	}
}

const char *container_action_name(enum container_action a)
{
	static const char *const names[_ACTION_MAX] = {
		[ACTION_NONE] = "nothing",  [ACTION_IMPOSSIBLE] = "impossible",
		[ACTION_PULL] = "pull",     [ACTION_CANCEL_PULL] = "cancel pull",
		[ACTION_START] = "start",   [ACTION_STOP] = "stop",
		[ACTION_FINISH] = "finish",
	};

	return a < _ACTION_MAX ? names[a] : "?";
}
