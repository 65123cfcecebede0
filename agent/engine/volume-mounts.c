/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted on volumes: from the first container that needs it to the last. Children do it,
 * with a deadline; a server that hangs is known by the tasks that wait for it alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/crash.h"
#include "agent/engine/volumes.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"

enum { UNMOUNT_MS = 30000 };

struct volume {
	struct volume *next;
	struct engine *engine; /* borrowed */
	char *name;            /* owned */
	bool mounted, unmounting, lazily;
	bool orphan;            /* it goes once it is unmounted */
	struct volume_job *job; /* owned */
};

static struct volume *find(const struct engine *e, const char *name)
{
	struct volume *v = e->volumes;

	while (v && strcmp(v->name, name) != 0)
		v = v->next;
	return v;
}

static struct volume *find_or_add(struct engine *e, const char *name)
{
	struct volume *v = find(e, name);

	if (v)
		return v;
	v = calloc(1, sizeof(*v));
	if (v && !(v->name = strdup(name))) {
		free(v);
		v = NULL;
	}
	if (!v)
		return NULL;
	v->engine = e;
	v->next = e->volumes;
	e->volumes = v;
	return v;
}

static void forget(struct volume *v)
{
	struct volume **at = &v->engine->volumes;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	(void) volume_job_free(v->job);
	free(v->name);
	free(v);
}

void volumes_free(struct engine *e)
{
	while (e->volumes)
		forget(e->volumes);
}

static int start_job(struct volume *v, char **args, int64_t deadline_ms, volume_job_fn fn,
		     struct err *err)
{
	return volume_job_start(&(struct volume_job_params){ .loop = v->engine->loop,
							     .program = v->engine->volume_program,
							     .args = args,
							     .deadline_ms = deadline_ms,
							     .fn = fn,
							     .userdata = v },
				&v->job, err);
}

/* ---- who uses it ---- */

static bool is_alive(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].known < CONTAINER_STOPPED || t->containers[i].run->teardown)
			return true;
	return false;
}

static bool is_used(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		if (is_alive(e->tasks[i]) && mounts_task_has(e->tasks[i], name))
			return true;
	return false;
}

static bool waits_for(const struct container *c, const struct volume *v)
{
	const struct container_volumes *cv = c->run->volumes;

	return cv && cv->waiting && !cv->for_source && !cv->copy && cv->next < cv->mounts.n &&
	       cv->mounts.items[cv->next].name &&
	       strcmp(cv->mounts.items[cv->next].name, v->name) == 0;
}

/* Calls @fn for who waits; that may end the waiting, but drops no task. */
static void each_waiting(struct volume *v, void (*fn)(struct container *c, const struct err *why),
			 const struct err *why)
{
	struct engine *e = v->engine;

	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (waits_for(&e->tasks[i]->containers[j], v))
				fn(&e->tasks[i]->containers[j], why);
}

static void resume(struct container *c, const struct err *why)
{
	(void) why;
	volumes_resume(c);
}

static void fail(struct container *c, const struct err *why)
{
	volumes_fail(c, "CannotCreateContainerError", why);
}

/* ---- mounting ---- */

static void on_mounted(const struct volume_job_result *r, void *userdata)
{
	struct volume *v = userdata;
	_cleanup_(err_done) struct err err = {};
	char limit[DURATION_TEXT_MAX], code[40];

	v->job = NULL;
	v->mounted = r->ok;
	CRASH_POINT(VOLUME_MOUNTED);
	if (r->ok) {
		log_info("Volume '%s' is mounted", v->name);
		each_waiting(v, resume, NULL);
		return;
	}
	(void) snprintf(code, sizeof(code), "mount ended with status %d", r->status);
	if (r->late)
		(void) err_set(&err, ETIMEDOUT,
			       "failed to mount volume %s: mounting volume failed: timed out after "
			       "waiting %s%s%s",
			       v->name, duration_format_ms(volumes_deadline_ms(v->engine), limit),
			       *r->text ? ": " : "", r->text);
	else
		(void) err_set(&err, EIO, "failed to mount volume %s: mounting volume failed: %s",
			       v->name, *r->text ? r->text : code);
	each_waiting(v, fail, &err);
	/* A killed mount may have got as far as the kernel. */
	volumes_unmount(v->engine, v->name);
}

