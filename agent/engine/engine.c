/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/image-cleanup.h"
#include "agent/engine/internal.h"
#include "agent/engine/prefetch.h"
#include "agent/engine/registry-token.h"
#include "agent/engine/report.h"
#include "agent/store/store.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/runc/runc.h"

enum {
	PASS_PRIORITY = SD_EVENT_PRIORITY_NORMAL + 10, /* after the news of one wake-up is in */
	TEARDOWN_PRIORITY = SD_EVENT_PRIORITY_IDLE,
	RETRY_MS = 1000,
	TICKER_MIN_MS = 10000, /* news of containers alone wait for 10..30 s */
	TICKER_SPREAD_MS = 20000,
	STOP_LIMIT_MS = 120000,
};

/* ---- tasks ---- */

static void run_done(struct container_run *r)
{
	slots_give_back(r->container);
	pulls_leave(r->container);
	container_volumes_free(r->container);
	r->shim_io = sd_event_source_disable_unref(r->shim_io);
	r->timer = sd_event_source_disable_unref(r->timer);
	r->shim = shim_free(r->shim);
	r->check = image_check_free(r->check);
	free(r->netns_path);
	r->netns_path = NULL;
}

static void task_run_free(struct task *t)
{
	if (!t->run)
		return;
	for (size_t i = 0; i < t->n_containers; i++) {
		run_done(&t->run->containers[i]);
		t->containers[i].run = NULL;
	}
	task_inputs_free(t);
	json_decref(t->run->insert);
	(void) sd_event_source_disable_unref(t->run->wake);
	free(t->run->cgroup_path);
	free(t->run);
	t->run = NULL;
}

int engine_add_task(struct engine *e, struct task *t, struct err *err)
{
	struct task **grown = reallocarray(e->tasks, e->n_tasks + 1, sizeof(*grown));

	if (grown)
		e->tasks = grown;
	t->run = calloc(1, sizeof(*t->run) + t->n_containers * sizeof(t->run->containers[0]));
	if (!grown || !t->run) {
		free(t->run);
		t->run = NULL;
		return err_set(err, ENOMEM, "add task '%s'", t->id);
	}
	t->run->engine = e;
	t->run->dirty = true;
	t->run->durable_sent = t->sent;
	t->run->arrived_mono_ms = clock_mono_ms();
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		c->run = &t->run->containers[i];
		*c->run = (struct container_run){ .engine = e,
						  .container = c,
						  .durable_sent = c->sent };
	}
	if (t->sequence == 0)
		t->sequence = e->next_sequence;
	e->next_sequence = MAX(e->next_sequence, t->sequence) + 1;
	e->tasks[e->n_tasks++] = t;
	return 0;
}

void engine_drop_task(struct engine *e, size_t i)
{
	struct task *t = e->tasks[i];

	memmove(&e->tasks[i], &e->tasks[i + 1], (e->n_tasks - i - 1) * sizeof(e->tasks[0]));
	e->n_tasks--;
	task_run_free(t);
	(void) task_free(t);
}

struct task *engine_task_by_arn(const struct engine *e, const char *arn)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		if (strcmp(e->tasks[i]->arn, arn) == 0)
			return e->tasks[i];
	return NULL;
}

size_t engine_task_count(const struct engine *e)
{
	return e->n_tasks;
}

const struct task *engine_task_at(const struct engine *e, size_t i)
{
	return i < e->n_tasks ? e->tasks[i] : NULL;
}

const struct task *engine_find_task(const struct engine *e, const char *name)
{
	const struct task *found = engine_task_by_arn(e, name);
	size_t n = strlen(name), matches = 0;

	if (found)
		return found;
	for (size_t i = 0; i < e->n_tasks; i++) {
		if (strcmp(e->tasks[i]->id, name) == 0)
			return e->tasks[i];
		if (n < 4 || strncmp(e->tasks[i]->id, name, n) != 0)
			continue;
		found = e->tasks[i];
		matches++;
	}
	return matches == 1 ? found : NULL;
}

