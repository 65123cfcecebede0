/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/backoff.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/eni.h"
#include "controlplane/gpu.h"
#include "controlplane/instance.h"
#include "controlplane/instance_expr.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

struct candidate {
	json_t *doc;         /* owned: described */
	json_t *ports;       /* owned: {"tcp/80": true} in use or reserved */
	int64_t cpu, memory; /* left */
	int64_t tasks;       /* not stopped, with those placed now */
	int64_t in_group;    /* of them, of the task's group */
	int64_t draw;        /* of strategy random, anew for each placement */
};

struct scheduler {
	struct controlplane *cp;
	const char *group;
	struct candidate *list; /* owned */
	size_t n;
};

/* --- loading -----------------------------------------------------------------------------------
 */

static const json_t *resource(const json_t *doc, const char *name)
{
	return named_element(json_object_get(doc, "remainingResources"), name);
}

static void add_ports(json_t *ports, const json_t *set, const char *protocol)
{
	const json_t *port;
	size_t i;

	json_array_foreach(json_object_get(set, "stringSetValue"), i, port) {
		char key[64];

		(void) snprintf(key, sizeof(key), "%s/%.32s", protocol, json_string_value(port));
		(void) json_object_set_new(ports, key, json_true());
	}
}

static int load(struct scheduler *s, json_t *doc, struct err *err)
{
	const char *arn = json_get_string(doc, "containerInstanceArn", "");
	struct candidate *list = reallocarray(s->list, s->n + 1, sizeof(*list)), *c;
	int k;

	if (!list)
		return err_set(err, ENOMEM, "load instances");
	s->list = list;
	c = &list[s->n];
	*c = (struct candidate){};
	k = instance_describe(s->cp, doc, err);
	if (k == 0)
		k = store_instance_group_tasks(s->cp->store, arn, s->group, &c->in_group, err);
	if (k < 0)
		return k;
	c->tasks = json_get_int(doc, "runningTasksCount", 0) +
		   json_get_int(doc, "pendingTasksCount", 0);
	c->doc = json_incref(doc);
	c->ports = json_object();
	c->cpu = json_get_int(resource(doc, "CPU"), "integerValue", 0);
	c->memory = json_get_int(resource(doc, "MEMORY"), "integerValue", 0);
	add_ports(c->ports, resource(doc, "PORTS"), "tcp");
	add_ports(c->ports, resource(doc, "PORTS_UDP"), "udp");
	s->n++;
	return 0;
}

static int on_instance(json_t *doc, void *userdata, struct err *err)
{
	return load(userdata, doc, err);
}

int scheduler_new(struct controlplane *cp, const char *cluster, const json_t *only,
		  const char *group, struct scheduler **ret, struct err *err)
{
	_cleanup_(scheduler_freep) struct scheduler *s = calloc(1, sizeof(*s));
	json_t *doc;
	size_t i;
	int k = 0;

	if (!s)
		return err_set(err, ENOMEM, "load instances");
	s->cp = cp;
	s->group = group;
	if (!only)
		k = store_instance_each(cp->store, cluster, "ACTIVE", NULL, -1, on_instance, s,
					err);
	json_array_foreach((json_t *) only, i, doc)
		if (k == 0)
			k = load(s, doc, err);
	if (k < 0)
		return k;
	*ret = TAKE_PTR(s);
	return 0;
}

struct scheduler *scheduler_free(struct scheduler *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++) {
		json_decref(s->list[i].doc);
		json_decref(s->list[i].ports);
	}
	free(s->list);
	free(s);
	return NULL;
}

size_t scheduler_count(const struct scheduler *s)
{
	return s->n;
}

/* --- can it? -----------------------------------------------------------------------------------
 */

static bool ports_free(const struct candidate *c, const struct demand *d)
{
	const char *key;
	json_t *v;

	json_object_foreach(d->ports, key, v)
		if (json_object_get(c->ports, key))
			return false;
	return true;
}

static bool attributes_there(const struct candidate *c, const struct demand *d)
{
	const json_t *a;
	size_t i;

	json_array_foreach(d->attributes, i, a) {
		const char *wanted = json_get_string(a, "value", NULL);
		const char *has = instance_attribute(c->doc, json_get_string(a, "name", ""));

		if (!has || (wanted && strcmp(has, wanted) != 0))
			return false;
	}
	return true;
}

