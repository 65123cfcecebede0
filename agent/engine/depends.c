/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/depends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/reconcile.h"
#include "common/clock.h"
#include "common/strv.h"

/* ---- resolving ---- */

static bool find(const struct task *t, const char *name, size_t len, size_t *ret)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		const char *other = t->containers[i].name;

		if (strlen(other) == len && memcmp(other, name, len) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static int add_edge(struct container *c, const char *name, size_t len,
		    enum depend_condition condition, size_t index, struct err *err)
{
	struct depend *grown = reallocarray(c->depends, c->n_depends + 1, sizeof(*grown));

	if (!grown)
		return err_set(err, ENOMEM, "add a dependency");
	c->depends = grown;
	grown[c->n_depends] = (struct depend){ strndup(name, len), condition, index };
	if (!grown[c->n_depends].name)
		return err_set(err, ENOMEM, "add a dependency");
	c->n_depends++;
	return 0;
}

static int refuse(struct err *err, const struct task *t, const char *what, const char *name)
{
	(void) err_set(err, EPROTO, "resource cannot be initialized for task %s: %s%.300s", t->arn,
		       what, name);
	return DEPENDS_E_UNRESOLVABLE;
}

static int refuse_graph(struct err *err, const struct task *t)
{
	(void) err_set(err, EPROTO, "Task dependencies cannot be resolved, taskArn: %s", t->arn);
	return DEPENDS_E_UNRESOLVABLE;
}

static int resolve_volumes(const struct task *t, struct container *c, struct err *err)
{
	int k = 0;

	for (size_t i = 0; k == 0 && i < c->n_volumes_from; i++) {
		struct volumes_from *v = &c->volumes_from[i];
		size_t len = strlen(v->source_container);

		if (!find(t, v->source_container, len, &v->index))
			return refuse(err, t, "could not find volume source container with name ",
				      v->source_container);
		k = add_edge(c, v->source_container, len, DEPEND_CREATE, v->index, err);
	}
	return k;
}

/* "name" or "name:alias". */
static int resolve_links(const struct task *t, struct container *c, struct err *err)
{
	int k = 0;

	for (char **s = c->links; k == 0 && s && *s; s++) {
		const char *colon = strchr(*s, ':');
		size_t len = strcspn(*s, ":"), index;

		if (colon && strchr(colon + 1, ':'))
			return refuse(err, t, "invalid link format", "");
		if (!find(t, *s, len, &index))
			return refuse(err, t, "could not find container for link ", *s);
		k = add_edge(c, *s, len, DEPEND_START, index, err);
	}
	return k;
}

enum colour { WHITE, GREY, BLACK };

/* Depth first, with a stack of our own: where[] is the next edge of each container on the path. */
static bool has_cycle_from(const struct task *t, size_t start, enum colour *colours, size_t *path,
			   size_t *where)
{
	size_t depth = 0;

	path[0] = start;
	where[0] = 0;
	colours[start] = GREY;
	for (;;) {
		const struct container *c = &t->containers[path[depth]];
		size_t next;

		if (where[depth] == c->n_depends) {
			colours[path[depth]] = BLACK;
			if (depth-- == 0)
				return false;
			continue;
		}
		next = c->depends[where[depth]++].index;
		if (colours[next] == GREY)
			return true;
		if (colours[next] == BLACK)
			continue;
		colours[next] = GREY;
		path[++depth] = next;
		where[depth] = 0;
	}
}

static int check_cycles(const struct task *t, struct err *err)
{
	size_t n = t->n_containers + 1;
	_cleanup_(freep) enum colour *colours = calloc(n, sizeof(*colours));
	_cleanup_(freep) size_t *path = calloc(n, sizeof(*path));
	_cleanup_(freep) size_t *where = calloc(n, sizeof(*where));

	if (!colours || !path || !where)
		return err_set(err, ENOMEM, "look for cycles");
	for (size_t i = 0; i < t->n_containers; i++)
		if (colours[i] == WHITE && has_cycle_from(t, i, colours, path, where))
			return refuse_graph(err, t);
	return 0;
}

int depends_resolve(struct task *t, struct err *err)
{
	bool any = false;
	int k = 0;

	for (size_t i = 0; k == 0 && i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		for (size_t j = 0; j < c->n_depends; j++)
			if (!find(t, c->depends[j].name, strlen(c->depends[j].name),
				  &c->depends[j].index))
				return refuse_graph(err, t);
		k = resolve_volumes(t, c, err);
		if (k == 0)
			k = resolve_links(t, c, err);
		any |= c->n_depends > 0;
	}
	return k != 0 || !any ? k : check_cycles(t, err);
}

/* ---- asking ---- */

static bool never_started(const struct reconcile_container *d)
{
	return d->started_ms == 0 && d->known != CONTAINER_RUNNING &&
	       (d->known == CONTAINER_STOPPED || d->desired == CONTAINER_STOPPED);
}

/* Only those conditions that may take their time have an end of patience. */
static int64_t patience_ends(enum depend_condition condition, enum container_status known,
			     const struct reconcile_container *d)
{
	if (condition == DEPEND_CREATE || condition == DEPEND_START || known >= CONTAINER_CREATED ||
	    d->known == CONTAINER_STOPPED || d->start_timeout_s == 0 || d->started_ms == 0)
		return 0;
	return d->started_ms + d->start_timeout_s * MSEC_PER_SEC;
}

static enum depends_answer ask_stopped(enum depend_condition condition,
				       const struct reconcile_container *d)
{
	switch (condition) {
	case DEPEND_COMPLETE:
		return d->has_exit_code ? DEPENDS_MET : DEPENDS_NO_EXIT_CODE;
	case DEPEND_SUCCESS:
		return d->has_exit_code && d->exit_code == 0 ? DEPENDS_MET : DEPENDS_NOT_SUCCESSFUL;
	case DEPEND_HEALTHY:
		return DEPENDS_NEVER_HEALTHY;
	default:
		return DEPENDS_MET;
	}
}

static bool is_met(enum depend_condition condition, const struct reconcile_container *d)
{
	switch (condition) {
	case DEPEND_CREATE:
		return d->known >= CONTAINER_CREATED;
	case DEPEND_START:
		return d->known >= CONTAINER_RUNNING;
	case DEPEND_HEALTHY:
		return d->known == CONTAINER_RUNNING && d->health == HEALTH_HEALTHY;
	default:
		return false;
	}
}

enum depends_answer depends_ask(enum depend_condition condition, enum container_status known,
				const struct reconcile_container *d, int64_t now_ms,
				int64_t *ret_wake_ms)
{
	int64_t ends = patience_ends(condition, known, d);

	*ret_wake_ms = 0;
	if (never_started(d))
		return DEPENDS_NEVER_STARTS;
	if (d->known == CONTAINER_STOPPED)
		return ask_stopped(condition, d);
	if (is_met(condition, d))
		return DEPENDS_MET;
	if (ends > 0 && now_ms >= ends)
		return DEPENDS_TIMED_OUT;
	*ret_wake_ms = ends;
	return DEPENDS_WAIT;
}

/* ---- words ---- */

/* "db(postgres:16) (RUNNING->RUNNING)", as operators know it from the reference agent. */
static void describe(const struct container *c, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%.100s(%.200s) (%s->%s)", c->name, c->image ? c->image : "",
			 container_status_name(c->known), container_status_name(c->desired));

	if (c->has_exit_code && n > 0 && (size_t) n < size)
		(void) snprintf(buf + n, size - (size_t) n, " - Exit: %d", c->exit_code);
}