void engine_tell(struct engine *e, const struct task *t, const struct container *c,
		 const char *type)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	char time[CLOCK_RFC3339_MAX];

	if (!e->callbacks.on_event || (c && c->internal))
		return;
	o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "time",
		      clock_format_rfc3339(clock_real_ms(), 1, time), "type", type, "task", t->arn,
		      "status", c ? container_status_name(c->known) : task_status_name(t->known),
		      "desiredStatus",
		      c ? container_status_name(c->desired) : task_status_name(t->desired));
	if (!o)
		return;
	if (c)
		(void) json_object_set_new(o, "container", json_string(c->name));
	if (c && c->has_exit_code)
		(void) json_object_set_new(o, "exitCode", json_integer(c->exit_code));
	if (t->reason)
		(void) json_object_set_new(o, "reason", json_string(t->reason));
	e->callbacks.on_event(e->callbacks.userdata, o);
}

/* ---- the pass ---- */

void engine_touch(struct engine *e, struct task *t)
{
	t->run->dirty = true;
	if (!e->in_pass)
		(void) sd_event_source_set_enabled(e->pass, SD_EVENT_ONESHOT);
}

static void decide_all(struct engine *e)
{
	do {
		e->room = false;
		slots_offer(e);
		for (size_t i = 0; i < e->n_tasks; i++)
			if (e->tasks[i]->run->dirty)
				decide_task(e, e->tasks[i]);
		/* Freed resources go to the waiting ones, in order of arrival. */
		for (size_t i = 0; e->room && i < e->n_tasks; i++)
			e->tasks[i]->run->dirty |= e->tasks[i]->waiting_for != NULL;
	} while (e->room);
}

static int put_report(struct engine *e, struct task *t, struct err *err)
{
	_cleanup_(json_decrefp) json_t *body = report_body(t, e->config);
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;
	int k;

	if (!text)
		return err_set(err, ENOMEM, "write report");
	k = store_outbox_put(e->store, t->arn, text, NULL, err);
	if (k < 0)
		return k;
	report_mark_sent(t);
	t->run->reported = t->run->save = true;
	for (size_t i = 0; i < t->n_containers; i++)
		t->containers[i].run->save = true;
	return 0;
}

static int flush_task(struct engine *e, struct task *t, struct err *err)
{
	int k = 0;

	if (t->run->insert)
		k = store_put_task(e->store, t, t->run->insert, err);
	if (k == 0 && report_is_due(t))
		k = put_report(e, t, err);
	if (k == 0 && t->run->save)
		k = store_update_task(e->store, t, err);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++)
		if (t->containers[i].run->save)
			k = store_update_container(e->store, &t->containers[i], err);
	return k;
}

static bool is_stale(const struct task *t)
{
	if (t->run->save || t->run->insert || report_is_due(t))
		return true;
	for (size_t i = 0; i < t->n_containers; i++)
		if (t->containers[i].run->save)
			return true;
	return false;
}

/* What was meant to be sent was not: the next flush reports it again. */
static void take_back(struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task *t = e->tasks[i];

		if (!t->run->reported)
			continue;
		t->run->reported = false;
		t->sent = t->run->durable_sent;
		for (size_t j = 0; j < t->n_containers; j++)
			t->containers[j].sent = t->containers[j].run->durable_sent;
	}
}

static void note_committed(struct engine *e, struct task *t)
{
	bool reported = t->run->reported;

	json_decref(t->run->insert);
	t->run->insert = NULL;
	t->run->save = t->run->reported = false;
	t->run->durable_sent = t->sent;
	for (size_t i = 0; i < t->n_containers; i++) {
		t->containers[i].run->save = false;
		t->containers[i].run->durable_sent = t->containers[i].sent;
	}
	if (reported)
		t->run->report_mark = store_mark(e->store);
}

/* Nobody hears of what a power cut could undo. */
static void tell_outbox(struct engine *e)
{
	uint64_t durable = store_durable(e->store);

	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task_run *r = e->tasks[i]->run;

		if (r->report_mark == 0 || r->report_mark > durable)
			continue;
		r->report_mark = 0;
		CRASH_POINT(OUTBOX_TOLD);
		if (e->callbacks.on_outbox)
			e->callbacks.on_outbox(e->callbacks.userdata, e->tasks[i]->arn);
	}
}

