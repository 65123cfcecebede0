/* SPDX-License-Identifier: Apache-2.0 */
/* How tasks come in, are asked to stop, and how the sessions look at them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/engine/internal.h"
#include "agent/engine/payload.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/strv.h"

enum { PAYLOAD_TASKS_MAX = 10000 };

static const uint64_t DISK_MIN_BYTES = 64 << 20;
static const uint64_t DISK_MIN_INODES = 1000;

/* ---- refusals ---- */

/* A record of a task that never gets containers: to report it once and know it when it is repeated.
 */
static int add_bare(struct engine *e, struct task *bare, char *reason, struct err *err)
{
	_cleanup_(task_freep) struct task *t = bare;
	int k;

	t->desired = TASK_STOPPED;
	t->reason = reason;
	k = engine_add_task(e, t, err);
	if (k < 0)
		return k;
	t->run->insert = json_pack("{s:s,s:s*,s:s*,s:s*}", "arn", t->arn, "family", t->family,
				   "version", t->version, "taskClusterArn", t->cluster_arn);
	if (reason)
		task_log(LOG_ERROR, t, "Task '%s' is refused: %s", t->id, reason);
	t = NULL; /* the engine's now */
	return 0;
}

static int check_disk(const struct engine *e, struct err *err)
{
	struct statvfs s;

	if (statvfs(e->data_dir, &s) < 0)
		return err_set_errno(err, errno, "look at '%s'", e->data_dir);
	/* A file system without a count of inodes has no bound on them. */
	if ((uint64_t) s.f_bavail * s.f_frsize >= DISK_MIN_BYTES &&
	    (s.f_files == 0 || s.f_favail >= DISK_MIN_INODES))
		return 0;
	return err_set(err, ENOSPC,
		       "no space left for containers in '%s': %" PRIu64 " MiB and %" PRIu64
		       " inodes are free, %" PRIu64 " MiB and %" PRIu64 " are wanted",
		       e->config->data_dir, (uint64_t) s.f_bavail * s.f_frsize >> 20,
		       (uint64_t) s.f_favail, DISK_MIN_BYTES >> 20, DISK_MIN_INODES);
}

/* What is right by its form, but not on this host. */
static int check_host(const struct engine *e, const struct task *t, struct err *err)
{
	if (t->eni && !e->config->task_eni)
		return err_set(err, ENOTSUP,
			       "networkMode: awsvpc is switched off on this host (ECS_ENABLE_TASK_ENI)");
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].privileged && e->config->privileged_disabled)
			return err_set(err, ENOTSUP,
				       "containers[%zu]: privileged: switched off by "
				       "ECS_DISABLE_PRIVILEGED",
				       i);
	return check_disk(e, err);
}

/* ---- taking ---- */

static void want_stop(struct engine *e, struct task *t, const char *reason)
{
	if (t->desired == TASK_STOPPED)
		return;
	t->desired = TASK_STOPPED;
	if (reason && !t->reason)
		(void) strdup_to(&t->reason, reason);
	t->run->save = true;
	engine_touch(e, t);
	task_log(LOG_INFO, t, "Task '%s' shall stop%s%s", t->id, reason ? ": " : "",
		 reason ? reason : "");
}

static int take_new(struct engine *e, const json_t *obj, struct task **bare, struct err *err)
{
	_cleanup_(task_freep) struct task *t = NULL;
	_cleanup_(err_done) struct err why = {};
	char *reason = NULL;
	int k = payload_decode_task(obj, &t, &why);
	bool malformed = k == -EPROTO;

	if (k == 0)
		k = check_host(e, t, &why);
	if (k == -ENOMEM)
		return err_move(err, &why);
	if (k < 0) {
		if (asprintf(&reason, "UnrecogniedTaskError: Error loading task - %s",
			     err_text(&why)) < 0)
			return err_set(err, ENOMEM, "refuse a task");
		k = add_bare(e, TAKE_PTR(*bare), reason, err);
		return k < 0 ? k : malformed ? err_move(err, &why) : 0;
	}
	k = depends_resolve(t, &why);
	if (k == DEPENDS_E_UNRESOLVABLE)
		return add_bare(e, TAKE_PTR(*bare), TAKE_PTR(why.msg), err);
	if (k < 0)
		return err_move(err, &why);
	k = engine_add_task(e, t, err);
	if (k < 0)
		return k;
	t->run->insert = payload_without_secrets(obj);
	task_log(LOG_INFO, t, "Task '%s' (%s:%s) with %zu containers came in", t->id,
		 t->family ? t->family : "", t->version ? t->version : "", t->n_containers);
	t = NULL; /* the engine's now */
	return 0;
}