char *depends_explain(enum depends_answer answer, const struct container *c,
		      const struct container *dependency)
{
	static const char *const ends[_DEPENDS_ANSWER_MAX] = {
		[DEPENDS_TIMED_OUT] = "has timed out.",
		[DEPENDS_NOT_SUCCESSFUL] = "as dependency did not exit successfully.",
		[DEPENDS_NEVER_STARTS] = "because dependency will never start",
		[DEPENDS_NEVER_HEALTHY] = "because dependency stopped and will not be healthy",
		[DEPENDS_NO_EXIT_CODE] = "because the exit code of dependency is not known",
	};
	char this[400], that[400], *text;

	describe(c, this, sizeof(this));
	describe(dependency, that, sizeof(that));
	if (asprintf(&text,
		     "dependency graph: %scontainer ordering dependency [%s] for target [%s] %s",
		     answer == DEPENDS_TIMED_OUT ? "" : "failed to resolve ", that, this,
		     ends[answer] ? ends[answer] : "") < 0)
		return NULL;
	return text;
}

const char *depends_waiting_text(const struct container *c, char *buf)
{
	static const char *const wanted[_DEPEND_MAX] = {
		[DEPEND_CREATE] = "be created",  [DEPEND_START] = "start",
		[DEPEND_COMPLETE] = "end",       [DEPEND_SUCCESS] = "end with exit code 0",
		[DEPEND_HEALTHY] = "be HEALTHY",
	};

	if (!c->waits_for)
		return NULL;
	(void) snprintf(buf, DEPENDS_TEXT_MAX, "container '%.200s' to %s", c->waits_for->name,
			wanted[c->waits_for->condition]);
	return buf;
}
