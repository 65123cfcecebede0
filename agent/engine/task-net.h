/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task-net - the network of a task in mode awsvpc: one namespace for all its containers, the task's
 * interface in it, and the local link to the task server.
 * It stands before anything of the task is pulled. The namespace is bound below <run_dir>/netns, under
 * a name made of the task's ARN, so no process has to hold it; the address on the local link stands in
 * the rows of the containers. The device may come later than the task: it is waited for, in the loop,
 * for a minute; what does not come then stops the task.
 */
#pragma once

#include <netinet/in.h>

#include "agent/engine/reconcile.h"
#include "runtime/net/linkwatch.h"

struct engine;

enum { TASK_NET_ID_MAX = 40, TASK_NET_WAIT_MS = 60000 };

struct task_net {
	enum {
		TASK_NET_NONE,
		TASK_NET_INTENDED, /* the address is chosen; what follows waits for the commit */
		TASK_NET_WAITING,  /* for the device */
		TASK_NET_READY,
		TASK_NET_FAILED,
	} state;
	struct in_addr local; /* its address on the local link; 0: none */
	char *path;           /* owned: of the namespace, for the containers; NULL: not made */
	struct linkwatch_wait *wait; /* owned; NULL: for nothing */
	int64_t begun_ms;            /* monotonic: of the wait */
};

/* False: the network of @c's task does not stand yet, @action has to wait. */
bool task_net_lets(struct container *c, enum container_action action);

/* What was intended is done; after the commit. */
void task_net_act(struct task *t);

/* After a restart: @live: some container of it runs, so its network stands. */
void task_net_restore(struct task *t, bool live);

/* The interface goes back to the host, and all else goes. What is gone is fine. */
void task_net_teardown(struct task *t);

/* Forgets the wait; the kernel's things stay. */
void task_net_free(struct task *t);

/* The name of a task's namespace (@id: TASK_NET_ID_MAX bytes), and whether @id is such a name. */
const char *task_net_id(const struct task *t, char *id);
bool task_net_is_id(const char *id);

/* Whether some task that has not stopped has namespace @id. */
bool task_net_in_use(const struct engine *e, const char *id);

/* Takes namespace @id of no task down: its interface goes back to the host. */
int task_net_remove(struct engine *e, const char *id, struct err *err);