/* After a failed write the kernel may call lost data clean; a new start reads what is there. */
static void on_durable(int error, void *userdata)
{
	struct engine *e = userdata;

	if (error == 0) {
		tell_outbox(e);
		return;
	}
	log_error("Failed to write the state to the disk, ending: %s", strerrordesc_np(-error));
	(void) sd_event_exit(e->loop, EXIT_FAILURE);
}

/* One transaction for all that changed. */
static int flush(struct engine *e, struct err *err)
{
	bool begun = false;
	int k = 0;

	for (size_t i = 0; k == 0 && i < e->n_tasks; i++) {
		if (!is_stale(e->tasks[i]))
			continue;
		if (!begun)
			k = store_begin(e->store, err);
		begun = true;
		if (k == 0)
			k = flush_task(e, e->tasks[i], err);
	}
	if (begun)
		CRASH_POINT(FLUSH_WRITTEN);
	if (begun && k == 0)
		k = store_commit(e->store, err);
	if (k < 0) {
		store_rollback(e->store);
		take_back(e);
		return k;
	}
	for (size_t i = 0; begun && i < e->n_tasks; i++)
		if (is_stale(e->tasks[i]))
			note_committed(e, e->tasks[i]);
	if (begun) {
		CRASH_POINT(FLUSH_COMMITTED);
		tell_outbox(e);
	}
	return 0;
}

static void act_all(struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (e->tasks[i]->containers[j].run->action != ACTION_NONE)
				container_act(&e->tasks[i]->containers[j]);
	e->commit_first = false;
}

static bool any_dirty(const struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->run->dirty)
			return true;
	return false;
}

static void retry_later(struct engine *e)
{
	(void) sd_event_source_set_time_relative(e->retry, RETRY_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(e->retry, SD_EVENT_ONESHOT);
}

/*
 * Decide, write down, act, until nothing is left to decide. An act waits for the commit, which a
 * later run of the agent finds again, and not for the disk: all that an act leaves behind ends with
 * the host, but for directories and pins that nobody's row names, and engine_restore() removes
 * those. What is known from an earlier flush goes first: runc then works while the disk does.
 */
int engine_pass(struct engine *e, struct err *err)
{
	int k = 0;

	if (e->in_pass)
		return 0;
	e->in_pass = true;
	e->starved = false;
	do {
		decide_all(e);
		CRASH_POINT(PASS_DECIDED);
		if (!e->commit_first)
			act_all(e);
		k = flush(e, err);
		if (k == 0 && e->commit_first)
			act_all(e);
		CRASH_POINT(PASS_ACTED);
	} while (k == 0 && any_dirty(e) && !e->starved);
	e->in_pass = false;
	if (k < 0 || e->starved)
		retry_later(e);
	return k;
}

static int on_pass(sd_event_source *s, void *userdata)
{
	_cleanup_(err_done) struct err err = {};

	(void) s;
	if (engine_pass(userdata, &err) < 0)
		log_error("Failed to write the state down, trying again: %s", err_text(&err));
	return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) usec;
	return on_pass(s, userdata);
}

/* ---- traces of what stopped are removed when there is nothing better to do, one at a time ---- */

void engine_want_teardown(struct engine *e)
{
	(void) sd_event_source_set_enabled(e->teardown, SD_EVENT_ON);
}

static bool teardown_one(struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		if (!c->run->teardown)
			continue;
		c->run->teardown = false;
		container_teardown(c);
		return true;
	}
	if (!t->run->teardown)
		return false;
	t->run->teardown = false;
	task_teardown(t);
	return true;
}