static int take(struct engine *e, const json_t *obj, struct err *err)
{
	_cleanup_(task_freep) struct task *bare = NULL;
	struct task *known;
	int k = payload_decode_bare_task(obj, &bare, err);

	if (k < 0)
		return k;
	if (task_is_local(bare))
		return err_set(err, EPROTO, "arn: '%.300s' is one of this host's own", bare->arn);
	known = engine_task_by_arn(e, bare->arn);
	if (known) { /* of a repetition only the wish counts, and only forward */
		if (bare->desired == TASK_STOPPED)
			want_stop(e, known, NULL);
		return 0;
	}
	if (bare->desired == TASK_STOPPED)
		return add_bare(e, TAKE_PTR(bare), NULL, err);
	return take_new(e, obj, &bare, err);
}

static bool wants_stop(const json_t *obj)
{
	return task_status_parse(json_get_string(obj, "desiredStatus", "")) == TASK_STOPPED;
}

/* Tasks that did not get onto the disk were never here. */
static bool forget_unwritten(struct engine *e)
{
	bool any = false;

	for (size_t i = e->n_tasks; i-- > 0;) {
		struct task *t = e->tasks[i];

		if (!t->run->insert)
			continue;
		any = true;
		for (size_t j = 0; j < t->n_containers; j++) {
			struct container *c = &t->containers[j];

			if (c->run->ports_held)
				(void) net_ports_release(e->net, c->bindings, c->n_bindings, NULL);
			if (c->address.s_addr)
				net_address_release(e->net, c->address);
		}
		if (t->run->admitted)
			admission_release(&e->ledger, t);
		engine_drop_task(e, i);
	}
	/* commit_first stays: what was decided for others is not on the disk either. */
	return any;
}

int engine_on_payload(struct engine *e, const json_t *message, struct err *err)
{
	const json_t *tasks = json_object_get(message, "tasks");
	_cleanup_(err_done) struct err fault = {}, disk = {};
	size_t i;
	json_t *t;
	int k;

	if (tasks && !json_is_null(tasks) && !json_is_array(tasks))
		return err_set(err, EPROTO, "tasks: is no array");
	if (json_array_size(tasks) > PAYLOAD_TASKS_MAX)
		return err_set(err, EPROTO, "tasks: has %zu elements, at most %d are taken",
			       json_array_size(tasks), PAYLOAD_TASKS_MAX);
	/* Stops first: they free what the others need. */
	for (int round = 0; round < 2; round++) {
		json_array_foreach((json_t *) tasks, i, t) {
			_cleanup_(err_done) struct err one = {};

			if (wants_stop(t) != (round == 0) || take(e, t, &one) == 0)
				continue;
			log_error("Failed to take tasks[%zu] of a payload: %s", i, err_text(&one));
			if (fault.code == 0)
				(void) err_move(&fault, &one);
		}
	}
	CRASH_POINT(PAYLOAD_DECODED);
	if (engine_pass(e, &disk) < 0 && forget_unwritten(e))
		return err_move(err, &disk);
	CRASH_POINT(PAYLOAD_COMMITTED);
	/* The acts have begun meanwhile; the ack waits. */
	k = store_wait_durable(e->store, err);
	CRASH_POINT(PAYLOAD_DURABLE);
	if (k < 0)
		return k;
	return fault.code ? err_move(err, &fault) : 0;
}

/* ---- what the sessions and people ask for ---- */

static int settle(struct engine *e, struct err *err)
{
	int k = engine_pass(e, err);

	return k < 0 ? k : store_wait_durable(e->store, err);
}

/* Who asks is there to be told what is wrong, so a refused task leaves no record. */
static int check_local(struct engine *e, struct task *t, struct err *err)
{
	int k = check_host(e, t, err);

	if (k == 0 && engine_task_by_arn(e, t->arn))
		k = err_set(err, EEXIST, "name: task '%s' is still there", t->id);
	if (k == 0 && depends_resolve(t, err) != 0)
		k = -(err->code ? err->code : EPROTO);
	return k;
}

