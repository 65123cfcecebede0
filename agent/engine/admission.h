/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission - the ledger of what the host has to give: CPU, memory, fixed host ports.
 * A task waits only for what it lacks itself and starts the moment that is free; nobody queues
 * behind it for something else.
 */
#pragma once

#include "agent/engine/engine.h"

struct ledger {
	bool bounded; /* the host's resources are known */
	int64_t cpu_total, memory_total_mib;
	int64_t cpu_used, memory_used_mib;
	uint64_t tcp[1024], udp[1024]; /* one bit per host port that a task has */
	char *const *gpus;             /* ids of this host's, borrowed; NULL: none */
	uint64_t gpus_used;            /* one bit per GPU that a task has */
	const struct port_list *reserved_tcp, *reserved_udp; /* borrowed; NULL: none */
};

/* What a task takes; ports are read from the task itself. */
struct demand {
	int64_t cpu, memory_mib;
};

struct demand admission_demand(const struct task *t);

enum {
	ADMISSION_WAIT = 1,  /* *ret_lack says for what, owned */
	ADMISSION_NEVER = 2, /* *ret_lack says why it can never fit */
};

/* Takes all the task asks for, or nothing. 0, ADMISSION_WAIT, ADMISSION_NEVER or -ENOMEM. */
int admission_take(struct ledger *l, const struct task *t, char **ret_lack);

/* The same for a task that runs already, whatever else is taken. */
void admission_force(struct ledger *l, const struct task *t);

void admission_release(struct ledger *l, const struct task *t);