static int on_teardown(sd_event_source *s, void *userdata)
{
	struct engine *e = userdata;

	for (size_t i = 0; i < e->n_tasks; i++)
		if (teardown_one(e->tasks[i]))
			return 0;
	(void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
}

/* ---- the ticker ---- */

static int on_ticker(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	bool news = false;

	(void) usec;
	for (size_t i = 0; i < e->n_tasks; i++) {
		struct task *t = e->tasks[i];
		_cleanup_(err_done) struct err err = {};

		if (t->known == TASK_STOPPED || !report_has_container_news(t))
			continue;
		if (store_begin(e->store, &err) < 0 || put_report(e, t, &err) < 0 ||
		    store_commit(e->store, &err) < 0) {
			store_rollback(e->store);
			take_back(e);
			task_log(LOG_WARN, t, "Failed to report on '%s', trying again: %s", t->id,
				 err_text(&err));
			continue;
		}
		news = true;
	}
	if (news)
		(void) on_pass(NULL, e);
	packet_filter_check(e, true);
	(void) sd_event_source_set_time_relative(
		s, (uint64_t) (TICKER_MIN_MS + random_below(TICKER_SPREAD_MS)) * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- making and freeing ---- */

static int make_paths(struct engine *e, struct err *err)
{
	const struct config *c = e->config;
	const char *libexec = c->libexec_dir ? c->libexec_dir : PKGLIBEXECDIR;
	int k;

	e->run_dir = path_join("%s/containers", c->run_dir);
	e->data_dir = path_join("%s/containers", c->data_dir);
	e->trash = path_join("%s/trash", c->data_dir);
	e->runc_root = path_join("%s/runc", c->run_dir);
	e->shim_program = path_join("%s/ecs-shim", libexec);
	e->pause_program = path_join("%s/ecs-pause", libexec);
	e->init_program = path_join("%s/ecs-init", libexec);
	e->image_program = path_join("%s/ecs-image", libexec);
	e->volume_program = path_join("%s/ecs-volume", libexec);
	e->volumes_dir = path_join("%s/volumes", c->data_dir);
	if (!e->run_dir || !e->data_dir || !e->trash || !e->runc_root || !e->shim_program ||
	    !e->pause_program || !e->init_program || !e->image_program || !e->volume_program ||
	    !e->volumes_dir)
		return err_set(err, ENOMEM, "make paths");
	k = runc_find(c->runc, &e->runc, err);
	if (k == 0)
		k = fs_mkdir_p(e->run_dir, 0700, err);
	if (k == 0)
		k = fs_mkdir_p(e->data_dir, 0700, err);
	return k < 0 ? k : fs_mkdir_p(e->runc_root, 0700, err);
}

static int add_timer(struct engine *e, uint64_t usec, sd_event_time_handler_t fn, const char *name,
		     sd_event_source **ret)
{
	int k = sd_event_add_time_relative(e->loop, ret, CLOCK_MONOTONIC, usec, 0, fn, e);

	return k < 0 ? k : sd_event_source_set_description(*ret, name);
}

static int add_sources(struct engine *e, struct err *err)
{
	uint64_t first = (uint64_t) (TICKER_MIN_MS + random_below(TICKER_SPREAD_MS));
	int k = sd_event_add_defer(e->loop, &e->pass, on_pass, e);

	if (k >= 0)
		k = sd_event_source_set_priority(e->pass, PASS_PRIORITY);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->pass, SD_EVENT_OFF);
	if (k >= 0)
		k = sd_event_add_defer(e->loop, &e->teardown, on_teardown, e);
	if (k >= 0)
		k = sd_event_source_set_priority(e->teardown, TEARDOWN_PRIORITY);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->teardown, SD_EVENT_OFF);
	if (k >= 0)
		k = add_timer(e, first * USEC_PER_MSEC, on_ticker, "engine-ticker", &e->ticker);
	if (k >= 0)
		k = add_timer(e, 0, on_retry, "engine-retry", &e->retry);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->retry, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "add event sources");
	(void) sd_event_source_set_description(e->pass, "engine-pass");
	(void) sd_event_source_set_description(e->teardown, "engine-teardown");
	k = packet_filter_watch(e, err);
	if (k == 0)
		k = slots_start(e, err);
	if (k == 0)
		k = cleanup_start(e, err);
	return k < 0 ? k : image_cleanup_start(e, &e->image_cleanup, err);
}

