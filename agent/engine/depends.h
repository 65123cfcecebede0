/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depends - the graph of a task: which container waits for which, and for how much of it.
 * Names are resolved to places once, when the task comes in; then every question about an edge is
 * answered in O(1). Pure: no clock, no logging, no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/task.h"
#include "common/err.h"

struct reconcile_container;

enum { DEPENDS_E_UNRESOLVABLE = 1 }; /* err holds the task's reason, word for word */

/*
 * Resolves dependsOn, links and volumesFrom of all containers of @t: links add an edge START,
 * volumesFrom one CREATE, and all edges get their index. Once per task, before it is added.
 * Returns 0, DEPENDS_E_UNRESOLVABLE (a name of no container, a malformed link, a cycle) or -ENOMEM.
 */
int depends_resolve(struct task *t, struct err *err);

enum depends_answer {
	DEPENDS_MET,
	DEPENDS_WAIT, /* not yet */
	/* never */
	DEPENDS_TIMED_OUT,
	DEPENDS_NOT_SUCCESSFUL,
	DEPENDS_NEVER_STARTS,
	DEPENDS_NEVER_HEALTHY, /* it ended, so it can become healthy no more */
	DEPENDS_NO_EXIT_CODE,  /* it ended, and nobody knows how */
	_DEPENDS_ANSWER_MAX
};

/*
 * Whether @dependency is as far as @condition wants it, for a container that is @known itself.
 * @now_ms: wall clock. With DEPENDS_WAIT, *ret_wake_ms is when its start timeout ends; 0: never.
 */
enum depends_answer depends_ask(enum depend_condition condition, enum container_status known,
				const struct reconcile_container *dependency, int64_t now_ms,
				int64_t *ret_wake_ms);

/* Message of the error of @c, which can never start: "dependency graph: …". Owned; NULL: no memory. */
char *depends_explain(enum depends_answer answer, const struct container *c,
		      const struct container *dependency);

/*
 * "container 'db' to be HEALTHY": what @c waits for, for people; NULL when it waits for nothing.
 * @buf holds DEPENDS_TEXT_MAX.
 */
enum { DEPENDS_TEXT_MAX = 300 };
const char *depends_waiting_text(const struct container *c, char *buf);
