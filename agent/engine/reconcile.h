/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile - decides what to do next with a task; does nothing itself.
 * A pure function of what is wanted, what is known and what is under way. It is called after every
 * event and after a restart alike, so there is no other way to recover.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/depends.h"
#include "agent/engine/task.h"

/* What is under way for a container, started by an earlier action. */
enum container_busy {
	BUSY_NOTHING,
	BUSY_PULLING,  /* its image, alone or as one who waits for another's pull */
	BUSY_STARTING, /* the shim was spawned and has not said how it went */
	BUSY_STOPPING, /* the stop signal was sent, KILL follows by timer */
	BUSY_ENDED,    /* its processes are gone; whether it runs again is to be decided */
	_BUSY_MAX
};

enum container_action {
	ACTION_NONE,
	ACTION_IMPOSSIBLE,  /* an empty cell: reconcile-test lists why it cannot happen */
	ACTION_PULL,        /* image, and beside it what needs no image: id, cgroup, network */
	ACTION_CANCEL_PULL, /* stop waiting for it, then FINISH */
	ACTION_START,       /* root, config.json, shim */
	ACTION_STOP,        /* the stop signal, and a timer for KILL */
	ACTION_FINISH,      /* nothing of it runs: STOPPED */
	ACTION_RESOLVE,     /* only the image's digest: the rest waits for other containers */
	ACTION_RESTART,     /* another run in the same place */
	ACTION_GIVE_UP,     /* what it depends on can never be: it does not start */
	_ACTION_MAX
};

/* One cell: what to do for a container that is known @known, wanted running or not, while @busy. */
enum container_action reconcile_container(enum container_status known, bool wanted,
					  enum container_busy busy);

struct reconcile_container {
	enum container_status known, desired;
	enum container_busy busy;
	bool essential;
	bool internal; /* its end is not waited for: it has no work of its own */
	/* what others may wait for */
	enum health_status health;
	bool has_exit_code;
	int exit_code;
	int64_t started_ms, start_timeout_s;
	/* what it waits for itself; borrowed */
	const struct depend *depends;
	size_t n_depends;
	/* with BUSY_ENDED: borrowed, NULL: it has none */
	const struct restart_policy *restart;
	int64_t last_restart_ms, finished_ms;
};

struct reconcile_task {
	enum task_status known, desired;
	bool admitted; /* it holds its host resources */
	const struct reconcile_container *containers;
	size_t n_containers;
	int64_t now_ms;    /* wall clock */
	bool pull_upfront; /* who waits for others may have its image before */
};

struct reconcile_step {
	enum container_action action;
	bool held; /* somebody who depends on it is not STOPPED: it must not be stopped yet */
	const struct depend *waits_for; /* the first edge that is not met; NULL: all are */
	enum depends_answer answer;     /* of that edge */
};

struct reconcile_plan {
	enum task_status
		desired; /* STOPPED once an essential container is known or desired STOPPED */
	enum task_status known; /* least advanced container; never lowered */
	bool admit;             /* it wants to run and lacks only host resources */
	int64_t wake_ms;        /* wall clock: ask again then, without an event; 0: no need */
	/* per container, n_containers long, given by the caller */
	struct reconcile_step *steps;
};

/*
 * Whether a container that ended is to run again: its policy says so, its exit code is known and
 * not to be ignored, and it ran long enough since the last restart or, before any, since its start.
 */
bool reconcile_wants_restart(const struct reconcile_container *c);

/* Fills @plan; with plan->desired STOPPED all containers count as unwanted. */
void reconcile_task(const struct reconcile_task *t, struct reconcile_plan *plan);

const char *container_action_name(enum container_action a);
