/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/reconcile.h"

#include "common/clock.h"
#include "common/macro.h"

/* [known][wanted][busy] */
static const enum container_action cells[_CONTAINER_STATUS_MAX][2][_BUSY_MAX] = {
	[CONTAINER_NONE] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_PULL,
			[BUSY_PULLING] = ACTION_NONE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_CANCEL_PULL,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_MANIFEST_PULLED] = {
		[true] = {
			/* A restart cut the pull off: what it fetched is in the store. */
			[BUSY_NOTHING] = ACTION_PULL,
			[BUSY_PULLING] = ACTION_NONE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_CANCEL_PULL,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_PULLED] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_START,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_CREATED] = {
		[true] = {
			/* A restart found no shim: it is made once more. */
			[BUSY_NOTHING] = ACTION_START,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_NONE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_FINISH,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			/* The start is let finish; there is no telling where in it runc is. */
			[BUSY_STARTING] = ACTION_NONE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
	},
	[CONTAINER_RUNNING] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_NONE, /* a restart */
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			/* If its restart policy says so; FINISH otherwise. */
			[BUSY_ENDED] = ACTION_RESTART,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_STOP,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_NONE, /* a restart */
			[BUSY_STOPPING] = ACTION_NONE,
			[BUSY_ENDED] = ACTION_FINISH,
		},
	},
	[CONTAINER_STOPPED] = {
		[true] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
		},
		[false] = {
			[BUSY_NOTHING] = ACTION_NONE,
			[BUSY_PULLING] = ACTION_IMPOSSIBLE,
			[BUSY_STARTING] = ACTION_IMPOSSIBLE,
			[BUSY_STOPPING] = ACTION_IMPOSSIBLE,
			[BUSY_ENDED] = ACTION_IMPOSSIBLE,
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

bool reconcile_wants_restart(const struct reconcile_container *c)
{
	const struct restart_policy *p = c->restart;
	int64_t since_ms = c->last_restart_ms ? c->last_restart_ms : c->started_ms;

	if (!p || !p->enabled || !c->has_exit_code || c->desired == CONTAINER_STOPPED)
		return false;
	for (size_t i = 0; i < p->n_ignored_exit_codes; i++)
		if (p->ignored_exit_codes[i] == c->exit_code)
			return false;
	return c->finished_ms - since_ms >= p->attempt_period_s * MSEC_PER_SEC;
}

/* The first edge that is not met; one that never will be goes before those that may yet. */
static void ask_edges(const struct reconcile_task *t, const struct reconcile_container *c,
		      struct reconcile_step *step, int64_t *wake_ms)
{
	for (size_t i = 0; i < c->n_depends; i++) {
		const struct depend *d = &c->depends[i];
		int64_t wake = 0;
		enum depends_answer a = depends_ask(d->condition, c->known,
						    &t->containers[d->index], t->now_ms, &wake);

		if (wake > 0 && (*wake_ms == 0 || wake < *wake_ms))
			*wake_ms = wake;
		if (a == DEPENDS_MET || (step->waits_for && a == DEPENDS_WAIT))
			continue;
		step->waits_for = d;
		step->answer = a;
		if (a != DEPENDS_WAIT)
			return;
	}
}

/*
 * Who waits for others goes no further than its digest, or its image where that is wanted: what it
 * waits for counts from there on.
 */
static void hold_back(const struct reconcile_task *t, const struct reconcile_container *c,
		      struct reconcile_step *step)
{
	bool begun = c->known >= (t->pull_upfront ? CONTAINER_PULLED : CONTAINER_MANIFEST_PULLED);

	if (!begun) {
		if (step->action == ACTION_PULL && !t->pull_upfront)
			step->action = ACTION_RESOLVE;
	} else if (step->answer != DEPENDS_WAIT && c->busy == BUSY_NOTHING) {
		step->action = ACTION_GIVE_UP;
	} else if (step->action == ACTION_PULL || step->action == ACTION_START) {
		step->action = ACTION_NONE;
	}
}

static void plan_container(const struct reconcile_task *t, struct reconcile_plan *plan, size_t i)
{
	const struct reconcile_container *c = &t->containers[i];
	struct reconcile_step *step = &plan->steps[i];
	bool wanted = plan->desired != TASK_STOPPED && c->desired != CONTAINER_STOPPED;

	if (wanted && !t->admitted)
		return;
	step->action = reconcile_container(c->known, wanted, c->busy);
	if (step->action == ACTION_RESTART && !reconcile_wants_restart(c))
		step->action = ACTION_FINISH;
	if (step->action == ACTION_STOP && step->held)
		step->action = ACTION_NONE;
	if (!wanted || c->known >= CONTAINER_RUNNING || c->busy == BUSY_STARTING)
		return;
	ask_edges(t, c, step, &plan->wake_ms);
	if (step->waits_for)
		hold_back(t, c, step);
}

void reconcile_task(const struct reconcile_task *t, struct reconcile_plan *plan)
{
	plan->desired = wanted_status(t);
	plan->known = known_status(t);
	plan->admit = plan->desired != TASK_STOPPED && !t->admitted;
	plan->wake_ms = 0;
	for (size_t i = 0; i < t->n_containers; i++)
		plan->steps[i] = (struct reconcile_step){};
	for (size_t i = 0; i < t->n_containers; i++) {
		const struct reconcile_container *c = &t->containers[i];

		for (size_t j = 0; c->known != CONTAINER_STOPPED && j < c->n_depends; j++)
			plan->steps[c->depends[j].index].held = true;
	}
	for (size_t i = 0; i < t->n_containers; i++)
		plan_container(t, plan, i);
}

const char *container_action_name(enum container_action a)
{
	static const char *const names[_ACTION_MAX] = {
		[ACTION_NONE] = "nothing",    [ACTION_IMPOSSIBLE] = "impossible",
		[ACTION_PULL] = "pull",       [ACTION_CANCEL_PULL] = "cancel pull",
		[ACTION_START] = "start",     [ACTION_STOP] = "stop",
		[ACTION_FINISH] = "finish",   [ACTION_RESOLVE] = "resolve",
		[ACTION_RESTART] = "restart", [ACTION_GIVE_UP] = "give up",
	};

	return a < _ACTION_MAX ? names[a] : "?";
}