int engine_new(const struct engine_params *p, struct engine **ret, struct err *err)
{
	_cleanup_(engine_freep) struct engine *e = calloc(1, sizeof(*e));
	int k;

	if (!e)
		return err_set(err, ENOMEM, "allocate engine");
	e->loop = sd_event_ref(p->loop);
	e->config = p->config;
	e->store = p->store;
	e->net = p->net;
	e->http = p->http;
	e->roles = p->roles;
	e->callbacks = p->callbacks;
	e->next_sequence = 1;
	e->stop_limit_ms = STOP_LIMIT_MS;
	e->ledger.gpus = p->config->gpus.ids;
	e->ledger.reserved_tcp = &p->config->reserved_ports;
	e->ledger.reserved_udp = &p->config->reserved_ports_udp;
	k = make_paths(e, err);
	if (k == 0 && p->http)
		k = registry_tokens_new(
			&(struct registry_tokens_params){ .loop = p->loop,
							  .http = p->http,
							  .credentials = p->credentials,
							  .roles = p->roles,
							  .region = p->config->region },
			&e->registry_tokens, err);
	if (k == 0)
		k = image_store_open(e->config->image_dir, &e->images, err);
	if (k == 0)
		k = cgroup_setup(e->config->cgroup_root, e->config->cgroup_parent, err);
	if (k == 0)
		k = add_sources(e, err);
	if (k == 0)
		k = store_overlap(e->store, e->loop, on_durable, e, err);
	if (k == 0)
		k = prefetch_start(e, &e->prefetch, err);
	if (k < 0)
		return err_wrap(err, "start the engine");
	*ret = TAKE_PTR(e);
	return 0;
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	if (e->store)
		store_overlap_end(e->store);
	e->pass = sd_event_source_disable_unref(e->pass);
	(void) sd_event_source_disable_unref(e->limits);
	e->teardown = sd_event_source_disable_unref(e->teardown);
	e->ticker = sd_event_source_disable_unref(e->ticker);
	e->filter_monitor = sd_event_source_disable_unref(e->filter_monitor);
	e->filter_check = sd_event_source_disable_unref(e->filter_check);
	e->cleanup = sd_event_source_disable_unref(e->cleanup);
	e->retry = sd_event_source_disable_unref(e->retry);
	e->slots = sd_event_source_disable_unref(e->slots);
	e->trash_work = sd_event_source_disable_unref(e->trash_work);
	e->lingering = sd_event_source_disable_unref(e->lingering);
	while (e->n_tasks > 0)
		engine_drop_task(e, e->n_tasks - 1);
	pulls_free(e);
	e->prefetch = prefetch_free(e->prefetch);
	e->registry_tokens = registry_tokens_free(e->registry_tokens);
	volumes_free(e);
	(void) image_cleanup_free(e->image_cleanup);
	free(e->tasks);
	(void) image_store_close(e->images);
	free(e->run_dir);
	free(e->data_dir);
	free(e->trash);
	free(e->runc);
	free(e->runc_root);
	free(e->shim_program);
	free(e->pause_program);
	free(e->init_program);
	free(e->image_program);
	free(e->volume_program);
	free(e->volumes_dir);
	sd_event_unref(e->loop);
	free(e);
	return NULL;
}

void engine_set_host_resources(struct engine *e, const struct host_resources *r)
{
	e->ledger.bounded = true;
	e->ledger.cpu_total = r->cpu;
	e->ledger.memory_total_mib = r->memory_mib;
	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->waiting_for)
			engine_touch(e, e->tasks[i]);
}

void engine_note_usage(const struct container *c, const struct past_usage *past)
{
	c->run->container->past = *past;
	c->run->save = true;
	engine_touch(c->run->engine, c->task);
}

char *engine_log_path(const struct engine *e, const struct container *c)
{
	if (!*c->id || strcmp(c->log_driver ? c->log_driver : "json-file", "json-file") != 0)
		return NULL;
	return path_join("%s/%s/%s-json.log", e->data_dir, c->id, c->id);
}

char *engine_cgroup_dir(const struct container *c, const char *controller)
{
	_cleanup_(freep) char *path =
		*c->id ? path_join("%s/%s/%s", cgroup_parent(), c->task->id, c->id) : NULL;

	return path ? cgroup_controller_dir(controller, path) : NULL;
}
