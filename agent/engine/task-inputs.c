/* SPDX-License-Identifier: Apache-2.0 */
/* When a task's secrets and environment files are asked for, who waits for them, and what becomes of a refusal. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/env-file.h"
#include "agent/engine/inputs.h"
#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/strv.h"

enum { REASON_BYTES = 4096 };

struct task_inputs {
	struct task *task; /* borrowed */
	struct inputs *in; /* owned */
	bool ready, failed;
};

static bool has_inputs(const struct container *c)
{
	return c->n_secrets > 0 || (c->environment_files && *c->environment_files);
}

static bool task_has_inputs(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (has_inputs(&t->containers[i]))
			return true;
	return false;
}

static bool may_start(const struct container *c)
{
	return has_inputs(c) && c->desired != CONTAINER_STOPPED && c->known < CONTAINER_RUNNING;
}

static bool may_restart(const struct container *c)
{
	return has_inputs(c) && c->desired != CONTAINER_STOPPED && c->restart.enabled &&
	       c->known < CONTAINER_STOPPED;
}

void task_inputs_free(struct task *t)
{
	struct task_inputs *ti = t->run->inputs;

	if (!ti)
		return;
	t->run->inputs = NULL;
	(void) inputs_free(ti->in);
	free(ti);
}

void task_inputs_review(struct task *t)
{
	bool needed = false;

	if (!t->run->inputs)
		return;
	for (size_t i = 0; i < t->n_containers; i++)
		needed |= may_start(&t->containers[i]) || may_restart(&t->containers[i]);
	if (!needed || t->run->inputs->failed)
		task_inputs_free(t);
}

/* ---- a refusal ---- */

/* As the reference has the reason of a resource: one line, its first letter a capital. */
static char *reason_text(const char *message)
{
	char buf[REASON_BYTES];
	size_t n = 0;

	for (const char *p = message; *p && n < sizeof(buf) - 1; p++) {
		bool space = isspace((unsigned char) *p);

		if (space && (n == 0 || buf[n - 1] == ' '))
			continue;
		buf[n++] = space ? ' ' : *p;
	}
	buf[n] = '\0';
	buf[0] = (char) toupper((unsigned char) buf[0]);
	return strdup(buf);
}

static void stop_task(struct task *t, const char *message)
{
	t->desired = TASK_STOPPED;
	t->run->save = true;
	if (!t->reason)
		t->reason = reason_text(message);
	task_log(LOG_ERROR, t, "Task '%s' is stopped: %s", t->id, message);
}

/* Who ran before stays as it ended; who never ran cannot be without its variables. */
static void fail(struct task *t, const char *message)
{
	bool vital = false;

	if (t->run->inputs)
		t->run->inputs->failed = true;
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		c->waits_note = NULL;
		vital |= may_start(c);
		if (may_restart(c) && c->known == CONTAINER_RUNNING &&
		    (c->restarting || c->run->busy == BUSY_ENDED))
			restart_failed(c, message);
	}
	if (vital)
		stop_task(t, message);
	engine_touch(t->run->engine, t);
}

/* ---- asking ---- */

static void on_inputs(void *userdata, const struct err *err)
{
	struct task_inputs *ti = userdata;
	struct task *t = ti->task;

	if (err->code) {
		fail(t, err_text(err));
		return;
	}
	ti->ready = true;
	engine_touch(t->run->engine, t);
}

static int want(struct inputs *in, const struct container *c, struct err *err)
{
	int k = 0;

	for (size_t i = 0; k == 0 && i < c->n_secrets; i++) {
		const struct secret *s = &c->secrets[i];

		k = inputs_want(in, s->provider == SECRET_ASM ? INPUT_ASM : INPUT_SSM, s->region,
				s->value_from, err);
	}
	for (char *const *f = c->environment_files; k == 0 && f && *f; f++)
		k = inputs_want(in, INPUT_FILE, NULL, *f, err);
	return k;
}

static int begin(struct engine *e, struct task *t, struct err *err)
{
	struct task_inputs *ti = calloc(1, sizeof(*ti));
	struct inputs_params p = { .loop = e->loop,
				   .http = e->http,
				   .roles = e->roles,
				   .credentials_id = t->execution_credentials_id,
				   .region = e->config->region,
				   .dual_stack = e->config->ipv6_only,
				   .deadline_ms = e->config->create_timeout_ms,
				   .fn = on_inputs,
				   .userdata = ti };
	int k;

	if (!ti)
		return err_set(err, ENOMEM, "ask for secrets");
	t->run->inputs = ti;
	ti->task = t;
	if (!e->http || !e->roles)
		return err_set(err, ENOTSUP,
			       "secrets, environmentFiles: this agent speaks to no service of AWS");
	k = inputs_new(&p, &ti->in, err);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++)
		k = want(ti->in, &t->containers[i], err);
	return k < 0 ? k : inputs_start(ti->in, err);
}

static void note_waiting(struct container *c)
{
	const char *note = inputs_wait_for_role(c->task->run->inputs->in)
				   ? "the credentials of its execution role"
			   : c->n_secrets > 0 ? "its secrets"
					      : "its environment files";

	if (c->waits_note == note)
		return;
	if (!c->waits_note)
		c->waits_since_ms = clock_real_ms();
	c->waits_note = note;
	container_log(LOG_INFO, c, "Container '%s' waits for %s", c->name, note);
}

bool task_inputs_let(struct container *c, enum container_action action)
{
	bool start = action == ACTION_START || action == ACTION_RESTART;
	_cleanup_(err_done) struct err err = {};
	struct task *t = c->task;

	if ((!start && action != ACTION_PULL && action != ACTION_RESOLVE) || !task_has_inputs(t))
		return true;
	if (!t->run->inputs && (!start || has_inputs(c)) && begin(t->run->engine, t, &err) < 0) {
		fail(t, err_text(&err));
		return false;
	}
	if (!start || !has_inputs(c))
		return true;
	if (t->run->inputs->failed)
		return false;
	if (!t->run->inputs->ready) {
		note_waiting(c);
		return false;
	}
	c->waits_note = NULL;
	return true;
}

int task_inputs_set_secrets(const struct container *c, char ***env, task_inputs_set_fn set)
{
	const struct task_inputs *ti = c->task->run->inputs;
	int k = 0;

	for (size_t i = 0; k == 0 && i < c->n_secrets; i++) {
		const struct secret *s = &c->secrets[i];
		const char *value =
			ti && ti->ready
				? inputs_get(ti->in,
					     s->provider == SECRET_ASM ? INPUT_ASM : INPUT_SSM,
					     s->region, s->value_from)
				: NULL;

		k = value ? set(env, s->name, value) : -ENOENT;
	}
	return k;
}

/* Of two files the first one counts, so it is set last. */
int task_inputs_set_files(const struct container *c, char ***env, task_inputs_set_fn set)
{
	const struct task_inputs *ti = c->task->run->inputs;
	int k = 0;

	for (size_t n = strv_length(c->environment_files); k == 0 && n > 0; n--) {
		const char *text = ti && ti->ready ? inputs_get(ti->in, INPUT_FILE, NULL,
								c->environment_files[n - 1])
						   : NULL;

		k = text ? env_file_read(text, env, set, NULL) : -ENOENT;
	}
	return k;
}