int volumes_mount(struct engine *e, const char *name, char *const *args, struct err *err)
{
	_cleanup_(freep) char *dir = path_join("%s/%s", e->volumes_dir, name);
	_cleanup_(strv_freep) char **all = NULL;
	struct volume *v = find_or_add(e, name);
	int k = v && dir ? strv_append(&all, "mount") : -ENOMEM;

	if (v && v->mounted)
		return 0;
	if (v && v->job)
		return 1;
	k = k ? k : strv_append(&all, dir);
	for (size_t i = 0; k == 0 && args[i]; i++)
		k = strv_append(&all, args[i]);
	if (k < 0)
		return err_set(err, ENOMEM, "mount volume '%s'", name);
	k = start_job(v, all, volumes_deadline_ms(e), on_mounted, err);
	CRASH_POINT(VOLUME_MOUNT_BEGUN);
	return k < 0 ? k : 1;
}

/* ---- unmounting ---- */

static void start_unmount(struct volume *v);

static void on_unmounted(const struct volume_job_result *r, void *userdata)
{
	struct volume *v = userdata;
	struct engine *e = v->engine;
	bool orphan;

	v->job = NULL;
	v->unmounting = false;
	CRASH_POINT(VOLUME_UNMOUNTED);
	if (r->ok) {
		if (v->mounted)
			log_info("Volume '%s' is unmounted%s", v->name,
				 v->lazily ? ", lazily" : "");
		v->mounted = v->lazily = false;
		each_waiting(v, resume, NULL); /* who came meanwhile wants it back */
		orphan = v->orphan;
		if (!v->job && !v->mounted)
			forget(v);
		if (orphan)
			volumes_collect(e);
		return;
	}
	log_warn("Failed to unmount volume '%s'%s: %s", v->name,
		 v->lazily ? ", leaving it" : ", doing it lazily", r->late ? "timed out" : r->text);
	if (v->lazily) {
		v->lazily = false;
		each_waiting(v, resume, NULL);
		return;
	}
	v->lazily = true;
	start_unmount(v);
}

static void start_unmount(struct volume *v)
{
	_cleanup_(freep) char *dir = path_join("%s/%s", v->engine->volumes_dir, v->name);
	char *args[] = { (char[]){ "unmount" }, v->lazily ? (char[]){ "--lazily" } : dir,
			 v->lazily ? dir : NULL, NULL };
	_cleanup_(err_done) struct err err = {};

	if (!dir || start_job(v, args, UNMOUNT_MS, on_unmounted, &err) < 0)
		log_warn("Failed to unmount volume '%s', going on: %s", v->name, err_text(&err));
	else
		v->unmounting = true;
	CRASH_POINT(VOLUME_UNMOUNT_BEGUN);
}

void volumes_unmount(struct engine *e, const char *name)
{
	struct volume *v = find_or_add(e, name);

	if (!v || v->unmounting)
		return;
	v->job = volume_job_free(v->job); /* a mount that nobody waits for any more */
	start_unmount(v);
}

void volumes_unmount_orphan(struct engine *e, const char *name)
{
	struct volume *v = find_or_add(e, name);

	if (!v)
		return;
	v->orphan = true;
	volumes_unmount(e, name);
}

void volumes_found(struct engine *e, const char *name)
{
	struct volume *v = find_or_add(e, name);

	if (!v || v->mounted)
		return;
	v->mounted = true;
	if (!is_used(e, name))
		volumes_unmount(e, name);
}

void volumes_release(struct container *c)
{
	struct engine *e = c->run->engine;
	_cleanup_(strv_freep) char **idle = NULL;

	for (const struct volume *v = e->volumes; v; v = v->next)
		if (!v->unmounting && !is_used(e, v->name))
			(void) strv_append(&idle, v->name);
	for (char **s = idle; s && *s; s++)
		volumes_unmount(e, *s);
}