int engine_run_local(struct engine *e, const json_t *obj, struct err *err)
{
	_cleanup_(task_freep) struct task *t = NULL;
	_cleanup_(err_done) struct err disk = {};
	int k = payload_decode_task(obj, &t, err);

	if (k == 0)
		k = check_local(e, t, err);
	if (k == 0)
		k = engine_add_task(e, t, err);
	if (k < 0)
		return k;
	t->run->insert = payload_without_secrets(obj);
	task_log(LOG_INFO, t, "Task '%s' (%s) with %zu containers is started by ecsctl", t->id,
		 t->family, t->n_containers);
	t = NULL; /* the engine's now */
	if (engine_pass(e, &disk) < 0 && forget_unwritten(e))
		return err_move(err, &disk);
	return store_wait_durable(e->store, err);
}

int engine_remove_local(struct engine *e, const char *arn, struct err *err)
{
	struct task *t = engine_task_by_arn(e, arn);

	if (!t)
		return err_set(err, ENOENT, "task '%s' is not known", arn);
	if (!task_is_local(t))
		return err_set(err, EPERM,
			       "task '%s' is the service's: it is cleaned up in its time", t->id);
	if (t->known != TASK_STOPPED)
		return err_set(err, EBUSY, "task '%s' has not stopped", t->id);
	t->run->remove_at_ms = clock_real_ms();
	cleanup_schedule(e);
	return 0;
}

int engine_stop_task(struct engine *e, const char *arn, const char *reason, bool *ret_known,
		     struct err *err)
{
	struct task *t = engine_task_by_arn(e, arn);

	if (ret_known)
		*ret_known = t != NULL;
	if (!t)
		return 0;
	want_stop(e, t, reason);
	return settle(e, err);
}

int engine_set_credentials_id(struct engine *e, const char *arn, enum role_type type,
			      const char *id, struct err *err)
{
	struct task *t = engine_task_by_arn(e, arn);
	int k;

	if (!t)
		return err_set(err, ENOENT, "task '%s' is not known", arn);
	if (strdup_to(type == ROLE_TASK ? &t->role_credentials_id : &t->execution_credentials_id,
		      id) < 0)
		return err_set(err, ENOMEM, "keep credentials id");
	t->run->save = true;
	k = settle(e, err);
	engine_touch(e, t); /* the credentials are put after this, and a start may wait for them */
	return k;
}

static bool is_listed(const json_t *running, const char *arn)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *) running, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), arn) == 0)
			return true;
	return false;
}

int engine_stop_candidates(const struct engine *e, const json_t *running, json_t **ret,
			   struct err *err)
{
	json_t *list = json_array();

	if (!list)
		return err_set(err, ENOMEM, "list tasks");
	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->desired == TASK_RUNNING && !task_is_local(e->tasks[i]) &&
		    !is_listed(running, e->tasks[i]->arn))
			(void) json_array_append_new(list, json_string(e->tasks[i]->arn));
	*ret = list;
	return 0;
}

/* ---- the outbox's view ---- */

static int source_head(void *userdata, const char *task_arn, int64_t *ret_id, char **ret_body,
		       struct err *err)
{
	struct engine *e = userdata;

	return store_outbox_head(e->store, task_arn, ret_id, ret_body, err);
}

static int source_done(void *userdata, const char *task_arn, int64_t id, bool accepted,
		       struct err *err)
{
	struct engine *e = userdata;

	int k;

	(void) task_arn, (void) accepted;
	CRASH_POINT(OUTBOX_ANSWERED);
	k = store_outbox_delete(e->store, id, err);
	CRASH_POINT(OUTBOX_DELETED);
	cleanup_delivered(e);
	return k;
}

static int source_each(void *userdata, void (*each)(void *outbox, const char *task_arn),
		       void *outbox, struct err *err)
{
	struct engine *e = userdata;

	return store_outbox_each_task(e->store, each, outbox, err);
}

const struct outbox_source engine_outbox_source = {
	.head = source_head,
	.done = source_done,
	.each_task = source_each,
};