static int unmet_constraint(struct scheduler *s, const struct candidate *c, const struct demand *d,
			    const char **ret, struct err *err)
{
	const json_t *v;
	size_t i;

	json_array_foreach(d->constraints, i, v) {
		bool ok = false;
		int k;

		if (strcmp(json_get_string(v, "type", ""), "distinctInstance") == 0) {
			if (c->in_group > 0)
				*ret = "DistinctInstance placement constraint unsatisfied.";
			continue;
		}
		k = instance_expr_match(s->cp, c->doc, json_get_string(v, "expression", ""), &ok,
					err);
		if (k < 0)
			return k;
		if (!ok)
			*ret = "MemberOf placement constraint unsatisfied.";
	}
	return 0;
}

static int explain(struct scheduler *s, const struct candidate *c, const struct demand *d,
		   const char **ret, struct err *err)
{
	const char *reason = NULL;
	bool has_eni = true;
	int k = unmet_constraint(s, c, d, &reason, err); /* also tells a malformed one */

	if (k == 0 && d->subnets)
		k = eni_is_free(s->cp, c->doc, d->subnets, &has_eni, err);
	if (k < 0)
		return k;
	if (strcmp(json_get_string(c->doc, "status", ""), "ACTIVE") != 0)
		*ret = "INACTIVE";
	else if (!json_is_true(json_object_get(c->doc, "agentConnected")))
		*ret = "AGENT";
	else if (!attributes_there(c, d))
		*ret = "ATTRIBUTE";
	else if (reason)
		*ret = reason;
	else if (d->memory > c->memory)
		*ret = "RESOURCE:MEMORY";
	else if (d->cpu > c->cpu)
		*ret = "RESOURCE:CPU";
	else if (d->gpus > gpu_left(c->doc))
		*ret = "RESOURCE:GPU";
	else if (!ports_free(c, d))
		*ret = "RESOURCE:PORTS";
	else if (!has_eni)
		*ret = "RESOURCE:ENI";
	else
		*ret = NULL;
	return 0;
}

int scheduler_explain(struct scheduler *s, size_t i, const struct demand *d,
		      const char **ret_reason, const char **ret_arn, struct err *err)
{
	*ret_arn = json_get_string(s->list[i].doc, "containerInstanceArn", "");
	return explain(s, &s->list[i], d, ret_reason, err);
}

/* --- which is best? -------------------------------------------------------------------------- */

static const char *field_value(const struct candidate *c, const char *field)
{
	static const char prefix[] = "attribute:";
	const char *v;

	if (strcasecmp(field, "instanceId") == 0 || strcasecmp(field, "host") == 0 || !*field)
		return json_get_string(c->doc, "containerInstanceArn", "");
	if (strncmp(field, prefix, sizeof(prefix) - 1) == 0)
		field += sizeof(prefix) - 1;
	v = instance_attribute(c->doc, field);
	return v ? v : "";
}

/* Tasks of the group on all instances that share this one's value of @field. */
static int64_t spread_rank(const struct scheduler *s, const struct candidate *c, const char *field)
{
	const char *value = field_value(c, field);
	int64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(field_value(&s->list[i], field), value) == 0)
			sum += s->list[i].in_group;
	return sum;
}

/* The less, the better. */
static int64_t rank(const struct scheduler *s, const struct candidate *c, const json_t *step)
{
	const char *type = json_get_string(step, "type", "");
	const char *field = json_get_string(step, "field", "");

	if (strcmp(type, "binpack") == 0)
		return strcasecmp(field, "cpu") == 0 ? c->cpu : c->memory;
	if (strcmp(type, "spread") == 0)
		return spread_rank(s, c, field);
	return c->draw;
}

/* By the steps of the strategy in turn; without any, and for a draw, the least busy wins. */
static bool better(const struct scheduler *s, const struct candidate *a, const struct candidate *b,
		   const json_t *strategy)
{
	const json_t *step;
	size_t i;

	json_array_foreach(strategy, i, step) {
		int64_t x = rank(s, a, step), y = rank(s, b, step);

		if (x != y)
			return x < y;
	}
	return a->tasks < b->tasks;
}

json_t *scheduler_take(struct scheduler *s, size_t i, const struct demand *d)
{
	struct candidate *c = &s->list[i];

	c->cpu -= d->cpu;
	c->memory -= d->memory;
	c->tasks++;
	c->in_group++;
	(void) json_object_update(c->ports, d->ports);
	return c->doc;
}

int scheduler_place(struct scheduler *s, const struct demand *d, json_t **ret, struct err *err)
{
	const struct candidate *best = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const char *reason = NULL;
		int k = explain(s, &s->list[i], d, &reason, err);

		if (k < 0)
			return k;
		s->list[i].draw = random_below(1 << 30);
		if (!reason && (!best || better(s, &s->list[i], best, d->strategy)))
			best = &s->list[i];
	}
	*ret = best ? scheduler_take(s, (size_t) (best - s->list), d) : NULL;
	return 0;
}
